"""Builder: writes code and tests with a chat model, runs both, and repairs what fails.

The generated code runs in the sandbox, and where there is none not at all. The machine's owner
may set `sandbox: never`: then it runs with the owner's rights, except for remote callers.

The model's files are data: only plain relative paths inside the project's folder are written, in
bounded number and size, and anything else is refused and sent back to the model.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from genesis.agents.assignment import AgentFunction, Assignment
from genesis.agents.builder_checks import BUILT_PROJECT, make_checks
from genesis.agents.builder_files import (
    Program,
    RefusedFile,
    checked_files,
    is_test,
    source_of,
    write_files,
)
from genesis.agents.builder_run import RUN_TIMEOUT_S, run_project
from genesis.agents.conversation import Conversation, opening
from genesis.agents.files import time_limit_s
from genesis.agents.topic import topic_of
from genesis.tasks.checks import Check
from genesis.tasks.task import TaskOutput
from infrastructure.a2a.agent import AgentCard, Skill
from infrastructure.errors import AgentError
from infrastructure.models.chat import ChatModels
from infrastructure.models.failures import UnusableAnswer
from infrastructure.text import cut, fence, one_line, strip_control

MAX_REPAIRS = 2
_REPORT_CHARS = 6_000
_SUMMARY_CHARS = 2_000
_REASON_CHARS = 500

CARD = AgentCard(
    name="builder",
    description="Writes Python code and tests with a chat model, runs both and repairs failures.",
    skills=(
        Skill(
            id="write_code",
            description="Write a Python module or package with tests that pass.",
            task_types=("code_generation",),
            produces=("project", "source"),
            seconds=30.0,
            needs_model=True,
        ),
    ),
    max_concurrency=2,
)
CHECKS: Mapping[str, Check] = make_checks(confined=True)
CHECKS_OF_DATA: Mapping[str, str] = {"project": BUILT_PROJECT, "source": BUILT_PROJECT}

INSTRUCTIONS = """You write small, complete Python projects for Python 3.11 with the standard
library only, unless the task names a package.
- Answer with all files of the project each time: one module (or one package folder) at the top
  level, and tests/test_<module>.py for pytest. No conftest.py, no configuration of pytest.
- Paths are relative, with forward slashes, made of letters, digits, '_', '-' and '.'.
- The tests import the code and call it: ordinary cases, edge cases and wrong input. They pass only
  when the code works.
- Public functions and classes have type annotations, and a docstring that says in the words of the
  task what they do.
- No network, no files outside a temporary folder, no input from the keyboard, no sleeping."""


def make_agent(models: ChatModels, *, confined: bool = True) -> AgentFunction:
    """The agent, with the chat models that it may use.

    Args:
        models: the chat models.
        confined: whether generated code runs in the sandbox; for a remote caller it always does.

    The agent raises ModelNotConfigured without a model, ModelError when the first call fails, and
    FailedAfterSpending when it gives up later.
    """

    async def run(assignment: Assignment) -> TaskOutput:
        conversation = await Conversation.begin(models, assignment, INSTRUCTIONS)
        with conversation.charged():
            sandboxed = confined or assignment.sandboxed
            return await _build(conversation, assignment, sandboxed)

    return run


async def _build(conversation: Conversation, assignment: Assignment, sandboxed: bool) -> TaskOutput:
    """Ask, run, and show failures to the model, at most `MAX_REPAIRS` times."""
    prompt = await opening(assignment)
    problem = ""
    for attempt in range(1 + MAX_REPAIRS):
        try:
            answer = await conversation.ask(prompt, Program)
            files = _files_of(answer.value)
            report = await run_project(
                files, confined=sandboxed, timeout_s=_time_limit_s(assignment)
            )
        except (UnusableAnswer, RefusedFile) as error:
            problem = str(error)
        else:
            if report.ok:
                text = _summary(answer.value, report.passed, repairs=attempt)
                return await _handed_in(conversation, assignment, files, text)
            problem = report.output or "no test was found"
        shown = fence("test report", problem, _REPORT_CHARS, keep="end")
        prompt = f"That does not work yet. Mend it and answer with all files again.\n\n{shown}"
    last = one_line(problem[-_REASON_CHARS:], _REASON_CHARS)
    raise AgentError(f"the code still fails after {MAX_REPAIRS} repairs: {last}")


def _time_limit_s(assignment: Assignment) -> float:
    # An attempt has several runs to make besides the model's own time.
    share = time_limit_s(assignment.task.timeout_s, RUN_TIMEOUT_S)
    return share / (1 + MAX_REPAIRS) if assignment.task.timeout_s else share


def _files_of(program: Program) -> dict[PurePosixPath, str]:
    files = {file.path: file.content for file in program.files}
    if len(files) < len(program.files):
        raise RefusedFile("a path is named twice")
    texts = {path: content.decode() for path, content in checked_files(files).items()}
    if not any(is_test(path) for path in texts):
        raise RefusedFile("there are no tests: add tests/test_<module>.py")
    if source_of(texts) is None:
        raise RefusedFile("there are only tests and no code")
    return texts


async def _handed_in(
    conversation: Conversation,
    assignment: Assignment,
    files: Mapping[PurePosixPath, str],
    text: str,
) -> TaskOutput:
    words = topic_of(assignment.task.description, assignment.request)
    name = "_".join(word for word in words[:4] if word.isascii())[:60] or "project"
    project = assignment.artifacts_dir.resolve() / name
    written = await asyncio.to_thread(_written, project, files)
    source = source_of(files)
    return TaskOutput(
        text=text,
        data={"project": str(project), "source": str(project / (source or ""))},
        artifacts=tuple(str(path) for path in written if path.stat().st_size > 0),
        usage=conversation.usage,
    )


def _written(project: Path, files: Mapping[PurePosixPath, str]) -> tuple[Path, ...]:
    # The same attempt delivered again must not mix with what it left the first time.
    shutil.rmtree(project, ignore_errors=True)
    project.mkdir(parents=True)
    return write_files(project, {path: text.encode() for path, text in files.items()})


def _summary(program: Program, passed: int, repairs: int) -> str:
    said = cut(strip_control(program.summary).strip(), _SUMMARY_CHARS)
    files = ", ".join(sorted(file.path for file in program.files))
    mended = f" after {repairs} repair{'s' if repairs > 1 else ''}" if repairs else ""
    return f"{said}\n\n{passed} tests pass{mended}. Files: {files}.".strip()
