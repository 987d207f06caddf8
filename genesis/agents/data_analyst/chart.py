"""One PNG that shows an answer: a line for a trend, bars for groups, a histogram otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from genesis.agents.data_analyst.columns import TableFacts
from genesis.agents.data_analyst.ingest import Table, quoted
from genesis.agents.data_analyst.questions import main_numbers
from infrastructure.jsonvalue import JsonObject, JsonValue

MAX_BARS = 30
_KEPT = frozenset(("year", "quarter", "month", "week", "day", "hour of day"))


@dataclass(frozen=True, slots=True)
class Picture:
    """What is drawn: "line", "bar" or "histogram", with its title, axis names and numbers."""

    kind: str
    title: str
    x_name: str
    y_name: str
    labels: tuple[str, ...]
    heights: tuple[float, ...]


def choose(answers: JsonObject, table: Table) -> Picture:
    """The picture that suits the answers; the main number column's histogram if none does."""
    listed = answers.get("answers")
    pictures = [
        picture
        for item in (listed if isinstance(listed, list) else [])
        if isinstance(item, dict) and (picture := _of_answer(item))
    ]
    best = max(pictures, key=lambda p: (p.kind == "line", len(p.labels)), default=None)
    return best or _of_table(table)


def _of_answer(item: Mapping[str, JsonValue]) -> Picture | None:
    rows, query = item.get("value"), item.get("query")
    if not isinstance(rows, list) or len(rows) < 2 or not isinstance(query, dict):
        return None
    groups = query["groups"]
    if not isinstance(groups, list) or len(groups) != 1 or not isinstance(rows[0], dict):
        return None
    heads = list(rows[0])
    y_name = heads[2] if query["metric"] == "trend" else heads[1]
    pairs = [
        (str(row[heads[0]]), float(height))
        for row in rows
        if isinstance(row, dict) and isinstance(height := row[y_name], int | float)
    ]
    group = groups[0]
    grain = group["grain"] if isinstance(group, dict) else ""
    timed = grain in _KEPT and not query["order"]
    if not timed and len(pairs) > MAX_BARS:
        pairs = sorted(pairs, key=lambda pair: -pair[1])[:MAX_BARS]
    labels, heights = tuple(p[0] for p in pairs), tuple(p[1] for p in pairs)
    kind = "line" if timed else "bar"
    return Picture(kind, f"{y_name} by {heads[0]}", heads[0], y_name, labels, heights)


def _of_table(table: Table) -> Picture:
    facts: TableFacts = table.facts
    numbers = main_numbers(facts)
    if numbers:
        name = numbers[0]
        column = quoted(name)
        cells = table.fetch(f"SELECT {column} FROM data WHERE {column} IS NOT NULL")  # noqa: S608 - a quoted identifier
        heights = tuple(float(row[0]) for row in cells)
        return Picture("histogram", f"Distribution of {name}", name, "rows", (), heights)
    missing = tuple(float(column.missing) for column in facts.columns)
    names = tuple(column.name for column in facts.columns)
    return Picture("bar", "Missing values by column", "column", "missing", names, missing)


def draw(picture: Picture, path: Path) -> None:
    """Write a picture as PNG. No display is needed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = cast("Any", figure.add_subplot())  # matplotlib's plotting methods are partly untyped
    places = range(len(picture.labels))
    match picture.kind:
        case "line":
            axes.plot(places, picture.heights, marker="o", markersize=3)
        case "bar":
            axes.bar(places, picture.heights)
        case _:
            axes.hist(picture.heights, bins=30)
    if picture.labels:
        step = max(1, len(picture.labels) // 15)
        axes.set_xticks(places[::step], [_short(text) for text in picture.labels[::step]])
        axes.tick_params(axis="x", rotation=45)
    # A dollar sign would start a formula, which file contents must not.
    axes.set_title(_plain(picture.title))
    axes.set_xlabel(_plain(picture.x_name))
    axes.set_ylabel(_plain(picture.y_name))
    cast("Any", figure).savefig(path, format="png", dpi=100)


def _short(text: str) -> str:
    return _plain(text if len(text) <= 24 else text[:23] + "…")


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text).replace("$", r"\$")
