"""What declared rules do: whom they assign, prefer, forbid or require for a task, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from genesis.routing.conditions import When
from infrastructure.a2a.agent import AgentCard

Action: TypeAlias = Literal["assign", "prefer", "forbid", "require"]
ACTIONS: tuple[Action, ...] = ("assign", "prefer", "forbid", "require")


@dataclass(frozen=True, slots=True)
class Target:
    """An agent by name, or every agent that offers an operation."""

    agent: str = ""
    capability: str = ""

    def means(self, card: AgentCard) -> bool:
        """Whether the agent is meant."""
        if self.agent:
            return card.name == self.agent
        return any(skill.id == self.capability for skill in card.skills)

    def may_mean(self, other: Target) -> bool:
        """Whether some agent could be meant by both."""
        return not (self.agent and other.agent) or self.agent == other.agent

    def __str__(self) -> str:
        return self.agent or f"agents with {self.capability!r}"


@dataclass(frozen=True, slots=True)
class Effect:
    """What one rule does to one task."""

    action: Action
    target: Target
    rule: str
    priority: int
    because: str

    @property
    def why(self) -> str:
        """The rule and its reason, in words."""
        return f"rule {self.rule!r}: {self.because}"

    def __str__(self) -> str:
        return f"{self.action} {self.target}"


@dataclass(frozen=True, slots=True)
class RuleEffects:
    """What all rules together do to one task, highest priority first."""

    effects: tuple[Effect, ...] = ()

    def on(self, card: AgentCard) -> Mapping[Action, Effect]:
        """The effects on one agent; where they disagree, only the stronger one.

        A `require` that means other agents only is a `forbid` for this one.
        """
        found: dict[Action, Effect] = {}
        for effect in self.effects:
            action: Action = effect.action
            named = effect.target.agent
            # Asked for every rule, agent and task of a plan: a name needs no call.
            if named != card.name and (named or not effect.target.means(card)):
                if action != "require":
                    continue
                action = "forbid"
            if found and (action == "forbid") != ("forbid" in found):
                continue
            found.setdefault(action, effect)
        return found


@dataclass(frozen=True, slots=True)
class Rule:
    """A declared rule.

    Attributes:
        name: unique in its file.
        priority: the higher counts where rules disagree.
        when: its conditions.
        effects: what it does, at least one.
        lines: where its keys stand in its file, by dotted key; where it begins under "".
    """

    name: str
    priority: int
    when: When
    effects: tuple[Effect, ...]
    lines: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def line(self) -> int:
        """Where it begins; 0 when it is from no file."""
        return self.line_of("")

    def line_of(self, key: str) -> int:
        """Where a dotted key stands, or the nearest above it."""
        while key and key not in self.lines:
            key = key.rpartition(".")[0]
        return self.lines.get(key, 0)
