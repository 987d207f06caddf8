"""Verified escalation on real plans: which model to ask first, whom next, and when to stop.

Rows of a file: {"id", "init": [facts], "goal": [facts], "runs": {model: {"plan", "cost_usd",
"recorded_correct"}}}. A policy is trained on the training rows by `genesis.learning`; for each
test problem it says from the text alone how likely and how dear every model is, and
`genesis.routing.cascade` orders the attempts for a value of a success. A sound checker executes
each plan; only what fails is escalated. Sweeping the value of a success gives the frontier.

Beside it: each model alone; the fixed orders that were best on the training rows at each cost
(every order of every set of models); and an oracle that knows the cheapest model that is right.
With one file for both, everything is the mean over random halves.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import numpy as np
from blocksworld import judge
from numpy.typing import NDArray

from genesis.learning.examples import Example, Observed
from genesis.learning.train import train_policy
from genesis.routing.cascade import best_cascade

Floats = NDArray[np.floating[Any]]
Order = tuple[int, ...]
Point = tuple[float, float]

VALUES = np.geomspace(1e-4, 3.0, 40)  # US dollars for one problem solved
GRID = 200
RESAMPLES = 1000
BUDGET = 0.60
NEAR = 0.02
PER = 100


@dataclass(frozen=True)
class Problems:
    """Checked runs of every model on every problem.

    Attributes:
        texts: what a policy may read.
        models: names, cheapest first.
        solved: 1 or 0, [problems, models].
        usd: price of each run, US dollars, [problems, models].
        disputed: runs whose recorded verdict differs from the checker's.
    """

    texts: tuple[str, ...]
    models: tuple[str, ...]
    solved: Floats
    usd: Floats
    disputed: int

    def part(self, places: NDArray[np.intp]) -> Problems:
        texts = tuple(self.texts[place] for place in cast("list[int]", places.tolist()))
        return Problems(texts, self.models, self.solved[places], self.usd[places], self.disputed)


def read_problems(path: Path, models: Sequence[str] = ()) -> Problems:
    """Read a file and check every plan; `models` fixes which and in what order."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        content = file.read()
    if path.name.removesuffix(".gz").endswith(".jsonl"):
        rows = [json.loads(line) for line in content.splitlines() if line.strip()]
    else:
        rows = json.loads(content)
    names = list(models) or _common_models(rows)
    runs = [[row["runs"][name] for name in names] for row in rows]
    solved = [
        [judge(run["plan"], row["init"], row["goal"]).solved for run in each]
        for row, each in zip(rows, runs, strict=True)
    ]
    disputed = sum(
        mine != run["recorded_correct"]
        for verdicts, each in zip(solved, runs, strict=True)
        for mine, run in zip(verdicts, each, strict=True)
    )
    usd = np.array([[run["cost_usd"] for run in each] for each in runs], dtype=np.float64)
    return Problems(
        tuple(map(_prompt, rows)), tuple(names), np.array(solved, dtype=np.float64), usd, disputed
    )


