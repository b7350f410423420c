"""How good a model is, measured on answers it has already given.

metrics.py   numbers from prediction records: pure functions, no files, no model
grade_metrics.py  those of ordinal grades
groups.py    the same numbers for each modality and type of question
one_answer.py  what always answering yes, or no, would score
auroc.py     AUROC from the probabilities of options; option_texts.py says what is scored
results.py   results.json and results.md of a run folder: written, replaced, read
wording.py   what models and metrics are called; markdown.py and tables.py write them for files and terminals
predictions.py  which file holds the answers of which model
runs.py      several runs, and what tells them apart; collect.py makes one table of them
paper_form.py  a column a data set, a row a method, as papers print them; vrft_aug_figures.py has VRFT-Aug's own numbers
plot.py      how pictures look; transitions.py, transfer.py, distribution.py, scaling.py, curve.py, curves.py and boxes.py each draw one
__main__.py  their commands; arguments.py says what each takes

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
