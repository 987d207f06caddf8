"""The acceptance checks accept what is true and reject every corrupted, stale or partial result."""

from __future__ import annotations

import asyncio
import copy
import csv
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import duckdb
import pytest
from analyst_support import Room, room, vega
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genesis.agents.data_analyst.reader import sha256_of
from genesis.tasks.task import TaskOutput

SKILLS = {
    "profile_data": "data_profile",
    "answer_questions": "data_answers",
    "write_data_report": "data_report",
}
REQUESTS = {
    "seattle-weather.csv": "How many rows, which weather has the highest mean temp_max, and the "
    "total precipitation by year? Also the correlation between wind and temp_min.",
    "cars.json": "How many missing values are in Horsepower? Mean weight per origin; top 3 "
    "Cylinders by mean Horsepower where Origin is USA",
    "stocks.csv": "monthly trend of price for AAPL, and which symbol has the lowest median price?",
}


@pytest.fixture(scope="module", params=REQUESTS)
def done(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Room, dict[str, TaskOutput]]:
    """A room in which all three skills have run."""
    file = cast("str", request.param)
    place = room(tmp_path_factory.mktemp("room"), vega(file), REQUESTS[file])

    async def everything() -> dict[str, TaskOutput]:
        return {operation: await place.do(operation) for operation in SKILLS}

    return place, asyncio.run(everything())


Done = tuple[Room, dict[str, TaskOutput]]


def with_datum(output: TaskOutput, name: str, datum: object) -> TaskOutput:
    return replace(output, data={name: cast("Any", datum)})


async def rejected(place: Room, operation: str, output: TaskOutput) -> str:
    verdict = await place.check(operation, output)
    assert not verdict.passed, output.data
    assert verdict.reason
    return verdict.reason


@pytest.mark.parametrize("operation", SKILLS)
async def test_honest_results_are_accepted(done: Done, operation: str) -> None:
    place, outputs = done
    verdict = await place.check(operation, outputs[operation])
    assert verdict.passed, verdict.reason


