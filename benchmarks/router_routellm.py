"""Which questions to send to the strong model: a policy learnt from few labels, by prompt text.

Rows of a file: {"id", "prompt", "weak_correct", "strong_correct"}; nothing else is read. Of the
training file `--labels` rows, drawn by the seed, are shown to `genesis.learning.train` as two
options; at test time only the prompt's text is known, and questions go to the strong model by
P(strong) - P(weak), highest first.

PGR(r) is the share of the gap between the models' accuracies that is recovered with the share r
of calls to the strong one; APGR is the area under it, and CPT50 the least share of calls that
recovers half (Ong et al., 2024, whose names these are). Figures are means over `--draws` draws of
the labels; with one file for both, each draw also halves it into train and test. Intervals come
from resampling the test questions.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge

from genesis.errors import ModelError
from genesis.learning.calibration import calibration_error, groups
from genesis.learning.examples import Example, Observed
from genesis.learning.train import train_policy
from infrastructure.embeddings.builtin import embedder_named
from infrastructure.embeddings.embedder import Embedder

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

WEAK, STRONG = "weak", "strong"
RESAMPLES = 1000
NEIGHBOURS = 50
RIDGE = 10.0
GRID: Floats = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class Questions:
    """Prompts and whether each model was right; 1 or 0, [questions]."""

    prompts: tuple[str, ...]
    weak: Floats
    strong: Floats

    def part(self, places: Places) -> Questions:
        chosen = cast("list[int]", places.tolist())
        prompts = tuple(self.prompts[place] for place in chosen)
        return Questions(prompts, self.weak[places], self.strong[places])


@dataclass(frozen=True)
class Draw:
    """What was shown and what is asked: places in the training and in the test questions."""

    labelled: Places
    asked: Places


@dataclass(frozen=True)
class Scored:
    """One router at one draw: `score` says how much each asked question is worth a strong call."""

    draw: Draw
    score: Floats


def read_questions(path: Path) -> Questions:
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8") as file:
            content = file.read()
        if path.name.removesuffix(".gz").endswith(".jsonl"):
            rows = [json.loads(line) for line in content.splitlines() if line.strip()]
        else:
            rows = json.loads(content)
        return Questions(
            tuple(str(row["prompt"]) for row in rows),
            np.array([float(bool(row["weak_correct"])) for row in rows]),
            np.array([float(bool(row["strong_correct"])) for row in rows]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        needs = "each row needs prompt, weak_correct and strong_correct"
        raise SystemExit(f"{path}: {needs}: {error!r}") from error


def draws_of(count: int, asked: int | None, labels: int, draws: int, seed: int) -> Iterator[Draw]:
    """The draws: of labels from `count` questions, and of halves where nothing else is asked."""
    for number in range(draws):
        order = np.random.default_rng([seed, number]).permutation(count)
        if asked is None:
            half = count // 2
            yield Draw(order[:half][:labels], order[half:])
        else:
            yield Draw(order[:labels], np.arange(asked))


class Vectors:
    """Embeddings of the questions that are needed, each made once."""

    def __init__(self, embedder: Embedder | None, prompts: Sequence[str]) -> None:
        self._embedder = embedder
        self._prompts = prompts
        self._rows: dict[int, NDArray[np.float32]] = {}

    def at(self, places: Places) -> NDArray[np.float32]:
        """[places, dimensions]; no columns without an embedder."""
        if self._embedder is None:
            return np.zeros((len(places), 0), dtype=np.float32)
        wanted = cast("list[int]", places.tolist())
        missing = [place for place in wanted if place not in self._rows]
        if missing:
            made = self._embedder.embed([self._prompts[place] for place in missing])
            self._rows.update(zip(missing, made, strict=True))
        return np.stack([self._rows[place] for place in wanted])


@dataclass(frozen=True)
class Bench:
    """The data of one run of the benchmark."""

    train: Questions
    test: Questions
    embedder: Embedder | None
    train_vectors: Vectors
    test_vectors: Vectors
    seed: int


def ours(bench: Bench, draw: Draw) -> tuple[Floats, Floats, float]:
    """P(right) of the weak and of the strong model, [asked] each, and ms for one question."""
    shown, vectors = bench.train.part(draw.labelled), bench.train_vectors.at(draw.labelled)
    examples = [
        Example(
            prompt,
            {WEAK: Observed(bool(weak)), STRONG: Observed(bool(strong))},
            vector if bench.embedder else None,
        )
        for prompt, weak, strong, vector in zip(
            shown.prompts, shown.weak, shown.strong, vectors, strict=True
        )
    ]
    policy = train_policy(examples, embedder=bench.embedder, seed=bench.seed)
    weak, strong = policy.options.index(WEAK), policy.options.index(STRONG)
    asked = bench.test_vectors.at(draw.asked)
    prompts = bench.test.part(draw.asked).prompts
    start = time.process_time()
    said = np.array(
        [policy.outlook(prompt, row).marginal for prompt, row in zip(prompts, asked, strict=True)]
    )
    spent = (time.process_time() - start) / len(prompts) * 1000
    return said[:, weak], said[:, strong], spent


def ridge_on_words(bench: Bench, draw: Draw) -> Floats:
    """The usual baseline: TF-IDF of words and pairs, ridge regression of the gain."""
    words: Any = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    shown, asked = bench.train.part(draw.labelled), bench.test.part(draw.asked)
    model: Any = Ridge(RIDGE)
    model.fit(words.fit_transform(shown.prompts), shown.strong - shown.weak)
    return np.asarray(model.predict(words.transform(asked.prompts)), dtype=np.float64)


def neighbours(bench: Bench, draw: Draw) -> Floats:
    """The mean gain of the 50 labelled questions whose embeddings are nearest."""
    shown = bench.train.part(draw.labelled)
    likeness = bench.test_vectors.at(draw.asked) @ bench.train_vectors.at(draw.labelled).T
    count = min(NEIGHBOURS, len(shown.prompts))
    nearest = np.argpartition(-likeness, count - 1, axis=1)[:, :count]
    return (shown.strong - shown.weak)[nearest].mean(axis=1)


def area(gains: Floats, weights: Floats) -> float:
    """APGR of questions in the order of their scores, each counting `weights` times."""
    counted = gains * weights
    before = np.cumsum(weights) - weights / 2
    return float((counted * (1 - before / weights.sum())).sum() / counted.sum())


def recovered(gains: Floats, shares: Floats) -> Floats:
    """PGR at shares of strong calls, for gains in the order of their scores."""
    steps = np.concatenate([[0.0], np.cumsum(gains)])
    return np.interp(shares * len(gains), np.arange(len(steps)), steps) / gains.sum()


def calls_for(gains: Floats, part: float) -> float:
    """CPT: the least share of strong calls at which PGR reaches `part`."""
    steps = np.cumsum(gains) / gains.sum()
    return float((np.flatnonzero(steps >= part - 1e-12)[0] + 1) / len(gains))


def row_of(name: str, scored: Sequence[Scored], test: Questions, seed: int) -> dict[str, Any]:
    """A router's figures: means over draws, intervals over resampled questions."""
    rng = np.random.default_rng(seed)
    ordered = [_ordered(one, rng) for one in scored]
    gains = test.strong - test.weak
    each = [area(gains[places], np.ones(len(places))) for places in ordered]
    resampled: list[float] = []
    for _ in range(RESAMPLES):
        counts = np.bincount(rng.integers(0, len(gains), len(gains)), minlength=len(gains)).astype(
            np.float64
        )
        resampled.append(
            float(np.mean([area(gains[places], counts[places]) for places in ordered]))
        )
    halves = [float(recovered(gains[places], np.array([0.5]))[0]) for places in ordered]
    return {
        "name": name,
        "apgr": round(float(np.mean(each)), 4),
        "apgr_ci": [round(float(np.quantile(resampled, q)), 4) for q in (0.025, 0.975)],
        "apgr_sd_of_draws": round(float(np.std(each, ddof=1)), 4) if len(each) > 1 else None,
        "cpt50": round(float(np.mean([calls_for(gains[p], 0.5) for p in ordered])), 4),
        "cpt80": round(float(np.mean([calls_for(gains[p], 0.8) for p in ordered])), 4),
        "pgr_at_half": round(float(np.mean(halves)), 4),
    }


