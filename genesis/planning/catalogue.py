"""Operations that plans are made of: what each needs, makes, takes and costs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

import yaml

from genesis.errors import InputError
from genesis.tasks.task import Task
from infrastructure.text import one_line

Inability: TypeAlias = Literal["unknown_operation", "unsolvable"]

_MAX_NAME = 200
_MAX_AMOUNT = 1e12


@dataclass(frozen=True, slots=True)
class Operation:
    """Something that can be done.

    Attributes:
        name: unique in its catalogue.
        requires: named data it needs.
        produces: named data it makes; empty means that its text answers whatever is asked for.
        seconds: expected duration, 0 or more.
        cost_usd: expected price, US dollars, 0 or more.
        description: one sentence for whoever does it.
        task_types: task types it serves; empty means any.

    Raises:
        InputError: a name is no name, or a price or time is negative, infinite or no number.
    """

    name: str
    requires: tuple[str, ...] = ()
    produces: tuple[str, ...] = ()
    seconds: float = 1.0
    cost_usd: float = 0.0
    description: str = ""
    task_types: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _require_name("an operation", self.name)
        for key in ("requires", "produces", "task_types"):
            object.__setattr__(self, key, _names(self.name, key, getattr(self, key)))
        for key in ("seconds", "cost_usd"):
            _require_amount(self.name, key, getattr(self, key))


def _require_name(what: str, name: object) -> None:
    usable = isinstance(name, str) and 0 < len(name) <= _MAX_NAME and name.isprintable()
    if not (usable and cast("str", name).strip()):
        raise InputError(
            f"{what} has the name {one_line(repr(name), 80)}; a name is 1 to {_MAX_NAME} "
            "printable characters"
        )


def _names(operation: str, key: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple | set | frozenset):
        raise InputError(
            f"operation {operation!r}: {key} must be a list of names, not {value!r:.80}"
        )
    listed = cast("Iterable[str]", value)
    for name in listed:
        _require_name(f"operation {operation!r}: a datum in {key}", name)
    return tuple(dict.fromkeys(listed))


def _require_amount(operation: str, key: str, value: object) -> None:
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if not 0 <= number <= _MAX_AMOUNT:  # nor is NaN
        raise InputError(
            f"operation {operation!r}: {key} must be a number from 0 to {_MAX_AMOUNT:g}, "
            f"not {value!r:.80}"
        )


class Catalogue:
    """Operations by name, as given by the user. A task is held to the operation that it names.

    What a task does not declare (`requires`, `produces`) it takes over from its operation.

    Args:
        operations: at least one; each name once.

    Raises:
        InputError: there is none, what is listed is none, or a name is used twice.
    """

    __slots__ = ("_by_name", "_makers", "operations")

    # Whether only the operation of a task's own name can do it, by its declared data alone.
    by_name = True

    def __init__(self, operations: Iterable[Operation]) -> None:
        self.operations = _operations(operations)
        if not self.operations:
            raise InputError("a catalogue needs at least one operation")
        self.index()
        if len(self._by_name) < len(self.operations):
            names = [operation.name for operation in self.operations]
            repeated = next(name for name in names if names.count(name) > 1)
            raise InputError(f"operation {repeated!r} is in the catalogue more than once")

    def index(self) -> None:
        """Sort the operations by name and by what they make."""
        self._by_name: dict[str, Operation] = {}
        self._makers: dict[str, list[Operation]] = {}
        for operation in self.operations:
            self._by_name.setdefault(operation.name, operation)
            for datum in operation.produces:
                self._makers.setdefault(datum, []).append(operation)

    @classmethod
    def from_data(cls, data: object) -> Catalogue:
        """Operations from plain data: a list of mappings, or {"operations": [...]}.

        Each has `name`, and may have `requires`, `produces`, `seconds`, `cost_usd`,
        `description`, `task_types`.

        Raises:
            InputError: says which entry has what wrong.
        """
        if isinstance(data, Mapping):
            data = cast("Mapping[str, object]", data).get("operations")
        if not isinstance(data, list | tuple):
            raise InputError("a catalogue is a list of operations, or {'operations': [...]}")
        return cls(_operation(n, entry) for n, entry in enumerate(cast("list[object]", data), 1))

    @classmethod
    def load(cls, path: Path | str) -> Catalogue:
        """Operations from a JSON or YAML file, as `from_data` reads them.

        Raises:
            InputError: the file cannot be read, or is no catalogue; names the file.
        """
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
            data = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
            return cls.from_data(data)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
            raise InputError(f"{path} cannot be read as a catalogue: {error}") from error

    def __len__(self) -> int:
        return len(self.operations)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def get(self, name: str) -> Operation | None:
        """The operation of this name."""
        return self._by_name.get(name)

    def makers(self, datum: str) -> Sequence[Operation]:
        """The operations that make a datum."""
        return self._makers.get(datum, ())

    def doing(self, task: Task) -> Sequence[Operation]:
        """The operations that can do the task."""
        operation = self._by_name.get(task.operation)
        if operation is None:
            if task.operation or not task.produces:
                return ()
            return [one for one in self.operations if _fits(task, one)]
        return (operation,) if _fits(task, operation) else ()

    def inability(self, task: Task) -> tuple[Inability, str, str]:
        """Why nothing can do the task: the kind, the datum concerned (or ""), and the reason."""
        operation = self._by_name.get(task.operation)
        if operation is None and not task.operation:
            return "unknown_operation", "", "and it names no operation of the catalogue"
        if operation is None:
            return "unknown_operation", "", f"which is not in the catalogue of {len(self)}"
        foreign = [n for n in task.produces if operation.produces and n not in operation.produces]
        if foreign:
            return (
                "unsolvable",
                foreign[0],
                f"which makes {', '.join(operation.produces)} and not {foreign[0]!r}",
            )
        if not _serves(task, operation):
            types = ", ".join(operation.task_types)
            return "unsolvable", "", f"which serves {types} and not {task.task_type}"
        lacking = [name for name in operation.requires if name not in task.requires]
        return "unsolvable", lacking[0], f"which needs {lacking[0]!r}, and the task is not given it"


class Offers(Catalogue):
    """Operations of which several may bear one name, or none at all."""

    __slots__ = ()

    def __init__(self, operations: Iterable[Operation]) -> None:
        self.operations = tuple(operations)
        self.index()


def _operations(listed: object) -> tuple[Operation, ...]:
    found = tuple(cast("Iterable[object]", listed)) if isinstance(listed, Iterable) else (listed,)
    for one in found:
        if not isinstance(one, Operation):
            raise InputError(
                f"a catalogue is made of Operation objects, not {one!r:.80}; plain data are read "
                "by Catalogue.from_data"
            )
    return cast("tuple[Operation, ...]", found)


def _serves(task: Task, operation: Operation) -> bool:
    """Whether the operation serves the task's type; a task that says none is of any."""
    return not (operation.task_types and task.task_type) or task.task_type in operation.task_types


def _fits(task: Task, operation: Operation) -> bool:
    if not _serves(task, operation):
        return False
    if operation.produces and not set(task.produces) <= set(operation.produces):
        return False
    # A task that does not say what it requires takes that over from its operation.
    return not task.requires or set(operation.requires) <= set(task.requires)


def _operation(number: int, entry: object) -> Operation:
    known = [field.name for field in fields(Operation)]
    if not isinstance(entry, Mapping):
        raise InputError(f"entry {number} of the catalogue is not an operation: {entry!r:.80}")
    given = cast("Mapping[str, Any]", entry)
    foreign = [key for key in given if key not in known]
    if foreign:
        raise InputError(
            f"entry {number} of the catalogue has {foreign[0]!r:.80}; allowed: {', '.join(known)}"
        )
    if "name" not in given:
        raise InputError(f"entry {number} of the catalogue has no 'name'")
    return Operation(**given)
