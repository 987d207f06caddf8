"""A learnt policy over memory operations: a small network, run by NumPy alone.

`infrastructure.training.agemem` makes it; `policy_file` keeps it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from infrastructure.errors import InputError, PolicyRefused
from infrastructure.memory.agemem.actions import ACTIONS, ACTIONS_VERSION, MemoryOperation
from infrastructure.memory.agemem.decider import Choice, Floats, Observation

FORMAT: Final = 1
"""Rises when the network's form or the meaning of its arrays changes."""

FARTHEST: Final = 5.0
"""Standard deviations; a number farther from its mean is taken as no farther."""

CHOICES: Final[NDArray[np.intp]] = np.array(
    [
        [
            place
            for place, action in enumerate(ACTIONS)
            if action.operation is operation and action.argument == rank
        ]
        for rank in range(sum(action.operation is MemoryOperation.UPDATE for action in ACTIONS))
        for operation in (MemoryOperation.UPDATE, MemoryOperation.DELETE)
    ]
).reshape(-1, 2)
"""Where updating and deleting stand in ACTIONS, by the rank of the entry; [ranks, 2]."""

_HALF: Final = np.float32(0.5)
_NEVER: Final = np.float32(-np.inf)


@dataclass(frozen=True, slots=True)
class Score:
    """A figure of a policy on episodes that it was not trained on.

    Attributes:
        row: whose figure: the policy's own name, or another's beside it.
        measure: what was measured.
        mean, low, high: the mean and its 95 % interval.
    """

    row: str
    measure: str
    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class PolicyCard:
    """What a policy is, and where it comes from.

    Attributes:
        features: the names of the numbers that it takes, in order.
        sentence_features: the names of the numbers that it takes of each sentence, in order.
        features_version: of how they are computed.
        embedder, embedder_version, dimensions: whose vectors it takes.
        stages: in which it was trained, in order.
        steps: of training, all stages together.
        seed: of the training.
        grid_version: of the grid of difficulties whose episodes it was trained on.
        trained_on: what data, in words.
        scores: held-out figures.
        created_at: ISO 8601, UTC.
        package_version: of the package that trained it.
        licence: under which the file may be used.
        format, actions: versions of the network and of the table of actions.
    """

    features: tuple[str, ...]
    sentence_features: tuple[str, ...]
    features_version: int
    embedder: str
    embedder_version: str
    dimensions: int
    stages: tuple[str, ...]
    steps: int
    seed: int
    grid_version: int
    trained_on: str
    scores: tuple[Score, ...]
    created_at: str
    package_version: str
    licence: str
    format: int = FORMAT
    actions: int = ACTIONS_VERSION


@dataclass(frozen=True, slots=True, eq=False)
class PolicyWeights:
    """The network's arrays, float32; f features, d dimensions, v, h and k units, a actions.

    Attributes:
        mean, scale: of each feature, [f].
        sentence_weight, sentence_bias: what is read of a sentence, [w, v] and [v], where w is the
            length of a row of `Reading.sentences`.
        pooled_weight, pooled_bias: what of that is compared between the sentences, [v, v] and [v].
        hidden1_weight, hidden1_bias: [f + v, h] and [h].
        hidden2_weight, hidden2_bias: [h, k] and [k].
        action_weight, action_bias: [k, a] and [a].
        candidate_weight, candidate_bias: of an entry that an update or a deletion could be about,
            [k + c, q] and [q], where c is how many features tell of one entry.
        choice_weight, choice_bias: for updating and for deleting it, [q, 2] and [2].
    """

    mean: Floats
    scale: Floats
    sentence_weight: Floats
    sentence_bias: Floats
    pooled_weight: Floats
    pooled_bias: Floats
    hidden1_weight: Floats
    hidden1_bias: Floats
    hidden2_weight: Floats
    hidden2_bias: Floats
    action_weight: Floats
    action_bias: Floats
    candidate_weight: Floats
    candidate_bias: Floats
    choice_weight: Floats
    choice_bias: Floats


WEIGHT_NAMES: Final = tuple(entry.name for entry in fields(PolicyWeights))


