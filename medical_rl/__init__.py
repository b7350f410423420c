"""medical_rl: reinforcement of medical vision-language models on verl.

Importing this package loads nothing heavy. Start at `medical_rl.main` (the
command line), `medical_rl.rewards` (scoring) or `medical_rl.data` (datasets).
"""

__version__ = "0.2.0"
