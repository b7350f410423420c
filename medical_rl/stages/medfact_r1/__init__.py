"""MEDFACT-R1's stages: retrieval, calibration, alignment, pseudo-labels."""
