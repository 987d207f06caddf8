"""What a question says must not be lost: conditions, exclusions, ends, totals, sentinels, zones."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from analyst_support import agrees, assert_answered, values, written

from genesis.agents.data_analyst.columns import ColumnFacts, TableFacts
from genesis.agents.data_analyst.obligations import unmet
from genesis.agents.data_analyst.query import Condition, Group, Query
from infrastructure.errors import AgentError

SALES = """order_id,order_date,city,product,price,quantity,returned,is_gift,age,note
1,2021-03-01,Oslo,lamp,10.5,1,Yes,1,30,late delivery
2,2021-03-08,Oslo,desk,99.5,5,No,0,40,
3,2021-06-30,Bergen,lamp,20,3,No,0,50,fast
4,2022-01-01,Bergen,sofa,700,2,Yes,1,20,Late again
5,2022-01-02,Rome,desk,150,4,No,0,35,
6,2022-02-14,Rome,lamp,12,7,No,0,60,fast
"""

ANSWERED: list[tuple[str, list[Any]]] = [
    ("How many rows have a quantity of 3 or more?", [4]),
    ("How many rows have quantity <= 4?", [4]),
    ("How many rows have 5 or more quantity?", [2]),
    ("What is the mean quantity except for Oslo?", [4.0]),
    ("Excluding orders from Oslo, what is the mean quantity?", [4.0]),
    ("What is the mean quantity without Oslo and Rome?", [2.5]),
    ("What is the mean quantity when price is not above 50?", [11 / 3]),
    ("How many orders have a note?", [4]),
    ("How many orders don't have a note?", [2]),
    ("How many orders are missing a note?", [2]),
    ("How many notes contain 'late'?", [2]),
    ("How many notes start with fast?", [2]),
    ("How many orders were returned?", [2]),
    ("How many orders were not returned?", [4]),
    ("What is the mean quantity of gifts?", [1.5]),
    ("How many orders were placed before 30 June 2021?", [2]),
    ("How many orders were placed after January 1st, 2022?", [2]),
    ("How many orders were placed on 14.02.2022?", [1]),
    ("How many orders in the first quarter of 2022?", [3]),
    ("How many orders were placed on weekends?", [2]),
    ("How many rows have a price over 0.1k?", [2]),
    ("How many rows have a price over $90?", [3]),
    ("How many rows have a quantity above 2 and are younger than 45?", [2]),
    ("What is the oldest age?", [60]),
    ("What share of the total quantity comes from Rome?", [0.5]),
    ("When was the first order?", ["2021-03-01"]),
    ("How many rows have city equal to Rome?", [2]),
    ("What are the bottom 2 products by number of orders?", [[("sofa", 1), ("desk", 2)]]),
    ("Which product sold the most quantity?", [[("lamp", 11)]]),
    (
        "Which city has the highest and which has the lowest mean price?",
        [[("Bergen", 360.0)], [("Oslo", 55.0)]],
    ),
    ("What is the sum of all prices greater than 100?", [850.0]),
    ("Rank the cities by mean quantity", [[("Bergen", 2.5), ("Oslo", 3.0), ("Rome", 5.5)]]),
    ("What share of Oslo orders are of product lamp?", [[("desk", 0.5), ("lamp", 0.5)]]),
    ("What share of rows have city Oslo and product lamp?", [1 / 6]),
    ("How many orders are neither from Oslo nor Rome?", [2]),
]  # fmt: skip


@pytest.mark.parametrize(("question", "expected"), ANSWERED, ids=[q for q, _ in ANSWERED])
async def test_every_word_counts(tmp_path: Path, question: str, expected: list[Any]) -> None:
    assert_answered(await written(tmp_path, "sales.csv", SALES, question).answers(), expected)


@pytest.mark.parametrize(
    "question",
    [
        "Which supplier has the highest mean price?",
        "What is the mean price of the top 2 orders by quantity?",
        "How much did the mean price grow from 2021 to 2022?",
        "Which city has the highest?",
        "What is the mean price next year?",
        "How many expensive orders are there?",
        "How many orders were refunded?",
        "What is the total of price * quantity?",
        "What is the total price times quantity by city?",
        "How many rows are in Oslo but not in March?",
        "What is the mean price of bananas?",
        "How many orders have insurance?",
        "How many orders expired?",
        "How many unknown cities are there?",
        "How many orders have a price greater than the mean?",
    ],
)
async def test_what_cannot_be_answered_whole_is_refused(tmp_path: Path, question: str) -> None:
    with pytest.raises(AgentError, match="not understood"):
        await written(tmp_path, "sales.csv", SALES, question).do("answer_questions")


FILES: list[tuple[str, str, str, list[Any]]] = [
    (
        "total row",
        "city;price\nOslo;1.000,50\nRome;2,25\nParis;3,00\nTotal;1.005,75\n",
        "How many rows are there, and what is the mean price?",
        [3, 335.25],
    ),
    (
        "a city called Total",
        "city,price\nOslo,1\nRome,2\nTotal,5\n",
        "How many rows are there?",
        [3],
    ),
    (
        "9999",
        "t,kind\n1,a\n9999,b\n3,a\n9999,a\n4,b\n5,b\n",
        "What is the mean t, and how many values of t are missing?",
        [3.25, 2],
    ),
    (
        "one word for missing in all columns",
        "score,note\n1,missing\nmissing,fine\n2,Missing\n3,bad\n4,bad\n5,bad\n6,bad\n",
        "How many missing values are there in the note column?",
        [2],
    ),
    (
        "-999 among texts",
        "id,note\n1,-999\n2,fine\n3,-999\n",
        "How many missing values are there in the note column?",
        [2],
    ),
    (
        "epoch",
        "timestamp,v\n1640995200,1\n1641081600,2\n1641085200,6\n",
        "What is the mean v by day?",
        [[("2022-01-01", 1.0), ("2022-01-02", 4.0)]],
    ),
    (
        "epoch in milliseconds",
        "created,v\n1640995200000,1\n1641085200000,6\n",
        "What is the latest created?",
        ["2022-01-02 01:00:00"],
    ),
    (
        "one zone",
        "at,v\n2021-05-01T23:30:00+02:00,1\n2021-05-02T00:30:00+02:00,3\n",
        "What is the mean v by day?",
        [[("2021-05-01", 1.0), ("2021-05-02", 3.0)]],
    ),
    (
        "several zones",
        "at,v\n2021-05-01T23:30:00-02:00,1\n2021-05-02T00:30:00+00:00,3\n2021-05-02T10:00:00Z,5\n",
        "What is the mean v by day?",
        [[("2021-05-02", 3.0)]],
    ),
]


@pytest.mark.parametrize(
    ("content", "question", "expected"), [f[1:] for f in FILES], ids=[f[0] for f in FILES]
)
async def test_messy_cells_are_read_for_what_they_mean(
    tmp_path: Path, content: str, question: str, expected: list[Any]
) -> None:
    answers = await written(tmp_path, "data.csv", content, question).answers()
    found = values(answers)
    assert len(found) == len(expected)
    for value, wanted in zip(found, expected, strict=True):
        assert agrees(value, wanted), (value, wanted)


PRICES = [("Oslo", 1234.5), ("Rome", 0.25), ("Köln", 99.0), ("Oslo", 7.75), ("Köln", 5000.0)]


def _rows(separator: str, comma: bool = False, **words: str) -> str:
    def number(value: float) -> str:
        text = f"{value:,.2f}" if "$" in words.values() else f"{value:.2f}"
        text = text.translate({44: 46, 46: 44}) if comma else text
        text = words.get("sign", "") + text
        return f'"{text}"' if separator == "," and "," in text else text

    lines = [separator.join((city, number(price))) for city, price in PRICES]
    return "\n".join((separator.join(("city", "price")), *lines)) + "\n"


VARIANTS: list[bytes] = [
    _rows(",").encode(),
    _rows(";", comma=True).encode("cp1252"),
    _rows("\t").encode("utf-16"),
    _rows("|").encode("utf-8-sig"),
    _rows(",", sign="$").encode(),
    _rows(",").replace("\n", "\r\n").encode("latin-1"),
    gzip.compress(_rows(",").encode()),
    ("# made by a shop\n\n" + _rows(",")).encode(),
    _rows(",").replace("\n", ",\n").encode(),
    _rows(",").replace("city,price", ' City , "Price" ').encode(),
]


@pytest.mark.parametrize("content", VARIANTS)
async def test_one_question_of_ten_ways_to_write_a_file(tmp_path: Path, content: bytes) -> None:
    question = "How many rows are in data.csv, and which city has the highest mean price?"
    answers = await written(tmp_path, "data.csv", content, question).answers()
    rows, best = values(answers)[:2]
    assert rows == len(PRICES)
    assert agrees(best, [("Köln", 2549.5)])


FACTS = TableFacts(
    "sales.csv",
    9,
    (
        ColumnFacts("city", "text", 0, 2, ("Oslo", "Rome")),
        ColumnFacts("price", "number", 0, 9),
        ColumnFacts("sold", "date", 0, 9, first=datetime(2021, 1, 1), last=datetime(2022, 1, 1)),
    ),
)
MEAN = Query("mean", ("price",))


@pytest.mark.parametrize(
    ("request_", "queries", "lost"),
    [
        ("mean price", [MEAN], ""),
        ("mean price per city", [MEAN], "city"),
        ("median price", [MEAN], "median"),
        ("mean price except in Oslo", [MEAN], "except"),
        (
            "mean price not in Oslo",
            [Query("mean", ("price",), where=(Condition("city", "!=", ("Oslo",)),))],
            "",
        ),
        ("How many rows with a price above 5?", [Query("rows")], "price"),
        (
            "How many rows with a price above 5?",
            [Query("rows", where=(Condition("price", "<", (5.0,)),))],
            "5",
        ),
        (
            "How many rows with a price above 5?",
            [Query("rows", where=(Condition("price", ">", (5.0,)),))],
            "",
        ),
        (
            "Which city has the highest mean price?",
            [Query("mean", ("price",), (Group("city"),), order="asc", limit=1)],
            "highest",
        ),
        ("How many rows, and how many cities?", [Query("rows")], "questions"),
    ],
)
def test_the_check_notices_what_a_reading_lost(
    request_: str, queries: Sequence[Query], lost: str
) -> None:
    found = unmet(request_, queries, FACTS)
    assert bool(found) == bool(lost)
    assert lost in found
