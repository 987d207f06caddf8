"""The overhead benchmark's jobs: their longest path, their order, and what reaches the network."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from overhead_work import DIAMOND, SKEWED, Job, Shape, run_eagerly


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    names = [f"t{number}" for number in range(draw(st.integers(1, 7)))]
    needs: dict[str, tuple[str, ...]] = {}
    for at, name in enumerate(names):
        before = st.sets(st.sampled_from(names[:at])) if at else st.just(set[str]())
        needs[name] = tuple(sorted(draw(before)))
    # Halves and quarters, whose sums are exact.
    seconds = {name: draw(st.integers(0, 20)) / 4 for name in names}
    return Shape("drawn", needs, seconds)


@given(shapes())
def test_the_critical_path_is_the_longest_of_all_paths(shape: Shape) -> None:
    def longest_to(task: str) -> float:
        before = [longest_to(need) for need in shape.needs[task]]
        return max(before, default=0.0) + shape.seconds[task]

    assert shape.critical_path == max(longest_to(task) for task in shape.needs)


def test_the_declared_shapes() -> None:
    assert round(DIAMOND.critical_path, 6) == 0.2
    assert round(SKEWED.critical_path, 6) == 1.0
    assert (DIAMOND.last, SKEWED.last) == ("join", "end")


@given(shapes())
def test_a_task_is_asked_once_and_given_what_it_needs(shape: Shape) -> None:
    asked: list[str] = []
    job = Job(shape)

    async def ask(task: str, given: Mapping[str, str]) -> str:
        assert given == {need: f"{need} is done" for need in shape.needs[task]}
        asked.append(task)
        return await job.agent(task)

    done = asyncio.run(run_eagerly(shape, ask))
    assert set(done) == set(shape.needs)
    assert sorted(asked) == sorted(shape.needs)
    assert job.calls == len(shape.needs)


def test_addresses_outside_this_machine_are_noted() -> None:
    """In a process of its own: an audit hook stays."""
    told = subprocess.run(
        [sys.executable, "-c", _REACHES_OUT, _closed_port()],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={"PYTHONPATH": str(Path(__file__).parents[2] / "benchmarks")},
    )
    assert told.stdout.split() == ["192.0.2.1:9", "telemetry.invalid:443"]


_REACHES_OUT = """
import socket, sys
from overhead_timing import network_reached, note_network
sys.addaudithook(note_network)
own = socket.socket()
own.setblocking(False)
own.connect_ex(("127.0.0.1", int(sys.argv[1])))
far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
far.connect_ex(("192.0.2.1", 9))
try:
    socket.getaddrinfo("telemetry.invalid", 443)
except OSError:
    pass
print(*network_reached())
"""


def _closed_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])
