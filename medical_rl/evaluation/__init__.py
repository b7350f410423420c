"""How good a model is, measured on answers it has already given.

metrics.py  numbers from prediction records, of all and of each modality and type of question
auroc.py    AUROC from the probabilities of options
results.py  results.json, results.md and predictions of run folders; several runs, and what tells them apart
wording.py  what models and metrics are called
tables/     results_table.py (results.md, the terminal), collect.py (one table of several runs), paper_table.py
            (a column a data set, a row a method; VRFT-Aug's own figures beside)
figures/    medgr2.py, training_curves.py, boxes.py; plot.py says how pictures look

A prediction record is a dict:

id        the sample's id
kind      label, choice, yes_no or grade
gold      the right answer as text
pred      the answer as read, spelt as the classes are; None where none could be read (unparsed)
choices   the class names or grades on offer; [] where free
response  the model's whole text
correct   the grader's verdict
lenient_pred, lenient_correct  the same of the lenient reading; may be left out
groups    {"modality", "question_type"} of the row, those that it names; may be left out
option_scores  {option: probability} where options were scored

To add a metric, put it into `metrics.metrics` and give it a heading in `wording.COLUMNS`.
"""
