"""Conversations in LoCoMo's format as episodes: what is read, refused, cut out and split."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infrastructure.errors import InputError
from infrastructure.training.agemem.episodes import TurnKind
from infrastructure.training.agemem.replay import (
    AnnotatedQuestion,
    Conversation,
    read_conversations,
    split,
    training_windows,
    whole_episode,
)


def sample(turns: int = 12, qa: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """A sample of two sessions, the later one first in the file, with one question a turn."""
    half = turns // 2
    sessions = {2: range(half, turns), 1: range(half)}
    conversation: dict[str, Any] = {"speaker_a": "Ann", "speaker_b": "Bo"}
    for number, places in sessions.items():
        conversation[f"session_{number}_date_time"] = f"day {number}"
        conversation[f"session_{number}"] = [
            {"speaker": "Ann", "dia_id": f"D{number}:{n}", "text": f"word{place}"}
            for n, place in enumerate(places, 1)
        ]
    return {"sample_id": "talk", "conversation": conversation, "qa": qa or []}


def asked(*evidence: str, category: int = 4) -> dict[str, Any]:
    return {"question": "What?", "answer": "that", "evidence": [*evidence], "category": category}


def write(folder: Path, *samples: dict[str, Any], name: str = "talks.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(list(samples)), encoding="utf-8")
    return path


def read(folder: Path, *samples: dict[str, Any]) -> list[Conversation]:
    return read_conversations(write(folder, *samples))


def test_turns_come_in_the_order_of_sessions(tmp_path: Path) -> None:
    (talk,) = read(tmp_path, sample(4))
    assert talk.name == "talk"
    assert list(talk.turns.items()) == [
        ("D1:1", "(day 1) Ann: word0"),
        ("D1:2", "(day 1) Ann: word1"),
        ("D2:1", "(day 2) Ann: word2"),
        ("D2:2", "(day 2) Ann: word3"),
    ]


def test_evidence_is_read_however_it_is_written(tmp_path: Path) -> None:
    qa = [
        asked("D2:1; D1:02"),
        asked("D1:1", "D", "D9:9"),
        asked("D:1:1"),
        asked("D1:1", category=5),
    ]
    (talk,) = read(tmp_path, sample(4, qa))
    assert [question.evidence for question in talk.questions] == [("D1:2", "D2:1"), ("D1:1",)]
    assert (talk.skipped_questions, talk.skipped_evidence) == (1, 3)


@pytest.mark.parametrize("name", ["t.json", "t.jsonl", "t.json.gz", "t.jsonl.gz"])
def test_every_kind_of_file_reads_the_same(tmp_path: Path, name: str) -> None:
    samples = [sample(4, [asked("D1:1")]), sample(6, [asked("D2:1")])]
    lines = "\n".join(json.dumps(one) for one in samples)
    content = (lines if "jsonl" in name else json.dumps(samples)).encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    assert read_conversations(path) == read(tmp_path, *samples)


def damaged(**changes: Any) -> dict[str, Any]:
    whole = sample(4, [asked("D1:1")])
    return {key: value for key, value in {**whole, **changes}.items() if value is not None}


def bad_turn(**turn: str) -> dict[str, Any]:
    conversation: dict[str, Any] = {**sample(4)["conversation"]}
    conversation["session_1"] = [*conversation["session_1"], turn]
    return damaged(conversation=conversation)


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (damaged(conversation=None), "conversation"),
        (damaged(qa=None), "qa"),
        (damaged(qa="words"), "sample 2"),
        (damaged(qa=[{"question": "What?", "category": 1}]), "evidence"),
        (damaged(qa=[{"question": "What?", "category": 1, "evidence": [3]}]), "sample 2"),
        (damaged(conversation={"session_1": []}), "session_1_date_time"),
        (damaged(conversation={}), "no turns"),
        (bad_turn(dia_id="1:1", speaker="Ann", text="x"), "1:1"),
        (bad_turn(dia_id="D1:1", speaker="Ann", text="x"), "two turns are called D1:1"),
        (bad_turn(dia_id="D1:9", speaker="Ann"), "text"),
    ],
)
def test_a_damaged_sample_is_named(tmp_path: Path, bad: dict[str, Any], problem: str) -> None:
    path = write(tmp_path, sample(4), bad)
    with pytest.raises(InputError, match=problem) as refused:
        read_conversations(path)
    assert f"{path}, sample 2" in str(refused.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("cut.json", b'[{"qa": '),
        ("cut.json.gz", gzip.compress(b"[]")[:-4]),
        ("plain.json.gz", b"[]"),
        ("latin.json", b'["\xff"]'),
        ("object.json", b"{}"),
    ],
)
def test_what_is_no_such_file_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=name):
        read_conversations(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        read_conversations(tmp_path / "nowhere.json")


def test_a_whole_conversation_is_an_episode_with_its_truth(tmp_path: Path) -> None:
    (talk,) = read(tmp_path, sample(12, [asked("D2:1", "D1:1"), asked("D2:2", category=1)]))
    episode = whole_episode(talk)
    assert (episode.capacity, episode.budget, episode.goal) == (4, 512, "")
    assert [turn.text for turn in episode.turns] == list(talk.turns.values())
    assert [turn.fact_id for turn in episode.turns if turn.useful] == ["D1:1", "D2:1", "D2:2"]
    assert all(
        (turn.kind is TurnKind.FACT) == turn.useful == bool(turn.evidence) for turn in episode.turns
    )
    first, second = episode.questions
    assert [need.carriers for need in first.needs] == [
        ("(day 1) Ann: word0",),
        ("(day 2) Ann: word6",),
    ]
    assert [need.fact_id for need in second.needs] == ["D2:2"]
    assert first.stale == ()


@given(
    turns=st.integers(2, 60),
    size=st.integers(1, 70),
    stride=st.integers(1, 30),
    evidence=st.lists(st.lists(st.integers(0, 59), min_size=1, max_size=3), max_size=8),
)
def test_windows_cover_the_conversation_and_can_answer_what_they_ask(
    turns: int, size: int, stride: int, evidence: list[list[int]]
) -> None:
    keys = [f"D1:{place}" for place in range(turns)]
    conversation = conversation_of(keys, [[one % turns for one in some] for some in evidence])
    windows = training_windows(conversation, size, stride)
    asked_for = {question.text for window in windows for question in window.questions}
    for window in windows:
        texts = [turn.text for turn in window.turns]
        assert len(texts) == min(size, turns)
        assert window.capacity == max(1, int(0.4 * len(texts)))
        assert window.questions
        assert all(
            carrier in texts
            for question in window.questions
            for need in question.needs
            for carrier in need.carriers
        )
    if stride <= size:  # then every turn is in some window, so one turn's question is in one too
        single = {q.text for q in conversation.questions if len(q.evidence) == 1}
        assert single <= asked_for


def conversation_of(keys: list[str], evidence: list[list[int]]) -> Conversation:
    return Conversation(
        "talk",
        {key: f"says {key}" for key in keys},
        tuple(
            AnnotatedQuestion(f"question {n}", 4, tuple(keys[one] for one in sorted(set(some))))
            for n, some in enumerate(evidence)
        ),
    )


@pytest.mark.parametrize(("turns", "stride"), [(0, 5), (5, 0)])
def test_windows_of_nothing_are_refused(turns: int, stride: int) -> None:
    with pytest.raises(InputError, match="at least 1"):
        training_windows(conversation_of(["D1:1"], []), turns, stride)


@given(count=st.integers(4, 20), first=st.integers(0, 50), seeds=st.integers(1, 12))
def test_each_conversation_is_tested_as_often_as_any_other(
    count: int, first: int, seeds: int
) -> None:
    talks = [Conversation(f"talk {n}", {}, ()) for n in range(count)]
    tested: Counter[str] = Counter()
    for seed in range(first, first + seeds):
        train, test = split(talks, seed)
        assert len(train) == 3
        assert sorted(one.name for one in [*train, *test]) == sorted(one.name for one in talks)
        tested.update(one.name for one in test)
    often = [tested[one.name] for one in talks]
    assert max(often) - min(often) <= 1


def test_too_few_conversations_to_test_on_are_refused() -> None:
    with pytest.raises(InputError, match="at least 4"):
        split([Conversation("talk", {}, ())] * 3, 0)
