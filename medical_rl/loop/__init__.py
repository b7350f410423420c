"""MedGR2's closed loop (Algorithm 1): generate, score, select, train the policy, and let R_phi and the generator learn from it.

The loop:
plan.py         what a round's steps are called and what each takes; settings.py  the configuration as a round sees it
rounds.py       the loop itself, over steps that are passed in; run.py  the same in a run's pipeline
select.py       lines 5 to 9: the filter, the overlap
stop.py         when to end, and which round was the best
summary.py      the figures of every round, as a file and a table

The generator:
triplets.py     a generated question with its answer, checked, made a `Sample`, told apart from what is known
chosen.py       which rows' images a round asks about
replies.py      the two forms of a generator's reply, written and read
instructions.py the prompt of a generator, from prompts/<strategy>.txt
work.py         what a generator is given and gives back
endpoint.py, local.py, template.py   the three generators
generators.py   GENERATORS and the check of conf/generator
generate.py     one round: asked, checked, written
distil.py       rows that teach a local generator what was kept; distilled.py  how it is asked then

Nothing here imports torch, ray, verl or vllm: a local model answers in a process of its own.
"""
