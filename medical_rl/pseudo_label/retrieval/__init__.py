"""Reports ranked for a question, its own report never among them."""
