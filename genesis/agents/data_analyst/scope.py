"""What a sub-question is about: its filters, groups, limit and measured columns."""

from __future__ import annotations

from collections.abc import Sequence

from genesis.agents.data_analyst.columns import ColumnFacts, TableFacts, stem, words_of
from genesis.agents.data_analyst.conditions import FilterReader
from genesis.agents.data_analyst.leftovers import Leftovers, Unclear
from genesis.agents.data_analyst.query import Group
from genesis.agents.data_analyst.tokens import Token
from genesis.agents.data_analyst.vocabulary import (
    AGGREGATE_WORDS,
    COMMON_WORDS,
    COUNT_WORDS,
    GRAINS,
    HIGH,
    LOW,
    MISSING_WORDS,
    NUMBERS,
    REFUSED,
    words,
)

_GROUPERS = words("by per each every across grouped")


def measures(facts: TableFacts) -> tuple[ColumnFacts, ...]:
    """Number columns that measure something: no identifiers, years or coordinates."""
    names = {"id", "year", "latitude", "longitude", "lat", "lon", "lng", "zip", "index", "code"}
    numbers = [c for c in facts.of_kind("number") if c.missing < facts.rows]
    good = [
        c for c in numbers if not names & set(words_of(c.name)) and "unnamed" not in c.name.lower()
    ]
    return tuple(good or numbers)


