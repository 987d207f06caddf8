"""The data that a request comes with: the files and folders that it names, inside the workspace."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from genesis.errors import InputError
from genesis.planning.data_names import MAX_OF_A_KIND, kind_of, numbered
from genesis.planning.mentions import Mention, data_meant, mentions, source_meant
from genesis.planning.workspace import DATA_SUFFIXES, Workspace, is_data_file
from genesis.tasks.phrases import Phrases, prose, words_of
from infrastructure.jsonvalue import JsonObject, JsonValue
from infrastructure.text import cut

MAX_REQUEST_CHARS = 100_000
PATH_DATA = ("dataset", "source", "project", "script")
_MAX_CONTROL_SHARE = 0.01
_SHOWN_CHARS = 120
_LISTED = 10
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f\ud800-\udfff]")
_NAME = re.compile(r"[A-Za-z_][\w.-]{0,79}")
_RUN_TESTS = Phrases(
    [
        "run * tests",
        "run tests",
        "run * * tests",
        "test suite",
        "run * test suite",
        "pytest",
        "test coverage",
        "code coverage",
        "tests pass",
        "tests fail",
        "test fails",
        "failing tests",
    ]
)
# In these a file may be named because it is to be made.
_MAKING = frozenset({"code_generation", "system_design", "deployment"})


@dataclass(frozen=True, slots=True)
class Given:
    """Named data of a request.

    Attributes:
        data: absolute paths under "dataset", "source", "project" and "script"; the script's
            arguments under "script_args"; whatever else the caller gave.
        notes: what was taken for granted or left out, one sentence each.
    """

    data: JsonObject
    notes: tuple[str, ...] = ()


def check_request(request: object) -> None:
    """Refuse a request that cannot be worked on.

    Raises:
        InputError: it is empty, too long, or not text.
    """
    if not isinstance(request, str):
        raise InputError(f"the request must be text, not {type(request).__name__}")
    if not request.strip():
        raise InputError("the request is empty; say in words what is to be done")
    if len(request) > MAX_REQUEST_CHARS:
        raise InputError(
            f"the request has {len(request):,} characters and at most {MAX_REQUEST_CHARS:,} are "
            "allowed; put long material into a file and name the file"
        )
    control = len(_CONTROL.findall(request))
    if "\x00" in request or control > max(_MAX_CONTROL_SHARE * len(request), 1):
        raise InputError(
            f"the request is not text: it holds {control} control characters; put binary data "
            "into a file and name the file"
        )


def find_given(
    request: str,
    workspace: Path,
    context: Mapping[str, JsonValue] | None = None,
    *,
    task_type: str = "",
) -> Given:
    """What the request names, resolved inside the workspace, as named data.

    Args:
        request: the user's words.
        workspace: the folder that bounds every path.
        context: data that the caller gives by name; they win over what the words name.
        task_type: inferred or given; decides what is looked for when the words name no file.

    Raises:
        InputError: the request is empty, too long or not text, a file that it names does not
            exist (names the nearest ones), "the data" or "the module" can mean several, or a
            datum of `context` is of no use.
        WorkspaceError: a path leads outside the workspace; names it.
    """
    check_request(request)
    finder = _Finder(request, Workspace(workspace), task_type)
    seen: set[str] = set()
    for mention in mentions(request):
        if mention.text not in seen or mention.folder or len(mention.texts) > 1:
            seen.add(mention.text)
            finder.take(mention)
    finder.fall_back(frozenset(context or ()))
    data = {**finder.data, **_from_context(context or {}, finder.workspace)}
    return Given(data, tuple(finder.notes))


class _Finder:
    """Collects what the mentions of one request mean."""

    def __init__(self, request: str, workspace: Workspace, task_type: str) -> None:
        self.workspace = workspace
        self.data: dict[str, JsonValue] = {}
        self.notes: list[str] = []
        self._request = request
        self._task_type = task_type
        self._names_data = False

    def take(self, mention: Mention) -> None:
        """Add what one passage of the request names, if anything."""
        path = self.workspace.find(mention)
        if path is None:
            self._missing(mention)
        elif path.is_dir():
            self._take_folder(path)
        else:
            self._take_file(path, mention)

    def _take_file(self, path: Path, mention: Mention) -> None:
        if is_data_file(path):
            self._names_data = True
            self._set("dataset", path)
        elif path.suffix == ".py":
            self._set("script", path)
            self._set("source", path)
            if mention.arguments:
                self.data.setdefault("script_args", list(mention.arguments))
        elif self._task_type == "data_analysis" and mention.certain:
            self._names_data = True
            self._unreadable(path.name)

    def _unreadable(self, name: str) -> None:
        if "dataset" not in self.data:
            raise InputError(
                f"{name!r} is no kind of data file that can be read; allowed: "
                f"{', '.join(sorted(DATA_SUFFIXES))} (also with .gz)"
            )

    def _take_folder(self, path: Path) -> None:
        if is_data_file(path):
            raise InputError(f"{path.name!r} is a folder, not a data file; name a file in it")
        kinds = self.workspace.kinds(path)
        source = path if "source" in kinds else self.workspace.package_in(path)
        if source is not None:
            self._set("source", source)
        if "project" in kinds:
            self._set("project", path)
        elif not kinds and self._task_type == "data_analysis":
            self._one_data_file(path)
        elif not kinds and self._task_type == "documentation":
            self._set("source", path)

    def _set(self, name: str, path: Path) -> None:
        """Add a path under the next free name of its kind: "dataset", "dataset_2"."""
        for number in range(1, MAX_OF_A_KIND + 1):
            held = self.data.setdefault(numbered(name, number), str(path))
            if held == str(path):
                if number > 1 and name in ("dataset", "script"):
                    self._say_second(name, number, path)
                return
        self.notes.append(
            f"{self.workspace.shown(path)} is left out: at most {MAX_OF_A_KIND} of a kind are taken"
        )

    def _say_second(self, name: str, number: int, path: Path) -> None:
        first = self.workspace.shown(Path(str(self.data[name])))
        note = (
            f"{self.workspace.shown(path)} is named as well: it is {numbered(name, number)!r}, "
            f"{first} is {name!r}"
        )
        if note not in self.notes:
            self.notes.append(note)

    def _missing(self, mention: Mention) -> None:
        if not mention.certain:
            return
        known = is_data_file(Path(mention.text)) or mention.text.endswith(".py")
        if mention.to_be_made or (self._task_type in _MAKING and known):
            self.notes.append(f"{mention.text!r} does not exist yet")
            return
        shown = repr(cut(mention.text, _SHOWN_CHARS))
        if self.workspace.holds(mention.text):
            raise InputError(
                f"the request names {shown}, which is a broken link or no ordinary file"
            )
        nearest = self.workspace.nearest(mention.text)
        hint = f"; nearest: {', '.join(nearest)}" if nearest else ""
        raise InputError(
            f"the request names {shown}, which does not exist in the workspace "
            f"{self.workspace.root}{hint}"
        )

    def fall_back(self, by_caller: frozenset[str]) -> None:
        """What may be taken for granted when the request names nothing."""
        named = self._names_data or "dataset" in self.data or "dataset" in by_caller
        if self._task_type == "data_analysis" and not named and not self.data:
            self._one_data_file(self.workspace.root)
        if not by_caller:
            data, source = data_meant(self._request), source_meant(self._request)
            self._take_only("dataset", data, "data file", self.workspace.data_files)
            self._take_only("source", source, "package or module", self.workspace.sources)
        asks_tests = self._task_type == "testing" or bool(
            _RUN_TESTS.first_in(prose(self._request, {}))
        )
        named = "project" in self.data or "project" in by_caller
        if asks_tests and not named and self.workspace.has_tests(self.workspace.root):
            self.data["project"] = str(self.workspace.root)
            self.notes.append("no project is named: the workspace's own tests are meant")

    def _take_only(
        self, name: str, said: str, kind: str, find: Callable[[Path], list[Path]]
    ) -> None:
        """Take the only file that 'the data' or 'the module' can mean.

        Raises:
            InputError: there are several; names them.
        """
        if not said or name in self.data:
            return
        found = find(self.workspace.root)
        if len(found) > 1:
            raise InputError(
                f"the request speaks of {said!r} and names no {kind}, and there are "
                f"several: {self._listed(found)}; name the one that is meant"
            )
        if not found:
            self.notes.append(f"{said!r} is nowhere: there is no {kind} in {self.workspace.root}")
            return
        self._set(name, found[0])
        self.notes.append(
            f"no {kind} is named in full: {self.workspace.shown(found[0])} is the only one"
        )

    def _listed(self, found: Sequence[Path]) -> str:
        shown = ", ".join(self.workspace.shown(path) for path in found[:_LISTED])
        return f"{shown} and {len(found) - _LISTED} more" if len(found) > _LISTED else shown

    def _one_data_file(self, folder: Path) -> None:
        found = self.workspace.data_files(folder)
        words = set(words_of(self._request))
        called = [path for path in found if path.name.split(".")[0].lower() in words]
        if len(found) == 1 or len(called) == 1:
            chosen, why = (called[0], "has that name") if called else (found[0], "is the only one")
            self._set("dataset", chosen)
            self.notes.append(
                f"no data file is named in full: {self.workspace.shown(chosen)} {why}"
            )
        elif found:
            self.notes.append(f"no data file is named and there are several: {self._listed(found)}")


def _from_context(context: Mapping[str, JsonValue], workspace: Workspace) -> dict[str, JsonValue]:
    data: dict[str, JsonValue] = {}
    for name, value in context.items():
        if not _NAME.fullmatch(name):
            raise InputError(
                f"{name[:80]!r} names no datum: use letters, digits, '_', '-' and '.', at most 80"
            )
        if kind_of(name) in PATH_DATA:
            if not isinstance(value, str) or not value.strip():
                raise InputError(f"{name!r} must be the path of a file or folder, found {value!r}")
            data[name] = str(workspace.require(value, name))
        elif name == "script_args" and isinstance(value, str):
            data[name] = shlex.split(value)
        else:
            data[name] = _json(name, value)
    return data


def _json(name: str, value: JsonValue) -> JsonValue:
    """The value, if it can be recorded and sent to agents elsewhere."""
    try:
        orjson.dumps(value)
    except TypeError as error:
        raise InputError(f"{name!r} must be plain JSON data: {error}") from error
    return value
