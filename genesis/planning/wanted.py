"""A request one level down: what it comes with, and what its composite task must make."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from genesis.planning.deliverables import Deliverables
from genesis.planning.given import Given, find_given
from genesis.planning.parts import Part
from infrastructure.jsonvalue import JsonObject, JsonValue


def given_below(request: str, workspace: Path, inputs: JsonObject, *, task_type: str) -> Given:
    """The inputs of a composite task, and what its words name beside them.

    Args:
        request: the task's description.
        workspace: the folder that bounds every path that the words name.
        inputs: by name; files that agents of this request wrote lie outside the workspace.
        task_type: of the words.

    Raises:
        InputError, WorkspaceError: as `find_given`, for what the words name.
    """
    root = workspace.resolve()
    known = {name: value for name, value in inputs.items() if _lies_in(root, value)}
    named = find_given(request, workspace, known, task_type=task_type)
    return Given({**named.data, **inputs}, named.notes)


def _lies_in(root: Path, value: JsonValue) -> bool:
    return isinstance(value, str) and value.startswith(str(root)) and Path(value).exists()


class WantedData(Deliverables):
    """Reads one request as asking for given data, whatever its words; all others as ever.

    Args:
        deliverables: reads all others.
        request: the one.
        wanted: what it asks for; empty leaves it to its words.
    """

    def __init__(self, deliverables: Deliverables, request: str, wanted: Collection[str]) -> None:
        vars(self).update(vars(deliverables))
        self._request = request
        self._wanted_data = tuple(dict.fromkeys(wanted))

    def parts(self, request: str, task_type: str, given: JsonObject) -> tuple[Part, ...]:
        """See `Deliverables.parts`; words that ask for all that is wanted, or more, stand."""
        read = super().parts(request, task_type, given)
        asked = {datum for part in read for datum in part.asked}
        if request != self._request or asked.issuperset(self._wanted_data):
            return read
        return (Part("", read[0].task_type, {name: name for name in given}, self._wanted_data),)
