"""Does the learnt memory policy beat what an engineer would write down, and by how much?

Generator: held-out episodes over the whole grid of difficulties, the same ones for every row; a
question is answered if all that it needs, and nothing that is no longer true, is in the final
context within its budget. `unseen` has subjects and attributes beside that no training had.
Replay (with --data): real conversations in LoCoMo's format, see `agemem_replay`.

`gain` is the policy's figure less that of the best row that was not learnt, which is chosen on
these very episodes; `gap_closed` is the share of the way from there to the oracle. Intervals are
the central 95 % of a paired bootstrap, over episodes within each cell, and over questions clustered
by conversation.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from agemem_decision import rows as decision_rows
from agemem_replay import Recalls, Replay, replay_all
from agemem_rows import NOT_LEARNT, ROWS, Figures, Job, means, play_all, untrained_policy, workers
from agemem_statistics import Draws, of_clusters, within

from infrastructure.errors import GenesisError, InputError
from infrastructure.memory.agemem.policy_file import SHIPPED, load_policy
from infrastructure.training.agemem.generator import GRID, Split
from infrastructure.training.agemem.replay import read_conversations

Json = dict[str, Any]

HELD_OUT: Split = "heldout"
UNSEEN: Split = "unseen"
_CHUNK = 16
_ENTRIES = 200


@dataclass(frozen=True)
class Plan:
    """What is played: so many episodes of each cell with each seed."""

    episodes: int
    seeds: int
    policy: Path | None

    @property
    def rows(self) -> list[str]:
        """Those that can be played: without a policy its row is left out."""
        there = (self.policy or SHIPPED).is_file()
        return [row for row in ROWS if there or row != "policy"]

    @property
    def numbers(self) -> tuple[int, ...]:
        """The seeds of the episodes of a cell."""
        return tuple(range(self.episodes * self.seeds))


def generated(plan: Plan, split: Split, seed: int, pool: Executor | None) -> Json:
    """All rows on the episodes of a split."""
    jobs = [
        Job(row, plan.policy, split, cell, plan.numbers[first : first + _CHUNK])
        for row in plan.rows
        for cell in range(len(GRID))
        for first in range(0, len(plan.numbers), _CHUNK)
    ]
    figures: dict[str, list[Figures]] = {row: [] for row in plan.rows}
    for job, played in zip(jobs, play_all(jobs, pool), strict=True):
        figures[job.row] += played
    cells = [cell for cell in range(len(GRID)) for _ in plan.numbers]
    draws = within(cells, seed)
    rows = [_generator_row(row, figures[row], draws, len(plan.numbers)) for row in plan.rows]
    success = {row: [one.task_success for one in figures[row]] for row in plan.rows}
    return {"rows": rows, "episodes": len(cells), **compared(success, draws)}


def _generator_row(name: str, figures: Sequence[Figures], draws: Draws, each: int) -> Json:
    by_cell = [
        round(sum(one.task_success for one in figures[first : first + each]) / each, 4)
        for first in range(0, len(figures), each)
    ]
    measured = means(draws, figures)
    row: Json = {"name": name}
    for measure, interval in measured.items():
        row[measure] = round(interval.mean, 4)
    row["ci"] = measured["task_success"].ends
    row["evidence_recall_ci"] = measured["evidence_recall"].ends
    row["by_cell"] = by_cell
    return row


def compared(values: Mapping[str, Sequence[float]], draws: Draws) -> Json:
    """The policy beside the best row that was not learnt, and beside the oracle."""
    best = max(
        (row for row in NOT_LEARNT if row in values), key=lambda row: draws.mean(values[row]).mean
    )
    if "policy" not in values:
        return {"best_not_learnt": best, "gain": None, "gain_ci": None}
    gain = draws.gain(values["policy"], values[best])
    closed = draws.gap_closed(values["policy"], values[best], values["oracle"])
    return {
        "best_not_learnt": best,
        "gain": round(gain.mean, 4),
        "gain_ci": gain.ends,
        "gap_closed": round(closed.mean, 4),
        "gap_closed_ci": closed.ends,
    }


def replayed(recalls: Recalls, seed: int) -> Json:
    """All rows on the questions of the conversations."""
    questions = list(recalls["oracle"])
    draws = of_clusters([talk for talk, _ in questions], seed)
    values = {row: [by[question] for question in questions] for row, by in recalls.items()}
    rows: list[Json] = []
    for row, recall in values.items():
        interval = draws.mean(recall)
        rows.append({"name": row, "evidence_recall": round(interval.mean, 4), "ci": interval.ends})
    result: Json = {"rows": rows, "questions": len(questions), **compared(values, draws)}
    if "shipped policy" in values:
        shipped = draws.gain(values["shipped policy"], values[result["best_not_learnt"]])
        result |= {"shipped_gain": round(shipped.mean, 4), "shipped_gain_ci": shipped.ends}
    return result


def decision_times(policy: Path | None, decisions: int) -> Json:
    """What a decision takes, features and choice, at the slowest moment."""
    path = policy or SHIPPED
    decider = load_policy(path) if path.is_file() else untrained_policy(0)
    table = list(decision_rows(decider, _ENTRIES, decisions))
    return {
        "decision_p50_ms": max(float(row["seen_p50_ms"]) for row in table),
        "decision_p99_ms": max(float(row["seen_p99_ms"]) for row in table),
    }


def show(result: Json) -> None:
    """Tables for people."""
    for title, part in (
        ("held-out episodes", result["generator"]),
        ("unseen subjects and attributes", result["unseen"]),
    ):
        print(f"\n{title}: {part['episodes']} each")
        print(f"{'':18}{'success':>9}{'95 %':>15}{'recall':>9}{'stale':>8}{'tokens':>8}{'kept':>7}")
        for row in part["rows"]:
            low, high = row["ci"]
            print(
                f"{row['name']:18}{row['task_success']:9.3f}{low:9.3f}-{high:.3f}"
                f"{row['evidence_recall']:9.3f}{row['stale_rate']:8.3f}"
                f"{row['context_tokens']:8.0f}{row['memory_quality']:7.2f}"
            )
        _show_gain(part)
    if result["replay"]:
        print(f"\nreplay: {result['replay']['questions']} questions")
        for row in result["replay"]["rows"]:
            low, high = row["ci"]
            print(f"{row['name']:18}{row['evidence_recall']:9.3f}{low:9.3f}-{high:.3f}")
        _show_gain(result["replay"])
    if result["ablations"]:
        print(f"\nvariants of the training, {result['ablations']['steps']} steps each")
        for row in result["ablations"]["rows"]:
            low, high = row["difference_ci"]
            print(
                f"{row['name']:24}{row['task_success']:8.3f}{row['difference']:+9.3f}"
                f"{low:+9.3f} to {high:+.3f}"
            )
    print(f"\na decision: {result['decision_p50_ms']} ms, p99 {result['decision_p99_ms']} ms")


def _show_gain(part: Json) -> None:
    if part["gain"] is None:
        print(f"no policy to compare with {part['best_not_learnt']}")
        return
    low, high = part["gain_ci"]
    closed = part["gap_closed_ci"]
    print(
        f"policy less {part['best_not_learnt']}: {100 * part['gain']:.1f} points "
        f"({100 * low:.1f} to {100 * high:.1f}); of the gap to the oracle it closes "
        f"{part['gap_closed']:.0%} ({closed[0]:.0%} to {closed[1]:.0%})"
    )


def main() -> None:
    """Print the tables, or JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="conversations in LoCoMo's format, .json[l][.gz]")
    parser.add_argument("--episodes", type=int, default=10, help="of each cell for each seed")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--policy", type=Path, help="its file; the package's unless given")
    parser.add_argument("--tries", type=int, default=60, help="of tuning a heuristic for replay")
    parser.add_argument("--steps", type=int, default=150, help="of training a policy for replay")
    parser.add_argument(
        "--ablations", action="store_true", help="also train and compare variants of the training"
    )
    parser.add_argument("--ablation-steps", type=int, default=200, help="of each such training")
    parser.add_argument("--decisions", type=int, default=2000, help="that are timed")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=0, help="of the resampling")
    parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")
    options = parser.parse_args()
    if min(options.episodes, options.seeds, options.processes) < 1:
        parser.error("episodes, seeds and processes are at least 1")
    try:
        with workers(options.processes) as pool:
            result = measured(options, pool)
    except GenesisError as error:
        parser.error(str(error))
    if options.json:
        print(json.dumps(result))
    else:
        show(result)


