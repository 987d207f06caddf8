"""The orchestrator as a LangGraph graph, for `langgraph dev`, Studio, and users' own graphs.

    {"request": "How many rows has data.csv?"}  ->  accept -> work -> END
                                                               |  ^
                                                               v  |
                                                               ask     where approvals are asked for

`accept` stores the run, `work` takes it through the eight steps, and where it waits for an approval
`ask` interrupts the graph with the questions; the answers resume it. A run is journalled by itself,
so the graph's state holds its id and its result alone, and a graph that is resumed from a
checkpoint goes on with the run where its journal ends.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, Final, cast

import orjson
from langchain_core.runnables.config import var_child_runnable_config
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict  # of which schemas are made on Python 3.11 too

from genesis.errors import InputError
from genesis.events import event_line
from genesis.orchestrator import GenesisOrchestrator
from genesis.result import OrchestrationResult, RunFinished

_ASKED: Final = ("session_id", "budget_usd", "timeout_s", "context", "approve")
_ANSWER: Final = ("decision", "edit", "comment", "by")


class AskedRun(TypedDict, total=False):
    """What the graph is given; `request` is all that it needs.

    Fields:
        request: plain English.
        session_id: groups runs.
        budget_usd: US dollars that the run may spend.
        timeout_s: seconds that it may take.
        context: named data beside the request.
        approve: when a person is asked first: "plan", "cost:0.50", "task:TYPE".
    """

    request: str
    session_id: str | None
    budget_usd: float | None
    timeout_s: float | None
    context: dict[str, Any]
    approve: list[str]


class AnsweredRun(TypedDict, total=False):
    """What the graph gives back.

    Fields:
        run_id: names the run to `genesis explain` and `genesis show`.
        status: how it ended.
        output: the verified answer.
        errors: why it failed.
        cost_usd: US dollars that were spent.
        result: all of `OrchestrationResult`, as JSON.
    """

    run_id: str
    status: str
    output: str
    errors: list[str]
    cost_usd: float
    result: dict[str, Any]


class StudioRun(AskedRun, AnsweredRun, total=False):
    """The graph's state.

    Fields:
        problem: why the last answer to a question could not be used.
    """

    problem: str


@cache
def studio_graph() -> Any:
    """The graph on an orchestrator of its own, with the settings in force; for `langgraph.json`."""
    return request_graph(GenesisOrchestrator())


def request_graph(
    orchestrator: GenesisOrchestrator, checkpointer: BaseCheckpointSaver[Any] | None = None
) -> Any:
    """The graph that takes a request.

    Args:
        orchestrator: does the work; who made it closes it.
        checkpointer: keeps the graph's state, such as a `MemoriSaver`. Without one, as a graph by
            itself, it cannot go on after a question: the run waits, to be approved elsewhere.
    """
    nodes = _Nodes(orchestrator)
    builder = cast("Any", StateGraph(StudioRun, input_schema=AskedRun, output_schema=AnsweredRun))
    for node in (nodes.accept, nodes.work, nodes.ask):
        builder.add_node(node.__name__, node)
    builder.add_edge(START, "accept")
    builder.add_edge("accept", "work")
    builder.add_conditional_edges("work", _waits_or_ends, ["ask", END])
    builder.add_conditional_edges("ask", _asks_again_or_works, ["ask", "work"])
    return builder.compile(checkpointer=checkpointer)


def _waits_or_ends(state: StudioRun) -> str:
    return "ask" if state.get("status") == "waiting" else END


def _asks_again_or_works(state: StudioRun) -> str:
    return "ask" if state.get("problem") else "work"


class _Nodes:
    """The nodes, on one orchestrator."""

    def __init__(self, orchestrator: GenesisOrchestrator) -> None:
        self._orchestrator = orchestrator

    async def accept(self, state: AskedRun) -> AnsweredRun:
        """Store the request as a run."""
        given = cast("dict[str, Any]", state)
        asked = {name: given[name] for name in _ASKED if given.get(name) is not None}
        run_id = await self._orchestrator.accept(state.get("request", ""), **asked)
        return {"run_id": run_id, "status": "running"}

    async def work(self, state: AnsweredRun) -> AnsweredRun:
        """Take the run to its end or to the next approval; its events are the custom stream."""
        # The run's own graphs must not become parts of this one and write to its checkpointer.
        here, apart = contextvars.copy_context(), contextvars.copy_context()
        apart.run(var_child_runnable_config.set, None)
        tell = partial(here.run, get_stream_writer())
        work = asyncio.create_task(self._result(state.get("run_id", ""), tell), context=apart)
        try:
            result = await work
        finally:
            work.cancel()
        return _answer(result)

    async def ask(self, state: StudioRun) -> StudioRun:
        """Hand what the run waits for to a person, and their decisions to the run."""
        run_id = state.get("run_id", "")
        questions = (await self._orchestrator.run(run_id)).approvals
        if not questions:  # decided elsewhere meanwhile
            return {"problem": ""}
        shown = [question.model_dump(mode="json") for question in questions]
        given = interrupt({"approvals": shown, "problem": state.get("problem", "")})
        try:
            for question, answer in zip(questions, _decisions(given, len(questions)), strict=True):
                await self._orchestrator.approve(question.run_id, approval_id=question.id, **answer)
        except InputError as error:
            # Raised, it would leave the same answer to be read again.
            return {"problem": str(error)}
        return {"problem": ""}

    async def _result(self, run_id: str, tell: Callable[[Any], None]) -> OrchestrationResult:
        clock = self._orchestrator.services.clock
        async for event in self._orchestrator.stream_resumed(run_id):
            if isinstance(event, RunFinished):
                return event.result
            tell(orjson.loads(event_line(event, clock.now())))
        raise AssertionError("a stream ends with its result")


def _answer(result: OrchestrationResult) -> AnsweredRun:
    return {
        "status": result.state,
        "output": result.output,
        "errors": result.errors,
        "cost_usd": result.cost_usd,
        "result": result.model_dump(mode="json"),
    }


def _decisions(given: object, questions: int) -> list[dict[str, Any]]:
    """A decision for each question: one for all of them, or a list of as many."""
    answers = cast("list[object]", given) if isinstance(given, list) else [given] * questions
    if len(answers) != questions:
        raise InputError(f"{questions} approvals are asked for, and {len(answers)} were given")
    return [_decision(answer) for answer in answers]


def _decision(answer: object) -> dict[str, Any]:
    if isinstance(answer, bool):
        return {"decision": "approve" if answer else "reject"}
    if isinstance(answer, str):
        return {"decision": answer}
    if not isinstance(answer, Mapping) or set(cast("Mapping[Any, Any]", answer)) - set(_ANSWER):
        raise InputError(
            'an approval is answered by "approve" or "reject", by true or false, or by '
            f"an object of {', '.join(_ANSWER)}; not by {answer!r:.80}"
        )
    return dict(cast("Mapping[str, Any]", answer))
