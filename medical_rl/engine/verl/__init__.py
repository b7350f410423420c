"""What verl loads of ours: plugin, trainer, agent loop, data sets, reward manager, settings."""
