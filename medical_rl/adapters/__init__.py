"""The same rewards in other trainers: EasyR1 and TRL. For plain verl see `engine.verl.reward_manager`."""
