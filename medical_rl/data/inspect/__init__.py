"""Checks of a prepared folder: `python -m medical_rl.data check DIR`.

finding   Finding: one thing found, and how bad it is; a check's name is what `--accept` takes
memory    what is remembered of a split while its rows go by: hashes, not pictures
columns   what verl and EasyR1 read beside the sample: the same question, answer, source, id and split
rows      schema, placeholders, decoding, the gold answer under its own reward, duplicates
overlap   what two splits share: groups, ids, images, texts, and images that look alike
looks     a perceptual hash and the search for near images
run       all of them over a folder, as a Report
report    the report as text
pairs     look-alikes as a page of pictures

To add a check: a function that yields Findings, called in `run`, its name in `finding.CHECKS`.
"""
