"""What `config/plan_templates.yaml` may say, and whether what it says fits together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic import JsonValue as PydanticJson

from genesis.errors import ConfigError, InvalidPlan
from genesis.planning.deliverables import FALLBACK, AskedConfig, DeliverableConfig
from genesis.planning.edges import derive_edges
from genesis.tasks.dag import TaskDAG
from genesis.tasks.task import Acceptance, Task
from infrastructure.config import ConfigFile, config_error

_STRICT = ConfigDict(extra="forbid", frozen=True, strict=True)


class AcceptanceConfig(BaseModel):
    """A check by name, with its parameters."""

    model_config = _STRICT

    check: str = Field(min_length=1)
    params: dict[str, PydanticJson] = Field(default_factory=dict)


class TaskConfig(BaseModel):
    """A task of a plan; `optional` data are handed over when they are given."""

    model_config = _STRICT

    id: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,80}$")
    description: str = Field(min_length=1)
    operation: str = ""
    task_type: str = ""
    requires: list[str] = Field(default_factory=list)
    optional: list[str] = Field(default_factory=list)
    produces: list[str] = Field(min_length=1)
    depends_on: list[str] = Field(default_factory=list)
    acceptance: list[AcceptanceConfig] = Field(default_factory=list[AcceptanceConfig])
    timeout_s: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class TemplateConfig(BaseModel):
    """A plan, and which requests it serves."""

    model_config = _STRICT

    name: str = Field(min_length=1)
    task_types: list[str] = Field(default_factory=list)
    given: list[str] = Field(default_factory=list)
    phrases: list[str] = Field(default_factory=list)
    asks: list[str] = Field(default_factory=list)
    tasks: list[TaskConfig] = Field(min_length=1)


class TemplatesFile(BaseModel):
    """The whole file."""

    model_config = _STRICT

    given: dict[str, str] = Field(default_factory=dict)
    openings: list[str] = Field(default_factory=list)
    open_ended: list[str] = Field(default_factory=list)
    neutral: list[str] = Field(default_factory=list)
    deliverables: dict[str, DeliverableConfig] = Field(default_factory=dict)
    asked: dict[str, AskedConfig] = Field(default_factory=dict)
    templates: list[TemplateConfig] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Step:
    """A task of a template, before it is known what is given."""

    config: TaskConfig

    def task(self, task_type: str, given: Iterable[str]) -> Task:
        config, at_hand = self.config, frozenset(given)
        return Task(
            id=config.id,
            description=config.description,
            task_type=config.task_type or task_type,
            operation=config.operation,
            requires=(*config.requires, *(name for name in config.optional if name in at_hand)),
            produces=tuple(config.produces),
            depends_on=tuple(config.depends_on),
            acceptance=tuple(Acceptance(a.check, a.params) for a in config.acceptance),
            timeout_s=config.timeout_s,
        )


def read_templates(file: ConfigFile) -> TemplatesFile:
    """The file, checked.

    Raises:
        ConfigError: names the file, the key, and what is allowed.
    """
    if not isinstance(file.data, Mapping):
        raise ConfigError(file.source, "", "must hold the keys given, deliverables, templates")
    try:
        read = TemplatesFile.model_validate(file.data)
    except ValidationError as error:
        raise config_error(error, file.source, _allowed_at(error)) from error
    _check_references(read, file.source)
    return read


def made_before(read: TemplatesFile) -> dict[str, frozenset[str]]:
    """For each datum what has to be made before it, and cannot be given, directly or not."""
    before: dict[str, set[str]] = {}
    for task in (task for one in read.templates for task in one.tasks):
        for datum in task.produces:
            before.setdefault(datum, set()).update(n for n in task.requires if n not in read.given)

    def all_before(datum: str, seen: frozenset[str]) -> frozenset[str]:
        direct = frozenset(before.get(datum, ())) - seen
        return direct.union(*(all_before(one, seen | direct | {datum}) for one in direct))

    return {datum: all_before(datum, frozenset([datum])) for datum in before}


def named_data(read: TemplatesFile) -> frozenset[str]:
    """Every datum that the configuration makes or asks for."""
    asked = (datum for c in read.asked.values() for datum in (*c.always, *c.principal))
    made = (datum for one in read.templates for task in one.tasks for datum in task.produces)
    return frozenset([FALLBACK, *read.deliverables, *asked, *made])


def _allowed_at(error: ValidationError) -> tuple[str, ...]:
    """The keys that are allowed where the first finding is."""
    path = error.errors()[0]["loc"]
    schema: type[BaseModel] = TemplatesFile
    if path[:1] == ("deliverables",) and len(path) > 1:
        schema = DeliverableConfig
    elif path[:1] == ("asked",) and len(path) > 1:
        schema = AskedConfig
    elif "acceptance" in path:
        schema = AcceptanceConfig
    elif "tasks" in path:
        schema = TaskConfig
    elif path[:1] == ("templates",) and len(path) > 1:
        schema = TemplateConfig
    return tuple(schema.model_fields)


def _check_references(read: TemplatesFile, source: str) -> None:
    """Every template's tasks form a valid plan from data that can be given or are made."""
    produced = {n for one in read.templates for task in one.tasks for n in task.produces}
    known = produced | set(read.given)
    for datum, deliverable in read.deliverables.items():
        _known(source, f"deliverables.{datum}", [datum], produced, "no template makes it")
        _known(source, f"deliverables.{datum}.needs", deliverable.needs, known, "")
        _known(
            source, f"deliverables.{datum}.also", deliverable.also, produced, "no template makes it"
        )
    for task_type, asked in read.asked.items():
        listed = [*asked.always, *asked.principal]
        _known(source, f"asked.{task_type}", listed, produced, "no template makes it")
    for index, template in enumerate(read.templates):
        key = f"templates.{index} ({template.name})"
        _known(source, f"{key}.asks", template.asks, produced, "no template makes it")
        for name in (n for t in template.tasks for n in (*t.requires, *t.optional)):
            _known(source, f"{key}.tasks", [name], known, "")
        tasks = [Step(task).task("any", read.given) for task in template.tasks]
        try:
            own = {name for task in tasks for name in task.produces}
            TaskDAG(derive_edges(tasks), (known - own) | set(read.given))
        except InvalidPlan as error:
            raise ConfigError(source, f"{key}.tasks", str(error)) from error


def _known(source: str, key: str, names: Iterable[str], allowed: set[str], why: str) -> None:
    for name in names:
        if name not in allowed:
            problem = why or "it is neither listed under 'given' nor made by a task"
            raise ConfigError(
                source, key, f"{name!r}: {problem}; allowed: {', '.join(sorted(allowed))}"
            )
