"""How often the task type of a request is inferred right: the classifier beside keywords alone.

Rows of the data: {"text": ..., "task_type": ..., "alt": label or list of labels that would also
do, "hard": true where a keyword points to a wrong type}; the last two may be missing. Without
`--data` it reads a small set written for this project, held out from the training examples.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from genesis.tasks.infer import Inferrer, KeywordInferrer, TaskTypeInferrer

SAMPLE = Path(__file__).parent / "data" / "task_types_sample.jsonl"
RESAMPLES = 1000


@dataclass(frozen=True)
class Case:
    """A labelled request. `accepted` holds its label and what would also do."""

    text: str
    task_type: str
    accepted: frozenset[str]
    hard: bool


def read_cases(path: Path) -> list[Case]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        content = file.read()
    if path.name.removesuffix(".gz").endswith(".jsonl"):
        rows = [json.loads(line) for line in content.splitlines() if line.strip()]
    else:
        rows = json.loads(content)
    return [_case(row) for row in cast("list[Mapping[str, object]]", rows)]


def _case(row: Mapping[str, object]) -> Case:
    alternatives = cast("str | list[str] | None", row.get("alt")) or []
    others = [alternatives] if isinstance(alternatives, str) else alternatives
    label = str(row["task_type"])
    return Case(str(row["text"]), label, frozenset({label, *others}), bool(row.get("hard")))


def measure(name: str, inferrer: Inferrer, cases: Sequence[Case], seed: int) -> dict[str, object]:
    """Accuracies, those by type, and the time of one request in ms (median)."""
    inferrer.infer("load the model")
    right: list[bool] = []
    lenient: list[bool] = []
    seconds: list[float] = []
    by_type: dict[str, list[bool]] = defaultdict(list)
    for case in cases:
        start = time.perf_counter()
        answer = inferrer.infer(case.text).task_type
        seconds.append(time.perf_counter() - start)
        right.append(answer == case.task_type)
        lenient.append(answer in case.accepted)
        by_type[case.task_type].append(right[-1])
    hard = [ok for ok, case in zip(right, cases, strict=True) if case.hard]
    return {
        "name": name,
        "accuracy": share(right),
        "accuracy_ci": interval(right, seed),
        "accuracy_hard": share(hard),
        "accuracy_lenient": share(lenient),
        "n": len(cases),
        "n_hard": len(hard),
        "by_type": {kind: share(oks) for kind, oks in sorted(by_type.items())},
        "p50_ms": round(sorted(seconds)[len(seconds) // 2] * 1000, 3),
    }


def share(oks: Sequence[bool]) -> float | None:
    return round(sum(oks) / len(oks), 4) if oks else None


def interval(oks: Sequence[bool], seed: int) -> list[float]:
    """The central 95 % of the accuracy over resamples of the cases (bootstrap)."""
    chance = random.Random(seed)
    shares = sorted(sum(chance.choices(oks, k=len(oks))) / len(oks) for _ in range(RESAMPLES))
    return [round(shares[int(RESAMPLES * edge)], 4) for edge in (0.025, 0.975)]


def print_table(rows: Sequence[Mapping[str, object]]) -> None:
    columns = ("name", "accuracy", "accuracy_hard", "accuracy_lenient", "n", "n_hard", "p50_ms")
    print("  ".join(f"{column:>16}" for column in columns), file=sys.stderr)
    for row in rows:
        print("  ".join(f"{row[column]!s:>16}" for column in columns), file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=SAMPLE, help=".jsonl or .json, may be .gz")
    parser.add_argument("--seed", type=int, default=0, help="of the confidence interval")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    arguments = parser.parse_args()
    cases = read_cases(arguments.data)
    if not cases:
        parser.error(f"{arguments.data} holds no rows")
    rows = [
        measure("classifier", TaskTypeInferrer(), cases, arguments.seed),
        measure("keywords", KeywordInferrer(), cases, arguments.seed),
    ]
    print_table(rows)
    if arguments.json:
        ours = {key: value for key, value in rows[0].items() if key != "name"}
        print(json.dumps({**ours, "rows": rows}))


if __name__ == "__main__":
    main()
