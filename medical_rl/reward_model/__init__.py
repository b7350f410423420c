"""MedGR2's reward model R_phi."""
