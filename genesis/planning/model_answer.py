"""A chat model's answer read as a plan: what has one meaning only is mended, the rest refused.

Mended, and said: thinking before the plan, prose or a fence around it, a plan under another key or
as a bare list, null or a single name for a list, a number for an id, a task or key that is
repeated word for word, a task that waits for itself, keys that a plan does not have, control
characters.
Whatever could be meant in two ways is refused with the reason.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, cast

from pydantic import BaseModel, Field, ValidationError

from genesis.errors import InvalidPlan
from infrastructure.text import counted, one_line, strip_control

MAX_PLANNED_TASKS = 30
MAX_DESCRIPTION_CHARS = 2_000
MAX_NAMES = 30
MAX_ANSWER_CHARS = 1_000_000
_MAX_STARTS = 100  # braces in prose that are tried as the plan's first
_MAX_RETRIED_CHARS = 2 * MAX_ANSWER_CHARS  # read in vain while it is looked for
_SHOWN_CHARS = 80
_BEGINNING_CHARS = 400
_TASKS = "tasks"


class NotJson(InvalidPlan):
    """The answer holds no JSON that could be a plan."""


class DraftTask(BaseModel):
    """A task as the model writes it."""

    id: str = Field(description="short and unique, made of letters, digits, '_', '-' and '.'")
    description: str
    operation: str = Field(description="an operation of the catalogue")
    requires: list[str] = Field(default_factory=list)
    produces: list[str] = Field(default_factory=list)
    depends_on: list[str] = Field(default_factory=list)
    serves: str = Field(
        default="",
        description="the words of the request that it serves, copied; empty for the whole request",
    )


class DraftPlan(BaseModel):
    """A plan as the model writes it."""

    tasks: list[DraftTask]


_LISTS = ("requires", "produces", "depends_on")


def read_draft(text: str) -> tuple[DraftPlan, tuple[str, ...]]:
    """The plan that an answer holds, and what was mended in it, one sentence each.

    Args:
        text: what the model wrote.

    Raises:
        NotJson: there is no JSON in it that could be a plan.
        InvalidPlan: it is no plan, or could be read in two ways; says where and why.
    """
    if len(text) > MAX_ANSWER_CHARS:
        raise InvalidPlan(
            f"it has {len(text):,} characters and at most {MAX_ANSWER_CHARS:,} are read"
        )
    reader = _Reader()
    tasks = reader.tasks(reader.value(reader.without_thoughts(text)))
    try:
        draft = DraftPlan.model_validate({_TASKS: tasks})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidPlan(f"{where}: {first['msg']}") from error
    reader.check(draft)
    return DraftPlan(tasks=reader.without_repeats(draft.tasks)), tuple(
        dict.fromkeys(reader.changes)
    )


@dataclass(slots=True)
class _Reader:
    """Reads one answer and notes what it mends."""

    changes: list[str] = field(default_factory=list[str])

    def without_thoughts(self, text: str) -> str:
        """What follows the thinking that some models write first, plans tried and dropped in it."""
        if not text.lstrip().startswith("<think>"):
            return text
        _, end, answer = text.partition("</think>")
        if not end:
            raise NotJson("its thinking has no end, so there is no answer after it")
        self.changes.append("left out its thinking before the plan")
        return answer

    def value(self, text: str) -> object:
        """The one JSON value of the text."""
        try:
            return self._decoder().decode(text)
        except RecursionError:
            raise InvalidPlan("it is nested too deeply to be a plan") from None
        except ValueError:
            return self._amid_prose(text)

    def tasks(self, value: object) -> list[object]:
        """The list of tasks in a value, each mended where that is plain."""
        if isinstance(value, Mapping):
            value = self._unwrapped(cast("Mapping[str, object]", value))
        elif isinstance(value, list):
            self.changes.append("read a bare list as the plan's tasks")
        if not isinstance(value, list):
            raise InvalidPlan("'tasks' must be a list of tasks")
        listed = cast("list[object]", value)
        if not listed:
            raise InvalidPlan("a plan needs at least one task")
        if len(listed) > MAX_PLANNED_TASKS:
            raise InvalidPlan(
                f"it has {len(listed)} tasks and at most {MAX_PLANNED_TASKS} are allowed"
            )
        return [self._mended(task, number) for number, task in enumerate(listed, start=1)]

    def check(self, draft: DraftPlan) -> None:
        """Refuse what is larger than any sound plan."""
        for task in draft.tasks:
            called = repr(one_line(task.id, _SHOWN_CHARS))
            if len(task.description) > MAX_DESCRIPTION_CHARS:
                raise InvalidPlan(
                    f"task {called}: its description has {len(task.description):,} characters "
                    f"and at most {MAX_DESCRIPTION_CHARS:,} are allowed"
                )
            longest = max(len(task.requires), len(task.produces), len(task.depends_on))
            if longest > MAX_NAMES:
                raise InvalidPlan(
                    f"task {called}: a list names {longest} things, {MAX_NAMES} at most"
                )

    def without_repeats(self, tasks: list[DraftTask]) -> list[DraftTask]:
        """The tasks without those that stand twice word for word."""
        kept: list[DraftTask] = []
        for task in tasks:
            if task in kept:
                self.changes.append(
                    f"left out task {one_line(task.id, _SHOWN_CHARS)!r}, which stood there twice"
                )
            else:
                kept.append(task)
        return kept

    def _amid_prose(self, text: str) -> object:
        """The only plan in a text that is not JSON as a whole."""
        found: list[tuple[object, int, int]] = []
        position, in_vain = 0, 0
        for _ in range(_MAX_STARTS):
            start = text.find("{", position)
            if start < 0 or in_vain > _MAX_RETRIED_CHARS:
                break
            value, position, read = self._at(text, start)
            in_vain += read
            if _is_plan(value):
                found.append((value, start, position))
        if not found:
            raise NotJson(f"it is not the JSON that was asked for; it begins: {_beginning(text)!r}")
        value, start, end = found[0]
        if f'"{_TASKS}"' in text[:start] + text[end:]:
            raise InvalidPlan("it holds more than one plan, or parts of one; answer with one")
        self.changes.append("took the plan out of the text around it")
        return value

    def _at(self, text: str, start: int) -> tuple[object, int, int]:
        """The JSON value that begins there, or None; where to go on; what was read in vain."""
        try:
            return (*self._decoder().raw_decode(text, start), 0)
        except json.JSONDecodeError as error:
            return None, start + 1, error.pos - start
        except (ValueError, RecursionError):  # a number of too many digits, or too deep
            return None, start + 1, _MAX_RETRIED_CHARS // _MAX_STARTS

    def _decoder(self) -> json.JSONDecoder:
        # Raw line breaks inside strings are a habit of models; descriptions are cleaned later.
        return json.JSONDecoder(
            object_pairs_hook=self._object, parse_constant=_refuse_constant, strict=False
        )

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, value in pairs:
            if key in made:
                shown = repr(one_line(key, _SHOWN_CHARS))
                if made[key] != value:
                    raise InvalidPlan(f"the key {shown} stands twice with different values")
                self.changes.append(f"read the key {shown} once, which stood there twice")
            made[key] = value
        return made

    def _unwrapped(self, value: Mapping[str, object]) -> object:
        if _TASKS not in value and len(value) == 1:
            (key,) = value
            inner = value[key]
            if _is_plan(inner):
                self.changes.append(f"found the plan under {one_line(key, _SHOWN_CHARS)!r}")
                value = cast("Mapping[str, object]", inner)
        if _TASKS not in value:
            raise InvalidPlan("it has no 'tasks'")
        self._note_ignored("the plan", [key for key in value if key != _TASKS])
        return value[_TASKS]

    def _mended(self, value: object, number: int) -> object:
        if not isinstance(value, Mapping):
            return value  # the schema says what is wrong with it
        task = dict(cast("Mapping[str, object]", value))
        called = f"task {number}"
        self._note_ignored(called, [key for key in task if key not in DraftTask.model_fields])
        task["id"] = self._text(task.get("id"), f"{called}: id")
        for name in _LISTS:
            task[name] = self._names(task.get(name, []), f"{called}: {name}")
        if isinstance(task.get("description"), str):
            task["description"] = self._cleaned(cast("str", task["description"]), called)
        if task.get("serves", "") is None:
            task["serves"] = ""
        waits = task["depends_on"]
        if isinstance(waits, list) and task["id"] in waits:
            task["depends_on"] = [one for one in cast("list[object]", waits) if one != task["id"]]
            self.changes.append(f"{called} no longer waits for itself")
        return {key: one for key, one in task.items() if key in DraftTask.model_fields}

    def _names(self, value: object, where: str) -> object:
        if value is None:
            self.changes.append(f"{where}: read null as an empty list")
            return []
        if isinstance(value, str):
            self.changes.append(f"{where}: read one name as a list of it")
            return [value]
        if isinstance(value, list):
            return [self._text(one, where) for one in cast("list[object]", value)]
        return value

    def _text(self, value: object, where: str) -> object:
        if isinstance(value, int) and not isinstance(value, bool):
            self.changes.append(
                f"{where}: read the number {one_line(str(value), _SHOWN_CHARS)} as text"
            )
            return str(value)
        return value

    def _cleaned(self, text: str, called: str) -> str:
        if len(text) > 2 * MAX_DESCRIPTION_CHARS:
            return text  # refused for its length, whatever is in it
        cleaned = strip_control(text).strip()
        if cleaned != text.strip():
            self.changes.append(f"{called}: took control characters out of its description")
        return cleaned

    def _note_ignored(self, called: str, keys: list[str]) -> None:
        if keys:
            shown = ", ".join(repr(one_line(key, _SHOWN_CHARS)) for key in keys[:5])
            more = f" and {counted(len(keys) - 5, 'other key')}" if len(keys) > 5 else ""
            self.changes.append(f"{called}: left out {shown}{more}, which a plan cannot set")


def _beginning(text: str) -> str:
    return one_line(text.lstrip()[:_BEGINNING_CHARS])


def _is_plan(value: object) -> bool:
    return isinstance(value, Mapping) and _TASKS in cast("Mapping[object, object]", value)


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidPlan(f"{name} is no JSON value")
