"""The LangGraph state machine: eight steps and the ways between them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple, TypeAlias, cast

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Command

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
    return _compiled({recall: _always("htdag"), **_all_after_recall()})


@cache
def _resumed() -> Any:
    """The same graph, entered after recall at the step that is due."""
    due = _Way(_entry, ("htdag", "halo", "execute"))
    return _compiled({recall: due, **_all_after_recall()})


def _entry(state: RunState) -> str:
    return state.entry


@cache
def _plan_only() -> Any:
    return _compiled({recall: _always("htdag"), **_planning(END), daao: _always(END)})


async def _invoke(graph: Any, state: RunState, context: RunContext) -> RunState:
    config = {"recursion_limit": _STEP_LIMIT}
    final = await graph.ainvoke(_Run(state), context=context, config=config)
    return cast("RunState", final["state"])


# Eight steps, and at most five more for each of at most ten rounds of planning again.
_STEP_LIMIT = 8 + 5 * 10

_Step: TypeAlias = Callable[[RunState, Runtime[RunContext]], Awaitable[dict[str, Any]]]


class _Way(NamedTuple):
    """Where a run goes after a step, and where it may go."""

    choose: Callable[[RunState], str]
    to: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Run:
    """What LangGraph hands on: all of a run as one channel.

    For every channel it keeps, copies and looks up something at each step, and for edges with
    conditions reads all of them once more: with a channel for each field of the state and such
    edges, the bare graph takes a third more time.
    """

    state: RunState


def _compiled(ways: Mapping[_Step, _Way]) -> Any:
    builder = cast("Any", StateGraph(_Run, context_schema=RunContext))
    builder.add_edge(START, "recall")
    for step, way in ways.items():
        builder.add_node(step.__name__, _node(step, way), destinations=way.to)
    # Its own journal is all it needs, also where it is called within a checkpointed graph.
    return builder.compile(checkpointer=False)


def _node(step: _Step, way: _Way) -> Callable[..., Awaitable[Command[str]]]:
    async def node(run: _Run, runtime: Runtime[RunContext]) -> Command[str]:
        state = replace(run.state, **await step(run.state, runtime))
        return Command(update={"state": state}, goto=way.choose(state))

    return node


def _all_after_recall() -> dict[_Step, _Way]:
    return {
        **_planning("record"),
        daao: _Way(_unless_failed, ("execute", "record")),
        execute: _Way(_after_execution, ("record", "htdag", END)),
        record: _always("compact"),
        compact: _always(END),
    }


def _planning(failed: str) -> dict[_Step, _Way]:
    """Steps 1 to 3; `failed` is where a run goes that cannot go on."""
    return {
        htdag: _replan_or("halo", failed),
        halo: _always("aop"),
        aop: _replan_or("daao", failed),
    }


def _always(following: str) -> _Way:
    def choose(_: RunState) -> str:
        return following

    return _Way(choose, (following,))


def _replan_or(following: str, failed: str) -> _Way:
    def choose(state: RunState) -> str:
        if state.errors:
            return failed
        return "htdag" if state.objections else following

    return _Way(choose, (following, "htdag", failed))


def _unless_failed(state: RunState) -> str:
    return "record" if state.errors else "execute"


def _after_execution(state: RunState) -> str:
    if state.paused:
        return END
    return "htdag" if state.objections and not state.errors else "record"
