"""Generalist: answers with a chat model what no other agent is made for."""

from __future__ import annotations

from collections.abc import Mapping

from genesis.agents.assignment import AgentFunction, Assignment
from genesis.agents.conversation import Conversation, opening
from genesis.agents.evidence import Refuted, require
from genesis.agents.prose import require_answer
from genesis.tasks.checks import Check, Submission
from genesis.tasks.task import TaskOutput, Verdict
from infrastructure.a2a.agent import AgentCard, Skill
from infrastructure.models.chat import ChatModels
from infrastructure.text import strip_control

ANSWERED = "answered"

CARD = AgentCard(
    name="generalist",
    description="Answers any question or task in words with a chat model.",
    skills=(
        Skill(
            id="answer",
            description="Answer a question or do a task in words.",
            produces=("answer",),
            seconds=10.0,
            needs_model=True,
        ),
    ),
)

INSTRUCTIONS = """You do the task that you are given and answer with its result alone.
Use the data that comes with it. Say so where you are not sure or something is missing; never make
up sources, figures or files."""


def make_agent(models: ChatModels) -> AgentFunction:
    """The agent, with the chat models that it may use.

    The agent raises ModelNotConfigured without a model, and ModelError when the call fails.
    """

    async def run(assignment: Assignment) -> TaskOutput:
        conversation = await Conversation.begin(models, assignment, INSTRUCTIONS)
        with conversation.charged():
            answer = await conversation.ask(await opening(assignment))
        text = strip_control(answer.text).strip()
        return TaskOutput(text=text, data={"answer": text}, usage=conversation.usage)

    return run


async def answered(submission: Submission) -> Verdict:
    """The answer is there and whole, and neither a refusal nor the question again.

    Whether it is true cannot be proven here, and the verdict says so.
    """
    answer = submission.output.data.get("answer")
    try:
        require(isinstance(answer, str), "'answer' is missing in the result")
        text = str(answer)
        require_answer(text, submission.task.description, submission.request)
        shown = submission.output.text.strip()
        require(shown in ("", text.strip()), "the text shown differs from the datum 'answer'")
    except Refuted as error:
        return Verdict(False, ANSWERED, str(error))
    return Verdict(
        True,
        ANSWERED,
        "it is not empty, whole, no refusal and not the question again; "
        "whether it is true was not verified",
    )


CHECKS: Mapping[str, Check] = {ANSWERED: answered}
CHECKS_OF_DATA: Mapping[str, str] = {"answer": ANSWERED}
