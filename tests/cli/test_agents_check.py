"""`genesis agents check` as a user runs it: findings on stdout, 1 when something is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
import yaml


def _check(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("GENESIS", "MEMORI"))}
    return subprocess.run(
        [sys.executable, "-m", "genesis.cli.app", "agents", "check", *arguments],
        cwd=folder,
        env={**inherited, "GENESIS_DATA_DIR": str(folder), **environment},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def _found(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(done.stdout))


def test_what_ships_is_sound(tmp_path: Path) -> None:
    done = _check(tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    found = _found(done)
    assert found["sound"]
    assert "data_analyst" in found["agents"]
    assert {one["severity"] for one in found["findings"]} == {"warning"}  # no model is set
    shown = _check(tmp_path)
    assert shown.returncode == 0
    assert "GENESIS_MODEL" in shown.stdout
    assert "0 errors" in shown.stderr


@pytest.mark.parametrize(
    ("rules", "kind", "subject", "message"),
    [
        (
            "rules:\n  - {name: r, then: {assign: ghost}, because: x}\n",
            "rule",
            "r",
            "line 2: no agent is registered that is ghost",
        ),
        (
            "rules:\n  - {name: r, then: {asign: x}, because: x}\n",
            "configuration",
            "routing_rules.yaml, line 2, rule 'r'",
            "did you mean 'assign'?",
        ),
        (
            "rules:\n"
            "  - {name: p, priority: 1, then: {forbid: tester}, because: x}\n"
            "  - {name: q, then: {assign: tester}, because: x}\n",
            "configuration",
            "line 3, rule 'q'",
            "can never change anything: rule 'p' (line 2)",
        ),
    ],
)
def test_rules_that_are_wrong_are_named(
    tmp_path: Path, rules: str, kind: str, subject: str, message: str
) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "routing_rules.yaml").write_text(rules)
    done = _check(tmp_path, "--json")
    assert done.returncode == 1, done.stderr
    (error,) = [one for one in _found(done)["findings"] if one["severity"] == "error"]
    assert error["kind"] == kind
    assert subject in error["subject"]
    assert message in error["message"]
    assert error["remedy"]


def test_a_url_where_nobody_answers_is_an_error(tmp_path: Path) -> None:
    done = _check(tmp_path, "http://127.0.0.1:9/")
    assert done.returncode == 1
    assert "http://127.0.0.1:9/" in done.stdout
    assert "1 error," in done.stderr
    bad = _check(tmp_path, "ftp://x")
    assert bad.returncode == 2
    assert "is not the URL of an A2A agent" in bad.stderr


def test_one_agent_cannot_be_two(tmp_path: Path) -> None:
    rules = {
        "rules": [],
        "separate": [
            {"name": "four-eyes", "between": ["profile_data", "answer_questions"], "because": "x"}
        ],
    }
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "routing_rules.yaml").write_text(yaml.safe_dump(rules))
    done = _check(tmp_path, "--json")
    assert done.returncode == 1
    (error,) = [one for one in _found(done)["findings"] if one["severity"] == "error"]
    assert (error["kind"], error["subject"]) == ("team", "four-eyes")
    assert "only 'data_analyst' can do either" in error["message"]
