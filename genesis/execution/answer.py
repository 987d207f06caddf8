"""From an agent's stream of A2A events to what it hands in for a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

from genesis.agents.wire import local_path, require_plain, safe_name, usage_of
from genesis.errors import AgentError, AgentMisbehaved
from genesis.tasks.task import Task, TaskOutput, Usage
from infrastructure.a2a.types import (
    EXTENSION,
    AgentEvent,
    ArtifactUpdate,
    Message,
    Part,
    StatusUpdate,
    TaskState,
)
from infrastructure.jsonvalue import JsonObject, JsonValue
from infrastructure.redaction import hide_secrets
from infrastructure.text import cut, strip_control

_MAX_CAUSE = 2_000
MAX_CHUNKS = 20_000
MAX_EVENTS = 100_000
MAX_PROGRESS = 1_000
MAX_ANSWER_BYTES = 64 * 1024 * 1024


class AnswerFailed(AgentError):
    """The agent said that it failed.

    Args:
        message: its reason.
        retryable: it says that another try may succeed (a rate limit).
        usage: what it consumed, if it says so.
        retry_after_s: seconds that it asks to be left alone before that; None if it does not.
    """

    def __init__(
        self,
        message: str,
        retryable: bool = False,
        usage: Usage | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.usage = usage
        self.retry_after_s = retry_after_s


class AnswerNeeded(AgentError):
    """The agent needs something that only a person can give, and waits for it.

    Args:
        question: what it asks.
        task_id, context_id: its own names of the task, under which the answer is sent.
    """

    def __init__(self, question: str, task_id: str, context_id: str) -> None:
        super().__init__(question)
        self.task_id = task_id
        self.context_id = context_id


class Answer:
    """Takes events until the last, then gives the output.

    Args:
        agent: its name, for messages.
        progress: called with what the agent says while it works.

    Attributes:
        done: whether nothing more is to come.
        open_task: the agent's task that waits for what it will not be given, such as a sign-in.
    """

    def __init__(self, agent: str, progress: Callable[[str], None]) -> None:
        self._agent = agent
        self._progress = progress
        self._chunks: dict[str, list[tuple[Part, ...]]] = {}
        self._events = self._told = 0
        self._count = 0
        self._bytes = 0
        self._last_words = ""
        self._usage: Usage | None = None
        self.task_id = ""
        self.done = False
        self.open_task = ""

    def take(self, event: AgentEvent) -> None:
        """Note one event.

        Raises:
            AnswerFailed: the agent failed or refused.
            AnswerNeeded: it asks for something.
            AgentError: the answer is larger than any may be, or breaks the protocol.
        """
        self._events += 1
        if self._events > MAX_EVENTS:
            raise AgentMisbehaved(f"agent {self._agent!r} sent more than {MAX_EVENTS} events")
        match event:
            case Message():
                self._add("message", event.parts, append=False)
                self._usage = usage_of(event.metadata) or self._usage
                self.done = True
            case ArtifactUpdate():
                self.task_id = event.task_id
                self._add(event.artifact.artifact_id, event.artifact.parts, event.append)
                self._usage = usage_of(event.artifact.metadata) or self._usage
            case StatusUpdate():
                self._take_status(event)
            case _:  # pyright: ignore[reportUnnecessaryComparison] - strangers may send anything
                raise AgentMisbehaved(
                    f"agent {self._agent!r} sent a {type(event).__name__}, which is no event of A2A"
                )

    @property
    def usage(self) -> Usage | None:
        """What it says so far that it consumed; None while it says nothing."""
        return self._usage

    def output(self, task: Task, artifacts_dir: Path, *, local: bool) -> TaskOutput:
        """What was handed in; received files are written into the folder of the attempt.

        Args:
            task: what was asked for.
            artifacts_dir: the attempt's folder; made when there is something to write.
            local: the agent is in this process, so that paths mean something.

        Raises:
            AgentError: the stream ended before the task did, or the data is not plain JSON.
        """
        if not self.done:
            raise AgentError(f"agent {self._agent!r} stopped answering before its task had ended")
        parts = [part for chunks in self._chunks.values() for chunk in chunks for part in chunk]
        texts = [_joined(chunks) for chunks in self._chunks.values()]
        text = "\n\n".join(text for text in texts if text) or self._last_words
        data = _named_data(task, parts, text, local)
        require_plain(data, f"the answer of agent {self._agent!r}")
        return TaskOutput(
            text=text,
            data=data,
            artifacts=tuple(_files(parts, artifacts_dir, local)),
            usage=self._usage or Usage(),
        )

    def _take_status(self, event: StatusUpdate) -> None:
        self.task_id = event.task_id
        words = event.message.text if event.message else ""
        if event.state is TaskState.COMPLETED:
            self._last_words = words
            self.done = True
        elif event.state in (TaskState.SUBMITTED, TaskState.WORKING):
            self._told += 1
            if words and self._told <= MAX_PROGRESS:  # the rest is chatter
                self._progress(words)
        elif event.state is TaskState.INPUT_REQUIRED:
            self.done = True  # it is to wait, not to be stopped
            question = (
                plain(hide_secrets(words), _MAX_CAUSE)
                or "the agent asks for input and does not say what"
            )
            raise AnswerNeeded(question, event.task_id, event.context_id)
        else:
            self.done = event.state.terminal
            self.open_task = "" if self.done else event.task_id
            ours = event.metadata.get(EXTENSION)
            said: JsonObject = ours if isinstance(ours, Mapping) else {}
            pause = said.get("retry_after_s")
            raise AnswerFailed(
                _cause(event.state, plain(hide_secrets(words), _MAX_CAUSE)),
                said.get("retryable") is True,
                usage_of(event.metadata),
                pause if isinstance(pause, int | float) else None,
            )

    def _add(self, artifact_id: str, parts: tuple[Part, ...], append: bool) -> None:
        self._count += 1
        self._bytes += sum(len(part.raw or b"") + len(part.text or "") for part in parts)
        if self._count > MAX_CHUNKS or self._bytes > MAX_ANSWER_BYTES:
            raise AgentError(
                f"the answer of agent {self._agent!r} is too large: more than {MAX_CHUNKS} pieces "
                f"or {MAX_ANSWER_BYTES} bytes"
            )
        if append:
            self._chunks.setdefault(artifact_id, []).append(parts)
        else:
            self._chunks[artifact_id] = [parts]


def _cause(state: TaskState, words: str) -> str:
    match state:
        case TaskState.FAILED:
            return words or "the agent failed and gave no reason"
        case TaskState.REJECTED:
            return f"the agent refused the task: {words or 'it gave no reason'}"
        case TaskState.CANCELED:
            return f"the agent stopped the task: {words or 'it gave no reason'}"
        case _:
            return f"the agent needs something that only a person can give: {words or state.value}"


def _joined(chunks: list[tuple[Part, ...]]) -> str:
    """Text parts of one chunk are lines; chunks of one artifact continue each other."""
    return "".join(
        "\n".join(part.text for part in chunk if part.text is not None) for chunk in chunks
    )


def _named_data(task: Task, parts: list[Part], text: str, local: bool) -> JsonObject:
    """Objects hold data by name; a stranger's bare value or text is the one datum asked for.

    From elsewhere only what was asked for is taken: another name would replace what later tasks
    were given.
    """
    named: dict[str, JsonValue] = {}
    bare: list[JsonValue] = []
    for part in parts:
        if isinstance(part.data, Mapping):
            named.update(cast("JsonObject", part.data))
        elif part.data is not None:
            bare.append(part.data)
    if len(task.produces) == 1 and task.produces[0] not in named:
        if bare:
            named[task.produces[0]] = bare[-1]
        elif named:
            named[task.produces[0]] = dict(named)
        elif text:
            named[task.produces[0]] = text
    return named if local else {name: named[name] for name in task.produces if name in named}


def plain(text: str, limit: int) -> str:
    """Text of an agent's making, however long it is: cut and without control characters."""
    return cut(strip_control(text[: 2 * limit]), limit)


def _files(parts: list[Part], artifacts_dir: Path, local: bool) -> list[str]:
    found: list[str] = []
    for part in parts:
        if part.raw is not None:
            artifacts_dir.mkdir(parents=True, exist_ok=True)
            path = _free_path(artifacts_dir, safe_name(part.filename))
            path.write_bytes(part.raw)
            found.append(str(path))
        elif local and (named := local_path(part)):
            found.append(named)
    return found


def _free_path(folder: Path, name: str) -> Path:
    path = folder / name
    number = 1
    while path.exists():
        number += 1
        path = folder / f"{number}-{name}"
    return path
