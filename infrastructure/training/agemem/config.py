"""What a training is configured by: checked when made, told in full by JSON.

Every value here is used; a value that is out of its range is refused with what is allowed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from enum import StrEnum
from typing import Any, Final, Literal, TypeVar, cast, get_args

from infrastructure.errors import ConfigError
from infrastructure.jsonvalue import JsonObject, JsonValue
from infrastructure.memory.agemem.actions import LTM_OPERATIONS, STM_OPERATIONS, MemoryOperation

Credit = Literal["terminal", "local", "both"]
Measure = Literal["reward", "success"]

_LOWEST: Final = "lowest"
_HIGHEST: Final = "highest"
_MOST_STEPS: Final = 1_000_000

T = TypeVar("T")


class TrainingStage(StrEnum):
    """What is practised: one decision, two to four that belong together, or a whole episode."""

    SINGLE_TOOL = "single_tool"
    MULTI_TOOL = "multi_tool"
    UNIFIED = "unified"


def _within(default: T, lowest: float, highest: float) -> T:
    """A field with a default and the range that is allowed, both ends included."""
    return field(default=default, metadata={_LOWEST: lowest, _HIGHEST: highest})


@dataclass(frozen=True, slots=True)
class GrpoConfig:
    """How the policy is changed by what was played.

    Attributes:
        group_size: rollouts of one task, compared with each other.
        tasks_per_step: tasks that are played between two changes of the policy.
        learning_rate: of AdamW.
        epochs: how often the decisions of a step are gone through.
        minibatch: decisions of one gradient.
        clip_low, clip_high: how far below and above 1 the ratio of new to old probability counts;
            clip_high at 0.28 above clip_low at 0.2 is DAPO's clip-higher.
        kl_weight: of the divergence from the reference policy.
        reference_every: steps after which the reference is replaced by the policy of then; 0 keeps
            that of the stage's start.
        entropy_weight: of the bonus for entropy.
        std_normalise: divide advantages by the group's standard deviation; off is Dr. GRPO.
        credit: "terminal" gives every decision of a rollout its return's advantage, "local" the
            advantage of what the decision itself was worth, "both" the sum.
        local_weight: of the local part in the sum.
        advantage_clip: largest size of an advantage; None for any.
        max_grad_norm: longer gradients are shortened to it.
        weight_decay: of all weights but those that read sentences; AdamW takes learning_rate
            times this share of a weight each time.
        sentence_weight_decay: of the weights that read sentences: phrasing is new in use, so what
            is learnt from it must be worth its size.
        dropout: share of what is read of sentences that is hidden while learning.
        averaging: share of the running average of the weights that a step leaves; the average is
            what is validated and kept, since it is less noisy than any one step's policy. 0 takes
            the last policy.
        eps: added to the standard deviation.
    """

    group_size: int = _within(6, 2, 1024)
    tasks_per_step: int = _within(20, 1, 4096)
    learning_rate: float = _within(1e-3, 1e-7, 1.0)
    epochs: int = _within(4, 1, 100)
    minibatch: int = _within(512, 1, 1_000_000)
    clip_low: float = _within(0.2, 0.0, 1.0)
    clip_high: float = _within(0.28, 0.0, 10.0)
    kl_weight: float = _within(0.001, 0.0, 100.0)
    reference_every: int = _within(0, 0, _MOST_STEPS)
    entropy_weight: float = _within(0.01, 0.0, 100.0)
    std_normalise: bool = True
    credit: Credit = "both"
    local_weight: float = _within(3.0, 0.0, 100.0)
    advantage_clip: float | None = _within(cast("float | None", None), 1e-3, 1e6)
    max_grad_norm: float = _within(1.0, 1e-6, 1e6)
    weight_decay: float = _within(0.01, 0.0, 100.0)
    sentence_weight_decay: float = _within(1.0, 0.0, 1000.0)
    dropout: float = _within(0.5, 0.0, 0.95)
    averaging: float = _within(0.95, 0.0, 0.9999)
    eps: float = _within(1e-6, 1e-12, 1.0)

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, slots=True)
class RewardConfig:
    """What a rollout is worth.

    Attributes:
        task: weight of the share of questions that the final context answers.
        partial: share of the task's reward that is for parts of an answer, not for whole ones.
        context: weight of a context that is small, does not overflow and loses nothing needed.
        memory: weight of what is stored, changed and fetched being useful.
        rounds_penalty: for each round of a recall above `free_rounds`.
        overflow_penalty: for a context that had to drop what did not fit.
        free_rounds: rounds of a recall that cost nothing.
        failure_penalty: of an operation by itself that had no effect.
    """

    task: float = _within(1.0, 0.0, 100.0)
    partial: float = _within(0.3, 0.0, 1.0)
    context: float = _within(0.1, 0.0, 100.0)
    memory: float = _within(0.3, 0.0, 100.0)
    rounds_penalty: float = _within(0.02, 0.0, 100.0)
    overflow_penalty: float = _within(0.1, 0.0, 100.0)
    free_rounds: int = _within(2, 0, 100)
    failure_penalty: float = _within(0.2, 0.0, 100.0)

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """The policy network's widths.

    Attributes:
        sentence_width: numbers that are read of each sentence.
        hidden1, hidden2: units of the two hidden layers.
        candidate: units that look at an entry which could be updated or deleted.
    """

    sentence_width: int = _within(48, 1, 1024)
    hidden1: int = _within(96, 1, 1024)
    hidden2: int = _within(64, 1, 1024)
    candidate: int = _within(32, 1, 1024)

    def __post_init__(self) -> None:
        _check(self)


def _all_stages() -> Mapping[TrainingStage, int]:
    return {
        TrainingStage.SINGLE_TOOL: 100,
        TrainingStage.MULTI_TOOL: 100,
        TrainingStage.UNIFIED: 300,
    }


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """A whole training; with the code's version it decides every weight.

    Attributes:
        seed: of everything that is drawn.
        stages: most steps of each stage; one at 0 or missing is left out. They are run in the
            order of `TrainingStage`.
        ltm_operations, stm_operations: what the policy may use.
        grpo_config: how the policy is changed.
        reward: what a rollout is worth.
        network: the policy's size.
        word_dropout: share of the words of each sentence that the policy does not read while it
            practises (see `word_dropout`); validations read all.
        statistics_episodes: whole episodes played before the first step to see how large the
            features are.
        validation_every: steps between two validations.
        validation_episodes: tasks of a validation, always the same ones.
        validation_measure: by what the best policy is chosen.
        patience: validations without a better one after which a stage ends; 0 for never.
        checkpoint_every: steps between two checkpoints.
        parallel_rollouts: rollouts that are played at once; results do not depend on it.
    """

    seed: int = _within(0, 0, 2**32 - 1)
    stages: Mapping[TrainingStage, int] = field(default_factory=_all_stages)
    ltm_operations: tuple[MemoryOperation, ...] = LTM_OPERATIONS
    stm_operations: tuple[MemoryOperation, ...] = STM_OPERATIONS
    grpo_config: GrpoConfig = field(default_factory=GrpoConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    word_dropout: float = _within(0.0, 0.0, 0.9)
    statistics_episodes: int = _within(16, 1, 10_000)
    validation_every: int = _within(10, 1, _MOST_STEPS)
    validation_episodes: int = _within(64, 1, 100_000)
    validation_measure: Measure = "reward"
    patience: int = _within(10, 0, _MOST_STEPS)
    checkpoint_every: int = _within(10, 1, _MOST_STEPS)
    parallel_rollouts: int = _within(8, 1, 1024)

    def __post_init__(self) -> None:
        _check(self)
        for stage, steps in self.stages.items():
            where = f"stages.{stage}"
            if stage not in tuple(TrainingStage):
                _refuse(self, where, f"no stage of {_listed(TrainingStage)}")
            if type(steps) is not int or not 0 <= steps <= _MOST_STEPS:
                _refuse(self, where, f"{steps!r} is no whole number from 0 to {_MOST_STEPS:,}")
        for name, allowed in (
            ("ltm_operations", LTM_OPERATIONS),
            ("stm_operations", STM_OPERATIONS),
        ):
            odd = [one for one in getattr(self, name) if one not in allowed]
            if odd:
                _refuse(self, name, f"{odd[0]!r} is none of {_listed(allowed)}")

    @property
    def operations(self) -> tuple[MemoryOperation, ...]:
        """All operations that the policy may use."""
        return self.ltm_operations + self.stm_operations

    def to_json(self) -> JsonObject:
        """All values as plain JSON."""
        return cast("JsonObject", _plain(self))

    @classmethod
    def from_json(cls, value: JsonValue) -> TrainingConfig:
        """The configuration that plain JSON tells; what it leaves out has its default.

        Raises:
            ConfigError: a key is unknown, or a value is not allowed.
        """
        given = dict(_object(cls, value))
        for name, part in (
            ("grpo_config", GrpoConfig),
            ("reward", RewardConfig),
            ("network", NetworkConfig),
        ):
            if name in given:
                given[name] = part(**_object(part, given[name]))
        for name in ("ltm_operations", "stm_operations"):
            if name in given:
                given[name] = _operations(name, given[name])
        if "stages" in given:
            given["stages"] = _stages(given["stages"])
        return cls(**given)


def _check(config: object) -> None:
    """Refuse what is out of its range or of another type."""
    for one in fields(cast("Any", config)):
        value: object = getattr(config, one.name)
        if one.type == "bool" and type(value) is not bool:
            _refuse(config, one.name, f"{value!r} is neither true nor false")
        for choices, named in ((Credit, "Credit"), (Measure, "Measure")):
            if one.type == named and value not in get_args(choices):
                _refuse(config, one.name, f"{value!r} is none of {_listed(get_args(choices))}")
        if _LOWEST in one.metadata and not (value is None and "None" in str(one.type)):
            _check_range(config, one.name, value, one.metadata, whole=one.type == "int")


def _check_range(
    config: object, name: str, value: object, limits: Mapping[str, float], *, whole: bool
) -> None:
    lowest, highest = limits[_LOWEST], limits[_HIGHEST]
    right_type = type(value) is int or (type(value) is float and not whole)
    number = cast("float", value) if right_type else math.nan
    if not lowest <= number <= highest:
        kind = "a whole number" if whole else "a number"
        _refuse(config, name, f"{value!r} is not {kind} from {lowest:g} to {highest:g}")


def _refuse(config: object, name: str, problem: str) -> None:
    raise ConfigError(type(config).__name__, name, problem)


def _listed(names: Sequence[str] | type[StrEnum]) -> str:
    return ", ".join(str(name) for name in names)


def _plain(value: object) -> object:
    if is_dataclass(value):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()
        return {str(key): _plain(one) for key, one in items}
    if isinstance(value, tuple):
        return [_plain(one) for one in cast("tuple[object, ...]", value)]
    return str(value) if isinstance(value, StrEnum) else value


def _object(cls: type[Any], value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(cls.__name__, "", f"{value!r} is no object of settings")
    given = cast("Mapping[str, Any]", value)
    known = [one.name for one in fields(cls)]
    for name in given:
        if name not in known:
            raise ConfigError(cls.__name__, str(name), f"is unknown; there are {_listed(known)}")
    return given


def _operations(name: str, value: object) -> tuple[MemoryOperation, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ConfigError("TrainingConfig", name, f"{value!r} is no list of operations")
    try:
        return tuple(MemoryOperation(one) for one in cast("Sequence[str]", value))
    except ValueError as error:
        allowed = _listed(MemoryOperation)
        raise ConfigError("TrainingConfig", name, f"{error}; there are {allowed}") from None


def _stages(value: object) -> Mapping[TrainingStage, int]:
    if not isinstance(value, Mapping):
        raise ConfigError("TrainingConfig", "stages", f"{value!r} is no object of stage to steps")
    try:
        return {
            TrainingStage(name): steps for name, steps in cast("Mapping[str, int]", value).items()
        }
    except ValueError as error:
        allowed = _listed(TrainingStage)
        raise ConfigError("TrainingConfig", "stages", f"{error}; there are {allowed}") from None
