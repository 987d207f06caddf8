"""A market of agents with hidden success rates and prices, for the learning curve.

Nothing here knows the orchestrator: it says what is true of every agent at every request, what a
ladder of attempts is worth, and which ladder would be best for one who knew the truth.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from genesis.tasks.types import TASK_TYPES

AGENTS = 8
MAX_ATTEMPTS = 4
VALUE_USD = 0.25  # what a verified success is worth
ATTEMPT_USD = 0.0005  # one second of handing over and checking, at the orchestrator's own price
SINCE_NEW = 4  # once it is there, one request in so many is of the new type

# Types whose work is alike: an agent good at one of them tends to be good at the others.
GROUPS = (
    ("code_generation", "debugging", "testing", "optimization"),
    ("documentation", "general", "system_design"),
    ("data_analysis",),
    ("deployment",),
)
_CHEAPEST, _DEAREST = 0.002, 0.05
_FALL = 0.1  # what remains of the success of the agent that turns bad


@dataclass(frozen=True, eq=False)
class World:
    """What is true, request by request.

    Attributes:
        types: index into TASK_TYPES of each request, int [requests].
        success: P(verified), float64 [requests, agents, types].
        usd: price of one attempt, float64 [requests, agents, types].
        declared: what the agents' cards say, float64 [agents, types].
        luck: an attempt succeeds if this is below its P(verified), float64 [requests, agents].
        broken_at: the request from which on the best agent is bad.
        broken: that agent.
        new_type: the type that is not seen before `new_from`.
        new_from: the first request that may be of the new type.
    """

    types: NDArray[np.int64]
    success: NDArray[np.float64]
    usd: NDArray[np.float64]
    declared: NDArray[np.float64]
    luck: NDArray[np.float64]
    broken_at: int
    broken: int
    new_type: int
    new_from: int

    def kind(self, request: int) -> str:
        """The task type of a request."""
        return TASK_TYPES[int(self.types[request])]

    def worth(self, request: int, ladder: Sequence[int]) -> float:
        """Expected utility of a ladder of attempts at a request, US dollars."""
        kind = self.types[request]
        return _worth(self.success[request, :, kind], self.usd[request, :, kind], ladder)

    @cache  # noqa: B019 (a world lives as long as its process)
    def best(self, request: int) -> tuple[float, tuple[int, ...]]:
        """The highest expected utility that a ladder can have at a request, and the ladder."""
        kind = self.types[request]
        return best_ladder(self.success[request, :, kind], self.usd[request, :, kind])


def make_world(requests: int, seed: int) -> World:
    """Draw a market and a stream of requests."""
    rng = np.random.default_rng(seed)
    kinds = len(TASK_TYPES)
    level = np.linspace(0, 1, AGENTS)
    price = _CHEAPEST * (_DEAREST / _CHEAPEST) ** rng.permutation(level)
    dearness = (np.log(price) - np.log(price).mean()) / np.log(price).std()
    group = np.array([next(i for i, g in enumerate(GROUPS) if t in g) for t in TASK_TYPES])
    skill = (0.3 + 0.7 * dearness + rng.normal(0, 0.9, AGENTS))[:, None]
    skill = skill + rng.normal(0, 0.8, (AGENTS, len(GROUPS)))[:, group]
    skill = skill + rng.normal(0, 0.6, (AGENTS, kinds))
    declared = price[:, None] * np.exp(rng.normal(0, 0.25, kinds))[None, :]
    usd = declared * np.exp(rng.normal(0, 0.35, (AGENTS, kinds)))
    # Everything drifts a little from one request to the next.
    logits = skill + rng.normal(0, 0.02, (requests, AGENTS, kinds)).cumsum(axis=0)
    success = 1 / (1 + np.exp(-logits))
    prices = usd * np.exp(rng.normal(0, 0.005, (requests, AGENTS, kinds)).cumsum(axis=0))
    broken_at = int(rng.integers(round(0.4 * requests), round(0.6 * requests) + 1))
    broken = _leader(success[broken_at - 1], prices[broken_at - 1])
    success[broken_at:, broken] *= _FALL
    new_type, new_from = int(rng.integers(kinds)), round(2 * requests / 3)
    return World(
        _stream(rng, requests, kinds, new_type, new_from),
        success,
        prices,
        declared,
        rng.random((requests, AGENTS)),
        broken_at,
        broken,
        new_type,
        new_from,
    )


def _stream(
    rng: np.random.Generator, requests: int, kinds: int, new_type: int, new_from: int
) -> NDArray[np.int64]:
    types = rng.integers(kinds - 1, size=requests)
    types += types >= new_type
    late = np.arange(requests) >= new_from
    types[late & (rng.random(requests) < 1 / SINCE_NEW)] = new_type
    return types


def _leader(success: NDArray[np.float64], usd: NDArray[np.float64]) -> int:
    """The agent without which the best ladders would lose most, over all types."""
    lost = np.zeros(AGENTS)
    for kind in range(success.shape[1]):
        full, _ = best_ladder(success[:, kind], usd[:, kind])
        for agent in range(AGENTS):
            others = success[:, kind].copy()
            others[agent] = 0.0
            lost[agent] += full - best_ladder(others, usd[:, kind])[0]
    return int(lost.argmax())


def best_ladder(
    success: NDArray[np.float64], usd: NDArray[np.float64]
) -> tuple[float, tuple[int, ...]]:
    """The ladder of highest expected utility: every subset, each in its best order.

    With independent attempts and a sound check the best order of a subset is by success over
    price, the classical rule for sequential tests.
    """
    order = np.argsort(-success / (usd + ATTEMPT_USD))
    ladders = (
        ladder
        for size in range(1, MAX_ATTEMPTS + 1)
        for ladder in itertools.combinations(map(int, order), size)
    )
    p, c = success.tolist(), usd.tolist()
    return max((_worth(p, c, ladder), ladder) for ladder in ladders)


def _worth(
    success: Sequence[float] | NDArray[np.float64],
    usd: Sequence[float] | NDArray[np.float64],
    ladder: Sequence[int],
) -> float:
    total, reached = 0.0, 1.0
    for agent in ladder:
        total += reached * (float(success[agent]) * VALUE_USD - float(usd[agent]) - ATTEMPT_USD)
        reached *= 1 - float(success[agent])
    return total
