"""What episodes are made of: names, values and phrasings, parted so that no split shares them.

The sources are the YAML files beside this module, in `phrases/`; a line is one phrasing. Each list
is parted at random, but always alike, about 60 : 15 : 25, into train, validation and held out. The
files `unseen_*` hold attributes and kinds of chatter that only the split "unseen" has; its names,
values and fillers are those held out.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any, Final, Literal, cast

import yaml

from infrastructure.training.agemem.phrasing import Subject, slots_of

Split = Literal["train", "validation", "heldout", "unseen"]
SPLITS: Final[tuple[Split, ...]] = ("train", "validation", "heldout", "unseen")

_FOLDER: Final = Path(__file__).parent / "phrases"
_VALIDATION: Final = 0.15
_HELDOUT: Final = 0.25
_LONG: Final = 10


@dataclass(frozen=True, slots=True)
class Attribute:
    """A kind of fact: what may be said and asked about subjects of one kind.

    Attributes:
        name: the attribute.
        subject: the kind of subject that has it.
        plain: whether another value stated later, without a word, supersedes the former one; not
            where somebody can have two (allergies, languages).
        values: what it can be.
        statement, update, retraction, restatement: phrasings that say it, change it, take it back,
            and say it in other words; a working fact has statements only.
        question, paraphrase: phrasings that ask for it in the words of the statements, in others.
        topic, clause: what it is called within a question, in those words and in others.
    """

    name: str
    subject: str
    plain: bool
    values: tuple[str, ...]
    statement: tuple[str, ...]
    update: tuple[str, ...]
    retraction: tuple[str, ...]
    restatement: tuple[str, ...]
    question: tuple[str, ...]
    paraphrase: tuple[str, ...]
    topic: tuple[str, ...]
    clause: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Theme:
    """A question about several subjects that needs all that is known of some attributes."""

    name: str
    attributes: tuple[str, ...]
    question: tuple[str, ...]
    paraphrase: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Phrasebook:
    """What one split is made of.

    Attributes:
        split: which.
        subjects: by kind, all subjects that there are.
        attributes: of long-term facts, by the kind of their subject.
        working: of facts of the second phase, by the kind of their subject.
        themes: by each attribute that they need.
        chatter, distractors: phrasings by kind.
        frames: fillers, and the sentences that surround statements, topics and clauses, by use.
        goals: by the kind of subject.
        slots: what fills the slots of chatter.
    """

    split: Split
    subjects: Mapping[str, tuple[Subject, ...]]
    attributes: Mapping[str, tuple[Attribute, ...]]
    working: Mapping[str, tuple[Attribute, ...]]
    themes: Mapping[str, tuple[Theme, ...]]
    chatter: Mapping[str, tuple[str, ...]]
    distractors: Mapping[str, tuple[str, ...]]
    frames: Mapping[str, tuple[str, ...]]
    goals: Mapping[str, tuple[str, ...]]
    slots: Mapping[str, tuple[str, ...]]


@lru_cache(maxsize=len(SPLITS))
def phrasebook(split: Split) -> Phrasebook:
    """The phrasebook of a split; read once."""
    return _Reader(split).book()


class _Reader:
    """Reads the sources for one split."""

    def __init__(self, split: Split) -> None:
        self.split: Split = split
        self.unseen = split == "unseen"
        self.values = _source("values")
        self.common = frozenset(str(self.values["common"]).split())
        self.whole = self.common.union(str(self.values["unseen"]).split())

    def book(self) -> Phrasebook:
        """All that the split has."""
        attributes = self._attributes(
            *(("unseen_people", "unseen_work") if self.unseen else ("people",)),
            *(() if self.unseen else ("projects", "customers", "systems")),
        )
        chatter = self._kinds("chatter")
        return Phrasebook(
            split=self.split,
            subjects=self._subjects(),
            attributes=_by_subject(attributes),
            working=_by_subject(self._attributes("working")),
            themes=self._themes(),
            chatter=chatter,
            distractors=self._kinds("distractors"),
            frames=self._shared("fillers"),
            goals=self._shared("goals"),
            slots={
                "x": self._bank("others"),
                "city": self._bank("chatter_cities"),
                "food": self._bank("foods"),
                "weekday": self._bank("weekdays"),
                "clock": self._bank("hours"),
                "n": tuple(str(number) for number in range(2, 60)),
                **{f"v.{name}": self._bank(name) for name in self._banks_in(chatter)},
            },
        )

    @staticmethod
    def _banks_in(chatter: Mapping[str, Sequence[str]]) -> list[str]:
        """The banks of values that chatter names."""
        slots = {slot for kind in chatter.values() for line in kind for slot in slots_of(line)}
        return sorted(slot.removeprefix("v.") for slot in slots if slot.startswith("v."))

    def _subjects(self) -> dict[str, tuple[Subject, ...]]:
        names = cast("dict[str, str]", self.values["names"])
        found: dict[str, tuple[Subject, ...]] = {}
        for key, block in names.items():
            mine = part(block.splitlines(), f"names.{key}", self.split)
            kind, pronoun = ("person", key) if key in {"she", "he"} else (key, "")
            subjects = tuple(Subject(kind, name, pronoun) for name in mine)
            found[kind] = found.get(kind, ()) + subjects
        return found

    def _attributes(self, *sources: str) -> list[Attribute]:
        return [
            self._attribute(name, entry)
            for source in sources
            for name, entry in _source(source).items()
            if self._is_mine(source, entry)
        ]

    def _is_mine(self, source: str, entry: Mapping[str, Any]) -> bool:
        only_unseen = source.startswith("unseen_") or bool(entry.get("unseen"))
        return only_unseen == self.unseen

    def _attribute(self, name: str, entry: Mapping[str, Any]) -> Attribute:
        def phrasings(use: str) -> tuple[str, ...]:
            lines = str(entry.get(use, "")).splitlines()
            return tuple(lines) if self.unseen else part(lines, f"{name}.{use}", self.split)

        return Attribute(
            name=name,
            subject=str(entry["subject"]),
            plain=bool(entry.get("plain", True)),
            values=self._bank(str(entry["values"])),
            statement=phrasings("statement"),
            update=phrasings("update"),
            retraction=phrasings("retraction"),
            restatement=phrasings("restatement"),
            question=phrasings("question"),
            paraphrase=phrasings("paraphrase"),
            topic=phrasings("topic"),
            clause=phrasings("clause"),
        )

    def _themes(self) -> dict[str, tuple[Theme, ...]]:
        found: dict[str, tuple[Theme, ...]] = {}
        for name, entry in _source("themes").items():
            if not self._is_mine("themes", entry):
                continue
            asked = {
                use: tuple(str(entry[use]).splitlines())
                if self.unseen
                else part(str(entry[use]).splitlines(), f"{name}.{use}", self.split)
                for use in ("question", "paraphrase")
            }
            attributes = tuple(str(entry["attributes"]).split())
            theme = Theme(name, attributes, asked["question"], asked["paraphrase"])
            for attribute in attributes:
                found[attribute] = (*found.get(attribute, ()), theme)
        return found

    def _kinds(self, source: str) -> dict[str, tuple[str, ...]]:
        if self.unseen:
            blocks = _source(f"unseen_{source}")
            return {kind: tuple(str(block).splitlines()) for kind, block in blocks.items()}
        return self._shared(source)

    def _shared(self, source: str) -> dict[str, tuple[str, ...]]:
        return {
            kind: part(str(block).splitlines(), f"{source}.{kind}", self.split)
            for kind, block in _source(source).items()
        }

    def _bank(self, name: str) -> tuple[str, ...]:
        entry = self.values[name]
        if isinstance(entry, dict):
            rule = cast("dict[str, Any]", entry)
            if "each" in rule:
                return self._combined(name, str(rule["each"]))
            first, last, step = cast("list[int]", rule["range"])
            lines = [str(number) for number in range(first, last + 1, step)]
        else:
            lines = str(entry).splitlines()
        return tuple(lines) if name in self.whole else part(lines, name, self.split)

    def _combined(self, name: str, pattern: str) -> tuple[str, ...]:
        parts = sorted(slots_of(pattern), key=lambda slot: pattern.index(f"{{{slot}}}"))
        banks = [self._bank(each) for each in parts]
        every = [
            pattern.format(**dict(zip(parts, choice, strict=True))) for choice in product(*banks)
        ]
        return part(every, name, self.split) if self.common.issuperset(parts) else tuple(every)


def part(items: Sequence[str], key: str, split: Split) -> tuple[str, ...]:
    """The items of a split: shuffled by their key, then parted; at least one each, of three.

    Args:
        items: the whole list.
        key: names the list.
        split: whose part; "unseen" has the part that is held out.
    """
    order = list(items)
    random.Random(f"parts:{key}").shuffle(order)  # noqa: S311 - a partition, not a secret
    least = 2 if len(order) >= _LONG else 1
    heldout = max(least, round(len(order) * _HELDOUT))
    validation = max(least, round(len(order) * _VALIDATION))
    if split == "validation":
        return tuple(order[heldout : heldout + validation])
    return tuple(order[heldout + validation :] if split == "train" else order[:heldout])


@lru_cache(maxsize=32)
def _source(name: str) -> dict[str, Any]:
    text = (_FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    return cast("dict[str, Any]", yaml.safe_load(text))


def _by_subject(attributes: Iterable[Attribute]) -> dict[str, tuple[Attribute, ...]]:
    found: dict[str, tuple[Attribute, ...]] = {}
    for attribute in attributes:
        found[attribute.subject] = (*found.get(attribute.subject, ()), attribute)
    return found
