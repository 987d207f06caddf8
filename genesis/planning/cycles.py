"""The order of things that wait for each other, and the circles in which they wait in vain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence


def sorted_by_need(needs: Sequence[Sequence[int]]) -> tuple[list[int], list[int]]:
    """The places in an order that respects what each needs, and those that have none.

    Kahn's algorithm (1962); ties keep the order of the list.

    Args:
        needs: for each place the places that it waits for, each once.

    Returns:
        the order, and the places in or behind a circle.
    """
    waiting = [len(found) for found in needs]
    needed_by: list[list[int]] = [[] for _ in needs]
    for place, found in enumerate(needs):
        for need in found:
            needed_by[need].append(place)
    order = [place for place, count in enumerate(waiting) if not count]
    for place in order:  # grows while it is read
        for user in needed_by[place]:
            waiting[user] -= 1
            if not waiting[user]:
                order.append(user)
    if len(order) == len(needs):
        return order, []
    done = set(order)
    return order, [place for place in range(len(needs)) if place not in done]


def circles(
    needs: Mapping[int, Sequence[int]] | Sequence[Sequence[int]], places: Iterable[int]
) -> list[set[int]]:
    """The largest sets of places of which each waits, directly or not, for every other.

    Tarjan's strongly connected components (1972), without recursion. A place alone is none.

    Args:
        needs: what each place waits for.
        places: where to look.
    """
    inside = set(places)
    number: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    on_stack: set[int] = set()
    found: list[set[int]] = []
    for root in sorted(inside):
        if root in number:
            continue
        path = [(root, iter([n for n in needs[root] if n in inside]))]
        number[root] = low[root] = len(number)
        stack.append(root)
        on_stack.add(root)
        while path:
            place, rest = path[-1]
            after = next(rest, None)
            if after is None:
                path.pop()
                if path:
                    low[path[-1][0]] = min(low[path[-1][0]], low[place])
                if low[place] == number[place]:
                    found.append(_popped(stack, on_stack, place))
            elif after not in number:
                number[after] = low[after] = len(number)
                stack.append(after)
                on_stack.add(after)
                path.append((after, iter([n for n in needs[after] if n in inside])))
            elif after in on_stack:
                low[place] = min(low[place], number[after])
    return [circle for circle in found if len(circle) > 1]


def _popped(stack: list[int], on_stack: set[int], root: int) -> set[int]:
    circle: set[int] = set()
    while True:
        place = stack.pop()
        on_stack.discard(place)
        circle.add(place)
        if place == root:
            return circle
