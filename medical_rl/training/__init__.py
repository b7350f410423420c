"""What training processes of our own share (R_phi, preference alignment)."""
