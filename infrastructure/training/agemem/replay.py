"""Annotated conversations as episodes: real talk, with which turns answer which question.

Data: LoCoMo's format (A. Maharana et al., Evaluating Very Long-Term Conversational Memory of LLM
Agents, 2024): a list of samples, each with its sessions of turns and its questions. Evidence names
turns as `D<session>:<turn>`; several in one string all count, what names no turn is left out, and
so is a question of which no evidence is left. Categories: 1 several turns needed, 2 time,
3 inference, 4 one turn; 5, questions without an answer, is left out.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from infrastructure.errors import InputError
from infrastructure.training.agemem.episodes import Episode, Need, Question, Turn, TurnKind

CATEGORIES: Final = (1, 2, 3, 4)
"""The kinds of questions that have an answer."""

CAPACITY_SHARE: Final = 0.4
"""Entries of long-term memory for each turn."""

BUDGET: Final = 512
"""Tokens of the working context."""

TRAINED_ON: Final = 3
"""Conversations of a training half; the others are tested on."""

WINDOW_TURNS: Final = 100
WINDOW_STRIDE: Final = 25

_TURN: Final = re.compile(r"\bD(\d+):(\d+)\b")
_SESSION: Final = re.compile(r"session_(\d+)")


@dataclass(frozen=True, slots=True)
class AnnotatedQuestion:
    """A question about a conversation.

    Attributes:
        text: the question.
        category: one of CATEGORIES.
        evidence: keys of the turns that answer it, in their order; at least one.
    """

    text: str
    category: int
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation with its questions.

    Attributes:
        name: its id in the file.
        turns: by key, in their order, each as `(date) speaker: text`.
        questions: those that name at least one of its turns.
        skipped_questions, skipped_evidence: what names no turn, counted.
    """

    name: str
    turns: Mapping[str, str]
    questions: tuple[AnnotatedQuestion, ...]
    skipped_questions: int = 0
    skipped_evidence: int = 0


