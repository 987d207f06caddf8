"""What recall, routing and escalation are worth on real model outputs, with no model at hand.

Eight agents give the plans that eight chat models really gave for Blocksworld problems, at what
those calls cost; a sound checker decides. Every problem is one request that goes through the whole
orchestrator with an SQLite memory. The first half of the problems is learnt from, the second half
is measured, with the memory going on to learn. The rows:

genesis, no memory     the orchestrator with memory off
genesis, memory        it remembers what came of the first half
genesis, own policy    and has a routing policy, trained on the attempts that it made there
genesis, full policy   the same, trained on the answers of every model to the first half
cheapest first         every model in the order of its price, until the checker says yes
best single            the model that was right most often on the first half, alone
dearest only           the dearest model alone
oracle                 the cheapest model that is right, where one is; nothing paid where none is

Each agent declares the mean price of its model on the first half, as a price list would. A solved
problem is worth --value to the orchestrator, which stops where the next attempt is not worth its
price, and to the regret: what the oracle gains more.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import random
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blocksworld import judge

from genesis import GenesisOrchestrator, Skill
from genesis.learning.dataset import examples_from_memory
from genesis.learning.examples import Example, Observed
from genesis.learning.train import train_policy
from genesis.routing.outlook import option_name
from genesis.routing.policy_file import save_policy
from genesis.tasks.checks import Submission
from genesis.tasks.task import Verdict
from genesis.testing.recording import RecordedAnswer, Recording, entry_line
from genesis.testing.replay import ReplayAgent
from infrastructure.a2a.agent import AgentCard
from infrastructure.config import FeatureFlags, Settings
from infrastructure.embeddings.embedder import Embedder

PLAN, PROBLEM = "blocksworld_plan", "blocksworld_problem"
OPERATION = "solve_blocksworld"


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem, and of each model whether its plan was right and what it cost, US dollars."""

    id: str
    init: tuple[str, ...]
    goal: tuple[str, ...]
    plans: dict[str, str]
    right: dict[str, bool]
    usd: dict[str, float]

    @property
    def request(self) -> str:
        """The problem in words, each different from all others."""
        start, end = ", ".join(self.init), ", ".join(self.goal)
        return f"Solve blocksworld problem {self.id}. Start: {start}. Goal: {end}."


@dataclass(slots=True)
class Row:
    """One way of answering, summed over the measured problems."""

    name: str
    n: int = 0
    solved: int = 0
    usd: float = 0.0
    attempts: int = 0

    def add(self, solved: bool, usd: float, attempts: int = 1) -> None:
        """Count one problem."""
        self.n += 1
        self.solved += solved
        self.usd += usd
        self.attempts += attempts


def read(path: Path) -> list[Problem]:
    """The problems of a file, one JSON object a line."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        return [problem(json.loads(line)) for line in lines if line.strip()]


def problem(line: dict[str, Any]) -> Problem:
    """One line of the file; the checker judges, not the file's own verdict."""
    init, goal = tuple(line["init"]), tuple(line["goal"])
    plans = {model: str(run["plan"]) for model, run in line["runs"].items()}
    return Problem(
        str(line["id"]),
        init,
        goal,
        plans,
        {model: judge(plan, init, goal).solved for model, plan in plans.items()},
        {model: float(run["cost_usd"]) for model, run in line["runs"].items()},
    )


def write_recording(problems: Sequence[Problem], path: Path) -> None:
    """All answers as a recording."""
    path.write_text(
        "".join(
            entry_line(
                RecordedAnswer(
                    request=one.request,
                    agent=model,
                    operation=OPERATION,
                    text=plan,
                    data={PLAN: plan},
                    usd=one.usd[model],
                )
            )
            + "\n"
            for one in problems
            for model, plan in one.plans.items()
        )
    )


async def check(submission: Submission) -> Verdict:
    """The acceptance check: execute the plan on the problem that was given."""
    given: Any = submission.inputs[PROBLEM]
    plan = str(submission.output.data.get(PLAN) or "")
    judged = judge(plan, given["init"], given["goal"])
    return Verdict(judged.solved, PLAN, judged.reason)


