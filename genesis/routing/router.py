"""Routing as one part: HALO's rules and candidates, and DAAO's choice among them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from genesis.routing.belief import Belief
from genesis.routing.candidates import Exploration, route
from genesis.routing.choose import choose
from genesis.routing.difficulty import estimate_difficulty
from genesis.routing.ladder import Ladder, Route
from genesis.routing.options import ModelOption
from genesis.routing.outlook import Outlook
from genesis.routing.prices import Prices
from genesis.routing.rules import Facts, RuleBook
from genesis.routing.spare import with_spare
from genesis.tasks.task import Task
from infrastructure.a2a.agent import AgentCard
from infrastructure.jsonvalue import JsonObject

if TYPE_CHECKING:
    from genesis.routing.policy import RoutingPolicy


class Router:
    """Answers who could do a task, and who should try it in which order.

    Args:
        rules: the declared rules.
        cards: the registered agents now.
        healthy: False by name for agents whose circuit breaker is open.
        load: attempts that run now, by agent.
        models: the chat models that may be used, with their prices.
        prices: how money and time compare.
        max_attempts: rungs of a ladder at most.
        tenant: whose requests these are.
        exploration: None ranks by expectation alone.
        policy: what was learnt of options from requests' texts; None without.
    """

    def __init__(
        self,
        rules: RuleBook,
        *,
        cards: Callable[[], Sequence[AgentCard]],
        healthy: Callable[[], Mapping[str, bool]],
        load: Callable[[], Mapping[str, int]],
        models: Sequence[ModelOption],
        prices: Prices,
        max_attempts: int,
        tenant: str,
        exploration: Exploration | None = None,
        policy: RoutingPolicy | None = None,
    ) -> None:
        self._rules = rules
        self._cards = cards
        self._healthy = healthy
        self._load = load
        self._models = models
        self._prices = prices
        self._max_attempts = max_attempts
        self._tenant = tenant
        self._exploration = exploration
        self._policy = policy

    def routes(
        self,
        tasks: Iterable[Task],
        request: str,
        belief: Belief,
        *,
        given: JsonObject | None = None,
        workspace: Path | None = None,
        explore: bool = True,
    ) -> list[Route]:
        """HALO's answer for each task: candidates best first, and everybody else with a reason.

        Args:
            tasks: what is to be done.
            request: the user's whole request; rules may look at it.
            belief: the record; an empty one ranks by what agents declare.
            given: the named data that come with the request; rules may look at them.
            workspace: where rules look up the sizes of given files.
            explore: False leaves chance out, for a comparison.
        """
        cards, healthy, load = self._cards(), self._healthy(), self._load()
        facts = Facts(
            request=request,
            tenant=self._tenant,
            unhealthy=frozenset(name for name, well in healthy.items() if not well),
            healthy=frozenset(name for name, well in healthy.items() if well),
            load=load,
            given=given or {},
            workspace=workspace,
        )
        rules = self._rules.now(facts)
        return [
            route(
                task,
                cards,
                rules.effects(task),
                belief,
                health=healthy,
                load=load,
                explore=self._exploration if explore else None,
                prices=self._prices,
                has_model=bool(self._models),
            )
            for task in tasks
        ]

    def outlook(self, request: str, vector: NDArray[np.float32]) -> Outlook | None:
        """What the learnt policy expects of a request; None without a policy.

        Args:
            request: the user's whole request.
            vector: its embedding, [dimensions].
        """
        return None if self._policy is None else self._policy.outlook(request, vector)

    def ladder(
        self,
        task: Task,
        found: Route,
        request: str,
        given: JsonObject,
        belief: Belief,
        *,
        outlook: Outlook | None = None,
        usd_left: float | None,
        seconds_left: float | None,
    ) -> Ladder:
        """DAAO's answer for a routed task: attempts in order.

        Args:
            task: what is to be done.
            found: HALO's answer.
            request: the user's whole request.
            given: the named data that come with it.
            belief: the record.
            outlook: what the policy expects of the request.
            usd_left, seconds_left: what all attempts together must fit in; None for no limit.

        Raises:
            RoutingError: nobody can do the task; says why each agent was rejected.
            ModelNotConfigured: all who can need a chat model and none is set.
            BudgetExceeded: nothing fits the money or time that is left, or is worth its price.
        """
        difficulty = estimate_difficulty(task, request, given, belief)

        def chosen(among: Route) -> Ladder:
            return choose(
                task,
                among,
                belief,
                difficulty,
                cards=self._cards(),
                models=self._models,
                outlook=outlook,
                budget_left_usd=usd_left,
                seconds_left=seconds_left,
                prices=self._prices,
                max_rungs=self._max_attempts,
            )

        return with_spare(chosen(found), found, chosen)
