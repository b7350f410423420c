"""MedGR2's reward model R_phi.

What it learns from (no torch):
graded.py        `Graded`, the record all the others speak; material.py  the files of a seed, a later round, the held-out rows
grades.py        the four grades' builders; deletion.py, rewording.py, contradictions.py, donors.py  what they do
making.py, parts.py, wrong.py, streams.py   what builders share; criteria.py  grades by criterion
synonyms.py      WordNet or synonym_table.py; protected.py  words that stay
probes.py        kinds of text it is not trained on; counterfactual.py  images exchanged or taken away
policy_grades.py answers of the policy, graded by rule; distilled.py  preferences of a judge

How it is trained and asked (torch):
request.py, train.py, optimise.py, plan.py, tasks.py, losses.py, table.py, saved_state.py   the training process
turns.py, encode.py, head.py, export.py   the conversation, its tensors, the network, its folder for vLLM
score.py, scoring.py   scores of a file (vLLM: engine/classify.py; served beside GRPO: engine/reward_server.py); client.py asks a server
calibration.py, report.py   how far it can be trusted
"""
