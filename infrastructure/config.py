"""Settings and feature flags: package defaults, then the config folder, then the environment.

A file is looked for in the folder named by `GENESIS_CONFIG_DIR`, then in `./config`, then among
the defaults that ship with the package. A value that is wrong is an error which names the file
(or variable), the key, and what is allowed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, cast

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infrastructure.errors import ConfigError
from infrastructure.jsonvalue import JsonValue
from infrastructure.text import one_line

SETTINGS_FILE = "settings.yaml"
FLAGS_FILE = "feature_flags.json"

_PACKAGED = Path(__file__).parent / "_config"
_CHECKOUT = Path(__file__).parent.parent / "config"

Schema = TypeVar("Schema", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A parsed file and where it was found."""

    source: str
    data: JsonValue


class Settings(BaseModel):
    """What can be set, with its default; `GENESIS_<NAME>` in the environment overrides a file.

    Attributes:
        db_path: the memory store: an SQLite file, or a `postgresql://` URL (`MEMORI_DB_PATH`
            overrides it).
        data_dir: folder that takes `runs/<run_id>/` with the files that agents write.
        workspace: folder that bounds every path a request or an agent may touch.
        model: chat models as "provider:name", comma-separated, cheapest first; empty for none.
        tenant: whose memory is used.
        budget_usd: money that one run may spend; None for no limit.
        run_timeout_s: seconds that one run may take.
        task_timeout_s: seconds that one attempt at a task may take.
        max_parallel_tasks: tasks of one run that run at once.
        max_concurrent_runs: runs of one orchestrator that run at once; more wait their turn.
        max_waiting_runs: requests that may wait for their turn; more are refused (`Overloaded`).
        run_lease_s: seconds after which a run may be resumed elsewhere whose process stopped
            renewing its lease; one that ended on this machine need not be waited for.
        max_replans: how often a plan may be sent back, and a failed branch planned again.
        max_plan_depth: tasks on the longest path of a plan.
        max_plan_tasks: tasks of a plan, those of all requests within its request included.
        max_request_depth: levels of requests within requests; 1 lets no task be one of its own.
        hedge_after: where an attempt takes more than so many times its expected seconds, the next
            agent or model is asked beside it; None for never.
        max_attempts: agents, models and efforts tried for one task.
        min_success_rate: share of verified successes from which a pattern is recalled.
        min_similarity: likeness (0 to 1) from which a past request's plan is considered.
        seconds_price_usd: what one second of waiting is worth when agents are compared.
        success_value_usd: what a verified success of one task is worth; an attempt that costs
            more than its chance of one is not made.
        routing_policy: file of a learnt routing policy; None for none.
        memory_policy: file of the policy that decides about memory; None takes the one that ships.
        keep_journals_days: days that the journal of a run is kept after its end; None for ever.
        exploration_floor: smallest chance that exploration gives to each eligible agent.
        sandbox: "auto" runs the code of remote callers and of models in the sandbox, "always" the
            owner's own code too, "never" no code of the owner's calls; a remote caller's code runs
            in the sandbox whatever is set.
        tokens_file: who may call `genesis serve`, as hashes of tokens; None takes `tokens.yaml`
            in `data_dir`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    db_path: str = "data/memori/genesis_memori.db"
    data_dir: Path = Path("data")
    workspace: Path = Path()
    model: str = ""
    tenant: str = Field(default="default", min_length=1, max_length=200)
    budget_usd: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    run_timeout_s: float = Field(default=600, gt=0, allow_inf_nan=False)
    task_timeout_s: float = Field(default=120, gt=0, allow_inf_nan=False)
    max_parallel_tasks: int = Field(default=8, ge=1, le=1000)
    max_concurrent_runs: int = Field(default=64, ge=1, le=10_000)
    max_waiting_runs: int = Field(default=10_000, ge=0, le=1_000_000)
    run_lease_s: float = Field(default=30, ge=0.1, le=86_400, allow_inf_nan=False)
    max_replans: int = Field(default=2, ge=0, le=10)
    max_plan_depth: int = Field(default=20, ge=1, le=500)
    max_plan_tasks: int = Field(default=100, ge=1, le=500)
    max_request_depth: int = Field(default=3, ge=1, le=10)
    hedge_after: float | None = Field(default=None, ge=1, le=1_000)
    max_attempts: int = Field(default=4, ge=1, le=20)
    min_success_rate: float = Field(default=0.7, ge=0, le=1)
    min_similarity: float = Field(default=0.5, ge=0, le=1)
    seconds_price_usd: float = Field(default=0.0005, ge=0, allow_inf_nan=False)
    success_value_usd: float = Field(default=100.0, gt=0, allow_inf_nan=False)
    routing_policy: Path | None = None
    memory_policy: Path | None = None
    keep_journals_days: float | None = Field(default=None, ge=0, le=36_500)
    exploration_floor: float = Field(default=0.05, ge=0, le=1)
    sandbox: Literal["auto", "always", "never"] = "auto"
    tokens_file: Path | None = None

    @property
    def models(self) -> tuple[str, ...]:
        """The chat models of `model`, one by one."""
        return tuple(name.strip() for name in self.model.split(",") if name.strip())


class FeatureFlags(BaseModel):
    """Switches; the name in capitals in the environment overrides the file.

    Attributes:
        orchestration_enabled: off means v1, the stateless single-agent router.
        fallback_to_v1: whether v1 may answer when v2 cannot start.
        memory_enabled: off means that nothing is recalled and nothing learnt is used.
        compaction_enabled: off means that sessions are left as they are.
        exploration_enabled: whether less-known agents are tried now and then.
        agemem_policy: whether the learnt policy decides what is remembered; off means heuristics.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    orchestration_enabled: bool = True
    fallback_to_v1: bool = False
    memory_enabled: bool = True
    compaction_enabled: bool = True
    exploration_enabled: bool = False
    agemem_policy: bool = True


