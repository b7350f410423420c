"""Stages that several recipes share, and what they have in common."""
