"""Preference alignment of a local labeller (RULE, section 3.3)."""
