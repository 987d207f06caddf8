"""How a text stands to one that is remembered: the same again, a contradiction, or related.

Rules over words, names, numbers and cues, no model: two texts contradict each other when one denies
or takes back what the other says, or when both say of the same subject and attribute what cannot
both hold. English only; what the rules cannot see is left as related. How well they do is measured
(docs/agemem.md).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Final

from infrastructure.memory.agemem.entries import MemoryEntry
from infrastructure.memory.agemem.text_analysis import TextAnalysis
from infrastructure.memory.memori.tokens import query_terms, stems


class LikenessKind(StrEnum):
    """How a text stands to an entry."""

    DUPLICATE = "duplicate"
    CONTRADICTION = "contradiction"
    RELATED = "related"


@dataclass(frozen=True, slots=True)
class Likeness:
    """An entry that a text is like.

    Attributes:
        entry: the entry.
        kind: how the text stands to it.
        score: of their likeness, about 0 to 1.
        reasons: why, in words.
    """

    entry: MemoryEntry
    kind: LikenessKind
    score: float
    reasons: tuple[str, ...]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TOKEN: Final = re.compile(r"[^\W_]+(?:['.:,/-][^\W_]+)*")
_DENIES: Final = re.compile(
    r"\b(?:not|never|no longer|no more|any ?more|\w+n't|cannot|stop(?:s|ped)?|quits?|gave up"
    r"|ended|cancel(?:s|led|ed)?|called off|scrapped|dropped|(?:has|have|had) left|forget|untrue"
    r"|wrong)\b",
    re.IGNORECASE,
)
_CHANGES: Final = re.compile(
    r"\b(?:now|instead|changed?|changes|moved|switched|updated?|correction|actually|replaced"
    r"|these days|nowadays|from now on|rather than|went (?:up|down)|rose|fell|postponed"
    r"|rescheduled|meanwhile|turns out)\b",
    re.IGNORECASE,
)
_ADDS: Final = re.compile(r"\b(?:too|also|again|another|as well|besides|both)\b", re.IGNORECASE)
# What says nothing of the fact itself, so that with or without it the fact is the same.
_LIGHT: Final = _words(
    "remember note please correction actually instead also really still currently nowadays day "
    "use uses used using anymore longer changed change moved switched updated replaced went today "
    "must need have has never stop stopped quit left cancelled canceled called off named name "
    "names policy last"
)
# One word for those that say the same attribute.
_SAME: Final = {
    word: group
    for group, words in {
        "home": "live lives lived living moved moves move resides home based relocated",
        "begin": "begins begin starts start started began",
        "cost": "costs cost price priced rent",
    }.items()
    for word in words.split()
}
# Of these there can be several at once: who likes tea may like coffee.
_SEVERAL: Final = _words(
    "like likes love loves enjoy enjoys enjoyed speak speaks play plays played own owns bought buy "
    "visit visited went go goes read reads saw see met know knows study studied learn learns wrote "
    "write tried watched ate cooked has have had adopted"
)
_VERBS: Final = _words("is are was were am be been will 's 're 'm has have had must can costs")
_ENOUGH: Final = 0.6
_HEAD: Final = 4_000
"""Characters of a text that are compared."""
_STATEMENT: Final = 60
"""Words of a text that may be one statement, of which another value can be told."""
_MOST_VALUES: Final = 3


@dataclass(frozen=True)
class _Word:
    term: str
    name: bool
    number: bool
    before: str


@dataclass(frozen=True)
class _Said:
    """A text as the rules see it."""

    analysis: TextAnalysis

    @cached_property
    def text(self) -> str:
        return self.analysis.text[:_HEAD].replace("\u2019", "'")

    @cached_property
    def tokens(self) -> list[str]:
        return _TOKEN.findall(self.text)

    @cached_property
    def words(self) -> list[_Word]:
        """Its words that tell something, in their order."""
        found: list[_Word] = []
        before = ""
        for place, token in enumerate(self.tokens):
            plain = token.lower().removesuffix("'s")
            number = any(map(str.isdigit, token))
            if number or plain in _SAME or (plain not in _LIGHT and _tells(plain)):
                term = plain if number else _SAME.get(plain) or "".join(stems(plain))
                found.append(_Word(term, place > 0 and token[0].isupper(), number, before))
            before = plain
        return found

    @cached_property
    def terms(self) -> frozenset[str]:
        return frozenset(word.term for word in self.words)

    @cached_property
    def numbers(self) -> frozenset[str]:
        return frozenset(word.term for word in self.words if word.number)

    @cached_property
    def subject(self) -> list[str] | None:
        """The telling words before the first auxiliary verb; None without such a verb."""
        lowered = [token.lower() for token in self.tokens]
        for place, token in enumerate(lowered):
            if token in _VERBS and place > 0:
                head = frozenset(each.removesuffix("'s") for each in lowered[:place])
                ahead = [word for each in head for word in stems(each)]
                return [word.term for word in self.words if word.term in ahead]
        return None

    @cached_property
    def denies(self) -> bool:
        return bool(_DENIES.search(self.text))

    @cached_property
    def changes(self) -> bool:
        return bool(_CHANGES.search(self.text))

    @cached_property
    def adds(self) -> bool:
        return bool(_ADDS.search(self.text))

    @cached_property
    def several(self) -> bool:
        return any(token.lower() in _SEVERAL for token in self.tokens)

    @property
    def asks(self) -> bool:
        return self.analysis.text.rstrip().endswith("?")


@dataclass(frozen=True)
class _Clash:
    """What stands in the same place of two texts and differs."""

    ours: Sequence[_Word]
    theirs: Sequence[_Word]

    def __str__(self) -> str:
        ours, theirs = (" ".join(word.term for word in side) for side in (self.ours, self.theirs))
        return f"{ours!r} where the entry has {theirs!r}"


def compare(new: TextAnalysis, held: TextAnalysis) -> tuple[LikenessKind, tuple[str, ...]] | None:
    """How a text stands to one that is held, and why; None if they have nothing to do."""
    if new.text.casefold() == held.text.casefold():
        return LikenessKind.DUPLICATE, ("the same words",)
    ours, theirs = _Said(new), _Said(held)
    shared = ours.terms & theirs.terms
    smaller = min(len(ours.terms), len(theirs.terms))
    if not shared:
        near = float(new.vector @ held.vector) >= _ENOUGH
        return (LikenessKind.RELATED, ("about the same meaning",)) if near else None
    about = f"both have {', '.join(repr(term) for term in sorted(shared))}"
    if not ours.asks and not theirs.asks:
        reason = _contradicts(ours, theirs, shared, smaller)
        if reason:
            return LikenessKind.CONTRADICTION, (about, reason)
        if _repeats(ours, theirs, shared):
            return LikenessKind.DUPLICATE, (about, "nothing else differs that tells")
    if len(shared) / smaller >= _ENOUGH / 2:
        return LikenessKind.RELATED, (about,)
    return None


@lru_cache(maxsize=4096)
def _tells(word: str) -> bool:
    """Whether a word is no stop word; a query of stop words alone keeps them, so one is added."""
    return query_terms(f"{word} genesis") != ["genesi"]


def _contradicts(ours: _Said, theirs: _Said, shared: frozenset[str], smaller: int) -> str:
    if ours.denies != theirs.denies and (len(shared) >= 2 or len(shared) == smaller):
        return "one denies or takes back what the other says"
    if ours.adds:
        return ""
    clash = _clash(ours, theirs)
    if clash is None:
        return ""
    cue = ours.changes and not theirs.changes
    if cue:
        return f"it tells of a change: {clash}"
    if ours.several or theirs.several or not _one_value(clash):
        return ""
    return f"of the same it says {clash}"


def _clash(ours: _Said, theirs: _Said) -> _Clash | None:
    """Values in one place of two texts that otherwise have the same subject and attribute."""
    mine, other = ours.words, theirs.words
    if max(len(mine), len(other)) > _STATEMENT:
        return None
    if ours.subject is not None and theirs.subject is not None:
        if ours.subject != theirs.subject or not ours.subject:
            return None
    elif mine[0].term != other[0].term:
        return None
    blocks = SequenceMatcher(
        None, [word.term for word in mine], [word.term for word in other], autojunk=False
    ).get_opcodes()
    replaced = [block for block in blocks if block[0] == "replace"]
    if not replaced or blocks[0][0] == "replace" or len(replaced) > 2:
        return None
    same = sum(end - start for kind, start, end, _, _ in blocks if kind == "equal")
    clashes = [_Clash(mine[a:b], other[c:d]) for _, a, b, c, d in replaced]
    if len(clashes) == 2 and not all(_numbers(clash) for clash in clashes[1:]):
        return None
    clash = clashes[0]
    values = max(len(clash.ours), len(clash.theirs))
    framed = same >= 2 or (ours.subject is not None and theirs.subject is not None)
    return clash if framed and values <= _MOST_VALUES else None


def _one_value(clash: _Clash) -> bool:
    """Whether two values are of one kind, so that only one of them can hold."""
    ours, theirs = clash.ours, clash.theirs
    bare = all(word.name or word.number for word in (*ours, *theirs))
    named = any(word.name for word in ours) and any(word.name for word in theirs)
    alike = ours[0].before == theirs[0].before
    if _numbers(clash) or (named and (bare or alike)):
        return True
    return len(ours) == len(theirs) == 1 and alike


def _numbers(clash: _Clash) -> bool:
    return any(word.number for word in clash.ours) and any(word.number for word in clash.theirs)


def _repeats(ours: _Said, theirs: _Said, shared: frozenset[str]) -> bool:
    if ours.numbers != theirs.numbers or ours.denies != theirs.denies:
        return False
    names = [{word.term for word in said.words if word.name} - shared for said in (ours, theirs)]
    if any(names):
        return False
    together = len(ours.terms | theirs.terms)
    apart = min(len(ours.terms - shared), len(theirs.terms - shared))
    near = float(ours.analysis.vector @ theirs.analysis.vector)
    return len(shared) / together >= _ENOUGH and (not apart or near >= 0.8)
