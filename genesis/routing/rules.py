"""HALO's declared rules: who is assigned, preferred, forbidden or required, and why.

The language is described in `config/routing_rules.yaml`. Everything that can be wrong with a rule
is found when the file is read, and named by file, line, rule and key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, cast

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from genesis.errors import ConfigError
from genesis.tasks.phrases import Phrases, prose
from genesis.tasks.task import Task
from infrastructure.a2a.agent import AgentCard
from infrastructure.config import config_error, read_config, yaml_problem

RULES_FILE = "routing_rules.yaml"
Action: TypeAlias = Literal["assign", "prefer", "forbid", "require"]
ACTIONS: tuple[Action, ...] = ("assign", "prefer", "forbid", "require")
_STRICT = ConfigDict(extra="forbid", frozen=True, strict=True)


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


_Name = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
_Names = Annotated[list[_Name], BeforeValidator(_listed), Field(min_length=1)]


class _Capability(BaseModel):
    model_config = _STRICT

    capability: _Name


_Target: TypeAlias = _Name | _Capability


class _When(BaseModel):
    model_config = _STRICT

    task_type: _Names | None = None
    operation: _Names | None = None
    produces: _Names | None = None
    requires: _Names | None = None
    tenant: _Names | None = None
    agent_unhealthy: _Names | None = None
    request_matches: _Names | None = None


class _Then(BaseModel):
    model_config = _STRICT

    assign: _Target | None = None
    prefer: _Target | None = None
    forbid: _Target | None = None
    require: _Target | None = None


class _RuleConfig(BaseModel):
    model_config = _STRICT

    name: _Name
    priority: int = Field(default=0, ge=-1000, le=1000)
    when: _When = Field(default_factory=_When)
    then: _Then
    because: _Name


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
            if not effect.target.means(card):
                if action != "require":
                    continue
                action = "forbid"
            if found and (action == "forbid") != ("forbid" in found):
                continue
            found.setdefault(action, effect)
        return found


@dataclass(frozen=True, slots=True)
class Facts:
    """What rules may look at besides the task."""

    request: str = ""
    tenant: str = ""
    unhealthy: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Rule:
    name: str
    priority: int
    sets: tuple[tuple[str, frozenset[str]], ...]
    phrases: Phrases
    effects: tuple[Effect, ...]
    line: int

    def holds(self, known: Mapping[str, frozenset[str]], request: str) -> bool:
        return all(not wanted.isdisjoint(known[key]) for key, wanted in self.sets) and (
            not self.phrases or bool(self.phrases.first_in(request))
        )

    def may_meet(self, other: _Rule) -> bool:
        """Whether some task and moment could satisfy both rules."""
        one_valued = ("task_type", "operation", "tenant")
        theirs = dict(other.sets)
        return not any(
            key in one_valued and key in theirs and wanted.isdisjoint(theirs[key])
            for key, wanted in self.sets
        )


class RuleBook:
    """All rules, highest priority first; ties keep the file's order."""

    def __init__(self, rules: Iterable[_Rule] = (), source: str = "") -> None:
        self._rules = tuple(sorted(rules, key=lambda rule: -rule.priority))
        self._source = source

    def __len__(self) -> int:
        return len(self._rules)

    @classmethod
    def load(cls) -> RuleBook:
        """Read `config/routing_rules.yaml`.

        Raises:
            ConfigError: names the file, the line, the rule, the key, and what is allowed.
        """
        source = read_config(RULES_FILE).source
        return cls.parse(Path(source).read_text(encoding="utf-8-sig"), source)

    @classmethod
    def parse(cls, text: str, source: str) -> RuleBook:
        """Read rules from YAML; raises ConfigError as `load` does."""
        try:
            loader = yaml.SafeLoader(text)
            node = loader.get_single_node()
            data = cast("object", yaml.safe_load(text))
        except (yaml.YAMLError, ValueError) as error:
            raise ConfigError(source, "", yaml_problem(error)) from error
        rules = [_rule(entry, line, source) for entry, line in _entries(data, node, source)]
        _refuse_repeated(rules, source)
        _refuse_conflicts(rules, source)
        return cls(rules, source)

    def require_known(self, cards: Sequence[AgentCard]) -> None:
        """Refuse rules that send tasks to nobody; whom a rule only forbids need not be there.

        Raises:
            ConfigError: names the rule, and the agents that are registered.
        """
        for rule in self._rules:
            for effect in rule.effects:
                if effect.action == "forbid" or any(effect.target.means(card) for card in cards):
                    continue
                names = ", ".join(card.name for card in cards) or "none"
                raise ConfigError(
                    f"{self._source}, line {rule.line}, rule {rule.name!r}",
                    f"then.{effect.action}",
                    f"no agent is registered that is {effect.target}; registered: {names}",
                )

    def effects(self, task: Task, facts: Facts) -> RuleEffects:
        """What the rules that hold do to a task."""
        known = {
            "task_type": frozenset({task.task_type}),
            "operation": frozenset({task.operation}),
            "produces": frozenset(task.produces),
            "requires": frozenset(task.requires),
            "tenant": frozenset({facts.tenant}),
            "agent_unhealthy": facts.unhealthy,
        }
        # A file's name is no wish: "chart.csv" does not match a rule about charts.
        words = prose(facts.request, {}) if any(rule.phrases for rule in self._rules) else ""
        holding = (rule for rule in self._rules if rule.holds(known, words))
        return RuleEffects(tuple(effect for rule in holding for effect in rule.effects))


