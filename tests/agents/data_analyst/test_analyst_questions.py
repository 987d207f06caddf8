"""Questions in plain English over real files, answered as pandas answers them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, cast

import pandas as pd
import pytest
from analyst_support import agrees, values, vega
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genesis.agents.data_analyst.agreement import Statement, value_fault
from genesis.agents.data_analyst.answers import answer
from genesis.agents.data_analyst.evaluate import evaluate
from genesis.agents.data_analyst.ingest import Table, load
from genesis.agents.data_analyst.phrase import sentence, value_of
from genesis.agents.data_analyst.questions import read_questions
from genesis.agents.data_analyst.reread import Reread, reread
from genesis.agents.data_analyst.sql import fetch, readable
from genesis.agents.data_analyst.vocabulary import COMPARING, KNOWN_WORDS, REFUSED, WEEKDAYS

Frame = Any  # pandas' stubs are partly unknown under strict checking
Oracle = Callable[[Frame], object]


@cache
def frame(name: str) -> Frame:
    """The file as pandas reads it, with its dates as dates."""
    reader = cast("Any", pd)
    read = reader.read_json if name.endswith(".json") else reader.read_csv
    data = read(vega(name))
    for column in ("date", "Year", "death_date"):
        if column in data.columns:
            data[column] = reader.to_datetime(data[column])
    return data


def by_weekday(series: Frame) -> list[object]:
    """A series by number of weekday as rows with names."""
    return [(WEEKDAYS[number], value) for number, value in series.items()]


def pairs(series: Frame) -> list[object]:
    """A series' index and values as rows."""
    return [(key, value) for key, value in series.items()]


