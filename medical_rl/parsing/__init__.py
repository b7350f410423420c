"""How text is read: model output by `response`, the door to a reader for each kind of question.

Medical language is read by `lexicon` (its terms and their names) and `assertion` (what a clause affirms, denies or doubts).
"""
