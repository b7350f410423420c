"""MedGR2's reward model R_phi.

graded.py         `Graded`, a response with the grade it deserves: the record all others speak
training_rows.py  which training rows it learns from, and which are the generator's
grading/          graded texts: the four grades, contradictions, probes, a judge's preferences (no torch)
policy_grades.py  answers of the policy, graded by rule
training/         the files of graded rows, and the training process (request.py says what it is asked)
model.py          the network and its folder, which vLLM serves
score.py, score_requests.py  scores by transformers, and of a whole file; by vLLM in engine/vllm/classify.py
calibration.py, report.py    how far it can be trusted

It is served beside GRPO by engine/vllm/reward_server.py and asked by rewards/reward_model_client.py.
"""
