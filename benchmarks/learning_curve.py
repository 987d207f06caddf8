"""What learning is worth: regret over a stream of requests against one who knows the truth.

Eight agents of hidden, drifting success and price serve nine task types through the orchestrator's
whole path (plan, route, price, execute, check, record in SQLite; no model). In the middle of the
stream the best agent turns bad at everything; after two thirds a task type appears that nobody has
served before.

Utility of a request = $0.25 for a verified success, less the money of all attempts, less $0.0005
for handing over and checking each. Regret = utility of the best ladder of at most four attempts for
one who knows every present probability and price, less that of the ladder that was chosen; both
are expectations under the hidden probabilities, so that luck is no part of the regret.

The rows:

ours            memory on, exploration off: the defaults
exploring       memory on, exploration on
no_transfer     as ours, but what was seen at other task types is not recalled
no_memory       the same orchestrator with memory_enabled off: declared prices and optimism
best_single     the one agent that would have been best, asked once for every request
oracle          knows the truth; its regret is 0

recovery_requests: requests after the best agent turned bad until the mean regret of ten requests
is at most 1.25 times that of the fifty before, or at most a fifth of the no-memory
orchestrator's after the change; the number of requests left if that never happens.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from learning_world import AGENTS, VALUE_USD, World, make_world

from genesis.tasks.types import TASK_TYPES

LEARNERS = ("ours", "exploring", "no_transfer", "no_memory")
WINDOW = 10
BEFORE = 50
NEW_REQUESTS = 20
CHECK = "truth"
RESAMPLES = 2000

TEMPLATE = """
  - name: {kind}
    asks: [{kind}_made]
    tasks:
      - {{id: {kind}, description: Serve the {words} case, task_type: {kind}, operation: do_{kind},
         produces: [{kind}_made], acceptance: [{{check: truth}}]}}
"""


def write_config(folder: Path) -> Path:
    """A configuration folder with one plan for each task type."""
    words = {kind: kind.replace("_", " ") for kind in TASK_TYPES}
    asked = "".join(f"  {kind}_made: {{phrases: [{words[kind]} case]}}\n" for kind in TASK_TYPES)
    made = ", ".join(f"{kind}_made" for kind in TASK_TYPES)
    principal = "".join(f"  {kind}: {{principal: [{made}]}}\n" for kind in TASK_TYPES)
    plans = "".join(TEMPLATE.format(kind=kind, words=words[kind]) for kind in TASK_TYPES)
    text = f"given: {{}}\ndeliverables:\n{asked}asked:\n{principal}templates:{plans}"
    (folder / "plan_templates.yaml").write_text(text, encoding="utf-8")
    (folder / "routing_rules.yaml").write_text("rules: []\n", encoding="utf-8")
    return folder


class Stream:
    """One orchestrator that serves a world's requests one after another."""

    def __init__(self, world: World, name: str, folder: Path) -> None:
        from genesis import GenesisOrchestrator
        from infrastructure.config import load_flags, load_settings

        self.world, self.name, self.at = world, name, 0
        settings = load_settings(
            db_path=str(folder / f"{name}.db"),
            data_dir=folder / "data",
            workspace=folder,
            success_value_usd=VALUE_USD,
        )
        flags = load_flags().model_copy(
            update={
                "memory_enabled": name != "no_memory",
                "exploration_enabled": name == "exploring",
            }
        )
        self.orchestrator = GenesisOrchestrator(agents=[], settings=settings, flags=flags)
        for agent in range(AGENTS):
            self._register(agent)
        if name == "no_transfer":
            self._forget_other_types()

    def _forget_other_types(self) -> None:
        memory = self.orchestrator.services.memory
        recall = memory.recall

        async def own(*args: Any, **options: Any) -> Any:
            found = await recall(*args, **options)
            kind = self.world.kind(self.at)
            return replace(found, outcomes=tuple(o for o in found.outcomes if o.task_type == kind))

        memory.recall = own

    def _register(self, agent: int) -> None:
        from genesis.tasks.task import TaskOutput, Usage, Verdict
        from infrastructure.a2a.agent import Skill

        world = self.world

        async def serve(assignment: Any) -> TaskOutput:
            at, kind = self.at, int(world.types[self.at])
            right = world.luck[at, agent] < world.success[at, agent, kind]
            made: dict[str, Any] = {f"{world.kind(at)}_made": {"answer": at if right else -1}}
            paid = Usage(cost_usd=float(world.usd[at, agent, kind]))
            return TaskOutput("done", made, usage=paid)

        async def truth(submission: Any) -> Verdict:
            (made,) = submission.output.data.values()
            right = made["answer"] == self.at
            return Verdict(right, CHECK, "compared with the hidden truth")

        skills = [
            Skill(
                f"do_{kind}",
                f"Serves the {kind.replace('_', ' ')} case.",
                (kind,),
                produces=(f"{kind}_made",),
                cost_usd=float(world.declared[agent, number]),
                seconds=0.001,
            )
            for number, kind in enumerate(TASK_TYPES)
        ]
        self.orchestrator.register_agent(
            serve,
            name=f"agent_{agent}",
            skills=skills,
            checks={} if agent else {CHECK: truth},
            checks_of_data={},
        )

    async def run(self) -> list[tuple[int, ...]]:
        """The ladder chosen for every request, as numbers of agents."""
        ladders: list[tuple[int, ...]] = []
        async with self.orchestrator as orchestrator:
            for at in range(len(self.world.types)):
                self.at = at
                kind = self.world.kind(at)
                result = await orchestrator.execute_orchestrated_request(
                    f"Please serve the {kind.replace('_', ' ')} case number {self.at}"
                )
                if [task.task_type for task in result.tasks] != [kind] or not result.recorded:
                    raise RuntimeError(f"request {self.at} went wrong: {result.errors}")
                ladders.append(await self._ladder(result.run_id))
        return ladders

    async def _ladder(self, run_id: str) -> tuple[int, ...]:
        events: list[Any] = list(await self.orchestrator.services.memory.events(run_id))
        (priced,) = (event for event in events if event["type"] == "PlanPriced")
        (ladder,) = priced["ladders"]
        return tuple(int(rung["agent"].removeprefix("agent_")) for rung in ladder["rungs"])


