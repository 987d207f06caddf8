"""A graph of many steps on a MemoriSaver, in a process of its own that tells each step it runs.

python saver_process.py PLACE STEPS

It goes on from where the thread in the store is, and prints the number of each step when it begins,
then "done" and the result.
"""

from __future__ import annotations

import operator
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, Final, TypedDict, cast

from infrastructure.memory.memori.checkpoints import MemoriSaver

ROOT: Final = Path(__file__).parents[3]
CONFIG: Final[Any] = {"configurable": {"thread_id": "counting"}, "recursion_limit": 100_000}


class Count(TypedDict):
    steps: int
    done: Annotated[list[int], operator.add]


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def step(state: Count) -> dict[str, list[int]]:
    number = len(state["done"])
    tell(str(number))
    return {"done": [number]}


def following(state: Count) -> str:
    return "__end__" if len(state["done"]) >= state["steps"] else "step"


def graph_on(saver: MemoriSaver) -> Any:
    from langgraph.graph import END, START, StateGraph

    builder = cast("Any", StateGraph(Count))
    builder.add_node("step", step)
    builder.add_edge(START, "step")
    builder.add_conditional_edges("step", following, [END, "step"])
    return builder.compile(checkpointer=saver)


def start(place: str, steps: int) -> subprocess.Popen[str]:
    """Start or go on with the graph."""
    return subprocess.Popen(
        [sys.executable, __file__, place, str(steps)],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(ROOT)},
    )


def work(place: str, steps: int) -> None:
    with MemoriSaver.open(place) as saver:
        graph = graph_on(saver)
        begun = saver.get_tuple(CONFIG) is not None
        given: Count | None = None if begun else {"steps": steps, "done": []}
        result = graph.invoke(given, CONFIG, durability="sync")
    tell("done")
    tell(str(sum(result["done"])))


if __name__ == "__main__":
    work(sys.argv[1], int(sys.argv[2]))
