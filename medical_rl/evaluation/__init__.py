"""How good a model is, measured on answers it has already given.

metrics.py       numbers from prediction records: pure functions, no files, no model
auroc.py         AUROC from the probabilities of options; option_texts.py says what is scored
groups.py        the same numbers for each modality and type of question
predictions.py   which file holds the answers of which model
results.py       results.json and results.md of a run folder: written, replaced, read
runs.py          several runs, and what tells them apart
wording.py       what models and metrics are called
tables/          results_table.py (results.md, the terminal), collect.py (one table of several runs),
                 paper_table.py (a column a data set, a row a method), published_vrft_aug.py (the paper's
                 numbers)
figures/         one picture a file: transitions.py (McNemar), transfer.py, distribution.py, scaling.py,
                 training_curves.py, boxes.py; plot.py says how pictures look
__main__.py      the commands, with what each takes

A prediction record is a dict:

id        the sample's id
kind      label, choice, yes_no or grade
gold      the right answer as text
pred      the answer as read, spelt as the classes are; None where none could be read (unparsed)
choices   the class names or grades on offer; [] where free
response  the model's whole text
correct   the grader's verdict
groups    {"modality", "question_type"} of the row, those that it names; may be left out
option_scores  {option: probability} where options were scored

To add a metric, put it into `metrics.metrics` and give it a heading in `wording.COLUMNS`.
"""
