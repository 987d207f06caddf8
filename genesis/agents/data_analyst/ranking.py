"""Queries of what is in scope, and those that rank rows or groups: highest, lowest, top five."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from genesis.agents.data_analyst.columns import YES, ColumnFacts, stem, words_of
from genesis.agents.data_analyst.leftovers import Unclear
from genesis.agents.data_analyst.query import Condition, Query
from genesis.agents.data_analyst.scope import Scope
from genesis.agents.data_analyst.tokens import Token
from genesis.agents.data_analyst.vocabulary import (
    AGGREGATE_WORDS,
    COMMON_WORDS,
    COUNT_WORDS,
    HIGH,
    LOW,
    NEGATIONS,
    ROW_WORDS,
    SHARE_WORDS,
    words,
)

_UNGROUPED = words("columns missing duplicates values extreme period describe")
_COUNTING = words("most fewest least top bottom common frequent busiest quietest")
_MOSTLY_ONE_EACH = 0.9
"""Different names per row from which on every row counts as one named thing."""
MAX_READINGS = 4
"""Columns that an ambiguous word may mean for all of them to be answered."""


class Ranking(Scope):
    """Makes queries of a sub-question's scope and reads its superlatives."""

    def _of_kind(self, *kinds: str) -> list[tuple[str, ...]]:
        found: list[tuple[str, ...]] = []
        for names in self.measured:
            fitting = tuple(n for n in names if self.facts.column(n).kind in kinds)
            if fitting:
                found.append(fitting)
        return found

    def _query(
        self, metric: str, columns: tuple[str, ...] = (), order: str = "",
        limit: int | None = None, labels: tuple[str, ...] = (), notes: Sequence[str] = (),
    ) -> list[Query]:  # fmt: skip
        """The query, and the same by each alternative group."""
        if self.groups and metric in _UNGROUPED:
            raise Unclear(f"{metric} by {self.groups[0].label} is more than can be expressed")
        everything = tuple(dict.fromkeys((*self.notes, *notes)))
        queries = [
            Query(metric, columns, self.groups, self.where, order, limit, labels, everything)
        ]
        for group in self.alternatives:
            note = "'month' may also mean the month of the year"
            queries.append(
                Query(
                    metric, columns, (group,), self.where, order, limit, labels, (*everything, note)
                )
            )
        return queries

    def _each(
        self, make: Callable[[str], list[Query]], readings: Sequence[tuple[str, ...]]
    ) -> list[Query]:
        """One query for every column; an ambiguous word is answered for all that it may mean."""
        queries: list[Query] = []
        for names in readings:
            if len(names) > MAX_READINGS:
                raise Unclear(f"the word may mean {' or '.join(names)}; name one of them")
            for name in names:
                if len(names) > 1:
                    note = f"the question may mean {' or '.join(names)}: each is answered"
                    self.notes = [n for n in self.notes if "each is answered" not in n]
                    self.notes.append(note)
                queries += make(name)
        return queries

    def _ranking(self) -> tuple[str, int | None]:
        """Order and limit that the question's superlatives ask for."""
        high, low = self._has(HIGH), self._has(LOW)
        if not (high or low):
            order = "desc" if self._has(words("descending desc")) else ""
            return order or ("asc" if self._has(words("ascending asc")) else ""), None
        order = "asc" if low and not high else "desc"
        if high and low:
            first = next(t.word for t in self.tokens if t.word in HIGH | LOW)
            order = "desc" if first in HIGH else "asc"
        return order, self.limit or 1

    def _ranks_groups(self) -> bool:
        return (
            self._has(frozenset(("which", "what", "who", "top", "bottom"))) and self._asked_group()
        )

    def _asked_group(self) -> bool:
        return any(
            self._word(at) in ("which", "what", "top", "bottom") and at + 1 in self.used
            for at in range(len(self.tokens))
        )

    def _superlative(self) -> list[Query]:
        order, limit = self._ranking()
        if not order:
            return []
        readings = self._of_kind("number", "date")
        if self._counts_entities():
            return self._entities_counted(order, limit)
        if not readings:
            return self._most_rows(order, limit)
        function = "max" if order == "desc" else "min"
        if self.groups:
            numbers = self._of_kind("number")
            return self._superlative_group(numbers or readings, function, order, limit)
        rows = self._has(
            frozenset(
                (
                    "which",
                    "who",
                    "where",
                    "when",
                    "row",
                    "rows",
                    "record",
                    "records",
                    "top",
                    "bottom",
                )
            )
        )
        if self.limit or rows:
            labels = self._labels(readings)
            return self._each(
                lambda name: self._query("extreme", (name,), order, limit, labels), readings
            )
        return self._each(lambda name: self._query(function, (name,)), readings)

    def _superlative_group(
        self, readings: Sequence[tuple[str, ...]], function: str, order: str, limit: int | None
    ) -> list[Query]:
        group = self.facts.column(self.groups[0].column)
        alone = len(self.groups) == 1 and self.facts.is_label(group)
        summed = bool(self._has(words("most least fewest top bottom")))
        asked = self._asked_group() or self.limit is not None
        kept = (order, limit) if asked else ("", None)
        dates = not self._of_kind("number")
        end = "highest" if function == "max" else "lowest"
        ways = [("sum", "total"), (function, f"{end} single value"), ("mean", "mean")]
        if alone or dates or not asked:
            ways = [(function, "")]
        elif "single" in self.words:
            ways = [ways[1]]
        elif self._has(words("most least fewest")):
            ways = ways[:1]
        elif not summed:
            ways = [ways[1], ways[2], ways[0]]
        queries: list[Query] = []
        for way, name in ways:
            notes = (f"groups ranked by their {name}",) if name else ()

            def make(column: str, way: str = way, notes: tuple[str, ...] = notes) -> list[Query]:
                return self._query(way, (column,), *kept, notes=notes)

            queries += self._each(make, readings)
        return queries

    def _most_rows(self, order: str, limit: int | None) -> list[Query]:
        if not self.groups and len(self.measured) == 1:
            self.groups = (self._column_group(Token("", "column", self.measured[0])),)
            self.measured = []
        if self.groups and self.measured and self.facts.column(self.measured[0][0]).kind == "text":
            many = self._has(frozenset(("most", "fewest", "least")))
            if many:
                note = "different values are counted"
                name = self.measured[0][0]
                return self._query("distinct", (name,), order, limit, notes=(note,))
        if self.groups and not self.measured:
            if not self._has(_COUNTING | COUNT_WORDS | ROW_WORDS | COMMON_WORDS):
                raise Unclear("of which column is the highest or lowest wanted?")
            return self._query("rows", (), order, limit)
        return []

    def _counts_entities(self) -> bool:
        """'the number of orders' counts them; their ids are no quantity."""
        named = {token.columns for token in self.entities}
        return bool(self.groups and named and self._has(COUNT_WORDS | _COUNTING)) and all(
            columns in named for columns in self.measured
        )

    def _entities_counted(self, order: str = "", limit: int | None = None) -> list[Query]:
        """The rows, where each is one such thing, and the different things, where they repeat."""
        name = self.entities[0].columns[0]
        column = self.facts.column(name)
        rows = self._query("rows", (), order, limit)
        of_file = any(
            self._names_file(word) for token in self.entities for word in words_of(token.text)
        )
        if self.facts.is_label(column) or of_file:
            return rows
        distinct = self._query("distinct", (name,), order, limit, notes=("different values",))
        mostly = column.distinct >= self.facts.rows * _MOSTLY_ONE_EACH
        if not mostly and not self.where and not self.groups:
            return distinct
        return [*rows, *distinct] if mostly else [*distinct, *rows]

    def _flagged(self, name: str) -> list[Query]:
        """'how many people own a car' beside "owns_car" counts those who do."""
        if "whether" in self.words or self.words & NEGATIONS:
            raise Unclear(f"say whether {name} is to be yes, no or missing")
        said = next(at for at, token in enumerate(self.tokens) if token.columns == (name,))
        if self._word(said - 1) == "many" and self.tokens[said].word.endswith("s"):
            raise Unclear(f"{name} says yes or no; its things cannot be counted")
        self.measured = []
        self.where = (*self.where, self._said_yes(name))
        return self._query("rows")

    def _rate(self, name: str) -> list[Query]:
        """'pass rate per class' is the part of each class whose yes-or-no column says yes."""
        said = self._said_yes(name)
        others = tuple(condition for condition in self.where if condition.column != name)
        numbers = [n for n in self._of_kind("number") if n != (name,)]
        if self.facts.column(name).missing or numbers or len(others) + 1 < len(self.where):
            raise Unclear(f"the share of {name} in each group cannot be told")
        if any(c.column == name and c != said for c in self.where):
            raise Unclear(f"the share of those not {name} in each group is not offered")
        self.where, self.measured = others, []
        if not self.groups:
            self.where = (*others, said)
            return [] if others else self._query("share")
        order, limit = self._ranking()
        return self._query("rate", (name,), order, limit, notes=(f"the share whose {name} is yes",))

    def _rated(self) -> str:
        """The one yes-or-no column that a rate or a share in each group is of, or empty."""
        said = {token.word for token in self.tokens}
        only = [n for n in self.measured if len(n) == 1 and self.facts.column(n[0]).flag]
        if len(only) != 1 or len(self.measured) != 1:
            return ""
        asked = {"rate", "rates"} & said or (self._has(SHARE_WORDS) and self.groups)
        return only[0][0] if asked and not self._has(frozenset(AGGREGATE_WORDS)) else ""

    def _said_yes(self, name: str) -> Condition:
        column = self.facts.column(name)
        if column.kind == "text":
            said = tuple(v for v in column.values if v.strip().casefold() in YES)
            return Condition(name, "=" if len(said) == 1 else "in", said)
        return Condition(name, "=", (True if column.kind == "boolean" else 1.0,))

    def _check_counted(self, column: ColumnFacts) -> None:
        """'how many units' is no question about the different values of "unit_cost"."""
        name = column.name
        said = {stem(w) for t in self.tokens if t.columns == (name,) for w in words_of(t.text)}
        if column.kind == "number" and not set(map(stem, words_of(name))) <= said:
            raise Unclear(f"of {name} no things can be counted; ask for its mean, total, ...")

    def _labels(self, readings: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
        """The columns that tell a reader which row is meant, at most three."""
        measured = {name for names in readings for name in names}
        texts = [c for c in self.facts.of_kind("text") if c.name not in measured]
        named = [c for c in texts if {"name", "title"} & set(words_of(c.name))]
        unique = [c for c in texts if self.facts.is_label(c)]
        dates = [c for c in self.facts.of_kind("date") if c.name not in measured]
        when = "when" in self.words or self._has(frozenset(("day", "date")))
        chosen = [*(dates if when else []), *named, *unique, *dates[:1]] or texts
        if not named and not unique:
            chosen += texts[:1]
        if not chosen:
            chosen = [c for c in self.facts.columns if c.name not in measured]
        return tuple(dict.fromkeys(c.name for c in chosen))[:3]
