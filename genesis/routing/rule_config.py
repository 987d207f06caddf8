"""Rules from their file; every mistake in it is named by file, line, rule, key and remedy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from typing import NoReturn, cast

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from genesis.errors import ConfigError
from genesis.routing.conditions import InputIs, Span, When, scalar
from genesis.routing.effects import ACTIONS, Effect, Rule, Target
from genesis.routing.located_yaml import KeyPath, Located
from genesis.routing.rule_schema import (
    InputConfig,
    RuleConfig,
    RulesFile,
    SeparateConfig,
    WhenConfig,
    allowed_under,
)
from genesis.routing.team import Separation, Team
from genesis.tasks.phrases import Phrases
from infrastructure.jsonvalue import JsonValue
from infrastructure.text import one_line

_OF_TASK = ("task_type", "operation", "produces", "requires")
# What YAML makes of words like "no", "1" and "2024-01-31" that are not in quotes.
_READ_OTHERWISE = (bool, int, float, date)
_OF_MOMENT = ("tenant", "given", "agent_unhealthy", "agent_healthy")


@dataclass(frozen=True, slots=True)
class Declared:
    """What a rules file declares: its rules in the file's order, and who must not be the same."""

    rules: tuple[Rule, ...]
    team: Team


def declared(text: Located, source: str) -> Declared:
    """The rules of a parsed file.

    Raises:
        ConfigError: names the file, the line, the rule, the key, and what is allowed.
    """
    data = text.data
    if not isinstance(data, dict):
        raise ConfigError(source, "", f"must hold the keys {', '.join(RulesFile.model_fields)}")
    try:
        read = RulesFile.model_validate(text.data)
    except ValidationError as error:
        found = error.errors()
        # A misspelt key is the cause where another is missing.
        unknown = (one for one in found if one["type"] == "extra_forbidden")
        _raise(next(unknown, found[0]), text, source)
    _refuse_repeated(read.rules, "rules", text, source)
    _refuse_repeated(read.separate, "separate", text, source)
    lines = _lines_of_rules(text)
    rules = tuple(_rule(config, lines.get(index, {})) for index, config in enumerate(read.rules))
    separations = tuple(
        Separation(
            one.name,
            tuple(frozenset(names) for names in one.between),
            one.because,
            text.line(("separate", index)),
        )
        for index, one in enumerate(read.separate)
    )
    return Declared(rules, Team(separations, _persons(read.persons, text, source)))


def _lines_of_rules(text: Located) -> dict[int, dict[str, int]]:
    """For each rule where its keys stand, by dotted key; its beginning under the empty one."""
    found: dict[int, dict[str, int]] = {}
    for path, line in text.lines.items():
        if path[0] == "rules" and len(path) > 1:
            found.setdefault(int(path[1]), {})[".".join(map(str, path[2:]))] = line
    return found


def _rule(config: RuleConfig, lines: Mapping[str, int]) -> Rule:
    effects = tuple(
        Effect(action, target, config.name, config.priority, config.because)
        for action in ACTIONS
        if (target := cast("Target | None", getattr(config.then, action))) is not None
    )
    return Rule(config.name, config.priority, _conditions(config.when), effects, lines)


def _conditions(config: WhenConfig) -> When:
    def sets(keys: Iterable[str]) -> tuple[tuple[str, frozenset[str]], ...]:
        named = ((key, cast("list[str] | None", getattr(config, key))) for key in keys)
        return tuple((key, frozenset(names)) for key, names in named if names)

    return When(
        sets(_OF_TASK),
        sets(_OF_MOMENT),
        tuple(_input(name, one) for name, one in config.inputs.items()),
        tuple((agent, Span.between(one.over, one.under)) for agent, one in config.load.items()),
        Phrases(config.request_matches or ()),
        Phrases(config.description_matches or ()),
    )


def _input(name: str, config: InputConfig) -> InputIs:
    bounded = config.over_bytes is not None or config.under_bytes is not None
    equals = cast("list[JsonValue] | None", config.equals)
    return InputIs(
        name,
        tuple(suffix.lower() for suffix in config.suffix or ()),
        Span.between(config.over_bytes, config.under_bytes) if bounded else None,
        None if equals is None else frozenset(scalar(value) for value in equals),
    )


def _persons(
    listed: Mapping[str, list[str]], text: Located, source: str
) -> tuple[tuple[str, ...], ...]:
    owner: dict[str, str] = {}
    for person, agents in listed.items():
        for index, agent in enumerate(agents):
            if owner.setdefault(agent, person) != person:
                line = text.line(("persons", person, index))
                problem = f"the agent {agent!r} is already {owner[agent]!r}"
                raise ConfigError(f"{source}, line {line}", f"persons.{person}", problem)
    return tuple(tuple(dict.fromkeys(agents)) for agents in listed.values())


def _refuse_repeated(
    entries: Iterable[RuleConfig | SeparateConfig], section: str, text: Located, source: str
) -> None:
    first: dict[str, int] = {}
    for index, entry in enumerate(entries):
        line = text.line((section, index, "name"))
        if entry.name in first:
            problem = f"line {first[entry.name]} has the same name; names are unique"
            place = f"{source}, line {line}, {_called(section)} {entry.name!r}"
            raise ConfigError(place, "name", problem)
        first[entry.name] = line


def _called(section: str) -> str:
    return "rule" if section == "rules" else section


def _raise(error: ErrorDetails, text: Located, source: str) -> NoReturn:
    """The first finding as an error that names file, line, rule, key and remedy."""
    path = text.known(error["loc"])
    if error["type"] == "missing":
        path = error["loc"]
    place = f"{source}, line {text.line(path)}"
    key = path
    if len(path) > 1 and path[0] in ("rules", "separate"):
        place += f", {_called(str(path[0]))} {_name_at(text.data, path)!r:.80}"
        key = path[2:]
    raise ConfigError(place, ".".join(map(str, key)), _problem(error))


def _name_at(data: object, path: KeyPath) -> str:
    entry = cast("dict[str, list[object]]", data)[str(path[0])][int(path[1])]
    named = cast("dict[str, object]", entry).get("name") if isinstance(entry, dict) else None
    return str(named or "(no name)")


# What pydantic says of these speaks of its own classes, or leaves open what to do.
_IN_OUR_WORDS = {
    "missing": "is missing: every entry needs it",
    "model_type": "must be keys with values, {key: value}",
    "model_attributes_type": "must be keys with values, {key: value}",
    "dict_type": "must be keys with values, {key: value}",
    "list_type": "must be a list, [one, another]",
    "int_type": "must be a whole number",
    "string_type": "must be text",
}


def _problem(error: ErrorDetails) -> str:
    if error["type"] == "extra_forbidden":
        allowed = allowed_under(error["loc"][:-1])
        near = get_close_matches(str(error["loc"][-1]), allowed, n=1)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        return f"is unknown; allowed: {', '.join(allowed)}{meant}"
    said = error.get("ctx", {}).get("error")
    if said is not None:
        return f"{said}"
    if error["type"] == "string_type" and isinstance(error["input"], _READ_OTHERWISE):
        return f"must be text: put it in quotes (found {one_line(str(error['input']))[:80]})"
    if error["type"] in _IN_OUR_WORDS:
        found = "" if error["type"] == "missing" else f" (found {_shown(error['input'])})"
        return _IN_OUR_WORDS[error["type"]] + found
    return f"{error['msg']} (found {_shown(error['input'])})"


def _shown(value: object) -> str:
    return one_line(repr(value))[:80]
