"""What unused tasks of a plan with gaps were meant for: the explanation with the fewest faults.

When a plan lacks the task that makes a datum, the tasks that would have fed it are used by nobody.
Each way of filling the gap by operations of the catalogue explains the plan by so many tasks that
were forgotten and so many that are superfluous; of all ways the one with the fewest such faults
is believed, as in diagnosis from first principles (Reiter, 1987).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from genesis.planning.catalogue import Catalogue, Operation
from genesis.planning.dataflow import DataFlow

_MAX_STEPS = 300  # ways looked at for one gap
_MAX_FORGOTTEN = 5


def meant_for(
    flow: DataFlow, gaps: Iterable[str], unused: Sequence[int], catalogue: Catalogue
) -> set[int] | None:
    """The unused tasks that feed the likeliest ways of filling the gaps.

    None when some gap cannot be filled: then what the tasks were meant for cannot be told.

    Args:
        flow: the plan's data flow.
        gaps: data that the plan lacks.
        unused: places of tasks that nobody takes anything from, with those that feed only them.
        catalogue: what could have been forgotten.
    """
    fed = _fed_by(flow, unused)
    found = 0
    for gap in sorted(gaps):
        search = _Search(flow, catalogue, fed)
        search.fill((gap,), frozenset(), 0)
        if search.fewest is None:
            return None
        found |= search.used
    return {place for place in unused if found >> place & 1}


def _fed_by(flow: DataFlow, unused: Sequence[int]) -> dict[str, int]:
    """For each datum that unused tasks make, those that are used when it is, as many as can be.

    Sets of tasks are masks: bit n stands for the task at place n.
    """
    inside = set(unused)
    behind: dict[int, int] = {}
    for place in flow.order:
        if place in inside:
            mask = 1 << place
            for source in {s for found in flow.sources[place].values() for s in found}:
                mask |= behind.get(source, 0)
            behind[place] = mask
    fed: dict[str, int] = {}
    for place in unused:
        for datum in flow.produces[place]:
            if datum not in flow.given:
                fed[datum] = max(fed.get(datum, 0), behind[place], key=int.bit_count)
    return fed


@dataclass(slots=True)
class _Search:
    """Depth first through the ways of filling one gap; keeps what all the best of them use."""

    flow: DataFlow
    catalogue: Catalogue
    fed: dict[str, int]
    used: int = 0
    fewest: tuple[int, int] | None = None
    steps: int = field(default=0)

    def fill(self, lacking: tuple[str, ...], forgotten: frozenset[Operation], used: int) -> None:
        """Make all that is lacking; `forgotten` operations and `used` tasks (a mask) so far."""
        self.steps += 1
        if self.steps > _MAX_STEPS or len(forgotten) > _MAX_FORGOTTEN:
            return
        if not lacking:
            # Every unused task that is used is one fault less. Of ways with as many faults the one
            # with the fewest forgotten operations is likeliest.
            faults = (len(forgotten) - used.bit_count(), len(forgotten))
            if self.fewest is None or faults < self.fewest:
                self.fewest, self.used = faults, used
            elif faults == self.fewest:
                self.used |= used
            return
        datum, rest = lacking[0], lacking[1:]
        for operation in self.catalogue.makers(datum):
            if operation in forgotten:
                continue
            made = {d for one in (*forgotten, operation) for d in one.produces}
            new = [d for d in operation.requires if not self._there(d) and d not in made]
            still = tuple(dict.fromkeys([*(d for d in rest if d not in made), *new]))
            taken = used
            for need in operation.requires:
                taken |= self.fed.get(need, 0)
            self.fill(still, forgotten | {operation}, taken)

    def _there(self, datum: str) -> bool:
        return datum in self.flow.given or datum in self.flow.makers
