"""The labelled requests that the task-type classifier is trained on.

Besides whole requests the file holds templates ('Speed up the {x}') and topics ('test runner').
Crossing them shows the classifier every topic in every role, so that it does not take what a
request talks about for what it asks for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from infrastructure.config import ConfigFile
from infrastructure.errors import ConfigError
from infrastructure.jsonvalue import JsonValue

EXAMPLES_FILE = "task_examples.yaml"

_PLACEHOLDER = "{x}"
_TOPICS_PER_TEMPLATE = 4


def read_examples(config: ConfigFile) -> list[tuple[str, str]]:
    """Pairs of request and task type: the examples, then the crossed templates.

    Raises:
        ConfigError: the file is not of the declared shape.
    """
    root = config.data
    if not isinstance(root, Mapping):
        raise ConfigError(
            config.source, "", "must hold examples, and may hold templates and topics"
        )
    pairs = _labelled(config, "examples", root.get("examples"))
    if len({task_type for _, task_type in pairs}) < 2:
        raise ConfigError(config.source, "examples", "must hold at least two task types")
    topics = _texts(config, "topics", root.get("topics", []))
    templates = _labelled(config, "templates", root.get("templates", {}))
    for number, (template, task_type) in enumerate(templates):
        if _PLACEHOLDER not in template:
            raise ConfigError(config.source, f"templates.{task_type}", f"{template!r} lacks {{x}}")
        for turn in range(min(_TOPICS_PER_TEMPLATE, len(topics))):
            topic = topics[(number * _TOPICS_PER_TEMPLATE + turn) % len(topics)]
            pairs.append((template.replace(_PLACEHOLDER, topic), task_type))
    return pairs


def _labelled(config: ConfigFile, key: str, value: JsonValue) -> list[tuple[str, str]]:
    if not isinstance(value, Mapping):
        raise ConfigError(config.source, key, "must hold task types, each with a list of requests")
    return [
        (text, str(task_type))
        for task_type, texts in value.items()
        for text in _texts(config, f"{key}.{task_type}", texts)
    ]


def _texts(config: ConfigFile, key: str, value: JsonValue) -> list[str]:
    if not isinstance(value, list):
        raise ConfigError(config.source, key, "must be a list of texts")
    for text in value:
        if not isinstance(text, str) or not text.strip():
            raise ConfigError(config.source, key, f"{text!r} is not a text")
    return cast("list[str]", value)
