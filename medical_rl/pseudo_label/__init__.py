"""MEDFACT-R1's pseudo-labels: questions answered from retrieved reports, with a calibrated risk.

label           `LabelQuestion` and `Label`, and the file of labels
parts           which training rows calibrate, which give preference pairs, which are labelled
retrieval/      the corpus of reports, the retrievers by name, and that no row is given its own report
report_reader/  what a question asks and a report says to it (`python -m medical_rl.pseudo_label read`)
labellers/      LABELLERS by name: the rule that reads reports, an endpoint, a model of one's own
answering       the labels with the top k reports, for each k: what calibration needs
calibration/    Learn-then-Test of the factuality risk: which k are kept, which is chosen
alignment/      RULE's preference pairs, the labeller's tuning on them, and what it did
agreement       labels against gold answers, where there are any
rows            labels as training rows, and as the warm start's targets
settings        all settings of these, checked before anything starts
"""