def mean_prices(learnt: Sequence[Problem]) -> dict[str, float]:
    """Of each model, cheapest first."""
    models = sorted({model for one in learnt for model in one.usd})
    means = {m: statistics.mean(one.usd[m] for one in learnt if m in one.usd) for m in models}
    return dict(sorted(means.items(), key=lambda item: item[1]))


@dataclass(frozen=True, slots=True)
class Bench:
    """One random split and what every orchestrator on it shares.

    Attributes:
        folder: takes the recording, the memories and the policies.
        recording: all answers.
        prices: mean price of each model on the first half, cheapest first, US dollars.
        attempts: models asked for one problem at most.
        value: US dollars of a solved problem.
    """

    folder: Path
    recording: Recording
    prices: dict[str, float]
    attempts: int
    value: float

    def orchestrator(
        self, database: str, *, memory: bool = True, policy: Path | None = None
    ) -> GenesisOrchestrator:
        """The real one, its agents replayed. Recorded calls have no durations: time is free."""
        settings = Settings(
            db_path=str(self.folder / database),
            data_dir=self.folder,
            workspace=self.folder,
            max_attempts=self.attempts,
            seconds_price_usd=0.0,
            success_value_usd=self.value,
            routing_policy=policy,
        )
        flags = FeatureFlags(memory_enabled=memory)
        made = GenesisOrchestrator(settings=settings, flags=flags, agents=[])
        for model, usd in self.prices.items():
            skill = Skill(OPERATION, "Solves it.", (), (PROBLEM,), (PLAN,), cost_usd=usd)
            card = AgentCard(model, f"Plans as {model} did.", (skill,))
            made.register_agent(ReplayAgent(card, self.recording), checks={PLAN: check})
        return made

    async def measured(
        self, name: str, problems: Sequence[Problem], made: GenesisOrchestrator
    ) -> Row:
        """The row of an orchestrator, which is closed afterwards."""
        row = Row(name)
        async with made:
            for one in problems:
                row.add(*await answer(made, one))
        return row

    def trained(self, examples: Sequence[Example], name: str, embedder: Embedder) -> Path:
        """The file of a routing policy."""
        path = self.folder / f"{name}.safetensors"
        save_policy(train_policy(examples, embedder=embedder), path)
        return path


async def answer(made: GenesisOrchestrator, one: Problem) -> tuple[bool, float, int]:
    """Whether the whole orchestrator solved it, what it paid, and with how many attempts."""
    given = {PROBLEM: {"init": list(one.init), "goal": list(one.goal)}}
    result = await made.execute_orchestrated_request(one.request, context=given)
    return result.success, result.cost_usd, sum(len(task.attempts) for task in result.tasks)


def all_answers(learnt: Sequence[Problem]) -> list[Example]:
    """What every model made of every problem of the first half."""
    return [
        Example(
            one.request,
            {
                option_name(OPERATION, model, "", ""): Observed(one.right[model], one.usd[model])
                for model in one.plans
            },
        )
        for one in learnt
    ]


async def replayed(
    bench: Bench, learnt: Sequence[Problem], measured: Sequence[Problem]
) -> list[Row]:
    """The orchestrator without memory, with it, and with policies on top of it."""
    no_memory = bench.orchestrator("none.db", memory=False)
    rows = [await bench.measured("genesis, no memory", measured, no_memory)]
    async with bench.orchestrator("learnt.db") as made:
        for one in learnt:
            await answer(made, one)
        own = await examples_from_memory(made.services.memory)
        embedder = made.services.embedder
    policies = {
        "genesis, memory": None,
        "genesis, own policy": bench.trained(own, "own", embedder),
        "genesis, full policy": bench.trained(all_answers(learnt), "full", embedder),
    }
    for name, policy in policies.items():
        database = f"{name}.db"
        shutil.copy(bench.folder / "learnt.db", bench.folder / database)
        made = bench.orchestrator(database, policy=policy)
        rows.append(await bench.measured(name, measured, made))
    return rows


