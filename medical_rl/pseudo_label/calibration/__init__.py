"""How many reports an answer is given with: factuality-risk calibration by Learn-then-Test (RULE, section 3.2)."""
