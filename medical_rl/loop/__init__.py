"""MedGR2's closed loop (Algorithm 1): generate, score, select, train the policy.

R_phi and the generator learn from it.

plan.py      what a round's steps are called, what each takes, and the configuration as a step sees it
check.py     conf.loop and its generator checked; the filter and the overlap (lines 5 to 9)
rounds.py    the loop over steps, when it ends, which round was the best; its figures, as a file and a table
generate.py  a round's candidates (line 3), and rows that teach a local generator what was kept (line 14)
generators/  GENERATORS by name: endpoint, local, template; their prompts, replies and triplets

Nothing here imports torch, ray, verl or vllm: a local model answers in a process of its own.
"""
