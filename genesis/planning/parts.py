"""A request of several things, split into parts: each with its words, its data, what it asks for.

A request is cut into clauses. A clause is a part of its own when it asks for something that the
part before does not make anyway, or for the same from other data. Whatever asks for nothing of
its own ("and round it to two decimals") goes on with the part before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from genesis.planning.clauses import Clause, clauses
from genesis.planning.data_names import is_named, kind_of
from genesis.tasks.phrases import Phrases, words_of
from infrastructure.jsonvalue import JsonObject, JsonValue

_TOGETHER = Phrases(
    [
        *("compar*", "versus", "vs", "join*", "merg*", "combin*", "differ*", "between", "against"),
        *("match*", "concat*", "union", "both together", "in one", "each other"),
    ]
)
_MIN_WORDS = 2
_JOINT = r"(?:(?:\s*,)?\s+(?:and|or|as well as)\s+|\s*,\s*)"
_OF = r"(?:in|of|for|from|on|that of|those of|the one of)"
_BACK = Phrases(
    [
        *("it", "its", "they", "them", "their", "these", "those", "this", "that", "both"),
        *("result*", "finding*", "outcome*", "output*", "the above", "what you f*"),
    ]
)


@dataclass(frozen=True, slots=True)
class Part:
    """One of the things that a request asks for.

    Attributes:
        words: the passage that asks for it; empty when it is the whole request.
        task_type: of these words.
        data: the given data that it is about: the datum of the plan by kind.
        asked: the data that it asks for, at least one.
        later: the words put it after the parts before it.
        back: the words refer to what the parts before it make.
    """

    words: str
    task_type: str
    data: Mapping[str, str]
    asked: tuple[str, ...]
    later: bool = False
    back: bool = False

    def given(self, whole: JsonObject) -> JsonObject:
        """The data at hand for it, by kind, out of those that come with the request."""
        return {kind: whole[name] for kind, name in self.data.items()}


@dataclass(frozen=True, slots=True)
class Reading:
    """How the words of a passage are read.

    Attributes:
        openings: words with which people begin to ask for something.
        open_ended: of these, those that ask for work in words which no other phrase names.
        type_of: the task type of a text; costs about a millisecond, so it is asked late.
        found: the data that phrases in a text ask for, of its task type, from kinds at hand.
        wanted: the same, or else what the type asks for in any case.
        family: a name for each datum, common to those that one plan makes together.
        needs: the kinds of given data that a datum is made from.
    """

    openings: Phrases
    open_ended: Phrases
    type_of: Callable[[str], str]
    found: Callable[[str, Callable[[], str], JsonObject], Sequence[str]]
    wanted: Callable[[str, str, JsonObject], Sequence[str]]
    family: Callable[[str], str]
    needs: Callable[[str], frozenset[str]]


@dataclass(slots=True)
class _Draft:
    """A part in the making; `asks` is the clause that began it."""

    clauses: list[int]
    asks: str
    data: dict[str, str]
    asked: list[str]
    later: bool
    back: bool
    several: tuple[str, ...] = ()

    def words(self, request: str, found: Sequence[Clause]) -> str:
        """Its passages; neighbours with what stands between them."""
        texts: list[str] = []
        start = 0
        for here, number in enumerate(self.clauses):
            if not here or self.clauses[here - 1] != number - 1:
                start = found[number].start
                texts.append("")
            texts[-1] = request[start : found[number].end]
        return ". ".join(texts)


@dataclass(slots=True)
class _Splitter:
    request: str
    given: JsonObject
    reading: Reading
    clauses: Sequence[Clause]
    drafts: list[_Draft] = field(default_factory=list[_Draft])
    preface: list[int] = field(default_factory=list[int])

    def take(self, number: int) -> None:
        """Put a clause to a part that is there, or begin another."""
        clause = self.clauses[number]
        text = self.request[clause.start : clause.end]
        named = self._named(text)
        data = self._at_hand(named)
        asked = self._asked(clause, text, data, bool(named))
        if not asked:
            (self.drafts[-1].clauses if self.drafts else self.preface).append(number)
            return
        used = self._used(asked, data)
        host = next((d for d in self.drafts if self._serves(d, asked, used)), None)
        if host is not None and not self._several(asked, named):
            host.clauses.append(number)
            host.asked += [datum for datum in asked if datum not in host.asked]
            host.data.update(data)
            return
        back = bool(self.drafts) and not named and bool(_BACK.first_in(text))
        passages = [*self.preface, number]
        self.preface = []
        several = self._several(asked, named) if not _TOGETHER.first_in(text) else ()
        self.drafts.append(_Draft(passages, text, data, list(asked), clause.later, back, several))

    def _named(self, text: str) -> list[str]:
        return [
            n
            for n, v in self.given.items()
            if isinstance(v, str) and "/" in v and is_named(v, text)
        ]

    def _at_hand(self, named: Sequence[str]) -> dict[str, str]:
        """What a clause is about: what it names, else what the last part is about."""
        if named:
            chosen = {kind_of(name): name for name in reversed(named)}
        else:
            chosen = dict(self.drafts[-1].data) if self.drafts else {}
        free = {n: n for n in self.given if kind_of(n) == n and not self._path_named(n)}
        return {**free, **chosen}

    def _path_named(self, name: str) -> bool:
        value = self.given[name]
        return isinstance(value, str) and "/" in value and is_named(value, self.request)

    def _asked(
        self, clause: Clause, text: str, data: Mapping[str, str], named: bool
    ) -> Sequence[str]:
        """What a clause asks for by itself; nothing when it only goes on."""
        given = {kind: self.given[name] for kind, name in data.items()}
        if self.drafts and not named and len(words_of(text)) < _MIN_WORDS:
            return ()  # '..., can you check?'
        found = self.reading.found(text, lambda: self.reading.type_of(text), given)
        if found:
            return found
        if clause.opens and (named or self._begins_work(text)):
            return self.reading.wanted(text, self.reading.type_of(text), given)
        return ()

    def _begins_work(self, text: str) -> bool:
        """Whether a clause begins work of its own that no phrase names: 'explain ...'."""
        if not self.reading.open_ended.begins(text):
            return False
        return not self.drafts or not _BACK.first_in(text)

    def _used(self, asked: Sequence[str], data: Mapping[str, str]) -> dict[str, str]:
        needs = frozenset[str]().union(*(self.reading.needs(datum) for datum in asked))
        return {kind: name for kind, name in data.items() if kind in needs}

    def _serves(self, draft: _Draft, asked: Sequence[str], used: Mapping[str, str]) -> bool:
        """Whether a part that is there makes this as well, from the same data."""
        mine = self._used(draft.asked, draft.data)
        if any(mine.get(kind, name) != name for kind, name in used.items()):
            return False
        families = {self.reading.family(datum) for datum in draft.asked}
        return all(
            datum in draft.asked or self.reading.family(datum) in families for datum in asked
        )

    def _several(self, asked: Sequence[str], named: Sequence[str]) -> tuple[str, ...]:
        """The data of one kind, where a clause asks for the same from several."""
        for kind in frozenset[str]().union(*(self.reading.needs(datum) for datum in asked)):
            same = tuple(name for name in named if kind_of(name) == kind)
            if len(same) > 1:
                return same
        return ()

    def parts(self) -> Iterator[Part]:
        """The parts; one for each datum where a clause asks for the same from several."""
        for draft in self.drafts:
            words = draft.words(self.request, self.clauses)
            for name in draft.several or ("",):
                data, text = dict(draft.data), words
                if name:
                    others = [self.given[other] for other in draft.several if other != name]
                    data[kind_of(name)] = name
                    text = _without_names(words, others)
                task_type = self.reading.type_of(draft.asks)
                yield Part(text, task_type, data, tuple(draft.asked), draft.later, draft.back)


def split(request: str, given: JsonObject, reading: Reading) -> tuple[Part, ...]:
    """The parts of a request; none when it cannot be cut, or asks for nothing by its words."""
    found = _joined(request, clauses(request, reading.openings), given)
    if len(found) < 2 and not any(kind_of(name) != name for name in given):
        return ()
    splitter = _Splitter(request, given, reading, found)
    for number in range(len(found)):
        splitter.take(number)
    return tuple(splitter.parts())


def _joined(request: str, found: Sequence[Clause], given: JsonObject) -> list[Clause]:
    """The clauses; one that does not begin as a request does goes on with the one before."""
    joined: list[Clause] = []
    for clause in found:
        last = joined[-1] if joined else None
        if last is not None and not clause.opens and not clause.whole:
            joined[-1] = Clause(last.start, clause.end, last.later, last.whole, last.opens)
        else:
            joined.append(clause)
    return joined


def _without_names(text: str, paths: Sequence[JsonValue]) -> str:
    """A passage without some of the files that it lists."""
    for path in paths:
        parts = [part for part in str(path).split("/") if part]
        for start in range(len(parts)):
            name = "/".join(parts[start:])
            bare = rf"[`'\"]?(?:\./)?{re.escape(name)}[`'\"]?(?![\w/])"
            shorter = re.sub(rf"{_JOINT}(?:{_OF}\s+)?{bare}", "", text, count=1)
            if shorter == text:
                shorter = re.sub(rf"{bare}{_JOINT}(?:{_OF}\s+)?", "", text, count=1)
            if shorter != text:
                text = shorter
                break
    return text
