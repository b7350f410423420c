"""The graded texts that R_phi is trained and probed on (MedGR2, multi-grade supervision)."""
