"""Messy files give the figures that pandas gives once it is told how each is written."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import duckdb
import pandas as pd
import pytest
from analyst_support import agrees, values, written

from genesis.agents.data_analyst.ingest import load
from infrastructure.errors import AgentError, InputError

read_csv = cast("Callable[..., Any]", pd.read_csv)
SALES = [("Paris", 12.5, "2024-01-03"), ("Oslo", 8.25, "2024-01-20"), ("Paris", 3.0, "2024-02-07"),
         ("São Paulo", 1200.75, "2024-03-01")]  # fmt: skip


def table(separator: str, decimal: str = ".") -> str:
    lines = [separator.join(("city", "price", "day"))]
    lines += [f"{separator}".join((c, str(p).replace(".", decimal), d)) for c, p, d in SALES]
    return "\n".join(lines) + "\n"


FORMS: dict[str, tuple[str, bytes]] = {
    "utf-8": ("a.csv", table(",").encode()),
    "bom": ("a.csv", table(",").encode("utf-8-sig")),
    "utf-16": ("a.csv", table(",").encode("utf-16")),
    "utf-16 without mark": ("a.csv", table(",").encode("utf-16-le")),
    "cp1252": ("a.csv", table(",").encode("cp1252")),
    "tabs": ("a.tsv", table("\t").encode()),
    "tabs in csv": ("a.csv", table("\t").encode()),
    "semicolons": ("a.csv", table(";").encode()),
    "pipes": ("a.txt", table("|").encode()),
    "decimal commas": ("a.csv", table(";", ",").encode("latin-1")),
    "crlf": ("a.csv", table(",").replace("\n", "\r\n").encode()),
    "carriage returns": ("a.csv", table(",").replace("\n", "\r").encode()),
    "blank lines": ("a.csv", table(",").replace("\n", "\n\n").encode()),
    "gzip": ("a.csv.gz", gzip.compress(table(",").encode())),
    "preamble": ("a.csv", ("Sales of the year\n\n" + table(",")).encode()),
    "trailing delimiters": ("a.csv", table(",").replace("\n", ",\n").encode()),
    "currency": ("a.csv", table(",").replace(",12.5,", ",$12.50,").replace(
        "1200.75", '"$1,200.75"').encode()),
    "records": ("a.json", json.dumps([
        {"city": c, "price": p, "day": d} for c, p, d in SALES]).encode()),
    "json lines": ("a.jsonl", "\n".join(
        json.dumps({"city": c, "price": p, "day": d}) for c, p, d in SALES).encode()),
    "one list inside": ("a.json", json.dumps({"ok": True, "rows": [
        {"city": c, "price": p, "day": d} for c, p, d in SALES]}).encode()),
    "columns": ("a.json", json.dumps({
        name: [row[i] for row in SALES] for i, name in enumerate(("city", "price", "day"))
    }).encode()),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
async def test_the_same_table_in_every_form(tmp_path: Path, form: str) -> None:
    name, content = FORMS[form]
    question = "How many rows, which city has the highest total price, and the mean price by month?"
    answers = await written(tmp_path, name, content, question).answers()
    rows, best, months = values(answers)
    assert rows == 4
    assert agrees(best, [("São Paulo", 1200.75)])
    assert agrees(months, [("2024-01", 10.375), ("2024-02", 3.0), ("2024-03", 1200.75)])


async def figures(
    folder: Path, content: str | bytes, question: str, name: str = "d.csv"
) -> list[Any]:
    return values(await written(folder, name, content, question).answers())


async def test_thousands_and_decimal_commas(tmp_path: Path) -> None:
    text = "a;b;n\n1.234,5;12,5;1.000\n2.000,25;3,5;2.500\n"
    oracle = read_csv_text(tmp_path, text, sep=";", decimal=",", thousands=".")
    found = await figures(tmp_path, text, "mean a, mean b, mean n")
    assert agrees(found, [oracle.a.mean(), oracle.b.mean(), oracle.n.mean()])
    text = "a;b\n1\u00a0234,5;1\n2\u202f000,0;2\n"
    assert agrees(await figures(tmp_path, text, "total a"), [3234.5])
    text = 'a,b\n"1,234",2\n"12,345,678",3\n900,4\n'
    oracle = read_csv_text(tmp_path, text, thousands=",")
    assert agrees(await figures(tmp_path, text, "total a"), [float(oracle.a.sum())])


def read_csv_text(folder: Path, text: str, **options: object) -> Any:
    path = folder / "oracle.csv"
    path.write_text(text)
    return read_csv(path, **options)


async def test_missing_values_are_those_of_pandas(tmp_path: Path) -> None:
    text = "city,price\nParis,1\n,2\nNA,NA\nn/a,\nnull,nan\nNone,N/A\nOslo,5\n"
    oracle = read_csv_text(tmp_path, text)
    found = await figures(tmp_path, text, "missing values per column and the mean price")
    assert agrees(found[0], [(k, int(v)) for k, v in oracle.isna().sum().items()])
    assert agrees(found[1], oracle.price.mean())


async def test_sentinels_count_as_missing_and_are_noted(tmp_path: Path) -> None:
    text = "city,price,depth\nA,1.5,3\nB,-,-999\nC,?,4\nD,unknown,6\nE,2.5,-999\n"
    options = {"na_values": ["-", "?", "unknown", -999]}
    oracle = read_csv_text(tmp_path, text, **options)
    answers = await written(
        tmp_path, "d.csv", text, "mean price, mean depth, missing values per column"
    ).answers()
    price, depth, missing = values(answers)
    assert agrees([price, depth], [oracle.price.mean(), oracle.depth.mean()])
    assert agrees(missing, [(k, int(v)) for k, v in oracle.isna().sum().items()])
    assert any("-999" in note for note in cast("list[str]", answers["notes"]))


async def test_a_negative_number_among_others_is_no_sentinel(tmp_path: Path) -> None:
    assert agrees(await figures(tmp_path, "x\n-999\n-1200\n300\n5\n", "mean x"), [-473.5])


async def test_ragged_rows_are_read_as_pandas_reads_them(tmp_path: Path) -> None:
    text = "a,b,c\n1,2,3\n4,5\n6,7,8,9\n10,11,12\n"
    oracle = read_csv_text(tmp_path, text, on_bad_lines="skip")
    answers = await written(
        tmp_path, "d.csv", text, "How many rows? missing values in c? sum of a"
    ).answers()
    assert agrees(values(answers), [len(oracle), int(oracle.c.isna().sum()), int(oracle.a.sum())])
    notes = " ".join(cast("list[str]", answers["notes"]))
    assert "1 ragged row padded" in notes
    assert "left out" in notes


async def test_quotes_delimiters_and_line_breaks_inside_cells(tmp_path: Path) -> None:
    text = 'name,note,n\n"Smith, J","said ""hi""\non two lines",1\nLee,plain,2\n"Kay","",3\n'
    oracle = read_csv_text(tmp_path, text)
    found = await figures(
        tmp_path, text, "how many rows? missing values in note? sum of n where name is 'Smith, J'"
    )
    assert agrees(found, [len(oracle), int(oracle.note.isna().sum()), 1])


DATES = {
    "day first": (["31/01/2024", "05/02/2024", "07/02/2024"], ["2024-01", "2024-02"]),
    "month first": (["01/31/2024", "02/05/2024", "02/07/2024"], ["2024-01", "2024-02"]),
    "mixed": (["2024-01-31", "Feb 5, 2024", "07 February 2024"], ["2024-01", "2024-02"]),
    "dots": (["31.01.2024", "05.02.2024 10:30", "07.02.2024 23:59:59"], ["2024-01", "2024-02"]),
    "named": (["31-Jan-2024", "5-Feb-2024", "7-Feb-2024"], ["2024-01", "2024-02"]),
    "iso": (["2024-01-31T08:00:00Z", "2024-02-05T09:00:00", "2024-02-07 10:00"],
            ["2024-01", "2024-02"]),
    "short years": (["31/01/24", "05/02/24", "07/02/24"], ["2024-01", "2024-02"]),
    "twelve hours": (["1/31/2024 9:05 AM", "2/5/2024 12:30 PM", "2/7/2024 1:00 pm"],
                     ["2024-01", "2024-02"]),
}  # fmt: skip


@pytest.mark.parametrize("form", DATES)
async def test_dates(tmp_path: Path, form: str) -> None:
    cells, months = DATES[form]
    text = "when;n\n" + "".join(f'"{cell}";{i + 1}\n' for i, cell in enumerate(cells))
    assert agrees(
        await figures(tmp_path, text, "total n by month"), [list(zip(months, [1, 5], strict=True))]
    )


async def test_names_that_are_repeated_empty_or_hostile(tmp_path: Path) -> None:
    columns = [
        'price "net"',
        '"; DROP TABLE data; --',
        "select",
        "größe in cm",
        "a.b",
        "",
        "x",
        "x",
    ]
    header = ",".join('"' + name.replace('"', '""') + '"' for name in columns)
    text = header + "\n" + "\n".join(",".join(str(i * k) for k in range(1, 9)) for i in (1, 2, 4))
    oracle = read_csv_text(tmp_path, text)
    question = (
        'mean of price "net"? mean of "; DROP TABLE data; --? mean of select? mean größe in cm? '
        "mean a.b? mean of x.1? mean of 'Unnamed: 5'? how many rows?"
    )
    room = written(tmp_path, "d.csv", text, question.replace('"; DROP TABLE data; --', "'unknown'"))
    answers = await room.answers()
    expected = [
        oracle[n].mean()
        for n in ('price "net"', "select", "größe in cm", "a.b", "x.1", "Unnamed: 5")
    ]
    assert agrees(values(answers), [*expected, 3])
    with_drop = await figures(tmp_path, text, 'mean of `"; DROP TABLE data; --` by select')
    assert agrees(with_drop, [[(3, 2.0), (6, 4.0), (12, 8.0)]])


async def test_hostile_values_are_only_values(tmp_path: Path) -> None:
    text = "name,n\n\"x' OR '1'='1\",1\n\"'; DROP TABLE data; --\",2\nBobby,4\n"
    found = await figures(tmp_path, text, "sum of n where name is \"x' OR '1'='1\"")
    assert found == [1]
    found = await figures(tmp_path, text, 'sum of n where name is "\'; DROP TABLE data; --"')
    assert found == [2]


async def test_nested_json(tmp_path: Path) -> None:
    rows = [{"id": 1, "user": {"name": "Ann", "address": {"city": "Oslo"}}, "score": 3},
            {"id": 2, "user": {"name": "Bob", "address": {"city": "Rome"}}, "score": None},
            {"id": 3, "user": {"name": "Cy"}, "score": 5.5}]  # fmt: skip
    found = await figures(
        tmp_path,
        json.dumps(rows),
        "mean score? missing values in user.address.city? who has the highest score?",
        "n.json",
    )
    assert agrees(found, [4.25, 1, [("Cy", 5.5)]])


async def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    with duckdb.connect(":memory:") as connection:
        connection.execute(
            "COPY (SELECT 'c' || (i % 3) AS city, i * 1.5 AS price, "
            "DATE '2024-01-30' + i::INT AS day, {'a': i} AS s FROM range(6) t(i)) "
            f"TO '{path}' (FORMAT parquet)"
        )
    question = "how many rows? mean price by city? mean s.a? total price by month"
    found = await figures(tmp_path, path.read_bytes(), question, "p.parquet")
    expected = [
        6,
        [("c0", 2.25), ("c1", 3.75), ("c2", 5.25)],
        2.5,
        [("2024-01", 1.5), ("2024-02", 21.0)],
    ]
    assert agrees(found, expected)


async def test_a_header_alone_has_no_rows(tmp_path: Path) -> None:
    assert await figures(tmp_path, "a,b\n", "How many rows and columns?") == [0, ["a", "b"]]


async def test_a_file_without_a_header(tmp_path: Path) -> None:
    assert agrees(await figures(tmp_path, "Oslo,1.5\nRome,2.5\nOslo,3.5\n", "mean column_2"), [2.5])


BAD: dict[str, tuple[str, bytes, str]] = {
    "empty": ("d.csv", b"", "is empty"),
    "blank": ("d.csv", b" \n\n", "is empty"),
    "binary": ("d.csv", bytes(range(256)) * 20, "binary"),
    "zip": ("d.csv", b"PK\x03\x04" + bytes(100), "Excel"),
    "image": ("d.csv", b"\x89PNG\r\n" + bytes(100), "PNG"),
    "json": ("d.json", b'[{"a": 1}, {"a": ', "not valid JSON"),
    "scalar": ("d.json", b"3", "not a list"),
    "parquet": ("d.parquet", b"PAR1" + bytes(100) + b"PAR1", "Parquet"),
    "gzip": ("d.csv.gz", gzip.compress(b"a,b\n1,2\n" * 99)[:20], "cannot be read"),
}


@pytest.mark.parametrize("kind", BAD)
async def test_bad_files_are_refused_with_their_cause(tmp_path: Path, kind: str) -> None:
    name, content, cause = BAD[kind]
    with pytest.raises(InputError, match=f"^{name}.*{cause}"):
        await written(tmp_path, name, content, "How many rows?").do("answer_questions")


async def test_a_file_outside_or_missing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("a\n1\n")
    inner = tmp_path / "inner"
    inner.mkdir()
    room = written(inner, "d.csv", "a\n1\n", "How many rows?")
    (inner / "link.csv").symlink_to(tmp_path / "out.csv")
    for path, cause in ((tmp_path / "out.csv", "outside"), (inner / "link.csv", "outside"),
                        (inner / "no.csv", "does not exist"), (inner, "folder")):  # fmt: skip
        room.inputs["dataset"] = str(path)
        with pytest.raises(InputError, match=cause):
            await room.do("answer_questions")


async def test_the_database_reaches_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("a\n1\n")
    opened = load(tmp_path / "d.csv")
    try:
        for sql in (f"SELECT * FROM '{tmp_path}/d.csv'", "SET enable_external_access = true"):
            with pytest.raises(duckdb.Error):
                opened.fetch(sql)
    finally:
        opened.close()


async def test_questions_that_cannot_be_answered_say_why(tmp_path: Path) -> None:
    text = "city,price\nParis,1\nOslo,3\n"
    with pytest.raises(AgentError, match=r"'prise'.*did you mean 'price'.*Columns: city, price"):
        await written(tmp_path, "d.csv", text, "What is the mean prise?").do("answer_questions")
    answers = await written(
        tmp_path, "d.csv", text, "How many rows? mean price in Atlantis?"
    ).answers()
    assert values(answers) == [2]
    assert "Atlantis" in str(answers["not_understood"])
    for question in (
        "predict the price",
        "total city",
        "mean",
        "price growth",
        "mean price by planet",
    ):
        with pytest.raises(AgentError, match="not understood"):
            await written(tmp_path, "d.csv", text, question).do("answer_questions")


async def test_an_ambiguous_word_is_answered_for_each_meaning(tmp_path: Path) -> None:
    text = "temp_max,temp_min\n3,1\n5,2\n"
    answers = await written(tmp_path, "d.csv", text, "mean temp").answers()
    assert values(answers) == [4.0, 1.5]
    assert "may mean" in str(answers["answers"])
