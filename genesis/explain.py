"""Why a run went as it did, told from its journal alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from infrastructure.jsonvalue import JsonObject
from infrastructure.text import counted


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision: the step that made it, what it is about, what was chosen, and the reasons."""

    step: str
    subject: str
    choice: str
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """Every decision of a run in order; `str()` gives it as text."""

    run_id: str
    decisions: tuple[Decision, ...]

    def __str__(self) -> str:
        lines = [f"run {self.run_id}"]
        for decision in self.decisions:
            lines.append(f"[{decision.step}] {decision.subject}: {decision.choice}")
            lines.extend(f"    {reason}" for reason in decision.reasons)
        return "\n".join(lines)


def explain(run_id: str, events: Iterable[JsonObject]) -> Explanation:
    """Read the decisions out of a run's events; events of unknown types are passed over."""
    decisions: list[Decision] = []
    for event in events:
        reader = _READERS.get(str(event.get("type")))
        if reader is not None:
            decisions.extend(reader(cast("Mapping[str, Any]", event)))
    return Explanation(run_id, tuple(decisions))


def _accepted(event: Mapping[str, Any]) -> Iterator[Decision]:
    given = tuple(f"{name} = {value}" for name, value in event["given"].items())
    yield Decision("request", "given", event["request"], given + tuple(event["notes"]))
    if event.get("parent_run_id"):
        yield Decision("request", "level", f"is a part of run {event['parent_run_id']}")


def _task_type(event: Mapping[str, Any]) -> Iterator[Decision]:
    choice = f"{event['task_type']} (confidence {event['confidence']:.2f})"
    yield Decision("recall", "task type", choice, (event["reason"],))


def _recalled(event: Mapping[str, Any]) -> Iterator[Decision]:
    patterns = tuple(
        f"pattern {' > '.join(p['steps'])}: {p['success_rate']:.0%} of {p['executions']} verified"
        for p in event["patterns"]
    )
    past = tuple(
        f"run {p['run_id']} ({p['similarity']:.2f} alike, {p['successes']} verified, "
        f"{p['failures']} failed): {p['request'][:80]}"
        for p in event["past"]
    )
    found = ", ".join(
        (
            counted(len(patterns), "pattern"),
            counted(len(past), "similar run"),
            counted(event["attempts_known"], "attempt"),
        )
    )
    note = (event["note"],) if event["note"] else ()
    yield Decision("recall", "memory", found, note + patterns + past)


def _context(event: Mapping[str, Any]) -> Iterator[Decision]:
    yield from _memory("recall", event)
    if event["text"]:
        yield Decision("recall", "told", "planners and agents", tuple(event["text"].splitlines()))


def _learnt(event: Mapping[str, Any]) -> Iterator[Decision]:
    yield from _memory("record", event)


def _memory(step: str, event: Mapping[str, Any]) -> Iterator[Decision]:
    """What was decided about memory, by whom, from what, and what came of it."""
    for decided in event["decisions"]:
        weighed = [f"{decided['action']} {decided['probability']:.2f}"] if _weighed(decided) else []
        weighed += [f"{name} {share:.2f}" for name, share in decided["alternatives"].items()]
        seen = ", ".join(f"{name} {value:g}" for name, value in decided["features"].items())
        yield Decision(
            step,
            f"memory of {decided['about']!r}",
            f"{decided['action']}: {decided['effect']}",
            (
                f"{decided['decided_by']}: {decided['reason']}",
                *((f"probabilities: {', '.join(weighed)}",) if weighed else ()),
                *((f"seen: {seen}",) if seen else ()),
            ),
        )
    if event["note"]:
        yield Decision(step, "memory", event["note"])


def _weighed(decided: Mapping[str, Any]) -> bool:
    return decided["probability"] is not None


def _plan(event: Mapping[str, Any]) -> Iterator[Decision]:
    tasks = ", ".join(task["id"] for task in event["plan"]["tasks"])
    origin = f"{event['source']} ({event['from_run']})" if event["from_run"] else event["source"]
    passed_over = tuple(f"passed over {p}" for p in event["passed_over"])
    paid = (f"planning cost ${event['cost_usd']:.4f}",) if event.get("cost_usd") else ()
    yield Decision(
        "htdag",
        "plan",
        f"{tasks} from {origin}",
        (event["reason"], *event["changes"], *passed_over, *paid),
    )


def _sent_back(event: Mapping[str, Any]) -> Iterator[Decision]:
    yield Decision("htdag", "plan", "sent back", tuple(event["reasons"]))


