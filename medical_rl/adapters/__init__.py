"""The same rewards outside our own trainer: in EasyR1 and in TRL. For plain verl see `engine.reward_manager`."""
