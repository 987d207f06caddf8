"""When a declared rule holds, and what can be proved of two conditions without any request.

The proofs are sound and not complete: "can never hold", "at least as wide" and "can never hold
together" are said only where they are certain.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from genesis.tasks.phrases import Phrases, prose
from genesis.tasks.task import Task
from infrastructure.jsonvalue import JsonObject, JsonValue

Sets: TypeAlias = tuple[tuple[str, frozenset[str]], ...]
# Of these there is one value; of the others there may be several at once.
ONE_VALUED = frozenset({"task_type", "operation", "tenant"})


@dataclass(frozen=True, slots=True)
class Facts:
    """What rules may look at besides the task.

    Attributes:
        request: the user's words.
        tenant: whose request it is.
        unhealthy: agents whose circuit breaker is open.
        healthy: all other registered agents.
        load: attempts that run or wait now, by agent.
        given: the named data that come with the request.
        workspace: where files are looked up for their sizes; None looks up none.
    """

    request: str = ""
    tenant: str = ""
    unhealthy: frozenset[str] = frozenset()
    healthy: frozenset[str] = frozenset()
    load: Mapping[str, int] = field(default_factory=dict[str, int])
    given: JsonObject = field(default_factory=dict[str, JsonValue])
    workspace: Path | None = None

    def size_of(self, name: str) -> int | None:
        """Bytes of the given file; None for what is no file of the workspace."""
        value = self.given.get(name)
        if self.workspace is None or not isinstance(value, str):
            return None
        try:
            root = self.workspace.resolve()
            path = (root / value).resolve()
            return path.stat().st_size if path.is_relative_to(root) and path.is_file() else None
        except (OSError, ValueError):  # too long, a NUL, not allowed: no file that we can see
            return None


@dataclass(frozen=True, slots=True)
class Span:
    """Whole numbers from `low` to `high`, both included."""

    low: float = 0
    high: float = math.inf

    @classmethod
    def between(cls, over: int | None, under: int | None) -> Span:
        """Those above one bound and below the other; None is no bound."""
        return cls(0 if over is None else over + 1, math.inf if under is None else under - 1)

    @property
    def empty(self) -> bool:
        """Whether no whole number lies in it."""
        return self.low > self.high

    def within(self, other: Span) -> bool:
        """Whether the other holds every number of this one."""
        return other.low <= self.low and self.high <= other.high

    def meets(self, other: Span) -> bool:
        """Whether some number lies in both."""
        return max(self.low, other.low) <= min(self.high, other.high)

    def __contains__(self, number: int) -> bool:
        return self.low <= number <= self.high


def scalar(value: JsonValue) -> tuple[bool, object]:
    """A plain value so that equal ones are equal, and true is not 1."""
    return isinstance(value, bool), value


@dataclass(frozen=True, slots=True)
class InputIs:
    """What one given datum must be; nothing but its name: that it is given at all.

    Attributes:
        name: the datum.
        suffixes: it ends with one of these, lower case; none: no matter.
        size: bytes of the file; None: no matter.
        equals: it is one of these, as `scalar` gives them; None: no matter.
    """

    name: str
    suffixes: tuple[str, ...] = ()
    size: Span | None = None
    equals: frozenset[tuple[bool, object]] | None = None

    def holds(self, facts: Facts) -> bool:
        """Whether the request's datum is such."""
        if self.name not in facts.given:
            return False
        value = facts.given[self.name]
        if self.suffixes and not _ends(value, self.suffixes):
            return False
        if self.equals is not None and (
            isinstance(value, list | dict) or scalar(value) not in self.equals
        ):
            return False
        if self.size is None:
            return True
        size = facts.size_of(self.name)
        return size is not None and size in self.size

    @property
    def contradiction(self) -> str:
        """Why no datum can be such; empty when one can."""
        if self.size is not None and self.size.empty:
            return "no size lies between its bounds"
        if self.equals is not None and self.suffixes and not self._equal_ending(self.suffixes):
            return "none of the values that it must equal ends so"
        return ""

    def within(self, other: InputIs) -> bool:
        """Whether every datum that is such is such as the other says."""
        suffixed = bool(self.suffixes) and all(_ends(s, other.suffixes) for s in self.suffixes)
        if self.equals is not None:
            suffixed = suffixed or all(_ends(value, other.suffixes) for _, value in self.equals)
        sized = other.size is None or (self.size is not None and self.size.within(other.size))
        same = other.equals is None or (self.equals is not None and self.equals <= other.equals)
        return (not other.suffixes or suffixed) and sized and same

    def excludes(self, other: InputIs) -> bool:
        """Whether no datum can be such as both say."""
        if self.size is not None and other.size is not None and not self.size.meets(other.size):
            return True
        if self.equals is not None and other.equals is not None:
            return self.equals.isdisjoint(other.equals)
        if self.equals is not None and other.suffixes:
            return not self._equal_ending(other.suffixes)
        if other.equals is not None and self.suffixes:
            return other.excludes(self)
        return bool(self.suffixes and other.suffixes) and not any(
            _ends(s, other.suffixes) or _ends(t, self.suffixes)
            for s in self.suffixes
            for t in other.suffixes
        )

    def _equal_ending(self, suffixes: tuple[str, ...]) -> bool:
        return any(_ends(value, suffixes) for _, value in self.equals or ())


