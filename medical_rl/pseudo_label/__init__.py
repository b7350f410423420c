"""MEDFACT-R1's pseudo-labels: a question about an image is answered from retrieved reports, with a calibrated risk, to train on.

reports           the corpus: `Report`s beside the prepared splits, those that may be retrieved and those that may not
retrievers        RETRIEVERS: how reports are ranked for a row (`bm25`, `clip_index`)
leaks             a row is never given its own report, by name or by text
retrieve          the reports of every row, written to pseudo_label/retrieved.jsonl

risk                  p-values of the factuality risk (Learn-then-Test)
calibration_settings  conf/calibration, checked
calibration           which k are kept, which is chosen; `calibration_empty`: what then if none is
calibration_errors    from labels to 0/1 errors
calibration_rows      questions set apart by study
calibration_table, calibration_plot    the result for people

label             `Asked` and `Label`, and the file of labels
terms, assertion, anatomy, questions, reading    what a report says to a question: affirmed, denied, in doubt
rule_labeller     the default without a model: reads each report, and the reports vote
instructions      what a model is told: the question, and the reports fenced as data
endpoint_labeller a model behind an OpenAI-compatible endpoint, asked as judges are
local_labeller    a model of one's own under vLLM
labellers         LABELLERS and `label`
answering         the labels with the top k reports, for each k: what calibration needs
parts             which training rows calibrate, which give pairs, which are labelled
agreement         labels against gold answers, where there are any
check             all settings of these, before anything starts
rows              labels as training rows, and as the warm start's targets

pairs, preference  RULE's preference pairs, and their file
alignment         the labeller's alignment as a whole: pairs in, the labeller to use out
dpo               the training process (`dpo_request`, `dpo_rows`, `dpo_states`, `dpo_export`, `chat`)
pair_scores       log-probabilities and greedy answers of a model; `alignment_report` and `alignment_page` judge and show them
"""
