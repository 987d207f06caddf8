"""Who decides about memory: the learnt policy where it can be used, heuristics where it cannot."""

from __future__ import annotations

from pathlib import Path

from infrastructure.embeddings.embedder import Embedder
from infrastructure.errors import ModelError, PolicyRefused
from infrastructure.memory.agemem.decider import Decider


def decider_for(wanted: bool, embedder: Embedder, path: Path | None = None) -> tuple[Decider, str]:
    """Who decides, and why in words.

    Args:
        wanted: whether the policy may be used (the flag `agemem_policy`).
        embedder: makes the vectors that it is to see.
        path: its file; None takes the one that ships with the package.
    """
    # Only who asks pays for reading a policy; a program that never remembers does not.
    from infrastructure.memory.agemem.heuristics import default_heuristic
    from infrastructure.memory.agemem.policy_file import check_embedder, default_policy, load_policy

    if not wanted:
        return default_heuristic(), "the policy is turned off (agemem_policy)"
    try:
        policy = default_policy() if path is None else load_policy(path)
        check_embedder(policy, embedder)
    except (PolicyRefused, ModelError) as error:
        return default_heuristic(), str(error)
    trained = f"trained on {policy.card.trained_on} in {policy.card.steps:,} steps"
    return policy, f"the policy of {policy.card.created_at}, {trained}"
