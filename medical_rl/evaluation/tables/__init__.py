"""Tables over runs, for the terminal and as Markdown."""
