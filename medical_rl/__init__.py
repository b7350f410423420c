"""Reinforcement of medical vision-language models: an adapter to verl and a reward and data toolkit.

Three papers are recipes of it. Importing this package loads nothing heavy. Its rooms stand on floors, and a
room imports only from floors below its own (tests/test_direction.py):

  17  main, predict          the command line; a trained model asked about images
  16  pipeline               a run: configuration validated, stages in order, each in a process of its own
  15  stages                 the stages, each declared once: of all recipes, of MEDFACT-R1, of MedGR2
  14  loop, pseudo_label     MedGR2's closed loop; MEDFACT-R1's pseudo-labels
  13  engine                 all that imports verl, Ray and vLLM
  12  reward_model           MedGR2's R_phi: graded texts, its training, its calibration
  11  training               what our own training processes share
  10  evaluation, data_preprocess, tiny   metrics, tables, pictures; the data sets; phantoms, the tiny model
   9  data                   readers to parquet (prepare), files as they come (sources), checks (inspect)
   8  adapters               the same rewards in plain verl, EasyR1 and TRL
   7  rewards                terms, mixes, users' functions
   6  judges                 language models asked within limits and a budget
   5  config                 Hydra's composition, the command line's arguments, sweeps, Slurm
   4  run                    the run folder, atomic files, processes, progress
   3  parsing                model output read (the one door is parsing.response); medical terms and denials
   2  boxes, images, seeding, sample   what all speak
   1  errors                 what a user can meet, and the exit code of each
"""

__version__ = "0.2.0"
