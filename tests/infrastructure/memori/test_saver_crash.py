"""A graph whose process is killed at random goes on from what was stored, and ends the same."""

from __future__ import annotations

import random
from collections import Counter
from typing import Final

from rounds import ROUNDS, in_rounds
from saver_process import CONFIG, graph_on, start

from infrastructure.memory.memori.checkpoints import MemoriSaver

_MOST_AWAITED: Final = 12
# More than a process does until it is killed.
_STEPS_A_ROUND: Final = 60


def run_until_killed(place: str, steps: int, after: int) -> list[str]:
    """What a process told before it was killed, after so many lines."""
    with start(place, steps) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(after)]
        process.kill()
        lines += process.stdout.readlines()
    return [line.strip() for line in lines]


@in_rounds
def test_a_killed_graph_goes_on_where_it_was(shared_place: str) -> None:
    rng, steps = random.Random(0), ROUNDS * _STEPS_A_ROUND
    ran: Counter[str] = Counter()
    for number in range(ROUNDS):
        told = run_until_killed(shared_place, steps, rng.randrange(1, _MOST_AWAITED))
        assert "done" not in told
        ran.update(told)
        # Each began with the step that was under way when the one before was killed, or the next.
        assert max(ran.values()) <= number + 1
        assert ran.total() <= len(ran) + number
    with start(shared_place, steps) as process:
        assert process.stdout is not None
        *told, done, result = (line.strip() for line in process.stdout.readlines())
    ran.update(told)
    assert (done, result) == ("done", str(sum(range(steps))))
    assert set(ran) == {str(number) for number in range(steps)}
    assert ran.total() <= steps + ROUNDS
    with MemoriSaver.open(shared_place) as saver:
        state = graph_on(saver).get_state(CONFIG)
        assert state.values["done"] == list(range(steps))
        assert not state.next
