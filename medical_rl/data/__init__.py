"""Data: from a dataset on the user's disk to the parquet files that verl reads.

images    encoded images: PNG out, size from the header, decoding with a reason when broken
prompts   the prompt and SFT target of a sample, from the jinja templates of conf/prompt/
parquet   prepared files: write, read back, count, check; they appear whole or not at all
schema    their columns, which are verl's
splits    k-shot, balanced, top-k, limit and repeat, chosen by hash so that row order does not matter
npz       arrays of an .npz streamed row by row, never unpickled
arrow     rows as an arrow table
records   rows of CSV, JSON, JSON lines and parquet files as dicts
hub       rows of sets on the Hugging Face Hub, through `datasets`
image_files   images that a row names or holds, each whole or left out with a reason
options   answer options cleaned, and the option that an answer means
linked    rows that share a patient or an image, files that are one image
readers   READERS: which module reads which dataset; add one there
drops     the rows a reader left out and why, on their way to the card
files     images of a source folder, each whole or left out with a reason
tables    CSV and TSV files row by row, oddities told with their line
grouped   seeded splits that keep patients, lesions and studies whole
masks     boxes from segmentation masks
box_files   boxes from COCO, VOC, YOLO and CSV files
box_match   those boxes brought together with their images
knowledge   visual attributes of the classes, put into the rows
rule      RULE's question files, row by row; rule_pairs: its preference pairs and retrieval corpora
question_rows   those questions to samples: split, image, drops; question_options: how, and their command line
openi     Open-i's studies from XML or Kaggle's tables; iu_images: their images; study_rows: normal or not
r2gen     R2Gen's split of IU-Xray, repaired where its third key is blank
fundus_npz, mimic_files   where an image of FairVLMed or MIMIC-CXR lies
concepts, lexicon, lexicon_chest   the medical terms of a question, from a lexicon or a judge
json_files   JSON files, read as what they should be or refused with a reason
recipe    the fingerprint that makes a second preparation do nothing
prepare   a reader's rows to train/val/test parquet, with their card
reports, corpus   the reports beside them that may be retrieved, and how a reader gives them
gold      every row proved by its own gold answer before it is written
place     the output folder: nothing of the user's overwritten, written whole or not at all
tally     groups and images of each split, and that no two splits share a group
card      card.json and README.md beside the parquet files
medmnist_file   what a MedMNIST file must hold to be the official one
ham10000_table   the tables of HAM10000 in the forms they come in
command   the command line that every data_preprocess/*.py shares
omnimedvqa_files, omnimedvqa_splits   OmniMedVQA's two forms, and which question is in which split
mmmu_files, mmmu_row   MMMU's rows, and one of them as a question
custom_table, custom_places, custom_row   a user's own table: columns, splits, cells
asking    a judge asked many questions about prepared rows, resumable; counting: the bar of such a count
attributes, judged_concepts   what `python -m medical_rl.data attributes` and `concepts` ask
rewrite   prepared files with some samples changed, all or nothing
checks    what `python -m medical_rl.data check` looks for
preview, sheet, picked   what `python -m medical_rl.data preview` shows

A dataset's own module is in `data_preprocess/`: `rows(source, split, **params)` gives
`Sample`s and `describe(source, **params)` the facts for the card.
"""
