"""Sentences from phrasings: slots are filled, and the speaker says "I" where others have a name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

SPEAKER: Final = "speaker"
"""The kind of the subject that says "I"; it has the attributes of a person."""

_EITHER: Final = re.compile(r"\[([^\[\]|]*)\|([^\[\]|]*)\]")
_SLOT: Final = re.compile(r"\{(\w+)\}")
_NAMES: Final = ("{s}", "{system}")
_PRONOUNS: Final = {"she": ("she", "her", "her"), "he": ("he", "his", "him")}


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
    return fill(_voiced(phrasing, subject), **_about(subject), **slots)


def mention(phrasing: str, subject: Subject) -> str:
    """What a phrasing calls something of a subject, as a part of a sentence."""
    phrasing = _voiced(phrasing, subject)
    about = _about(subject)
    return _SLOT.sub(lambda found: about[found[1]], phrasing)


def _voiced(phrasing: str, subject: Subject) -> str:
    """The phrasing for the speaker, or for anybody else."""
    return _EITHER.sub(r"\2" if subject.kind == SPEAKER else r"\1", phrasing)


def _about(subject: Subject) -> dict[str, str]:
    he, his, him = _PRONOUNS.get(subject.pronoun, ("it", "its", "it"))
    return {"s": subject.name, "he": he, "his": his, "him": him}
