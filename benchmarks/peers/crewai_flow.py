"""The jobs by CrewAI: a Flow whose steps listen to each other and ask six agents.

A Crew cannot do a diamond: of tasks that run at once none may need another. Every run makes a flow
object, which holds that run's state; the agents are made once. Run by
`.venv-peers/crewai/bin/python -m peers.crewai_flow` in the folder `benchmarks`.
"""
# pyright: reportMissingImports=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUntypedBaseClass=false, reportUnknownParameterType=false
# The framework is installed only in an environment of its own.

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from crewai import Agent, BaseLLM
from crewai.events.event_listener import event_listener
from crewai.flow.flow import Flow, and_, listen, start
from overhead_timing import Way, row_main
from overhead_work import Job, prompt_of


class FixedModel(BaseLLM):
    """Answers what an agent of the job answers."""

    answer: Any = None

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """The answer as a whole; agents ask for it in a thread."""
        return f"Thought: I now can give a great answer\nFinal Answer: {self.answer()}"


def agent_of(job: Job, task: str) -> Any:
    """The agent of a task."""

    def answer() -> str:
        return job.agent_in_thread(task)

    return Agent(
        role=task,
        goal=f"do the task {task}",
        backstory="An agent of a benchmark.",
        llm=FixedModel(model="fixed", answer=answer),
        verbose=False,
    )


def flow_of(job: Job) -> type[Any]:
    """A class of flows with a step a task."""
    agents = {task: agent_of(job, task) for task in job.shape.needs}

    def step(task: str, needs: tuple[str, ...]) -> Callable[..., Any]:
        async def body(self: Any) -> str:
            given = {need: self.state[need] for need in needs}
            answer = await agents[task].kickoff_async(prompt_of(task, given))
            self.state[task] = answer.raw
            return str(answer.raw)

        body.__name__ = task
        if not needs:
            return start()(body)
        return listen(needs[0] if len(needs) == 1 else and_(*needs))(body)

    steps = {task: step(task, needs) for task, needs in job.shape.needs.items()}
    return type("Steps", (Flow,), steps)


@asynccontextmanager
async def opened(job: Job, folder: Path) -> AsyncGenerator[Way]:
    """An agent and a step a task; nothing is printed, which would cost more than the work."""
    event_listener.formatter.verbose = False
    logging.disable(logging.WARNING)
    steps = flow_of(job)

    async def run(number: int) -> None:
        answer = await steps(suppress_flow_events=True).kickoff_async()
        if str(answer) != f"{job.shape.last} is done":
            raise RuntimeError(f"the flow ended with {answer!r}")

    yield Way(run)


if __name__ == "__main__":
    row_main("crewai", opened)
