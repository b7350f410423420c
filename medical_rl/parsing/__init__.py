"""How model output is read: `response` is the door; then one reader for each kind of question."""
