"""Looking at a prepared folder: `python -m medical_rl.data COMMAND DIR`.

check            all checks over a folder, and their report as text
findings         Finding, one thing found, and how bad it is; a check's name is what `--accept` takes
row_checks       schema, decoding, the gold answer under its own reward, what verl and EasyR1 read beside the
                 sample
leaks            the leak check: groups, ids, images and texts that two splits share, and images that look
                 alike
perceptual_hash  the look-alike search
contact_sheet    pages of pictures: some rows of each split, or the look-alikes
judge_concepts   the concepts of each question, from a judge
draft_attributes drafts of what each class looks like, from a judge

To add a check: a function that yields Findings, called in `check`, its name in `findings.CHECKS`.
"""
