"""One sub-question to queries: which metric of what is in its scope."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product

from genesis.agents.data_analyst.leftovers import Unclear
from genesis.agents.data_analyst.query import Condition, Group, Query
from genesis.agents.data_analyst.ranking import MAX_READINGS, Ranking
from genesis.agents.data_analyst.scope import measures
from genesis.agents.data_analyst.tokens import Token
from genesis.agents.data_analyst.vocabulary import (
    AGGREGATE_WORDS,
    COLUMN_WORDS,
    COMMON_WORDS,
    CORRELATION_WORDS,
    COUNT_WORDS,
    DESCRIBE_WORDS,
    DISTINCT_WORDS,
    DUPLICATE_WORDS,
    EARLIEST,
    HIGH,
    LATEST,
    LOW,
    MISSING_WORDS,
    PERIOD_WORDS,
    RATIO_WORDS,
    ROW_WORDS,
    SHARE_WORDS,
    TREND_WORDS,
)


class Clause(Ranking):
    """Reads one sub-question; `queries` gives all of what it asks."""

    def queries(self) -> list[Query]:
        """What the sub-question asks.

        Raises:
            Unclear: it cannot be read; the message says why.
        """
        readers: tuple[Callable[[], list[Query]], ...] = (
            self._columns, self._missing, self._duplicates, self._correlation, self._ratio,
            self._period, self._share, self._trend, self._common, self._distinct, self._describe,
            self._aggregate, self._superlative, self._count, self._plain,
        )  # fmt: skip
        for reader in readers:
            found = reader()
            if found:
                self._check_limit(found)
                return [*found, *self._apart(found)]
        raise Unclear("no figure is asked for; ask for a count, mean, total, highest, trend, ...")

    def _check_limit(self, found: Sequence[Query]) -> None:
        if self.limit is not None and all(query.limit != self.limit for query in found):
            raise Unclear(f"the number {self.limit} has no effect here; ask for the top groups")

    def _apart(self, found: Sequence[Query]) -> list[Query]:
        """'for Paris and Oslo' may want both together or each: both are answered."""
        several = [c.column for c in self.where if c.op == "in" and not c.part]
        said = {t.word for t in self.tokens}
        listed = said & {"and", "or"} == {"and"} or said & {"compared", "versus", "vs", "compare"}
        if len(several) != 1 or not listed:
            return []
        group, note = Group(several[0]), f"each {several[0]} apart"
        return [
            replace(query, groups=(group,), notes=(*query.notes, note))
            for query in found
            if query.scalar and query.metric not in ("share", "duplicates")
        ]

    def _columns(self) -> list[Query]:
        if not self._has(COLUMN_WORDS) or self._has(
            MISSING_WORDS | DUPLICATE_WORDS | DISTINCT_WORDS
        ):
            return []
        if self.measured or self.groups or self._has(frozenset(AGGREGATE_WORDS)):
            return []
        both = self._has(frozenset(("rows", "records"))) and self._has(COUNT_WORDS | {"and"})
        return [*(self._query("rows") if both else []), *self._query("columns")]

    def _missing(self) -> list[Query]:
        if not self._has(MISSING_WORDS):
            return []
        if self.groups and any(group.grain for group in self.groups):
            raise Unclear("missing values are counted by column, not by time")
        order, limit = self._ranking()
        if self.measured or self.groups:
            names = [*self.measured, *((group.column,) for group in self.groups)]
            self.groups = ()
            return self._each(lambda name: self._query("missing total", (name,)), names)
        if order and self._has(COLUMN_WORDS | {"which"}):
            return self._query("missing", (), order, limit)
        if self._has(COLUMN_WORDS | {"each", "per", "list", "which"}):
            return self._query("missing")
        return self._query("missing total")

    def _duplicates(self) -> list[Query]:
        if not self._has(DUPLICATE_WORDS):
            return []
        if self.measured:
            return self._each(lambda name: self._query("duplicates", (name,)), self.measured)
        return self._query("duplicates")

    def _two_numbers(self, what: str) -> list[tuple[str, str]]:
        numbers = self._of_kind("number")
        if len(numbers) == 1 and len(numbers[0]) == 2:
            return [(numbers[0][0], numbers[0][1])]
        if len(numbers) != 2:
            raise Unclear(f"{what} needs two columns of numbers")
        pairs = list(product(*numbers))
        if len(pairs) > MAX_READINGS:
            raise Unclear(f"{what} needs two columns; name each in full")
        if len(pairs) > 1:
            self.notes.append("the question may mean several columns: each is answered")
        return [(first, second) for first, second in pairs]

    def _correlation(self) -> list[Query]:
        if not self._has(CORRELATION_WORDS) and "relationship" not in self.words:
            return []
        return [
            q
            for pair in self._two_numbers("a correlation")
            for q in self._query("correlation", pair)
        ]

    def _ratio(self) -> list[Query]:
        per = any(self._is_ratio_per(at) for at in range(len(self.tokens)) if at not in self.used)
        slash = any(
            t.word == "/" and self._free_column(i - 1) and self._free_column(i + 1)
            for i, t in enumerate(self.tokens)
        )
        if not (self._has(RATIO_WORDS) or per or slash):
            return []
        order, limit = self._ranking()
        return [
            q
            for pair in self._two_numbers("a ratio")
            for q in self._query("ratio", pair, order, limit)
        ]

    def _period(self) -> list[Query]:
        ranged = "range" in self.words and (
            bool(self._of_kind("date")) or "date" in self.words or "time" in self.words
        )
        first, last = self._has(EARLIEST), self._has(LATEST)
        if not (self._has(PERIOD_WORDS) or ranged or first or last):
            return []
        dates = self._of_kind("date") or [(c.name,) for c in self.facts.of_kind("date")[:1]]
        named = {token.columns for token in self.entities}
        others = [names for names in self._of_kind("number") if names not in named]
        if not dates and others and (first or last):
            dates = others
        if not dates:
            raise Unclear("the file has no column of dates")
        if others and dates is not others:
            raise Unclear("the value at the earliest or latest date is not offered")
        if first != last and not self._has(PERIOD_WORDS) and not ranged:
            return self._each(
                lambda name: self._query("min" if first else "max", (name,)), dates[:1]
            )
        return self._each(lambda name: self._query("period", (name,)), dates[:1])

    def _share(self) -> list[Query]:
        if rated := self._rated():
            return self._rate(rated)
        if not self._has(SHARE_WORDS):
            return []
        numbers = self._of_kind("number")
        joined = {"and", "both"} & {token.word for token in self.tokens}
        if len(self.where) > 1 and not (self.groups or numbers or joined):
            return self._share_among(self.where[:-1], self.where[-1])
        if self.where and not self.groups and len(numbers) <= 1:
            return self._query("share", numbers[0][:1] if numbers else ())
        if not self.groups and len(self.measured) == 1 and not self.where:
            name = self.measured[0][0]
            if self.facts.column(name).kind == "boolean":
                self.where = (Condition(name, "=", (True,)),)
                self.measured = []
                return self._query("share")
            self.groups = (Group(name),)
        if self.groups:
            flags = [c.column for c in self.where if self.facts.column(c.column).flag]
            if flags:
                return self._rate(flags[0])
            order, limit = self._ranking()
            columns = self._of_kind("number")
            measured = columns[0][:1] if columns else ()
            return self._query("share", measured, order or "desc", limit)
        raise Unclear("say which rows the share is of, as in 'share of rows where city is Paris'")

    def _share_among(self, base: tuple[Condition, ...], last: Condition) -> list[Query]:
        """'the share of patients in Oslo who survived' is of those in Oslo."""
        columns = {condition.column for condition in base}
        if last.op != "=" or last.part or last.column in columns:
            raise Unclear("a share of some of the rows is offered for one value of another column")
        self.where, self.groups = base, (Group(last.column),)
        return self._query("share", (), "desc")

    def _trend(self) -> list[Query]:
        timed = [group for group in self.groups if group.grain]
        asked = self._has(TREND_WORDS - {"time"}) or {"over", "time"} <= self.words
        if not asked or (self._has(frozenset(AGGREGATE_WORDS)) and timed and self.measured):
            return []
        if not timed and not self.groups:
            dates = self._of_kind("date") or [(c.name,) for c in self.facts.of_kind("date")]
            years = [c.name for c in self.facts.of_kind("number") if self._is_year(c.name)]
            if dates:
                self.groups = (Group(dates[0][0], "month"),)
            elif years:
                self.groups = (Group(years[0]),)
            else:
                raise Unclear("a trend needs a column of dates, and the file has none")
        if self._has(frozenset(AGGREGATE_WORDS)) and self.measured:
            return []
        taken = {group.column for group in self.groups}
        named = [names for names in self._of_kind("number") if names[0] not in taken]
        if not named and self._has(COUNT_WORDS | ROW_WORDS):
            return self._query("rows")
        readings = named or [(c.name,) for c in measures(self.facts) if c.name not in taken][:3]
        if not readings:
            return self._query("rows")
        if not named and len(readings) > 1:
            self.notes.append("no column was named: the first number columns are shown")
        return self._each(lambda name: self._query("trend", (name,)), readings)

    def _common(self) -> list[Query]:
        if not self._has(COMMON_WORDS):
            return []
        if self.measured and not self.groups:
            self.groups = tuple(
                self._column_group(Token(n[0], "column", n)) for n in self.measured[:1]
            )
        if not self.groups:
            raise Unclear("say of which column the most common value is wanted")
        return self._query("rows", (), "asc" if self._has(LOW) else "desc", self.limit or 1)

    def _distinct(self) -> list[Query]:
        if not self._has(DISTINCT_WORDS):
            return []
        if not self.measured and not self.groups and self._has(COLUMN_WORDS):
            everything = [(column.name,) for column in self.facts.columns]
            return self._each(lambda name: self._query("distinct", (name,)), everything)
        self._take_compared()
        if not self.measured:
            return []
        counted = self._has(COUNT_WORDS) or bool(self.groups)
        order, limit = self._ranking()
        if counted or order:
            return self._each(
                lambda name: self._query("distinct", (name,), order, limit), self.measured
            )
        return self._each(lambda name: self._query("values", (name,)), self.measured)

    def _describe(self) -> list[Query]:
        if not self._has(DESCRIBE_WORDS) or self.groups:
            return []
        readings = self._of_kind("number")
        if readings:
            return self._each(lambda name: self._query("describe", (name,)), readings)
        if self.measured:
            self.groups = (Group(self.measured[0][0]),)
            return self._query("rows", (), "desc")
        return []

    def _aggregates(self) -> list[str]:
        """The aggregate functions named, without superlatives that rank groups."""
        found: list[str] = []
        for at, token in enumerate(self.tokens):
            if at in self.used or token.kind != "word" or token.word not in AGGREGATE_WORDS:
                continue
            function = AGGREGATE_WORDS[token.word]
            counts = self._word(at + 1) in ("number", "rows", "count", "records")
            if function == "sum" and counts and not self._quantity_at(at + 3):
                continue
            found.append(function)
        found = list(dict.fromkeys(found)) or self._implied()
        others = [f for f in found if f not in ("min", "max")]
        return others if others and self.groups and self.words & (HIGH | LOW) else found

    def _quantity_at(self, at: int) -> bool:
        """'total number of votes' adds up the votes; 'total number of orders' counts rows."""
        token = self._free_column(at)
        return token is not None and not token.entity and bool(self._of_kind("number"))

    def _aggregate(self) -> list[Query]:
        functions = self._aggregates()
        if not functions:
            return []
        self._take_compared()
        self._take_listed()
        if not self.measured or (self.entities and self.measured == [self.entities[0].columns]):
            if functions == ["sum"] and self._has(COUNT_WORDS | ROW_WORDS):
                return []
            raise Unclear(self._no_column(functions[0]))
        order, limit = self._ranking()
        dated = "when" in self.words and set(functions) <= {"min", "max"}
        if not self.groups and order and (dated or self._words_besides_minmax()):
            return []
        if not self.groups or (set(functions) <= {"min", "max"} and not self._ranks_groups()):
            order, limit = "", None
        queries: list[Query] = []
        for function in functions:
            kinds = ("number", "boolean") if function == "mean" else ("number",)
            if function in ("min", "max"):
                kinds = ("number", "date")
            readings = self._of_kind(*kinds)
            if not readings:
                names = self.measured[0]
                kind = self.facts.column(names[0]).kind
                raise Unclear(f"{names[0]} holds {kind}s: it has no {function}")

            def make(name: str, function: str = function) -> list[Query]:
                return self._query(function, (name,), order, limit)

            queries += self._each(make, readings)
        return queries

    def _take_compared(self) -> None:
        """'the sum of all prices greater than 50' is of the column compared."""
        ops = (">", ">=", "<", "<=", "between")
        compared = list(dict.fromkeys(c.column for c in self.where if c.op in ops))
        if not self.measured and len(compared) == 1:
            self.measured = [(compared[0],)]

    def _take_listed(self) -> None:
        """'rank the cities by mean price': a text beside what is measured is grouped by."""
        self.measured = [n for n in self.measured if not self._is_told_of(n)] or self.measured
        listed = [n for n in self.measured if self.facts.column(n[0]).kind == "text"]
        if self.groups or not listed or len(listed) == len(self.measured):
            return
        group, *others = listed[0]
        if others or len(listed) > 1:
            raise Unclear(f"what about {group}? Say 'by {group}' to group by it")
        self.groups = (Group(group),)
        self.measured = [names for names in self.measured if names != listed[0]]

    def _is_told_of(self, names: tuple[str, ...]) -> bool:
        """'the mean score of students who passed' is of the rows, not by student."""
        text = self.facts.column(names[0]).kind == "text"
        return text and any(
            token.columns == names
            and self._word(at - 1) in ("of", "for", "among")
            and self._word(at + 1) in ("who", "that", "which", "whose")
            for at, token in enumerate(self.tokens)
        )

    def _implied(self) -> list[str]:
        """'total sales' of a column "total_sales" still asks for a total."""
        for at, token in enumerate(self.tokens):
            if at not in self.used and token.kind == "column" and " " in token.text:
                first = token.text.split()[0].casefold()
                if first in AGGREGATE_WORDS and token.text not in token.columns:
                    return [AGGREGATE_WORDS[first]]
        return []

    def _words_besides_minmax(self) -> bool:
        plain = self.words & (HIGH | LOW) - {"max", "min", "maximum", "minimum"}
        return bool(plain) and set(self._aggregates()) <= {"min", "max"}

    def _no_column(self, function: str) -> str:
        names = [column.name for column in self.facts.of_kind("number")]
        return f"of which column is the {function} wanted? Columns of numbers: {', '.join(names)}"

    def _count(self) -> list[Query]:
        rows = self._has(ROW_WORDS)
        found = {"any", "there"} <= self.words and bool(self.where) and not self.measured
        if not (self._has(COUNT_WORDS) or rows or found or "%" in self.words):
            return []
        order, limit = self._ranking()
        if self._counts_entities() and not rows:
            return self._entities_counted(order, limit)
        if self.groups:
            extra = [names for names in self.measured if self.facts.column(names[0]).kind == "text"]
            if extra and not rows:
                note = "different values are counted"
                return self._each(
                    lambda n: self._query("distinct", (n,), order, limit, notes=(note,)), extra
                )
            return self._query("rows", (), order, limit)
        if self.measured and not rows:
            return self._count_of_column()
        if self.measured and rows:
            raise Unclear(f"what about {self.measured[0][0]}? Say how it restricts the rows")
        return self._query("rows")

    def _count_of_column(self) -> list[Query]:
        """'how many cities' counts different values; 'city counts' the rows of each."""
        if self.entities and self.measured[:1] == [self.entities[0].columns]:
            return self._entities_counted()
        many = "many" in self.words or ("number" in self.words)
        names = self.measured[0]
        column = self.facts.column(names[0])
        filtered = {condition.column for condition in self.where}
        if "many" in self.words and names[0] not in filtered and len(names) == 1:
            if column.flag and len(self.measured) == 1:
                return self._flagged(names[0])
            self._check_counted(column)
        if many and not self.where:
            note = "different values are counted"
            return self._each(lambda n: self._query("distinct", (n,), notes=(note,)), [names])
        if many and (names[0] in filtered or self.facts.is_label(column)):
            return self._query("rows")
        if many:
            different = self._query("distinct", (names[0],), notes=("different values",))
            return [*different, *self._query("rows", notes=("rows",))]
        if column.kind == "number":
            raise Unclear(f"say what of {column.name} is wanted: its mean, total, ...")
        self.groups = (self._column_group(Token("", "column", names)),)
        return self._query("rows", (), "desc")

    def _plain(self) -> list[Query]:
        """A column and nothing else: its mean by group, its statistics, or its values."""
        numbers = self._of_kind("number")
        if self.groups and not self.measured:
            return self._query("rows")
        if numbers and self.groups:
            note = "no function was named: the mean is given"
            return self._each(lambda name: self._query("mean", (name,), notes=(note,)), numbers)
        if numbers:
            return self._each(lambda name: self._query("describe", (name,)), numbers)
        if "when" in self.words and (dates := self._of_kind("date")):
            return self._each(lambda name: self._query("period", (name,)), dates)
        if "rate" in self.words and self.measured:
            raise Unclear(f"which rate of {self.measured[0][0]}? Ask for a share of rows")
        if self.measured:
            return self._each(lambda name: self._query("values", (name,)), self.measured)
        return []
