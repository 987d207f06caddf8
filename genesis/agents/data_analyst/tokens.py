"""A question as tokens, with the columns and values of a table recognised in it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from genesis.agents.data_analyst.columns import ColumnFacts, TableFacts, stem, words_of
from genesis.agents.data_analyst.constants import plain_constants
from genesis.agents.data_analyst.vocabulary import (
    BY_WORDS,
    COMPARING,
    GRAINS,
    KEYWORDS,
    STOP_WORDS,
    SUPERLATIVES,
)

_MARK = 0xE000
"""Start of the private-use characters that stand for protected names and quotes."""
_QUOTED = re.compile(r"\"([^\"]+)\"|“([^”]+)”|`([^`]+)`|(?<!\w)'([^']+)'(?!\w)|‘([^’]+)’")  # noqa: RUF001 - quotes as people type them
_TOKEN = re.compile(
    r"[\uE000-\uF8FF]"
    r"|\d{4}-\d{1,2}-\d{1,2}(?:[T ]\d{1,2}:\d{2}(?::\d{2})?)?"
    r"|\d{4}/\d{1,2}/\d{1,2}|\d{4}-\d{2}(?!\d)"
    r"|(?:(?<=\s)|(?<=^)|(?<=[(=<>]))[-+]\d+(?:\.\d+)?"
    r"|\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?(?![\w])"
    r"|<=|>=|==|!=|<>|[<>=%/*+]"
    r"|[^\W_](?:[\w.&'’-]*\w)?|,",  # noqa: RUF001 - apostrophes as people type them
    re.UNICODE,
)
_PARTING = re.compile(r"\w[.,;!?] \w|\w (?:and|or|&) \w")
_DATE = re.compile(r"\d{4}[-/]\d{1,2}(?:[-/]\d{1,2})?(?:[T ].*)?")
_NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?")
MAX_SPAN = 6
_NAMING = frozenset(("id", "name", "no", "nr", "key", "code", "title", "uuid"))
"""Words that make a column the name of a thing: "Order ID" names orders."""


@dataclass(frozen=True, slots=True)
class Token:
    """A word, number, date, quoted text, operator, or a column recognised among them.

    Attributes:
        text: as written.
        kind: "word", "number", "date", "quoted", "mark" (an operator or comma) or "column".
        columns: the columns that it may mean; more than one where it is ambiguous.
        entity: whether it names what the rows are about, as "order" does beside "Order ID".
    """

    text: str
    kind: str
    columns: tuple[str, ...] = ()
    entity: bool = False

    @property
    def word(self) -> str:
        """Lower case, without a possessive ending."""
        lower = self.text.casefold().replace("’", "'")  # noqa: RUF001 - as people type it
        return lower.removesuffix("'s") if lower not in ("what's", "who's", "it's") else lower


class Protected:
    """A text in which names with unusual characters and quoted texts are single characters."""

    def __init__(self, text: str, facts: TableFacts) -> None:
        self._held: list[Token] = []
        names = sorted((column.name for column in facts.columns), key=len, reverse=True)
        text = "".join(" " if _MARK <= ord(c) < 0xF900 else c for c in text)
        for name in names:
            if not re.fullmatch(r"[^\W\d_]+", name) or name.casefold() not in text.casefold():
                if re.fullmatch(r"\d+", name):
                    continue
                text = self._hide_name(text, name)
        text = _QUOTED.sub(lambda found: self._hide_quoted(found, names), text)
        text = self._hide_values(text, facts)
        self.text = plain_constants(text, facts)

    def _hide_name(self, text: str, name: str) -> str:
        pattern = rf"(?<![\w]){re.escape(name)}(?![\w])"
        if not name[:1].isalnum() or not name[-1:].isalnum():
            pattern = re.escape(name)
        token = Token(name, "column", (name,))
        return re.sub(pattern, lambda _: f" {self._hold(token)} ", text, flags=re.IGNORECASE)

    def _hide_values(self, text: str, facts: TableFacts) -> str:
        """'St. Mary' and 'Smith, John' hold marks that would part a sentence."""
        lower = text.casefold()
        for value in {value for c in facts.of_kind("text") for value in c.values}:
            if _PARTING.search(value) and value.casefold() in lower:
                pattern = rf"(?<!\w){re.escape(value)}(?!\w)"
                mark = f" {self._hold(Token(value, 'quoted'))} "
                text = re.sub(pattern, lambda _, mark=mark: mark, text, flags=re.IGNORECASE)
        return text

    def _hide_quoted(self, found: re.Match[str], names: Sequence[str]) -> str:
        content = next(group for group in found.groups() if group is not None)
        inner = content.strip()
        if len(inner) == 1 and _MARK <= ord(inner) < 0xF900:
            return f" {inner} "
        restored = "".join(
            self._held[ord(c) - _MARK].text if _MARK <= ord(c) < 0xF900 else c for c in content
        )
        for name in names:
            if name.casefold() == restored.casefold():
                return f" {self._hold(Token(name, 'column', (name,)))} "
        return f" {self._hold(Token(restored, 'quoted'))} "

    def _hold(self, token: Token) -> str:
        self._held.append(token)
        return chr(_MARK + len(self._held) - 1)

    def restore(self, text: str) -> str:
        """The text as the user wrote it."""
        shown = "".join(self._shown(c) if _MARK <= ord(c) < 0xF900 else c for c in text)
        return " ".join(shown.split())

    def _shown(self, mark: str) -> str:
        token = self._held[ord(mark) - _MARK]
        return f"'{token.text}'" if token.kind == "quoted" else token.text

    def tokens(self, text: str) -> list[Token]:
        """The tokens of a part of the text."""
        return [self._token(found.group()) for found in _TOKEN.finditer(text)]

    def _token(self, text: str) -> Token:
        if len(text) == 1 and _MARK <= ord(text) < 0xF900:
            return self._held[ord(text) - _MARK]
        if _DATE.fullmatch(text):
            return Token(text.replace("/", "-"), "date")
        if _NUMBER.fullmatch(text):
            return Token(text.replace(",", ""), "number")
        return Token(text, "word" if text[:1].isalnum() else "mark")


def mark_columns(tokens: Sequence[Token], facts: TableFacts) -> list[Token]:
    """The tokens with the words that name columns replaced by column tokens."""
    names = {column.name: "".join(map(stem, words_of(column.name))) for column in facts.columns}
    by_key: dict[str, tuple[str, ...]] = {}
    for name, key in names.items():
        by_key[key] = (*by_key.get(key, ()), name)
    marked = list(tokens)
    for span in range(min(MAX_SPAN, len(marked)), 0, -1):
        start = 0
        while start + span <= len(marked):
            found = _column_at(marked, start, span, by_key)
            if found:
                text = " ".join(token.text for token in marked[start : start + span])
                marked[start : start + span] = [Token(text, "column", found)]
            start += 1
    marked = _mark_partly_named(_mark_loosely(marked, facts), facts)
    return _name_superlatives([_as_entity(token, facts) for token in marked], facts)


def _as_entity(token: Token, facts: TableFacts) -> Token:
    """'listings' of listings.csv names the rows, also where a column "Listing" numbers them."""
    if len(token.columns) != 1 or token.text == token.columns[0]:
        return token
    column = facts.column(token.columns[0])
    rows = list(map(stem, words_of(facts.file.split(".")[0])))
    own = set(map(stem, words_of(column.name))) <= set(rows)
    return replace(token, entity=token.entity or (own and facts.is_label(column)))


def _column_at(
    tokens: Sequence[Token], start: int, span: int, by_key: dict[str, tuple[str, ...]]
) -> tuple[str, ...]:
    part = tokens[start : start + span]
    if any(token.kind not in ("word", "number") for token in part):
        return ()
    found = by_key.get("".join(stem(w) for token in part for w in words_of(token.text)), ())
    if span > 1 or not found:
        return found if span == 1 or not all(t.word in STOP_WORDS for t in part) else ()
    word = part[0].word
    if len(found) == 1 and part[0].text == found[0] and found[0] != found[0].casefold():
        return found  # written with the very capitals of the column
    if part[0].kind == "number" or word in KEYWORDS:
        return found if _plainly_a_column(tokens, start) else ()
    return found


def _plainly_a_column(tokens: Sequence[Token], at: int) -> bool:
    """Whether the words around a common word show that it means a column of that name."""
    before = tokens[at - 1].word if at else ""
    earlier = tokens[at - 2].word if at > 1 else ""
    after = tokens[at + 1].word if at + 1 < len(tokens) else ""
    if before == "the" and earlier in ("of", "by", "per", "in", "column"):
        return True
    if before in ("a", "and", ",", "with", "whose", "where") and (
        after in COMPARING or tokens[at - 1].kind == "column"
    ):
        return True
    if at > 1 and before in ("and", ",") and tokens[at - 2].kind == "column":
        return after in ("", ",", "and", "in", "by", "for", "per")
    aggregate = before in ("mean", "average", "avg", "median", "minimum", "maximum", "sum", "total")
    return (
        (before in ("of", "column", "field", "for", *BY_WORDS) and earlier != "number")
        or after in ("column", "field")
        or (aggregate and tokens[at].kind == "word" and after not in ("of", "number"))
    )


def _mark_loosely(tokens: Sequence[Token], facts: TableFacts) -> list[Token]:
    """'maximum temperature' names the column "temp_max"."""
    marked = list(tokens)
    for at in range(len(marked) - 1):
        part = marked[at : at + 2]
        if len(part) < 2 or any(token.kind != "word" for token in part):
            continue
        wanted = {_SHORT.get(token.word, token.word) for token in part}
        if wanted.isdisjoint(_SHORT.values()):
            continue
        found = [column.name for column in facts.columns if _same_words(wanted, column)]
        if len(found) == 1:
            text = " ".join(token.text for token in part)
            marked[at : at + 2] = [Token(text, "column", (found[0],))]
    return marked


_SHORT = {
    "minimum": "min", "maximum": "max", "average": "avg", "mean": "avg", "number": "num",
    "minimal": "min", "maximal": "max", "min": "min", "max": "max",
}  # fmt: skip


def _same_words(wanted: set[str], column: ColumnFacts) -> bool:
    words = [_SHORT.get(word, word) for word in words_of(column.name)]
    short = [word for word in words if word in _SHORT.values()]
    rest = [word for word in words if word not in _SHORT.values()]
    left = [word for word in wanted if word not in short]
    if len(words) != 2 or len(short) != 1 or short[0] not in wanted or len(left) != 1:
        return False
    return _alike(rest[0], left[0])


def _mark_partly_named(tokens: list[Token], facts: TableFacts) -> list[Token]:
    """Words that are part of a longer column name, or of which a column name is a part."""
    exact = {name for token in tokens for name in token.columns}
    taken = {token.word for token in tokens if token.kind == "column"}
    out: list[Token] = []
    for token in tokens:
        plain = token.kind == "word" and len(token.word) > 2 and token.word not in GRAINS
        if plain and token.word not in KEYWORDS and token.word not in taken:
            rows = stem(token.word) in map(stem, words_of(facts.file.split(".")[0]))
            found = tuple(
                c.name
                for c in facts.columns
                if _partly(token.word, c) and not (rows and c.kind == "date")
            )  # 'orders' of orders.csv are its rows, also beside "order_time"
            unnamed = tuple(name for name in found if name not in exact)
            if found and not _is_value(token.word, facts):
                naming = tuple(name for name in found if _NAMING & set(words_of(name)))
                columns = naming[:1] or unnamed or found
                token = replace(token, kind="column", columns=columns, entity=bool(naming))
        out.append(token)
    return out


def _name_superlatives(tokens: Sequence[Token], facts: TableFacts) -> list[Token]:
    """'oldest' as 'highest age' where exactly one column of numbers is an age."""
    out: list[Token] = []
    for at, token in enumerate(tokens):
        end, meant = SUPERLATIVES.get(token.word, ("", frozenset[str]()))
        if token.word == "expensive" and out and out[-1].word in ("most", "least"):
            end, meant = SUPERLATIVES["costliest" if out.pop().word == "most" else "cheapest"]
        fitting = [c.name for c in facts.of_kind("number") if meant & set(words_of(c.name))]
        if token.kind != "word" or not end or len(fitting) != 1:
            out.append(token)
            continue
        out.append(Token(end, "word"))
        if all(fitting[0] not in other.columns for other in tokens[at + 1 : at + 2]):
            out.append(Token(token.text, "column", (fitting[0],)))
    return out


def _partly(word: str, column: ColumnFacts) -> bool:
    parts = words_of(column.name)
    if word.endswith("ed") and not column.flag:  # 'delayed flights' is no measure of delays
        parts = tuple(part for part in parts if part.endswith("ed"))
    return any(_alike(part, word) for part in parts)


def _alike(part: str, word: str) -> bool:
    """Whether two words are forms of one: 'temp' and 'temperature', 'sale' and 'sales'."""
    if (part := stem(part)) == (wanted := stem(word)):
        return True
    short, long = sorted((part, wanted), key=len)
    if len(short) >= 4 and long.startswith(short) and len(long) - len(short) <= 8:
        return True
    common = next((i for i, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), 0)
    return common >= 5 and len(long) - common <= 3


def _is_value(word: str, facts: TableFacts) -> bool:
    return any(value.casefold() == word for c in facts.columns for value in c.values)


def nearest(word: str, names: Sequence[str]) -> str:
    """The name most like a word, or an empty text."""
    folded = {name.casefold(): name for name in names}
    found = difflib.get_close_matches(word.casefold(), folded, 1, 0.6)
    return folded[found[0]] if found else ""
