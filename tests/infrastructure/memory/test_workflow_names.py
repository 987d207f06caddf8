"""Names and texts: what one database could not hold is refused alike by both, before it is kept."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from workflow_fixtures import START, SetClock, finished, workflow

from infrastructure.errors import InputError
from infrastructure.memory.finished_run import AcceptedRun
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.jsontext import dump_json
from infrastructure.memory.memori.names import MAX_NAME_BYTES
from infrastructure.memory.memori.outcomes import OutcomeRecord
from infrastructure.memory.memori.runs import RunRecord
from infrastructure.memory.workflow_memory import WorkflowMemory

# Random letters: PostgreSQL compresses what repeats, so that repetition would hide its limit.
_LETTERS = "".join(chr(0x4E00 + (n * 7919) % 20_000) for n in range(400))
LONGEST = _LETTERS[: MAX_NAME_BYTES // 3]
TOO_LONG = _LETTERS
NAMES = ("task_type", "operation", "agent", "model", "effort", "task_id")


@pytest.fixture
async def memory(place: str) -> AsyncIterator[WorkflowMemory]:
    memori = Memori.open(place, clock=SetClock(), tenant=_LETTERS[:66])
    yield WorkflowMemory(memori)
    await memori.aclose()


def _outcome(**changes: Any) -> OutcomeRecord:
    names: dict[str, Any] = dict.fromkeys(NAMES, "x")
    return OutcomeRecord(success=True, **{**names, **changes})


async def test_the_longest_names_fit_every_index(memory: WorkflowMemory) -> None:
    run_id, task_type, session_id = (LONGEST[:-1] + c for c in "abc")
    outcome = _outcome(**{name: LONGEST[:-1] + name[0] for name in NAMES})
    run = finished(run_id, task_type=task_type, session_id=session_id, outcomes=(outcome,))
    assert await memory.finish(run)
    await memory.feedback(run_id, success=False, task_type=LONGEST)
    recall = await memory.recall(LONGEST, given=("project",), min_success_rate=0)
    assert recall.outcomes[0].agent == outcome.agent
    assert (await memory.learning_metrics(session_id=session_id))["learned_task_types"] == [LONGEST]
    assert await memory.forget_run(run_id)


Use = Callable[[WorkflowMemory, str], Awaitable[object]]
WRITES: dict[str, Use] = {
    "run id": lambda m, text: m.accept(AcceptedRun(RunRecord(text, "s", "do it", START))),
    "session": lambda m, text: m.accept(AcceptedRun(RunRecord("r", text, "do it", START))),
    "task type": lambda m, text: m.finish(finished("r", task_type=text)),
    "workflow": lambda m, text: m.store(workflow(text)),
    "run of a workflow": lambda m, text: m.store(workflow("w", run_id=text)),
    "corrected task type": lambda m, text: m.feedback("known", task_type=text),
}
READS: dict[str, Use] = {
    "run id": lambda m, text: m.run(text),
    "session": lambda m, text: m.runs(session_id=text),
    "patterns": lambda m, text: m.patterns(text),
    "patterns of a session": lambda m, text: m.patterns("t", scope="session", session_id=text),
    "workflows": lambda m, text: m.workflows(text),
    "metrics": lambda m, text: m.learning_metrics(text),
    "events": lambda m, text: m.events(text),
}
TEXTS: dict[str, Use] = {
    "request": lambda m, text: m.finish(finished("r", request=text)),
    "comment": lambda m, text: m.feedback("known", comment=text),
}


async def test_longer_names_are_refused(memory: WorkflowMemory) -> None:
    await memory.finish(finished("known"))
    for use in WRITES.values():
        with pytest.raises(InputError, match=f"at most {MAX_NAME_BYTES} are stored"):
            await use(memory, TOO_LONG)
    assert (await memory.learning_metrics())["total_workflows_executed"] == 1


@pytest.mark.parametrize("name", NAMES)
def test_an_outcome_has_no_longer_names(name: str) -> None:
    with pytest.raises(InputError, match=f"an outcome's {name} has 1,200 bytes"):
        _outcome(**{name: TOO_LONG})


async def test_nothing_is_known_by_a_longer_name(memory: WorkflowMemory) -> None:
    await memory.finish(finished("known"))
    nothing = await memory.learning_metrics("nothing")
    for name, use in READS.items():
        assert await use(memory, TOO_LONG) in (None, [], nothing), name


@pytest.mark.parametrize("text", ["a\x00b", "a\ud800b"], ids=["nul", "surrogate"])
async def test_text_that_cannot_be_stored_is_refused(memory: WorkflowMemory, text: str) -> None:
    await memory.finish(finished("known"))
    for use in (*WRITES.values(), *READS.values(), *TEXTS.values()):
        with pytest.raises(InputError, match=r"NUL character|not valid Unicode"):
            await use(memory, text)
    assert await memory.finish(finished("next"))
    assert (await memory.learning_metrics())["total_workflows_executed"] == 2


async def test_events_results_and_metadata_may_hold_any_text(memory: WorkflowMemory) -> None:
    odd = {"odd \x00": "\ud800 \x00 ü"}
    await memory.finish(finished("r", events=(dump_json(odd),), result=odd, metadata=odd, plan=odd))
    assert await memory.events("r") == [odd]
    assert (await memory.workflows("s"))[0].metadata == odd
    assert (await memory.recall("testing", given=("project",))).cases[0].plan == odd