WEATHER: list[tuple[str, Oracle]] = [
    ("How many rows are in seattle-weather.csv?", lambda d: [len(d)]),
    ("number of records", lambda d: [len(d)]),
    ("How many rows and columns are there?", lambda d: [len(d), list(d.columns)]),
    ("What columns does it have?", lambda d: [list(d.columns)]),
    ("List the columns", lambda d: [list(d.columns)]),
    ("Are there duplicate rows?", lambda d: [int(d.duplicated().sum())]),
    ("What is the mean precipitation?", lambda d: [d.precipitation.mean()]),
    ("what's the average temp max", lambda d: [d.temp_max.mean()]),
    ("Average Temp_Max?", lambda d: [d.temp_max.mean()]),
    ("median of wind", lambda d: [d.wind.median()]),
    ("What is the highest temp_max?", lambda d: [d.temp_max.max()]),
    ("minimum tempMin", lambda d: [d.temp_min.min()]),
    ("Give me the total precipitation.", lambda d: [d.precipitation.sum()]),
    ("sum of precipitation where weather is rain",
     lambda d: [d[d.weather == "rain"].precipitation.sum()]),
    ("standard deviation of wind", lambda d: [d.wind.std()]),
    ("variance of the wind column", lambda d: [d.wind.var()]),
    ("mean and median of wind", lambda d: [d.wind.mean(), d.wind.median()]),
    ("min, max and mean of wind", lambda d: [d.wind.min(), d.wind.max(), d.wind.mean()]),
    ("mean of wind and precipitation", lambda d: [d.wind.mean(), d.precipitation.mean()]),
    ("How many rows are in the file, and which weather has the highest mean temp_max?",
     lambda d: [len(d), pairs(d.groupby("weather").temp_max.mean().nlargest(1))]),
    ("Which weather has the lowest average wind?",
     lambda d: [pairs(d.groupby("weather").wind.mean().nsmallest(1))]),
    ("what weather type is most common", lambda d: [pairs(d.weather.value_counts().head(1))]),
    ("How many rows per weather?", lambda d: [pairs(d.groupby("weather").size())]),
    ("counts by weather", lambda d: [pairs(d.groupby("weather").size())]),
    ("How many different weather values are there?", lambda d: [d.weather.nunique()]),
    ("What are the unique values of weather?", lambda d: [sorted(d.weather.unique())]),
    ("top 3 weather by total precipitation",
     lambda d: [pairs(d.groupby("weather").precipitation.sum().nlargest(3))]),
    ("average wind per weather", lambda d: [pairs(d.groupby("weather").wind.mean())]),
    ("mean wind in 2013", lambda d: [d[d.date.dt.year == 2013].wind.mean()]),
    ("How many rows have precipitation over 20?", lambda d: [int((d.precipitation > 20).sum())]),
    ("how many days with wind at least 8", lambda d: [int((d.wind >= 8).sum())]),
    ("rows where temp_max is between 10 and 15",
     lambda d: [int(d.temp_max.between(10, 15).sum())]),
    ("mean wind where weather is not rain", lambda d: [d[d.weather != "rain"].wind.mean()]),
    ("How many rows where weather is fog or snow?",
     lambda d: [int(d.weather.isin(["fog", "snow"]).sum())]),
    ("how many rows after 2015-06-30", lambda d: [int((d.date > "2015-06-30").sum())]),
    ("total precipitation between 2014-01-01 and 2014-03-31",
     lambda d: [d[d.date.between("2014-01-01", "2014-03-31")].precipitation.sum()]),
    ("in which year was the mean temp_max highest?",
     lambda d: [pairs(d.groupby(d.date.dt.year).temp_max.mean().nlargest(1))]),
    ("total precipitation by year",
     lambda d: [pairs(d.groupby(d.date.dt.year).precipitation.sum())]),
    ("monthly mean temp_max",
     lambda d: [pairs(d.groupby(d.date.dt.strftime("%Y-%m")).temp_max.mean())]),
    ("mean wind by weekday and the maximum wind", lambda d: [
        by_weekday(d.groupby(d.date.dt.day_of_week).wind.mean()),
        d.wind.max()]),
    ("correlation between temp_max and temp_min", lambda d: [d.temp_max.corr(d.temp_min)]),
    ("share of rows where weather is snow", lambda d: [float((d.weather == "snow").mean())]),
    ("what percentage of days had rain?", lambda d: [float((d.weather == "rain").mean())]),
    ("What is the earliest date?", lambda d: [str(d.date.min().date())]),
    ("What period does the data cover?",
     lambda d: [[(str(d.date.min().date()), str(d.date.max().date()))]]),
    ("ratio of temp_max to temp_min", lambda d: [[(
        d.temp_max.sum() / d.temp_min.sum(),
        (d.temp_max / d.temp_min.where(d.temp_min != 0)).mean())]]),
    ("mean wind before 2013 and mean wind since June 2015",
     lambda d: [d[d.date < "2013"].wind.mean(), d[d.date >= "2015-06-01"].wind.mean()]),
    ("total precipitation in Q1", lambda d: [d[d.date.dt.quarter == 1].precipitation.sum()]),
    ("Mean wind grouped by weather, sorted descending",
     lambda d: [pairs(d.groupby("weather").wind.mean().sort_values(ascending=False))]),
    ("Find the weather with the highest average wind",
     lambda d: [pairs(d.groupby("weather").wind.mean().nlargest(1))]),
    ("mean wind for sun and for rain", lambda d: [
        d[d.weather.isin(["sun", "rain"])].wind.mean(),
        pairs(d[d.weather.isin(["sun", "rain"])].groupby("weather").wind.mean())]),
    ("share of precipitation by weather", lambda d: [pairs(
        (d.groupby("weather").precipitation.sum() / d.precipitation.sum())
        .sort_values(ascending=False))]),
    ("Which day had the highest precipitation?",
     lambda d: [[(str(d.loc[d.precipitation.idxmax()].date.date()), d.precipitation.max())]]),
]  # fmt: skip
CARS: list[tuple[str, Oracle]] = [
    ("average horsepower by origin", lambda d: [pairs(d.groupby("Origin").Horsepower.mean())]),
    ("How many cars have more than 4 cylinders?", lambda d: [int((d.Cylinders > 4).sum())]),
    ("how many cars from Japan have 4 cylinders?",
     lambda d: [int(((d.Origin == "Japan") & (d.Cylinders == 4)).sum())]),
    ("mean miles per gallon for USA", lambda d: [d[d.Origin == "USA"].Miles_per_Gallon.mean()]),
    ("How many missing values are in Horsepower?", lambda d: [int(d.Horsepower.isna().sum())]),
    ("missing values per column", lambda d: [pairs(d.isna().sum())]),
    ("How many missing values are there in total?", lambda d: [int(d.isna().sum().sum())]),
    ("Which column has the most missing values?",
     lambda d: [pairs(d.isna().sum().nlargest(1))]),
    ("how many duplicates in Name?", lambda d: [int(d.Name.duplicated().sum())]),
    ("What's the median acceleration of European cars?",
     lambda d: [d[d.Origin == "Europe"].Acceleration.median()]),
    ("number of distinct names", lambda d: [d.Name.nunique()]),
    ("which origin has the most cars?", lambda d: [pairs(d.Origin.value_counts().head(1))]),
    ("max weight in lbs per cylinders",
     lambda d: [pairs(d.groupby("Cylinders").Weight_in_lbs.max())]),
    ("mean Weight_in_lbs for rows with Horsepower over 150 and Origin USA",
     lambda d: [d[(d.Horsepower > 150) & (d.Origin == "USA")].Weight_in_lbs.mean()]),
    ("How many rows where horsepower is missing?", lambda d: [int(d.Horsepower.isna().sum())]),
    ("share of each origin",
     lambda d: [pairs((d.Origin.value_counts() / len(d)).sort_values(ascending=False))]),
]  # fmt: skip
OTHERS: list[tuple[str, str, Oracle]] = [
    ("airports.csv", "Which airport has the highest latitude?",
     lambda d: [[("Wiley Post Will Rogers Memorial", "BRW", d.latitude.max())]]),
    ("airports.csv", "how many airports are in TX?", lambda d: [int((d.state == "TX").sum())]),
    ("airports.csv", "How many airports are there?", lambda d: [len(d)]),
    ("airports.csv", "which state has the most airports?",
     lambda d: [pairs(d.state.value_counts().head(1))]),
    ("airports.csv", "top 4 states by number of airports",
     lambda d: [pairs(d.state.value_counts().head(4))]),
    ("airports.csv", "How many cities are there?", lambda d: [d.city.nunique()]),
    ("stocks.csv", "Which symbol has the highest average price?",
     lambda d: [pairs(d.groupby("symbol").price.mean().nlargest(1))]),
    ("stocks.csv", "What was the highest price of AAPL in 2009?",
     lambda d: [d[(d.symbol == "AAPL") & (d.date.dt.year == 2009)].price.max()]),
    ("stocks.csv", "mean price by symbol and year",
     lambda d: [[(*k, v) for k, v in d.groupby(["symbol", d.date.dt.year]).price.mean().items()]]),
    ("stocks.csv", "How many rows are before 2001-01-01?",
     lambda d: [int((d.date < "2001-01-01").sum())]),
    ("stocks.csv", "number of rows in March", lambda d: [int((d.date.dt.month == 3).sum())]),
    ("sf-temps.csv", "mean temp by hour", lambda d: [pairs(d.groupby(d.date.dt.hour).temp.mean())]),
    ("sf-temps.csv", "at what hour of the day is the mean temp lowest?",
     lambda d: [pairs(d.groupby(d.date.dt.hour).temp.mean().nsmallest(1))]),
    ("sf-temps.csv", "average temp by month",
     lambda d: [pairs(d.groupby(d.date.dt.strftime("%Y-%m")).temp.mean())]),
    ("barley.json", "which site has the highest total yield?",
     lambda d: [pairs(d.groupby("site")["yield"].sum().nlargest(1))]),
    ("barley.json", "mean yield by year", lambda d: [pairs(d.groupby("year")["yield"].mean())]),
    ("barley.json", "average yield in 1931", lambda d: [d[d.year == 1931]["yield"].mean()]),
    ("iris.json", "mean sepal length by species",
     lambda d: [pairs(d.groupby("species").sepalLength.mean())]),
    ("iris.json", "Which species has the smallest mean petalWidth?",
     lambda d: [pairs(d.groupby("species").petalWidth.mean().nsmallest(1))]),
    ("la-riots.csv", "average age by gender", lambda d: [pairs(d.groupby("gender").age.mean())]),
    ("la-riots.csv", "how many people died of type Homicide?",
     lambda d: [int((d.type == "Homicide").sum())]),
    ("la-riots.csv", "How many rows per race?", lambda d: [pairs(d.groupby("race").size())]),
    ("iowa-electricity.csv", "which source has the highest total net generation?",
     lambda d: [pairs(d.groupby("source").net_generation.sum().nlargest(1))]),
]  # fmt: skip
CASES = [
    *(("seattle-weather.csv", question, oracle) for question, oracle in WEATHER),
    *(("cars.json", question, oracle) for question, oracle in CARS),
    *OTHERS,
]


