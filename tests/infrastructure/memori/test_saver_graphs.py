"""LangGraph graphs on a MemoriSaver: resumed, forked, in parallel, with subgraphs and deltas."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict, cast

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.channels.delta import DeltaChannel
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, Send, interrupt

from infrastructure.memory.memori.checkpoints import MemoriSaver


@dataclass(frozen=True)
class Verdict:
    ok: bool
    reasons: list[str]


class Essay(TypedDict, total=False):
    topic: str
    text: str
    verdict: Verdict
    trail: Annotated[list[str], operator.add]


@pytest.fixture
async def saver(place: str) -> AsyncGenerator[MemoriSaver]:
    async with MemoriSaver.open(place) as opened:
        yield opened


def graph_of(*nodes: Any, state: Any = Essay, saver: MemoriSaver, **compiled: Any) -> Any:
    """The nodes one after another."""
    builder = cast("Any", StateGraph(state))
    builder.add_sequence(list(nodes))
    builder.add_edge(START, nodes[0].__name__)
    return builder.compile(checkpointer=saver, **compiled)


def write(state: Essay) -> Essay:
    return {"text": f"On {state.get('topic')}.", "trail": ["write"]}


def review(state: Essay) -> Essay:
    said = interrupt({"read": state.get("text")})
    return {"verdict": Verdict(said == "good", [said]), "trail": ["review"]}


def publish(state: Essay) -> Essay:
    return {"text": f"{state.get('text')} Published.", "trail": ["publish"]}


def thread(thread_id: str) -> Any:
    return {"configurable": {"thread_id": thread_id}}


async def test_an_interrupt_waits_in_the_store_and_is_resumed_by_another_saver(
    shared_place: str,
) -> None:
    async with MemoriSaver.open(shared_place) as first:
        graph = graph_of(write, review, publish, saver=first)
        paused = await graph.ainvoke({"topic": "snow"}, thread("1"))
        assert paused["__interrupt__"][0].value == {"read": "On snow."}
    async with MemoriSaver.open(shared_place) as second:
        graph = graph_of(write, review, publish, saver=second)
        state = await graph.aget_state(thread("1"))
        assert state.next == ("review",)
        done = await graph.ainvoke(Command(resume="good"), thread("1"))
    assert done["text"] == "On snow. Published."
    assert done["verdict"] == Verdict(True, ["good"])
    assert done["trail"] == ["write", "review", "publish"]
    async with MemoriSaver.open(shared_place) as third:
        graph = graph_of(write, review, publish, saver=third)
        assert (await graph.aget_state(thread("1"))).values["verdict"] == done["verdict"]


def test_graphs_without_an_event_loop_use_the_same_saver(place: str) -> None:
    with MemoriSaver.from_conn_string(place) as saver:
        graph = graph_of(write, review, publish, saver=saver)
        graph.invoke({"topic": "rain"}, thread("1"))
        done = graph.invoke(Command(resume="poor"), thread("1"))
        assert done["verdict"] == Verdict(False, ["poor"])
        assert [state.next for state in graph.get_state_history(thread("1"))] == [
            (), ("publish",), ("review",), ("write",), ("__start__",),
        ]  # fmt: skip


async def test_a_fork_leaves_the_first_branch_as_it_was(saver: MemoriSaver) -> None:
    graph = graph_of(write, publish, saver=saver)
    await graph.ainvoke({"topic": "snow"}, thread("1"))
    history = [state async for state in graph.aget_state_history(thread("1"))]
    before_publishing = next(state for state in history if state.next == ("publish",))
    forked = await graph.aupdate_state(before_publishing.config, {"text": "Anew."})
    again = await graph.ainvoke(None, forked)
    assert again["text"] == "Anew. Published."
    first_end = await graph.aget_state(history[0].config)
    assert first_end.values["text"] == "On snow. Published."
    replayed = await graph.ainvoke(None, before_publishing.config)
    assert replayed["text"] == "On snow. Published."
    latest = await graph.aget_state(thread("1"))
    assert latest.values == replayed


class Counted(TypedDict):
    of: list[int]
    squares: Annotated[list[int], operator.add]


def fan_out(state: Counted) -> list[Send]:
    return [Send("square", number) for number in state["of"]]


async def test_parallel_branches_that_finished_do_not_run_again(saver: MemoriSaver) -> None:
    ran: list[int] = []
    others_ran = asyncio.Event()
    broken = True

    async def square(number: Any) -> dict[str, list[int]]:
        if number == 7 and broken:
            await others_ran.wait()
            raise RuntimeError("seven")
        ran.append(number)
        if len(ran) == 9:
            others_ran.set()
        return {"squares": [number * number]}

    builder = cast("Any", StateGraph(Counted))
    builder.add_node("square", square)
    builder.add_conditional_edges(START, fan_out, ["square"])
    graph = builder.compile(checkpointer=saver)
    with pytest.raises(RuntimeError, match="seven"):
        await graph.ainvoke({"of": list(range(10)), "squares": []}, thread("1"))
    broken = False
    done = await graph.ainvoke(None, thread("1"))
    assert done["squares"] == [number * number for number in range(10)]
    assert sorted(ran) == list(range(10))


async def test_a_subgraph_has_its_own_namespace_and_is_resumed_inside(saver: MemoriSaver) -> None:
    inner = cast("Any", StateGraph(Essay))
    inner.add_sequence([write, review])
    inner.add_edge(START, "write")
    outer = cast("Any", StateGraph(Essay))
    outer.add_node("inner", inner.compile())
    outer.add_node("publish", publish)
    outer.add_edge(START, "inner")
    outer.add_edge("inner", "publish")
    graph = outer.compile(checkpointer=saver)
    await graph.ainvoke({"topic": "fog"}, thread("1"))
    state = await graph.aget_state(thread("1"), subgraphs=True)
    assert state.tasks[0].state.next == ("review",)
    done = await graph.ainvoke(Command(resume="good"), thread("1"))
    assert done["text"] == "On fog. Published."
    namespaces = {
        found.config.get("configurable", {})["checkpoint_ns"] async for found in saver.alist(None)
    }
    assert len(namespaces) == 2


class Chat(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]


async def test_messages_come_back_as_messages(saver: MemoriSaver) -> None:
    def answer(state: Chat) -> dict[str, Any]:
        return {"messages": [AIMessage(f"You said {state['messages'][-1].content}", id="a")]}

    graph = graph_of(answer, state=Chat, saver=saver)
    await graph.ainvoke({"messages": [HumanMessage("hello", id="h")]}, thread("1"))
    state = await graph.aget_state(thread("1"))
    assert state.values["messages"] == [
        HumanMessage("hello", id="h"), AIMessage("You said hello", id="a"),
    ]  # fmt: skip


def appended(items: list[str], writes: Sequence[list[str]]) -> list[str]:
    return [*items, *(item for write in writes for item in write)]


class Log(TypedDict):
    lines: Annotated[list[str], DeltaChannel(appended, snapshot_frequency=7)]


def log_line(state: Log) -> dict[str, list[str]]:
    return {"lines": [f"line {len(state['lines'])}"]}


@pytest.mark.filterwarnings("ignore:.*DeltaChannel.*")
async def test_delta_channels_are_rebuilt_also_after_pruning(saver: MemoriSaver) -> None:
    graph = graph_of(log_line, state=Log, saver=saver)
    for number in range(20):
        await graph.ainvoke({"lines": [f"input {number}"]}, thread("1"))
    whole = (await graph.aget_state(thread("1"))).values["lines"]
    assert len(whole) == 40
    assert len(set(whole)) == 40
    history = [state async for state in graph.aget_state_history(thread("1"))]
    lengths = [len(state.values["lines"]) for state in history if not state.next]
    assert lengths == list(range(40, 0, -2))
    before = len(history)
    await saver.aprune(["1"])
    assert len([state async for state in graph.aget_state_history(thread("1"))]) < before
    assert (await graph.aget_state(thread("1"))).values["lines"] == whole
    await graph.ainvoke({"lines": ["more"]}, thread("1"))
    assert (await graph.aget_state(thread("1"))).values["lines"] == [*whole, "more", "line 41"]


async def test_delta_histories_are_those_that_langgraph_works_out_by_itself(
    saver: MemoriSaver,
) -> None:
    graph = graph_of(log_line, state=Log, saver=saver)
    for number in range(5):
        await graph.ainvoke({"lines": [f"input {number}"]}, thread("1"))
    async for found in saver.alist(thread("1")):
        ours = await saver.aget_delta_channel_history(config=found.config, channels=["lines"])
        theirs = await super(MemoriSaver, saver).aget_delta_channel_history(
            config=found.config, channels=["lines"]
        )
        assert ours == theirs
        assert saver.get_delta_channel_history(config=found.config, channels=["lines"]) == theirs
    assert await saver.aget_delta_channel_history(config=thread("none"), channels=["lines"]) == {
        "lines": {"writes": []}
    }


async def test_many_threads_at_once_keep_apart(saver: MemoriSaver) -> None:
    graph = graph_of(write, publish, saver=saver)
    done = await asyncio.gather(
        *(graph.ainvoke({"topic": f"topic {number}"}, thread(str(number))) for number in range(40))
    )
    assert [each["text"] for each in done] == [
        f"On topic {number}. Published." for number in range(40)
    ]
    for number in (0, 39):
        state = await graph.aget_state(thread(str(number)))
        assert state.values["text"] == f"On topic {number}. Published."


async def test_a_thread_s_id_need_not_be_text(saver: MemoriSaver) -> None:
    graph = graph_of(write, publish, saver=saver)
    config = {"configurable": {"thread_id": 7}}
    await graph.ainvoke({"topic": "ice"}, config)
    assert (await graph.aget_state(config)).values["topic"] == "ice"
    assert (await graph.aget_state(thread("7"))).values["topic"] == "ice"


async def test_a_graph_may_end_with_one_checkpoint_alone(saver: MemoriSaver) -> None:
    graph = graph_of(write, publish, saver=saver)
    await graph.ainvoke({"topic": "dew"}, thread("1"), durability="exit")
    state = await graph.aget_state(thread("1"))
    assert state.values["text"] == "On dew. Published."
    assert len([each async for each in saver.alist(thread("1"))]) == 1
