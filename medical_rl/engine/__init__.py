"""The adapter to verl 0.9.1, Ray and vLLM: the only package that imports them.

verl_entry  the entry point that registers our reward manager in plain verl
verl/       what verl loads of ours, in its plug-in points
    plugin                        imported in every process: version check, CPU platform, patches
    settings, runner, sft         the final verl configuration; the two heavy jobs, GRPO and supervised
                                  training
    trainer, advantages           reward components, failed terms, GDPO; the replay buffer; the best
                                  checkpoint
    agent_loop, dataset, tokens   a group's image work shared; rows, their exact token counts, decoding
    reward_manager, judge_desk    scores of a response; the judges' desk as an actor of the cluster
    tracking                      metrics.jsonl
    agreement, rollout_server     rollout and trainer compared: probabilities, grids of images
vllm/       processes of vLLM: requests and their lines; generate, option_scores, classify; R_phi's server
checks/     what a dry run asks: settings by verl's own validation, a prompt by the model's processor
host/       the machine: CPU platform, patches of verl and vLLM, environment variables, Slurm's allocation,
            versions
"""