def _ordered(scored: Scored, rng: np.random.Generator) -> Places:
    """Places in the test questions, highest score first; ties fall by chance."""
    by_chance = rng.random(len(scored.score))
    return scored.draw.asked[np.lexsort((by_chance, -scored.score))]


def single(name: str, right: Floats, share: float) -> dict[str, Any]:
    """One model for everything: a point, not a curve, so it has no area."""
    return {
        "name": name,
        "apgr": None,
        "apgr_ci": None,
        "cpt50": None,
        "cpt80": None,
        "accuracy": round(float(right.mean()), 4),
        "strong_calls": share,
    }


def measure(bench: Bench, draws: Sequence[Draw]) -> dict[str, Any]:
    """All rows, and how good our probabilities are."""
    said: list[tuple[Floats, Floats, float]] = []
    for number, draw in enumerate(draws):
        said.append(ours(bench, draw))
        print(f"\rdraw {number + 1} of {len(draws)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    gains = bench.test.strong - bench.test.weak
    chance = np.random.default_rng(bench.seed)
    routers: dict[str, Callable[[int, Draw], Floats]] = {
        "genesis": lambda number, _: said[number][1] - said[number][0],
        "ridge on TF-IDF": lambda _, draw: ridge_on_words(bench, draw),
        "random": lambda _, draw: chance.random(len(draw.asked)),
        "oracle": lambda _, draw: gains[draw.asked],
    }
    if bench.embedder is not None:
        routers["nearest neighbours"] = lambda _, draw: neighbours(bench, draw)
    rows = [
        row_of(
            name,
            [Scored(draw, score(number, draw)) for number, draw in enumerate(draws)],
            bench.test,
            bench.seed,
        )
        for name, score in routers.items()
    ]
    rows += [single("always weak", bench.test.weak, 0.0)]
    rows += [single("always strong", bench.test.strong, 1.0)]
    right = [bench.test.part(draw.asked) for draw in draws]
    return {
        **{key: value for key, value in rows[0].items() if key != "name"},
        "rows": rows,
        "calibration": _calibration(said, right),
        "curve": _curve(said, right),
        "p50_ms": round(float(np.median([spent for *_, spent in said])), 3),
        "draws": len(draws),
        "n_test": len(draws[0].asked),
        "labels": len(draws[0].labelled),
        "embedder": bench.embedder.name if bench.embedder else None,
    }


def _calibration(
    said: Sequence[tuple[Floats, Floats, float]], right: Sequence[Questions]
) -> dict[str, Any]:
    """Expected against happened for each model over all draws, in ten groups."""
    found: dict[str, Any] = {}
    for name, expected, happened in (
        (WEAK, [weak for weak, _, _ in said], [q.weak for q in right]),
        (STRONG, [strong for _, strong, _ in said], [q.strong for q in right]),
    ):
        pairs = list(zip(expected, happened, strict=True))
        found[name] = {
            "error": round(float(np.mean([calibration_error(*pair) for pair in pairs])), 4),
            "brier": round(float(np.mean([np.mean((e - h) ** 2) for e, h in pairs])), 4),
            "base_brier": round(float(np.mean([np.var(h) for h in happened])), 4),
            "groups": [
                [round(group.expected, 4), round(group.happened, 4)]
                for group in groups(np.concatenate(expected), np.concatenate(happened))
            ],
        }
    return found


def _curve(said: Sequence[tuple[Floats, Floats, float]], right: Sequence[Questions]) -> list[float]:
    """PGR at every hundredth of strong calls, the mean over draws."""
    curves = [
        recovered((q.strong - q.weak)[np.argsort(weak - strong, kind="stable")], GRID)
        for (weak, strong, _), q in zip(said, right, strict=True)
    ]
    return [round(float(value), 4) for value in np.mean(curves, axis=0)]


def show(found: Mapping[str, Any]) -> None:
    columns = ("apgr", "apgr_ci", "cpt50", "cpt80", "accuracy", "strong_calls")
    print(f"{'router':20}" + "".join(f"{column:>20}" for column in columns))
    for row in found["rows"]:
        cells = ("" if row.get(column) is None else str(row[column]) for column in columns)
        print(f"{row['name']:20}" + "".join(f"{cell:>20}" for cell in cells))
    for name, one in found["calibration"].items():
        print(
            f"{name}: calibration error {one['error']:.3f}, Brier {one['brier']:.4f} "
            f"(always its mean: {one['base_brier']:.4f})"
        )
    print(
        f"{found['labels']} labels, {found['n_test']} test questions, {found['draws']} draws "
        f"(standard deviation {found['apgr_sd_of_draws']}), embedder {found['embedder']}, "
        f"{found['p50_ms']} ms a prediction without it"
    )


def plot(found: Mapping[str, Any], file: Path) -> None:
    """PGR by strong calls, and what happened by what was expected."""
    pyplot: Any = import_module("matplotlib.pyplot")
    pyplot.switch_backend("Agg")
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 5))
    left.plot(GRID, found["curve"], label=f"genesis, APGR {found['apgr']:.3f}")
    left.plot((0, 1), (0, 1), "--", color="grey", label="random, APGR 0.5")
    left.set_xlabel("share of calls to the strong model")
    left.set_ylabel("share of the gap recovered")
    for name, one in found["calibration"].items():
        expected, happened = zip(*one["groups"], strict=True)
        right.plot(expected, happened, "o-", label=f"{name}, error {one['error']:.3f}")
    right.plot((0, 1), (0, 1), "--", color="grey")
    right.set_xlabel("expected to be right")
    right.set_ylabel("was right")
    for axes in (left, right):
        axes.legend()
    figure.savefig(file, dpi=120, bbox_inches="tight")


