"""What is said in passing: fillers, chatter, and distractors; and how it surrounds a sentence."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Final

from infrastructure.training.agemem.phrasebook import Phrasebook
from infrastructure.training.agemem.phrasing import (
    Subject,
    begun,
    contracted,
    fill,
    slots_of,
)

LONGEST: Final = 212
"""Characters of a turn at most, so that one always fits the smallest budget with room."""

_SPOKEN: Final = 0.5
_LED: Final = 0.2
_AROUND: Final = (0.35, 0.45, 0.2)
_FILLER: Final = 0.75
_OF_EPISODE: Final = 0.75
_ABOUT_WORK: Final = 0.25
"""The share of chatter that is about the projects, customers and systems, at least."""

_OF_WORK: Final = ("_project", "_customer", "_system")
_CAST: Final = {"x": 3, "city": 2, "food": 2}
"""How many acquaintances, cities and dishes keep coming up in one episode."""

_TRIES: Final = 200
_UNUSED_FIRST: Final = 20


class Talk:
    """Words what is said in passing; no sentence twice.

    Args:
        book: the phrasings.
        rng: draws them.
        subjects: who is talked about.
    """

    def __init__(self, book: Phrasebook, rng: random.Random, subjects: Sequence[Subject]) -> None:
        self.book = book
        self._rng = rng
        self._spoken = rng.random() < _SPOKEN
        self._said: set[str] = set()
        self._used: set[str] = set()
        self._names = {
            kind: [subject.name for subject in subjects if subject.kind == kind]
            for kind in book.subjects
        }
        self._spare = [each.name for each in book.subjects["system"] if each not in subjects]
        self._cast = {
            slot: rng.sample(book.slots[slot], min(size, len(book.slots[slot])))
            for slot, size in _CAST.items()
        }

    def claim(self, sentence: str) -> str:
        """Note a sentence as said."""
        self._said.add(sentence)
        return sentence

    def is_new(self, sentence: str) -> bool:
        """Whether it was not said yet."""
        return sentence not in self._said

    def voiced(self, sentence: str) -> str:
        """The sentence as it is written or spoken throughout this episode."""
        return contracted(sentence) if self._spoken else sentence

    def led(self, phrasing: str) -> str:
        """The phrasing, sometimes behind a beginning such as "By the way"."""
        if self._rng.random() >= _LED or phrasing.endswith("?"):
            return phrasing
        return begun(self._rng.choice(self.book.frames["leads"]), phrasing)

    def chatter(self) -> str:
        """Something of no consequence."""
        return self._drawn(self.book.chatter, led=True)

    def distractor(self) -> str:
        """Something that comes in and is not to the point."""
        return self._drawn(self.book.distractors, led=False)

    def filler(self) -> str:
        """A sentence that says nothing; chatter where all of them were used."""
        for _ in range(_TRIES):
            sentence = self.voiced(self._rng.choice(self.book.frames["fillers"]))
            if self.is_new(sentence):
                return self.claim(sentence)
        return self.chatter()

    def surrounded(self, sentence: str) -> str:
        """The sentence with none, one or two others around it."""
        text = sentence
        for _ in range(self._rng.choices((0, 1, 2), _AROUND)[0]):
            other = self.filler() if self._rng.random() < _FILLER else self.chatter()
            text = self.joined(text, other)
        return text

    def joined(self, text: str, other: str) -> str:
        """A text with another before or after it, as long as it does not get too long."""
        both = f"{other} {text}" if self._rng.random() < 0.5 else f"{text} {other}"
        return both if len(both) <= LONGEST else text

    def _drawn(self, phrasings: Mapping[str, Sequence[str]], *, led: bool) -> str:
        kinds = tuple(phrasings)
        of_work = tuple(kind for kind in kinds if kind.endswith(_OF_WORK)) or kinds
        for tried in range(_TRIES):
            among = of_work if self._rng.random() < _ABOUT_WORK else kinds
            phrasing = self._rng.choice(phrasings[self._rng.choice(among)])
            if phrasing in self._used and tried < _UNUSED_FIRST:
                continue
            filling = self._filling(phrasing)
            if filling is None:
                continue
            sentence = self.voiced(fill(self.led(phrasing) if led else phrasing, **filling))
            if self.is_new(sentence):
                self._used.add(phrasing)
                return self.claim(sentence)
        raise RuntimeError(f"all that {self.book.split!r} has to say in passing was said")

    def _filling(self, phrasing: str) -> dict[str, str] | None:
        """What fills the slots; None if the episode has nothing of a kind that is named."""
        filling: dict[str, str] = {}
        for slot in sorted(slots_of(phrasing)):
            among = self._among(slot)
            if not among:
                return None
            filling[slot] = self._rng.choice(among)
        if filling.get("s") == filling.get("x", ""):
            return None
        return filling

    def _among(self, slot: str) -> Sequence[str]:
        if slot == "s":
            people = self._names["person"]
            return people if self._rng.random() < _OF_EPISODE else self._cast["x"]
        if slot == "spare":
            return self._spare
        if slot in self._names:
            return self._names[slot]
        return self._cast[slot] if slot in self._cast else self.book.slots[slot]
