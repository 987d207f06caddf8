"""What a person can do about a run that is not over."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol


class Question(Protocol):
    """What a run asks a person."""

    @property
    def run_id(self) -> str: ...

    @property
    def id(self) -> str: ...

    @property
    def kind(self) -> str: ...

    @property
    def question(self) -> str: ...


def next_steps(state: str, run_id: str, questions: Iterable[Question] = ()) -> list[str]:
    """Lines for a run in this state: what it waits for, and the commands that go on with it."""
    match state:
        case "interrupted":
            return [f"interrupted; what is finished is stored: genesis resume {run_id}"]
        case "running":
            return [f"somebody works on it; to end it: genesis cancel {run_id}"]
        case "waiting":
            asked = [line for question in questions for line in _how_to_answer(question)]
            return asked or [f"decided, and not gone on with yet: genesis resume {run_id}"]
        case _:
            return []


def _how_to_answer(asked: Question) -> Iterable[str]:
    names = f"{asked.run_id} --id {asked.id}"
    answer = " --edit ANSWER" if asked.kind == "input" else ""
    yield f"waiting for approval {asked.id}: {asked.question}"
    yield f"  genesis approve {names}{answer}   or: genesis reject {names}"
    if asked.kind == "plan":
        yield (
            f"  or change the plan: genesis show {asked.run_id} --plan > plan.json, "
            f"then genesis approve {names} --edit @plan.json"
        )
