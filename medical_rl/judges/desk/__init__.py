"""The desk that grants requests: limits, budget, ledger, cache of answers, shared by all processes of a run."""
