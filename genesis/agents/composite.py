"""The orchestrator as one of its own agents: does a composite task as a request one level down."""

from __future__ import annotations

from genesis.agents.assignment import Assignment
from genesis.errors import AgentError
from genesis.tasks.task import COMPOSITE, SUB_REQUEST, TaskOutput
from infrastructure.a2a.agent import AgentCard, Skill

# Only requests wait here, each for agents with limits of their own; a limit on those that wait
# for each other would let them wait for ever.
_NO_LIMIT = 1_000_000

CARD = AgentCard(
    name="orchestrator",
    description="Does a part of a request as a request of its own.",
    skills=(
        Skill(
            SUB_REQUEST,
            "Plans and does a part of the request that takes several operations, once what it "
            "requires is there; its description is that part as a request in full.",
            task_types=(COMPOSITE,),
            seconds=0.5,  # at least; what it really takes is learnt
        ),
    ),
    max_concurrency=_NO_LIMIT,
)


async def run(assignment: Assignment) -> TaskOutput:
    """Have the request done that the task describes.

    Raises:
        AgentError: it failed, with its reasons; or the task is no part of any run, as when it
            comes from elsewhere.
    """
    if assignment.run_below is None:
        raise AgentError("only a composite task of a run can be done as a request of its own")
    return await assignment.run_below()
