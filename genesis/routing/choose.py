"""DAAO: agents, models and efforts as the attempts of a verified escalation, in order.

Every result is checked, so a cheap attempt that may fail is safe: what fails its check goes on to
the next. The order, and where it ends, are those of greatest expected utility.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from genesis.errors import BudgetExceeded, ModelNotConfigured, RoutingError
from genesis.routing.belief import Belief
from genesis.routing.cascade import Cascade, Limit, best_cascade, expected
from genesis.routing.difficulty import Difficulty
from genesis.routing.joint import adapted
from genesis.routing.ladder import Alone, Forecast, Ladder, Route, Rung
from genesis.routing.options import ModelOption, Option, options_of
from genesis.routing.outlook import Outlook
from genesis.routing.prices import Prices
from genesis.tasks.task import Task
from infrastructure.a2a.agent import AgentCard

Floats = NDArray[np.float64]

_TOLD_USD = 5e-5  # money below this is told as nothing
_LEAST_WEIGHT = 0.05  # a draw in exploration changes the order, it does not price an option out


def choose(
    task: Task,
    route: Route,
    belief: Belief,
    difficulty: Difficulty,
    *,
    cards: Sequence[AgentCard],
    models: Sequence[ModelOption] = (),
    outlook: Outlook | None = None,
    budget_left_usd: float | None = None,
    seconds_left: float | None = None,
    prices: Prices | None = None,
    max_rungs: int = 4,
) -> Ladder:
    """The attempts to make at a task, in order.

    Args:
        task: what is to be done.
        route: who can do it.
        belief: the record.
        difficulty: sets the effort that a model starts with.
        cards: the registered agents; their skills say who needs a model.
        models: the chat models that may be used.
        outlook: what a learnt policy expects of this request; None without a policy.
        budget_left_usd, seconds_left: what all attempts together must fit in; None for no limit.
        prices: how money, time and success compare.
        max_rungs: attempts at most.

    Raises:
        RoutingError: nobody can do the task; says why each agent was rejected.
        ModelNotConfigured: all who can need a chat model and there is none.
        BudgetExceeded: nothing fits what is left, or is worth its price; names both.
    """
    if not route.candidates:
        why = "; ".join(f"{r.agent}: {r.reason}" for r in route.rejected) or "there are no agents"
        raise RoutingError(f"no agent can do task {task.id!r}: {why}")
    options = options_of(
        task, route, belief, difficulty, cards=cards, models=models, outlook=outlook
    )
    if not options:
        agents = ", ".join(candidate.agent for candidate in route.candidates)
        raise ModelNotConfigured(
            f"task {task.id!r} can only be done by {agents} with a chat model and none is set: "
            "set GENESIS_MODEL=provider:name"
        )
    fitting = [o for o in options if _fits(o, budget_left_usd, seconds_left)]
    if not fitting:
        raise BudgetExceeded(_too_dear(task, options, budget_left_usd, seconds_left))
    choice = _Choice(fitting, outlook, prices or Prices(), budget_left_usd, seconds_left, max_rungs)
    if not choice.cascade.order:
        raise BudgetExceeded(choice.why_nothing(task))
    forecast = choice.forecast()
    return Ladder(
        task.id,
        choice.rungs(),
        difficulty.value,
        _reason(difficulty, choice, len(options) - len(fitting), forecast),
        forecast=forecast,
    )


class _Choice:
    """The best cascade of some options, and what can be said of it."""

    def __init__(
        self,
        options: Sequence[Option],
        outlook: Outlook | None,
        prices: Prices,
        usd_left: float | None,
        seconds_left: float | None,
        max_rungs: int,
    ) -> None:
        self.options = options
        self.prices = prices
        self.max_rungs = max_rungs
        self._usd = np.array([o.usd for o in options])
        self._seconds = np.array([o.seconds for o in options])
        chances = np.array([o.p_success for o in options])
        if outlook is None:
            self._success, self._weights = chances[:, None], np.ones(1)
        else:
            places = np.array([o.place for o in options], dtype=np.intp)
            self._success, self._weights = adapted(outlook, places, chances)
        self._limits = [
            Limit(amounts, left)
            for amounts, left in ((self._usd, usd_left), (self._seconds, seconds_left))
            if left is not None
        ]
        self.cascade: Cascade = best_cascade(
            np.array([self._price(o) / max(o.candidate.weight, _LEAST_WEIGHT) for o in options]),
            self._success,
            self._weights,
            prices.success_usd,
            attempts=max_rungs,
            limits=self._limits,
            first=[
                [n for n, o in enumerate(options) if o.candidate.assigned],
                [n for n, o in enumerate(options) if o.candidate.explored],
            ],
        )

    @property
    def first(self) -> Option:
        return self.options[self.cascade.order[0]]

    def rungs(self) -> tuple[Rung, ...]:
        return tuple(_rung(self.options[place], self.prices) for place in self.cascade.order)

    def forecast(self) -> Forecast:
        order = self.cascade.order
        success, usd = expected(order, self._usd, self._success, self._weights)
        _, seconds = expected(order, self._seconds, self._success, self._weights)
        dearest = max(self.options, key=lambda o: (o.usd, o.seconds))
        best = max(self.options, key=self._worth)
        return Forecast(
            success,
            usd,
            seconds,
            _alone(dearest),
            _alone(best),
            dearest.usd - usd,
            best.usd - usd,
        )

    def left_out(self) -> list[str]:
        """Why the options that fit by themselves are not all among the attempts."""
        order = self.cascade.order
        rest = [n for n in range(len(self.options)) if n not in order]
        if not rest:
            return []
        if len(order) == self.max_rungs:
            return [f"{len(rest)} more left out by the limit of {len(order)} attempts"]
        used = [limit.left - float(limit.amounts[list(order)].sum()) for limit in self._limits]
        unaffordable = sum(
            any(limit.amounts[n] > left for limit, left in zip(self._limits, used, strict=True))
            for n in rest
        )
        told: list[str] = []
        if unaffordable:
            told.append(f"{unaffordable} more could not be afforded after these")
        if len(rest) > unaffordable:
            told.append(
                f"{len(rest) - unaffordable} more not worth trying, at "
                f"${self.prices.success_usd:g} for a verified success"
            )
        return told

    def why_nothing(self, task: Task) -> str:
        best = max(self.options, key=self._worth)
        return (
            f"task {task.id!r}: no attempt is worth its price: {best.who} costs ${best.usd:.4f} "
            f"and {best.seconds:.1f} s for {best.p_success:.0%} verified, and a verified success "
            f"is valued at ${self.prices.success_usd:g}: raise success_value_usd"
        )

    def _worth(self, option: Option) -> float:
        return option.p_success * self.prices.success_usd - self._price(option)

    def _price(self, option: Option) -> float:
        return self.prices.of(option.usd, option.seconds)


def _rung(option: Option, prices: Prices) -> Rung:
    value = prices.value(option.p_success, option.usd, option.seconds)
    reason = (
        f"{option.p_success:.0%} verified expected ({option.basis}) at ${option.usd:.4f} and "
        f"{option.seconds:.1f} s: ${1 / value:.5f} a verified success"
    )
    return Rung(
        agent=option.candidate.agent,
        operation=option.candidate.operation,
        model=option.model,
        effort=option.effort,
        p_success=option.p_success,
        cost_usd=option.usd,
        seconds=option.seconds,
        reason=f"assigned by a rule; {reason}" if option.candidate.assigned else reason,
    )


def _alone(option: Option) -> Alone:
    return Alone(option.who, option.p_success, option.usd, option.seconds)


def _fits(option: Option, usd: float | None, seconds: float | None) -> bool:
    return (usd is None or option.usd <= usd) and (seconds is None or option.seconds <= seconds)


def _too_dear(
    task: Task, options: Sequence[Option], usd: float | None, seconds: float | None
) -> str:
    affordable = [o for o in options if usd is None or o.usd <= usd]
    if not affordable:
        cheapest = min(options, key=lambda o: o.usd)
        return (
            f"task {task.id!r}: the cheapest attempt ({cheapest.who}) costs "
            f"${cheapest.usd:.4f} and ${usd or 0:.4f} of the budget is left"
        )
    quickest = min(affordable, key=lambda o: o.seconds)
    return (
        f"task {task.id!r}: the quickest affordable attempt ({quickest.who}, "
        f"${quickest.usd:.4f}) takes {quickest.seconds:.1f} s and {seconds or 0:.1f} s are "
        "left before the deadline"
    )


def _reason(difficulty: Difficulty, choice: _Choice, unfit: int, forecast: Forecast) -> str:
    parts = [f"difficulty {difficulty.value:.2f} ({difficulty.reason})"]
    first = choice.first
    if first.candidate.assigned:
        parts.append(f"{first.who} first, assigned by a rule")
    elif first.candidate.explored:
        parts.append(f"{first.who} first, to learn more about it")
    else:
        parts.append(f"{first.who} first: this order has the greatest expected utility")
    if unfit:
        parts.append(f"{unfit} left out for budget or deadline")
    parts += choice.left_out()
    if choice.cascade.unsearched:
        parts.append(f"{choice.cascade.unsearched} of these not even weighed, there are too many")
    parts.append(
        f"{forecast.p_success:.0%} verified expected of the whole for ${forecast.usd:.4f} and "
        f"{forecast.seconds:.1f} s"
    )
    if len(choice.options) > 1:
        parts.append(_compared("the dearest", forecast.dearest, forecast))
        parts.append(_compared("the best", forecast.best, forecast))
    return "; ".join(parts)


def _compared(what: str, single: Alone, forecast: Forecast) -> str:
    usd, seconds = single.usd - forecast.usd, single.seconds - forecast.seconds
    amount, told = (
        (usd, f"${abs(usd):.4f}") if abs(usd) >= 5e-5 else (seconds, f"{abs(seconds):.1f} s")
    )
    verb = "more" if amount < 0 else "less"
    return f"{told} {verb} than {what} alone ({single.who}, {single.p_success:.0%})"