def _entries(data: object, node: yaml.Node | None, source: str) -> list[tuple[object, int]]:
    """The entries of `rules` with their line numbers."""
    if not isinstance(data, dict) or list(cast("dict[object, object]", data)) != ["rules"]:
        raise ConfigError(source, "", "must hold one key, 'rules', with a list of rules")
    listed = cast("dict[str, object]", data)["rules"]
    if listed is None:
        return []
    pairs = cast("list[tuple[yaml.Node, yaml.Node]]", node.value) if node is not None else []
    if not isinstance(listed, list) or not pairs:
        raise ConfigError(source, "rules", "must be a list of rules")
    nodes = cast("list[yaml.Node]", pairs[0][1].value)
    lines = [entry.start_mark.line + 1 for entry in nodes]
    return list(zip(cast("list[object]", listed), lines, strict=True))


def _rule(entry: object, line: int, source: str) -> _Rule:
    named = cast("dict[str, object]", entry).get("name") if isinstance(entry, dict) else None
    where = f"{source}, line {line}, rule {str(named or '(no name)')!r}"
    try:
        config = _RuleConfig.model_validate(entry)
    except ValidationError as error:
        raise config_error(error, where, _allowed_at(error)) from error
    wanted = cast("dict[str, list[str] | None]", config.when.model_dump())
    effects = tuple(
        Effect(action, _target(target), config.name, config.priority, config.because)
        for action in ACTIONS
        if (target := cast("_Target | None", getattr(config.then, action))) is not None
    )
    if not effects:
        raise ConfigError(where, "then", f"does nothing; allowed: {', '.join(ACTIONS)}")
    phrases = Phrases(wanted.pop("request_matches") or ())
    sets = tuple((key, frozenset(names)) for key, names in wanted.items() if names)
    return _Rule(config.name, config.priority, sets, phrases, effects, line)


def _target(config: _Target) -> Target:
    if isinstance(config, _Capability):
        return Target(capability=config.capability)
    return Target(agent=config)


def _allowed_at(error: ValidationError) -> tuple[str, ...]:
    path = error.errors()[0]["loc"]
    schemas: dict[object, type[BaseModel]] = {"when": _When, "then": _Then}
    if len(path) > 2:
        return ("an agent's name", "capability")
    schema = schemas.get(path[0], _RuleConfig) if len(path) > 1 else _RuleConfig
    return tuple(schema.model_fields)


def _refuse_repeated(rules: Sequence[_Rule], source: str) -> None:
    seen: dict[str, int] = {}
    for rule in rules:
        if rule.name in seen:
            problem = f"the rule of line {seen[rule.name]} has the same name; names are unique"
            raise ConfigError(f"{source}, line {rule.line}, rule {rule.name!r}", "name", problem)
        seen[rule.name] = rule.line


def _refuse_conflicts(rules: Sequence[_Rule], source: str) -> None:
    for rule in rules:
        for one, other in combinations(rule.effects, 2):
            _refuse_conflict(one, other, rule, rule, source)
    for first, second in combinations(rules, 2):
        if first.priority == second.priority and first.may_meet(second):
            for one in first.effects:
                for other in second.effects:
                    _refuse_conflict(one, other, first, second, source)


def _refuse_conflict(one: Effect, other: Effect, first: _Rule, second: _Rule, source: str) -> None:
    actions = {one.action, other.action}
    same = one.target == other.target
    contradiction = same and "forbid" in actions and len(actions) > 1
    both_agents = bool(one.target.agent and other.target.agent)
    only_one = len(actions) == 1 and not actions.isdisjoint({"assign", "require"})
    if contradiction or (only_one and both_agents and not same):
        raise ConfigError(
            f"{source}, line {second.line}, rule {second.name!r}",
            "then",
            f"{other.action} {other.target} contradicts {one.action} {one.target} of rule "
            f"{first.name!r} (line {first.line}) at the same priority {first.priority}; "
            "give one of them a higher priority or conditions that exclude each other",
        )
