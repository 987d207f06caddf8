"""The jobs by Microsoft's agent-framework: a workflow whose executors ask six agents.

A workflow object serves one run at a time, so every run builds its own, as its documentation says;
the agents are made once. Run by `.venv-peers/agent-framework-core/bin/python -m
peers.agent_framework_workflow` in the folder `benchmarks`.
"""
# pyright: reportMissingImports=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false
# pyright: reportUntypedFunctionDecorator=false
# The framework is installed only in an environment of its own. Its handlers are found by
# annotations that must be types, so this file does without `from __future__ import annotations`.

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from agent_framework import (
    Agent,
    BaseChatClient,
    ChatMiddlewareLayer,
    ChatResponse,
    Executor,
    FunctionInvocationLayer,
    Message,
    WorkflowBuilder,
    WorkflowContext,
    handler,
)
from overhead_timing import Way, row_main
from overhead_work import Job, prompt_of


class FixedClient(FunctionInvocationLayer, ChatMiddlewareLayer, BaseChatClient):
    """Answers what the job's agent of a task answers; layered as the clients that ship are."""

    def __init__(self, job: Job, task: str) -> None:
        super().__init__()
        self._job = job
        self._task = task

    async def _inner_get_response(self, **_: Any) -> Any:
        text = await self._job.agent(self._task)
        return ChatResponse(messages=[Message(role="assistant", contents=[text])])


class Step(Executor):
    """Asks a task's agent and hands its answer on, or gives it out at the end."""

    def __init__(self, task: str, agent: Any, *, last: bool) -> None:
        super().__init__(id=task)
        self._agent = agent
        self._last = last

    @handler
    async def one(self, given: dict[str, str], ctx: WorkflowContext[dict[str, str], str]) -> None:
        """After one task, or at the start."""
        await self._ask(given, ctx)

    @handler
    async def several(
        self, given: list[dict[str, str]], ctx: WorkflowContext[dict[str, str], str]
    ) -> None:
        """After several tasks."""
        await self._ask({task: text for one in given for task, text in one.items()}, ctx)

    async def _ask(self, given: Mapping[str, str], ctx: Any) -> None:
        answer = await self._agent.run(prompt_of(self.id, given))
        if self._last:
            await ctx.yield_output(answer.text)
        else:
            await ctx.send_message({self.id: answer.text})


@asynccontextmanager
async def opened(job: Job, folder: Path) -> AsyncGenerator[Way]:
    """An agent a task."""
    shape = job.shape
    agents = {
        task: Agent(FixedClient(job, task), f"You do the task {task}.", name=task)
        for task in shape.needs
    }

    def workflow() -> Any:
        steps = {task: Step(task, agents[task], last=task == shape.last) for task in shape.needs}
        first = next(iter(steps.values()))
        builder = WorkflowBuilder(start_executor=first, output_from=[steps[shape.last]])
        for task, needs in shape.needs.items():
            if len(needs) == 1:
                builder.add_edge(steps[needs[0]], steps[task])
            elif needs:
                builder.add_fan_in_edges([steps[need] for need in needs], steps[task])
        return builder.build()

    async def run(number: int) -> None:
        outputs = (await workflow().run({})).get_outputs()
        if len(outputs) != 1:
            raise RuntimeError(f"the workflow gave {outputs}")

    yield Way(run)


if __name__ == "__main__":
    row_main("agent-framework-core", opened)
