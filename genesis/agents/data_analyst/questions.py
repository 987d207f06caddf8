"""Plain English to typed queries over the columns and values of one table.

A request is split into sub-questions; each becomes one or more `Query`, or a `Misunderstood` that
says what was not understood and what may be asked instead. Nothing is answered that was not asked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from genesis.agents.data_analyst.clause import Clause
from genesis.agents.data_analyst.columns import TableFacts
from genesis.agents.data_analyst.leftovers import Unclear
from genesis.agents.data_analyst.query import Group, Query
from genesis.agents.data_analyst.scope import measures
from genesis.agents.data_analyst.showing import rows_shown
from genesis.agents.data_analyst.tokens import Protected, Token, mark_columns
from genesis.agents.data_analyst.vocabulary import (
    AGGREGATE_WORDS,
    COLUMN_WORDS,
    CORRELATION_WORDS,
    DUPLICATE_WORDS,
    GRAINS,
    HIGH,
    LOW,
    MISSING_WORDS,
    OVERVIEW_WORDS,
    ROW_WORDS,
    STOP_WORDS,
    TREND_WORDS,
    words,
)

MAX_QUESTION = 20_000
"""Characters of a request that are read; a longer one is refused as a whole."""
_HARD = re.compile(r"[?!;\n]+|\.(?=\s|$)|\s(?=\d+[.)]\s+[A-Z])")
_SOFT = re.compile(
    r",\s*(?:and|then|also|plus|as well as)\b|\b(?:and|then|also|plus|as well as)\b|,",
    re.IGNORECASE,
)
_LEADS = words(
    "which what what's whats who who's how when where is are show list give tell find compute "
    "calculate count plot draw report compare describe summarise summarize"
)
_REFERS_BACK = re.compile(
    r"\b(?:is|are|was|were) (?:that|those|they|these)(?: in the file)?$", re.IGNORECASE
)
_ODD = re.compile(
    r"(?:is|are|was|were|do you see|can you see|do you find|check|look|find|does)?\W*"
    r"(?:there|if there is|whether there is|for|me|the (?:file|data(?: ?set)?|table) have)?\s*"
    r"(?:anything|something|any|some|what(?:'s| is)|the)?\s*"
    r"(?:odd|strange|wrong|unusual|suspicious|weird|off|problems?|issues?|(?:data )?quality|"
    r"(?:data )?quality (?:problems?|issues?)|problematic|oddities|anomal(?:y|ies)|errors?)"
    r"(?: (?:in|with|about|of) (?:the|this|my) (?:file|data ?set|data|table))?",
    re.IGNORECASE,
)
"""'Is anything odd in the file?': what can be told are its gaps and its duplicates."""
_ROUNDING = re.compile(r",?\s*(?:and )?round(?:ed)? to \w+ (?:decimal|digit|place)\w*(?: places)?")
_END = "(" + "|".join(sorted((HIGH | LOW) - words("top bottom"))) + ")"
_BOTH_ENDS = re.compile(
    rf"\b((?:which|what) [\w ]{{1,40}}? (?:has|had|have)) the {_END} and "
    rf"(?:(?:which|what)[\w ]{{0,40}}? (?:has|had|have) )?(?:the )?{_END} ([^?;,.]+)",
    re.IGNORECASE,
)
"""'Which city has the highest and which the lowest mean price' asks for both of the mean price."""
_ARTICLES = words("the a an also in on for by please me their its then")
_EXTENSION = r"(?:csv|tsv|txt|tab|json|jsonl|ndjson|parquet|pq|dat|psv)(?:\.gz)?"


@dataclass(frozen=True, slots=True)
class Question:
    """One sub-question as the user wrote it, and how it was read."""

    text: str
    query: Query


@dataclass(frozen=True, slots=True)
class Misunderstood:
    """One sub-question that cannot be answered, and why."""

    text: str
    reason: str


def read_questions(
    request: str, facts: TableFacts
) -> tuple[tuple[Question, ...], tuple[Misunderstood, ...]]:
    """Every sub-question of a request: those that can be answered, and those that cannot."""
    if len(request) > MAX_QUESTION:
        reason = f"the request is longer than {MAX_QUESTION} characters; ask for less at once"
        return (), (Misunderstood(request[:100] + "...", reason),)
    protected = Protected(_without_file(request, facts), facts)
    asked: list[Question] = []
    unclear: list[Misunderstood] = []
    overview = False
    for part in _split(protected, facts):
        text = protected.restore(part).strip(" ,.:")
        tokens = mark_columns(protected.tokens(part), facts)
        if _says_nothing(tokens):
            overview = overview or any(t.word in OVERVIEW_WORDS for t in tokens)
            continue
        try:
            if _REFERS_BACK.search(text):
                raise Unclear("it refers to another question; ask for it with its own columns")
            asked += [Question(text, query) for query in _queries(text, tokens, facts)]
        except Unclear as reason:
            unclear.append(Misunderstood(text, str(reason)))
        except ValueError:  # a date such as 2015-02-31
            unclear.append(Misunderstood(text, "it names a date that does not exist"))
    if not asked and not unclear:
        asked = overview_questions(facts)
    return tuple(asked), tuple(unclear)


def _queries(text: str, tokens: Sequence[Token], facts: TableFacts) -> Sequence[Query]:
    if _ODD.fullmatch(text):
        notes = ("only gaps and duplicate rows are looked for",)
        return Query("missing", notes=notes), Query("duplicates", notes=notes)
    shown = rows_shown(tokens, facts)
    return [shown] if shown else Clause(tokens, facts).queries()


def overview_questions(facts: TableFacts) -> list[Question]:
    """What to tell of a table when nothing particular was asked."""
    asked = [
        Question("How many rows are there?", Query("rows")),
        Question("How many values are missing?", Query("missing total")),
    ]
    dates = [c for c in facts.of_kind("date") if c.first]
    numbers = main_numbers(facts)
    if dates and numbers:
        group = Group(dates[0].name, "month")
        asked += [
            Question(f"What is the monthly trend of {name}?", Query("trend", (name,), (group,)))
            for name in numbers
        ]
    else:
        asked += [Question(f"What is the mean {name}?", Query("mean", (name,))) for name in numbers]
    return asked


def main_numbers(facts: TableFacts) -> tuple[str, ...]:
    """The first number columns that measure something: no identifiers, years or coordinates."""
    return tuple(column.name for column in measures(facts))[:3]


def _without_file(request: str, facts: TableFacts) -> str:
    """The request without names of files, which might be taken for columns or values."""
    text = request.replace("\\", "/")
    text = _ROUNDING.sub("", text)
    stem = facts.file.split(".")[0]
    quotes = "[\"'`]?"
    text = re.sub(
        rf"{quotes}[^\s\"'`?]*{re.escape(facts.file)}{quotes}", " the file ", text, flags=re.I
    )
    text = re.sub(rf"{quotes}[^\s\"'`?,;]+\.{_EXTENSION}\b{quotes}", " the file ", text, flags=re.I)
    names = {column.name.casefold() for column in facts.columns}
    if stem and stem.casefold() not in names:
        loose = r"[\s_-]+".join(map(re.escape, re.split(r"[_\-\s]+", stem)))
        follow = r"(?=\s+(?:data ?set|data|file|table))"
        text = re.sub(rf"(?<!\w){loose}{follow}", " ", text, flags=re.I)
        if re.search(r"[_\-]", stem):
            text = re.sub(rf"(?<!\w){re.escape(stem)}(?!\w)", " the file ", text, flags=re.I)
    return _BOTH_ENDS.sub(r"\1 the \2 \4 and \1 the \3 \4", text)


def _split(protected: Protected, facts: TableFacts) -> list[str]:
    parts: list[str] = []
    for sentence in _HARD.split(protected.text):
        parts += _split_softly(sentence, protected, facts) if sentence.strip() else []
    return parts


def _split_softly(sentence: str, protected: Protected, facts: TableFacts) -> list[str]:
    """A sentence cut at those of its "and"s and commas that have a whole question on each side."""
    for joint in _SOFT.finditer(sentence):
        left, right = sentence[: joint.start()], sentence[joint.end() :]
        left_tokens = mark_columns(protected.tokens(left), facts)
        right_tokens = mark_columns(protected.tokens(right), facts)
        if not right_tokens or not left_tokens:
            continue
        if _splits(left_tokens, right_tokens):
            return [left, *_split_softly(right, protected, facts)]
    return [sentence]


def _splits(left: Sequence[Token], right: Sequence[Token]) -> bool:
    if left[-1].word in ("between", "from") or _open_between(left):
        return False
    head = next((i for i, t in enumerate(right) if t.word not in _ARTICLES), len(right))
    opening = right[head : head + 3]
    if not opening:
        return False
    if _says_nothing(left) and opening[0].word in _LEADS | {"report"}:
        return True
    if opening[0].word in ("is", "are", "was", "were") and not _is_question(right):
        return False  # "and are older than 40" restricts what the left asks
    if opening[0].kind != "column" and opening[0].word in _LEADS and _is_question(left):
        backward = any(token.word == "it" for token in right) and not _is_question(right)
        return not _says_nothing(right) and not backward  # "and when was it?" asks of the left
    return _is_question(left) and _is_question(right) and _opens_question(opening)


def _open_between(left: Sequence[Token]) -> bool:
    """Whether the left side ends in "between 5", whose "and" belongs to it."""
    last = [token.word for token in left[-4:]]
    return "between" in last and left[-1].kind in ("number", "date", "column")


def _opens_question(opening: Sequence[Token]) -> bool:
    openers = (
        frozenset(AGGREGATE_WORDS) | HIGH | LOW | MISSING_WORDS | DUPLICATE_WORDS
        | CORRELATION_WORDS | ROW_WORDS | COLUMN_WORDS | frozenset(GRAINS)
        | words("number count distinct unique trend ratio share percentage standard")
    )  # fmt: skip
    return opening[0].kind == "word" and opening[0].word in openers


def _is_question(tokens: Sequence[Token]) -> bool:
    """Whether tokens ask something that can be answered without what surrounds them."""
    plain = {token.word for token in tokens if token.kind != "column"}
    named = any(token.kind == "column" for token in tokens)
    alone = plain & (MISSING_WORDS | DUPLICATE_WORDS | CORRELATION_WORDS | {"rows", "records"})
    columns = plain & COLUMN_WORDS and not named
    grained = plain & set(GRAINS) and plain & TREND_WORDS
    how_many = {"how", "many"} <= plain
    measures = plain & (
        frozenset(AGGREGATE_WORDS) | HIGH | LOW
        | {"distinct", "unique", "different", "trend", "ratio", "share", "percentage", "common",
           "number", "count", "frequent", "period", "range", "earliest", "latest", "proportion",
           "deviation", "variance", "most", "least", "list", "distribution", "describe"}
    )  # fmt: skip
    return bool(
        alone or columns or grained or how_many or (measures and (named or "date" in plain))
    )


def _says_nothing(tokens: Sequence[Token]) -> bool:
    """Whether tokens hold no content word: "Load the file", "please analyse it"."""
    meaning = (
        frozenset(AGGREGATE_WORDS) | HIGH | LOW | COLUMN_WORDS | ROW_WORDS | {"many"} | TREND_WORDS
    )
    silent = (STOP_WORDS | OVERVIEW_WORDS) - (meaning - {"data", "values", "time"}) | {
        "main",
        "key",
    }
    return all(
        token.kind == "mark" or (token.kind == "word" and token.word in silent) for token in tokens
    )
