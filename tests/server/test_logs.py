"""Log lines: one line each, with their request, without secrets."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from infrastructure.observability.logs import FIELDS, REQUEST, configure_logs


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in ("genesis", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def _lines(*, as_json: bool) -> tuple[logging.Logger, io.StringIO]:
    out = io.StringIO()
    configure_logs(as_json=as_json, stream=out)
    return logging.getLogger("genesis.test"), out


def test_a_json_line_carries_its_request_and_its_figures() -> None:
    log, out = _lines(as_json=True)
    bound = REQUEST.set({"request_id": "r1", "tenant": "team-a"})
    log.info("took %s", "it", extra={FIELDS: {"ms": 1.5}})
    REQUEST.reset(bound)
    log.warning("outside")

    first, second = (json.loads(line) for line in out.getvalue().splitlines())
    assert first["message"] == "took it"
    assert (first["request_id"], first["tenant"], first["ms"]) == ("r1", "team-a", 1.5)
    assert first["level"] == "INFO"
    assert first["time"].endswith("+00:00")
    assert "request_id" not in second


@pytest.mark.parametrize("as_json", [True, False])
def test_secrets_are_in_no_line(monkeypatch: pytest.MonkeyPatch, as_json: bool) -> None:
    monkeypatch.setenv("GENESIS_TOKEN", "the-secret-itself")
    log, out = _lines(as_json=as_json)
    try:
        raise ValueError("key-abcdefgh was refused, and the-secret-itself too")
    except ValueError:
        log.exception("with the-secret-itself", extra={FIELDS: {"given": "Bearer abcdefgh"}})
    for secret in ("the-secret-itself", "abcdefgh"):
        assert secret not in out.getvalue()
    assert "ValueError" in out.getvalue()


def test_what_is_logged_makes_no_line_of_its_own() -> None:
    log, out = _lines(as_json=False)
    log.info("a request named %s", "x\n12:00:00 ERROR   genesis: forged\x1b[31m")
    assert len(out.getvalue().splitlines()) == 1
    assert "\x1b" not in out.getvalue()


def test_libraries_are_heard_only_when_something_is_wrong() -> None:
    log, out = _lines(as_json=True)
    logging.getLogger("httpx").info("chatter")
    logging.getLogger("httpx").warning("trouble")
    log.debug("detail")
    assert [json.loads(line)["message"] for line in out.getvalue().splitlines()] == ["trouble"]
