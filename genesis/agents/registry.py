"""The agents that an orchestrator may ask, and the acceptance checks that came with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType, ModuleType
from typing import Any, TypeAlias, TypeVar, cast

from genesis.agents.adapters import (
    AnyAgentFunction,
    FunctionAgent,
    RunnableAgent,
    SupportsInvoke,
)
from genesis.agents.card_check import require_card
from genesis.agents.remote_urls import RemoteUrls
from genesis.errors import AgentUnavailable, InputError
from genesis.tasks.checks import PRODUCED, Check, check_produced
from infrastructure.a2a.agent import Agent, AgentCard, Skill
from infrastructure.resilience.breaker import Breakers, BreakerState

CardKey: TypeAlias = str | Mapping[str, Any]
AgentSource: TypeAlias = Agent | ModuleType | SupportsInvoke | AnyAgentFunction | str
F = TypeVar("F", bound=AnyAgentFunction)


@dataclass(frozen=True, slots=True)
class AgentHealth:
    """Whether an agent may be asked now, and why not."""

    available: bool
    reason: str = ""


class AgentRegistry:
    """Agents by name, checks by name, and which check guards which datum.

    Args:
        breakers: the circuit breakers, for health; None counts every agent as healthy.
    """

    def __init__(self, breakers: Breakers | None = None) -> None:
        self._breakers = breakers
        self._agents: dict[str, Agent] = {}
        self._urls = RemoteUrls()
        self._checks: dict[str, Check] = {PRODUCED: check_produced}
        self._checks_of_data: dict[str, str] = {}

    @property
    def cards(self) -> tuple[AgentCard, ...]:
        """Cards of all agents, in the order of registration."""
        return tuple(agent.card for agent in self._agents.values())

    @property
    def checks(self) -> Mapping[str, Check]:
        """Acceptance checks by name."""
        return MappingProxyType(self._checks)

    @property
    def checks_of_data(self) -> Mapping[str, str]:
        """Names of the checks that guard named data, by datum."""
        return MappingProxyType(self._checks_of_data)

    def get(self, name: str) -> Agent:
        """The agent of this name.

        Raises:
            AgentUnavailable: there is none.
        """
        agent = self._agents.get(name)
        if agent is None:
            known = ", ".join(sorted(self._agents)) or "none"
            raise AgentUnavailable(f"no agent is registered as {name!r}; registered: {known}")
        return agent

    def __contains__(self, name: object) -> bool:
        return name in self._agents

    def health(self, name: str) -> AgentHealth:
        """Whether the agent may be asked now."""
        if name not in self._agents:
            return AgentHealth(False, "it is not registered")
        changed = getattr(self._agents[name], "changed", "")
        if changed:
            return AgentHealth(False, f"its card has changed: {changed}")
        seen = self._breakers.statistics.get(name) if self._breakers else None
        if seen is None or seen.state is not BreakerState.OPEN:
            return AgentHealth(True)
        return AgentHealth(
            False,
            f"it failed {seen.failures_in_a_row} times in a row; "
            f"the next try is in {seen.retry_in_s:.3g} s",
        )

    def register(
        self,
        source: AgentSource,
        *,
        name: str = "",
        description: str = "",
        skills: Iterable[Skill | str] = (),
        checks: Mapping[str, Check] | None = None,
        checks_of_data: Mapping[str, str] | None = None,
        max_concurrency: int = 4,
        token: str | None = None,
        card_key: CardKey | None = None,
        allow_private: bool | None = None,
        allow_files_from: Sequence[str] = (),
    ) -> None:
        """Add an agent.

        Args:
            source: an agent; a module with `CARD`, `run`, `CHECKS` and `CHECKS_OF_DATA`; a
                function of an `Assignment` (async, or sync and run in a thread); a LangChain
                Runnable or LangGraph graph; or the URL of an A2A agent, whose card is read by
                `connect`.
            name: unique; taken from the function or the card when empty.
            description: one sentence; taken from the docstring when empty.
            skills: what a function or Runnable can do; a text is a skill's id.
            checks: acceptance checks by name.
            checks_of_data: which of them guards which produced datum. Without it, a check guards
                the datum of its own name.
            max_concurrency: calls that a function or Runnable takes at once.
            token: bearer token for a URL.
            card_key: for a URL, the public key (PEM, JWK or JWK set) by which its card must be
                signed.
            allow_private: for a URL, whether it may be at a loopback or private address. None
                allows that where the URL itself names such an address (`http://localhost:9000`),
                and not where a name leads to one.
            allow_files_from: for a URL, origins beside the agent's own from which files that its
                answers name by URL are fetched.

        A URL that is registered again is read again, with what has changed on its card.

        Raises:
            InputError: the name is taken, a skill or check is wrong, or the source is none of
                these. Nothing was added then.
        """
        if isinstance(source, str):
            how = {"token": token, "card_key": card_key, "allow_private": allow_private}
            self._urls.add(source, name, {**how, "allow_files_from": allow_files_from})
            return
        if isinstance(source, ModuleType):
            agent, checks, checks_of_data = _from_module(source, checks, checks_of_data)
        else:
            agent = _as_agent(source, name, description, skills, max_concurrency)
        self._add(agent, dict(checks or {}), checks_of_data)

    def agent(
        self, *, name: str = "", skills: Iterable[Skill | str], **described: Any
    ) -> Callable[[F], F]:
        """Decorate a function of an `Assignment` to register it; takes what `register` takes."""

        def decorate(function: F) -> F:
            self.register(function, name=name, skills=skills, **described)
            return function

        return decorate

    async def connect(self) -> Mapping[str, str]:
        """Read the cards of the URLs that were registered.

        Returns:
            Why a URL could not be added, by URL; those are tried again at a later call.
        """
        return await self._urls.connect(self._add_remote)

    async def aclose(self) -> None:
        """Close the connections to agents elsewhere."""
        for agent in self._agents.values():
            await _close(agent)

    async def _add_remote(self, agent: Agent) -> None:
        """Add an agent elsewhere; one that was registered at the same URL before goes."""
        before = next((a for a in self._agents.values() if a.card.url == agent.card.url), None)
        if before is not None:
            del self._agents[before.card.name]
        try:
            self._add(agent, {}, None)
        except InputError:
            if before is not None:
                self._agents[before.card.name] = before
            raise
        if before is not None:
            await _close(before)

    def _add(
        self, agent: Agent, checks: dict[str, Check], checks_of_data: Mapping[str, str] | None
    ) -> None:
        card = agent.card
        require_card(card)
        if card.name in self._agents:
            raise InputError(f"an agent named {card.name!r} is already registered; choose another")
        produced = {datum for skill in card.skills for datum in skill.produces}
        if checks_of_data is None:
            checks_of_data = {check: check for check in checks if check in produced}
        for check, function in checks.items():
            if not callable(function):
                raise InputError(f"check {check!r} cannot be called: pass an async function")
            if self._checks.get(check, function) is not function:
                raise InputError(f"another acceptance check is registered as {check!r}")
        for datum, check in checks_of_data.items():
            if check not in self._checks and check not in checks:
                raise InputError(f"{datum!r} is to be guarded by {check!r}, which is no check")
            if self._checks_of_data.get(datum, check) != check:
                raise InputError(f"{datum!r} is already guarded by {self._checks_of_data[datum]!r}")
        self._agents[card.name] = agent
        self._checks.update(checks)
        self._checks_of_data.update(checks_of_data)


async def _close(agent: Agent) -> None:
    close = getattr(agent, "aclose", None)
    if close is not None:
        await close()


def _from_module(
    module: ModuleType,
    checks: Mapping[str, Check] | None,
    checks_of_data: Mapping[str, str] | None,
) -> tuple[Agent, Mapping[str, Check], Mapping[str, str]]:
    try:
        card, run = cast("AgentCard", module.CARD), cast("AnyAgentFunction", module.run)
    except AttributeError as error:
        raise InputError(f"module {module.__name__} is no agent: {error}") from error
    own = cast("Mapping[str, Check]", getattr(module, "CHECKS", {}))
    guarded = cast("Mapping[str, str]", getattr(module, "CHECKS_OF_DATA", {}))
    return (
        FunctionAgent(card, run),
        {**own, **(checks or {})},
        {**guarded, **(checks_of_data or {})},
    )


def _as_agent(
    source: Agent | SupportsInvoke | AnyAgentFunction,
    name: str,
    description: str,
    skills: Iterable[Skill | str],
    max_concurrency: int,
) -> Agent:
    if hasattr(source, "card") and hasattr(source, "send"):
        return cast("Agent", source)
    called = name or str(getattr(source, "__name__", "") or getattr(source, "name", "") or "")
    said = description or (getattr(source, "__doc__", None) or "").strip().partition("\n")[0]
    if not skills:
        raise InputError(
            f"agent {called!r} has no skills: pass skills=[Skill(id=..., description=..., "
            "task_types=..., produces=...)]"
        )
    if isinstance(skills, str):
        raise InputError(f"agent {called!r}: skills must be a list, not {skills!r:.80}")
    listed = tuple(Skill(s, said or called) if isinstance(s, str) else s for s in skills)
    card = AgentCard(called, said or called, listed, max_concurrency=max_concurrency)
    if hasattr(source, "ainvoke"):
        return RunnableAgent(replace(card, description=description or called), cast("Any", source))
    if callable(source):
        return FunctionAgent(card, source)
    raise InputError(
        f"a {type(source).__name__} is no agent: pass a function of an Assignment, a Runnable or "
        "graph, an object with `card` and `send`, or the URL of an A2A agent"
    )
