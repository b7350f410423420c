"""How a granted question is sent: the queue of an event loop, one call, its retries, the HTTP connection."""
