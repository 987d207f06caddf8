"""The phrasebook: broad enough, rightly worded, and no split shares what another is made of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import chain, combinations
from pathlib import Path
from typing import Any, Final, cast

import pytest
import yaml

from infrastructure.training.agemem import phrasebook as module
from infrastructure.training.agemem.phrasebook import (
    SPLITS,
    Attribute,
    Phrasebook,
    Split,
    part,
    phrasebook,
)
from infrastructure.training.agemem.phrasing import Subject, begun, contracted, mention, say

SOURCES: Final = Path(module.__file__).parent / "phrases"
APART: Final = [pair for pair in combinations(SPLITS, 2) if set(pair) != {"heldout", "unseen"}]
USES: Final = (
    "statement",
    "update",
    "retraction",
    "restatement",
    "question",
    "paraphrase",
    "topic",
    "clause",
)
LEAST: Final = {
    "statement": 8,
    "update": 4,
    "retraction": 3,
    "restatement": 4,
    "question": 4,
    "paraphrase": 4,
    "topic": 3,
    "clause": 3,
}
NORA: Final = Subject("person", "Nora", "she")
ME: Final = Subject("speaker")


def source(name: str) -> dict[str, Any]:
    """One of the files that phrasebooks are read from."""
    return cast("dict[str, Any]", yaml.safe_load((SOURCES / f"{name}.yaml").read_text("utf-8")))


def long_term() -> dict[str, dict[str, str]]:
    """All attributes that may be asked from long-term memory, as their sources have them."""
    files = ("people", "projects", "customers", "systems", "unseen_people", "unseen_work")
    return {name: entry for file in files for name, entry in source(file).items()}


def attributes(book: Phrasebook) -> list[Attribute]:
    """All attributes of a split, those of the second phase too."""
    return list(chain(*book.attributes.values(), *book.working.values()))


def phrasings(book: Phrasebook) -> set[str]:
    """All phrasings of a split, of whatever use."""
    found = {
        phrasing
        for attribute in attributes(book)
        for use in USES
        for phrasing in cast("tuple[str, ...]", getattr(attribute, use))
    }
    groups: Iterable[Mapping[str, tuple[str, ...]]]
    groups = (book.chatter, book.distractors, book.frames, book.goals)
    for group in groups:
        found |= {line for lines in group.values() for line in lines}
    for theme in chain(*book.themes.values()):
        found |= {*theme.question, *theme.paraphrase}
    return found


def test_the_banks_are_broad() -> None:
    named = {file: source(file) for file in ("chatter", "unseen_chatter", "fillers", "values")}
    seen, unseen = phrasebook("train"), phrasebook("unseen")
    assert len(list(chain(*seen.attributes.values()))) >= 30
    assert len(list(chain(*unseen.attributes.values()))) >= 6
    assert len(named["chatter"]) >= 30
    assert len(named["unseen_chatter"]) >= 6
    kinds = chain(named["chatter"].values(), named["unseen_chatter"].values())
    assert min(len(str(block).splitlines()) for block in kinds) >= 6
    assert len(str(named["fillers"]["fillers"]).splitlines()) >= 80
    for name, entry in long_term().items():
        for use, least in LEAST.items():
            lines = entry[use].splitlines()
            assert len(lines) == len(set(lines)) >= least, f"{name}.{use}"


@pytest.mark.parametrize(("one", "other"), APART)
def test_splits_share_no_phrasing_name_or_value(one: Split, other: Split) -> None:
    mine, theirs = phrasebook(one), phrasebook(other)
    assert phrasings(mine).isdisjoint(phrasings(theirs))
    for kind in mine.subjects:
        assert set(mine.subjects[kind]).isdisjoint(theirs.subjects[kind])
    values = {attribute.name: set(attribute.values) for attribute in attributes(mine)}
    for attribute in attributes(theirs):
        assert values.get(attribute.name, set[str]()).isdisjoint(attribute.values)
    for slot in ("x", "city", "food"):
        assert set(mine.slots[slot]).isdisjoint(theirs.slots[slot])


def test_the_unseen_split_has_attributes_and_chatter_of_its_own() -> None:
    unseen = phrasebook("unseen")
    for split in ("train", "validation", "heldout"):
        book = phrasebook(split)
        assert {one.name for one in attributes(book)}.isdisjoint(
            one.name for one in attributes(unseen)
        )
        assert set(book.chatter).isdisjoint(unseen.chatter)
        assert set(book.distractors) & set(unseen.distractors) <= {"subject_noise"}
    assert unseen.subjects == phrasebook("heldout").subjects


@pytest.mark.parametrize("split", SPLITS)
def test_every_split_has_something_of_everything(split: Split) -> None:
    book = phrasebook(split)
    for kind in ("person", "project", "customer", "system"):
        assert len(book.subjects[kind]) >= 5
        assert len(book.attributes[kind]) >= 3
        assert book.working[kind]
    for attribute in chain(*book.attributes.values()):
        assert len(attribute.values) >= 2
        assert all(getattr(attribute, use) for use in USES), attribute.name
    for attribute in chain(*book.working.values()):
        assert attribute.values
        assert attribute.statement
        assert attribute.question
        assert attribute.paraphrase
    assert all(book.chatter.values())
    assert all(book.distractors.values())
    assert all(book.frames.values())
    assert all(book.goals.values())


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("subject", [NORA, ME], ids=["Nora", "me"])
def test_each_phrasing_names_whom_it_is_about_and_what(split: Split, subject: Subject) -> None:
    book = phrasebook(split)
    whom = re.compile(r"\bNora\b" if subject is NORA else r"\b(I|me|my|mine|My)\b")
    of_people = (*book.attributes["person"], *book.working["person"])
    for attribute in of_people:
        for use in ("statement", "update", "restatement"):
            for phrasing in cast("tuple[str, ...]", getattr(attribute, use)):
                said = say(phrasing, subject, v="VALUE", old="FORMER")
                assert "VALUE" in said or "VALUE" in said.upper()
                assert whom.search(said), said
                assert not set("[]{}|") & set(said), said
                assert said[0].isupper()
                assert said[-1] in ".?!"
        for use in ("question", "paraphrase"):
            for phrasing in cast("tuple[str, ...]", getattr(attribute, use)):
                asked = say(phrasing, subject)
                assert whom.search(asked), asked
                assert asked.endswith("?")
        for phrasing in (*attribute.topic, *attribute.clause):
            assert whom.search(mention(phrasing, subject)), phrasing


@pytest.mark.parametrize("split", SPLITS)
def test_each_phrasing_about_work_names_its_subject(split: Split) -> None:
    book = phrasebook(split)
    for attribute in attributes(book):
        if attribute.subject == "person":
            continue
        for use in ("statement", "update", "restatement"):
            for phrasing in cast("tuple[str, ...]", getattr(attribute, use)):
                assert "{s}" in phrasing
                assert "{v}" in phrasing
        for use in ("question", "paraphrase", "topic", "clause"):
            for phrasing in cast("tuple[str, ...]", getattr(attribute, use)):
                assert "{s}" in phrasing, phrasing


def test_a_list_is_parted_wholly_and_always_alike() -> None:
    items = [f"item {number}" for number in range(40)]
    parts = [part(items, "some", split) for split in ("train", "validation", "heldout")]
    assert sorted(chain(*parts)) == sorted(items)
    assert [len(each) for each in parts] == [24, 6, 10]
    assert part(items, "some", "unseen") == parts[2]
    assert part(items, "some", "train") == parts[0]
    assert part(items, "another", "train") != parts[0]


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("I am sure that Nora does not live there.", "I'm sure that Nora doesn't live there."),
        ("It is not Oslo, it is Riga.", "It's not Oslo, it's Riga."),
        ("Ask her where it is.", "Ask her where it is."),
        ("What is the port of argus?", "What's the port of argus?"),
    ],
)
def test_speech_is_contracted_but_not_at_the_end_of_a_clause(written: str, spoken: str) -> None:
    assert contracted(written) == spoken


@pytest.mark.parametrize(
    ("phrasing", "sentence"),
    [
        ("The key is in {v}.", "So, the key is in {v}."),
        ("I live in {v}.", "So, I live in {v}."),
        ("{s} lives in {v}.", "So, {s} lives in {v}."),
        ("TLS is on.", "So, TLS is on."),
    ],
)
def test_a_sentence_that_was_begun_loses_its_capital(phrasing: str, sentence: str) -> None:
    assert begun("So, {it}", phrasing) == sentence