def measured(options: argparse.Namespace, pool: Executor | None) -> Json:
    """Everything that was asked for.

    Raises:
        InputError: the policy or the conversations cannot be used.
    """
    if options.policy is not None:
        load_policy(options.policy)
    plan = Plan(options.episodes, options.seeds, options.policy)
    replays: list[Replay] = []
    if options.data is not None:
        _check_data(options.data)
        replays = [
            Replay(options.data, seed, options.policy, options.tries, options.steps)
            for seed in range(options.seeds)
        ]
    if "policy" not in plan.rows:
        print("there is no policy: its row is left out", file=sys.stderr)
    return {
        "generator": generated(plan, HELD_OUT, options.seed, pool),
        "unseen": generated(plan, UNSEEN, options.seed, pool),
        "replay": replayed(replay_all(replays, pool), options.seed) if replays else None,
        "ablations": _ablations(options, pool) if options.ablations else None,
        **decision_times(options.policy, options.decisions),
    }


def _ablations(options: argparse.Namespace, pool: Executor | None) -> Json:
    from agemem_ablations import ablated  # only these trainings need torch

    with TemporaryDirectory() as folder:
        return ablated(
            Path(folder),
            steps=options.ablation_steps,
            seeds=options.seeds,
            episodes=options.episodes,
            split=HELD_OUT,
            pool=pool,
            seed=options.seed,
        )


def _check_data(path: Path) -> None:
    if not any(talk.questions for talk in read_conversations(path)):
        raise InputError(f"{path} has no question with evidence")


if __name__ == "__main__":
    main()