class NumpyPolicy:
    """Takes the likeliest operation, and of its arguments the likeliest.

    The mass of an operation is the sum over its arguments: `add` has four of them and `pass` one,
    so that the likeliest single action would be `pass` where storing is likelier than not. An
    importance is a matter of degree: the mean of the buckets is taken, not one of them.

    Args:
        card: what it is.
        weights: its arrays.
        rng: draws the action instead, by its probability, with its bucket as the argument.

    Raises:
        PolicyRefused: the arrays do not fit each other and the card, or are not finite.
    """

    def __init__(
        self,
        card: PolicyCard,
        weights: PolicyWeights,
        *,
        rng: np.random.Generator | None = None,
    ) -> None:
        check_weights(card, weights)
        self.card = card
        self.weights = weights
        self._rng = rng
        self._steepness = 1 / weights.scale
        self._candidates = np.array(candidates_of(card.features), dtype=np.intp)

    @property
    def name(self) -> str:
        """How tables and `explain` call it."""
        return "policy" if self._rng is None else "policy (drawn)"

    def sampling(self, rng: np.random.Generator) -> NumpyPolicy:
        """The same policy, drawing each action by its probability."""
        return NumpyPolicy(self.card, self.weights, rng=rng)

    def decide(self, observation: Observation) -> Choice:
        """One of the allowed actions, with the probabilities of all.

        Raises:
            InputError: the observation holds numbers that are not finite.
        """
        probabilities = self.probabilities(observation)
        if self._rng is not None:
            return _drawn(probabilities, self._rng)
        return _likeliest(probabilities)

    def probabilities(self, observation: Observation) -> Floats:
        """Of each action, 0 where it is not allowed; float32[a], their sum is 1.

        Raises:
            InputError: the observation holds numbers that are not finite.
        """
        logits = self.logits(
            np.concatenate((observation.numbers, observation.reading.relations)),
            observation.reading.sentences,
        )
        logits = np.where(observation.allowed, logits, _NEVER)
        weights: Floats = np.exp(logits - logits.max())
        total = weights.sum()
        if not total > 0:
            raise InputError("an observation holds numbers that are not finite: nothing is decided")
        return weights / total

    def logits(self, numbers: Floats, sentences: Floats) -> Floats:
        """The network's output for one observation, float32[a].

        Args:
            numbers: the features and relations, float32[f].
            sentences: float32[n, w], at least one.
        """
        held = self.weights
        # The methods of arrays, not NumPy's functions: half of a decision would be their overhead.
        seen: Floats = ((numbers - held.mean) * self._steepness).clip(-FARTHEST, FARTHEST)
        read: Floats = _silu(sentences @ held.sentence_weight + held.sentence_bias)
        # What any of the sentences says counts, whatever stands beside it.
        meant: Floats = (read @ held.pooled_weight + held.pooled_bias).max(axis=0)
        hidden: Floats = _silu(
            np.concatenate((seen, meant)) @ held.hidden1_weight + held.hidden1_bias
        )
        hidden = _silu(hidden @ held.hidden2_weight + held.hidden2_bias)
        logits = hidden @ held.action_weight + held.action_bias
        if len(self._candidates):
            logits[CHOICES[: len(self._candidates)]] += self._chosen(hidden, seen)
        return logits

    def _chosen(self, hidden: Floats, seen: Floats) -> Floats:
        """For each entry in question what speaks for updating and for deleting it; [n, 2]."""
        held = self.weights
        each = seen[self._candidates]
        joined = np.concatenate((np.broadcast_to(hidden, (len(each), len(hidden))), each), axis=1)
        looked: Floats = _silu(joined @ held.candidate_weight + held.candidate_bias)
        return looked @ held.choice_weight + held.choice_bias


