"""The orchestrator and the command line with their memory on a PostgreSQL server."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from genesis import GenesisOrchestrator, OrchestrationResult, Skill
from genesis.errors import InputError, StoreUnavailable
from genesis.testing import FakeAgent
from infrastructure.config import load_flags, load_settings

SECRET = "hidden-7"
OSLO, ROME = "Tell me something nice about Oslo", "Tell me something nice about Rome"
Make = Callable[[str], GenesisOrchestrator]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Builds orchestrators that know one agent, on a given place."""

    def build(place: str) -> GenesisOrchestrator:
        settings = load_settings(
            {}, workspace=tmp_path, data_dir=tmp_path / "data", db_path=place, run_timeout_s=60
        )
        answer = Skill("answer", "Answers.", produces=("answer",))
        agent = FakeAgent("talker", {"answer": "It is nice there."}, skills=[answer])
        return GenesisOrchestrator(settings=settings, flags=load_flags({}), agents=[agent])

    return build


@pytest.fixture
def secret_url(postgres_url: str) -> str:
    """The database's address with a password, which the server does not ask for."""
    parts = conninfo_to_dict(postgres_url)
    return f"postgresql://postgres:{SECRET}@/{parts['dbname']}?host={parts['host']}"


async def test_the_second_request_recalls_the_first(make: Make, postgres_url: str) -> None:
    async with make(postgres_url) as orchestrator:
        first = await orchestrator.execute_orchestrated_request(OSLO, "s")
    async with make(postgres_url) as orchestrator:
        second = await orchestrator.execute_orchestrated_request(ROME, "s")
        metrics = await orchestrator.get_workflow_learning_metrics()
        await orchestrator.record_feedback(second.run_id, success=False)
        corrected = await orchestrator.get_workflow_learning_metrics()
        assert str(await orchestrator.explain(first.run_id))
    assert first.success
    assert second.success
    assert first.recalled.similar_runs == []
    assert second.recalled.similar_runs == [first.run_id]
    assert "1 of 1 runs verified" in second.recalled.patterns[0]
    assert (metrics["total_workflows_executed"], metrics["overall_success_rate"]) == (2, 1.0)
    assert corrected["overall_success_rate"] == 0.5


async def test_two_orchestrators_share_what_they_learn(make: Make, postgres_url: str) -> None:
    async with make(postgres_url) as one, make(postgres_url) as other:
        first = await one.execute_orchestrated_request(OSLO)
        second = await other.execute_orchestrated_request(ROME)
        assert second.recalled.similar_runs == [first.run_id]
        results = await asyncio.gather(
            *(
                o.execute_orchestrated_request(f"{OSLO}, {n}")
                for n in range(10)
                for o in (one, other)
            )
        )
        assert all(result.success for result in results)
        for orchestrator in (one, other):
            metrics = await orchestrator.get_workflow_learning_metrics()
            assert metrics["total_workflows_executed"] == 22


def test_orchestrators_in_two_threads_share_one_store(make: Make, postgres_url: str) -> None:
    results: list[OrchestrationResult] = []

    async def several() -> None:
        async with make(postgres_url) as orchestrator:
            requests = (f"{ROME}, {n}" for n in range(5))
            results.extend([await orchestrator.execute_orchestrated_request(r) for r in requests])

    threads = [threading.Thread(target=lambda: asyncio.run(several())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 10
    assert all(result.success for result in results)


def test_processes_share_one_store_and_the_command_line_reads_it(
    tmp_path: Path, postgres_url: str, secret_url: str
) -> None:
    (tmp_path / "prices.csv").write_text("city;price\nOslo;1,5\nRome;2,5\nRome;3,5\n")
    question = "How many rows are in prices.csv, and which city has the highest mean price?"
    started = [_start(tmp_path, secret_url, "run", question, "--json") for _ in range(2)]
    results = [json.loads(process.communicate(timeout=90)[0]) for process in started]
    assert [result["success"] for result in results] == [True, True]
    listed = json.loads(_said(_start(tmp_path, secret_url, "runs", "--json")))["runs"]
    assert {run["run_id"] for run in listed} == {result["run_id"] for result in results}
    metrics = json.loads(_said(_start(tmp_path, secret_url, "metrics", "--json")))
    assert metrics["total_workflows_executed"] == 2


async def test_the_password_is_shown_nowhere(
    make: Make, tmp_path: Path, secret_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = f"postgresql://me:{SECRET}@127.0.0.1:1/db"
    told = [
        _said(_start(tmp_path, place, *command))
        for place in (secret_url, nowhere, f"postgresql://me:a@{SECRET}@127.0.0.1:1/db")
        for command in (("doctor",), ("path",), ("run", "hello"))
    ]
    with caplog.at_level(logging.DEBUG):
        async with make(secret_url) as orchestrator:
            await orchestrator.execute_orchestrated_request(OSLO)
        with pytest.raises(StoreUnavailable, match=r"me@127.0.0.1:1/db") as raised:
            async with make(nowhere) as orchestrator:
                await orchestrator.execute_orchestrated_request(OSLO)
    error: BaseException | None = raised.value
    while error is not None:
        told.append(f"{error!r}")
        error = error.__cause__ or error.__context__
    assert "memory integration enabled: postgresql://postgres@/" in caplog.text
    assert "me@127.0.0.1:1/db" in "".join(told)
    assert SECRET not in caplog.text + "".join(told)


@pytest.mark.parametrize(
    "place",
    [
        "redis://localhost",
        f"postgresql://me:a@{SECRET}@host/db",
        f"postgresql://me:{SECRET}/b@host/db",
        f"postgresql://me:{SECRET}%zz@host/db",
    ],
)
def test_an_address_that_cannot_be_read_is_refused_without_a_look_at_it(
    make: Make, place: str
) -> None:
    with pytest.raises(InputError, match=r"postgresql://") as raised:
        make(place)
    assert SECRET not in f"{raised.value!r} {raised.value.__cause__!r}"
    assert getattr(raised.value.__cause__, "__cause__", None) is None


def _start(folder: Path, place: str, *arguments: str) -> subprocess.Popen[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("GENESIS", "MEMORI"))}
    own = {"MEMORI_DB_PATH": place, "GENESIS_DATA_DIR": str(folder / "data")}
    return subprocess.Popen(
        [sys.executable, "-m", "genesis.cli.app", *arguments],
        cwd=folder,
        env={**environment, **own},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _said(process: subprocess.Popen[str]) -> str:
    """All that a command printed; on a success, its standard output alone."""
    out, err = process.communicate(timeout=90)
    return out if process.returncode == 0 else out + err
