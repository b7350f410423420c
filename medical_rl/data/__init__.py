"""Data: from a dataset on the user's disk to the parquet files that verl reads.

prepare/    a reader's rows to <split>.parquet with their card: chosen, checked, moved into place as a whole
sources/    files as they come: tables, JSON, npz arrays, images, boxes, masks, the Hugging Face Hub
inspect/    what check and preview of `python -m medical_rl.data` show; what a judge is asked

parquet     prepared files: written, read back, counted, checked
prompts     the prompt and the SFT target of a sample, from the jinja templates of conf/prompt/
knowledge   visual attributes of the classes, put into the rows
concepts    the medical terms of a question, by the lexicon (parsing/lexicon.yaml)
reports     reports that may be retrieved, beside the splits
rows        rows made several at a time, and those left out and why, on their way to the card
options     answer options cleaned, and the option that an answer means

A dataset's own module is in `data_preprocess/` (see `medical_rl.data.prepare.readers`).
"""
