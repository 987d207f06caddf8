"""What one decision about memory costs, and what importing the policy does.

choice    the network and the choice alone
seen      reading the features from memory and context, then the choice; texts were analysed before
whole     analysing a new text (terms, cues, vector), features, choice

Each at the three moments, with so many entries in memory and a context of 32 items. Without
`--policy` the one of the package is taken, or, if it brings none, one of random weights.

The texts are one or two sentences of the standard library's documentation each.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from session_texts import corpora

from infrastructure.embeddings.builtin import BuiltinEmbedder
from infrastructure.errors import PolicyRefused
from infrastructure.memory.agemem.actions import ACTIONS, Moment
from infrastructure.memory.agemem.context import WorkingContext
from infrastructure.memory.agemem.decider import Observation
from infrastructure.memory.agemem.entries import MemoryEntry
from infrastructure.memory.agemem.features import (
    FEATURES_VERSION,
    POLICY_FEATURES,
    SENTENCE_FEATURES,
    Sight,
    see_arrival,
    see_context,
    see_question,
)
from infrastructure.memory.agemem.index import EntryIndex
from infrastructure.memory.agemem.policy import (
    NumpyPolicy,
    PolicyCard,
    PolicyWeights,
    candidates_of,
)
from infrastructure.memory.agemem.policy_file import default_policy, load_policy
from infrastructure.memory.agemem.relevance import TermStatistics
from infrastructure.memory.agemem.text_analysis import TextAnalyst

_WIDTHS = (32, 64, 64)
_ITEMS = 32
_BUDGET = 4096
_WARM_UP = 200
_IMPORTS = 9
Row = dict[str, str | int | float]


@dataclass(frozen=True)
class Held:
    """A memory as features read it: entries and context, without a store."""

    analyst: TextAnalyst
    context: WorkingContext
    index: EntryIndex
    terms: TermStatistics
    capacity: int


def texts_of(rng: random.Random) -> Iterator[str]:
    """Texts of one or two sentences, each another."""
    sentences = [text for half in corpora() for group in half.sentences for text in group]
    given: set[str] = set()
    while True:
        text = " ".join(rng.choices(sentences, k=rng.randint(1, 2)))
        if text not in given:
            given.add(text)
            yield text


def filled(entries: int, analyst: TextAnalyst, texts: Iterator[str]) -> Held:
    """A full memory, and a context."""
    terms = TermStatistics()
    held = Held(analyst, WorkingContext(_BUDGET), EntryIndex(terms), terms, entries)
    for number in range(entries):
        text = next(texts)
        entry = MemoryEntry(f"{number:06}", text, importance=(number % 10) / 10)
        held.index.put(entry, analyst.of(text))
    for _ in range(_ITEMS):
        held.context.append(analyst.of(next(texts)))
    return held


def look(moment: Moment, held: Held, analyst: TextAnalyst, text: str) -> Sight:
    """What is seen when a text comes at a moment."""
    analysis = analyst.of(text)
    if moment is Moment.ARRIVAL:
        return see_arrival(held, analysis)
    held.context.goal = analysis
    if moment is Moment.CONTEXT:
        return see_context(held, held.context.items[-1])
    return see_question(held, analysis, 0, 0)


def timed(do: Callable[[str], object], texts: Sequence[str]) -> list[float]:
    """Milliseconds of each call."""
    taken: list[float] = []
    for text in texts:
        began = time.perf_counter_ns()
        do(text)
        taken.append((time.perf_counter_ns() - began) / 1e6)
    return taken[_WARM_UP:]


def rows(policy: NumpyPolicy, entries: int, decisions: int) -> Iterator[Row]:
    """The three moments at one size of memory."""
    analyst = TextAnalyst(BuiltinEmbedder(), cached=10 * (entries + 6 * (decisions + _WARM_UP)))
    stream = texts_of(random.Random(entries))
    held = filled(entries, analyst, stream)
    for moment in Moment:

        def seen(text: str, moment: Moment = moment) -> object:
            return policy.decide(look(moment, held, analyst, text).observation)

        known = [next(stream) for _ in range(decisions + _WARM_UP)]
        analyst.prepare(known)
        for text in known:  # what is derived of a text is derived once
            seen(text)
        observed = look(moment, held, analyst, known[0]).observation

        def choose(_: str, observed: Observation = observed) -> object:
            return policy.decide(observed)

        fresh = [next(stream) for _ in range(decisions + _WARM_UP)]
        row: Row = {"entries": entries, "moment": str(moment)}
        for name, taken in (
            ("choice", timed(choose, known)),
            ("seen", timed(seen, known)),
            ("whole", timed(seen, fresh)),
        ):
            row[f"{name}_p50_ms"] = round(statistics.median(taken), 4)
            row[f"{name}_p99_ms"] = round(statistics.quantiles(taken, n=100)[98], 4)
        yield row


def random_policy() -> NumpyPolicy:
    """A policy of the usual widths that has learnt nothing."""
    rng = np.random.default_rng(0)
    embedder = BuiltinEmbedder()
    taken, first, second = _WIDTHS
    seen, length = len(POLICY_FEATURES), embedder.dimensions

    def drawn(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return (rng.standard_normal(shape) / max(1, shape[0]) ** 0.5).astype(np.float32)

    card = PolicyCard(
        features=POLICY_FEATURES,
        sentence_features=SENTENCE_FEATURES,
        features_version=FEATURES_VERSION,
        embedder=embedder.name,
        embedder_version=embedder.version,
        dimensions=length,
        stages=(),
        steps=0,
        seed=0,
        grid_version=0,
        trained_on="nothing",
        scores=(),
        created_at="",
        package_version="",
        licence="",
    )
    weights = PolicyWeights(
        mean=np.zeros(seen, dtype=np.float32),
        scale=np.ones(seen, dtype=np.float32),
        sentence_weight=drawn(len(SENTENCE_FEATURES) + length, taken),
        sentence_bias=drawn(taken),
        pooled_weight=drawn(taken, taken),
        pooled_bias=drawn(taken),
        hidden1_weight=drawn(seen + taken, first),
        hidden1_bias=drawn(first),
        hidden2_weight=drawn(first, second),
        hidden2_bias=drawn(second),
        action_weight=drawn(second, len(ACTIONS)),
        action_bias=drawn(len(ACTIONS)),
        candidate_weight=drawn(second + len(candidates_of(POLICY_FEATURES)[0]), taken),
        candidate_bias=drawn(taken),
        choice_weight=drawn(taken, 2),
        choice_bias=drawn(2),
    )
    return NumpyPolicy(card, weights)


def import_ms() -> float:
    """Milliseconds that importing the policy takes in a fresh interpreter that has NumPy."""
    code = (
        "import time, numpy; began = time.perf_counter(); "
        "import infrastructure.memory.agemem.policy; "
        "print((time.perf_counter() - began) * 1000)"
    )
    taken = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
        for _ in range(_IMPORTS)
    ]
    return round(statistics.median(taken), 2)


def chosen(path: Path | None) -> tuple[NumpyPolicy, str]:
    """The policy that is measured, and which it is."""
    if path is not None:
        return load_policy(path), str(path)
    try:
        return default_policy(), "of the package"
    except PolicyRefused as error:
        return random_policy(), f"random weights ({error})"


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(description="What a decision about memory costs.")
    parser.add_argument("--policy", type=Path, help="file of the policy")
    parser.add_argument("--decisions", type=int, default=2000, help="of each kind")
    parser.add_argument("--entries", type=int, nargs="+", default=[20, 200, 1000])
    parser.add_argument("--json", action="store_true", help="print JSON only")
    args = parser.parse_args()
    policy, which = chosen(args.policy)
    table = [row for entries in args.entries for row in rows(policy, entries, args.decisions)]
    result = {
        "policy": which,
        "decisions": args.decisions,
        "rows": table,
        "decision_p50_ms": max(float(row["seen_p50_ms"]) for row in table),
        "decision_p99_ms": max(float(row["seen_p99_ms"]) for row in table),
        "import_ms": import_ms(),
    }
    if args.json:
        print(json.dumps(result))
        return
    print(f"policy: {which}; {args.decisions} decisions of each kind; ms as p50 / p99")
    print(f"{'entries':>7}  {'moment':9}{'choice':>17}{'seen':>17}{'whole':>17}")
    for row in table:
        pairs = (
            f"{row[f'{name}_p50_ms']:.3f} / {row[f'{name}_p99_ms']:.3f}"
            for name in ("choice", "seen", "whole")
        )
        cells = "".join(f"{pair:>17}" for pair in pairs)
        print(f"{row['entries']:>7}  {row['moment']:9}{cells}")
    print(f"importing the policy beyond NumPy: {result['import_ms']} ms")


if __name__ == "__main__":
    main()
