"""What every reader of filters needs: the tokens, the table, and what was found so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from genesis.agents.data_analyst.columns import ColumnFacts, TableFacts
from genesis.agents.data_analyst.query import Condition
from genesis.agents.data_analyst.tokens import Token


@dataclass(slots=True)
class Filters:
    """What was found: the conditions, the tokens they took, and what was assumed or is wrong."""

    conditions: list[Condition] = field(default_factory=list[Condition])
    used: set[int] = field(default_factory=set[int])
    notes: list[str] = field(default_factory=list[str])
    problem: str = ""


class FilterBase:
    """One clause of tokens over a table, and the filters found in it."""

    def __init__(self, tokens: Sequence[Token], facts: TableFacts) -> None:
        self.tokens = tokens
        self.facts = facts
        self.found = Filters()

    def _token(self, at: int) -> Token:
        return self.tokens[at] if 0 <= at < len(self.tokens) else Token("", "mark")

    def _is_free_column(self, at: int) -> bool:
        return self._token(at).kind == "column" and at not in self.found.used

    def _add(
        self, column: str, op: str, values: tuple[str | float | bool, ...], part: str = ""
    ) -> None:
        self.found.conditions.append(Condition(column, op, values, part))

    def _pick(self, token: Token, date: bool) -> ColumnFacts | None:
        kinds = ("date",) if date else ("number",)
        if token.entity:  # 'more than 40 orders' does not compare with their ids
            return None
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
