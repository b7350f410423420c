"""MedGR2's closed loop (Algorithm 1): generate, score, select, train the policy.

R_phi and the generator learn from it.

plan.py         what a round's steps are called, what each takes, and the configuration as a step sees it
check.py        conf.loop, conf.generator and conf.reward_training, checked before anything starts
rounds.py       the loop itself over steps that are passed in, when it ends, and which round was the best
generate.py     a round's candidates: images chosen, asked about, checked, written (line 3)
select.py       the filter and the overlap (lines 5 to 9)
distil.py       rows that teach a local generator what was kept, and how it is asked then (line 14)
summary.py      the loop in a run's pipeline; the figures of every round, as a file and a table
generators/     GENERATORS by name: endpoint, local, template; their prompts, replies and triplets

Nothing here imports torch, ray, verl or vllm: a local model answers in a process of its own.
"""
