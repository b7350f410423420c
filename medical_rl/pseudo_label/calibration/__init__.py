"""Factuality-risk calibration: how many retrieved reports keep the risk low (RULE, section 3.2)."""
