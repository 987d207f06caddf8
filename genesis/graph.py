"""The LangGraph state machine: eight steps and the edges between them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, TypeAlias, cast

from langgraph.graph import END, START, StateGraph

from genesis.context import RunContext
from genesis.pipeline.aop import aop
from genesis.pipeline.compact import compact
from genesis.pipeline.daao import daao
from genesis.pipeline.execute import execute
from genesis.pipeline.halo import halo
from genesis.pipeline.htdag import htdag
from genesis.pipeline.recall import recall
from genesis.pipeline.record import record
from genesis.state import RunState


async def run_graph(state: RunState, context: RunContext) -> RunState:
    """Take the state through all eight steps; returns it with what they added."""
    return await _invoke(compiled(), state, context)


async def resumed_graph(state: RunState, context: RunContext) -> RunState:
    """Go on with a run that was begun before, at `state.entry`."""
    return await _invoke(_resumed(), state, context)


async def plan_graph(state: RunState, context: RunContext) -> RunState:
    """Take the state through steps 0 to 4: planned, validated and priced, nothing executed."""
    return await _invoke(_plan_only(), state, context)


@cache
def compiled() -> Any:
    """The whole graph; it holds nothing of any run, and runs are journalled by themselves."""
    builder = _with_execution(_builder("record"))
    builder.add_edge("recall", "htdag")
    # Its own journal is all it needs, also where it is called within a checkpointed graph.
    return builder.compile(checkpointer=False)


@cache
def _resumed() -> Any:
    """The same graph, entered after recall at the step that is due."""
    builder = _with_execution(_builder("record"))
    builder.add_conditional_edges("recall", _entry, ["htdag", "halo", "execute"])
    # Its own journal is all it needs, also where it is called within a checkpointed graph.
    return builder.compile(checkpointer=False)


async def _entry(state: RunState) -> str:
    return state.entry


def _with_execution(builder: Any) -> Any:
    builder.add_node("execute", execute)
    builder.add_node("record", record)
    builder.add_node("compact", compact)
    builder.add_conditional_edges(
        "daao", _unless_failed("execute", "record"), ["execute", "record"]
    )
    builder.add_conditional_edges("execute", _after_execution, ["record", "htdag", END])
    builder.add_edge("record", "compact")
    builder.add_edge("compact", END)
    return builder


async def _after_execution(state: RunState) -> str:
    if state.paused:
        return END
    return "htdag" if state.objections and not state.errors else "record"


@cache
def _plan_only() -> Any:
    builder = _builder(END)
    builder.add_edge("recall", "htdag")
    builder.add_edge("daao", END)
    # Its own journal is all it needs, also where it is called within a checkpointed graph.
    return builder.compile(checkpointer=False)


async def _invoke(graph: Any, state: RunState, context: RunContext) -> RunState:
    final = await graph.ainvoke(state, context=context, config={"recursion_limit": _STEP_LIMIT})
    return RunState(**final)


# Eight steps, and at most five more for each of at most ten rounds of planning again.
_STEP_LIMIT = 8 + 5 * 10


def _builder(failed: str) -> Any:
    """Steps 0 to 4; `failed` is where a run goes that cannot go on."""
    builder = cast("Any", StateGraph(RunState, context_schema=RunContext))
    for step in (recall, htdag, halo, aop, daao):
        builder.add_node(step.__name__, step)
    builder.add_edge(START, "recall")
    builder.add_conditional_edges("htdag", _replan_or("halo", failed), ["halo", "htdag", failed])
    builder.add_edge("halo", "aop")
    builder.add_conditional_edges("aop", _replan_or("daao", failed), ["daao", "htdag", failed])
    return builder


# All edges are chosen by coroutines: LangGraph would run plain functions in a thread.
_Choice: TypeAlias = Callable[[RunState], Awaitable[str]]


def _unless_failed(following: str, failed: str) -> _Choice:
    async def choose(state: RunState) -> str:
        return failed if state.errors else following

    return choose


def _replan_or(following: str, failed: str) -> _Choice:
    async def choose(state: RunState) -> str:
        if state.errors:
            return failed
        return "htdag" if state.objections else following

    return choose