def cascade(name: str, order: Sequence[str], measured: Sequence[Problem]) -> Row:
    """Models in a fixed order until one is right."""
    row = Row(name)
    for one in measured:
        usd, asked, solved = 0.0, 0, False
        for model in order:
            usd, asked = usd + one.usd[model], asked + 1
            solved = one.right[model]
            if solved:
                break
        row.add(solved, usd, asked)
    return row


def oracle(measured: Sequence[Problem]) -> Row:
    """Whoever knows which models are right."""
    row = Row("oracle")
    for one in measured:
        right = [one.usd[model] for model, is_right in one.right.items() if is_right]
        row.add(bool(right), min(right, default=0.0), min(len(right), 1))
    return row


async def measure(
    problems: Sequence[Problem], attempts: int, value: float, rng: random.Random
) -> list[Row]:
    """One random split of the problems, every row."""
    drawn = rng.sample(list(problems), len(problems))
    learnt, measured = drawn[: len(drawn) // 2], drawn[len(drawn) // 2 :]
    prices = mean_prices(learnt)
    order = list(prices)
    best = max(order, key=lambda model: sum(one.right[model] for one in learnt))
    with tempfile.TemporaryDirectory(prefix="replay-") as name:
        folder = Path(name)
        write_recording(problems, folder / "answers.jsonl")
        recording = Recording.load(folder / "answers.jsonl")
        bench = Bench(folder, recording, prices, attempts, value)
        rows = await replayed(bench, learnt, measured)
    return [
        *rows,
        cascade("cheapest first", order[:attempts], measured),
        cascade("best single", [best], measured),
        cascade("dearest only", order[-1:], measured),
        oracle(measured),
    ]


def table(splits: Sequence[Sequence[Row]], value: float) -> list[dict[str, Any]]:
    """Each row's means over the splits, its regret beside the oracle's."""
    rows: list[dict[str, Any]] = []
    for of_one in zip(*splits, strict=True):
        regrets = [
            100 * (_worth(split[-1], value) - _worth(row, value))
            for row, split in zip(of_one, splits, strict=True)
        ]
        rows.append(
            {
                "name": of_one[0].name,
                "accuracy": statistics.mean(row.solved / row.n for row in of_one),
                "usd_per_100": statistics.mean(100 * row.usd / row.n for row in of_one),
                "attempts": statistics.mean(row.attempts / row.n for row in of_one),
                "regret_usd_per_100": statistics.mean(regrets),
                "regret_sd": statistics.stdev(regrets) if len(regrets) > 1 else 0.0,
            }
        )
    return rows


def _worth(row: Row, value: float) -> float:
    return (value * row.solved - row.usd) / row.n


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True, help="problems with recorded plans")
    parser.add_argument("--n", type=int, default=0, help="problems that are used; 0 for all")
    parser.add_argument("--attempts", type=int, default=8, help="models asked for one problem")
    parser.add_argument("--splits", type=int, default=1, help="random halves that are averaged")
    parser.add_argument("--value", type=float, default=0.05, help="US dollars of a solved problem")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


async def main() -> None:
    """Measure and print."""
    said = arguments()
    rng = random.Random(said.seed)
    problems = read(said.data)
    used = rng.sample(problems, min(said.n or len(problems), len(problems)))
    splits = [await measure(used, said.attempts, said.value, rng) for _ in range(said.splits)]
    rows = table(splits, said.value)
    out = sys.stderr if said.json else sys.stdout
    print(
        f"{len(used)} problems, {said.splits} random halves, at most {said.attempts} attempts\n",
        file=out,
    )
    print(f"{'':20} {'solved':>8} {'$ / 100':>9} {'attempts':>9} {'regret $ / 100':>15}", file=out)
    for row in rows:
        print(
            f"{row['name']:20} {row['accuracy']:8.1%} {row['usd_per_100']:9.3f} "
            f"{row['attempts']:9.2f} {row['regret_usd_per_100']:9.3f} ± {row['regret_sd']:.3f}",
            file=out,
        )
    if said.json:
        figures = {"n": len(used), "splits": said.splits, "attempts": said.attempts}
        print(json.dumps({**figures, "value": said.value, "seed": said.seed, "rows": rows}))


if __name__ == "__main__":
    asyncio.run(main())
