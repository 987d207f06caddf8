"""Who tries a task, in which order, and why: what routing decides and execution climbs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rejection:
    """An agent that is not asked, and why."""

    agent: str
    reason: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """An agent's skill that can do a task.

    Attributes:
        agent: the agent's name.
        operation: the skill's id.
        score: HALO's preference, higher first.
        p_success: expected share of verified successes, 0 to 1.
        p_interval: its 90 % credible interval.
        n: attempts that the expectation rests on.
        reason: rule, capability and record, in words.
        assigned: a rule assigned it; nobody else is asked before it.
        weight: what rules, load and exploration multiply its odds by.
    """

    agent: str
    operation: str
    score: float
    p_success: float
    p_interval: tuple[float, float]
    n: int
    reason: str
    assigned: bool = False
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Route:
    """HALO's answer for one task: who could do it, best first, and who could not."""

    task_id: str
    candidates: tuple[Candidate, ...]
    rejected: tuple[Rejection, ...]


@dataclass(frozen=True, slots=True)
class Rung:
    """One attempt to make: an agent, a model and an effort.

    Attributes:
        agent: the agent's name.
        operation: the skill's id.
        model: "provider:name", empty without one.
        effort: "low", "medium" or "high".
        p_success: expected share of verified successes, 0 to 1.
        cost_usd: expected money; this much is reserved before the attempt.
        seconds: expected duration.
        reason: why it stands here.
    """

    agent: str
    operation: str
    model: str
    effort: str
    p_success: float
    cost_usd: float
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class Ladder:
    """DAAO's answer for one task: attempts in order; only what fails its check is escalated.

    Attributes:
        task_id: the task.
        rungs: at least one.
        difficulty: 0 (routine) to 1 (hard), estimated.
        reason: how difficulty and limits led to this order.
    """

    task_id: str
    rungs: tuple[Rung, ...]
    difficulty: float
    reason: str
