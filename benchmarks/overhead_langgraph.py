"""The jobs as LangGraph programs: in one node, a node a task, and `Send` a level."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, TypedDict, cast

from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send
from overhead_timing import Opener, Way
from overhead_work import Job, Shape, run_eagerly


def merge(left: dict[str, str], right: dict[str, str]) -> dict[str, str]:
    """The reducer of the state: results by task."""
    return {**left, **right}


class Results(TypedDict):
    """The state of the graphs."""

    done: Annotated[dict[str, str], merge]


class Sent(TypedDict):
    """What a worker is sent."""

    task: str


def in_node(job: Job) -> Any:
    """One node, inside which asyncio runs the DAG: quickest, and a crash loses all of it."""

    async def execute(state: Results) -> Results:
        return {"done": await run_eagerly(job.shape, lambda task, _: job.agent(task))}

    builder = cast("Any", StateGraph(Results))
    builder.add_node("execute", execute)
    builder.add_edge(START, "execute")
    builder.add_edge("execute", END)
    return builder


def node_a_task(job: Job) -> Any:
    """A node for each task: the DAG is known before the program starts."""
    builder = cast("Any", StateGraph(Results))
    for name in job.shape.needs:

        async def node(state: Results, name: str = name) -> Results:
            return {"done": {name: await job.agent(name)}}

        builder.add_node(name, node)
    for name, needs in job.shape.needs.items():
        builder.add_edge(list(needs) if needs else START, name)
    builder.add_edge(job.shape.last, END)
    return builder


def send_a_level(job: Job) -> Any:
    """A DAG known at run time only: all tasks that are ready are sent, and waited for."""

    async def work(sent: Sent) -> Results:
        return {"done": {sent["task"]: await job.agent(sent["task"])}}

    async def level(state: Results) -> Results:
        return {"done": {}}

    def ready(state: Results) -> list[Send] | str:
        return _ready(job.shape, state)

    builder = cast("Any", StateGraph(Results))
    builder.add_node("level", level)
    builder.add_node("work", work)
    builder.add_edge(START, "level")
    builder.add_conditional_edges("level", ready, ["work", END])
    builder.add_edge("work", "level")
    return builder


def _ready(shape: Shape, state: Results) -> list[Send] | str:
    done = state["done"]
    ready = [
        Send("work", {"task": task})
        for task, needs in shape.needs.items()
        if task not in done and all(need in done for need in needs)
    ]
    return ready or END


def without_saver(build: Callable[[Job], Any]) -> Opener:
    """The graph with nothing durable."""

    @asynccontextmanager
    async def opened(job: Job, folder: Path) -> AsyncGenerator[Way]:
        yield _way(job, build(job).compile(), {})

    return opened


def with_saver(build: Callable[[Job], Any], durability: str) -> Opener:
    """The graph with AsyncSqliteSaver: `sync` waits for each checkpoint, `async` writes beside."""

    @asynccontextmanager
    async def opened(job: Job, folder: Path) -> AsyncGenerator[Way]:
        place = folder / f"{job.shape.name}.db"
        async with AsyncSqliteSaver.from_conn_string(str(place)) as saver:
            yield _way(job, build(job).compile(checkpointer=saver), {"durability": durability})

    return opened


def _way(job: Job, graph: Any, options: dict[str, str]) -> Way:
    async def run(number: int) -> None:
        config = {"configurable": {"thread_id": f"run-{number}"}}
        state = await graph.ainvoke({"done": {}}, config, **options)
        if len(state["done"]) != len(job.shape.needs):
            raise RuntimeError(f"the graph ended with {state}")

    return Way(run)


ROWS: dict[str, Opener] = {
    "langgraph_in_node": without_saver(in_node),
    "langgraph_nodes": without_saver(node_a_task),
    "langgraph_send": without_saver(send_a_level),
    "langgraph_nodes_sqlite_sync": with_saver(node_a_task, "sync"),
    "langgraph_nodes_sqlite_async": with_saver(node_a_task, "async"),
    "langgraph_send_sqlite_sync": with_saver(send_a_level, "sync"),
    "langgraph_send_sqlite_async": with_saver(send_a_level, "async"),
}
