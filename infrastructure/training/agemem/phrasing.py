"""Sentences from phrasings: slots are filled, and the speaker says "I" where others have a name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

SPEAKER: Final = "speaker"
"""The kind of the subject that says "I"; it has the attributes of a person."""

_EITHER: Final = re.compile(r"\[([^\[\]|]*)\|([^\[\]|]*)\]")
_SLOT: Final = re.compile(r"\{([\w.]+)\}")
_NAMES: Final = ("{s}", "{system}")
_PRONOUNS: Final = {"she": ("she", "her", "her"), "he": ("he", "his", "him")}
_CONTRACTED: Final = {
    "I am": "I'm",
    "I will": "I'll",
    "I would": "I'd",
    "I have been": "I've been",
    "I have moved": "I've moved",
    "I have played": "I've played",
    "I have to": "I've got to",
    "We are": "We're",
    "You are": "You're",
    "you are": "you're",
    "They are": "They're",
    "do not": "don't",
    "Do not": "Don't",
    "does not": "doesn't",
    "did not": "didn't",
    "is not": "isn't",
    "are not": "aren't",
    "was not": "wasn't",
    "were not": "weren't",
    "has not": "hasn't",
    "have not": "haven't",
    "cannot": "can't",
    "could not": "couldn't",
    "will not": "won't",
    "would not": "wouldn't",
    "must not": "mustn't",
    "It is not": "It's not",
    "It is": "It's",
    "it is": "it's",
    "That is": "That's",
    "that is": "that's",
    "There is": "There's",
    "there is": "there's",
    "What is": "What's",
    "Who is": "Who's",
    "Where is": "Where's",
    "Let us": "Let's",
    "let us": "let's",
}
_LONG: Final = re.compile(
    rf"\b(?:{'|'.join(sorted(_CONTRACTED, key=len, reverse=True))})\b(?= [\w\"])"
)


@dataclass(frozen=True, slots=True)
class Subject:
    """Somebody or something that facts are about.

    Attributes:
        kind: "person", "speaker", "project", "customer" or "system".
        name: what it is called; "" for the speaker.
        pronoun: of a person "she" or "he".
    """

    kind: str
    name: str = ""
    pronoun: str = ""

    @property
    def bears(self) -> str:
        """The kind of attributes that it can have."""
        return "person" if self.kind == SPEAKER else self.kind

    @property
    def key(self) -> str:
        """Names it within ids of facts."""
        return self.name.lower().replace(" ", "-") or SPEAKER


def contracted(sentence: str) -> str:
    """The sentence as it is spoken: "I'm", "don't", "what's"."""
    return _LONG.sub(lambda found: _CONTRACTED[found[0]], sentence)


def begun(lead: str, phrasing: str) -> str:
    """A phrasing behind the beginning of a sentence, where it has no capital of its own.

    Args:
        lead: the beginning; `{it}` is the rest.
        phrasing: a phrasing for one kind of speaker.
    """
    first = phrasing.partition(" ")[0]
    if first != "I" and not first[1:2].isupper():
        phrasing = phrasing[:1].lower() + phrasing[1:]
    return lead.replace("{it}", phrasing)


def slots_of(phrasing: str) -> frozenset[str]:
    """The slots that a phrasing names."""
    return frozenset(_SLOT.findall(phrasing))


def fill(phrasing: str, **slots: str) -> str:
    """The phrasing with its slots filled; it begins with a capital, unless with a system's name.

    Raises:
        KeyError: a slot has no filling.
    """
    text = _SLOT.sub(lambda found: slots[found[1]], phrasing)
    return text if phrasing.startswith(_NAMES) else text[:1].upper() + text[1:]


def say(phrasing: str, subject: Subject, **slots: str) -> str:
    """What a phrasing says about a subject, as a sentence.

    Args:
        phrasing: `[a|b]` is `a` of others and `b` of the speaker; `{s}` is the subject's name,
            `{he}`, `{his}`, `{him}` its pronouns.
        subject: whom it is about.
        slots: fillings of its other slots.
    """
    return fill(voiced(phrasing, subject), **_about(subject), **slots)


def mention(phrasing: str, subject: Subject) -> str:
    """What a phrasing calls something of a subject, as a part of a sentence."""
    phrasing = voiced(phrasing, subject)
    about = _about(subject)
    return _SLOT.sub(lambda found: about[found[1]], phrasing)


def voiced(phrasing: str, subject: Subject) -> str:
    """The phrasing for the speaker, or for anybody else."""
    return _EITHER.sub(r"\2" if subject.kind == SPEAKER else r"\1", phrasing)


def _about(subject: Subject) -> dict[str, str]:
    he, his, him = _PRONOUNS.get(subject.pronoun, ("it", "its", "it"))
    return {"s": subject.name, "he": he, "his": his, "him": him}
