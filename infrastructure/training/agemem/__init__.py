"""How AgeMem's policy is trained: episodes with exact ground truth, and step-wise GRPO."""