def numbers_in(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all numbers in JSON data."""
    if isinstance(value, dict):
        for key, inner in cast("dict[str, Any]", value).items():
            yield from numbers_in(inner, (*path, key))
    elif isinstance(value, list):
        for i, inner in enumerate(cast("list[Any]", value)):
            yield from numbers_in(inner, (*path, i))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
@pytest.mark.parametrize("operation", ["profile_data", "answer_questions"])
async def test_any_changed_number_is_rejected(
    done: Done, operation: str, data: st.DataObject
) -> None:
    place, outputs = done
    name = SKILLS[operation]
    datum = copy.deepcopy(cast("Any", outputs[operation].data[name]))
    *path, last = data.draw(st.sampled_from(list(numbers_in(datum))))
    holder = datum
    for key in path:
        holder = holder[key]
    number = holder[last]
    wrong = data.draw(
        st.one_of(st.integers(-(10**6), 10**6), st.floats(allow_nan=True, width=32)).filter(
            lambda other: not math.isclose(other, number, rel_tol=1e-5, abs_tol=1e-9)
        )
    )
    holder[last] = wrong
    await rejected(place, operation, with_datum(outputs[operation], name, datum))


async def test_a_wrong_figure_in_the_text_is_rejected(done: Done) -> None:
    place, outputs = done
    output = outputs["answer_questions"]
    await rejected(place, "answer_questions", replace(output, text="It is 7654321."))
    datum = copy.deepcopy(cast("Any", output.data["data_answers"]))
    datum["answers"][0]["answer"] = "It is 7654321."
    await rejected(place, "answer_questions", with_datum(output, "data_answers", datum))


async def test_another_column_is_rejected(done: Done) -> None:
    place, outputs = done
    asked = place.request
    swaps = {"temp_max": "temp_min", "weight": "acceleration", "median price": "mean price",
             "Horsepower": "Displacement"}  # fmt: skip
    other = Room(place.workspace, place.dataset, asked)
    for old, new in swaps.items():
        other.request = other.request.replace(old, new)
    assert other.request != asked
    await rejected(place, "answer_questions", await other.do("answer_questions"))
    datum = copy.deepcopy(cast("Any", outputs["answer_questions"].data["data_answers"]))
    datum["answers"][-1]["columns"] = ["another"]
    await rejected(
        place, "answer_questions", with_datum(outputs["answer_questions"], "data_answers", datum)
    )
    profile = copy.deepcopy(cast("Any", outputs["profile_data"].data["data_profile"]))
    profile["columns"][0]["name"] = "another"
    await rejected(
        place, "profile_data", with_datum(outputs["profile_data"], "data_profile", profile)
    )


@pytest.mark.parametrize("operation", SKILLS)
async def test_a_stale_file_is_rejected(done: Done, operation: str) -> None:
    place, outputs = done
    before = place.dataset.read_bytes()
    try:
        place.dataset.write_bytes(before + b"\n")
        reason = await rejected(place, operation, outputs[operation])
        assert "SHA-256" in reason
    finally:
        place.dataset.write_bytes(before)


@pytest.mark.parametrize("operation", SKILLS)
async def test_truncated_and_empty_results_are_rejected(done: Done, operation: str) -> None:
    place, outputs = done
    output, name = outputs[operation], SKILLS[operation]
    datum = cast("dict[str, Any]", output.data[name])
    for key, value in datum.items():
        if key in ("notes", "not_understood"):
            continue
        await rejected(
            place, operation, with_datum(output, name, {k: v for k, v in datum.items() if k != key})
        )
        if isinstance(value, list):
            listed = cast("list[object]", value)
            await rejected(place, operation, with_datum(output, name, {**datum, key: listed[:-1]}))
            await rejected(place, operation, with_datum(output, name, {**datum, key: listed * 2}))
    empties: list[object] = [None, {}, [], "", 3, {"answers": [None]}, {"columns": "x"}, [[]]]
    for empty in empties:
        await rejected(place, operation, with_datum(output, name, empty))
    await rejected(place, operation, replace(output, data={}))


async def test_a_table_cut_short_is_rejected(done: Done) -> None:
    place, outputs = done
    output = outputs["answer_questions"]
    datum = copy.deepcopy(cast("Any", output.data["data_answers"]))
    for item in datum["answers"]:
        if isinstance(item["value"], list) and len(item["value"]) > 1:
            item["value"].pop()
            break
    await rejected(place, "answer_questions", with_datum(output, "data_answers", datum))


@pytest.mark.parametrize("which", ["markdown_path", "chart_path"])
async def test_damaged_report_files_are_rejected(done: Done, which: str) -> None:
    place, outputs = done
    output = outputs["write_data_report"]
    path = Path(cast("dict[str, str]", output.data["data_report"])[which])
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    damages: list[bytes] = [b"", whole[: len(whole) // 2], b"nothing of use"]
    if which == "chart_path":
        damages += [bytes(flipped), whole[:-12]]
    else:
        rows = str(cast("dict[str, Any]", outputs["profile_data"].data["data_profile"])["rows"])
        damages += [whole.replace(rows.encode(), b"77"), whole.replace(b".", b".9")]
    try:
        for damage in damages:
            path.write_bytes(damage)
            await rejected(place, "write_data_report", output)
    finally:
        path.write_bytes(whole)


async def test_a_report_outside_the_workspace_is_rejected(done: Done) -> None:
    place, outputs = done
    datum = cast("dict[str, Any]", outputs["write_data_report"].data["data_report"])
    for path in ("/etc/passwd", "../../x.md", "", 3):
        changed = with_datum(
            outputs["write_data_report"], "data_report", {**datum, "markdown_path": path}
        )
        await rejected(place, "write_data_report", changed)


@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    datum=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["file", "sha256", "rows", "answers", "value", "columns", "top"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=8,
    )
)
@pytest.mark.parametrize("operation", SKILLS)
async def test_garbage_is_rejected_with_a_reason(done: Done, operation: str, datum: object) -> None:
    place, outputs = done
    output = outputs[operation]
    await rejected(place, operation, with_datum(output, SKILLS[operation], datum))
    told = cast("dict[str, Any]", output.data[SKILLS[operation]])
    for key in ("answers", "columns", "markdown_path"):
        if key in told:
            await rejected(
                place, operation, with_datum(output, SKILLS[operation], {**told, key: datum})
            )


def first_lines(path: Path, limit: int, sql: dict[str, str]) -> TaskOutput:
    """A stranger's agent: true SQL over the first lines of the file, in the same shape."""
    with path.open(newline="") as file:
        header, *rows = [row for _, row in zip(range(limit + 1), csv.reader(file), strict=False)]
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"CREATE TABLE t ({', '.join(f'{name} VARCHAR' for name in header)})")
        if rows:
            marks = ", ".join("?" for _ in header)
            connection.executemany(f"INSERT INTO t VALUES ({marks})", rows)
        answers: list[dict[str, object]] = []
        for question, text in sql.items():
            found = connection.execute(text).fetchall()
            value = found[0][0] if len(found[0]) == 1 else [list(row) for row in found]
            said = f"{question}: {', '.join(str(cell) for row in found for cell in row)}"
            answers.append({"question": question, "answer": said, "value": value, "sql": text})
    datum = {"file": path.name, "sha256": sha256_of(path), "rows": len(rows), "answers": answers}
    text = " ".join(str(item["answer"]) for item in answers)
    return TaskOutput(text, {"data_answers": cast("Any", datum)})


SAMPLED = {
    "How many rows": "SELECT count(*) FROM t",
    "which weather has the highest mean temp_max": "SELECT weather, avg(temp_max::DOUBLE) AS m "
    "FROM t GROUP BY 1 ORDER BY m DESC LIMIT 1",
}


@pytest.mark.parametrize(("lines", "passes"), [(400, True), (1000, True), (1461, False)])
async def test_an_agent_that_reads_a_sample_is_right_on_short_files_only(
    tmp_path: Path, lines: int, passes: bool
) -> None:
    source = vega("seattle-weather.csv").read_text().splitlines()[: lines + 1]
    path = tmp_path / "weather.csv"
    path.write_text("\n".join(source) + "\n")
    question = "How many rows, and which weather has the highest mean temp_max?"
    place = Room(tmp_path, path, question)
    verdict = await place.check("answer_questions", first_lines(path, 1000, SAMPLED))
    assert verdict.passed is passes, verdict.reason


async def test_true_row_counts_do_not_hide_sampled_figures(tmp_path: Path) -> None:
    place = room(tmp_path, vega("seattle-weather.csv"), "mean temp_max?")
    output = first_lines(place.dataset, 1000, {"mean": "SELECT avg(temp_max::DOUBLE) FROM t"})
    datum = cast("dict[str, Any]", output.data["data_answers"])
    changed = with_datum(output, "data_answers", {**datum, "rows": 1461})
    assert "temp_max" in await rejected(place, "answer_questions", changed)


async def test_a_result_of_another_file_is_rejected(tmp_path: Path) -> None:
    place = room(tmp_path, vega("stocks.csv"), "How many rows?")
    output = await place.do("answer_questions")
    datum = cast("dict[str, Any]", output.data["data_answers"])
    await rejected(
        place, "answer_questions", with_datum(output, "data_answers", {**datum, "file": "b.csv"})
    )
