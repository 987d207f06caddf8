"""Filters by time: years, months, quarters, weekdays and dates."""

from __future__ import annotations

from genesis.agents.data_analyst.columns import stem, words_of
from genesis.agents.data_analyst.filters import FilterBase
from genesis.agents.data_analyst.tokens import Token
from genesis.agents.data_analyst.values import day_span, is_year, month_number
from genesis.agents.data_analyst.vocabulary import WEEKDAYS, words

DATE_WORDS = words("in during for of on from since after before until through to year")
"""Words that a date or a year follows."""


def _weekdays(word: str, before: str) -> tuple[float, ...]:
    """The days, Monday as 1, that 'Mondays', 'weekends' or 'on weekdays' names."""
    if word in ("weekend", "weekends"):
        return (6.0, 7.0)
    if word in ("weekday", "weekdays") and before == "on":
        return (1.0, 2.0, 3.0, 4.0, 5.0)
    return tuple(
        float(number)
        for number, day in enumerate(WEEKDAYS, 1)
        if word.removesuffix("s") == day.casefold()
    )


class TimeFilters(FilterBase):
    """Reads filters by time."""

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

    def _moment(self, at: int) -> tuple[Token, int]:
        """The token to compare with and how many tokens it takes: "June 2021" is one month."""
        token, year = self._token(at), self._token(at + 1)
        if (month := month_number(token)) and year.kind == "number" and is_year(year):
            return Token(f"{year.text}-{month:02d}", "date"), 2
        return token, 1

    def _date_between(self, column: str, low: str, high: str) -> None:
        first, _ = day_span(low)
        _, past = day_span(high)
        self._add(column, ">=", (first,))
        self._add(column, "<" if len(high) <= 10 else "<=", (past,))

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

    def _time(self, at: int) -> int:
        """'in 2012', 'on 2012-03-04', 'in March 2012', 'in March'."""
        token, before = self._token(at), self._token(at - 1).word
        if token.kind == "number" and is_year(token) and before in DATE_WORDS | {"and", "or"}:
            return 1 if self._year_condition("=", token) else 0
        if token.kind == "date" and (column := self._date_column()):
            self._date_condition(column.name, "=", token.text)
            return 1
        if days := _weekdays(token.word, before):
            dates = self._date_column()
            if dates is None:
                return 0
            self._add(dates.name, "in" if len(days) > 1 else "=", days, "weekday")
            return 1
        if token.word in ("q1", "q2", "q3", "q4") and (column := self._date_column()):
            self._add(column.name, "=", (float(token.word[1]),), "quarter")
            step = at + 2 if self._token(at + 1).word in ("of", "in") else at + 1
            year = self._token(step)
            whole = year.kind == "number" and is_year(year) and self._year_condition("=", year)
            return step + 1 - at if whole else 1
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
