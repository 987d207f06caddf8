"""YAML that knows its lines, read with limits: what a person wrote, and where they wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeAlias, cast

import yaml

from genesis.errors import ConfigError
from infrastructure.config import yaml_problem
from infrastructure.text import one_line

MAX_BYTES = 262_144
_MAX_VALUES = 50_000
_MAX_DEPTH = 32
_MAPPING, _SEQUENCE = "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"
_TEXT = "tag:yaml.org,2002:str"

KeyPath: TypeAlias = "tuple[str | int, ...]"


@dataclass(frozen=True, slots=True)
class Located:
    """A parsed text.

    Attributes:
        data: plain lists, dicts with text keys, and scalars.
        lines: the line (from 1) of every key and list entry, by path.
    """

    data: object
    lines: Mapping[KeyPath, int]

    def line(self, path: KeyPath) -> int:
        """The line of a path, or of the nearest above it that is there."""
        return self.lines.get(self.known(path), 1)

    def known(self, path: KeyPath) -> KeyPath:
        """The longest beginning of a path that is there."""
        while path and path not in self.lines:
            path = path[:-1]
        return path


def read_text(path: Path) -> str:
    """A configuration file's text.

    Raises:
        ConfigError: it cannot be read, is too large, or is not UTF-8.
    """
    try:
        raw = path.read_bytes() if path.stat().st_size <= MAX_BYTES else None
    except OSError as error:
        raise ConfigError(str(path), "", f"cannot be read: {error.strerror or error}") from error
    if raw is None or len(raw) > MAX_BYTES:
        raise ConfigError(str(path), "", _TOO_LARGE)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        problem = f"is not UTF-8 text: byte 0x{raw[error.start]:02x}; save it as UTF-8"
        raise ConfigError(f"{path}, line {line}", "", problem) from error


_TOO_LARGE = f"is larger than {MAX_BYTES // 1024} KiB, the most that is read"


def parse(text: str, source: str) -> Located:
    """Read one YAML document.

    Refused besides what is no YAML: keys that are given twice or are no text, tags of programming
    languages, merge keys, deep nesting, and aliases that stand for themselves or for too much.

    Raises:
        ConfigError: names the source and the line.
    """
    if len(text) > MAX_BYTES:
        raise ConfigError(source, "", _TOO_LARGE)
    reader = _Reader(source)
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        data = None if node is None else reader.value(node, loader, ())
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(source, "", yaml_problem(error)) from error
    except RecursionError as error:
        raise ConfigError(source, "", "is nested too deeply") from error
    return Located(data, reader.lines)


class _Reader:
    def __init__(self, source: str) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._source = source
        self._values = 0

    def value(self, node: yaml.Node, loader: yaml.SafeLoader, path: KeyPath) -> object:
        self._values += 1
        if self._values > _MAX_VALUES:
            self._refuse(node, f"holds more than {_MAX_VALUES} values, aliases counted")
        if len(path) > _MAX_DEPTH:
            self._refuse(node, f"is nested deeper than {_MAX_DEPTH} levels, aliases counted")
        if isinstance(node, yaml.MappingNode):
            self._require_tag(node, _MAPPING)
            return self._mapping(node, loader, path)
        if isinstance(node, yaml.SequenceNode):
            self._require_tag(node, _SEQUENCE)
            return self._sequence(node, loader, path)
        return self._scalar(node, loader)

    def _mapping(
        self, node: yaml.MappingNode, loader: yaml.SafeLoader, path: KeyPath
    ) -> dict[str, object]:
        found: dict[str, object] = {}
        for key_node, value_node in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
            if not isinstance(key_node, yaml.ScalarNode):
                self._refuse(key_node, "a key must be text")
            key = self._scalar(key_node, loader)
            if not isinstance(key, str):
                self._refuse(key_node, f"the key {key!r:.80} must be text: put it in quotes")
            if key in found:
                first = self.lines[*path, key]
                self._refuse(key_node, f"the key {key!r:.80} is given twice, first in line {first}")
            self.lines[*path, key] = _line(key_node)
            found[key] = self.value(value_node, loader, (*path, key))
        return found

    def _sequence(
        self, node: yaml.SequenceNode, loader: yaml.SafeLoader, path: KeyPath
    ) -> list[object]:
        found: list[object] = []
        for index, entry in enumerate(cast("list[yaml.Node]", node.value)):
            self.lines[*path, index] = _line(entry)
            found.append(self.value(entry, loader, (*path, index)))
        return found

    def _scalar(self, node: yaml.Node, loader: yaml.SafeLoader) -> object:
        # A tag that is written out may call a text a number: its reader then breaks in any way.
        plain = cast("str", loader.resolve(yaml.ScalarNode, node.value, (True, False)))  # pyright: ignore[reportUnknownMemberType] - untyped
        if node.tag != plain:
            self._require_tag(node, _TEXT)
        try:
            return cast("object", loader.construct_object(node))  # pyright: ignore[reportUnknownMemberType] - untyped
        except ValueError as error:  # a date that is none, a number of too many digits
            self._refuse(node, f"{one_line(str(error))}; put it in quotes where text is meant")

    def _require_tag(self, node: yaml.Node, tag: str) -> None:
        if node.tag != tag:
            self._refuse(node, f"the tag {node.tag!r:.80} is not allowed; plain YAML only")

    def _refuse(self, node: yaml.Node, problem: str) -> NoReturn:
        raise ConfigError(f"{self._source}, line {_line(node)}", "", problem)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
