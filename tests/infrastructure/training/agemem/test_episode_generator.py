"""The generator's episodes: their truth is exact, what they ask is fair, and they never change."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from functools import cache
from itertools import combinations
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infrastructure.errors import InputError
from infrastructure.memory.memori.tokens import query_terms
from infrastructure.models.usage import estimate_tokens
from infrastructure.training.agemem.episodes import (
    DIFFICULTY_VERSION,
    Difficulty,
    Episode,
    TurnKind,
)
from infrastructure.training.agemem.generator import GRID, episodes, generate
from infrastructure.training.agemem.inquiry import ROOM
from infrastructure.training.agemem.phrasebook import SPLITS, Split, phrasebook

FROZEN: Final[dict[int, dict[Split, str]]] = {
    1: {
        "train": "1978491a6b743934cf14cd13a9b9c934c4d02a7c609a929d72c71775803a8465",
        "validation": "4ad3a28e64612924fb146fc78dcc6af85d08f84185cca048c39dca13d8dfefb9",
        "heldout": "22f33b45b7437f914a5da959cc04bf921913c3fe8e7ff934db62fc374ea6dfdb",
        "unseen": "981a7270a71aa4eabf24694a58c303a23109c0495dd694369f222b7634836d6b",
    }
}
"""By DIFFICULTY_VERSION, of each split the digest of its phrasebook and an episode of each cell."""


def made(seed: int, cell: int, split: Split) -> Episode:
    """An episode of a cell, by its place in the grid."""
    return generate(seed, GRID[cell], split=split)


any_episode = st.builds(
    made,
    seed=st.integers(-(2**40), 2**40),
    cell=st.integers(0, len(GRID) - 1),
    split=st.sampled_from(SPLITS),
)


@cache
def sample(split: Split) -> tuple[Episode, ...]:
    """Enough episodes for statistics."""
    return tuple(episodes(7, 160, split))


@settings(deadline=None, max_examples=150)
@given(any_episode)
def test_evidence_is_in_its_text_and_ids_are_consistent(episode: Episode) -> None:
    told: set[str] = set()
    true: dict[str, str] = {}
    for turn in episode.turns:
        attribute = turn.fact_id.rpartition(".")[0]
        assert turn.evidence in turn.text
        assert turn.useful is (turn.kind in {TurnKind.FACT, TurnKind.UPDATE})
        match turn.kind:
            case TurnKind.CHATTER:
                assert (turn.fact_id, turn.replaces, turn.evidence) == ("", "", "")
            case TurnKind.FACT:
                assert turn.evidence
                assert not turn.replaces
                assert turn.fact_id not in told
                assert attribute not in true
                true[attribute] = turn.fact_id
            case TurnKind.UPDATE:
                assert turn.evidence
                assert turn.fact_id not in told
                assert true[attribute] == turn.replaces
                true[attribute] = turn.fact_id
            case TurnKind.RESTATEMENT:
                assert turn.evidence
                assert true[attribute] == turn.fact_id
            case TurnKind.RETRACTION:
                assert not turn.evidence
                assert true.pop(attribute) == turn.fact_id == turn.replaces
        told.add(turn.fact_id)
    assert episode.capacity == max(3, round(_of(episode).capacity * len(true)))


@settings(deadline=None, max_examples=150)
@given(any_episode)
def test_questions_need_what_is_true_in_the_end_and_all_that_says_it(episode: Episode) -> None:
    true = _true(episode)
    working = {arrival.fact_id: arrival for arrival in episode.arrivals if arrival.evidence}
    needed = {need.fact_id for question in episode.questions for need in question.needs}
    assert working.keys() <= needed
    assert needed <= true | working.keys()
    for question in episode.questions:
        assert 1 <= len(question.needs) <= 3
        assert len({need.fact_id for need in question.needs}) == len(question.needs)
        for need in question.needs:
            if need.fact_id in working:
                assert need.carriers == (working[need.fact_id].evidence,)
                continue
            said = [turn.evidence for turn in episode.turns if turn.fact_id == need.fact_id]
            assert need.carriers == tuple(dict.fromkeys(said))


@settings(deadline=None, max_examples=150)
@given(any_episode)
def test_stale_is_all_that_is_no_longer_true_of_the_subjects_asked(episode: Episode) -> None:
    gone = {turn.replaces for turn in episode.turns if turn.replaces}
    for question in episode.questions:
        subjects = {_subject(need.fact_id) for need in question.needs}
        stale = {
            turn.evidence
            for turn in episode.turns
            if turn.evidence and turn.fact_id in gone and _subject(turn.fact_id) in subjects
        }
        assert set(question.stale) == stale
        assert len(question.stale) == len(stale)


@settings(deadline=None, max_examples=150)
@given(any_episode)
def test_a_sentence_says_one_fact_and_is_in_no_text_that_says_another(episode: Episode) -> None:
    said = [(turn.evidence, turn.text, turn.fact_id) for turn in episode.turns]
    said += [(arrival.evidence, arrival.text, arrival.fact_id) for arrival in episode.arrivals]
    for evidence, _, fact_id in said:
        if evidence:
            assert all(other == fact_id for _, text, other in said if evidence in text)
    texts = [text for evidence, text, _ in said if not evidence]
    assert len(set(texts)) == len(texts)


@settings(deadline=None, max_examples=150)
@given(any_episode)
def test_what_one_question_needs_fits_the_budget_with_room(episode: Episode) -> None:
    room = ROOM * episode.budget
    for question in episode.questions:
        carrying = [
            max(_carrying(episode, need.carriers), key=estimate_tokens) for need in question.needs
        ]
        assert sum(map(estimate_tokens, carrying)) <= room
    working = [arrival.text for arrival in episode.arrivals if arrival.evidence]
    assert sum(map(estimate_tokens, working)) <= room


@settings(deadline=None, max_examples=150)
@given(any_episode)
def test_an_episode_is_of_its_cell(episode: Episode) -> None:
    difficulty = _of(episode)
    assert 30 <= len(episode.turns) <= 45
    facts = sum(turn.kind is TurnKind.FACT for turn in episode.turns)
    assert 8 <= facts <= 14
    assert (
        0.4
        <= sum(turn.kind is TurnKind.CHATTER for turn in episode.turns) / len(episode.turns)
        <= 0.65
    )
    changed = {turn.replaces.rpartition(".")[0] for turn in episode.turns if turn.replaces}
    assert len(changed) == round(difficulty.updates * facts)
    assert sum(not arrival.evidence for arrival in episode.arrivals) == difficulty.distractors
    assert 1 <= sum(bool(arrival.evidence) for arrival in episode.arrivals) <= 3
    assert 4 <= len(episode.questions) <= 7
    assert episode.budget == difficulty.budget


@pytest.mark.parametrize("split", SPLITS)
def test_the_same_seed_gives_the_same_episode_and_another_seed_another(split: Split) -> None:
    assert generate(3, GRID[5], split=split) == generate(3, GRID[5], split=split)
    all_made = [generate(seed, cell, split=split) for seed in (3, 4) for cell in GRID]
    assert len({episode.turns for episode in all_made}) == len(all_made)
    assert len({episode.episode_id for episode in all_made}) == len(all_made)


@pytest.mark.parametrize("split", SPLITS)
def test_frozen_episodes_have_not_changed(split: Split) -> None:
    """Whatever changes an episode must raise DIFFICULTY_VERSION, and add a line to FROZEN."""
    frozen = [
        *(asdict(generate(seed, cell, split=split)) for seed, cell in enumerate(GRID)),
        asdict(phrasebook(split)),
    ]
    digest = hashlib.sha256(json.dumps(frozen, sort_keys=True).encode()).hexdigest()
    assert digest == FROZEN[DIFFICULTY_VERSION][split]


@settings(deadline=None)
@given(
    st.builds(
        Difficulty,
        capacity=st.floats(0.1, 10),
        budget=st.integers(90, 4096),
        distractors=st.integers(0, 64),
        updates=st.floats(0, 0.6),
        paraphrase=st.booleans(),
    ),
    st.sampled_from(SPLITS),
)
def test_any_sound_difficulty_has_episodes(difficulty: Difficulty, split: Split) -> None:
    episode = generate(1, difficulty, split=split)
    assert len(episode.arrivals) > difficulty.distractors
    assert episode.questions
    assert episode.capacity >= 3


def test_streams_cycle_through_the_cells_and_share_no_episode() -> None:
    first = list(episodes(1, len(GRID) + 1))
    assert [episode.difficulty for episode in first] == [*GRID, GRID[0]]
    other = episodes(2, len(GRID) + 1)
    assert {one.episode_id for one in first}.isdisjoint(one.episode_id for one in other)


def test_what_cannot_be_made_is_refused() -> None:
    with pytest.raises(InputError, match="a split is one of train, validation, heldout, unseen"):
        generate(1, GRID[0], split="test")  # pyright: ignore[reportArgumentType]
    for wrong, message in (
        (replace(GRID[0], capacity=0), "a capacity above 0"),
        (replace(GRID[0], budget=40), "a budget of 90 tokens or more, not 40"),
        (replace(GRID[0], distractors=-1), "0 to 64 distractors"),
        (replace(GRID[0], updates=float("nan")), "a share of updates from 0 to 0.6, not nan"),
    ):
        with pytest.raises(InputError, match=message):
            generate(1, wrong)
    with pytest.raises(InputError, match="at least one cell"):
        episodes(1, 1, cells=())
    with pytest.raises(InputError, match="0 to 1,000,000"):
        episodes(1, -1)


@pytest.mark.parametrize("split", SPLITS)
def test_no_measure_of_the_surface_alone_tells_facts_from_chatter(split: Split) -> None:
    facts: list[dict[str, float]] = []
    chatter: list[dict[str, float]] = []
    for episode in sample(split):
        texts = [turn.text for turn in episode.turns]
        in_texts = Counter(term for text in texts for term in set(query_terms(text)))
        for turn in episode.turns:
            if turn.useful or turn.kind is TurnKind.CHATTER:
                measured = _measured(turn.text, in_texts, len(texts))
                (facts if turn.useful else chatter).append(measured)
    found = {
        name: _auc([one[name] for one in facts], [one[name] for one in chatter])
        for name in facts[0]
    }
    assert {name: auc for name, auc in found.items() if not 0.35 <= auc <= 0.65} == {}


@pytest.mark.parametrize("split", SPLITS)
def test_each_true_fact_is_as_likely_to_be_asked_as_another(split: Split) -> None:
    asked: list[int] = []
    others: list[int] = []
    places: list[float] = []
    for episode in sample(split):
        needed = {need.fact_id for question in episode.questions for need in question.needs}
        true = _true(episode)
        for place, turn in enumerate(episode.turns):
            if turn.useful and turn.fact_id in true:
                (asked if turn.fact_id in needed else others).append(len(turn.text))
                places += [place / len(episode.turns)] if turn.fact_id in needed else []
    assert 0.4 <= _auc(asked, others) <= 0.6
    assert 0.4 <= float(np.mean(places)) <= 0.6


@pytest.mark.parametrize("split", SPLITS)
def test_questions_are_of_the_kinds_that_are_promised(split: Split) -> None:
    questions = [question for episode in sample(split) for question in episode.questions]
    several = sum(len(question.needs) > 1 for question in questions) / len(questions)
    working = sum(
        any(need.fact_id.startswith("working.") for need in question.needs)
        for question in questions
    ) / len(questions)
    assert 0.25 <= several <= 0.45
    assert 0.18 <= working <= 0.32
    assert any(len(question.needs) == 3 for question in questions)


APART: Final = [pair for pair in combinations(SPLITS, 2) if set(pair) != {"heldout", "unseen"}]
"""The unseen split takes its names and fillers from those held out."""


@pytest.mark.parametrize(("split", "other"), APART)
def test_what_one_split_says_and_asks_no_other_does(split: Split, other: Split) -> None:
    mine, theirs = _wording(split), _wording(other)
    assert mine
    assert mine.isdisjoint(theirs)
    names = {subject.name for group in phrasebook(other).subjects.values() for subject in group}
    said = " ".join(_everything(sample(split)))
    spoken = {name for name in names if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", said)}
    assert spoken == set()


def _of(episode: Episode) -> Difficulty:
    assert episode.difficulty is not None
    return episode.difficulty


def _subject(fact_id: str) -> str:
    return fact_id.removeprefix("working.").partition(".")[0]


def _true(episode: Episode) -> set[str]:
    gone = {turn.replaces for turn in episode.turns}
    return {turn.fact_id for turn in episode.turns if turn.useful} - gone


def _carrying(episode: Episode, carriers: Sequence[str]) -> list[str]:
    said = [(turn.evidence, turn.text) for turn in episode.turns]
    said += [(arrival.evidence, arrival.text) for arrival in episode.arrivals]
    return [text for evidence, text in said if evidence in carriers]


def _measured(text: str, in_texts: Counter[str], texts: int) -> dict[str, float]:
    rarities = [
        float(np.log(1 + (texts - in_texts[term] + 0.5) / (in_texts[term] + 0.5)))
        for term in set(query_terms(text))
    ]
    return {
        "characters": len(text),
        "words": len(text.split()),
        "sentences": len(re.findall(r"[.!?](?:\s|$)", text)),
        "names": len(re.findall(r"(?<!^)(?<![.!?:]\s)\b[A-Z]\w+", text)),
        "numbers": len(re.findall(r"\d+", text)),
        "mean rarity": sum(rarities) / max(1, len(rarities)),
        "most rarity": max(rarities, default=0.0),
        "sum of rarity": sum(rarities),
    }


def _auc(positive: Sequence[float], negative: Sequence[float]) -> float:
    ordered = np.sort(np.asarray(negative, dtype=np.float64))
    values = np.asarray(positive, dtype=np.float64)
    below = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    return float(below.sum() / 2 / len(values) / len(ordered))


def _everything(some: Iterable[Episode]) -> Iterable[str]:
    for episode in some:
        yield from (turn.text for turn in episode.turns)
        yield episode.goal
        yield from (arrival.text for arrival in episode.arrivals)
        yield from (question.text for question in episode.questions)


def _wording(split: Split) -> set[str]:
    """All sentences of facts, and all questions, that a sample of the split has."""
    said = {turn.evidence for episode in sample(split) for turn in episode.turns}
    said |= {question.text for episode in sample(split) for question in episode.questions}
    return said - {""}
