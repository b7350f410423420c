"""The desk where all callers of a run meet: protocol, limits and budget, sqlite files."""
