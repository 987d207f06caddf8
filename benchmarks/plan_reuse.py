"""How often the second of two requests is served by the plan of the first, as it should or not.

Each pair goes through the whole orchestrator with a memory of its own: the first request is
planned, executed and verified, then the second is asked for; it counts as reused when its plan
came from memory. Similar pairs should be reused, unrelated ones and look-alikes (nearly the same
words, another deliverable) never. The agents offer the skills of those that ship and hand in what
is asked for at once: it is plans that are measured here, not work.

Rows of the data: {"kind": "similar", "unrelated" or "look_alike", "first": ..., "second": ...,
"set": a name, rows of one set are counted together, "agents": own agents as [{"name": ...,
"skills": [{"id": ..., "produces": [...], "requires": [...]}]}]}; the last two may be missing.
Files and folders that the requests name are made: `src/NAME` is a package, `./NAME` a project.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import random
import re
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genesis import Assignment, GenesisOrchestrator, Skill, TaskOutput
from genesis.agents.builtin import register_builtin
from genesis.agents.registry import AgentRegistry
from infrastructure.config import load_flags, load_settings
from infrastructure.models.chat import ChatModels

PAIRS = Path(__file__).parent / "data" / "plan_reuse_pairs.jsonl"
KINDS = ("similar", "unrelated", "look_alike")
_FILE = re.compile(r"[\w./-]+\.(?:csv|tsv|jsonl|json|parquet|py)\b")
_PACKAGE = re.compile(r"\bsrc/\w+\b(?!/)")
_PROJECT = re.compile(r"(?<!\w)\./\w+\b(?![\w.]*\.\w)")


@dataclass(frozen=True)
class Pair:
    """Two requests, and whether the second asks for the same as the first."""

    kind: str
    first: str
    second: str
    group: str
    agents: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Outcome:
    """What became of a pair; `why` is the plan's reason, or why there was none."""

    pair: Pair
    first_verified: bool
    reused: bool
    why: str


def read_pairs(path: Path) -> list[Pair]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        text = file.read()
    if path.name.removesuffix(".gz").endswith(".jsonl"):
        rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    else:
        rows = json.loads(text)
    return [_pair(row) for row in rows]


def _pair(row: Mapping[str, Any]) -> Pair:
    if row.get("kind") not in KINDS:
        raise SystemExit(f"a pair's kind must be one of {', '.join(KINDS)}: {row}")
    return Pair(
        row["kind"],
        row["first"],
        row["second"],
        row.get("set", "all"),
        tuple(row.get("agents", ())),
    )


def _make_files(pair: Pair, folder: Path) -> None:
    text = f"{pair.first}\n{pair.second}"
    for name in _PACKAGE.findall(text):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "__init__.py").write_text('"""A package."""\n')
    for name in _PROJECT.findall(text):
        (folder / name / "tests").mkdir(parents=True, exist_ok=True)
        (folder / name / "tests" / "test_one.py").write_text("def test_one() -> None:\n    pass\n")
    for name in _FILE.findall(text):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("print(1)\n" if name.endswith(".py") else "a,b\n1,2\n")


async def _hand_in(assignment: Assignment) -> TaskOutput:
    return TaskOutput("done", dict.fromkeys(assignment.task.produces, "made"))


def _orchestrator(pair: Pair, folder: Path) -> GenesisOrchestrator:
    settings = load_settings(
        {}, workspace=folder, data_dir=folder / ".data", db_path=":memory:", exploration_floor=0.0
    )
    orchestrator = GenesisOrchestrator(settings=settings, flags=load_flags({}), agents=[])
    shipped = AgentRegistry()
    register_builtin(shipped, ChatModels())
    for card in shipped.cards:
        skills = [replace(skill, needs_model=False) for skill in card.skills]
        orchestrator.register_agent(_hand_in, name=card.name, skills=skills)
    for own in pair.agents:
        skills = [
            Skill(
                one["id"],
                one.get("description", one["id"]),
                requires=tuple(one.get("requires", ())),
                produces=tuple(one.get("produces", ())),
            )
            for one in own["skills"]
        ]
        orchestrator.register_agent(_hand_in, name=own["name"], skills=skills)
    return orchestrator


async def run_pair(pair: Pair) -> Outcome:
    """Both requests through an orchestrator of their own."""
    with tempfile.TemporaryDirectory() as place:
        _make_files(pair, Path(place))
        async with _orchestrator(pair, Path(place)) as orchestrator:
            first = await orchestrator.execute_orchestrated_request(pair.first)
            second = await orchestrator.execute_orchestrated_request(pair.second)
            told = await orchestrator.explain(second.run_id)
    plan = next((d for d in told.decisions if d.step == "htdag"), None)
    why = "; ".join((*plan.reasons,) if plan else second.errors)
    return Outcome(pair, first.success, second.plan_source == "memory", why)


def _rates(outcomes: Sequence[Outcome]) -> dict[str, object]:
    rates: dict[str, object] = {}
    for kind in KINDS:
        some = [one for one in outcomes if one.pair.kind == kind]
        reused = sum(one.reused for one in some)
        rates[f"{kind}_reused"] = round(reused / len(some), 4) if some else None
        rates[f"n_{kind}"] = len(some)
    return rates


async def _run(pairs: Sequence[Pair], shown: bool) -> dict[str, object]:
    started = time.perf_counter()
    outcomes = [await run_pair(pair) for pair in pairs]
    wrong = [one for one in outcomes if one.reused != (one.pair.kind == "similar")]
    for one in wrong:
        if shown:
            print(
                f"{one.pair.group} {one.pair.kind}: {one.pair.first!r} / {one.pair.second!r}"
                f" (first verified: {one.first_verified}): {one.why}",
                file=sys.stderr,
            )
    groups = sorted({pair.group for pair in pairs})
    return {
        **_rates(outcomes),
        "first_verified": round(sum(o.first_verified for o in outcomes) / len(outcomes), 4),
        "seconds": round(time.perf_counter() - started, 1),
        "sets": [
            {"set": name, **_rates([o for o in outcomes if o.pair.group == name])}
            for name in groups
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=PAIRS, help="pairs, .jsonl or .json (.gz)")
    parser.add_argument("--set", default="", help="only pairs of this set")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--seed", type=int, default=0, help="of the order of the pairs")
    parser.add_argument("--wrong", action="store_true", help="show what went wrong, on stderr")
    arguments = parser.parse_args()
    pairs = [p for p in read_pairs(arguments.data) if arguments.set in ("", p.group)]
    if not pairs:
        parser.error("there are no such pairs")
    random.Random(arguments.seed).shuffle(pairs)
    found = asyncio.run(_run(pairs, arguments.wrong))
    if arguments.json:
        print(json.dumps(found))
        return
    print(f"{'set':12} {'similar reused':>16} {'unrelated reused':>18} {'look-alike reused':>19}")
    for row in [*found["sets"], {"set": "all", **found}]:  # type: ignore[misc]
        cells = [f"{row[f'{kind}_reused']} of {row[f'n_{kind}']}" for kind in KINDS]
        print(f"{row['set']:12} {cells[0]:>16} {cells[1]:>18} {cells[2]:>19}")


if __name__ == "__main__":
    main()
