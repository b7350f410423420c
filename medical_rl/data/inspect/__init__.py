"""Looking at a prepared folder: `python -m medical_rl.data COMMAND DIR`.

check            all checks over a folder, and their report as text
findings         Finding, one thing found; what two splits share, images that look alike included
contact_sheet    pages of pictures: some rows of each split, or the look-alikes
judge_concepts   the concepts of each question, from a judge
draft_attributes drafts of what each class looks like, from a judge

To add a check: yield Findings from a function called in `check`, its name in `findings.CHECKS`.
"""
