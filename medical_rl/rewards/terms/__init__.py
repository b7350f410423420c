"""The reward terms: one pure function a file, listed in `medical_rl.rewards.REWARDS`."""
