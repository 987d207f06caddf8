"""MCP tools used by agents: real servers as child processes and over HTTP."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from loopback import Serve
from mcp.server.lowlevel import Server
from mcp.server.transport_security import TransportSecuritySettings
from mcp_tool_server import hostile_server, tool_server

from genesis.agents.assignment import Assignment
from genesis.agents.mcp_tools import McpAgent, McpServer, tools_of
from genesis.agents.wire import local_message
from genesis.orchestrator import GenesisOrchestrator
from genesis.tasks.task import Task
from genesis.testing.models import FakeModel
from infrastructure.a2a.types import ArtifactUpdate, StatusUpdate, TaskState
from infrastructure.config import load_settings
from infrastructure.errors import AgentError, AgentMisbehaved, AgentUnavailable, InputError
from infrastructure.models.chat import ChatModels

SCRIPT = str(Path(__file__).with_name("mcp_tool_server.py"))


def toolbox(kind: str = "good", **options: Any) -> McpServer:
    return McpServer(command=[sys.executable, SCRIPT, kind], **options)


@pytest.fixture
async def web_toolbox(serve: Serve) -> McpServer:
    """The same tools over HTTP: quicker to reach than a new process."""
    served = await serve(lambda url: tool_server().streamable_http_app())
    return McpServer(url=f"{served.url}/mcp", allow_private=True)


@asynccontextmanager
async def connected(server: McpServer, **options: Any) -> AsyncGenerator[McpAgent]:
    agent = await McpAgent.connect(server, **options)
    try:
        yield agent
    finally:
        await agent.aclose()


class Asked:
    """What an agent answered to one task."""

    def __init__(self) -> None:
        self.text = self.failure = ""
        self.data: dict[str, Any] = {}
        self.state = TaskState.SUBMITTED
        self.files: list[str] = []


async def ask(
    agent: McpAgent, folder: Path, operation: str, key: str = "k", **inputs: Any
) -> Asked:
    artifacts = folder / "artifacts"
    artifacts.mkdir(exist_ok=True)
    task = Task("t", f"Do {operation}.", "general", operation=operation, produces=("made",))
    assignment = Assignment(task, task.description, inputs, folder, artifacts, idempotency_key=key)
    asked = Asked()
    async for event in agent.send(local_message(assignment, "run")):
        if isinstance(event, ArtifactUpdate):
            for part in event.artifact.parts:
                asked.text = part.text or asked.text
                if isinstance(part.data, dict):
                    asked.data.update(part.data)
        elif isinstance(event, StatusUpdate):
            asked.state = event.state
            if event.message is not None:
                asked.failure = " ".join(part.text or "" for part in event.message.parts)
    asked.files = [str(path) for path in artifacts.iterdir()]
    return asked


async def test_each_tool_is_a_skill_that_needs_its_arguments(web_toolbox: McpServer) -> None:
    async with connected(web_toolbox, name="toolbox", task_types=["analyze_data"]) as agent:
        skills = {skill.id: skill for skill in agent.card.skills}
    assert skills["sum_numbers"].requires == ("numbers",)
    assert skills["sum_numbers"].description == "Adds numbers up."
    assert skills["sum_numbers"].task_types == ("analyze_data",)
    assert not any(skill.needs_model for skill in skills.values())


async def test_arguments_are_inputs_by_name(web_toolbox: McpServer, tmp_path: Path) -> None:
    async with connected(web_toolbox, only=["sum_numbers", "greet_person"]) as agent:
        assert {skill.id for skill in agent.card.skills} == {"sum_numbers", "greet_person"}
        added = await ask(agent, tmp_path, "sum_numbers", numbers=[1, 2, 3.5], other="left out")
        assert added.data == {"made": {"sum": 6.5}}, added.failure
        greeted = await ask(agent, tmp_path, "greet_person", person="Ada")
        assert greeted.text.startswith("Hello, Ada!")
        assert "\x1b" not in greeted.text
        wrong = await ask(agent, tmp_path, "sum_numbers", numbers="many")
        assert "numbers" in wrong.failure
        missing = await ask(agent, tmp_path, "greet_person")
        assert "'person' is a required property" in missing.failure
        assert "GENESIS_MODEL" in missing.failure


async def test_a_model_fills_in_what_is_missing_and_is_corrected(
    web_toolbox: McpServer, tmp_path: Path
) -> None:
    model = FakeModel({"arguments": {"numbers": "1 and 2"}}, {"arguments": {"numbers": [1, 2]}})
    async with connected(web_toolbox, models=ChatModels([model])) as agent:
        skills = {skill.id: skill for skill in agent.card.skills}
        assert skills["sum_numbers"].requires == ()
        assert skills["sum_numbers"].needs_model
        assert not skills["draw_picture"].needs_model
        done = await ask(agent, tmp_path, "sum_numbers", label="total")
        assert done.data == {"made": {"total": 3}}, done.failure
        assert model.calls == 2
        assert "<untrusted" in model.asked[0][-1].text
        stubborn = FakeModel({"arguments": {}})
    async with connected(web_toolbox, models=ChatModels([stubborn])) as agent:
        failed = await ask(agent, tmp_path, "sum_numbers")
        assert "do not fit" in failed.failure
        assert stubborn.calls == 2


async def test_a_tools_failure_fails_its_task_with_the_cause(
    web_toolbox: McpServer, tmp_path: Path
) -> None:
    async with connected(replace(web_toolbox, timeout_s=0.5)) as agent:
        failed = await ask(agent, tmp_path, "fail_always")
        assert failed.state is TaskState.FAILED
        assert "on purpose" in failed.failure
        slow = await ask(agent, tmp_path, "wait_long")
        assert "0.5 s" in slow.failure
        unknown = await ask(agent, tmp_path, "other")
        assert "no tool 'other'" in unknown.failure
        assert (await ask(agent, tmp_path, "greet_person", person="Bo")).text.startswith("Hello")


async def test_files_come_as_artifacts(web_toolbox: McpServer, tmp_path: Path) -> None:
    async with connected(web_toolbox) as agent:
        drawn = await ask(agent, tmp_path, "draw_picture")
    (file,) = drawn.files
    assert file.endswith("draw_picture-0.png")
    assert Path(file).read_bytes() == b"\x89PNG not really"


async def test_a_started_server_gets_no_secrets_and_ends_with_the_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-THISKEYISSECRET0123456789")
    monkeypatch.setenv("SOME_SETTING", "1")
    async with connected(toolbox(environment={"OWN": "2"})) as agent:
        names = set((await ask(agent, tmp_path, "show_environment")).text.split())
        assert "OWN" in names
        assert not names & {"OPENAI_API_KEY", "SOME_SETTING"}
        process = int((await ask(agent, tmp_path, "tell_process")).text)
        os.kill(process, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


async def test_a_line_that_never_ends_fills_no_memory() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(AgentMisbehaved, match="wrote a line of more than"):
        await McpAgent.connect(toolbox("endless"))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024


async def test_a_server_that_died_is_started_again_by_the_next_call(tmp_path: Path) -> None:
    async with connected(toolbox("dying")) as agent:
        died = await ask(agent, tmp_path, "die")
        assert died.state is TaskState.FAILED
        assert "closed the connection" in died.failure
        greeted = await ask(agent, tmp_path, "greet_person", person="Ada")
        assert greeted.text.startswith("Hello, Ada!")


def test_an_agent_made_in_one_event_loop_works_in_another(tmp_path: Path) -> None:
    agent = asyncio.run(McpAgent.connect(toolbox(), only=["greet_person", "tell_process"]))

    async def use() -> str:
        try:
            return (await ask(agent, tmp_path, "greet_person", person="Ada")).text
        finally:
            await agent.aclose()

    assert asyncio.run(use()).startswith("Hello, Ada!")


async def test_calls_at_once_share_a_connection(web_toolbox: McpServer, tmp_path: Path) -> None:
    async with connected(web_toolbox) as agent:
        found = await asyncio.gather(
            *(ask(agent, tmp_path, "greet_person", f"k{n}", person=f"p{n}") for n in range(20)),
            *(ask(agent, tmp_path, "tell_process", f"p{n}") for n in range(5)),
        )
    assert [each.text.split("!")[0] for each in found[:20]] == [f"Hello, p{n}" for n in range(20)]
    assert len({each.text for each in found[20:]}) == 1


@pytest.mark.parametrize(
    ("server", "told"),
    [
        (toolbox("broken"), "database of the toolbox is missing"),
        (toolbox("garbage"), "cannot be used"),
        (McpServer(command=["/no/such/program"]), "cannot be used"),
        (McpServer(url="http://127.0.0.1:9/mcp", allow_private=True), "cannot be reached"),
    ],
    ids=["broken", "garbage", "no program", "nobody there"],
)
async def test_a_server_that_cannot_be_used_is_explained(server: McpServer, told: str) -> None:
    with pytest.raises(AgentUnavailable, match=told):
        await McpAgent.connect(server)


async def test_private_addresses_are_refused_unless_allowed() -> None:
    with pytest.raises(AgentError, match="not a public address"):
        await McpAgent.connect(McpServer(url="http://127.0.0.1:9/mcp"))


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"command": ["x"], "url": "http://a/"},
        {"command": "python server.py"},
        {"url": "ftp://a/"},
        {"url": "http://user:password@host/"},
        {"url": "http://a/", "timeout_s": 0},
    ],
    ids=str,
)
def test_a_wrong_description_of_a_server_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        McpServer(**wrong)


async def test_tools_that_are_not_there_are_named(web_toolbox: McpServer) -> None:
    with pytest.raises(InputError, match="no tool fly"):
        await McpAgent.connect(web_toolbox, only=["fly"])


def over_http(server: Server[Any]) -> Any:
    security = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    return server.streamable_http_app(transport_security=security)


async def test_over_http_with_a_token(serve: Serve, tmp_path: Path) -> None:
    seen: set[str] = set()
    app: Any = tool_server().streamable_http_app()

    async def noting(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            headers = dict(scope["headers"])
            seen.add(headers.get(b"authorization", b"").decode())
        await app(scope, receive, send)

    served = await serve(lambda url: noting)
    server = McpServer(url=f"{served.url}/mcp", token="the-token", allow_private=True)
    async with connected(server) as agent:
        done = await ask(agent, tmp_path, "sum_numbers", numbers=[1, 2])
        assert done.data == {"made": {"sum": 3}}, done.failure
        assert seen == {"Bearer the-token"}
        assert "the-token" not in repr(server)
        await served.kill()
        gone = await ask(agent, tmp_path, "sum_numbers", numbers=[1, 2])
        assert gone.state is TaskState.FAILED
        assert "cannot be reached" in gone.failure


async def test_what_a_hostile_server_says_is_bounded(serve: Serve, tmp_path: Path) -> None:
    served = await serve(lambda url: over_http(hostile_server()))
    async with connected(McpServer(url=f"{served.url}/mcp", allow_private=True)) as agent:
        skills = {skill.id: skill for skill in agent.card.skills}
        assert set(skills) == {"long", "backtracking", "elsewhere", "nonsense"}
        assert len(skills["long"].description) <= 400
        assert skills["long"].description.isprintable()
        long = await ask(agent, tmp_path, "long")
        assert len(long.text) <= 100_000
        slow = await asyncio.wait_for(ask(agent, tmp_path, "backtracking", x="a" * 60 + "!"), 10)
        assert slow.text == "called"
        for unusable in ("elsewhere", "nonsense"):
            assert "schema" in (await ask(agent, tmp_path, unusable, x=1)).failure


@pytest.mark.parametrize("trick", ["redirect", "flood", "garbage", "compressed"])
async def test_tricks_of_a_web_server_are_contained(serve: Serve, trick: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        headers = [(b"content-type", b"application/json")]
        status = 200
        if trick == "redirect":
            status, headers = 307, [(b"location", b"http://169.254.169.254/latest")]
        if trick == "compressed":
            headers.append((b"content-encoding", b"gzip"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if trick == "flood":
            for _ in range(40):
                await send(
                    {"type": "http.response.body", "body": b"x" * 1_000_000, "more_body": True}
                )
        await send({"type": "http.response.body", "body": b"no protocol"})

    served = await serve(lambda url: app)
    async with asyncio.timeout(40):
        with pytest.raises(AgentError):
            await McpAgent.connect(McpServer(url=f"{served.url}/mcp", allow_private=True))


async def test_langchain_tools_for_graphs_of_ones_own(web_toolbox: McpServer) -> None:
    async with tools_of(web_toolbox, only=["sum_numbers", "greet_person", "fail_always"]) as tools:
        by_name = {tool.name: tool for tool in tools}
        call = {"name": "sum_numbers", "args": {"numbers": [1, 2]}, "id": "1", "type": "tool_call"}
        message: Any = await by_name["sum_numbers"].ainvoke(call)
        assert isinstance(message, ToolMessage)
        assert message.artifact == {"sum": 3}
        assert '<untrusted source="tool sum_numbers">' in str(message.content)
        greeted: Any = await by_name["greet_person"].ainvoke({"person": "Ada"})
        assert greeted.count("</untrusted>") == 1
        assert "on purpose" in await by_name["fail_always"].ainvoke({})
        assert "numbers" in await by_name["sum_numbers"].ainvoke({"numbers": "x"})


async def test_langgraphs_tool_node_runs_them(web_toolbox: McpServer) -> None:
    from langgraph.graph import END, START, MessagesState, StateGraph
    from langgraph.prebuilt import ToolNode

    async with tools_of(web_toolbox, only=["sum_numbers"]) as tools:
        builder: Any = StateGraph(MessagesState)
        builder.add_node("tools", ToolNode(tools))
        builder.add_edge(START, "tools")
        builder.add_edge("tools", END)
        wanted = {"name": "sum_numbers", "args": {"numbers": [2, 2]}, "id": "1"}
        state = await builder.compile().ainvoke(
            {"messages": [AIMessage(content="", tool_calls=[wanted])]}
        )
        assert state["messages"][-1].artifact == {"sum": 4}


async def test_an_orchestrator_plans_with_the_tools_and_ends_their_server(tmp_path: Path) -> None:
    agent = await McpAgent.connect(toolbox(), name="toolbox", only=["greet_person", "tell_process"])
    process = int((await ask(agent, tmp_path, "tell_process")).text)
    settings = load_settings(workspace=tmp_path, data_dir=tmp_path / "data")
    async with GenesisOrchestrator(str(tmp_path / "memory.db"), settings=settings) as orchestrator:
        orchestrator.register_agent(agent)
        result = await orchestrator.execute_orchestrated_request(
            "Please greet the person.", context={"person": "Ada"}
        )
        assert result.success, result.errors
        assert "Hello, Ada!" in result.output
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
