"""The first phase of an episode: facts about a few subjects, their changes, and chatter."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from infrastructure.training.agemem.episodes import Difficulty, Turn, TurnKind
from infrastructure.training.agemem.phrasebook import Attribute, Phrasebook
from infrastructure.training.agemem.phrasing import (
    SPEAKER,
    Subject,
    begun,
    fill,
    mention,
    say,
    voiced,
)
from infrastructure.training.agemem.talk import Talk

_DOMAINS: Final = (("person", SPEAKER), ("project", "customer"), ("system",))
_DOMAIN_SHARES: Final = (0.4, 0.35, 0.25)
_SUBJECTS: Final = (3, 4, 4, 5)
_ALL_DOMAINS: Final = 0.7
_SPEAKER_SHARE: Final = 0.25
_FACTS: Final = (8, 14)
_TURNS: Final = (30, 45)
_CHATTER: Final = (0.85, 1.15)
_ONLY_FILLER: Final = 0.05
_RESTATEMENTS: Final = (2, 4)
_ALIKE: Final = 0.45
_RETRACTED: Final = 0.3
_CHANGED_AGAIN: Final = 0.15
_BARE: Final = 0.3
_FRAMED: Final = 0.55
_OWN_RETRACTION: Final = 0.6


@dataclass(frozen=True, slots=True)
class Known:
    """A fact that is true in the end.

    Attributes:
        fact_id: the fact.
        subject, attribute: what it is about.
        carriers: the sentences that say it.
        longest: characters of the longest text that carries it.
    """

    fact_id: str
    subject: Subject
    attribute: Attribute
    carriers: tuple[str, ...]
    longest: int


@dataclass(frozen=True, slots=True)
class Conversation:
    """The first phase with its truth.

    Attributes:
        subjects: what facts are about.
        turns: what is said.
        known: what is true in the end.
        stale: by subject, the sentences that are no longer true.
    """

    subjects: tuple[Subject, ...]
    turns: tuple[Turn, ...]
    known: tuple[Known, ...]
    stale: dict[Subject, tuple[str, ...]]


@dataclass(slots=True)
class _Chain:
    """One attribute of one subject: its values in order, restatements, and whether it is off."""

    subject: Subject
    attribute: Attribute
    values: list[str]
    retracted: bool = False
    restated: list[int] = field(default_factory=list[int])

    def fact_id(self, number: int) -> str:
        """Names the fact that one of the values is."""
        return f"{self.subject.key}.{self.attribute.name}.{number + 1}"

    def events(self) -> list[tuple[TurnKind, int]]:
        """What is said of it, in order, each with the number of the value."""
        found: list[tuple[TurnKind, int]] = []
        for number in range(len(self.values)):
            found.append((TurnKind.UPDATE if number else TurnKind.FACT, number))
            found += [(TurnKind.RESTATEMENT, number)] * self.restated.count(number)
        if self.retracted:
            found.append((TurnKind.RETRACTION, len(self.values) - 1))
        return found


def converse(
    book: Phrasebook, rng: random.Random, difficulty: Difficulty, subjects: Sequence[Subject]
) -> tuple[Conversation, Talk]:
    """A conversation about some subjects, and what words the rest of the episode."""
    talk = Talk(book, rng, subjects)
    chains = _chains(book, rng, difficulty, subjects)
    turns = _in_order(rng, chains, _Wording(talk, rng, difficulty.paraphrase), talk)
    return Conversation(tuple(subjects), turns, _known(chains, turns), _stale(chains, turns)), talk


def draw_subjects(book: Phrasebook, rng: random.Random) -> list[Subject]:
    """Three to five subjects, of two domains at least; no two share a name."""
    count = rng.choice(_SUBJECTS)
    domains = rng.sample(_DOMAINS, 3 if rng.random() < _ALL_DOMAINS else 2)
    domains += rng.choices(domains, [_DOMAIN_SHARES[_DOMAINS.index(d)] for d in domains], k=2)
    subjects: list[Subject] = []
    for kinds in domains[:count]:
        kind = kinds[0]
        if kind == "person":
            kind = SPEAKER if rng.random() < _SPEAKER_SHARE else kind
        elif len(kinds) > 1:
            kind = rng.choice(kinds)
        if kind == SPEAKER and any(subject.kind == SPEAKER for subject in subjects):
            kind = "person"
        if kind == SPEAKER:
            subjects.append(Subject(SPEAKER))
        else:
            subjects.append(rng.choice([one for one in book.subjects[kind] if one not in subjects]))
    return subjects


def _chains(
    book: Phrasebook, rng: random.Random, difficulty: Difficulty, subjects: Sequence[Subject]
) -> list[_Chain]:
    chains = _facts(book, rng, subjects)
    changed = rng.sample(chains, round(difficulty.updates * len(chains)))
    for chain in changed:
        if chain.attribute.retraction and rng.random() < _RETRACTED:
            chain.retracted = True
        else:
            _change(rng, chain)
        if rng.random() < _CHANGED_AGAIN and len(chain.attribute.values) > len(chain.values):
            _change(rng, chain)
    for chain in rng.choices(chains, k=rng.randint(*_RESTATEMENTS)):
        chain.restated.append(rng.randrange(len(chain.values)))
    return chains


def _facts(book: Phrasebook, rng: random.Random, subjects: Sequence[Subject]) -> list[_Chain]:
    """Which attributes of which subjects are told; often the same of two subjects."""
    open_ones = {subject: list(book.attributes[subject.bears]) for subject in subjects}
    told: dict[Subject, list[Attribute]] = {subject: [] for subject in subjects}
    for number in range(rng.randint(*_FACTS)):
        left = [subject for subject in subjects if open_ones[subject]]
        if not left:
            break
        subject = subjects[number] if number < len(subjects) else rng.choice(left)
        others = [each for one in subjects if one != subject for each in told[one]]
        alike = [each for each in open_ones[subject] if each in others]
        among = alike if alike and rng.random() < _ALIKE else open_ones[subject]
        attribute = rng.choice(among)
        open_ones[subject].remove(attribute)
        told[subject].append(attribute)
    return [
        _Chain(subject, attribute, [rng.choice(attribute.values)])
        for subject, attributes in told.items()
        for attribute in attributes
    ]


def _change(rng: random.Random, chain: _Chain) -> None:
    chain.values.append(rng.choice([v for v in chain.attribute.values if v not in chain.values]))


class _Wording:
    """Words the turns that state, change, restate and take back facts."""

    def __init__(self, talk: Talk, rng: random.Random, paraphrase: bool) -> None:
        self._talk = talk
        self._rng = rng
        self._paraphrase = paraphrase

    def sentence(self, chain: _Chain, kind: TurnKind, number: int) -> str:
        """What is said of a chain's value; new where the phrasings suffice."""
        if kind is TurnKind.RETRACTION:
            return self._retraction(chain)
        if kind is TurnKind.UPDATE:
            return self._update(chain, number)
        restates = kind is TurnKind.RESTATEMENT and self._paraphrase
        attribute = chain.attribute
        return self._said(chain, attribute.restatement if restates else attribute.statement, number)

    def _said(self, chain: _Chain, phrasings: Sequence[str], number: int, frame: str = "") -> str:
        slots = {"v": chain.values[number], "old": chain.values[number - 1]}
        wanted = [voiced(phrasing, chain.subject) for phrasing in phrasings]
        wanted = [begun(frame, one) if frame else self._talk.led(one) for one in wanted]
        ways = [self._talk.voiced(say(phrasing, chain.subject, **slots)) for phrasing in wanted]
        new = [way for way in ways if self._talk.is_new(way)]
        return self._talk.claim(self._rng.choice(new or ways))

    def _update(self, chain: _Chain, number: int) -> str:
        draw = self._rng.random()
        if not chain.attribute.plain or draw >= _FRAMED:
            return self._said(chain, chain.attribute.update, number)
        frame = "" if draw < _BARE else self._rng.choice(self._talk.book.frames["changes"])
        return self._said(chain, chain.attribute.statement, number, frame)

    def _retraction(self, chain: _Chain) -> str:
        if self._rng.random() < _OWN_RETRACTION:
            return self._said(chain, chain.attribute.retraction, len(chain.values) - 1)
        topic = mention(self._rng.choice(chain.attribute.topic), chain.subject)
        frame = self._rng.choice(self._talk.book.frames["retractions"])
        return self._talk.claim(self._talk.voiced(fill(frame, topic=topic)))


