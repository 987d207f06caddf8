"""What routing assumes before there is a record: `config/routing_priors.yaml`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from genesis.errors import ConfigError
from genesis.routing.changepoint import Hazards
from infrastructure.config import ConfigFile, config_error, read_config

PRIORS_FILE = "routing_priors.yaml"
_STRICT = ConfigDict(extra="forbid", frozen=True, strict=True)


class Success(BaseModel):
    """What is expected of an unknown agent.

    Attributes:
        mean: share of verified successes.
        weight: attempts that it counts for.
    """

    model_config = _STRICT

    mean: float = Field(default=0.8, gt=0, lt=1)
    weight: float = Field(default=2.0, gt=0, le=1000)


class Changes(BaseModel):
    """How likely changes of an agent are before anything is seen of them.

    Attributes:
        kind: chance that it changes at one kind of task between two attempts at it.
        agent: chance that it changes as a whole between two attempts at anything.
        idle: chance that it changes at a kind of task while another agent is asked for one.
    """

    model_config = _STRICT

    kind: float = Field(default=0.01, gt=0, le=0.5)
    agent: float = Field(default=0.01, gt=0, le=0.5)
    idle: float = Field(default=0.002, ge=0, le=0.5)

    @property
    def hazards(self) -> Hazards:
        """The same as the analysis of changes takes it."""
        return Hazards(self.kind, self.agent, self.idle)


class Transfer(BaseModel):
    """How alike task types are before records tell.

    Attributes:
        alike, unlike: expected squared difference between an agent's success rates at two task
            types of one group, and at any others.
        weight: agents' records that this counts for.
        groups: task types that are alike.
    """

    model_config = _STRICT

    alike: float = Field(default=0.03, gt=0, le=1)
    unlike: float = Field(default=0.08, gt=0, le=1)
    weight: float = Field(default=2.0, gt=0, le=1000)
    groups: list[list[str]] = Field(default_factory=list[list[str]])

    def assumed(self, one: str, other: str) -> float:
        """Expected squared difference of rates between two task types."""
        if one == other:
            return self.alike
        together = any(one in group and other in group for group in self.groups)
        return self.alike if together else self.unlike


class RoutingPriors(BaseModel):
    """All of them."""

    model_config = _STRICT

    success: Success = Success()
    changes: Changes = Changes()
    transfer: Transfer = Transfer()

    @classmethod
    def from_config(cls, file: ConfigFile) -> RoutingPriors:
        """Priors from a configuration file that was read.

        Raises:
            ConfigError: names the file, the key, and what is allowed.
        """
        if not isinstance(file.data, Mapping):
            raise ConfigError(file.source, "", "must hold the keys success, changes, transfer")
        try:
            return cls.model_validate(file.data)
        except ValidationError as error:
            raise config_error(error, file.source, _allowed_at(error)) from error


def configured_priors() -> RoutingPriors:
    """The priors of the configuration in force; a file is read once.

    Raises:
        ConfigError: the file is wrong; see `RoutingPriors.from_config`.
    """
    try:
        working_folder = str(Path.cwd())
    except OSError:  # it was deleted, so no file of it is in force
        working_folder = ""
    return _priors_in(os.environ.get("GENESIS_CONFIG_DIR", ""), working_folder)


# Asked for by each request; what may stand in another place decides which file that is.
@lru_cache(maxsize=8)
def _priors_in(folder: str, working_folder: str) -> RoutingPriors:
    return RoutingPriors.from_config(read_config(PRIORS_FILE))


def _allowed_at(error: ValidationError) -> tuple[str, ...]:
    first = error.errors()[0]["loc"][:1]
    schemas: dict[tuple[object, ...], type[BaseModel]] = {
        ("success",): Success,
        ("changes",): Changes,
        ("transfer",): Transfer,
    }
    nested = len(error.errors()[0]["loc"]) > 1
    return tuple((schemas.get(first, RoutingPriors) if nested else RoutingPriors).model_fields)
