"""The jobs by Pydantic AI: six agents with its FunctionModel, handed on by the program.

A plan that the program knows is what its documentation calls programmatic hand-off, so asyncio
schedules the agents. Run by `.venv-peers/pydantic-ai-slim/bin/python -m peers.pydantic_ai_agents`
in the folder `benchmarks`.
"""
# pyright: reportMissingImports=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# The framework is installed only in an environment of its own.

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from overhead_timing import Way, row_main
from overhead_work import Job, prompt_of, run_eagerly
from pydantic_ai import Agent, ModelResponse, TextPart
from pydantic_ai.models.function import FunctionModel


@asynccontextmanager
async def opened(job: Job, folder: Path) -> AsyncGenerator[Way]:
    """An agent a task."""

    def agent_of(task: str) -> Any:
        async def answer(messages: Any, info: Any) -> Any:
            return ModelResponse(parts=[TextPart(await job.agent(task))])

        return Agent(FunctionModel(answer), name=task, instructions=f"You do the task {task}.")

    agents = {task: agent_of(task) for task in job.shape.needs}

    async def ask(task: str, given: Mapping[str, str]) -> str:
        return str((await agents[task].run(prompt_of(task, given))).output)

    async def run(number: int) -> None:
        await run_eagerly(job.shape, ask)

    yield Way(run)


if __name__ == "__main__":
    row_main("pydantic-ai-slim", opened)