def _in_order(
    rng: random.Random, chains: Sequence[_Chain], wording: _Wording, talk: Talk
) -> tuple[Turn, ...]:
    """All turns at random places, those of one chain in their order, worded one after the other."""
    placed: list[tuple[float, _Chain | None, TurnKind, int]] = []
    for chain in chains:
        events = chain.events()
        places = sorted(rng.random() for _ in events)
        placed += [(place, chain, *event) for place, event in zip(places, events, strict=True)]
    least, most = (turns - len(placed) for turns in _TURNS)
    chatter = min(max(round(len(placed) * rng.uniform(*_CHATTER)), least), most)
    placed += [(rng.random(), None, TurnKind.CHATTER, 0) for _ in range(chatter)]
    placed.sort(key=lambda each: each[0])
    return tuple(
        _turn(chain, kind, number, wording, talk) if chain else _chatter(rng, talk)
        for _, chain, kind, number in placed
    )


def _chatter(rng: random.Random, talk: Talk) -> Turn:
    sentence = talk.filler() if rng.random() < _ONLY_FILLER else talk.chatter()
    return Turn(talk.surrounded(sentence), TurnKind.CHATTER)


def _turn(chain: _Chain, kind: TurnKind, number: int, wording: _Wording, talk: Talk) -> Turn:
    sentence = wording.sentence(chain, kind, number)
    fact_id = chain.fact_id(number)
    if kind is TurnKind.RETRACTION:
        replaces, evidence = fact_id, ""
    else:
        replaces = chain.fact_id(number - 1) if kind is TurnKind.UPDATE else ""
        evidence = sentence
    useful = kind in {TurnKind.FACT, TurnKind.UPDATE}
    return Turn(talk.surrounded(sentence), kind, fact_id, replaces, evidence, useful)


def _known(chains: Sequence[_Chain], turns: Sequence[Turn]) -> tuple[Known, ...]:
    carrying: dict[str, list[Turn]] = defaultdict(list)
    for turn in turns:
        if turn.evidence:
            carrying[turn.fact_id].append(turn)
    return tuple(
        Known(
            fact_id,
            chain.subject,
            chain.attribute,
            tuple(dict.fromkeys(turn.evidence for turn in carrying[fact_id])),
            max(len(turn.text) for turn in carrying[fact_id]),
        )
        for chain in chains
        if not chain.retracted
        for fact_id in (chain.fact_id(len(chain.values) - 1),)
    )


def _stale(chains: Sequence[_Chain], turns: Sequence[Turn]) -> dict[Subject, tuple[str, ...]]:
    gone: dict[str, Subject] = {}
    for chain in chains:
        last = len(chain.values) - (0 if chain.retracted else 1)
        gone.update((chain.fact_id(number), chain.subject) for number in range(last))
    found: dict[Subject, dict[str, None]] = defaultdict(dict)
    for turn in turns:
        if turn.evidence and turn.fact_id in gone:
            found[gone[turn.fact_id]][turn.evidence] = None
    return {subject: tuple(sentences) for subject, sentences in found.items()}
