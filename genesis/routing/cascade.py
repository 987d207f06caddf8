"""Verified escalation: the order of attempts, and where to stop, of greatest expected utility.

Until something is verified, all that is seen of the attempts made is that they failed, so a plan
for one task is a fixed order with an end. The best one is found exactly, by dynamic programming
over the sets of options tried (Bellman, 1962; Held & Karp, 1962): what is expected from here on
depends on which options have failed, and not on the order in which they did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from genesis.errors import InputError

MAX_OPTIONS: Final = 12
_LIKELIEST: Final = 3  # of the options searched among many, those kept for their success alone
_STOP: Final = -1

Floats = NDArray[np.float64]
Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Limit:
    """What the attempts of a cascade may use up together.

    Attributes:
        amounts: what one attempt is expected to use, [options], in any one unit.
        left: how much there is.
    """

    amounts: Floats
    left: float

    def allows(self, used: Floats | float) -> NDArray[np.bool_]:
        """Whether so much may be used; a rounding error of a sum forbids nothing that just fits."""
        return np.less_equal(used, self.left * (1 + 1e-12))


@dataclass(frozen=True, slots=True)
class Cascade:
    """Attempts in order, made until one is verified.

    Attributes:
        order: the options' places; empty where nothing is worth trying.
        success: P(one of them is verified).
        cost: expected cost, US dollars.
        unsearched: options left out of the search because there were too many.
    """

    order: tuple[int, ...]
    success: float
    cost: float
    unsearched: int = 0


def best_cascade(
    costs: Floats,
    success: Floats,
    weights: Floats,
    value: float,
    *,
    attempts: int | None = None,
    limits: Sequence[Limit] = (),
    first: Sequence[Sequence[int]] = (),
) -> Cascade:
    """The cascade of greatest expected `value * success - cost`.

    Exact for up to `MAX_OPTIONS` options. Of more, those are searched that promise most for
    their cost, and the likeliest.

    Args:
        costs: what one attempt costs with its time priced, US dollars, [options].
        success: P(verified | state), [options, states]; independent given the state.
        weights: P(state), [states], sum 1.
        value: what one verified success is worth, US dollars.
        attempts: how many at most; None for no limit.
        limits: what all attempts together may use.
        first: groups of options tried before any other, the first group foremost. If one of them
            is within the limits, the cascade is not empty, be it worth its price or not.

    Raises:
        InputError: a cost or probability cannot be, or the shapes differ.
    """
    _check(costs, success, weights, value)
    if len(costs) == 1:  # the usual case needs no search
        may = attempts != 0 and all(limit.allows(limit.amounts[0]) for limit in limits)
        (chance,) = success @ weights / weights.sum()
        return _alone(float(chance), float(costs[0]), value, must=any(map(len, first)), may=may)
    kept = _searched(costs, success @ weights, [place for group in first for place in group])
    most = len(kept) if attempts is None else min(attempts, len(kept))
    open_to = _Openings(
        [Limit(limit.amounts[kept], limit.left) for limit in limits],
        [np.isin(kept, group) for group in first if len(group)],
        len(kept),
    )
    order = kept[_followed(costs[kept], success[kept], weights, value, open_to, most)]
    chance, cost = expected(order, costs, success, weights)
    return Cascade(tuple(order.tolist()), chance, cost, len(costs) - len(kept))


def _alone(chance: float, cost: float, value: float, *, must: bool, may: bool) -> Cascade:
    """The cascade of a single option: to try it or not."""
    tried = may and (must or value * chance > cost)
    return Cascade((0,), chance, cost) if tried else Cascade((), 0.0, 0.0)


def expected(
    order: Sequence[int] | Places, costs: Floats, success: Floats, weights: Floats
) -> tuple[float, float]:
    """P(one attempt is verified), and the expected cost, of options tried in this order.

    Args:
        order: places of options.
        costs, success, weights: as in `best_cascade`; any cost will do, such as money alone.
    """
    if len(weights) == 1:  # as without a learnt policy: numbers do, and are quicker than arrays
        return _expected_of_one_state(order, costs, success, float(weights[0]))
    failing, cost = weights, 0.0
    for option in order:
        cost += float(failing.sum()) * float(costs[option])
        failing = failing * (1 - success[option])
    return 1 - float(failing.sum()) / float(weights.sum()), cost


def _expected_of_one_state(
    order: Sequence[int] | Places, costs: Floats, success: Floats, weight: float
) -> tuple[float, float]:
    failing, cost = weight, 0.0
    for option in order:
        cost += failing * float(costs[option])
        failing *= 1 - float(success[option, 0])
    return 1 - failing / weight, cost


class _Openings:
    """Which options may be tried after which sets have failed."""

    def __init__(
        self, limits: Sequence[Limit], groups: Sequence[NDArray[np.bool_]], options: int
    ) -> None:
        self._limits = [(limit, _over_subsets(limit.amounts)) for limit in limits]
        self._groups = groups
        self._members = _subsets(options).members

    def after(self, sets: Places) -> NDArray[np.bool_]:
        """Whether each option may be tried after a set, [sets, options]."""
        allowed = ~self._members[sets]
        for limit, used in self._limits:
            allowed &= limit.allows(used[sets, None] + limit.amounts)
        for group in self._groups:
            due = allowed & group
            allowed = np.where(due.any(axis=1, keepdims=True), due, allowed)
        return allowed

    def forced(self, allowed: NDArray[np.bool_]) -> bool:
        """Whether something must be tried, from what may be when nothing has been."""
        return any((allowed & group).any() for group in self._groups)


def _followed(
    costs: Floats,
    success: Floats,
    weights: Floats,
    value: float,
    open_to: _Openings,
    attempts: int,
) -> Places:
    """The best order, by working back from the largest sets to none tried."""
    subsets = _subsets(len(costs))
    failing = _failing(success, weights)
    ahead = np.zeros(len(failing))
    choice = np.full(len(failing), _STOP)
    for sets in reversed(subsets.by_size[:attempts]):
        here = failing[sets]
        allowed = open_to.after(sets)
        utility = value * (here @ success.T) - here.sum(axis=1)[:, None] * costs
        utility += ahead[subsets.grown[sets]]
        utility[~allowed] = -np.inf
        best = utility.argmax(axis=1)
        reached = utility.max(axis=1)
        going = reached > 0
        if sets[0] == 0 and open_to.forced(allowed):
            going[:] = True
        ahead[sets] = np.where(going, reached, 0.0)
        choice[sets] = np.where(going, best, _STOP)
    order: list[int] = []
    tried = 0
    while len(order) < attempts and choice[tried] != _STOP:
        order.append(int(choice[tried]))
        tried |= 1 << order[-1]
    return np.array(order, dtype=np.intp)


@dataclass(frozen=True, slots=True)
class _Subsets:
    """All sets of some options, as bits of their index.

    Attributes:
        members: [sets, options].
        grown: the set with one option more, [sets, options].
        by_size: the sets of 0, 1, ... members.
    """

    members: NDArray[np.bool_]
    grown: Places
    by_size: tuple[Places, ...]


@lru_cache(maxsize=MAX_OPTIONS)
def _subsets(options: int) -> _Subsets:
    sets = np.arange(1 << options, dtype=np.intp)
    bits = np.left_shift(1, np.arange(options, dtype=np.intp))
    members = (sets[:, None] & bits) > 0
    size = members.sum(axis=1)
    by_size = tuple(np.flatnonzero(size == count) for count in range(options + 1))
    return _Subsets(members, sets[:, None] | bits, by_size)


def _failing(success: Floats, weights: Floats) -> Floats:
    """P(state, and all of the set fail), [sets, states]."""
    table = np.empty((1 << len(success), len(weights)))
    table[0] = weights
    for option, row in enumerate(success):
        bit = 1 << option
        np.multiply(table[:bit], 1 - row, out=table[bit : 2 * bit])
    return table


def _over_subsets(amounts: Floats) -> Floats:
    """Sums over each set, [sets]."""
    table = np.zeros(1 << len(amounts))
    for option, amount in enumerate(amounts):
        bit = 1 << option
        table[bit : 2 * bit] = table[:bit] + amount
    return table


def _searched(costs: Floats, chance: Floats, first: Sequence[int]) -> Places:
    """Places of the options worth searching, in their order."""
    if len(costs) <= MAX_OPTIONS:
        return np.arange(len(costs))
    likeliest = np.argsort(-chance, kind="stable")[:_LIKELIEST]
    promising = np.argsort(-chance / np.maximum(costs, 1e-12), kind="stable")
    wanted = dict.fromkeys([*first, *likeliest.tolist(), *promising.tolist()])
    return np.sort(np.array(list(wanted)[:MAX_OPTIONS], dtype=np.intp))


def _check(costs: Floats, success: Floats, weights: Floats, value: float) -> None:
    if success.shape != (len(costs), len(weights)):
        raise InputError(
            f"success is {success.shape}, not {(len(costs), len(weights))}: one row for each cost "
            "and one column for each state's weight"
        )
    # What is no number is neither least nor most, and no comparison with it holds.
    if not (costs.min(initial=0.0) >= 0 and costs.max(initial=0.0) < float("inf")):
        raise InputError("a cost is negative or not finite")
    least = success.min(initial=0.0) >= 0 and weights.min(initial=0.0) >= 0
    if not (least and success.max(initial=0.0) <= 1):
        raise InputError("a probability is outside of 0 to 1")
    if not 0 <= value < float("inf"):
        raise InputError(f"the value of a success must be 0 or more, not {value!r}")