def ladders_of(world: World, names: Sequence[str]) -> dict[str, list[tuple[int, ...]]]:
    """The ladders that each learner chose, and those of the rows that need no orchestrator."""
    chosen: dict[str, list[tuple[int, ...]]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "config").mkdir()
        os.environ["GENESIS_CONFIG_DIR"] = str(write_config(folder / "config"))
        for name in names:
            chosen[name] = asyncio.run(Stream(world, name, folder).run())
    requests = range(len(world.types))
    alone = [sum(world.worth(at, (agent,)) for at in requests) for agent in range(AGENTS)]
    chosen["best_single"] = [(int(np.argmax(alone)),) for _ in requests]
    chosen["oracle"] = [world.best(at)[1] for at in requests]
    return chosen


def regrets(world: World, ladders: Sequence[tuple[int, ...]]) -> list[float]:
    """Expected utility lost at every request, US dollars."""
    return [world.best(at)[0] - world.worth(at, ladder) for at, ladder in enumerate(ladders)]


def recovery(world: World, ours: Sequence[float], no_memory: Sequence[float]) -> int:
    """Requests from the change until regret is low again, as this module's text defines it."""
    at = world.broken_at
    before = statistics.fmean(ours[max(0, at - BEFORE) : at])
    enough = max(1.25 * before, 0.2 * statistics.fmean(no_memory[at:]))
    for start in range(at, len(ours) - WINDOW + 1):
        if statistics.fmean(ours[start : start + WINDOW]) <= enough:
            return start - at
    return len(ours) - at


