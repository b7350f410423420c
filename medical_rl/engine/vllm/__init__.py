"""vLLM in processes of its own: responses, option scores, classification, the reward server."""
