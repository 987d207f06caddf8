"""Which operations make the data that are wanted, soonest or for the least money.

How soon is exact and quick (`makespan.derive`). For the least money steps share what they need,
which makes the question NP-hard (it contains set cover): branch and bound over "this step is in"
and "this step is out", with the landmark cut bound of Helmert and Domshlak (2009), is exact where
it ends within its number of nodes. Beyond that the best set found is taken and said to be
heuristic.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from genesis.planning.landmarks import landmark_cut
from genesis.planning.makespan import Derivation, Step, derive

MAX_NODES = 400
_MAX_WORK = 20_000  # nodes times steps
PRICE = 10**7  # one unit of price in a weight; below it ties are told apart
_NEVER = 10**30

Key = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Wish:
    """What a selection is to be like.

    Attributes:
        soonest: whether the makespan counts first, and the weight second; else the weight alone.
        deadline: largest makespan, nanoseconds; None for any.
        budget: largest price; None for any.
        fits: whether a set of steps keeps to all other limits.
        known: steps of a plan that is there; what comes out is no worse than that.
    """

    soonest: bool
    deadline: int | None = None
    budget: int | None = None
    fits: Callable[[Collection[int]], bool] = lambda _: True
    known: Collection[int] = ()


@dataclass(frozen=True, slots=True)
class Selection:
    """The steps that were chosen.

    Attributes:
        steps: their numbers; None when there is no set that does.
        proven: whether it is known to be the best (or that there is none).
    """

    steps: frozenset[int] | None
    proven: bool


def select(steps: Sequence[Step], goals: Sequence[int], wish: Wish) -> Selection:
    """The best set of steps that makes all goals.

    Args:
        steps: what there is.
        goals: numbers of the data that are wanted.
        wish: what is best, and what is allowed.
    """
    search = _Search(steps, goals, wish)
    return search.run()


@dataclass(slots=True)
class _Search:
    steps: Sequence[Step]
    goals: Sequence[int]
    wish: Wish
    best: frozenset[int] | None = None
    key: Key = ()
    _usable: set[int] = field(default_factory=set[int])

    def run(self) -> Selection:
        deadline = _NEVER if self.wish.deadline is None else self.wish.deadline
        everything = set(range(len(self.steps)))
        soonest = self._soonest(everything)
        end = self._end(soonest)
        if end is None or end > deadline:
            return Selection(None, True)
        if self.wish.soonest and self.wish.budget is None:
            deadline = end
        self._usable = self._timely(everything, soonest, deadline)
        self._consider(self.wish.known, deadline)
        self._consider(soonest.steps_for(self.goals, self.steps), deadline)
        stack: list[tuple[frozenset[int], frozenset[int]]] = [(frozenset(), frozenset())]
        for _ in range(min(MAX_NODES, max(10, _MAX_WORK // max(len(self._usable), 1)))):
            if not stack:
                return Selection(self.best, True)
            taken, left = stack.pop()
            step = self._branch(taken, left, deadline)
            if step is not None:
                stack += [(taken, left | {step}), (taken | {step}, left)]
        return Selection(self.best, not stack)

    def _branch(self, taken: frozenset[int], left: frozenset[int], deadline: int) -> int | None:
        """The step to decide next; None when nothing better can come of this node."""
        usable = self._usable - left
        soonest = self._soonest(usable)
        end = self._end(soonest)
        if end is None or end > deadline:
            return None
        weight = sum(self.steps[n].weight for n in taken)
        bound = landmark_cut(self.steps, usable, taken, self.goals)
        if bound is None or not self._promising(end, weight + bound):
            return None
        own = self._end(self._soonest(taken))
        if own is None:
            cheapest = derive(
                self.steps, usable, lambda n: 0 if n in taken else self.steps[n].weight, sum
            )
            way = cheapest.steps_for(self.goals, self.steps)
            self._consider(way, deadline)
        else:
            self._consider(taken, deadline)
            if own == end or (own <= deadline and not self.wish.soonest):
                return None
            way = soonest.steps_for(self.goals, self.steps)
        # The dearest open step first: leaving it out moves the bound most.
        undecided = way - taken
        return max(undecided, key=lambda n: (self.steps[n].weight, n), default=None)

    def _promising(self, end: int, weight: int) -> bool:
        if self.wish.budget is not None and weight // PRICE > self.wish.budget:
            return False
        return self.best is None or self._key(end, weight) < self.key

    def _key(self, end: int, weight: int) -> Key:
        return (end, weight) if self.wish.soonest else (weight,)

    def _consider(self, chosen: Collection[int], deadline: int) -> None:
        """Keep the set, less what it can do without, if it is allowed and better."""
        kept = set(chosen)
        limit = self._end(self._soonest(kept)) if self.wish.soonest else deadline
        if limit is None or limit > deadline:
            return
        for number in sorted(kept, key=lambda n: (-self.steps[n].weight, n)):
            end = self._end(self._soonest(kept - {number}))
            if end is not None and end <= limit:
                kept.remove(number)
        end = self._end(self._soonest(kept))
        weight = sum(self.steps[n].weight for n in kept)
        if end is None or end > deadline or not self._promising(end, weight):
            return
        if self.wish.fits(kept):
            self.best, self.key = frozenset(kept), self._key(end, weight)

    def _soonest(self, usable: Collection[int]) -> Derivation:
        return derive(self.steps, usable, lambda n: self.steps[n].time)

    def _end(self, found: Derivation) -> int | None:
        ends = [found.value.get(goal) for goal in self.goals]
        return None if None in ends else max((e for e in ends if e is not None), default=0)

    def _timely(self, usable: set[int], soonest: Derivation, deadline: int) -> set[int]:
        """The steps that can still lead to a goal before the deadline."""
        behind = self._behind(usable)
        kept: set[int] = set()
        for number in usable:
            step = self.steps[number]
            before = max((soonest.value.get(d, _NEVER) for d in step.requires), default=0)
            if before + step.time + behind.get(number, _NEVER) <= deadline:
                kept.add(number)
        return kept

    def _behind(self, usable: Collection[int]) -> dict[int, int]:
        """The shortest time from the end of a step to a goal: Dijkstra's algorithm backwards."""
        makers: dict[int, list[int]] = {}
        for number in usable:
            for datum in self.steps[number].produces:
                makers.setdefault(datum, []).append(number)
        heap = [(0, goal) for goal in self.goals]
        behind: dict[int, int] = {}
        while heap:
            distance, datum = heapq.heappop(heap)
            for number in makers.pop(datum, ()):
                if number not in behind:
                    behind[number] = distance
                    step = self.steps[number]
                    for need in step.requires:
                        heapq.heappush(heap, (distance + step.time, need))
        return behind
