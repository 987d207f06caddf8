"""Writer: writes a text with a chat model; what the request says about its form is checked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from genesis.agents.assignment import AgentFunction, Assignment
from genesis.agents.conversation import Conversation, opening
from genesis.agents.evidence import Refuted, require
from genesis.agents.prose import require_answer
from genesis.agents.text_form import demands, unmet
from genesis.agents.topic import missing_words, topic_of
from genesis.tasks.checks import Check, Submission
from genesis.tasks.task import TaskOutput, Verdict
from infrastructure.a2a.agent import AgentCard, Skill
from infrastructure.errors import AgentError
from infrastructure.models.chat import ChatModels
from infrastructure.text import fence, strip_control

WRITTEN_TEXT = "written_text"
TEXT_FILE = "text.md"
MAX_REVISIONS = 1

CARD = AgentCard(
    name="writer",
    description="Writes texts with a chat model: documentation, letters, summaries, articles.",
    skills=(
        Skill(
            id="write_text",
            description="Write a text in Markdown in the form that was asked for.",
            task_types=("documentation", "general"),
            produces=("text",),
            seconds=15.0,
            needs_model=True,
        ),
    ),
)

INSTRUCTIONS = """You write the text that the task asks for, in Markdown and in the language of the
task. Keep to every length, heading, list and word that it asks for. Answer with the text alone: no
preface, no remarks about it. Take facts only from the data that comes with the task and from what
is generally known; never make up sources or figures."""


def make_agent(models: ChatModels) -> AgentFunction:
    """The agent, with the chat models that it may use.

    The agent raises ModelNotConfigured without a model, ModelError when the first call fails, and
    FailedAfterSpending when a later one does.
    """

    async def run(assignment: Assignment) -> TaskOutput:
        conversation = await Conversation.begin(models, assignment, INSTRUCTIONS)
        with conversation.charged():
            text = await _write(conversation, assignment)
        path = assignment.artifacts_dir.resolve() / TEXT_FILE
        await asyncio.to_thread(path.write_text, text, encoding="utf-8")
        return TaskOutput(
            text=text, data={"text": text}, artifacts=(str(path),), usage=conversation.usage
        )

    return run


async def _write(conversation: Conversation, assignment: Assignment) -> str:
    """Ask, and once more where the form that was asked for is missed."""
    asked = demands(f"{assignment.request}\n{assignment.task.description}")
    prompt, problems = await opening(assignment), ()
    for _ in range(1 + MAX_REVISIONS):
        answer = await conversation.ask(prompt)
        text = strip_control(answer.text).strip()
        problems = unmet(asked, text)
        if answer.cut:
            problems = (*problems, "it was cut at the token limit: write a shorter text")
        if not problems:
            return text
        missed = fence("findings", "\n".join(problems))
        prompt = f"The text misses what was asked for. Write it again, whole.\n\n{missed}"
    raise AgentError(f"the text still misses what was asked for: {'; '.join(problems)}")


async def written_text(submission: Submission) -> Verdict:
    """The text is whole, takes up the topic, keeps to the form asked for, and is the file's."""
    try:
        return Verdict(True, WRITTEN_TEXT, await asyncio.to_thread(_prove, submission))
    except Refuted as error:
        return Verdict(False, WRITTEN_TEXT, str(error))


def _prove(submission: Submission) -> str:
    value = submission.output.data.get("text")
    require(isinstance(value, str), "'text' is missing in the result")
    text, task = str(value), submission.task
    require_answer(text, task.description, submission.request)
    _require_same_file(submission, text)
    words = topic_of(task.description, submission.request)
    missing = missing_words(words, text)
    require(
        not words or len(missing) < len(words),
        f"the text takes up nothing of the topic: {', '.join(missing[:10])}",
    )
    asked = demands(f"{submission.request}\n{task.description}")
    problems = unmet(asked, text)
    require(not problems, "; ".join(problems))
    form = f"; it has {', '.join(demand.label for demand in asked)} as asked" if asked else ""
    return f"it is whole and about the topic{form}; whether what it says is true was not verified"


def _require_same_file(submission: Submission, text: str) -> None:
    for artifact in submission.output.artifacts:
        path = Path(artifact).resolve()
        inside = path.is_relative_to(submission.artifacts_dir.resolve())
        require(inside, f"{path.name!r} was not made in this run's artifacts")
        if path.name != TEXT_FILE:
            continue
        try:
            written = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise Refuted(f"the file {path.name!r} cannot be read") from None
        require(written.strip() == text.strip(), f"the file {path.name!r} holds another text")


CHECKS: Mapping[str, Check] = {WRITTEN_TEXT: written_text}
CHECKS_OF_DATA: Mapping[str, str] = {"text": WRITTEN_TEXT}
