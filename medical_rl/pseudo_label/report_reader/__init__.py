"""What one report says to a question: the grammar of the rule labeller."""
