"""Who decides about memory: a learnt policy or heuristics, by what is observed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from infrastructure.memory.agemem.actions import ACTIONS, Action, Moment

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What is seen by reading closely, which takes an embedder.

    Attributes:
        relations: float32[len(RELATION_FEATURES)]: how what arrived stands to the likest entries,
            sentence by sentence; zeros where that is not asked.
        sentences: float32[n, w], n from 1 to 4: the sentences of what arrived or is asked. A row
            is `features.SENTENCE_FEATURES`, then the sentence's unit vector.
    """

    relations: Floats
    sentences: Floats


@dataclass(frozen=True, eq=False)
class Observation:
    """What a decider sees. Nothing in it knows what will be decided, or what will be asked later.

    Attributes:
        moment: what kind of decision is due.
        numbers: float32[len(FEATURES)] in the order of `features.FEATURES`, each about -1 to 1.
        read: gives `reading`; called when it is first looked at, since not every decider does.
        allowed: bool[len(ACTIONS)], what can be done now; doing nothing always can.
    """

    moment: Moment
    numbers: Floats
    read: Callable[[], Reading]
    allowed: NDArray[np.bool_]

    @cached_property
    def reading(self) -> Reading:
        """What is seen by reading closely."""
        return self.read()

    @property
    def was_read(self) -> bool:
        """Whether anybody has looked at `reading`."""
        return "reading" in self.__dict__


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """A decision.

    Attributes:
        place: of the action in ACTIONS; it was allowed.
        probabilities: float32[len(ACTIONS)], 0 where not allowed; None of who does not weigh.
        importance: of an `add`, in place of its bucket: the mean of a policy that does not draw,
            or a heuristic's own scale; None takes the bucket.
        reason: in words, for `explain`.
    """

    place: int
    probabilities: Floats | None = None
    importance: float | None = None
    reason: str = ""

    @property
    def action(self) -> Action:
        """The action that was chosen."""
        return ACTIONS[self.place]


class Decider(Protocol):
    """Decides by what it observes. It holds no state of an episode."""

    @property
    def name(self) -> str:
        """How tables and `explain` call it."""
        ...

    def decide(self, observation: Observation) -> Choice:
        """One of the allowed actions."""
        ...


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided and what came of it: `explain` shows these.

    Attributes:
        moment: what kind of decision it was.
        about: the start of what arrived or of what was asked.
        action: as in `Action.__str__`.
        decided_by: the decider's name.
        reason: in words.
        probability: of the action; None of who does not weigh.
        alternatives: the likeliest other actions with their probabilities.
        features: the named features that are not 0.
        done: whether the operation had its effect.
        effect: in words: what was stored, changed, dropped, fetched or shortened.
    """

    moment: Moment
    about: str
    action: str
    decided_by: str
    reason: str
    probability: float | None
    alternatives: Mapping[str, float]
    features: Mapping[str, float]
    done: bool
    effect: str
