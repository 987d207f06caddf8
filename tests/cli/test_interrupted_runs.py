"""Runs cut off by signals: left to be resumed, and gone on with where they were."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_process import Cli
from openai_server import ChatRequest, OpenAIServer, Reply

REQUEST = "Write a short poem about autumn leaves"
POEM = "Red leaves fall on cold ground."


class Writer:
    """A chat model on loopback that holds its texts back until it is let go on."""

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)
        self.may_answer = threading.Event()
        self.texts = 0

    def __call__(self, request: ChatRequest) -> Reply:
        if request.schema:
            return Reply("no plan", 10, 10)
        self.texts += 1
        self.asked.release()
        self.may_answer.wait(60)
        return Reply(POEM, 10, 10)

    def wait_until_asked(self) -> None:
        """Block until somebody waits for a text."""
        assert self.asked.acquire(timeout=60)


@pytest.fixture
def writer() -> Writer:
    return Writer()


@pytest.fixture
def cli(writer: Writer, tmp_path: Path) -> Iterator[Cli]:
    with OpenAIServer(writer) as server:
        yield Cli(
            tmp_path,
            tmp_path / "data",
            GENESIS_MODEL="openai:gpt-4.1-mini",
            OPENAI_BASE_URL=server.url,
            OPENAI_API_KEY="sk-secret",
        )
        writer.may_answer.set()


def test_ctrl_c_prints_the_command_that_goes_on_with_the_run(cli: Cli, writer: Writer) -> None:
    with cli.start("run", REQUEST) as started:
        writer.wait_until_asked()
        done = started.ended(signal.SIGINT)
    assert (done.returncode, done.stdout) == (130, "")
    (run,) = cli.json("runs", "--state", "interrupted")["runs"]
    resume = f"genesis resume {run['run_id']}"
    assert resume in done.stderr
    assert resume in cli("show", str(run["run_id"])).stdout
    writer.may_answer.set()
    resumed = cli(*resume.split()[1:])
    assert (resumed.returncode, resumed.stdout.strip()) == (0, POEM)
    assert writer.texts == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_json_of_an_interrupted_run_is_one_document(
    cli: Cli, writer: Writer, number: signal.Signals
) -> None:
    with cli.start("run", REQUEST, "--json") as started:
        writer.wait_until_asked()
        if number != signal.SIGINT:  # lets what is under way end first
            writer.may_answer.set()
        done = started.ended(number)
    result = json.loads(done.stdout)
    if number == signal.SIGINT:
        assert (done.returncode, result["state"], done.stderr) == (130, "interrupted", "")
    else:
        assert result["state"] in ("completed", "interrupted")
        assert done.returncode == (0 if result["success"] else 128 + number)


def test_a_killed_run_is_shown_as_interrupted_and_goes_on(cli: Cli, writer: Writer) -> None:
    with cli.start("run", REQUEST) as started:
        writer.wait_until_asked()
        assert [run["state"] for run in cli.json("runs")["runs"]] == ["running"]
        assert started.ended(signal.SIGKILL).returncode == -signal.SIGKILL
    (run,) = cli.json("runs")["runs"]
    assert run["state"] == "interrupted"
    writer.may_answer.set()
    resumed = cli("resume", str(run["run_id"]))
    assert (resumed.returncode, resumed.stdout.strip()) == (0, POEM)


def test_a_run_that_another_process_works_on(cli: Cli, writer: Writer) -> None:
    """It can be shown and is not taken away; told to end, it ends there."""
    with cli.start("run", REQUEST, GENESIS_RUN_LEASE_S="1.5") as started:
        writer.wait_until_asked()
        run_id = str(cli.json("runs", "--state", "running")["runs"][0]["run_id"])
        assert f"genesis cancel {run_id}" in cli("show", run_id).stdout
        busy = cli.json("resume", run_id, code=1)["error"]
        assert busy["kind"] == "RunBusy"
        told = cli.json("cancel", run_id, "--reason", "changed my mind")
        assert told["canceled"] is True
        done = started.ended()
    assert done.returncode == 1
    assert "changed my mind" in done.stderr
    assert cli.json("show", run_id)["state"] == "canceled"
