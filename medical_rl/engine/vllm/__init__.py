"""vLLM in processes of its own: responses, option scores, R_phi's scores and server, their requests."""
