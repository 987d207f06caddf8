"""What a reading left over: words that would change the answer must not be passed over."""

from __future__ import annotations

from collections.abc import Sequence

from genesis.agents.data_analyst.columns import TableFacts, stem, words_of
from genesis.agents.data_analyst.query import Condition, Group
from genesis.agents.data_analyst.tokens import Token, nearest
from genesis.agents.data_analyst.vocabulary import (
    AGGREGATE_WORDS,
    COLUMN_WORDS,
    COMPARING,
    CORRELATION_WORDS,
    COUNT_WORDS,
    DUPLICATE_WORDS,
    HARMLESS,
    HIGH,
    KNOWN_WORDS,
    LOW,
    MISSING_WORDS,
    NEGATIONS,
    RATIO_WORDS,
    ROW_WORDS,
    SHARE_WORDS,
    TREND_WORDS,
    words,
)  # fmt: skip

_BEING = words("is are was were been be being not got")
_DOING = words("do does did")
_CLOSING = words("in the of this that file data dataset here there all total overall altogether")
_REACHING = words("got gets scored scores achieved reached earned")
"""Verbs between 'who' and 'the highest' that say only that it is theirs."""
_MEASURED = words("score scores mark marks figure reading readings")
"""Nouns after a column that say only that it is measured: 'no Math score'."""
_OF = words("in for from at where of by with per among within on to")

_ALIKE = (
    words("trip ride journey"), words("match game fixture"), words("student pupil"),
    words("order purchase"), words("employee worker"), words("movie film"),
    words("car vehicle"), words("home house property"),
)  # fmt: skip
_ROWS_OF_OTHERS = {noun: alike for alike in _ALIKE for noun in alike} | dict.fromkeys(
    words("player team person customer sale product station item user ticket patient city driver"),
    frozenset[str](),
)
"""Nouns that name the rows of a file, each with those that mean the same."""


class Unclear(Exception):
    """A sub-question cannot be read; the message says why."""


