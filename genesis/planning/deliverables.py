"""What a request asks for: the named data that a plan must produce."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from pydantic import BaseModel, ConfigDict, Field

from genesis.planning.clauses import without_lead
from genesis.planning.data_names import kinds_of
from genesis.planning.forms import form_of, thing_at
from genesis.planning.own_skills import OwnSkills
from genesis.planning.parts import Part, Reading, split
from genesis.planning.reader import Meaning, RequestReader, names_path
from genesis.tasks.phrases import Phrases, prose
from infrastructure.a2a.agent import AgentCard
from infrastructure.jsonvalue import JsonObject

FALLBACK = "answer"
_KEPT_READINGS = 128
_CLEAR_LEAD = 0.3  # of a clause that only goes on
_STRICT = ConfigDict(extra="forbid", frozen=True, strict=True)


class DeliverableConfig(BaseModel):
    """A datum that can be asked for.

    Attributes:
        needs: data that must be given, or made by the same plan, before it is asked for.
        task_types: the only task types in which its phrases count; empty for all.
        phrases: what asks for it, as whole words.
        things: what asks for it where a passage begins by asking that such a thing be made, in
            any task type.
        begins: words that ask for it at the beginning of a passage; where it needs no data, only
            when nothing else is found.
        also: data that whoever asks for it wants as well.
        in_words: it is made from the words of the request, so that requests for it are alike only
            when their words are.
    """

    model_config = _STRICT

    needs: list[str] = Field(default_factory=list)
    task_types: list[str] = Field(default_factory=list)
    phrases: list[str] = Field(default_factory=list)
    things: list[str] = Field(default_factory=list)
    begins: list[str] = Field(default_factory=list)
    also: list[str] = Field(default_factory=list)
    in_words: bool = False


class AskedConfig(BaseModel):
    """What a task type asks for.

    Attributes:
        always: asked for whatever the words.
        principal: when no phrase asks for one of these, the first whose needs are at hand.
    """

    model_config = _STRICT

    always: list[str] = Field(default_factory=list)
    principal: list[str] = Field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Deliverable:
    needs: frozenset[str]
    task_types: frozenset[str]
    phrases: Phrases
    long_phrases: Phrases
    things: Phrases
    begins: Phrases
    also: tuple[str, ...]
    in_words: bool


class Deliverables:
    """Reads from a request which data it asks for.

    Args:
        known: what can be asked for, by datum.
        asked: what each task type asks for; a type that is not there asks for an answer.
        own: what agents of the user's own can be asked for.
        families: a name for each datum, common to those that one plan makes together.
        includes: what is made on the way to a datum.
        openings: words with which people begin to ask for something.
        open_ended: of these, those that ask for work in words.
        neutral: of the open-ended, those that say nothing of what is asked for ("make").
        infer: the task type of a passage; None reads every passage as of the request's type.
        reader: reads requests by examples, before declared phrases are looked for; None goes by
            phrases alone.
    """

    def __init__(
        self,
        known: Mapping[str, DeliverableConfig],
        asked: Mapping[str, AskedConfig],
        own: OwnSkills,
        *,
        families: Mapping[str, str] | None = None,
        includes: Mapping[str, Collection[str]] | None = None,
        openings: Sequence[str] = (),
        open_ended: Sequence[str] = (),
        neutral: Sequence[str] = (),
        infer: Callable[[str], str] | None = None,
        reader: RequestReader | None = None,
    ) -> None:
        self._own = own
        self._reader = reader
        self._known = {
            datum: _Deliverable(
                frozenset(config.needs),
                frozenset(config.task_types),
                Phrases(config.phrases),
                Phrases(phrase for phrase in config.phrases if " " in phrase),
                Phrases(config.things),
                Phrases(config.begins),
                tuple(config.also),
                config.in_words,
            )
            for datum, config in known.items()
        }
        self._asked = dict(asked)
        of_types = (d for one in asked.values() for d in (*one.always, *one.principal))
        self._declared = frozenset([*known, *of_types])
        self._families = dict(families or {})
        self._includes = dict(includes or {})
        self._openings = Phrases([*openings, *open_ended])
        self._open_ended = Phrases(open_ended)
        self._neutral = Phrases(neutral)
        self._read: dict[object, tuple[tuple[AgentCard, ...], tuple[Part, ...]]] = {}
        self._lock = threading.Lock()
        self._infer = None if infer is None else lru_cache(maxsize=256)(infer)

    def parts(self, request: str, task_type: str, given: JsonObject) -> tuple[Part, ...]:
        """The things that a request asks for, each with its words and data: at least one.

        Args:
            request: the user's words.
            task_type: inferred or given; a part of the request has its own.
            given: the named data that come with the request.
        """
        # A run reads its request in several steps. The cards are held, so that no other object
        # can come to have the identity of one.
        cards = tuple(self._own.cards())
        named = tuple(sorted((n, v if isinstance(v, str) else "") for n, v in given.items()))
        key = (request, task_type, named, tuple(map(id, cards)))
        with self._lock:
            held = self._read.get(key)
        if held is None:
            held = (cards, self._parts(request, task_type, given))
            with self._lock:
                self._read[key] = held
                while len(self._read) > _KEPT_READINGS:
                    del self._read[next(iter(self._read))]
        return held[1]

    def _parts(self, request: str, task_type: str, given: JsonObject) -> tuple[Part, ...]:
        def infer(text: str) -> str:
            return self._infer(text) if self._infer is not None else task_type

        by_example = self._reader is not None and self._by_example(request, task_type, given)

        def wanted(text: str, of_type: str, data: JsonObject) -> tuple[str, ...]:
            return self._wanted(text, of_type, data, by_example)

        def found(text: str, of_type: Callable[[], str], data: JsonObject) -> tuple[str, ...]:
            return self._found(text, of_type, data, by_example)

        def type_of(text: str) -> str:
            return self._type(text, infer(text), given) if by_example else infer(text)

        reading = Reading(
            openings=self._openings,
            open_ended=self._open_ended,
            type_of=type_of,
            found=found,
            wanted=wanted,
            family=lambda datum: self._families.get(datum, datum),
            needs=self.needs,
        )
        data = {name: name for name in given}
        of_type = self._type(request, task_type, given) if by_example else task_type
        whole = Part("", of_type, data, wanted(request, task_type, given))
        cut = split(request, given, reading)
        if len(cut) == 1 and set(cut[0].asked) > set(whole.asked):
            # Its first words tell what it is about better than all of them together.
            return (Part("", cut[0].task_type, data, cut[0].asked),)
        return cut if len(cut) > 1 else (whole,)

    def _by_example(self, request: str, task_type: str, given: JsonObject) -> bool:
        """Whether a request may be read by examples: not against a type that the user gave."""
        meaning = self._meaning(request, given, task_type)
        if meaning is None or self._infer is None or meaning.task_type == task_type:
            return self._infer is not None
        return self._infer(request) == task_type

    def _meaning(self, text: str, given: Iterable[str], task_type: str = "") -> Meaning | None:
        """What a passage asks for by its likeness to examples, if some plan makes that.

        Where nothing that its task type asks for can be made, the best guess is taken.
        """
        if self._reader is None:
            return None
        at_hand = kinds_of(given)
        if self._names_own(prose(text, {}), at_hand):
            return None
        config = self._asked.get(task_type) or AskedConfig(principal=[FALLBACK])
        possible = [d for d in (*config.always, *config.principal) if self.needs(d) <= at_hand]
        meaning = self._reader.read(text, at_hand, guess=not possible)
        return meaning if meaning is not None and self._declared >= set(meaning.asks) else None

    def _names_own(self, text: str, at_hand: frozenset[str]) -> bool:
        """Whether a phrase asks for a datum that the examples know nothing of."""
        asks = self._reader.asks if self._reader is not None else frozenset[str]()
        return any(
            known.phrases.first_in(text) or known.things.first_in(text)
            for datum, known in self._known.items()
            if datum not in asks and known.needs <= at_hand
        )

    def _type(self, text: str, task_type: str, given: JsonObject) -> str:
        """The task type of a passage: that of its reading, unless its own fits what is asked."""
        meaning = self._meaning(text, given, task_type)
        if meaning is None or self._own.asked(prose(text, given), given):
            return task_type
        config = self._asked.get(task_type) or AskedConfig(principal=[FALLBACK])
        fits = {*config.always, *config.principal}.issuperset(meaning.asks)
        return task_type if fits and set(config.always) <= set(meaning.asks) else meaning.task_type

    def assumed(self, part: Part, request: str, given: JsonObject) -> bool:
        """Whether it is rather the task type than the words that says what a part asks for.

        So it is where no words are known, and where the first word asks for another kind of work
        than what was found ('Translate the column names ...').
        """
        text = prose(without_lead(part.words or request), given).strip()
        at_hand = kinds_of(part.data)
        if self._meaning(part.words or request, part.data) is not None:
            return False
        found, _ = self._by_phrases(text, lambda: part.task_type, at_hand)
        if not found and not self._own.asked(text, given):
            return True
        if not self._open_ended.begins(text) or self._neutral.begins(text):
            return False
        known = [self._known[datum] for datum in found if datum in self._known]
        return not any(
            one.phrases.begins(text) or one.begins.begins(text) or one.things.first_in(text)
            for one in known
        )

    def essential(self, asked: Iterable[str]) -> frozenset[str]:
        """Of what is asked for, that which is not made on the way to the rest.

        Who asks for a chart and an average asks for the same work as who asks for a chart.
        """
        listed = frozenset(asked)
        return listed.difference(*(self._includes.get(datum, ()) for datum in listed))

    def in_words(self, part: Part) -> bool:
        """Whether what a part asks for is made from its words, and not from given data alone."""
        config = self._asked.get(part.task_type)
        always = frozenset(config.always) if config is not None else frozenset[str]()
        return any(self._from_words(datum) for datum in part.asked) or (
            bool(always) and always <= set(part.asked)
        )

    def _from_words(self, datum: str) -> bool:
        known = self._known.get(datum)
        if known is not None:
            return known.in_words
        return self._own.making(datum) is None

    def asked(self, request: str, task_type: str, given: JsonObject) -> tuple[str, ...]:
        """The data that the request asks for, each once: at least one."""
        parts = self.parts(request, task_type, given)
        return tuple(dict.fromkeys(datum for part in parts for datum in part.asked))

    def needs(self, datum: str) -> frozenset[str]:
        """The kinds of given data that a datum is made from, as far as it is said."""
        known = self._known.get(datum)
        if known is not None:
            return known.needs
        skill = self._own.making(datum)
        return frozenset(skill.requires) if skill is not None else frozenset()

    def _wanted(
        self, text: str, task_type: str, given: JsonObject, by_example: bool
    ) -> tuple[str, ...]:
        """What a passage asks for, by its words or by its task type: at least one datum."""
        meaning = self._meaning(text, given, task_type) if by_example else None
        if meaning is not None and not self._own.asked(prose(text, given), given):
            return meaning.asks
        config = self._asked.get(task_type) or AskedConfig(principal=[FALLBACK])
        at_hand = kinds_of(given) | frozenset(config.always)
        bare = prose(text, given)
        found, outright = self._by_phrases(bare, lambda: task_type, at_hand)
        own = self._own.asked(bare, given)
        if own or outright:
            # Whoever asks for these asks for nothing that the type alone would suggest.
            return self._with_own(own, found, bare)
        chosen = [*config.always, *found]
        if config.principal and not set(config.principal) & set(chosen):
            # What words ask for is not doubted because the type suggests an answer in words.
            served = self._served(config.principal, at_hand | frozenset(chosen))
            if served or not chosen:
                chosen.append(served or self._principal(config.principal, at_hand, bare))
        return tuple(dict.fromkeys(chosen))

    def _found(
        self, text: str, task_type: Callable[[], str], given: JsonObject, by_example: bool
    ) -> tuple[str, ...]:
        """What the words of a passage ask for; may be nothing."""
        bare = prose(text, given)
        own = self._own.asked(bare, given)
        found, _ = self._by_phrases(bare, task_type, kinds_of(given))
        if found and not own and by_example:
            found = self._better_read(text, found, given)
        return self._with_own(own, found, bare)

    def _better_read(self, text: str, found: list[str], given: JsonObject) -> list[str]:
        """What a clause asks for by its likeness to examples, where those tell."""
        meaning = self._meaning(text, given)
        # 'And who made it?' goes on with what was asked of the data before.
        clear = meaning is not None and (meaning.lead > _CLEAR_LEAD or names_path(text))
        if meaning is None or not clear:
            return found
        in_words = any(map(self._from_words, meaning.asks)) and not names_path(text)
        return found if in_words else list(meaning.asks)

    def _with_own(self, own: Sequence[str], found: Sequence[str], text: str) -> tuple[str, ...]:
        """What own skills make, and what is asked for beside it.

        'Translate the letter' asks for no letter: what is made in words has to be asked for
        as the thing to make.
        """
        to_make = not own or form_of(text).act == "make"
        beside = [datum for datum in found if to_make or not self._from_words(datum)]
        return tuple(dict.fromkeys([*own, *beside]))

    def _by_phrases(
        self, text: str, task_type: Callable[[], str], at_hand: frozenset[str]
    ) -> tuple[list[str], bool]:
        """What phrases ask for, and whether any does so outright, whatever the task type."""
        text = text.lstrip()
        thing = self._thing(text)
        found: list[str] = []
        outright = False
        possible = {datum: k for datum, k in self._known.items() if k.needs <= at_hand}
        long = {datum for datum, known in possible.items() if known.long_phrases.first_in(text)}
        whole = text
        for datum, known in possible.items():
            text = whole
            for other in long - {datum}:
                # 'How many' of 'how many tests' asks for the tests alone.
                text = possible[other].long_phrases.without(text)
            if not thing or not known.things.ends(thing):
                started = bool(known.needs) and known.begins.begins(whole)
                if not started and not known.phrases.first_in(text):
                    continue
                begun = known.phrases.begins(text) and self._openings.begins(text)
                if known.task_types and not begun and task_type() not in known.task_types:
                    continue
                outright |= bool(known.task_types) and task_type() not in known.task_types
            else:
                outright |= not self._suits(datum, task_type())
            found += [datum, *known.also]
        return found or self._nearly(text, task_type, at_hand), outright

    def _suits(self, datum: str, task_type: str) -> bool:
        """Whether requests of a type ask for such a datum, so that the words add to the type."""
        config, known = self._asked.get(task_type), self._known[datum]
        if known.task_types:
            return task_type in known.task_types
        return config is not None and datum in (*config.always, *config.principal)

    def _nearly(
        self, text: str, task_type: Callable[[], str], at_hand: frozenset[str]
    ) -> list[str]:
        """What a text without any phrase asks for but for a typing error."""
        return [
            datum
            for datum, known in self._known.items()
            if known.needs
            and known.needs <= at_hand
            and known.phrases.nearly_in(text)
            and (not known.task_types or task_type() in known.task_types)
        ][:1]

    def _thing(self, text: str) -> str:
        """What a passage begins by asking to be made: 'a short letter'; empty when nothing."""
        verb = self._open_ended.begun(text)
        return thing_at(text, len(verb)) if verb else ""

    def _served(self, principal: Sequence[str], at_hand: frozenset[str]) -> str:
        """The first that is made from data at hand; empty when none is."""
        made = (d for d in principal if self.needs(d) and self.needs(d) <= at_hand)
        return next(made, "")

    def _principal(self, principal: Sequence[str], at_hand: frozenset[str], text: str) -> str:
        """What to make where no words tell: what the data serve, else what needs none."""
        general = self._asked.get("general")
        served = self._served(general.principal, at_hand) if general and at_hand else ""
        free = next((datum for datum in principal if not self.needs(datum)), "")
        if served or not free:
            return served or principal[0]
        begun = (datum for datum, known in self._known.items() if known.begins.begins(text))
        return next(begun, free)