def read_conversations(path: Path) -> list[Conversation]:
    """The conversations of a .json or .jsonl file, or of either as .gz.

    Raises:
        InputError: the file cannot be read, is no JSON, or a sample of it is not in this format;
            the message names the sample and what is wrong.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8") as file:
            content = file.read()
        samples = _samples(content, path)
    except (OSError, EOFError, ValueError) as error:
        raise InputError(f"{path} cannot be read as conversations: {error}") from error
    return [_conversation(sample, f"{path}, sample {n}") for n, sample in enumerate(samples, 1)]


def _samples(content: str, path: Path) -> list[object]:
    if path.name.removesuffix(".gz").endswith(".jsonl"):
        return [json.loads(line) for line in content.splitlines() if line.strip()]
    samples: object = json.loads(content)
    if not isinstance(samples, list):
        raise ValueError("it holds no list of samples")
    return cast("list[object]", samples)


def _conversation(sample: object, where: str) -> Conversation:
    try:
        fields = cast("Mapping[str, object]", sample)
        turns = _turns(cast("Mapping[str, object]", fields["conversation"]))
        annotated = cast("Sequence[Mapping[str, object]]", fields["qa"])
        answerable = [entry for entry in annotated if entry["category"] in CATEGORIES]
        named = [_named(entry["evidence"]) for entry in answerable]
        questions = [
            AnnotatedQuestion(
                str(entry["question"]),
                cast("int", entry["category"]),
                tuple(key for key in turns if key in keys),
            )
            for entry, keys in zip(answerable, named, strict=True)
        ]
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise InputError(
            f"{where} is not in LoCoMo's format (`conversation` with `session_1`, "
            f"`session_1_date_time`, ..., and `qa`): {error!r}"
        ) from error
    return Conversation(
        str(fields.get("sample_id", where)),
        turns,
        tuple(question for question in questions if question.evidence),
        skipped_questions=sum(not question.evidence for question in questions),
        skipped_evidence=sum(key not in turns for keys in named for key in keys),
    )


def _turns(conversation: Mapping[str, object]) -> dict[str, str]:
    matches = [match for key in conversation if (match := _SESSION.fullmatch(key))]
    turns: dict[str, str] = {}
    for match in sorted(matches, key=lambda match: int(match[1])):
        date = conversation[f"{match[0]}_date_time"]
        for turn in cast("Sequence[Mapping[str, str]]", conversation[match[0]]):
            key = _key(turn["dia_id"])
            if key in turns:
                raise ValueError(f"two turns are called {key}")
            turns[key] = f"({date}) {turn['speaker']}: {turn['text']}"
    if not turns:
        raise ValueError("it has no turns")
    return turns


def _key(name: str) -> str:
    found = _TURN.fullmatch(name.strip())
    if found is None:
        raise ValueError(f"dia_id {name!r} is not of the form D<session>:<turn>")
    return f"D{int(found[1])}:{int(found[2])}"


def _named(evidence: object) -> set[str]:
    """The keys that evidence names; a text that names no turn counts as a key of none."""
    texts = [evidence] if isinstance(evidence, str) else cast("Sequence[str]", evidence)
    keys: set[str] = set()
    for text in texts:
        found = [f"D{int(session)}:{int(turn)}" for session, turn in _TURN.findall(text)]
        keys.update(found or [text])
    return keys


def whole_episode(conversation: Conversation) -> Episode:
    """All turns of a conversation, then all its questions; nothing comes in between."""
    return _episode(conversation, conversation.name, tuple(conversation.turns))


def training_windows(
    conversation: Conversation, turns: int = WINDOW_TURNS, stride: int = WINDOW_STRIDE
) -> list[Episode]:
    """Stretches of a conversation as episodes, with the questions that they alone can answer.

    A stretch without such a question is left out. The last one ends with the conversation.

    Args:
        conversation: where they are from.
        turns: how many each has; all there are if those are fewer.
        stride: turns from the start of one to that of the next.

    Raises:
        InputError: turns or stride is below 1.
    """
    if turns < 1 or stride < 1:
        raise InputError(f"windows need at least 1 turn and a stride of 1, not {turns}, {stride}")
    keys = tuple(conversation.turns)
    last = max(0, len(keys) - turns)
    starts = sorted({*range(0, last, stride), last})
    windows = [
        _episode(conversation, f"{conversation.name}@{start}", keys[start : start + turns])
        for start in starts
    ]
    return [window for window in windows if window.questions]


def split(
    conversations: Sequence[Conversation], seed: int
) -> tuple[list[Conversation], list[Conversation]]:
    """TRAINED_ON conversations to train on, and the others to test on.

    The first go round the circle of conversations, seed by seed, so that over any number of
    consecutive seeds each conversation is trained on, and tested on, as often as any other or once
    more.

    Raises:
        InputError: there are too few to test on any.
    """
    count = len(conversations)
    if count <= TRAINED_ON:
        raise InputError(
            f"{TRAINED_ON} conversations are trained on and the others tested on: give at least "
            f"{TRAINED_ON + 1}, not {count}"
        )
    trained = {(TRAINED_ON * seed + step) % count for step in range(TRAINED_ON)}
    return (
        [conversations[place] for place in sorted(trained)],
        [conversations[place] for place in range(count) if place not in trained],
    )


def _episode(conversation: Conversation, episode_id: str, keys: tuple[str, ...]) -> Episode:
    held = set(keys)
    answering = {key for question in conversation.questions for key in question.evidence}
    questions = tuple(
        _question(conversation, question)
        for question in conversation.questions
        if held.issuperset(question.evidence)
    )
    return Episode(
        episode_id=episode_id,
        turns=tuple(_turn(key, conversation.turns[key], key in answering) for key in keys),
        goal="",
        arrivals=(),
        questions=questions,
        capacity=max(1, int(CAPACITY_SHARE * len(keys))),
        budget=BUDGET,
    )


def _turn(key: str, text: str, answers: bool) -> Turn:
    if not answers:
        return Turn(text, TurnKind.CHATTER)
    return Turn(text, TurnKind.FACT, fact_id=key, evidence=text, useful=True)


def _question(conversation: Conversation, question: AnnotatedQuestion) -> Question:
    needs = tuple(Need(key, (conversation.turns[key],)) for key in question.evidence)
    return Question(question.text, needs)
