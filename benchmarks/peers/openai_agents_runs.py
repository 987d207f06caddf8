"""The jobs by the OpenAI Agents SDK: six agents with a model of our own, run by its Runner.

It leaves a plan that the program knows to the program, so asyncio schedules the runs. Run by
`.venv-peers/openai-agents/bin/python -m peers.openai_agents_runs` in the folder `benchmarks`.
"""
# pyright: reportMissingImports=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUntypedBaseClass=false, reportUnknownParameterType=false
# The framework is installed only in an environment of its own.

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from agents import Agent, Model, ModelResponse, RunConfig, Runner, Usage
from openai.types.responses import ResponseOutputMessage, ResponseOutputText
from overhead_timing import Way, row_main
from overhead_work import Job, prompt_of, run_eagerly


class FixedModel(Model):
    """Answers what the job's agent of a task answers."""

    def __init__(self, job: Job, task: str) -> None:
        self._job = job
        self._task = task

    async def get_response(self, *args: Any, **kwargs: Any) -> Any:
        """The answer as a whole."""
        text = await self._job.agent(self._task)
        said = ResponseOutputText(annotations=[], text=text, type="output_text")
        message = ResponseOutputMessage(
            id="message", content=[said], role="assistant", status="completed", type="message"
        )
        return ModelResponse(output=[message], usage=Usage(), response_id=None)

    def stream_response(self, *args: Any, **kwargs: Any) -> Any:
        """Nobody asks for it here."""
        raise NotImplementedError


@asynccontextmanager
async def opened(job: Job, folder: Path) -> AsyncGenerator[Way]:
    """An agent a task."""
    config = RunConfig(tracing_disabled=True)
    agents = {
        task: Agent(name=task, instructions=f"You do the task {task}.", model=FixedModel(job, task))
        for task in job.shape.needs
    }

    async def ask(task: str, given: Mapping[str, str]) -> str:
        result = await Runner.run(agents[task], prompt_of(task, given), run_config=config)
        return str(result.final_output)

    async def run(number: int) -> None:
        await run_eagerly(job.shape, ask)

    yield Way(run)


if __name__ == "__main__":
    row_main("openai-agents", opened)