def measure(requests: int, seed: int, names: Sequence[str] = LEARNERS) -> dict[str, Any]:
    """One world, all rows."""
    world = make_world(requests, seed)
    lost = {name: regrets(world, chosen) for name, chosen in ladders_of(world, names).items()}
    new = [at for at in range(requests) if world.types[at] == world.new_type][:NEW_REQUESTS]
    base = sum(lost["no_memory"])
    return {
        "seed": seed,
        "regret": lost,
        "ratio": {name: sum(each) / base for name, each in lost.items()},
        "late_ratio": {
            name: sum(each[2 * requests // 3 :]) / sum(lost["no_memory"][2 * requests // 3 :])
            for name, each in lost.items()
        },
        "recovery": {name: recovery(world, lost[name], lost["no_memory"]) for name in names},
        "new_type_usd": {
            name: statistics.fmean(each[at] for at in new) if new else None
            for name, each in lost.items()
        },
        "broken_at": world.broken_at,
    }


def spread(values: Sequence[float]) -> dict[str, Any]:
    """The median over worlds, with its 95 % bootstrap interval."""
    rng = np.random.default_rng(0)
    drawn = rng.choice(np.asarray(values, float), (RESAMPLES, len(values)))
    low, high = np.quantile(np.median(drawn, axis=1), (0.025, 0.975))
    return {
        "median": round(float(np.median(values)), 4),
        "interval": [round(float(low), 4), round(float(high), 4)],
    }


def summary(requests: int, seeds: Sequence[int]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """All worlds as one object, and each of them."""
    worlds: list[dict[str, Any]] = []
    for seed in seeds:
        worlds.append(measure(requests, seed))
        print(f"seed {seed}: regret {worlds[-1]['ratio']['ours']:.2f} of no memory's, recovery "
              f"{worlds[-1]['recovery']['ours']}", file=sys.stderr)  # fmt: skip
    rows: list[dict[str, Any]] = []
    for name in (*LEARNERS, "best_single", "oracle"):
        new = [w["new_type_usd"][name] for w in worlds if w["new_type_usd"][name] is not None]
        row: dict[str, Any] = {
            "name": name,
            "regret_usd": spread([statistics.fmean(w["regret"][name]) for w in worlds]),
            "ratio": spread([w["ratio"][name] for w in worlds]),
            "late_ratio": spread([w["late_ratio"][name] for w in worlds]),
            "new_type_usd": spread(new) if new else None,
        }
        if name in LEARNERS:
            row["recovery_requests"] = spread([w["recovery"][name] for w in worlds])
        rows.append(row)
    ours = rows[0]
    found = {
        "requests": requests,
        "seeds": list(seeds),
        "regret_ratio": ours["ratio"]["median"],
        "regret_ratio_interval": ours["ratio"]["interval"],
        "recovery_requests": ours["recovery_requests"]["median"],
        "recovery_interval": ours["recovery_requests"]["interval"],
        "rows": rows,
        "by_seed": [
            {
                "seed": w["seed"],
                "regret_ratio": round(w["ratio"]["ours"], 4),
                "recovery_requests": w["recovery"]["ours"],
                "broken_at": w["broken_at"],
            }
            for w in worlds
        ],
    }
    return found, worlds


def show(found: dict[str, Any]) -> None:
    """The table for people."""
    print(
        f"{'':14}{'regret $/request':>26}{'of no memory':>22}{'last third':>12}"
        f"{'recovery':>16}{'new type $':>12}"
    )
    for row in found["rows"]:
        regret, ratio = row["regret_usd"], row["ratio"]
        back, new = row.get("recovery_requests"), row["new_type_usd"]
        print(
            f"{row['name']:14}{_told(regret, 4):>26}{_told(ratio, 2):>22}"
            f"{row['late_ratio']['median']:12.2f}{_told(back, 0) if back else '':>16}"
            f"{new['median'] if new else float('nan'):12.4f}"
        )
    print(f"medians over {len(found['seeds'])} worlds of {found['requests']} requests, 95 %")


def _told(figure: dict[str, Any], digits: int) -> str:
    low, high = figure["interval"]
    return f"{figure['median']:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def plot(worlds: Sequence[dict[str, Any]], file: Path) -> None:
    """Mean cumulative regret over the stream."""
    import_module("matplotlib").use("Agg")
    pyplot: Any = import_module("matplotlib.pyplot")
    figure, axes = pyplot.subplots(figsize=(8, 5))
    for name in (*LEARNERS, "best_single"):
        curves = np.cumsum([w["regret"][name] for w in worlds], axis=1)
        axes.plot(curves.mean(axis=0), label=name.replace("_", " "))
    axes.axvline(float(np.mean([w["broken_at"] for w in worlds])), color="grey", linestyle=":")
    axes.set_xlabel("request (dotted: the best agent turns bad, mean over worlds)")
    axes.set_ylabel("cumulative regret, US dollars")
    axes.legend()
    figure.savefig(file, dpi=120, bbox_inches="tight")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=300, help="requests of a stream")
    parser.add_argument("--seed", type=int, default=0, help="of the first world")
    parser.add_argument("--seeds", type=int, default=5, help="worlds, with seeds in a row")
    parser.add_argument("--plot", type=Path, help="file for a figure of cumulative regret")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object and nothing else"
    )
    options = parser.parse_args()
    if options.requests < 3 * WINDOW or options.seeds < 1:
        parser.error(f"--requests must be at least {3 * WINDOW} and --seeds at least 1")
    found, worlds = summary(options.requests, range(options.seed, options.seed + options.seeds))
    if options.plot:
        plot(worlds, options.plot)
    if options.json:
        print(json.dumps(found))
    else:
        show(found)


if __name__ == "__main__":
    main()
