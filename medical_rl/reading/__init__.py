"""How an answer's text is read: cleaning, then one reader for each kind of question. `answers` is the door."""
