"""What a request asks for: the named data that a plan must produce."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from pydantic import BaseModel, ConfigDict, Field

from genesis.planning.data_names import kinds_of
from genesis.planning.own_skills import OwnSkills
from genesis.planning.parts import Part, Reading, split
from genesis.tasks.phrases import Phrases, prose
from infrastructure.jsonvalue import JsonObject

FALLBACK = "answer"
_OBJECT = re.compile(
    r"\s+(?P<object>(?:[^\W_]+['\u2019-]?[^\W_]*\s+){0,5}?[^\W_]+)"
    r"(?=\s*(?:$|[,.;:!?(]|\s(?:to|for|about|on|of|that|which|who|with|in|from|by|and|as|so"
    r"|[a-z]+ing)\b))",
    re.IGNORECASE,
)
"""What a passage asks to be made: 'a short letter' of 'write a short letter to the supplier'."""
_STRICT = ConfigDict(extra="forbid", frozen=True, strict=True)


class DeliverableConfig(BaseModel):
    """A datum that can be asked for.

    Attributes:
        needs: data that must be given, or made by the same plan, before it is asked for.
        task_types: the only task types in which its phrases count; empty for all.
        phrases: what asks for it, as whole words.
        in_words: it is made from the words of the request, so that requests for it are alike only
            when their words are.
    """

    model_config = _STRICT

    needs: list[str] = Field(default_factory=list)
    task_types: list[str] = Field(default_factory=list)
    phrases: list[str] = Field(min_length=1)
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
    in_words: bool


class Deliverables:
    """Reads from a request which data it asks for.

    Args:
        known: what can be asked for, by datum.
        asked: what each task type asks for; a type that is not there asks for an answer.
        own: what agents of the user's own can be asked for.
        families: a name for each datum, common to those that one plan makes together.
        openings: words with which people begin to ask for something.
        open_ended: of these, those that ask for work in words.
        infer: the task type of a passage; None reads every passage as of the request's type.
    """

    def __init__(
        self,
        known: Mapping[str, DeliverableConfig],
        asked: Mapping[str, AskedConfig],
        own: OwnSkills,
        *,
        families: Mapping[str, str] | None = None,
        openings: Sequence[str] = (),
        open_ended: Sequence[str] = (),
        infer: Callable[[str], str] | None = None,
    ) -> None:
        self._own = own
        self._known = {
            datum: _Deliverable(
                frozenset(config.needs),
                frozenset(config.task_types),
                Phrases(config.phrases),
                config.in_words,
            )
            for datum, config in known.items()
        }
        self._asked = dict(asked)
        self._families = dict(families or {})
        self._openings = Phrases([*openings, *open_ended])
        self._open_ended = Phrases(open_ended)
        self._infer = None if infer is None else lru_cache(maxsize=256)(infer)

    def parts(self, request: str, task_type: str, given: JsonObject) -> tuple[Part, ...]:
        """The things that a request asks for, each with its words and data: at least one.

        Args:
            request: the user's words.
            task_type: inferred or given; a part of the request has its own.
            given: the named data that come with the request.
        """
        infer = self._infer
        reading = Reading(
            openings=self._openings,
            open_ended=self._open_ended,
            type_of=infer if infer is not None else lambda _: task_type,
            found=self._found,
            wanted=self._wanted,
            family=lambda datum: self._families.get(datum, datum),
            needs=self.needs,
        )
        data = {name: name for name in given}
        whole = Part("", task_type, data, self._wanted(request, task_type, given))
        found = split(request, given, reading)
        if len(found) == 1 and set(found[0].asked) > set(whole.asked):
            # Its first words tell what it is about better than all of them together.
            return (Part("", found[0].task_type, data, found[0].asked),)
        return found if len(found) > 1 else (whole,)

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

    def _wanted(self, text: str, task_type: str, given: JsonObject) -> tuple[str, ...]:
        """What a passage asks for, by its words or by its task type: at least one datum."""
        config = self._asked.get(task_type) or AskedConfig(principal=[FALLBACK])
        at_hand = kinds_of(given) | frozenset(config.always)
        bare = prose(text, given)
        found, outright = self._by_phrases(bare, lambda: task_type, at_hand)
        own = self._own.asked(bare, given)
        if own or outright:
            # Whoever asks for these asks for nothing that the type alone would suggest.
            return tuple(dict.fromkeys([*own, *found]))
        chosen = [*config.always, *found]
        if config.principal and not set(config.principal) & set(chosen):
            principal = self._principal(config.principal, at_hand)
            # What words ask for and data serve is not doubted because the type suggests more.
            at_hand |= frozenset(chosen)
            if not chosen or (principal != FALLBACK and self.needs(principal) <= at_hand):
                chosen.append(principal)
        return tuple(dict.fromkeys(chosen))

    def _found(self, text: str, task_type: Callable[[], str], given: JsonObject) -> tuple[str, ...]:
        """What the words of a passage ask for; may be nothing."""
        bare = prose(text, given)
        own = self._own.asked(bare, given)
        found, _ = self._by_phrases(bare, task_type, kinds_of(given))
        return tuple(dict.fromkeys([*own, *found]))

    def _by_phrases(
        self, text: str, task_type: Callable[[], str], at_hand: frozenset[str]
    ) -> tuple[list[str], bool]:
        """What phrases ask for, and whether any does so outright, against the task type."""
        found: list[str] = []
        against = False
        for datum, known in self._known.items():
            if not known.needs <= at_hand or not known.phrases.first_in(text):
                continue
            if known.task_types and task_type() not in known.task_types:
                if not self._outright(text, known.phrases):
                    continue
                against = True
            found.append(datum)
        return found, against

    def _outright(self, text: str, phrases: Phrases) -> bool:
        """Whether a passage begins by asking for this: 'Profile ...', 'Write a letter to ...'."""
        text = text.lstrip()
        begun = self._openings.begun(text)
        if not begun:
            return False
        if phrases.begins(text):
            return True
        thing = _OBJECT.match(text, len(begun)) if self._open_ended.begins(text) else None
        return thing is not None and phrases.ends(thing.group("object"))

    def _principal(self, principal: Sequence[str], at_hand: frozenset[str]) -> str:
        for datum in principal:
            known = self._known.get(datum)
            if known is None or known.needs <= at_hand:
                return datum
        return principal[0]