class Scope(Leftovers):
    """The filters, limit, groups and measured columns of one sub-question."""

    def __init__(self, tokens: Sequence[Token], facts: TableFacts) -> None:
        super().__init__(tokens, facts)
        filters = FilterReader(tokens, facts).read()
        if filters.problem:
            raise Unclear(filters.problem)
        self.where = tuple(filters.conditions)
        self.used = filters.used
        self.notes = list(filters.notes)
        self.alternatives: tuple[Group, ...] = ()
        self.limit: int | None = None
        self.words = {
            t.word
            for i, t in enumerate(tokens)
            if t.kind in ("word", "mark") and i not in self.used
        }
        if refused := sorted(self.words & REFUSED):
            raise Unclear(f"'{refused[0]}' is more than these questions can express")
        self.limit = self._take_limit()
        self._take_groups()
        self.measured = self._take_columns()
        self._check_leftovers()

    def _take_limit(self) -> int | None:
        """'top 5', '3 highest', 'the three cities with the'."""
        for at, token in enumerate(self.tokens):
            if at in self.used:
                continue
            number = NUMBERS.get(token.word, 0) if token.kind == "word" else 0
            if token.kind == "number" and token.text.isdigit():
                number = int(token.text)
            ranked = (
                self._word(at - 1) in HIGH | LOW | {"first"} or self._word(at + 1) in HIGH | LOW
            )
            asked = self._word(at - 1) in ("the", "which", "what") and self._has(HIGH | LOW)
            if number and (
                ranked
                or (asked and self._free_column(at + 1))
                or (ranked or self._word(at + 1) in COMMON_WORDS)
            ):
                self.used.add(at)
                return number
            if token.kind == "number":
                raise Unclear(f"the number {token.text} could not be tied to a column")
        return None

    def _take_groups(self) -> None:
        groups: list[Group] = []
        for at in range(len(self.tokens)):
            if at in self.used:
                continue
            word = self._word(at)
            if word in _GROUPERS and not self._is_ratio_per(at):
                groups += self._group_after(at + 1)
            elif word in ("which", "what") or (word == "top" and self._has(HIGH)):
                groups += self._group_asked(at)
            elif self._is_described(at):
                groups.append(self._column_group(self.tokens[at]))
                self.used.add(at)
            elif word in GRAINS and (word.endswith("ly") or word == "annual"):
                groups += self._grain(at)
        self.groups = tuple(dict.fromkeys(groups))

    def _is_described(self, at: int) -> bool:
        """'the city with the highest mean price': the column before 'with' is grouped by."""
        token = self._free_column(at)
        if token is None or self._word(at + 1) not in ("with", "having", "has", "had", "that"):
            return False
        ranked = any(self._word(at + step) in HIGH | LOW for step in (2, 3, 4))
        return ranked and self._word(at - 1) in ("the", "which", "what", "find", "")

    def _is_ratio_per(self, at: int) -> bool:
        """'sales per visit' with two number columns and no other measure divides one by another."""
        before, after = self._free_column(at - 1), self._free_column(at + 1)
        if self._word(at) != "per" or before is None or after is None:
            return False
        kinds = {self.facts.column(n).kind for n in (before.columns[0], after.columns[0])}
        few = self.facts.column(after.columns[0]).distinct <= max(20, self.facts.rows // 20)
        whole = self._has(frozenset(AGGREGATE_WORDS))
        return kinds == {"number"} and not (few and whole) and not self._is_year(after.columns[0])

    def _is_year(self, name: str) -> bool:
        return "year" in map(stem, words_of(name))

    def _group_after(self, at: int) -> list[Group]:
        """'by city', 'per year and city', 'by day of the week', 'for each month'."""
        groups: list[Group] = []
        while at < len(self.tokens):
            word = self._word(at)
            if word in ("the", "each", "every", "different", "and", "by", "of", "values", ","):
                at += 1
                continue
            if word == "number" and self._is_quantity(at + 2):
                at += 2
                continue
            token = self._free_column(at)
            if token is not None and self._sorts_rather(at):
                break
            if token is not None:
                groups.append(self._column_group(token))
                self.used.add(at)
            elif word in GRAINS and (found := self._grain(at)):
                groups += found
                other = self._free_column(at + 2)
                if self._word(at + 1) == "of" and other is not None:
                    raise Unclear(f"'{word} of {other.text}' is no part of a date")
                while at + 1 in self.used and self._word(at + 1) in (
                    "of",
                    "the",
                    "day",
                    "week",
                    "year",
                ):
                    at += 1
            else:
                break
            at += 1
        return groups

    def _is_quantity(self, at: int) -> bool:
        """'by number of bedrooms' where the bedrooms are a column of numbers."""
        token = self._free_column(at)
        measured = self._has(frozenset(AGGREGATE_WORDS)) and self._word(at - 1) == "of"
        if token is None or token.entity or not measured or self._sorts_rather(at):
            return False
        return self.facts.column(token.columns[0]).kind == "number"

    def _sorts_rather(self, at: int) -> bool:
        """In 'top 5 cities by price' the column after 'by' is measured, not grouped by."""
        ranked = self.limit is not None or self._has(
            frozenset(("sorted", "ranked", "ordered", "top", "bottom"))
        )
        kind = self.facts.column(self.tokens[at].columns[0]).kind
        return ranked and kind == "number" and bool(self._has(HIGH | LOW)) and at > 0

    def _column_group(self, token: Token) -> Group:
        first, *others = token.columns
        if others:
            raise Unclear(f"'{token.text}' may mean {' or '.join(token.columns)}; name one of them")
        return Group(first)

    def _group_asked(self, at: int) -> list[Group]:
        """'which city', 'in which year', 'what are the top 5 cities by ...'."""
        step = at + 1
        while self._word(step) in (
            "are",
            "is",
            "the",
            "top",
            "bottom",
            "was",
            "were",
            "different",
            "busiest",
            "quietest",
        ) or (
            step < len(self.tokens)
            and step in self.used
            and self.tokens[step].kind in ("number", "word")
        ):
            step += 1
        wanted = self._has(HIGH | LOW | COMMON_WORDS)
        if not wanted or self._has(MISSING_WORDS):
            return []
        direct = (
            self._word(at) == "top"
            or step == at + 1
            or self._word(step - 1) in ("top", "bottom")
            or step - 1 in self.used
        )
        token = self._free_column(step)
        if token is not None and direct and self._word(step - 1) != "the":
            if self._word(at) == "top" and self.facts.column(token.columns[0]).kind == "number":
                return []
            self.used.add(step)
            return [self._column_group(token)]
        busy = self._word(step - 1) in ("busiest", "quietest")
        if self._word(step) in GRAINS and (step == at + 1 or busy):
            found = self._grain(step)
            if found and found[0].grain == "month":
                column = self.facts.column(found[0].column)
                if column.first and column.last and column.first.year != column.last.year:
                    self.alternatives = (Group(column.name, "month of year"),)
            return found
        return []

    def _grain(self, at: int) -> list[Group]:
        """A part of the date column, or the column of years, named by the token at `at`."""
        word, grain = self._word(at), GRAINS[self._word(at)]
        whole, width = self._whole_of(at)
        if grain == "month" and whole == "year":
            grain = "month of year"
        if grain == "day" and whole == "week":
            grain = "weekday"
        for column in self.facts.of_kind("number", "text"):
            if stem(word) == "".join(map(stem, words_of(column.name))):
                self.used.add(at)
                return [Group(column.name)]
        dates = self.facts.of_kind("date")
        if grain == "year" and not dates:
            years = [c.name for c in self.facts.of_kind("number") if self._is_year(c.name)]
            if years:
                self.used.add(at)
                return [Group(years[0])]
        if not dates:
            raise Unclear(f"'{word}' needs a column of dates, and the file has none")
        named = [c for t in self.tokens for n in t.columns if (c := self.facts.column(n)) in dates]
        column = (named or list(dates))[0]
        if grain == "hour of day" and not column.timed:
            raise Unclear(f"'{word}' needs times of day, and {column.name} has none")
        if len(dates) > 1 and not named:
            self.notes.append(f"{word} is taken from {column.name}")
        folded = grain in ("month of year", "weekday", "hour of day")
        self.used.update(range(at, at + 1 + (width if folded else 0)))
        for position, token in enumerate(self.tokens):
            if token.kind == "column" and column.name in token.columns:
                self.used.add(position)
        return [Group(column.name, grain)]

    def _whole_of(self, at: int) -> tuple[str, int]:
        """'year' of 'month of the year', 'day' of 'hour of day', and how many words say so."""
        after = at + 2 + (self._word(at + 2) == "the")
        whole = self._word(after)
        if self._word(at + 1) != "of" or whole not in ("day", "week", "year"):
            return "", 0
        return whole, after - at

    def _take_columns(self) -> list[tuple[str, ...]]:
        """The remaining columns, each with the columns that its word may mean."""
        tokens = [t for at in range(len(self.tokens)) if (t := self._free_column(at))]
        named = [token for token in tokens if not token.entity]
        self.entities = [token for token in tokens if token.entity]
        counted = self._has(COUNT_WORDS) and not any(
            self.facts.is_label(self.facts.column(token.columns[0])) for token in self.entities
        )
        bare = not self.where and not self._has(HIGH | LOW) and not self.groups
        if not named and (bare or counted):
            named = self.entities
        return list(dict.fromkeys(token.columns for token in named))
