"""How good a model is, measured on answers it has already given.

metrics.py   numbers from prediction records: pure functions, no files, no model
results.py   results.json and results.md of a run folder: written, replaced, read
tables.py    the same figures on a terminal

A prediction record is a dict:

id        the sample's id
kind      label, choice, yes_no or grade
gold      the right answer as text
pred      the answer as read, spelt as the classes are; None where none could be read (unparsed)
choices   the class names or grades on offer; [] where free
response  the model's whole text
correct   the grader's verdict

To add a metric, put it into `metrics.metrics` and give it a heading in `results.COLUMNS`.
"""
