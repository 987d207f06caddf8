"""Everyday ways to ask: the busiest hour, either of two numbers, below zero, nouns of rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from analyst_support import agrees, values, written

from infrastructure.errors import AgentError

RIDES = """start_time,city,distance_km,duration_minutes,fare,payment,satisfaction,passed,class
2024-01-01 08:00,Oslo,4,10,12.5,cash,4,yes,A
2024-01-01 08:30,Bergen,7,40,30,card,5,no,A
2024-01-02 09:00,Oslo,2,5,-6,card,3,yes,B
2024-02-02 08:15,Oslo,9,35,40,app,2,yes,B
2024-02-03 17:00,Bergen,5,30,22,cash,5,no,B
"""

ASKED: list[tuple[str, list[Any]]] = [
    ("What is the busiest hour?", [[(8, 3)]]),
    ("What is the quietest month?", [[("2024-02", 2)]]),
    ("How many trips were there?", [5]),
    ("How many trips were there in February?", [2]),
    ("How many rides have a satisfaction of 4 or 5?", [3]),
    ("How many rides have a satisfaction of 2, 3 or 4?", [3]),
    ("How many rides have a satisfaction of 4 or more?", [3]),
    ("How many rides were not paid in cash?", [3]),
    ("How many negative fares are there?", [1]),
    ("What is the mean fare of rides with a positive fare?", [26.125]),
    ("What is the pass rate?", [0.6]),
    ("What is the pass rate per class?", [[("A", 0.5), ("B", 2 / 3)]]),
    ("What percentage passed in each class?", [[("A", 0.5), ("B", 2 / 3)]]),
    ("Which class has the highest pass rate?", [[("B", 2 / 3)]]),
    ("Are there any rides with a negative fare?", [1]),
    ("How many rides have a distance_km below satisfaction?", [1]),
    ("How many rides were longer than 5 km?", [2]),
    ("How many rides lasted over 30 minutes?", [2]),
    ("What is the average fare of rides over 5 km?", [35.0]),
    ("How many rides cost more than $20?", [3]),
    ("How many rides have a distance over 5 km?", [2]),
]


@pytest.mark.parametrize(("question", "expected"), ASKED, ids=[q for q, _ in ASKED])
async def test_plain_words_are_read(tmp_path: Path, question: str, expected: list[Any]) -> None:
    found = values(await written(tmp_path, "rides.csv", RIDES, question).answers())
    assert agrees(found, expected), found


@pytest.mark.parametrize(
    "question",
    [
        "How many matches were there?",
        "How many bikes were there?",
        "How many rides were not started in Oslo?",
        "How many rides have a negative review?",
        "How many rides were longer than 5 miles?",
        "How many rides were longer than 5?",
        "How many rides lasted over 2 hours?",
        "How many rides have a duration over 2 hours?",
        "How many cars are there?",
        "How many apps were used in Oslo?",
        "How many rides have a fare not below satisfaction?",
        "What is the fail rate per class?",
        "What is the rate of cash payment?",
    ],
)
async def test_other_nouns_and_verbs_are_refused(tmp_path: Path, question: str) -> None:
    with pytest.raises(AgentError, match="not understood"):
        await written(tmp_path, "rides.csv", RIDES, question).answers()


@pytest.mark.parametrize("name", ["euro_2020.csv", "data.csv"])
async def test_matches_are_the_dated_rows_of_a_file_that_names_no_others(
    tmp_path: Path, name: str
) -> None:
    text = "date,home,away\n2020-06-11,Turkey,Italy\n2020-06-12,Wales,Spain\n"
    asked = written(tmp_path, name, text, "How many matches were there?")
    assert values(await asked.answers()) == [2]


async def test_two_columns_of_a_row_are_compared(tmp_path: Path) -> None:
    text = "item,quantity,reorder_level\nbolt,5,10\nnut,20,10\ngear,,8\naxle,9,9\npin,1,3\n"
    request = "How many items have quantity below reorder level? Which items have quantity below "
    asked = written(tmp_path, "stock.csv", text, request + "the reorder level?")
    assert values(await asked.answers()) == [2, ["bolt", "pin"]]


async def test_a_share_with_gaps_is_refused(tmp_path: Path) -> None:
    text = "pupil,passed,class\n1,yes,A\n2,no,A\n3,,B\n4,yes,B\n"
    with pytest.raises(AgentError, match="not understood"):
        await written(tmp_path, "exam.csv", text, "What is the pass rate per class?").answers()


async def test_matches_of_dated_players_are_refused(tmp_path: Path) -> None:
    text = "born,player\n2000-06-11,Ann\n2001-06-12,Bob\n"
    with pytest.raises(AgentError, match="not understood"):
        await written(tmp_path, "players.csv", text, "How many matches were there?").answers()
