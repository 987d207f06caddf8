"""The schema of the rules file; what each key means is said in `docs/routing.md`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    StringConstraints,
    model_validator,
)

from genesis.routing.effects import ACTIONS, Target
from genesis.routing.located_yaml import KeyPath

_STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True)
_MAX_RULES = 1_000


def _listed(value: object) -> object:
    return [value] if isinstance(value, str | int | float | date) else value


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


class InputConfig(BaseModel):
    """What one given datum must be."""

    model_config = _STRICT

    suffix: _Names | None = None
    over_bytes: int | None = Field(default=None, ge=0)
    under_bytes: int | None = Field(default=None, ge=1)
    equals: _Values | None = None


class LoadConfig(BaseModel):
    """How many attempts an agent must have now."""

    model_config = _STRICT

    over: int | None = Field(default=None, ge=0)
    under: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _says_something(self) -> LoadConfig:
        if self.over is None and self.under is None:
            raise ValueError("says nothing; allowed: over, under")
        return self


class WhenConfig(BaseModel):
    """A rule's conditions."""

    model_config = _STRICT

    task_type: _Names | None = None
    operation: _Names | None = None
    produces: _Names | None = None
    requires: _Names | None = None
    description_matches: _Phrases | None = None
    request_matches: _Phrases | None = None
    given: _Names | None = None
    inputs: dict[_Name, InputConfig] = Field(default_factory=dict)
    tenant: _Names | None = None
    agent_unhealthy: _Names | None = None
    agent_healthy: _Names | None = None
    load: dict[_Name, LoadConfig] = Field(default_factory=dict)


class ThenConfig(BaseModel):
    """What a rule does."""

    model_config = _STRICT

    assign: _TargetAs | None = None
    prefer: _TargetAs | None = None
    forbid: _TargetAs | None = None
    require: _TargetAs | None = None

    @model_validator(mode="after")
    def _does_something(self) -> ThenConfig:
        if all(getattr(self, action) is None for action in ACTIONS):
            raise ValueError(f"does nothing; allowed: {', '.join(ACTIONS)}")
        return self


class RuleConfig(BaseModel):
    """A rule."""

    model_config = _STRICT

    name: _Name
    priority: int = Field(default=0, ge=-1000, le=1000)
    when: WhenConfig = Field(default_factory=WhenConfig)
    then: ThenConfig
    because: _Name


class SeparateConfig(BaseModel):
    """Tasks that different agents must do."""

    model_config = _STRICT

    name: _Name
    between: list[_Names] = Field(min_length=2, max_length=20)
    because: _Name


class RulesFile(BaseModel):
    """The whole file."""

    model_config = _STRICT

    rules: Annotated[list[RuleConfig], BeforeValidator(lambda v: [] if v is None else v)] = Field(
        max_length=_MAX_RULES
    )
    separate: list[SeparateConfig] = Field(
        default_factory=list[SeparateConfig], max_length=_MAX_RULES
    )
    persons: dict[_Name, _Names] = Field(default_factory=dict)


# The schema of the mapping under a key; under `inputs` and `load` the mapping's own keys are free.
_SCHEMAS: Mapping[str, type[BaseModel]] = {
    "rules": RuleConfig,
    "separate": SeparateConfig,
    "when": WhenConfig,
    "then": ThenConfig,
    "inputs": InputConfig,
    "load": LoadConfig,
}


def allowed_under(path: KeyPath) -> list[str]:
    """The keys that a mapping of the file may have."""
    sections = (*path[:1], *path[2:4])  # what lies between and below are numbers and free names
    names = [str(part) for part in sections if part in _SCHEMAS]
    return list((_SCHEMAS[names[-1]] if names else RulesFile).model_fields)
