"""The orchestrator as a LangGraph graph, for `langgraph.json` and for users' own graphs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from importlib import import_module
from pathlib import Path
from typing import Any, Final, cast

import pytest
from langgraph.graph import START, StateGraph
from langgraph.types import Command

from genesis import GenesisOrchestrator, Skill
from genesis.errors import InputError
from genesis.studio import AskedRun, request_graph
from genesis.testing import Ask, FakeAgent
from infrastructure.config import load_flags, load_settings
from infrastructure.memory.memori import MemoriSaver

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "studio.md"
REQUEST: Final = "Tell me something nice about Oslo"
ANSWER: Final = "It is nice there."


def orchestrator_in(folder: Path, *outcomes: Any) -> GenesisOrchestrator:
    settings = load_settings(
        {}, workspace=folder, data_dir=folder / "data", db_path=str(folder / "genesis.db")
    )
    answer = Skill("answer", "Answers.", produces=("answer",))
    agent = FakeAgent("talker", *(outcomes or ({"answer": ANSWER},)), skills=[answer])
    return GenesisOrchestrator(settings=settings, flags=load_flags({}), agents=[agent])


@pytest.fixture
async def orchestrator(tmp_path: Path) -> AsyncIterator[GenesisOrchestrator]:
    async with orchestrator_in(tmp_path) as made:
        yield made


def thread(thread_id: str) -> Any:
    return {"configurable": {"thread_id": thread_id}}


async def test_a_request_is_answered(orchestrator: GenesisOrchestrator) -> None:
    graph = request_graph(orchestrator)
    done = await graph.ainvoke({"request": REQUEST, "session_id": "s"})
    assert done["status"] == "completed"
    assert ANSWER in done["output"]
    assert done["errors"] == []
    assert done["result"]["session_id"] == "s"
    assert str(await orchestrator.explain(done["run_id"]))


async def test_its_decisions_are_streamed(orchestrator: GenesisOrchestrator) -> None:
    graph = request_graph(orchestrator)
    told = [event async for event in graph.astream({"request": REQUEST}, stream_mode="custom")]
    assert {"PlanMade", "TasksRouted", "PlanValidated", "PlanPriced", "RunEnded"} <= {
        event["type"] for event in told
    }


async def test_an_approval_is_an_interrupt_that_another_process_may_answer(tmp_path: Path) -> None:
    place = tmp_path / "checkpoints.db"
    async with orchestrator_in(tmp_path) as first, MemoriSaver.open(place) as saver:
        graph = request_graph(first, saver)
        paused = await graph.ainvoke({"request": REQUEST, "approve": ["plan"]}, thread("1"))
        (question,) = paused["__interrupt__"][0].value["approvals"]
        assert question["kind"] == "plan"
    async with orchestrator_in(tmp_path) as second, MemoriSaver.open(place) as saver:
        graph = request_graph(second, saver)
        done = await graph.ainvoke(Command(resume="approve"), thread("1"))
        assert done["status"] == "completed"
        assert done["run_id"] == question["run_id"]
        # Nothing of the run's own graphs is in the checkpointer.
        namespaces = {each.config.get("configurable", {})["checkpoint_ns"]
                      async for each in saver.alist(None)}  # fmt: skip
        assert namespaces == {""}


async def test_a_rejected_plan_ends_the_run(tmp_path: Path) -> None:
    async with orchestrator_in(tmp_path) as made, MemoriSaver.open(":memory:") as saver:
        graph = request_graph(made, saver)
        await graph.ainvoke({"request": REQUEST, "approve": ["plan"]}, thread("1"))
        again = await graph.ainvoke(Command(resume=[True, True]), thread("1"))
        assert "2 were given" in again["__interrupt__"][0].value["problem"]
        done = await graph.ainvoke(Command(resume=False), thread("1"))
        assert done["status"] in ("failed", "canceled")
        assert done["errors"]


async def test_an_agent_s_question_reaches_the_person(tmp_path: Path) -> None:
    outcomes = [Ask("Which Oslo?"), {"answer": "Norway's."}]
    async with orchestrator_in(tmp_path, *outcomes) as made, MemoriSaver.open(":memory:") as saver:
        graph = request_graph(made, saver)
        paused = await graph.ainvoke({"request": REQUEST}, thread("1"))
        (question,) = paused["__interrupt__"][0].value["approvals"]
        assert question["kind"] == "input"
        assert "Which Oslo?" in question["question"]
        again = await graph.ainvoke(Command(resume={"answer": "Norway"}), thread("1"))
        assert "decision, edit" in again["__interrupt__"][0].value["problem"]
        answer = {"decision": "edit", "edit": "the one in Norway", "by": "ada"}
        done = await graph.ainvoke(Command(resume=[answer]), thread("1"))
        assert "Norway's." in done["output"]


async def test_what_was_decided_elsewhere_is_not_asked_again(tmp_path: Path) -> None:
    async with orchestrator_in(tmp_path) as made, MemoriSaver.open(":memory:") as saver:
        graph = request_graph(made, saver)
        paused = await graph.ainvoke({"request": REQUEST, "approve": ["plan"]}, thread("1"))
        await made.approve(paused["run_id"])
        done = await graph.ainvoke(Command(resume="whatever"), thread("1"))
        assert done["status"] == "completed"


async def test_a_request_that_cannot_be_is_told(orchestrator: GenesisOrchestrator) -> None:
    graph = request_graph(orchestrator)
    with pytest.raises(InputError):
        await graph.ainvoke({"request": " "})


def test_langgraph_json_names_graphs_that_have_no_checkpointer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMORI_DB_PATH", str(tmp_path / "genesis.db"))
    monkeypatch.setenv("GENESIS_DATA_DIR", str(tmp_path))
    named = json.loads((ROOT / "langgraph.json").read_text())
    assert named["env"]["LANGGRAPH_STRICT_MSGPACK"] == "true"
    nodes = {}
    for name, described in named["graphs"].items():
        path, _, factory = described["path"].partition(":")
        module = import_module(path.removeprefix("./").removesuffix(".py").replace("/", "."))
        graph = getattr(module, factory)()
        assert not graph.checkpointer
        nodes[name] = set(graph.get_graph().nodes)
        if name == "genesis":
            assert "request" in graph.get_input_jsonschema()["properties"]
    assert {"accept", "work", "ask"} <= nodes["genesis"]
    assert {"recall", "htdag", "halo", "aop", "daao", "execute", "record", "compact"} <= (
        nodes["steps"]
    )


def test_the_example_of_the_page_runs(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("city,price\nOslo,3\nRome,8\n")
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    own = {k: v for k, v in os.environ.items() if not k.startswith(("GENESIS_", "MEMORI_"))}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**own, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "PlanMade" in done.stdout
    assert "2 rows" in done.stdout


async def test_a_node_of_a_user_s_graph_may_ask_the_orchestrator(
    orchestrator: GenesisOrchestrator,
) -> None:
    async def ask(state: Any) -> dict[str, str]:
        answers = [await orchestrator.execute_orchestrated_request(REQUEST) for _ in range(2)]
        return {"request": " ".join(answer.state for answer in answers)}

    builder = cast("Any", StateGraph(AskedRun))
    builder.add_node("ask", ask)
    builder.add_edge(START, "ask")
    async with MemoriSaver.open(":memory:") as saver:
        graph = builder.compile(checkpointer=saver)
        done = await graph.ainvoke({"request": ""}, thread("1"))
    assert done["request"] == "completed completed"
