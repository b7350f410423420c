"""The desk where all callers of a run meet: protocol, limits, budget, ledger, cache, sqlite files."""
