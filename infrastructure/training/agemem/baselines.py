"""Deciders that only show where a policy stands: without memory, and by chance."""

from __future__ import annotations

import numpy as np

from infrastructure.memory.agemem.actions import ACTIONS, PASS
from infrastructure.memory.agemem.decider import Choice, Observation


class NoMemory:
    """Stores nothing and fetches nothing: what an answer is without memory."""

    @property
    def name(self) -> str:
        """How tables call it."""
        return "no memory"

    def decide(self, observation: Observation) -> Choice:
        """Nothing, always."""
        del observation
        return Choice(PASS, reason="there is no memory")


class RandomPolicy:
    """Any allowed action, all alike.

    Args:
        seed: of its draws.
    """

    def __init__(self, seed: int) -> None:
        self._draws = np.random.default_rng(seed)

    @property
    def name(self) -> str:
        """How tables call it."""
        return "random"

    def decide(self, observation: Observation) -> Choice:
        """One of the allowed actions."""
        probabilities = observation.allowed / observation.allowed.sum()
        place = int(self._draws.choice(len(ACTIONS), p=probabilities))
        return Choice(place, probabilities.astype(np.float32), reason="drawn")