def _common_models(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    names = set(cast("Mapping[str, Any]", rows[0]["runs"]))
    for row in rows:
        names &= set(row["runs"])
    if not names:
        raise SystemExit("no model has a run on every problem")
    return sorted(names, key=lambda name: sum(row["runs"][name]["cost_usd"] for row in rows))


def _prompt(row: Mapping[str, Any]) -> str:
    goal = ", ".join(_sentence(fact).removesuffix(".") for fact in row["goal"])
    return "\n".join([f"Arrange the blocks such that {goal}.", *map(_sentence, row["init"])])


def _sentence(fact: str) -> str:
    match fact.split():
        case ["on", x, y]:
            return f"{x} is on {y}."
        case ["ontable", x]:
            return f"{x} is on the table."
        case ["clear", x]:
            return f"{x} is clear."
        case _:
            return f"{fact}."


class HashedWords:
    """An embedder that needs no model: words, pairs and triples of words, hashed and damped.

    It keeps what a meaning's embedder passes over: how often "on the table" is said.
    """

    name = "hashed-words"
    version = "1"
    dimensions = 1024

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors, [texts, dimensions]."""
        counts = np.zeros((len(texts), self.dimensions))
        for row, text in enumerate(texts):
            words = text.lower().replace(".", " .").replace(",", " ,").split()
            for length in (1, 2, 3):
                for start in range(len(words) - length + 1):
                    mark = " ".join(words[start : start + length]).encode()
                    counts[row, zlib.crc32(mark) % self.dimensions] += 1
        damped = np.log1p(counts)
        norms = np.linalg.norm(damped, axis=1, keepdims=True)
        return (damped / np.maximum(norms, 1e-12)).astype(np.float32)


EMBEDDER = HashedWords()


def our_frontier(train: Problems, test: Problems, seed: int) -> tuple[Floats, Floats]:
    """Price and success of every test problem at each value, both [values, problems]."""
    policy = train_policy(
        [
            Example(
                text,
                {
                    model: Observed(bool(solved), float(usd))
                    for model, solved, usd in zip(train.models, *runs, strict=True)
                },
            )
            for text, *runs in zip(train.texts, train.solved, train.usd, strict=True)
        ],
        embedder=EMBEDDER,
        seed=seed,
    )
    places = np.array([train.models.index(option) for option in policy.options])
    price, success = np.zeros((2, len(VALUES), len(test.texts)))
    vectors = EMBEDDER.embed(test.texts)
    for problem, text in enumerate(test.texts):
        outlook = policy.outlook(text, vectors[problem])
        for row, value in enumerate(VALUES):
            found = best_cascade(outlook.usd, outlook.success, outlook.weights, float(value))
            order = tuple(int(place) for place in places[list(found.order)]) if found.order else ()
            price[row, problem], success[row, problem] = _tried(order, test, problem)
    return price, success


def _tried(order: Order, test: Problems, problem: int) -> Point:
    spent = 0.0
    for model in order:
        spent += float(test.usd[problem, model])
        if test.solved[problem, model]:
            return spent, 1.0
    return spent, 0.0


def fixed_orders(train: Problems) -> list[Order]:
    """The order of every set of models with the least cost, those on the frontier, dearer later.

    How many problems are solved depends only on the set, so each set needs but its cheapest
    order, found by working up from smaller sets.
    """
    options = len(train.models)
    best: dict[int, tuple[float, Order]] = {0: (0.0, ())}
    solved: dict[int, float] = {}
    for chosen in range(1 << options):
        members = [o for o in range(options) if chosen >> o & 1]
        failed = 1 - train.solved[:, members].max(axis=1, initial=0.0)
        solved[chosen] = 1 - float(failed.mean())
        spent, order = best[chosen]
        for option in range(options):
            grown = chosen | 1 << option
            cost = spent + float((failed * train.usd[:, option]).mean())
            if grown != chosen and cost < best.get(grown, (np.inf,))[0]:
                best[grown] = (cost, (*order, option))
    kept: list[Order] = []
    most = 0.0
    for chosen in sorted(solved, key=lambda s: (best[s][0], -solved[s])):
        if solved[chosen] > most:
            most = solved[chosen]
            kept.append(best[chosen][1])
    return kept


def fixed_frontier(train: Problems, test: Problems) -> tuple[Floats, Floats]:
    """Price and success of every test problem under each fixed order, both [orders, problems]."""
    orders = fixed_orders(train)
    problems = range(len(test.texts))
    table = np.array([[_tried(order, test, problem) for problem in problems] for order in orders])
    return table[..., 0], table[..., 1]


def curve(price: Floats, success: Floats, grid: Floats) -> Floats:
    """Accuracy at each cost for a problem, between the points of a frontier, [grid]."""
    cost, accuracy = price.mean(axis=1), success.mean(axis=1)
    order = np.argsort(cost, kind="stable")
    return np.asarray(np.interp(grid, cost[order], accuracy[order]), dtype=np.float64)


def _grid(low: float, high: float) -> Floats:
    return np.linspace(low, high, GRID, dtype=np.float64)


def area_gain(ours: tuple[Floats, Floats], fixed: tuple[Floats, Floats]) -> float:
    """Mean difference of accuracy over the costs that the fixed orders span."""
    costs = fixed[0].mean(axis=1)
    grid = _grid(float(costs.min()), float(costs.max()))
    return float((curve(*ours, grid) - curve(*fixed, grid)).mean())


@dataclass(frozen=True)
class Round:
    """One training and one test part."""

    ours: tuple[Floats, Floats]
    fixed: tuple[Floats, Floats]
    test: Problems

    @property
    def gain(self) -> float:
        return area_gain(self.ours, self.fixed)


def rounds_of(train: Problems, test: Problems | None, splits: int, seed: int) -> Iterator[Round]:
    """One round, or one for each random halving of the training problems."""
    if test is not None:
        yield Round(our_frontier(train, test, seed), fixed_frontier(train, test), test)
        return
    rng = np.random.default_rng(seed)
    for number in range(splits):
        places = rng.permutation(len(train.texts))
        half = len(places) // 2
        seen, held = train.part(places[:half]), train.part(places[half:])
        yield Round(our_frontier(seen, held, seed + number), fixed_frontier(seen, held), held)
        print(f"\rsplit {number + 1} of {splits}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def summary(rounds: Sequence[Round], seed: int) -> dict[str, Any]:
    """Means over the rounds, in dollars per 100 problems."""
    ends = [round_.fixed[0].mean(axis=1) for round_ in rounds]
    low, high = float(np.mean([e.min() for e in ends])), float(np.mean([e.max() for e in ends]))
    grid = _grid(low, max(high, BUDGET / PER))
    ours = np.mean([curve(*round_.ours, grid) for round_ in rounds], axis=0)
    fixed = np.mean([curve(*round_.fixed, grid) for round_ in rounds], axis=0)
    # The points of the sweep themselves, averaged value by value.
    cost = np.mean([round_.ours[0].mean(axis=1) for round_ in rounds], axis=0)
    accuracy = np.mean([round_.ours[1].mean(axis=1) for round_ in rounds], axis=0)
    anybody = float(np.mean([r.test.solved.max(axis=1).mean() for r in rounds]))
    near = np.flatnonzero(ours >= anybody - NEAR)
    gains = np.array([round_.gain for round_ in rounds])
    return {
        "frontier": _points(cost, accuracy),
        "fixed_cascade": _points(grid, fixed),
        "singles": _singles([round_.test for round_ in rounds]),
        "oracle": _oracle([round_.test for round_ in rounds]),
        "area_gain": round(float(gains.mean()), 4),
        "area_gain_ci": _interval(rounds, gains, seed),
        "accuracy_at_0.60": round(_at(_points(grid, ours), BUDGET), 4),
        "fixed_accuracy_at_0.60": round(_at(_points(grid, fixed), BUDGET), 4),
        "within_2_points_of_any_at": round(float(grid[near[0]]) * PER, 4) if len(near) else None,
        "n": len(rounds[0].test.texts),
        "rounds": len(rounds),
    }


def _interval(rounds: Sequence[Round], gains: Floats, seed: int) -> list[float]:
    """95 % of the splits; of one test part, the bootstrap over its problems."""
    if len(rounds) == 1:
        (only,) = rounds
        rng = np.random.default_rng(seed)
        drawn: list[float] = []
        for _ in range(RESAMPLES):
            places = rng.integers(0, len(only.test.texts), len(only.test.texts))
            ours, fixed = (
                (price[:, places], success[:, places]) for price, success in (only.ours, only.fixed)
            )
            drawn.append(area_gain(ours, fixed))
        gains = np.array(drawn)
    return [round(float(np.quantile(gains, q)), 4) for q in (0.025, 0.975)]


def _points(cost: Floats, accuracy: Floats) -> list[dict[str, float]]:
    return [
        {"cost_per_100": round(float(c) * PER, 5), "accuracy": round(float(a), 5)}
        for c, a in zip(cost, accuracy, strict=True)
    ]


def _singles(tests: Sequence[Problems]) -> list[dict[str, Any]]:
    models = tests[0].models
    cost = np.mean([test.usd.mean(axis=0) for test in tests], axis=0)
    accuracy = np.mean([test.solved.mean(axis=0) for test in tests], axis=0)
    return [
        {"model": model, **point}
        for model, point in zip(models, _points(cost, accuracy), strict=True)
    ]


def _oracle(tests: Sequence[Problems]) -> dict[str, float]:
    cheapest = [np.where(t.solved > 0, t.usd, np.inf).min(axis=1) for t in tests]
    cost = np.mean([np.where(np.isfinite(c), c, 0.0).mean() for c in cheapest])
    accuracy = np.mean([np.isfinite(c).mean() for c in cheapest])
    return _points(np.array([cost]), np.array([accuracy]))[0]


def show(found: Mapping[str, Any]) -> None:
    print(f"{'model alone':24}{'$ per 100':>12}{'accuracy':>12}")
    for row in (*found["singles"], {"model": "oracle", **found["oracle"]}):
        print(f"{row['model']:24}{row['cost_per_100']:12.3f}{row['accuracy']:12.1%}")
    print(f"\n{'$ per 100':>12}{'ours':>12}{'fixed order':>12}")
    for cost in (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0):
        ours, fixed = (_at(found[name], cost) for name in ("frontier", "fixed_cascade"))
        print(f"{cost:12.2f}{ours:12.1%}{fixed:12.1%}")
    low, high = found["area_gain_ci"]
    print(
        f"\narea between the frontiers: {found['area_gain']:+.2%} (95 %: {low:+.2%} to {high:+.2%})"
        f"\nwithin 2 points of what any model solves at $ per 100: "
        f"{found['within_2_points_of_any_at']}"
        f"\n{found['n']} test problems, {found['rounds']} rounds, {found['disputed']} runs whose "
        "recorded verdict is not the checker's"
    )


def _at(points: Sequence[Mapping[str, float]], cost: float) -> float:
    pairs = sorted((point["cost_per_100"], point["accuracy"]) for point in points)
    costs, accuracies = zip(*pairs, strict=True)
    return float(np.interp(cost, costs, accuracies))


def plot(found: Mapping[str, Any], file: Path) -> None:
    """Accuracy by dollars per 100 problems."""
    pyplot: Any = import_module("matplotlib.pyplot")
    pyplot.switch_backend("Agg")
    figure, axes = pyplot.subplots(figsize=(8, 5))
    for name, label in (("frontier", "ours"), ("fixed_cascade", "best fixed orders")):
        axes.plot(*_columns(found[name]), label=label)
    axes.scatter(*_columns(found["singles"]), color="grey", label="one model alone")
    axes.scatter(*_columns([found["oracle"]]), marker="*", color="black", label="oracle")
    axes.set_xlabel("US dollars per 100 problems")
    axes.set_ylabel("share solved and verified")
    axes.legend()
    figure.savefig(file, dpi=120, bbox_inches="tight")


def _columns(points: Sequence[Mapping[str, Any]]) -> tuple[list[float], list[float]]:
    return [point["cost_per_100"] for point in points], [point["accuracy"] for point in points]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--train", type=Path, required=True, help="problems to learn from")
    parser.add_argument("--test", type=Path, required=True, help="problems to be measured on")
    parser.add_argument("--splits", type=int, default=50, help="random halves, for one file")
    parser.add_argument("--seed", type=int, default=0, help="of splits, folds and resamples")
    parser.add_argument("--plot", type=Path, help="file for a figure of the frontiers")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object and nothing else"
    )
    options = parser.parse_args()
    train = read_problems(options.train)
    same = options.train.resolve() == options.test.resolve()
    test = None if same else read_problems(options.test, train.models)
    rounds = list(rounds_of(train, test, options.splits, options.seed))
    found = summary(rounds, options.seed) | {"disputed": (test or train).disputed}
    if options.plot:
        plot(found, options.plot)
    if options.json:
        print(json.dumps(found))
    else:
        show(cast("Mapping[str, Any]", found))


if __name__ == "__main__":
    main()
