"""The filters in a question: comparisons, values of a column, years, months and dates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from genesis.agents.data_analyst.columns import ColumnFacts, TableFacts, stem, words_of
from genesis.agents.data_analyst.query import Condition
from genesis.agents.data_analyst.tokens import MAX_SPAN, Token
from genesis.agents.data_analyst.values import (
    constant,
    day_span,
    folded,
    is_year,
    merge,
    month_number,
    striking,
    value_index,
)
from genesis.agents.data_analyst.vocabulary import (
    COMPARISONS,
    IS_WORDS,
    KNOWN_WORDS,
    MISSING_WORDS,
    NOT_WORDS,
    words,
)

_NUMERIC_OPS = (">", ">=", "<", "<=", "=", "!=")
_BEFORE_VALUE = IS_WORDS | NOT_WORDS | words("the a in at from to than other")
_DATE_WORDS = words("in during for of on from since after before until through to year")


@dataclass(slots=True)
class Filters:
    """What was found: the conditions, the tokens they took, and what was assumed or is wrong."""

    conditions: list[Condition] = field(default_factory=list[Condition])
    used: set[int] = field(default_factory=set[int])
    notes: list[str] = field(default_factory=list[str])
    problem: str = ""


class FilterReader:
    """Reads the filters of one clause, left to right."""

    def __init__(self, tokens: Sequence[Token], facts: TableFacts) -> None:
        self.tokens = tokens
        self.facts = facts
        self.found = Filters()
        self._values = value_index(facts)

    def read(self) -> Filters:
        """All filters of the clause."""
        at = 0
        while at < len(self.tokens):
            took = 0
            for reader in (self._between, self._missing, self._compared, self._value, self._time):
                took = reader(at)
                if took:
                    break
            if took:
                self.found.used.update(range(at, at + took))
            at += took or 1
        self.found.conditions = merge(self.found.conditions)
        return self.found

    def _token(self, at: int) -> Token:
        return self.tokens[at] if 0 <= at < len(self.tokens) else Token("", "mark")

    def _is_free_column(self, at: int) -> bool:
        return self._token(at).kind == "column" and at not in self.found.used

    def _add(
        self, column: str, op: str, values: tuple[str | float | bool, ...], part: str = ""
    ) -> None:
        self.found.conditions.append(Condition(column, op, values, part))

    def _compared_column(self, at: int, after: int, date: bool) -> tuple[str, int, int]:
        """The column that a comparison is about: its name, tokens taken before and after."""
        back = at - 1
        while (
            back >= 0
            and (
                self.tokens[back].word in IS_WORDS
                or self.tokens[back].word
                in ("with", "a", "an", "value", "not", "that", "which", "where", "than")
            )
            and self.tokens[back].kind != "column"
        ):
            back -= 1
        if self._is_free_column(back):
            column = self._pick(self.tokens[back], date)
            if column:
                return column.name, at - back, 0
        skip = after
        while self._token(skip).word in ("of", "in", "for", "the"):
            skip += 1
        if self._is_free_column(skip) and not date:
            column = self._pick(self.tokens[skip], date)
            if column:
                return column.name, 0, skip + 1 - after
        if date and (column := self._date_column()):
            return column.name, 0, 0
        return "", 0, 0

    def _pick(self, token: Token, date: bool) -> ColumnFacts | None:
        kinds = ("date",) if date else ("number",)
        fitting = [c for n in token.columns if (c := self.facts.column(n)).kind in kinds]
        if len(fitting) > 1:
            names = " or ".join(c.name for c in fitting)
            self.found.problem = f"'{token.text}' may mean {names}; name one of them"
        return fitting[0] if fitting else None

    def _date_column(self) -> ColumnFacts | None:
        named = [
            column
            for token in self.tokens
            for name in token.columns
            if (column := self.facts.column(name)).kind == "date"
        ]
        dates = named or self.facts.of_kind("date")
        if len(dates) > 1 and not named:
            self.found.notes.append(f"dates are those of {dates[0].name}")
        return dates[0] if dates else None

    def _between(self, at: int) -> int:
        word = self._token(at).word
        if word not in ("between", "from"):
            return 0
        low, joint, high = (self._token(at + i) for i in (1, 2, 3))
        if joint.word not in ("and", "to", "until", "through", "-"):
            return 0
        kinds = {low.kind, high.kind}
        if not kinds <= {"number", "date"}:
            return 0
        years = kinds == {"number"} and is_year(low) and is_year(high)
        column, before, after = self._compared_column(at, at + 4, kinds != {"number"})
        if not column and years:
            return 4 if self._year_condition("between", low, high) else 0
        if not column and (kinds == {"number"}):
            column, before, after = self._compared_column(at, at + 4, True) if years else ("", 0, 0)
        if not column:
            return 0
        values = tuple(constant(token) for token in (low, high))
        if kinds != {"number"}:
            self._date_between(column, str(values[0]), str(values[1]))
        else:
            self._add(column, "between", values)
        self.found.used.update(range(at - before, at))
        return 4 + after

    def _date_between(self, column: str, low: str, high: str) -> None:
        first, _ = day_span(low)
        _, past = day_span(high)
        self._add(column, ">=", (first,))
        self._add(column, "<" if len(high) <= 10 else "<=", (past,))

    def _year_condition(self, op: str, *years: Token) -> bool:
        """A filter by year, on a column of years or on a date column."""
        for column in self.facts.of_kind("number"):
            if "year" in map(stem, words_of(column.name)):
                self._add(column.name, op, tuple(float(token.text) for token in years))
                return True
        dates = self._date_column()
        if dates is None:
            return False
        self._add(dates.name, op, tuple(float(token.text) for token in years), "year")
        return True

    def _missing(self, at: int) -> int:
        """'where city is (not) missing', 'with no city'."""
        lacking = self._token(at).word in ("no", "without", "lack", "lacking")
        if lacking and self._is_free_column(at + 1):
            names = self._token(at + 1).columns
            if len(names) == 1:
                self._add(names[0], "missing", ())
                return 2
        if not self._is_free_column(at) or len(self._token(at).columns) != 1:
            return 0
        step = at + 1
        if self._token(step).word not in IS_WORDS | {"isn't", "not"}:
            return 0
        negated = self._token(step).word in ("isn't", "not")
        step += 1
        if self._token(step).word == "not":
            negated, step = True, step + 1
        if self._token(step).word not in MISSING_WORDS:
            return 0
        self._add(self._token(at).columns[0], "present" if negated else "missing", ())
        return step + 1 - at

    def _compared(self, at: int) -> int:
        for phrase, op in COMPARISONS:
            size = len(phrase)
            if tuple(self._token(at + i).word for i in range(size)) != phrase:
                continue
            token, width = self._moment(at + size)
            if token.kind not in ("number", "date"):
                continue
            years = phrase[0] in _DATE_WORDS and token.kind == "number" and is_year(token)
            if years and self._year_condition(op, token):
                return size + 1
            date = token.kind == "date"
            column, before, after = self._compared_column(at, at + size + width, date)
            if not column:
                continue
            if date:
                self._date_condition(column, op, token.text)
            else:
                negated = self._token(at - 1).word == "not"
                self._add(column, "!=" if negated and op == "=" else op, (constant(token),))
            self.found.used.update(range(at - before, at))
            return size + width + after
        return self._equal_number(at)

    def _moment(self, at: int) -> tuple[Token, int]:
        """The token to compare with and how many tokens it takes: "June 2021" is one month."""
        token, year = self._token(at), self._token(at + 1)
        if (month := month_number(token)) and year.kind == "number" and is_year(year):
            return Token(f"{year.text}-{month:02d}", "date"), 2
        return token, 1

    def _equal_number(self, at: int) -> int:
        """'cylinders is 4', 'year 1932', '4 cylinders'."""
        if not self._is_free_column(at):
            token, after = self._token(at), self._token(at + 1)
            plain = (
                token.kind == "number" and after.kind == "column" and at + 1 not in self.found.used
            )
            before = self._token(at - 1).word
            if (
                plain
                and before in ("with", "have", "has", "having", "had")
                and (column := self._pick(after, False))
            ):
                self._add(column.name, "=", (constant(token),))
                return 2
            return 0
        step, negated = at + 1, False
        while self._token(step).word in IS_WORDS | {"not"} and self._token(step).kind != "column":
            negated = negated or self._token(step).word == "not"
            step += 1
        token = self._token(step)
        if token.kind != "number" or self._token(step + 1).word == "%":
            return 0
        column = self._pick(self._token(at), False)
        if column is None:
            return 0
        self._add(column.name, "!=" if negated else "=", (constant(token),))
        return step + 1 - at

    def _date_condition(self, column: str, op: str, text: str) -> None:
        first, past = day_span(text)
        whole = len(text) <= 10
        match op:
            case ">" if whole:
                self._add(column, ">=", (past,))
            case "<=" if whole:
                self._add(column, "<", (past,))
            case "=" if whole:
                self._add(column, ">=", (first,))
                self._add(column, "<", (past,))
            case _:
                self._add(column, op, (first,))

    def _value(self, at: int) -> int:
        """A text that is a value of some column, perhaps with the column's name before it."""
        for span in range(min(MAX_SPAN, len(self.tokens) - at), 0, -1):
            part = self.tokens[at : at + span]
            if any(i in self.found.used for i in range(at, at + span)):
                continue
            found = self._columns_with(part)
            if not found:
                continue
            back, negated = self._before_value(at)
            named = self.tokens[back] if self._is_free_column(back) else None
            linked = named is not None and any(name in named.columns for name, _ in found)
            if (
                span == 1
                and part[0].kind != "quoted"
                and not linked
                and not striking(part[0], found)
            ):
                continue
            if linked and named:
                found = [pair for pair in found if pair[0] in named.columns]
                self.found.used.add(back)
            if len({name for name, _ in found}) > 1:
                others = ", ".join(dict.fromkeys(name for name, _ in found[1:]))
                self.found.notes.append(
                    f"{part[0].text!r} is read as {found[0][0]} (it is also in {others})"
                )
            name = found[0][0]
            actual = tuple(dict.fromkeys(value for column, value in found if column == name))
            op = (
                ("not in" if len(actual) > 1 else "!=")
                if negated
                else ("in" if len(actual) > 1 else "=")
            )
            self._add(name, op, actual)
            self.found.used.update(range(max(back + 1, 0), at))
            return span
        return self._truth(at)

    def _before_value(self, at: int) -> tuple[int, bool]:
        """Where a column before a value may be, and whether a 'not' lies between."""
        back, negated = at - 1, False
        while (
            back >= 0
            and self.tokens[back].kind != "column"
            and (self.tokens[back].word in _BEFORE_VALUE)
        ):
            word = self.tokens[back].word
            negated = negated or word in NOT_WORDS or word == "other"
            back -= 1
        if not self._is_free_column(back) and not negated:
            back = at - 1
        return back, negated

    def _columns_with(self, part: Sequence[Token]) -> list[tuple[str, str]]:
        if any(token.kind in ("mark", "column") for token in part):
            return []
        if len(part) == 1 and part[0].kind == "quoted":
            exact = self._values.get(folded(part[0].text), [])
            same = [pair for pair in exact if pair[1] == part[0].text]
            return same or exact
        if any(token.kind == "quoted" for token in part):
            return []
        if len(part) == 1 and part[0].kind == "number":
            return []
        found = self._values.get(folded(" ".join(token.text for token in part)), [])
        return found or (self._derived(part[0]) if len(part) == 1 else [])

    def _derived(self, token: Token) -> list[tuple[str, str]]:
        """'European' for the value 'Europe', 'rainy' for 'rain'."""
        word = token.word
        if len(word) < 5 or word in KNOWN_WORDS:
            return []
        for size in range(len(word) - 1, max(3, len(word) - 4), -1):
            found = [
                pair
                for key in (word[:size], word[:size] + "e")
                for pair in self._values.get(key, [])
                if pair[1].isalpha()
            ]
            if found:
                self.found.notes.append(f"{token.text!r} is read as {found[0][1]!r}")
                return found
        return []

    def _truth(self, at: int) -> int:
        """'where active is true', 'active = no'."""
        if not self._is_free_column(at):
            return 0
        columns = [n for n in self._token(at).columns if self.facts.column(n).flag]
        step, negated = at + 1, False
        while self._token(step).word in IS_WORDS | {"not"} and step < len(self.tokens):
            negated = negated or self._token(step).word == "not"
            step += 1
        word = self._token(step).word
        if len(columns) == 1 and word not in ("true", "yes", "false", "no"):
            return self._told(at, columns[0])
        if len(columns) != 1:
            return 0
        self._add_flag(columns[0], (word in ("true", "yes")) != negated)
        return step + 1 - at

    def _told(self, at: int, column: str) -> int:
        """A yes-or-no column as an adjective or verb: 'returned orders', 'were not returned'."""
        before, after = self._token(at - 1).word, self._token(at + 1)
        stated = before in words("were was are is been got not who that people rows records")
        stated = stated or self._token(at - 1).entity
        describes = after.entity or (after.kind == "word" and after.word not in KNOWN_WORDS)
        rows = after.word in ("rows", "records", "entries")
        if not (stated or describes or rows) or before in ("by", "per"):
            return 0
        self._add_flag(column, before != "not")
        return 1

    def _add_flag(self, column: str, holds: bool) -> None:
        boolean = self.facts.column(column).kind == "boolean"
        self._add(column, "=", (holds if boolean else float(holds),))

    def _time(self, at: int) -> int:
        """'in 2012', 'on 2012-03-04', 'in March 2012', 'in March'."""
        token, before = self._token(at), self._token(at - 1).word
        if token.kind == "number" and is_year(token) and before in _DATE_WORDS | {"and", "or"}:
            return 1 if self._year_condition("=", token) else 0
        if token.kind == "date" and (column := self._date_column()):
            self._date_condition(column.name, "=", token.text)
            return 1
        if token.word in ("q1", "q2", "q3", "q4") and (column := self._date_column()):
            self._add(column.name, "=", (float(token.word[1]),), "quarter")
            return 1
        month = month_number(token)
        if not month or (token.word in ("may", "march") and not token.text[:1].isupper()):
            return 0
        dates = self._date_column()
        if dates is None:
            return 0
        self._add(dates.name, "=", (float(month),), "month")
        following = self._token(at + 1)
        if following.kind == "number" and is_year(following):
            return 2 if self._year_condition("=", following) else 1
        return 1
