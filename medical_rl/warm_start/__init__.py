"""The supervised warm start: `rows` writes what verl's SFT trainer reads; `engine/sft.py` runs it."""
