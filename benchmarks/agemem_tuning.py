"""Tunes the hand-written deciders on the generator's training episodes, the whole grid of them.

Prints what was found; the defaults of `infrastructure.memory.agemem.heuristics` are from here.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from concurrent.futures import Executor
from dataclasses import asdict

from agemem_rows import Job, play_all, workers

from infrastructure.memory.agemem.decider import Decider
from infrastructure.memory.agemem.heuristics import (
    Careful,
    KeepEverything,
    LongestTurns,
    RarestWords,
)
from infrastructure.training.agemem.generator import GRID, Split
from infrastructure.training.agemem.tuning import Judge, Tuned, tune_careful, tune_fetches

_FIRST = 1_000_000


def success_on(each: int, split: Split, pool: Executor | None) -> Judge:
    """Judges by the mean task success over so many episodes of each cell."""

    async def judge(decider: Decider) -> float:
        seeds = tuple(range(_FIRST, _FIRST + each))
        jobs = [Job(decider.name, None, split, cell, seeds, decider) for cell in range(len(GRID))]
        # In a thread, since without other processes it is an event loop of its own that plays.
        done = await asyncio.to_thread(play_all, jobs, pool)
        figures = [one for played in done for one in played]
        return sum(one.task_success for one in figures) / len(figures)

    return judge


async def tune(options: argparse.Namespace, pool: Executor | None) -> list[Tuned]:
    """All hand-written deciders at their best on the training episodes."""
    judge = success_on(options.episodes, "train", pool)
    screen = success_on(options.screen, "train", pool)
    simple = [
        await tune_fetches(kind, judge) for kind in (KeepEverything, LongestTurns, RarestWords)
    ]
    return [*simple, await tune_careful(judge, options.tries, options.seed, screen=screen)]


def main() -> None:
    """Print each decider's numbers with its success on training and validation episodes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=16, help="of each cell that decide")
    parser.add_argument("--screen", type=int, default=4, help="of each cell that are tried first")
    parser.add_argument("--tries", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="of the search")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    with workers(options.processes) as pool:
        validate = success_on(options.episodes, "validation", pool)
        for tuned in asyncio.run(tune(options, pool)):
            found = {
                "name": tuned.decider.name,
                "train": round(tuned.score, 4),
                "validation": round(asyncio.run(_judged(validate, tuned.decider)), 4),
                "tries": tuned.tries,
                "numbers": numbers_of(tuned.decider),
            }
            print(json.dumps(found), flush=True)


def numbers_of(decider: Decider) -> dict[str, float]:
    """What a decider was given by its tuning."""
    if isinstance(decider, Careful):
        values: dict[str, float] = asdict(decider.numbers)
        return {name: round(value, 3) for name, value in values.items()}
    return {"top_k": decider.top_k} if isinstance(decider, KeepEverything) else {}


async def _judged(judge: Judge, decider: Decider) -> float:
    return await judge(decider)


if __name__ == "__main__":
    main()
