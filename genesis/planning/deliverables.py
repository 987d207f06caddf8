"""What a request asks for: the named data that a plan must produce."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from genesis.planning.own_skills import OwnSkills
from genesis.tasks.phrases import Phrases, prose
from infrastructure.jsonvalue import JsonObject

FALLBACK = "answer"
_STRICT = ConfigDict(extra="forbid", frozen=True, strict=True)


class DeliverableConfig(BaseModel):
    """A datum that can be asked for.

    Attributes:
        needs: data that must be given, or made by the same plan, before it is asked for.
        task_types: the only task types in which its phrases count; empty for all.
        phrases: what asks for it, as whole words.
    """

    model_config = _STRICT

    needs: list[str] = Field(default_factory=list)
    task_types: list[str] = Field(default_factory=list)
    phrases: list[str] = Field(min_length=1)


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


class Deliverables:
    """Reads from a request which data it asks for.

    Args:
        known: what can be asked for, by datum.
        asked: what each task type asks for; a type that is not there asks for an answer.
        own: what agents of the user's own can be asked for.
    """

    def __init__(
        self,
        known: Mapping[str, DeliverableConfig],
        asked: Mapping[str, AskedConfig],
        own: OwnSkills,
    ) -> None:
        self._own = own
        self._known = {
            datum: _Deliverable(
                frozenset(config.needs), frozenset(config.task_types), Phrases(config.phrases)
            )
            for datum, config in known.items()
        }
        self._asked = dict(asked)

    def asked(self, request: str, task_type: str, given: JsonObject) -> tuple[str, ...]:
        """The data that the request asks for, each once: at least one.

        Args:
            request: the user's words.
            task_type: inferred or given.
            given: the named data that come with the request.
        """
        config = self._asked.get(task_type) or AskedConfig(principal=[FALLBACK])
        at_hand = frozenset(given) | frozenset(config.always)
        text = prose(request, given)
        found = [
            datum
            for datum, known in self._known.items()
            if known.needs <= at_hand
            and (not known.task_types or task_type in known.task_types)
            and known.phrases.first_in(text)
        ]
        own = self._own.asked(text, given)
        if own:
            # Whoever asks for these asks for nothing that the type alone would suggest.
            return tuple(dict.fromkeys([*own, *found]))
        chosen = [*config.always, *found]
        if config.principal and not set(config.principal) & set(chosen):
            chosen.append(self._principal(config.principal, at_hand))
        return tuple(dict.fromkeys(chosen))

    def _principal(self, principal: Sequence[str], at_hand: frozenset[str]) -> str:
        for datum in principal:
            known = self._known.get(datum)
            if known is None or known.needs <= at_hand:
                return datum
        return principal[0]
