"""MedGR2's reward model R_phi, trained on graded responses (graded.py).

grading/ makes graded texts, policy_grades.py grades the policy's; training/ trains on them; model.py is the
network, which score.py, or vLLM in engine/vllm, serves; calibration.py says how far it can be trusted.
"""