class Leftovers:
    """One sub-question as read so far, and what of it nothing has used."""

    def __init__(self, tokens: Sequence[Token], facts: TableFacts) -> None:
        self.tokens = tokens
        self.facts = facts
        self.where: tuple[Condition, ...] = ()
        self.used: set[int] = set()
        self.notes: list[str] = []
        self.words: set[str] = set()
        self.groups: tuple[Group, ...] = ()
        self.measured: list[tuple[str, ...]] = []
        self.entities: list[Token] = []

    def _word(self, at: int) -> str:
        if not 0 <= at < len(self.tokens) or self.tokens[at].kind == "column":
            return ""
        return self.tokens[at].word

    def _free_column(self, at: int) -> Token | None:
        inside = 0 <= at < len(self.tokens) and at not in self.used
        return self.tokens[at] if inside and self.tokens[at].kind == "column" else None

    def _has(self, words: frozenset[str]) -> bool:
        return bool(self.words & words)

    def _is_file_noun(self, at: int) -> bool:
        return bool(self._word(at)) and self._names_file(self._word(at))

    def _names_file(self, word: str) -> bool:
        rows = set(map(stem, words_of(self.facts.file.split(".")[0])))
        return stem(word) in rows or self._names_alike(stem(word), rows)

    def _names_alike(self, noun: str, rows: set[str]) -> bool:
        """'trips' of rides.csv are its rows; so are 'matches' of dated rows of no other name."""
        if not rows & _ROWS_OF_OTHERS.keys():
            dated = bool(self.facts.of_kind("date"))
            return noun in ("match", "game", "trip", "ride") and dated
        return bool(_ROWS_OF_OTHERS.get(noun, frozenset[str]()) & rows)

    def _check_leftovers(self) -> None:
        """Words that mean nothing here must not be passed over where they restrict the question."""
        ignored: list[str] = []
        paired = self._has(CORRELATION_WORDS | RATIO_WORDS | {"relationship"})
        harmless = {"between"} if paired else {"over"} if "time" in self.words else set[str]()
        compared = self.words & COMPARING - harmless
        if compared:
            raise Unclear(f"'{min(compared)}' compares with nothing: name a column and a value")
        if "same" in self.words:
            raise Unclear("'same' compares columns or rows with one another, which is not offered")
        self._check_negations()
        for at, token in enumerate(self.tokens):
            if self._calculates(at):
                raise Unclear(f"{token.text!r} of columns is more than these questions can express")
            if at in self.used or token.kind == "column" or token.kind == "mark":
                continue
            if token.kind in ("quoted", "date", "number") or self._is_fresh(at):
                raise Unclear(self._unknown(token.text))
            noun = token.word in _MEASURED and at > 0 and self.tokens[at - 1].kind == "column"
            if token.word in KNOWN_WORDS or noun:
                continue
            if not self._is_noun_of_rows(at):
                if self._restricts(at) or self._narrows(at) or token.word.endswith("est"):
                    raise Unclear(self._unknown(token.text))
                self._check_unspoken(token.word)
                ignored.append(token.text)
        if (
            not HARMLESS.issuperset(map(str.casefold, ignored))
            and not self.measured
            and not self.groups
            and not self._has(
                MISSING_WORDS | DUPLICATE_WORDS | ROW_WORDS | COLUMN_WORDS | TREND_WORDS
            )
            and not (self.where and self._has(COUNT_WORDS | SHARE_WORDS))
        ):
            raise Unclear(self._unknown(ignored[0]))
        if ignored:
            self.notes.append("not used: " + ", ".join(repr(word) for word in ignored))

    def _check_unspoken(self, word: str) -> None:
        """'how many did Ana close' must not pass over the value "closed"."""
        for column in self.facts.of_kind("text"):
            for value in column.values:
                spoken = (f"{word}d", f"{word}ed", stem(word))
                if value.casefold() in spoken and len(value) > 2:
                    meant = f"'{value}' of {column.name}"
                    raise Unclear(f"'{word}' is no value of this file; did you mean {meant}?")

    def _check_negations(self) -> None:
        """A 'not' that no filter took would be answered as if it were not there."""
        left = self.words & NEGATIONS
        absent = self.words & MISSING_WORDS and self.words & frozenset(AGGREGATE_WORDS)
        if left and absent and left <= {"excluding", "ignoring", "without"}:
            self.words -= MISSING_WORDS  # 'mean price, ignoring missing values' is the mean price
        elif left and not ({"why", "whether", "or"} & self.words):
            raise Unclear(f"'{min(left)}' excludes something that could not be read")

    def _calculates(self, at: int) -> bool:
        """'price times quantity', 'price * quantity'."""
        if self.tokens[at].text.casefold() not in (
            "*",
            "+",
            "times",
            "multiplied",
            "minus",
            "plus",
        ):
            return False
        sides = (self._free_column(at - 1), self._free_column(at + 1), self._free_column(at + 2))
        return sides[0] is not None and (sides[1] is not None or sides[2] is not None)

    def _narrows(self, at: int) -> bool:
        """Whether an unknown word picks some of the rows: 'red cars', 'orders were refunded'."""
        word, following = self._word(at), at + 1
        if word in HARMLESS:
            return False
        noun = following < len(self.tokens) and (
            self.tokens[following].entity
            or self._word(following) in ROW_WORDS - {"values", "value"}
            or (self._word(following) not in KNOWN_WORDS and self._is_file_noun(following))
        )
        counting = self._has(frozenset(("many",)))
        if counting and self._word(at - 1) in ("have", "has", "had", "having"):
            return True
        if counting and not self.where and self._heads_column(at):
            return True
        column = self._free_column(at + 1)
        if counting and column and self.facts.column(column.columns[0]).kind == "text":
            return True
        last = not any(
            step in self.used or self._free_column(step) or self._word(step) not in _CLOSING
            for step in range(at + 1, len(self.tokens))
        )
        if counting and last and not self.groups and not self._has(_DOING):
            return True
        participle = word.endswith("ed") and self._word(at - 1) in _BEING
        told = any(step in self.used for step in range(at + 1, at + 4))
        return noun or (participle and not told)

    def _is_fresh(self, at: int) -> bool:
        """'how many new orders', 'available items' where nothing says which those are."""
        following = at + 1 < len(self.tokens) and self.tokens[at + 1]
        picks = self._word(at) in ("new", "used", "available") and "many" in self.words
        return bool(picks and following and (following.entity or self._is_file_noun(at + 1)))

    def _heads_column(self, at: int) -> bool:
        """'how many station changes': what is counted are changes, not stations."""
        step = at - 1
        while self._free_column(step):
            step -= 1
        return step < at - 1 and self._word(step) in ("many", "of")

    def _restricts(self, at: int) -> bool:
        step = at - 1
        while self._word(step) in ("the", "a", "an", "all", "any", "only"):
            step -= 1
        word = self._word(step)
        measured = word in AGGREGATE_WORDS or word in HIGH | LOW
        following = self._free_column(at + 1) is not None
        if self._word(at - 1) in ("which", "what", "who"):
            reaches = self._word(at) in _REACHING and self._word(at - 1) == "who"
            return not (reaches and self._word(at + 1) in ("the", *HIGH, *LOW))
        return (word in _OF or measured or word in ("and", "or", "is", "=")) and not following

    def _is_noun_of_rows(self, at: int) -> bool:
        """Whether a word names what the rows are: 'how many cars', 'which airport'."""
        in_file = self._is_file_noun(at)
        before = self._word(at - 1)
        if before in ("which", "what") and not in_file and not self._names_rows():
            return False
        counted = before in ("many", "which", "what", "of") and (
            bool(self.where) or bool(self._has(HIGH | LOW))
        )
        if before == "of" and self._word(at - 2) not in (
            "number",
            "count",
            "percentage",
            "share",
            "proportion",
            "fraction",
            "percent",
        ):
            counted = False
        if in_file or counted:
            if not in_file:
                self._check_unspoken(self._word(at))
            file = set(map(stem, words_of(self.facts.file.split(".")[0])))
            if stem(self._word(at)) not in file:
                self.notes.append(f"{self.tokens[at].text!r} is read as rows")
            return True
        return False

    def _names_rows(self) -> bool:
        """Whether 'which airport' asks for one row, and rows have names to tell it by."""
        titled = any({"name", "title"} & set(words_of(c.name)) for c in self.facts.columns)
        return titled and not (self.words & frozenset(AGGREGATE_WORDS) - {"max", "min"})

    def _unknown(self, word: str) -> str:
        names = [column.name for column in self.facts.columns]
        near = nearest(word, names)
        meant = f"; did you mean '{near}'?" if near else "."
        return f"'{word}' is no column or value of this file{meant} Columns: {', '.join(names)}"
