"""What verl loads of ours: trainer, agent loop, data sets, reward manager, settings."""
