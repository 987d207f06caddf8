"""Acceptance checks of the analyst's three data: every figure computed again from the file.

A check reads the file anew (`reread`), reads the questions anew from the request, computes each
figure in plain Python (`evaluate`), and compares. It never looks at how the result was made, so it
holds anyone's result to the same proof.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from genesis.agents.data_analyst.agreement import Statement, columns_fault, same, value_fault
from genesis.agents.data_analyst.evaluate import aggregate, evaluate
from genesis.agents.data_analyst.ingest import dataset_path
from genesis.agents.data_analyst.obligations import unmet
from genesis.agents.data_analyst.png import png_fault
from genesis.agents.data_analyst.profile import TOP_VALUES, plain_time
from genesis.agents.data_analyst.query import Query
from genesis.agents.data_analyst.questions import Question, read_questions
from genesis.agents.data_analyst.reader import sha256_of
from genesis.agents.data_analyst.reread import Reread, reread
from genesis.tasks.checks import Submission
from genesis.tasks.task import Verdict
from infrastructure.errors import InputError
from infrastructure.jsonvalue import JsonObject, JsonValue

_MIN_SIDE = 50


class _Rejected(Exception):
    """The result is wrong; the message says in what."""


async def check_profile(submission: Submission) -> Verdict:
    """`data_profile`: rows, duplicates and every figure of every column."""
    return await _verdict("data_profile_matches_file", "data_profile", submission, _profile)


async def check_answers(submission: Submission) -> Verdict:
    """`data_answers`: every question answered, from its columns, with its figures, in its text."""
    return await _verdict("data_answers_match_file", "data_answers", submission, _answers)


async def check_report(submission: Submission) -> Verdict:
    """`data_report`: both files are whole, current, and state every figure asked for."""
    return await _verdict("data_report_complete", "data_report", submission, _report)


async def _verdict(
    name: str,
    produced: str,
    submission: Submission,
    prove: Callable[[Submission, JsonObject, Reread], str],
) -> Verdict:
    def judge() -> Verdict:
        try:
            folders = (submission.workspace, submission.artifacts_dir)
            path = dataset_path(submission.inputs.get("dataset"), *folders)
            datum = _datum(submission, produced, path)
            return Verdict(True, name, prove(submission, datum, reread(path)))
        except (_Rejected, InputError) as reason:
            return Verdict(False, name, str(reason))
        except Exception as error:  # noqa: BLE001 - whatever garbage an agent hands in is rejected
            said = f"the result cannot be read: {type(error).__name__}: {error}"
            return Verdict(False, name, said)

    return await asyncio.to_thread(judge)


def _require(condition: object, reason: str) -> None:
    if not condition:
        raise _Rejected(reason)


def _datum(submission: Submission, name: str, path: Path) -> JsonObject:
    """The produced datum, if it is of the current version of the file asked for."""
    datum = submission.output.data.get(name)
    if not isinstance(datum, Mapping) or not datum:
        raise _Rejected(f"{name!r} is missing or empty")
    claimed = datum.get("sha256")
    _require(claimed == sha256_of(path), f"{path.name} has changed since: its SHA-256 differs")
    return datum


def _of_file(datum: JsonObject, table: Reread) -> None:
    file = datum.get("file")
    right = isinstance(file, str) and Path(file.replace("\\", "/")).name == table.facts.file
    _require(right, f"the result is of {file!r}, not of {table.facts.file}")
    rows = datum.get("rows")
    _require(same(rows, table.facts.rows), f"the file has {table.facts.rows} rows, not {rows!r}")


def _mappings(value: JsonValue, what: str) -> list[Mapping[str, JsonValue]]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise _Rejected(f"{what} is no list")
    found = [item for item in value if isinstance(item, Mapping)]
    _require(len(found) == len(value), f"{what} holds something that is no object")
    return found


# --- profile ---------------------------------------------------------------------------------


def _profile(submission: Submission, datum: JsonObject, table: Reread) -> str:
    _of_file(datum, table)
    duplicates = evaluate(Query("duplicates"), table)[0][0] if table.cells else 0
    claimed = datum.get("duplicates")
    _require(same(claimed, duplicates), f"there are {duplicates} duplicate rows, not {claimed!r}")
    columns = _mappings(datum.get("columns"), "the list of columns")
    names = [column.get("name") for column in columns]
    _require(names == list(table.cells), f"the columns are {list(table.cells)}, not {names}")
    for claim, name in zip(columns, table.cells, strict=True):
        _column(claim, name, table)
    _require(
        Statement(submission.output.text).states(table.facts.rows),
        f"the text does not state the {table.facts.rows} rows",
    )
    return f"{len(columns)} columns and {table.facts.rows} rows were computed again and agree"


def _column(claim: Mapping[str, JsonValue], name: str, table: Reread) -> None:
    facts = table.facts.column(name)
    present = [cell for cell in table.cells[name] if cell is not None]
    expected: dict[str, JsonValue] = {
        "kind": facts.kind,
        "missing": facts.missing,
        "distinct": facts.distinct,
    }
    if facts.kind == "number":
        for function in ("mean", "std", "min", "median", "max"):
            figure = aggregate(function, present)
            expected[function] = figure if isinstance(figure, int | float) else None
    elif facts.kind == "date":
        expected |= {"first": plain_time(facts.first), "last": plain_time(facts.last)}
    for key, right in expected.items():
        _require(key in claim, f"{name}: {key} is missing")
        _require(same(claim[key], right), f"{name}: {key} is {right!r}, not {claim[key]!r}")
    if facts.kind in ("text", "boolean"):
        _top(claim, name, Counter(present))


def _top(claim: Mapping[str, JsonValue], name: str, counts: Counter[object]) -> None:
    top = _mappings(claim.get("top"), f"{name}: top")
    best = sorted(counts.values(), reverse=True)[:TOP_VALUES]
    _require([item.get("count") for item in top] == best, f"{name}: the top counts are {best}")
    for item in top:
        value = item.get("value")
        right = isinstance(value, str | bool) and counts.get(value) == item["count"]
        _require(right, f"{name}: {value!r} does not occur {item['count']} times")


# --- answers ---------------------------------------------------------------------------------


def _answers(submission: Submission, datum: JsonObject, table: Reread) -> str:
    _of_file(datum, table)
    asked, unclear = read_questions(_request(submission), table.facts)
    _require(asked, "not one question of the request is about this file")
    if not unclear:
        lost = unmet(_request(submission), [question.query for question in asked], table.facts)
        _require(not lost, f"the answers do not account for {lost} in the request")
    left = _mappings(datum.get("answers"), "the list of answers")
    _require(left, "the list of answers is empty")
    text = Statement(submission.output.text)
    for number, question in enumerate(asked):
        left.remove(_proved(question, number, left, table, text))
    _require(not left, f"{len(left)} answers were not asked for or cannot be proved")
    admitted = " ".join(
        str(item.get("question", ""))
        for item in _mappings(datum.get("not_understood", []), "the list of what is not understood")
    )
    for item in unclear:
        _require(
            item.text in admitted, f"nothing is said of {item.text!r}, which cannot be answered"
        )
    return f"{len(asked)} answers were computed again without SQL and agree"


def _request(submission: Submission) -> str:
    return submission.request or submission.task.description


def _proved(
    question: Question, number: int, claims: Sequence[Mapping[str, JsonValue]], table: Reread,
    text: Statement,
) -> Mapping[str, JsonValue]:  # fmt: skip
    """The claim that answers a question rightly.

    Raises:
        _Rejected: none does; says what is wrong with the likeliest one.
    """
    expected = evaluate(question.query, table)
    faults: list[tuple[bool, str]] = []
    for claim in claims:
        fault = _claim_fault(question.query, expected, claim, table)
        if not fault:
            lacking = text.lacks(expected)
            _require(not lacking, f"the text does not state {lacking} for {question.text!r}")
            return claim
        faults.append((claim.get("question") != question.text, fault))
    faults.sort(key=lambda item: item[0])
    why = faults[0][1] if faults else "it has no answer"
    raise _Rejected(f"question {number + 1}, {question.text!r}: {why}")


def _claim_fault(
    query: Query, expected: Sequence[tuple[JsonValue, ...]], claim: Mapping[str, JsonValue],
    table: Reread,
) -> str:  # fmt: skip
    if "value" not in claim:
        return "its value is missing"
    fault = value_fault(query, expected, claim["value"])
    fault = fault or columns_fault(query, list(table.cells), claim)
    if fault:
        return fault
    stated = claim.get("answer")
    if not isinstance(stated, str) or not stated.strip():
        return "its text is missing"
    lacking = Statement(stated).lacks(expected)
    return f"its text does not state {lacking}" if lacking else ""


# --- report ----------------------------------------------------------------------------------


def _report(submission: Submission, datum: JsonObject, table: Reread) -> str:
    markdown = _file(submission, datum.get("markdown_path"), "the Markdown report")
    chart = _file(submission, datum.get("chart_path"), "the chart")
    fault = png_fault(chart.read_bytes(), _MIN_SIDE)
    _require(not fault, f"the chart {chart.name} is {fault}")
    written = markdown.read_text(encoding="utf-8")
    _require(table.sha256 in written, "the report does not name the file's current SHA-256")
    _require(chart.name in written, f"the report does not show {chart.name}")
    text, told = Statement(written), Statement(str(datum.get("summary") or ""))
    _require(text.states(table.facts.file), f"the report does not name {table.facts.file}")
    _require(text.states(table.facts.rows), f"the report lacks the {table.facts.rows} rows")
    for name in table.cells:
        _require(text.states(name), f"the report lacks the column {name!r}")
    asked, _ = read_questions(_request(submission), table.facts)
    for question in asked:
        expected = evaluate(question.query, table)
        for where, statement in (("report", text), ("summary", told)):
            lacking = statement.lacks(expected)
            _require(not lacking, f"the {where} lacks {lacking}, asked for by {question.text!r}")
    _columns_written(written, table)
    return f"the chart decodes and the report states the figures of {len(asked)} questions"


def _columns_written(written: str, table: Reread) -> None:
    """Every column has a line of its own that states its missing and distinct values and mean."""
    lines = [line for line in written.splitlines() if line.startswith("|")]
    for name, cells in table.cells.items():
        facts = table.facts.column(name)
        figures: list[JsonValue] = [name, facts.missing, facts.distinct]
        if facts.kind == "number":
            mean = aggregate("mean", [cell for cell in cells if cell is not None])
            figures += [mean] if isinstance(mean, float) else []
        found = any(not Statement(line).lacks([tuple(figures)]) for line in lines)
        _require(found, f"the report's profile of the column {name!r} is missing or wrong")


def _file(submission: Submission, path: JsonValue, what: str) -> Path:
    _require(isinstance(path, str) and path, f"{what} has no path")
    file = (submission.artifacts_dir / str(path)).resolve()
    inside = any(
        file.is_relative_to(folder.resolve())
        for folder in (submission.workspace, submission.artifacts_dir)
    )
    _require(inside, f"{what} lies outside the workspace")
    _require(file.is_file() and file.stat().st_size > 0, f"{what} is missing or empty")
    return file