def _ends(value: object, suffixes: tuple[str, ...]) -> bool:
    return isinstance(value, str) and value.lower().endswith(suffixes)


@dataclass(frozen=True, slots=True)
class When:
    """Conditions that must all hold; of a set of names, any.

    Attributes:
        of_task: names that the task must have: task_type, operation, produces, requires.
        of_moment: names that the moment must have: tenant, given, agent_unhealthy, agent_healthy.
        inputs: what given data must be.
        load: attempts that must run or wait now, by agent.
        request, description: phrases of which the request or the task's description has one.
    """

    of_task: Sets = ()
    of_moment: Sets = ()
    inputs: tuple[InputIs, ...] = ()
    load: tuple[tuple[str, Span], ...] = ()
    request: Phrases = field(default_factory=lambda: Phrases(()))
    description: Phrases = field(default_factory=lambda: Phrases(()))

    def holds_for(self, task: Mapping[str, Collection[str]], description: str) -> bool:
        """Whether what it says of the task is so; `task` is what `known` gives."""
        return all(not names.isdisjoint(task[key]) for key, names in self.of_task) and (
            not self.description or bool(self.description.first_in(description))
        )

    def holds_now(self, moment: Mapping[str, Collection[str]], facts: Facts, words: str) -> bool:
        """Whether what it says of all else is so.

        Args:
            moment: what `of_now` gives.
            facts: the same as facts.
            words: the request without the names of files.
        """
        return (
            all(not names.isdisjoint(moment[key]) for key, names in self.of_moment)
            and all(facts.load.get(agent, 0) in span for agent, span in self.load)
            and all(condition.holds(facts) for condition in self.inputs)
            and (not self.request or bool(self.request.first_in(words)))
        )


def known(task: Task) -> dict[str, Collection[str]]:
    """A task's names by the condition that looks at them."""
    return {
        "task_type": (task.task_type,),
        "operation": (task.operation,),
        "produces": task.produces,
        "requires": task.requires,
    }


def of_now(facts: Facts) -> dict[str, Collection[str]]:
    """A moment's names by the condition that looks at them."""
    return {
        "tenant": (facts.tenant,),
        "given": facts.given.keys(),
        "agent_unhealthy": facts.unhealthy,
        "agent_healthy": facts.healthy,
    }


def words_of(facts: Facts) -> str:
    """What phrases are looked for in: a file's name is no wish, "chart.csv" is about no charts."""
    return prose(facts.request, {})


def contradiction(when: When) -> tuple[str, str]:
    """The key of a condition that can never hold and why; twice empty when all could."""
    for condition in when.inputs:
        if condition.contradiction:
            return f"inputs.{condition.name}", condition.contradiction
    for agent, span in when.load:
        if span.empty:
            return f"load.{agent}", "no load lies between its bounds"
    if _opposite_health(when, when):
        return "agent_healthy", "the same agent must be unhealthy"
    return "", ""


def at_least_as_wide(wide: When, narrow: When) -> bool:
    """Whether `wide` certainly holds whenever `narrow` does."""
    names = dict(narrow.of_task + narrow.of_moment)
    named = [condition.name for condition in narrow.inputs]
    inputs = {condition.name: condition for condition in narrow.inputs}
    load = dict(narrow.load)
    return (
        all(
            (key in names and names[key] <= allowed)
            or (key == "given" and not allowed.isdisjoint(named))
            for key, allowed in wide.of_task + wide.of_moment
        )
        and all(c.name in inputs and inputs[c.name].within(c) for c in wide.inputs)
        and all(agent in load and load[agent].within(span) for agent, span in wide.load)
        and _listed_within(narrow.request, wide.request)
        and _listed_within(narrow.description, wide.description)
    )


def may_meet(one: When, other: When) -> bool:
    """Whether some task and moment could satisfy both; False only where none can."""
    theirs = dict(other.of_task + other.of_moment)
    inputs = {condition.name: condition for condition in other.inputs}
    load = dict(other.load)
    return not (
        any(
            key in ONE_VALUED and key in theirs and names.isdisjoint(theirs[key])
            for key, names in one.of_task + one.of_moment
        )
        or any(c.name in inputs and c.excludes(inputs[c.name]) for c in one.inputs)
        or any(agent in load and not span.meets(load[agent]) for agent, span in one.load)
        or _opposite_health(one, other)
        or _opposite_health(other, one)
    )


def _opposite_health(one: When, other: When) -> bool:
    """Whether one needs a single agent well that the other needs unwell."""
    well = dict(one.of_moment).get("agent_healthy", frozenset[str]())
    unwell = dict(other.of_moment).get("agent_unhealthy", frozenset[str]())
    return len(well) == 1 and well == unwell


def _listed_within(narrow: Phrases, wide: Phrases) -> bool:
    return not wide or (bool(narrow) and _folded(narrow.listed) <= _folded(wide.listed))


def _folded(phrases: Iterable[str]) -> set[str]:
    return {" ".join(phrase.casefold().split()) for phrase in phrases}