@pytest.fixture(scope="module")
def tables() -> Iterator[Callable[[str], tuple[Table, Reread]]]:
    """Each file read once by either path."""
    held: dict[str, tuple[Table, Reread]] = {}

    def get(name: str) -> tuple[Table, Reread]:
        if name not in held:
            held[name] = (load(vega(name)), reread(vega(name)))
        return held[name]

    yield get
    for table, _ in held.values():
        table.close()


@pytest.mark.parametrize(("file", "question", "oracle"), CASES, ids=[case[1] for case in CASES])
def test_answers_as_pandas_does(
    tables: Callable[[str], tuple[Table, Reread]], file: str, question: str, oracle: Oracle
) -> None:
    table, again = tables(file)
    answers = answer(question, table)
    found, expected = values(answers), cast("list[object]", oracle(frame(file)))
    assert answers["not_understood"] == []
    assert len(found) == len(expected), found
    for value, wanted in zip(found, expected, strict=True):
        assert agrees(value, wanted), (value, wanted)
    asked, _ = read_questions(question, again.facts)
    for item, value in zip(asked, found, strict=True):
        assert value_fault(item.query, evaluate(item.query, again), value) == ""


WORDS = sorted(KNOWN_WORDS | COMPARING | REFUSED)
PIECES = [*WORDS, "20", "2012", "2012-02-01", "2015-02-31", ",", "?", "and", "by", "'x'", "foo"]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
@pytest.mark.parametrize("file", ["cars.json", "la-riots.csv", "seattle-weather.csv"])
def test_both_paths_agree_on_whatever_is_understood(
    tables: Callable[[str], tuple[Table, Reread]], file: str, data: st.DataObject
) -> None:
    table, again = tables(file)
    names = [column.name for column in table.facts.columns]
    texts = [value for column in table.facts.columns for value in column.values[:10]]
    piece = (
        st.sampled_from(names)
        | st.sampled_from(PIECES)
        | st.sampled_from(texts)
        | st.text(max_size=3)
    )
    question = " ".join(data.draw(st.lists(piece, min_size=1, max_size=8)))
    assert table.facts == again.facts
    for item in read_questions(question, table.facts)[0]:
        rows, expected = fetch(item.query, table), evaluate(item.query, again)
        assert value_fault(item.query, expected, value_of(item.query, rows)) == ""
        assert Statement(sentence(item.query, rows)).lacks(expected) == ""
        shown = table.fetch(readable(item.query, names))
        assert len(shown) == len(rows)
