"""The Markdown report: source, profile, answers with their SQL, repairs, chart."""

from __future__ import annotations

from collections.abc import Mapping

from genesis.agents.data_analyst.phrase import number
from genesis.agents.data_analyst.profile import size_of
from infrastructure.jsonvalue import JsonObject, JsonValue

MAX_TABLE_ROWS = 60
_FIGURES = ("min", "mean", "median", "max")


def markdown(profile: JsonObject, answers: JsonObject, chart: str) -> str:
    """A report of a profile and answers; `chart` is the file name of the picture beside it."""
    parts = [
        f"# {_text(profile['file'])}",
        f"Source: `{profile['file']}`, SHA-256 `{profile['sha256']}`.",
        f"{size_of(profile)}.",
        f"![Chart]({chart})",
        "## Answers",
        *(_answer(item) for item in _list(answers["answers"])),
        *_unanswered(_list(answers["not_understood"])),
        "## Columns",
        _columns(_list(profile["columns"])),
        "## How the file was read",
        "\n".join(f"- {_text(note)}" for note in _notes(profile)) or "As it is; no repairs.",
    ]
    return "\n\n".join(parts) + "\n"


def _notes(profile: JsonObject) -> list[str]:
    notes = profile.get("notes")
    return [str(note) for note in notes] if isinstance(notes, list) else []


def _list(value: JsonValue) -> list[Mapping[str, JsonValue]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _text(value: object) -> str:
    """Text of the file as plain text: no table cell, markup or line of its own."""
    escaped = str(value).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return " ".join(escaped.split())


def _answer(item: Mapping[str, JsonValue]) -> str:
    question = f"### {_text(item['question'])}"
    sql = str(item.get("sql", ""))
    fence = "`" * max(3, 1 + max((len(run) for run in _runs(sql)), default=0))
    shown = f"{fence}sql\n{sql}\n{fence}"
    return "\n\n".join(
        part for part in (question, _text(item["answer"]), _table(item), shown) if part
    )


def _runs(text: str) -> list[str]:
    return [run for run in "".join(c if c == "`" else " " for c in text).split() if run]


def _table(item: Mapping[str, JsonValue]) -> str:
    rows = _list(item["value"])
    if len(rows) < 2:
        return ""
    heads = list(rows[0])
    lines = [_row(heads), _row(["---"] * len(heads))]
    lines += [_row([number(row.get(head)) for head in heads]) for row in rows[:MAX_TABLE_ROWS]]
    text = "\n".join(lines)
    left = len(rows) - MAX_TABLE_ROWS
    return f"{text}\n\n{left} more rows are not shown." if left > 0 else text


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell if cell == "---" else _text(cell) for cell in cells) + " |"


def _unanswered(items: list[Mapping[str, JsonValue]]) -> list[str]:
    if not items:
        return []
    lines = [f"- {_text(item['question'])}: {_text(item['reason'])}" for item in items]
    return ["## Not understood", "\n".join(lines)]


def _columns(columns: list[Mapping[str, JsonValue]]) -> str:
    heads = ["column", "kind", "missing", "distinct", *_FIGURES, "most common or range"]
    lines = [_row(heads), _row(["---"] * len(heads))]
    for column in columns:
        basic = [number(column[key]) for key in ("name", "kind", "missing", "distinct")]
        figures = [number(column[key]) if key in column else "" for key in _FIGURES]
        lines.append(_row([*basic, *figures, _range(column)]))
    return "\n".join(lines)


def _range(column: Mapping[str, JsonValue]) -> str:
    if "first" in column:
        return f"{column['first']} to {column['last']}"
    top = _list(column.get("top"))
    return ", ".join(f"{item['value']} ({item['count']})" for item in top)
