"""Recordings: what agents and chat models answered, as JSON Lines that can be replayed.

One object a line, blank lines aside; `.gz` files are read too. There are two kinds:

    {"kind": "answer", "agent": "writer", "request": "Describe it", "text": "...", "usd": 0.01}
    {"kind": "chat", "model": "openai:gpt-4.1-mini", "messages": [["user", "Hi"]], "text": "Hello"}

The other keys, and what each means when it is left out, are those of `RecordedAnswer` and
`RecordedChat`.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, TypeAlias, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from genesis.agents.wire import MAX_COST_USD, require_plain
from genesis.errors import AgentError, InputError
from infrastructure.models.chat import ChatMessage
from infrastructure.redaction import hide_secrets

_STRICT = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
_Tokens: TypeAlias = Annotated[int, Field(ge=0, le=10**12)]
_Seconds: TypeAlias = Annotated[float, Field(ge=0)]


class RecordedAnswer(BaseModel):
    """What an agent answered to one assignment.

    `request` and `agent` must be equal to what is asked in a replay; of `description`,
    `operation`, `model` and `effort` an empty one fits whatever is asked.

    Attributes:
        request: the user's whole request.
        agent: the agent's name.
        description: the task's, where one request asks an agent for several.
        operation: the skill's id.
        model: the chat model that was chosen for it, "provider:name".
        effort: "low", "medium" or "high".
        text: the answer for people.
        data: the named data that it made. "<workspace>" and "<artifacts>" in its texts (and in
            `text`) stand for the folders of the replay.
        files: what it wrote, base64 by name.
        usd: US dollars; None where the agent does not say, and its expected price counts.
        seconds: how long it took.
        input_tokens, output_tokens: of a chat model.
        failure: why it failed; empty when it answered.
        retryable: whether another try might have mended the failure.
    """

    model_config = _STRICT

    kind: Literal["answer"] = "answer"
    request: str
    agent: str
    description: str = ""
    operation: str = ""
    model: str = ""
    effort: str = ""
    text: str = ""
    data: dict[str, Any] = Field(default_factory=dict[str, Any])
    files: dict[str, str] = Field(default_factory=dict[str, str])
    usd: float | None = Field(default=None, ge=0, le=MAX_COST_USD)
    seconds: _Seconds = 0.0
    input_tokens: _Tokens = 0
    output_tokens: _Tokens = 0
    failure: str = ""
    retryable: bool = False


class RecordedChat(BaseModel):
    """What a chat model answered to one conversation, which must be the same in a replay.

    Attributes:
        model: "provider:name", which prices the tokens.
        messages: [role, text] of each turn.
        text: the answer; the JSON of a structured one.
        input_tokens, output_tokens: as the provider counted them.
        seconds: how long it took.
        cut: whether the answer ended at the token limit.
        failure: why there was no answer; empty when there was one.
        retryable: whether the same call might have succeeded later.
    """

    model_config = _STRICT

    kind: Literal["chat"] = "chat"
    model: str
    messages: list[Annotated[list[str], Field(min_length=2, max_length=2)]]
    text: str = ""
    input_tokens: _Tokens = 0
    output_tokens: _Tokens = 0
    seconds: _Seconds = 0.0
    cut: bool = False
    failure: str = ""
    retryable: bool = False


Recorded: TypeAlias = RecordedAnswer | RecordedChat
_Entry = TypeVar("_Entry", RecordedAnswer, RecordedChat)
_LINE: TypeAdapter[Recorded] = TypeAdapter(
    Annotated[RecordedAnswer | RecordedChat, Field(discriminator="kind")]
)


@dataclass(frozen=True, slots=True)
class Question:
    """What an agent is asked, as far as it tells one recorded answer from another."""

    request: str
    agent: str
    description: str = ""
    operation: str = ""
    model: str = ""
    effort: str = ""


@dataclass
class Recording:
    """Recorded answers, by what was asked.

    What was recorded several times for the same question is given in that order; the last one is
    given again after that.

    Args:
        entries: in the order in which they were recorded.
    """

    entries: Iterable[Recorded] = ()
    _answers: dict[tuple[str, str], list[RecordedAnswer]] = field(init=False, repr=False)
    _chats: dict[tuple[str, str], list[RecordedChat]] = field(init=False, repr=False)
    _given: dict[int, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.entries = tuple(self.entries)
        self._answers, self._chats, self._given = {}, {}, {}
        for entry in self.entries:
            if isinstance(entry, RecordedAnswer):
                key = (hide_secrets(entry.request), entry.agent)
                self._answers.setdefault(key, []).append(entry)
            else:
                turns = [(role, text) for role, text in entry.messages]
                self._chats.setdefault((entry.model, _conversation(turns)), []).append(entry)

    @classmethod
    def load(cls, path: str | Path) -> Recording:
        """Read a recording.

        Raises:
            InputError: the file cannot be read, or a line is no entry; names the line, the key
                and what is wrong with it.
        """
        return cls(_read(Path(path)))

    def answer(self, question: Question) -> RecordedAnswer:
        """What the agent answered to this.

        Raises:
            AgentError: it was not recorded; says what was asked.
        """
        asked = hide_secrets(question.request)
        known = self._answers.get((asked, question.agent), [])
        fitting = [entry for entry in known if _fits(entry, question)]
        if not fitting:
            told = ", ".join(
                f"{name} {value!r:.80}"
                for name in ("operation", "model", "effort", "description")
                if (value := getattr(question, name))
            )
            raise AgentError(
                f"no answer of agent {question.agent!r} to the request {asked!r:.120} is in the "
                f"recording ({told or 'nothing more is known of the question'}; recorded for "
                f"this request: {len(known)}): record it, or replay what was recorded"
            )
        most = max(_specificity(entry) for entry in fitting)
        return self._next([entry for entry in fitting if _specificity(entry) == most])

    def chat(self, model: str, messages: Iterable[ChatMessage]) -> RecordedChat | None:
        """What the chat model answered to this conversation; None when it was not recorded."""
        turns = _conversation([(message.role, message.text) for message in messages])
        known = self._chats.get((model, turns))
        return self._next(known) if known else None

    def _next(self, fitting: list[_Entry]) -> _Entry:
        given = self._given.get(id(fitting[0]), 0)
        self._given[id(fitting[0])] = given + 1
        return fitting[min(given, len(fitting) - 1)]


def entry_line(entry: Recorded) -> str:
    """One line of a recording, secrets hidden, without what has its default value."""
    said = entry.model_dump(exclude_defaults=True)
    hidden = {name: hidden_in(value) for name, value in said.items() if name != "files"}
    files = {"files": said["files"]} if "files" in said else {}
    return json.dumps({"kind": entry.kind, **hidden, **files}, ensure_ascii=False)


def hidden_in(value: Any) -> Any:
    """A JSON value with the secrets of all its texts hidden."""
    if isinstance(value, str):
        return hide_secrets(value)
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        return {hide_secrets(key): hidden_in(one) for key, one in items}
    if isinstance(value, list):
        return [hidden_in(one) for one in cast("list[Any]", value)]
    return value


def _conversation(turns: list[tuple[str, str]]) -> str:
    return json.dumps([[role, hide_secrets(text)] for role, text in turns])


def _fits(entry: RecordedAnswer, question: Question) -> bool:
    return all(
        recorded in ("", asked)
        for recorded, asked in (
            (entry.description, hide_secrets(question.description)),
            (entry.operation, question.operation),
            (entry.model, question.model),
            (entry.effort, question.effort),
        )
    )


def _specificity(entry: RecordedAnswer) -> int:
    return sum(map(bool, (entry.description, entry.operation, entry.model, entry.effort)))


def _read(path: Path) -> Iterator[Recorded]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield _entry(line, f"{path}, line {number}")
    except (OSError, EOFError) as error:
        raise InputError(f"the recording {path} cannot be read: {error}") from error


def _entry(line: bytes, where: str) -> Recorded:
    try:
        value = json.loads(line.decode("utf-8"), parse_constant=_refuse)
        if isinstance(value, dict) and "kind" not in value:
            raise ValueError('\'kind\' is missing: it is "answer" or "chat"')
        entry = _LINE.validate_python(value)
        if isinstance(entry, RecordedAnswer):
            require_plain(entry.data, "'data'")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"][1:])
        raise InputError(f"{where}: {key + ': ' if key else ''}{first['msg']}") from error
    except (ValueError, RecursionError, AgentError) as error:
        raise InputError(f"{where}: {error}") from error
    return entry


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")
