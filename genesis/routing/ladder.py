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
        explored: asked before all that no rule assigned, to learn more about it.
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
    explored: bool = False


@dataclass(frozen=True, slots=True)
class Apart:
    """An earlier task whose doer must not do this one too.

    Attributes:
        task_id: the earlier task.
        why: the rule and its reason.
        persons: agents that count as one, for each person that has several.
    """

    task_id: str
    why: str
    persons: tuple[tuple[str, ...], ...] = ()

    def bars(self, agent: str, doer: str) -> bool:
        """Whether an agent is, or is the same person as, who did the earlier task."""
        return agent == doer or any(agent in one and doer in one for one in self.persons)


@dataclass(frozen=True, slots=True)
class Route:
    """HALO's answer for one task.

    Attributes:
        task_id: the task.
        candidates: who could do it, best first.
        rejected: who could not, and why.
        apart: whom it depends on earlier tasks to bar.
    """

    task_id: str
    candidates: tuple[Candidate, ...]
    rejected: tuple[Rejection, ...]
    apart: tuple[Apart, ...] = ()


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
class Alone:
    """One way of doing a task if nothing else were tried.

    Attributes:
        who: agent, model and effort, in words.
        p_success: expected share of verified successes, 0 to 1.
        usd, seconds: what it is expected to take.
    """

    who: str
    p_success: float
    usd: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a ladder is expected to come to, beside its options alone.

    Attributes:
        p_success: that one of its attempts is verified, 0 to 1.
        usd, seconds: expected of all attempts that it comes to.
        dearest: the option of the highest price.
        best: the option that is worth most by itself.
        saved_on_dearest_usd, saved_on_best_usd: what the ladder is expected to save against each,
            US dollars; negative where it costs more.
    """

    p_success: float
    usd: float
    seconds: float
    dearest: Alone
    best: Alone
    saved_on_dearest_usd: float
    saved_on_best_usd: float


@dataclass(frozen=True, slots=True)
class Ladder:
    """DAAO's answer for one task: attempts in order; only what fails its check is escalated.

    Attributes:
        task_id: the task.
        rungs: at least one.
        difficulty: 0 (routine) to 1 (hard), estimated.
        reason: how difficulty and limits led to this order.
        apart: earlier tasks whose doers are not asked.
        spare: attempts to make after those, when that keeps anybody from them.
        forecast: what it is expected to come to; None for one that nobody chose among others.
    """

    task_id: str
    rungs: tuple[Rung, ...]
    difficulty: float
    reason: str
    apart: tuple[Apart, ...] = ()
    spare: tuple[Rung, ...] = ()
    forecast: Forecast | None = None
