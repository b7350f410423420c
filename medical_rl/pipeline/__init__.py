"""A run: its configuration validated, its stages in order, each in a process of its own."""
