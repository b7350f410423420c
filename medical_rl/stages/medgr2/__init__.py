"""MedGR2's stages: the reward model and the steps of the closed loop."""
