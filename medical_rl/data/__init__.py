"""Data: from a dataset on the user's disk to the parquet files that verl reads.

images    encoded images: PNG out, size from the header, decoding with a reason when broken
prompts   the prompt and SFT target of a sample, from the jinja templates of conf/prompt/
parquet   verl's schema: write, read back, count, check; files appear whole or not at all
splits    k-shot, balanced, top-k, limit and repeat, chosen by hash so that row order does not matter
npz       arrays of an .npz streamed row by row, never unpickled
arrow     rows as an arrow table
records   rows of CSV, JSON, JSON lines and parquet files as dicts
hub       rows of sets on the Hugging Face Hub, through `datasets`
image_files   images that a row names or holds, each whole or left out with a reason
options   answer options cleaned, and the option that an answer means
linked    rows that share a patient or an image, files that are one image
readers   READERS: which module reads which dataset; add one there
recipe    the fingerprint that makes a second preparation do nothing
prepare   a reader's rows to train/val/test parquet, with their card
card      card.json and README.md beside the parquet files
medmnist_file   what a MedMNIST file must hold to be the official one
command   the command line that every data_preprocess/*.py shares
omnimedvqa_files, omnimedvqa_splits   OmniMedVQA's two forms, and which question is in which split
mmmu_files, mmmu_row   MMMU's rows, and one of them as a question
custom_table, custom_places, custom_row   a user's own table: columns, splits, cells
checks    what `python -m medical_rl.data check` looks for
preview, sheet, picked   what `python -m medical_rl.data preview` shows

A dataset's own module is in `data_preprocess/`: `rows(source, split, **params)` gives
`Sample`s and `describe(source, **params)` the facts for the card.
"""
