"""How well broken plans are judged and repaired: generated catalogues, plans broken in known ways.

Precision and recall of findings are against the faults that were made. Whether the catalogue
allows a valid plan at all, and the best makespan and cost, come from a mixed integer program;
whether a repaired plan is valid from a checker that shares no code with what repairs it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from plan_faults import Case, Fault, make_case
from plan_optimum import Judged, Optimum, judge, optimum

from genesis.errors import InvalidPlan
from genesis.planning import Catalogue, Finding, repair, validate
from genesis.tasks.task import Task

_CLOSE = 1e-4


@dataclass
class Detection:
    """Faults and findings of one kind, or of all."""

    faults: int = 0
    findings: int = 0
    found: int = 0
    right: int = 0

    @property
    def precision(self) -> float:
        return self.right / self.findings if self.findings else 1.0

    @property
    def recall(self) -> float:
        return self.found / self.faults if self.faults else 1.0


@dataclass
class Repairs:
    """What became of the plans, for one objective."""

    allowed: int = 0
    valid: int = 0
    refused_rightly: int = 0
    refused: int = 0
    unproven: int = 0
    exact: int = 0
    minimal: int = 0
    unchanged_again: int = 0
    ratios: list[float] = field(default_factory=list[float])
    ms: list[float] = field(default_factory=list[float])


def matches(finding: Finding, fault: Fault) -> bool:
    """Whether a finding tells of a fault: same kind, same task, same datum where one is meant."""
    return (
        finding.kind == fault.kind
        and (not fault.tasks or finding.task_id in fault.tasks)
        and (not fault.datum or finding.datum == fault.datum)
    )


def detect(case: Case, counts: dict[str, Detection], wrong: list[str], name: str) -> bool:
    """Count what is found in a broken plan; whether it was taken for valid."""
    report = validate(case.plan, Catalogue(case.operations), limits=case.limits)
    for fault in case.faults:
        hit = any(matches(finding, fault) for finding in report.findings)
        for key in (fault.kind, "all"):
            counts[key].faults += 1
            counts[key].found += hit
        if not hit:
            wrong.append(f"{name} {case.ways}: missed {fault}")
    for finding in report.findings:
        hit = any(matches(finding, fault) for fault in case.faults)
        for key in (finding.kind, "all"):
            counts[key].findings += 1
            counts[key].right += hit
        if not hit:
            wrong.append(f"{name} {case.ways}: no such fault: {finding.message}")
    return report.accepted


def mend(
    case: Case, objective: Literal["time", "cost"], repairs: Repairs, wrong: list[str], name: str
) -> None:
    """Repair a broken plan and have the result judged from outside."""
    catalogue = Catalogue(case.operations)
    best = optimum(case.operations, case.plan.given, case.plan.asked, objective, case.limits)
    if not best.proven:
        repairs.unproven += 1
        return
    repairs.allowed += best.value is not None
    start = time.process_time()
    try:
        repaired = repair(case.plan, catalogue, objective, limits=case.limits)
    except InvalidPlan as error:
        repairs.refused += 1
        repairs.refused_rightly += best.value is None
        if best.value is not None:
            wrong.append(f"{name} {objective}: refused, though there is a plan: {error}")
        return
    finally:
        repairs.ms.append((time.process_time() - start) * 1000)
    tasks = list(repaired.dag)
    judged = _judge(case, tasks)
    if judged.problems:
        wrong.append(f"{name} {objective}: still {judged.problems}")
        return
    repairs.valid += 1
    repairs.exact += repaired.optimality == "exact"
    repairs.ratios.append(_ratio(judged, best, objective))
    if repairs.ratios[-1] > 1 + _CLOSE:
        wrong.append(f"{name} {objective}: {repairs.ratios[-1]:.4f} of the optimum")
    repairs.minimal += not any(_judge(case, _less(tasks, t)).problems == () for t in tasks)
    again = repair(repaired.dag, catalogue, objective, asked=case.plan.asked, limits=case.limits)
    repairs.unchanged_again += again.changes == () and again.dag == repaired.dag


def _judge(case: Case, tasks: Sequence[Task]) -> Judged:
    return judge(tasks, case.operations, case.plan.given, case.plan.asked, case.limits)


def _less(tasks: Sequence[Task], gone: Task) -> list[Task]:
    return [
        replace(t, depends_on=tuple(d for d in t.depends_on if d != gone.id))
        for t in tasks
        if t is not gone
    ]


def _ratio(judged: Judged, best: Optimum, objective: str) -> float:
    value = judged.seconds if objective == "time" else judged.usd
    if best.value is None:
        return 1.0
    return value / best.value if best.value > _CLOSE else 1.0 + value


def summary(repairs: Repairs) -> dict[str, Any]:
    """Figures of one objective."""
    ms = sorted(repairs.ms)
    valid = max(repairs.valid, 1)
    return {
        "allowed": repairs.allowed,
        "valid_after": round(repairs.valid / max(repairs.allowed, 1), 4),
        "refused_rightly": f"{repairs.refused_rightly} of {repairs.refused}",
        "ratio": round(sum(repairs.ratios) / max(len(repairs.ratios), 1), 5),
        "ratio_max": round(max(repairs.ratios, default=1.0), 5),
        "said_exact": round(repairs.exact / valid, 4),
        "minimal": round(repairs.minimal / valid, 4),
        "idempotent": round(repairs.unchanged_again / valid, 4),
        "optimum_unproven": repairs.unproven,
        "cpu_ms_p50": round(ms[len(ms) // 2], 2),
        "cpu_ms_max": round(ms[-1], 2),
    }


def measure(n: int, seed: int) -> tuple[dict[str, Any], list[str]]:
    """All figures over n broken plans, and every case that went wrong."""
    counts: dict[str, Detection] = defaultdict(Detection)
    repairs = {"time": Repairs(), "cost": Repairs()}
    wrong: list[str] = []
    ways: Counter[str] = Counter()
    accepted = valid = 0
    for number in range(n):
        name = f"{seed}:{number}"
        case = make_case(name)
        ways.update(case.ways)
        accepted += detect(case, counts, wrong, name)
        valid += not _judge(case, case.plan.tasks).problems
        mend(case, "time", repairs["time"], wrong, name)
        mend(case, "cost", repairs["cost"], wrong, name)
    times, costs = summary(repairs["time"]), summary(repairs["cost"])
    return {
        "n": n,
        "seed": seed,
        "precision": round(counts["all"].precision, 4),
        "recall": round(counts["all"].recall, 4),
        "valid_before": round(valid / n, 4),
        "accepted_before": round(accepted / n, 4),
        "valid_after": times["valid_after"],
        "makespan_ratio": times["ratio"],
        "cost_ratio": costs["ratio"],
        "by_kind": {
            kind: {
                "faults": one.faults,
                "precision": round(one.precision, 4),
                "recall": round(one.recall, 4),
            }
            for kind, one in sorted(counts.items())
        },
        "ways": dict(ways.most_common()),
        "objectives": {"time": times, "cost": costs},
    }, wrong


def print_table(result: dict[str, Any]) -> None:
    def row(*cells: object) -> None:
        print("  ".join(f"{cell!s:>18}" for cell in cells), file=sys.stderr)

    row("kind", "faults", "precision", "recall")
    for kind, one in result["by_kind"].items():
        row(kind, one["faults"], one["precision"], one["recall"])
    print(file=sys.stderr)
    row("objective", "time", "cost")
    for key in result["objectives"]["time"]:
        row(key, result["objectives"]["time"][key], result["objectives"]["cost"][key])
    row("valid before", result["valid_before"], "")


def plot(result: dict[str, Any], path: Path) -> None:
    """Precision and recall by kind, as a picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    kinds = list(result["by_kind"])
    figure: Any = Figure(figsize=(9, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes: Any = figure.subplots()
    for offset, key in ((-0.2, "precision"), (0.2, "recall")):
        values = [result["by_kind"][kind][key] for kind in kinds]
        axes.bar([n + offset for n in range(len(kinds))], values, width=0.4, label=key)
    axes.axhline(0.99, color="grey", linewidth=0.8)
    axes.set_xticks(range(len(kinds)), kinds, rotation=30, ha="right")
    axes.set_ylim(0.9, 1.005)
    axes.set_title(f"faults found in {result['n']} broken plans")
    axes.legend(loc="lower left")
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=300, help="broken plans")
    parser.add_argument("--seed", type=int, default=0, help="of the generator")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--plot", type=Path, help="write a picture to this file")
    parser.add_argument("--wrong", type=int, default=0, help="show so many cases that went wrong")
    arguments = parser.parse_args()
    if arguments.n < 1:
        parser.error("--n must be 1 or more")
    result, wrong = measure(arguments.n, arguments.seed)
    print_table(result)
    for line in wrong[: arguments.wrong]:
        print(line, file=sys.stderr)
    if arguments.plot:
        plot(result, arguments.plot)
    if arguments.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
