"""Full text over items: what of a value is indexed, and how well items match a query's words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from infrastructure.jsonvalue import JsonValue
from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.filter_sql import Sql

_WORD: Final = re.compile(r"\w+")
_MAX_QUERY_WORDS: Final = 64

# Function words of English: in a question they match everything and say nothing.
_STOPWORDS: Final = frozenset(
    _WORD.findall("""
    a about after again all also am an and any are as at be because been before being between
    both but by can could did do does doing down during each few for from further had has have
    having he her here hers herself him himself his how i if in into is it its itself just me
    more most my myself no nor not now of off on once only or other our ours ourselves out over
    own same she should so some such than that the their theirs them themselves then there these
    they this those through to too under until up very was we were what when where which while
    who whom why will with would you your yours yourself yourselves s t d ll m re ve
""")
)


def leaves(value: JsonValue) -> Iterator[str]:
    """The texts and numbers within a value; its keys say what they are, not what they say."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for child in value.values():
            yield from leaves(child)
    elif isinstance(value, list):
        for child in value:
            yield from leaves(child)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def add(tx: Tx, item: int, texts: Sequence[str]) -> None:
    """Index the texts under an item that has none yet."""
    tx.execute("INSERT INTO item_texts (rowid, text) VALUES (?, ?)", (item, "\n".join(texts)))


def match_expression(query: str) -> str | None:
    """FTS5's expression for any of the query's words, stop words left out; None without words.

    Every word is quoted, so nothing of a query is read as FTS5 syntax.
    """
    words = list(dict.fromkeys(_WORD.findall(query.lower())))
    telling = [word for word in words if word not in _STOPWORDS] or words
    return " OR ".join(f'"{word}"' for word in telling[:_MAX_QUERY_WORDS]) or None


def scores(tx: Tx, query: str, within: Sql) -> dict[int, float]:
    """BM25 of every item of the scope that has a word of the query; more is better."""
    expression = match_expression(query)
    if expression is None:
        return {}
    # CROSS JOIN keeps SQLite from walking all items and asking the text index for each.
    rows = tx.execute(
        "SELECT items.id, -bm25(item_texts) FROM item_texts"  # noqa: S608 - text made of constants
        " CROSS JOIN items ON items.id = item_texts.rowid"
        f" WHERE item_texts MATCH ? AND {within.text}",
        (expression, *within.params),
    )
    return {int(item): float(score) for item, score in rows}
