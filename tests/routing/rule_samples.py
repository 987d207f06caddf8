"""Random rules, and moments in which they may hold, over a world small enough to hit often."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from genesis.routing.conditions import Facts
from genesis.routing.effects import Rule
from genesis.routing.located_yaml import parse
from genesis.routing.rule_config import declared
from genesis.tasks.task import Task
from infrastructure.a2a.agent import AgentCard, Skill
from infrastructure.jsonvalue import JsonObject

NAMES = ("a", "b", "c")
CARDS = (
    AgentCard("a", "", (Skill("o", ""),)),
    AgentCard("b", "", (Skill("o", ""), Skill("p", ""))),
    AgentCard("c", "", (Skill("p", ""),)),
)
SIZES = {"small.csv": 10, "big.csv": 100, "big.csv.gz": 100, "x.json": 30}
VALUES: tuple[Any, ...] = (*SIZES, "no.file", 1, 1.0, True, "", "X.JSON", ["small.csv"])
REQUESTS = ("draw a chart", "count rows", "chart of big.csv", "")


def _some(*names: str) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True)


_BOUNDS = st.sampled_from([0, 9, 10, 11, 50, 100, 101])
_LOADS = st.sampled_from([0, 1, 2, 3])
_INPUT = st.fixed_dictionaries(
    {},
    optional={
        "suffix": _some(".csv", ".csv.gz", ".gz", ".json"),
        "over_bytes": _BOUNDS,
        "under_bytes": _BOUNDS.filter(bool),
        "equals": st.lists(
            st.sampled_from(["small.csv", "x.json", "X.JSON", 1, True]), min_size=1, max_size=2
        ),
    },
)
_LOAD = st.fixed_dictionaries({}, optional={"over": _LOADS, "under": _LOADS.filter(bool)}).filter(
    bool
)
_WHEN = st.fixed_dictionaries(
    {},
    optional={
        "task_type": _some("x", "y"),
        "operation": _some("o", "p"),
        "produces": _some("d", "e"),
        "requires": _some("f", "g"),
        "description_matches": _some("draw", "count*"),
        "request_matches": _some("chart", "chart*", "rows"),
        "given": _some("f", "g"),
        "inputs": st.dictionaries(st.sampled_from(["f", "g"]), _INPUT, min_size=1),
        "tenant": _some("t", "u"),
        "agent_unhealthy": _some("a", "b"),
        "agent_healthy": _some("a", "b"),
        "load": st.dictionaries(st.sampled_from(["a", "b"]), _LOAD, min_size=1),
    },
)
_ALWAYS: dict[str, Any] = {}
_TARGET = st.one_of(
    st.sampled_from(NAMES), st.sampled_from(["o", "p"]).map(lambda o: {"capability": o})
)
_RULE = st.tuples(
    st.one_of(st.just(_ALWAYS), _WHEN),
    st.integers(0, 2),
    st.dictionaries(
        st.sampled_from(["assign", "prefer", "forbid", "require"]), _TARGET, min_size=1, max_size=2
    ),
)


@st.composite
def rules(draw: st.DrawFn, most: int = 5) -> tuple[Rule, ...]:
    """Rules as a file would give them, contradictions and all; conditions are often shared."""
    drawn = draw(st.lists(_RULE, min_size=1, max_size=most))
    whens = [when for when, _, _ in drawn]
    listed = [
        {
            "name": f"r{number}",
            "priority": priority,
            "when": draw(st.sampled_from([when, *whens])),
            "then": then,
            "because": "x",
        }
        for number, (when, priority, then) in enumerate(drawn)
    ]
    return declared(parse(json.dumps({"rules": listed}), "r.yaml"), "r.yaml").rules


def workspace(folder: Path) -> Path:
    """A folder with the files that the given data name."""
    for name, size in SIZES.items():
        (folder / name).write_bytes(b"x" * size)
    return folder


def scene(rng: random.Random, folder: Path) -> tuple[Task, Facts]:
    """A random task at a random moment."""
    unhealthy = frozenset(name for name in NAMES if rng.random() < 0.4)
    given: JsonObject = {name: rng.choice(VALUES) for name in ("f", "g") if rng.random() < 0.8}
    task = Task(
        "t",
        rng.choice(["draw it", "count them", ""]),
        rng.choice("xy"),
        rng.choice(["o", "p", ""]),
        tuple(name for name in "fg" if rng.random() < 0.6),
        tuple(name for name in "de" if rng.random() < 0.6),
    )
    facts = Facts(
        rng.choice(REQUESTS),
        rng.choice("tu"),
        unhealthy,
        frozenset(NAMES) - unhealthy,
        {name: rng.randrange(5) for name in NAMES},
        given,
        folder,
    )
    return task, facts