def chosen_embedder(name: str) -> Embedder | None:
    """The named one; "auto" is the better one of those that are installed."""
    if name == "none":
        return None
    for candidate in ("minilm", "wordllama") if name == "auto" else (name,):
        embedder = embedder_named(candidate)
        try:
            embedder.embed(["load it"])
        except ModelError as error:
            print(error, file=sys.stderr)
        else:
            return embedder
    raise SystemExit(f"no embedder of the name {name!r} is installed")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--train", type=Path, required=True, help="questions to learn from")
    parser.add_argument("--test", type=Path, required=True, help="questions to be measured on")
    parser.add_argument("--labels", type=int, default=1500, help="labelled training questions")
    parser.add_argument("--draws", type=int, default=10, help="of the labels, and of the halves")
    parser.add_argument("--seed", type=int, default=0, help="of draws, folds and resamples")
    parser.add_argument(
        "--embedder", choices=("auto", "minilm", "wordllama", "none"), default="auto"
    )
    parser.add_argument("--plot", type=Path, help="file for the curve and the calibration")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object and nothing else"
    )
    arguments = parser.parse_args()
    if arguments.labels < 2 or arguments.draws < 1:
        parser.error("--labels must be at least 2 and --draws at least 1")
    return arguments


def main() -> None:
    arguments = parsed()
    train = read_questions(arguments.train)
    same = arguments.train.resolve() == arguments.test.resolve()
    test = train if same else read_questions(arguments.test)
    for path, questions in ((arguments.train, train), (arguments.test, test)):
        if len(questions.prompts) < 4 or questions.strong.sum() == questions.weak.sum():
            raise SystemExit(f"{path}: it needs 4 questions, and models that are not equally good")
    embedder = chosen_embedder(arguments.embedder)
    train_vectors = Vectors(embedder, train.prompts)
    test_vectors = train_vectors if same else Vectors(embedder, test.prompts)
    bench = Bench(train, test, embedder, train_vectors, test_vectors, arguments.seed)
    asked = None if same else len(test.prompts)
    draws = list(
        draws_of(len(train.prompts), asked, arguments.labels, arguments.draws, arguments.seed)
    )
    found = measure(bench, draws)
    if arguments.plot:
        plot(found, arguments.plot)
    if arguments.json:
        print(json.dumps(found))
    else:
        show(found)


if __name__ == "__main__":
    main()