def _routes(event: Mapping[str, Any]) -> Iterator[Decision]:
    for route in event["routes"]:
        chosen = tuple(f"{c['agent']}: {c['reason']}" for c in route["candidates"])
        rejected = tuple(f"not {r['agent']}: {r['reason']}" for r in route["rejected"])
        names = ", ".join(c["agent"] for c in route["candidates"]) or "nobody"
        apart = tuple(f"nor who did {a['task_id']}: {a['why']}" for a in route.get("apart", ()))
        yield Decision("halo", route["task_id"], names, chosen + rejected + apart)


def _validated(event: Mapping[str, Any]) -> Iterator[Decision]:
    report = event["report"]
    choice = "accepted" if event["accepted"] else "sent back"
    parts = ", ".join(f"{name} {value:.2f}" for name, value in report["quality_parts"].items())
    findings = tuple(finding["message"] for finding in report["findings"])
    yield Decision(
        "aop",
        "validation",
        f"{choice}, quality {report['quality']:.2f}",
        ((parts,) if parts else ()) + findings + tuple(event["mended"]),
    )


def _priced(event: Mapping[str, Any]) -> Iterator[Decision]:
    for ladder in event["ladders"]:
        rungs = tuple(
            f"{n}. {_who(rung)}, expected success {rung['p_success']:.0%}, "
            f"${rung['cost_usd']:.4f}, {rung['seconds']:.1f} s: {rung['reason']}"
            for n, rung in enumerate(ladder["rungs"], 1)
        )
        spare = tuple(
            f"if a rule keeps one of these from it: {_who(rung)}"
            for rung in ladder.get("spare", ())
        )
        yield Decision("daao", ladder["task_id"], ladder["reason"], rungs + spare)
    for change in event["changed_by_memory"]:
        yield Decision("daao", "changed by memory", change)


def _who(rung: Mapping[str, Any]) -> str:
    model = f" with {rung['model']}" if rung["model"] else ""
    return f"{rung['agent']}{model} ({rung['effort']} effort)"


def _task(event: Mapping[str, Any]) -> Iterator[Decision]:
    result = event["result"]
    attempts = tuple(
        f"{a['number']}. {a['agent']} {a['outcome']}: {a['reason']}" for a in result["attempts"]
    )
    error = (result["error"],) if result["error"] else ()
    yield Decision("execute", result["task_id"], result["status"], attempts + error)


def _below(event: Mapping[str, Any]) -> Iterator[Decision]:
    run_id = event["sub_run_id"]
    yield Decision("execute", event["task_id"], f"goes one level down as run {run_id}")


def _asked(event: Mapping[str, Any]) -> Iterator[Decision]:
    approval = event["approval"]
    yield Decision("execute", approval["id"], "waits for a person", (approval["question"],))


def _decided(event: Mapping[str, Any]) -> Iterator[Decision]:
    decision = event["decision"]
    who = decision["by"] or "a person"
    changed = (f"changed to {decision['edit']}",) if decision["verb"] == "edit" else ()
    comment = (decision["comment"],) if decision["comment"] else ()
    yield Decision(
        "execute", event["approval_id"], f"{decision['verb']} by {who}", changed + comment
    )


def _paused(event: Mapping[str, Any]) -> Iterator[Decision]:
    yield Decision("execute", "run", event["state"], (event["reason"],))


def _resumed(event: Mapping[str, Any]) -> Iterator[Decision]:
    limits = tuple(
        f"{name} is {event[name]} now"
        for name in ("budget_usd", "timeout_s")
        if event[name] is not None
    )
    yield Decision("execute", "run", "goes on from its journal", limits)


def _ended(event: Mapping[str, Any]) -> Iterator[Decision]:
    choice = "success" if event["success"] else "failure"
    if event.get("canceled"):
        choice = "canceled"
    yield Decision("record", "run", choice, tuple(event["errors"]))


_READERS = {
    "RunAccepted": _accepted,
    "TaskTypeInferred": _task_type,
    "MemoryRecalled": _recalled,
    "ContextRecalled": _context,
    "MemoryLearnt": _learnt,
    "PlanMade": _plan,
    "PlanSentBack": _sent_back,
    "TasksRouted": _routes,
    "PlanValidated": _validated,
    "PlanPriced": _priced,
    "SubRequestStarted": _below,
    "TaskEnded": _task,
    "ApprovalRequested": _asked,
    "ApprovalDecided": _decided,
    "RunPaused": _paused,
    "RunResumed": _resumed,
    "RunEnded": _ended,
}
