"""Questions as people ask them every day: states, yes and no, hours, two places, dotted dates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from analyst_support import agrees, assert_answered, values, written

from infrastructure.errors import AgentError

TRIPS = """trip,begun,start_station,end_station,tariff,status,bell,km
1,2024-05-01 07:10:00,Harbor,Museum,day,open,Y,2.5
2,2024-05-01 23:20:00,Museum,Harbor,night,closed,N,4
3,2024-05-02 07:30:00,Harbor,Harbor,day,open,N,6
4,2024-05-03 07:45:00,Museum,Museum,day,closed,Y,8
5,2024-06-03 08:00:00,Harbor,Museum,night,closed,Y,1
"""

ANSWERED: list[tuple[str, list[Any]]] = [
    ("How many trips are open?", [2]),
    ("How many trips are still open?", [2]),
    ("What is the mean km of open trips?", [4.25]),
    ("Mean km by hour of the day", [[(7, 5.5), (8, 1.0), (23, 4.0)]]),
    ("What hour of the day has the highest mean km?", [[(7, 5.5)]]),
    ("How many trips were made per hour of the day?", [[(7, 3), (8, 1), (23, 1)]]),
    ("What is the mean km of the day tariff?", [[("day", 5.5)]]),
    ("How many trips went from Harbor to Museum?", [2]),
    ("How many trips have a bell?", [3]),
    ("How many trips have no bell?", [2]),
    ("How many trips without a bell?", [2]),
    ("How many trips have at least 2 km and a bell?", [2]),
    ("Mean km by tariff, highest first", [[("day", 5.5), ("night", 2.5)]]),
    ("When were they begun?", [[("2024-05-01 07:10:00", "2024-06-03 08:00:00")]]),
]


@pytest.mark.parametrize(("question", "expected"), ANSWERED, ids=[q for q, _ in ANSWERED])
async def test_everyday_questions_are_answered(
    tmp_path: Path, question: str, expected: list[Any]
) -> None:
    assert_answered(await written(tmp_path, "trips.csv", TRIPS, question).answers(), expected)


@pytest.mark.parametrize(
    "question",
    [
        "How many trips start and end at the same station?",
        "How many trips involve Harbor?",
        "How many station changes were there?",
        "How many trips are under 500?",
    ],
)
async def test_what_cannot_be_told_apart_is_refused(tmp_path: Path, question: str) -> None:
    with pytest.raises(AgentError, match="not understood"):
        await written(tmp_path, "trips.csv", TRIPS, question).answers()


async def test_a_verb_is_not_taken_for_a_state(tmp_path: Path) -> None:
    text = "ticket,agent,status\n1,Ana,open\n2,Bob,closed\n3,Bob,closed\n"
    asked = written(tmp_path, "tickets.csv", text, "Which agent opened the most tickets?")
    assert agrees(values(await asked.answers())[0], [("Bob", 2)])


@pytest.mark.parametrize("year", ["2024", "24"])
async def test_dotted_dates_put_the_day_first(tmp_path: Path, year: str) -> None:
    text = f"day,heat\n01.05.{year} 00:15,20\n02.05.{year} 10:30,24\n03.06.{year} 00:00,30\n"
    asked = written(tmp_path, "log.csv", text, "What is the mean heat by month?")
    assert agrees(values(await asked.answers())[0], [("2024-05", 22.0), ("2024-06", 30.0)])


FIRST = (1, "2024-05-01 07:10:00", "Harbor", "Museum", "day", "open", "Y", 2.5)
LAST = (5, "2024-06-03 08:00:00", "Harbor", "Museum", "night", "closed", "Y", 1.0)
CLOSED = (4, "2024-05-03 07:45:00", "Museum", "Museum", "day", "closed", "Y", 8.0)

SHOWN: list[tuple[str, list[Any], int]] = [
    ("Show me the first 3 rows", [FIRST], 3),
    ("Show the first row", [FIRST], 1),
    ("Give me a few rows", [FIRST], 5),
    ("Can you show me a sample of 2 rows?", [FIRST], 2),
    ("Show me 2 trips", [FIRST], 2),
    ("List the last two records of the file", [CLOSED, LAST], 2),
    ("Show the last row where status is open", [], 1),
    ("First 10 rows with tariff night", [], 2),
]


@pytest.mark.parametrize(("question", "ends", "size"), SHOWN, ids=[q for q, _, _ in SHOWN])
async def test_rows_are_shown(tmp_path: Path, question: str, ends: list[Any], size: int) -> None:
    asked = written(tmp_path, "trips.csv", TRIPS, question)
    answers = await asked.answers()
    (shown,) = values(answers)
    assert len(shown) == size
    assert all(any(agrees(list(row.values()), list(end)) for row in shown) for end in ends)
    await asked.do("profile_data")
    report = await asked.do("write_data_report")
    verdict = await asked.check("write_data_report", report)
    assert verdict.passed, verdict.reason


@pytest.mark.parametrize("question", ["Show the last 2 trips", "Show the first 2 rows of gold"])
async def test_rows_that_may_be_others_are_refused(tmp_path: Path, question: str) -> None:
    with pytest.raises(AgentError, match="not understood"):
        await written(tmp_path, "trips.csv", TRIPS, question).answers()


EXAMS = """student,math,grade,passed
Ann,91,A,True
Bob,,B,False
Cid,55,B,True
Dan,40,F,False
"""

GRADED: list[tuple[str, list[Any]]] = [
    ("How many students passed?", [2]),
    ("How many students got a B?", [2]),
    ("How many students got an A?", [1]),
    ("How many students have no math score?", [1]),
    ("Who got the highest math score?", [[("Ann", 91)]]),
]


@pytest.mark.parametrize(("question", "expected"), GRADED, ids=[q for q, _ in GRADED])
async def test_marks(tmp_path: Path, question: str, expected: list[Any]) -> None:
    found = values(await written(tmp_path, "exams.csv", EXAMS, question).answers())
    assert agrees(found, expected), found


async def test_the_busiest_hour_has_most_rows(tmp_path: Path) -> None:
    asked = written(tmp_path, "trips.csv", TRIPS, "Which hour is busiest?")
    assert agrees(values(await asked.answers())[0], [(7, 3)])


@pytest.mark.parametrize(
    "question",
    ["Is anything odd in the file?", "Are there any problems with the data?", "Anything strange?"],
)
async def test_what_is_odd_is_gaps_and_duplicates(tmp_path: Path, question: str) -> None:
    missing, duplicates = values(await written(tmp_path, "exams.csv", EXAMS, question).answers())
    assert {"column": "math", "missing": 1} in missing
    assert duplicates == 0


async def test_odd_rows_are_not_counted(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="not understood"):
        await written(tmp_path, "exams.csv", EXAMS, "How many odd students are there?").answers()


HOMES = """home,city,bedrooms,unit_price,pool,sold,status,agent,seen
Oak,Oslo,2,100,yes,True,open,Ana,2024-01-05
Elm,Oslo,3,300,no,False,pending,Ana,2024-02-05
Fir,Rome,3,500,yes,True,closed,Bob,2024-03-05
Ash,Rome,2,700,yes,False,closed,Ana,2024-04-05
"""

TOLD: list[tuple[str, list[Any]]] = [
    ("How many people in Rome own a pool?", [2]),
    ("What is the mean unit_price of homes that were sold?", [300.0]),
    ("Mean unit_price by number of bedrooms", [[(2, 400.0), (3, 400.0)]]),
    ("How many open or pending homes are there?", [2]),
    ("How many homes are pending or open?", [2]),
    ("What is the max unit_price and when was it?", [[("2024-04-05", "Ash", 700)]]),
    ("Show me the sold statuses", [["closed", "open"]]),
]


@pytest.mark.parametrize(("question", "expected"), TOLD, ids=[q for q, _ in TOLD])
async def test_what_is_told_of_things_filters(
    tmp_path: Path, question: str, expected: list[Any]
) -> None:
    found = values(await written(tmp_path, "homes.csv", HOMES, question).answers())
    assert agrees(found, expected), found


@pytest.mark.parametrize(
    "question",
    [
        "How many units are in Rome?",
        "How many homes did Ana close?",
        "How many new homes are in Rome?",
        "How many people did not say whether they own a pool?",
    ],
)
async def test_what_is_not_in_the_file_is_refused(tmp_path: Path, question: str) -> None:
    with pytest.raises(AgentError, match="not understood"):
        await written(tmp_path, "homes.csv", HOMES, question).answers()


async def test_a_part_of_a_name_that_filters_is_not_counted(tmp_path: Path) -> None:
    text = "home,Year Built\nOak,1940\nElm,1949\nFir,1990\n"
    asked = written(tmp_path, "homes.csv", text, "How many were built before 1950?")
    assert values(await asked.answers()) == [2]


ORDERS = """order_time,drink,takeaway,has_coupon,payment,maker
2024-02-01 10:00,tea,Y,yes,card,Kim
2024-02-01 10:00,mocha,N,no,card,Kim
2024-02-03 11:00,tea,Y,no,cash,Lou
"""

ORDERED: list[tuple[str, list[Any]]] = [
    ("How many orders were placed?", [3]),
    ("How many takeaway orders were paid by card?", [1]),
    ("Which maker made the most orders?", [[("Kim", 2)]]),
    ("How many orders had a coupon?", [1]),
]


@pytest.mark.parametrize(("question", "expected"), ORDERED, ids=[q for q, _ in ORDERED])
async def test_rows_named_like_a_time(tmp_path: Path, question: str, expected: list[Any]) -> None:
    found = values(await written(tmp_path, "cafe_orders.csv", ORDERS, question).answers())
    assert agrees(found, expected), found


async def test_things_had_are_not_counted(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="cannot be counted"):
        await written(tmp_path, "cafe_orders.csv", ORDERS, "How many coupons are there?").answers()