def candidates_of(features: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """Where what is known of each entry stands that an update or a deletion could be about.

    Args:
        features: names, as `features.POLICY_FEATURES`.

    Returns:
        For each rank, from the likest entry on, the places of its features: equally many, and in
        the same order.
    """
    found: list[tuple[int, ...]] = []
    while True:
        prefixes = (f"near{len(found) + 1}.", f"pair{len(found) + 1}.")
        places = tuple(place for place, name in enumerate(features) if name.startswith(prefixes))
        if not places:
            return tuple(found)
        found.append(places)


def check_weights(card: PolicyCard, weights: PolicyWeights) -> None:
    """Whether arrays fit each other and their card.

    Raises:
        PolicyRefused: says which array does not, and why.
    """
    units = {
        name: array.shape[0] if array.ndim else 0
        for name in ("sentence_bias", "hidden1_bias", "hidden2_bias", "candidate_bias")
        for array in (cast("NDArray[np.generic]", getattr(weights, name)),)
    }
    taken, first, second, looked = units.values()
    seen = len(card.features)
    candidates = candidates_of(card.features)
    told = len(candidates[0]) if candidates else 0
    shapes = {
        "mean": (seen,),
        "scale": (seen,),
        "sentence_weight": (len(card.sentence_features) + card.dimensions, taken),
        "sentence_bias": (taken,),
        "pooled_weight": (taken, taken),
        "pooled_bias": (taken,),
        "hidden1_weight": (seen + taken, first),
        "hidden1_bias": (first,),
        "hidden2_weight": (first, second),
        "hidden2_bias": (second,),
        "action_weight": (second, len(ACTIONS)),
        "action_bias": (len(ACTIONS),),
        "candidate_weight": (second + told, looked),
        "candidate_bias": (looked,),
        "choice_weight": (looked, 2),
        "choice_bias": (2,),
    }
    for name, shape in shapes.items():
        array = cast("NDArray[np.generic]", getattr(weights, name))
        if array.dtype != np.float32 or array.shape != shape:
            raise PolicyRefused(f"{name!r} is {array.dtype} {array.shape}, not float32 {shape}")
        if not np.isfinite(cast("Floats", array)).all():
            raise PolicyRefused(f"{name!r} holds numbers that are not finite")
    if (weights.scale <= 0).any():
        raise PolicyRefused("'scale' holds a spread that is not above 0")


def _silu(values: Floats) -> Floats:
    half: Floats = values * _HALF
    return half + half * np.tanh(half)  # the same by exp would overflow


_OPERATIONS: Final = tuple(dict.fromkeys(action.operation for action in ACTIONS))
_PLACES: Final = {
    operation: [place for place, action in enumerate(ACTIONS) if action.operation is operation]
    for operation in _OPERATIONS
}
_STARTS: Final[NDArray[np.intp]] = np.array([_PLACES[operation][0] for operation in _OPERATIONS])
_ADDS: Final = slice(_PLACES[MemoryOperation.ADD][0], _PLACES[MemoryOperation.ADD][-1] + 1)
_IMPORTANCES: Final = np.array([action.argument for action in ACTIONS[_ADDS]], dtype=np.float32)


def _likeliest(probabilities: Floats) -> Choice:
    sums: list[float] = np.add.reduceat(probabilities, _STARTS).tolist()
    ranked = sorted(range(len(sums)), key=sums.__getitem__, reverse=True)
    operation, other = (_OPERATIONS[number] for number in ranked[:2])
    first, second = sums[ranked[0]], sums[ranked[1]]
    places = _PLACES[operation]
    place = places[0] + int(probabilities[places[0] : places[-1] + 1].argmax())
    importance = None
    if operation is MemoryOperation.ADD:
        weighed: float = sum((probabilities[_ADDS] * _IMPORTANCES).tolist())
        importance = min(1.0, weighed / first)
    reason = f"{operation} is likeliest with {first:.2f}, then {other} with {second:.2f}"
    if not second:
        reason = f"nothing but {operation} comes into question"
    return Choice(place, probabilities, importance, reason)


def _drawn(probabilities: Floats, rng: np.random.Generator) -> Choice:
    bounds: list[float] = np.cumsum(probabilities, dtype=np.float64).tolist()
    place = bisect_right(bounds, rng.random() * bounds[-1])
    # The product can round up to the last bound, behind which nothing has a probability.
    place = min(place, np.flatnonzero(probabilities).tolist()[-1])
    likeliest = int(np.argmax(probabilities))
    reason = (
        f"drawn with {probabilities[place]:.2f}; the likeliest is {ACTIONS[likeliest]} "
        f"with {probabilities[likeliest]:.2f}"
    )
    return Choice(place, probabilities, reason=reason)
