"""How a granted question is sent: queue and dispatcher, one call, retries, the HTTP connection."""