# libyaml's is fifteen times as quick, and of the files that ship one has hundreds of entries.
_YAML: Final = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader


def read_config(name: str, environ: Mapping[str, str] | None = None) -> ConfigFile:
    """Read `config/<name>` (YAML or JSON) from the nearest place that has it.

    Raises:
        ConfigError: the file is missing, unreadable or not well formed.
    """
    path = find_config(name, environ)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), "", f"cannot be read as UTF-8 text: {error}") from error
    try:
        data = json.loads(text) if path.suffix == ".json" else yaml.load(text, _YAML)  # noqa: S506 - a safe loader
    except json.JSONDecodeError as error:
        raise ConfigError(str(path), "", f"is not valid JSON: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(str(path), "", yaml_problem(error)) from error
    return ConfigFile(str(path), cast("JsonValue", data))


def yaml_problem(error: yaml.YAMLError | ValueError) -> str:
    """What is wrong with a YAML text and where, in one line; a ValueError is a scalar's."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return f"is not valid YAML: {one_line(str(error))}"
    mark = error.problem_mark
    return f"is not valid YAML: {error.problem}: line {mark.line + 1} column {mark.column + 1}"


def find_config(name: str, environ: Mapping[str, str] | None = None) -> Path:
    """Where `config/<name>` lies: the nearest place that has it.

    Raises:
        ConfigError: there is no such file.
    """
    chosen = (os.environ if environ is None else environ).get("GENESIS_CONFIG_DIR", "")
    if chosen and not Path(chosen).is_dir():
        raise ConfigError("GENESIS_CONFIG_DIR", "", f"{chosen!r} is not a folder")
    folders = [Path(chosen)] if chosen else []
    folders += [Path("config"), _PACKAGED, _CHECKOUT]
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    raise ConfigError(name, "", "no such configuration file; the installation is incomplete")


def load_settings(environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """The settings: defaults, file, environment, then `overrides` (None leaves a value alone).

    Raises:
        ConfigError: names the file or variable, the key, and what is allowed.
    """
    env = os.environ if environ is None else environ
    settings = _validated(Settings, read_config(SETTINGS_FILE, env))
    variables = {f"GENESIS_{name.upper()}": name for name in Settings.model_fields}
    variables["MEMORI_DB_PATH"] = "db_path"
    for variable, name in variables.items():
        if env.get(variable, "") != "":
            settings = _replaced(settings, name, env[variable], variable)
    for name, value in overrides.items():
        if value is not None:
            settings = _replaced(settings, name, value, "settings")
    return settings


def load_flags(environ: Mapping[str, str] | None = None) -> FeatureFlags:
    """The feature flags: defaults, file, then environment.

    Raises:
        ConfigError: names the file or variable, the key, and what is allowed.
    """
    env = os.environ if environ is None else environ
    flags = _validated(FeatureFlags, read_config(FLAGS_FILE, env))
    for name in FeatureFlags.model_fields:
        text = env.get(name.upper(), "")
        if text != "":
            flags = _replaced(flags, name, _as_bool(text, name.upper()), name.upper())
    return flags


_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


def _as_bool(text: str, variable: str) -> bool:
    word = text.strip().lower()
    if word not in _TRUE | _FALSE:
        raise ConfigError(variable, "", f"{text!r} is not one of true, false, 1, 0, yes, no")
    return word in _TRUE


def _validated(schema: type[Schema], file: ConfigFile) -> Schema:
    if not isinstance(file.data, Mapping):
        raise ConfigError(file.source, "", "must hold keys and values")
    try:
        return schema.model_validate(dict(file.data))
    except ValidationError as error:
        raise config_error(error, file.source, tuple(schema.model_fields)) from error


def _replaced(model: Schema, name: str, value: object, source: str) -> Schema:
    allowed = tuple(type(model).model_fields)
    if name not in allowed:
        raise ConfigError(source, name, f"is unknown; allowed: {', '.join(allowed)}")
    try:
        return type(model).model_validate({**model.model_dump(), name: value})
    except ValidationError as error:
        raise config_error(error, source, allowed) from error


def config_error(error: ValidationError, source: str, allowed: tuple[str, ...]) -> ConfigError:
    """The first finding of a pydantic validation as an error that names file, key and remedy."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return ConfigError(source, key, f"is unknown; allowed: {', '.join(allowed)}")
    return ConfigError(source, key, f"{first['msg']} (found {first['input']!r})")
