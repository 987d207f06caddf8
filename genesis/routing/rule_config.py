"""The rules file: its schema, and every mistake named by file, line, rule, key and remedy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, NoReturn, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from genesis.errors import ConfigError
from genesis.routing.conditions import InputIs, Span, When, scalar
from genesis.routing.effects import ACTIONS, Effect, Rule, Target
from genesis.routing.located_yaml import KeyPath, Located
from genesis.routing.team import Separation, Team
from genesis.tasks.phrases import Phrases
from infrastructure.jsonvalue import JsonValue
from infrastructure.text import one_line

_STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True)
_MAX_RULES = 1_000
_OF_TASK = ("task_type", "operation", "produces", "requires")
_OF_MOMENT = ("tenant", "given", "agent_unhealthy", "agent_healthy")


def _listed(value: object) -> object:
    return [value] if isinstance(value, str | int | float) else value


def _phrase(value: str) -> str:
    if not any(character.isalnum() for character in value):
        raise ValueError("a phrase needs a letter or a digit")
    return value


def _target(value: object) -> Target:
    if isinstance(value, str) and value.strip():
        return Target(agent=value.strip())
    if isinstance(value, dict):
        (key, name), *more = cast("dict[object, object]", value).items() or [(None, None)]
        if key == "capability" and isinstance(name, str) and name.strip() and not more:
            return Target(capability=name.strip())
    raise ValueError("must be an agent's name or {capability: an operation}")


_Name = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
_Names = Annotated[list[_Name], BeforeValidator(_listed), Field(min_length=1)]
_Phrase = Annotated[_Name, AfterValidator(_phrase)]
_Phrases = Annotated[list[_Phrase], BeforeValidator(_listed), Field(min_length=1)]
_Number = Annotated[float, Field(allow_inf_nan=False)]
_Values = Annotated[list[str | bool | int | _Number], BeforeValidator(_listed), Field(min_length=1)]
_TargetAs = Annotated[Target, PlainValidator(_target)]


class _Input(BaseModel):
    model_config = _STRICT

    suffix: _Names | None = None
    over_bytes: int | None = Field(default=None, ge=0)
    under_bytes: int | None = Field(default=None, ge=1)
    equals: _Values | None = None


class _Load(BaseModel):
    model_config = _STRICT

    over: int | None = Field(default=None, ge=0)
    under: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _says_something(self) -> _Load:
        if self.over is None and self.under is None:
            raise ValueError("says nothing; allowed: over, under")
        return self


class _When(BaseModel):
    model_config = _STRICT

    task_type: _Names | None = None
    operation: _Names | None = None
    produces: _Names | None = None
    requires: _Names | None = None
    description_matches: _Phrases | None = None
    request_matches: _Phrases | None = None
    given: _Names | None = None
    inputs: dict[_Name, _Input] = Field(default_factory=dict)
    tenant: _Names | None = None
    agent_unhealthy: _Names | None = None
    agent_healthy: _Names | None = None
    load: dict[_Name, _Load] = Field(default_factory=dict)


class _Then(BaseModel):
    model_config = _STRICT

    assign: _TargetAs | None = None
    prefer: _TargetAs | None = None
    forbid: _TargetAs | None = None
    require: _TargetAs | None = None

    @model_validator(mode="after")
    def _does_something(self) -> _Then:
        if all(getattr(self, action) is None for action in ACTIONS):
            raise ValueError(f"does nothing; allowed: {', '.join(ACTIONS)}")
        return self


class _RuleConfig(BaseModel):
    model_config = _STRICT

    name: _Name
    priority: int = Field(default=0, ge=-1000, le=1000)
    when: _When = Field(default_factory=_When)
    then: _Then
    because: _Name


class _SeparateConfig(BaseModel):
    model_config = _STRICT

    name: _Name
    between: list[_Names] = Field(min_length=2, max_length=20)
    because: _Name


class _File(BaseModel):
    model_config = _STRICT

    rules: Annotated[list[_RuleConfig], BeforeValidator(lambda v: [] if v is None else v)] = Field(
        max_length=_MAX_RULES
    )
    separate: list[_SeparateConfig] = Field(
        default_factory=list[_SeparateConfig], max_length=_MAX_RULES
    )
    persons: dict[_Name, _Names] = Field(default_factory=dict)


# The schema of the mapping under a key; under `inputs` and `load` the mapping's own keys are free.
_SCHEMAS: Mapping[str, type[BaseModel]] = {
    "rules": _RuleConfig,
    "separate": _SeparateConfig,
    "when": _When,
    "then": _Then,
    "inputs": _Input,
    "load": _Load,
}


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
        raise ConfigError(source, "", f"must hold the keys {', '.join(_File.model_fields)}")
    try:
        read = _File.model_validate(text.data)
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


def _rule(config: _RuleConfig, lines: Mapping[str, int]) -> Rule:
    effects = tuple(
        Effect(action, target, config.name, config.priority, config.because)
        for action in ACTIONS
        if (target := cast("Target | None", getattr(config.then, action))) is not None
    )
    return Rule(config.name, config.priority, _conditions(config.when), effects, lines)


def _conditions(config: _When) -> When:
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


def _input(name: str, config: _Input) -> InputIs:
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
    entries: Iterable[_RuleConfig | _SeparateConfig], section: str, text: Located, source: str
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


def _problem(error: ErrorDetails) -> str:
    if error["type"] == "extra_forbidden":
        allowed = _allowed_under(error["loc"][:-1])
        near = get_close_matches(str(error["loc"][-1]), allowed, n=1)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        return f"is unknown; allowed: {', '.join(allowed)}{meant}"
    said = error.get("ctx", {}).get("error")
    if said is not None:
        return f"{said}"
    if error["type"] == "missing":
        return error["msg"]
    return f"{error['msg']} (found {one_line(repr(error['input']))[:80]})"


def _allowed_under(path: KeyPath) -> list[str]:
    sections = (*path[:1], *path[2:4])  # what lies between and below are numbers and free names
    names = [str(part) for part in sections if part in _SCHEMAS]
    return list((_SCHEMAS[names[-1]] if names else _File).model_fields)
