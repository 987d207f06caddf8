"""Log lines for people or as JSON, with the request that they belong to and without secrets."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final, TextIO

from infrastructure.jsonvalue import JsonValue
from infrastructure.redaction import hide_secrets
from infrastructure.text import strip_control

REQUEST: Final[ContextVar[Mapping[str, JsonValue]]] = ContextVar(
    "genesis_request", default=MappingProxyType({})
)
"""What every line logged in this context carries: request_id, tenant, caller."""

FIELDS: Final = "fields"
"""Name of the `extra` in which a line's own figures come: `log.info(..., extra={FIELDS: {}})`."""


class _Formatter(logging.Formatter):
    def fields(self, record: logging.LogRecord) -> dict[str, JsonValue]:
        own: Mapping[str, JsonValue] = getattr(record, FIELDS, {})
        return {**REQUEST.get(), **own}

    def trace(self, record: logging.LogRecord) -> str:
        return hide_secrets(self.formatException(record.exc_info)) if record.exc_info else ""

    def message(self, record: logging.LogRecord) -> str:
        # What others sent is in messages too: it must not make lines of its own.
        return strip_control(hide_secrets(record.getMessage())).replace("\n", "\\n")


class JsonFormatter(_Formatter):
    """One JSON object a line: time (ISO 8601, UTC), level, logger, message, the line's fields."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, JsonValue] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": self.message(record),
        }
        for name, value in self.fields(record).items():
            line[name] = hide_secrets(value) if isinstance(value, str) else value
        trace = self.trace(record)
        if trace:
            line["trace"] = trace
        return json.dumps(line, default=str)


class TextFormatter(_Formatter):
    """Time, level, logger and message; the line's fields behind them as name=value."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).astimezone().strftime("%H:%M:%S")
        fields = " ".join(
            f"{name}={hide_secrets(str(value))}" for name, value in self.fields(record).items()
        )
        line = f"{time} {record.levelname:<7} {record.name}: {self.message(record)}"
        trace = self.trace(record)
        return line + (f" [{fields}]" if fields else "") + (f"\n{trace}" if trace else "")


def configure_logs(*, as_json: bool, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send every log line of the process to a stream, standard error by default.

    Args:
        as_json: one JSON object a line instead of text.
        level: the lowest that is written: DEBUG, INFO, WARNING, ERROR.
        stream: where to.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if as_json else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    # Libraries only when something is wrong; their own chatter names hosts and payloads.
    for name in ("genesis", "uvicorn.error"):
        logging.getLogger(name).setLevel(level)
