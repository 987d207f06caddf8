"""The filters in a question, left to right: comparisons, and those of its values and times."""

from __future__ import annotations

from genesis.agents.data_analyst.columns import words_of
from genesis.agents.data_analyst.filters import Filters
from genesis.agents.data_analyst.moments import DATE_WORDS, TimeFilters
from genesis.agents.data_analyst.named_values import ValueFilters
from genesis.agents.data_analyst.tokens import Token
from genesis.agents.data_analyst.values import constant, is_year, merge
from genesis.agents.data_analyst.vocabulary import (
    AGGREGATE_WORDS,
    COMPARATIVES,
    COMPARING,
    COMPARISONS,
    IS_WORDS,
    LENGTHS,
    MEASURING,
    MISSING_WORDS,
    NOT_WORDS,
    OPEN_ENDS,
    UNITS,
)

_SPANNING = ("over", "after", "since", "from", "before", "until", "through", "up")
"""Words that compare only with a number or a date; 'sales over time' compares nothing."""
_OPPOSITE = {"=": "!=", "!=": "=", ">": "<=", "<=": ">", "<": ">=", ">=": "<"}


class FilterReader(ValueFilters, TimeFilters):
    """Reads the filters of one clause."""

    def read(self) -> Filters:
        """All filters of the clause."""
        at = 0
        while at < len(self.tokens):
            took = 0
            for reader in (
                self._between, self._missing, self._contained, self._signed, self._compared,
                self._value, self._time,
            ):  # fmt: skip
                took = reader(at)
                if took:
                    break
            if took:
                self.found.used.update(range(at, at + took))
            at += took or 1
        self.found.conditions = merge(self.found.conditions)
        return self.found

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
                return column.name, at - back, self._own_unit(column.name, after)
        if not date and (measured := self._by_unit(at, after)):
            return measured
        skip = after
        while self._token(skip).word in ("of", "in", "for", "the"):
            skip += 1
        if self._is_free_column(skip) and not date:
            column = self._pick(self.tokens[skip], date)
            if column:
                return column.name, 0, skip + 1 - after
        if date and (column := self._date_column()):
            return column.name, 0, 0
        numbers = self.facts.of_kind("number")
        if self._token(at).word in LENGTHS or self._token(skip).word in UNITS:
            numbers = ()
        if not date and len(numbers) == 1 and self._token(skip).kind != "column":
            return numbers[0].name, 0, 0
        return "", 0, 0

    def _own_unit(self, name: str, at: int) -> int:
        """1 for the unit that a column bears in its name: 'weight over 5 kg' of "weight_kg"."""
        token = self._token(at)
        unit = UNITS.get(token.word, frozenset[str]())
        borne = UNITS.get(words_of(name)[-1], frozenset[str]()) if words_of(name) else unit
        if unit and borne and unit != borne:
            self.found.problem = f"{name} is not in {token.text}; ask for it in its own unit"
        return int(bool(unit) and unit == borne and token.kind == "word")

    def _by_unit(self, at: int, after: int) -> tuple[str, int, int] | None:
        """'longer than 5 km' is of the one column in km, 'cost under 5' of that of prices."""
        numbers = self.facts.of_kind("number")
        written = self._token(after).word
        unit = UNITS.get(written, frozenset[str]())
        meant = MEASURING.get(self._token(at - 1).word, frozenset[str]())
        told = [c for c in numbers if meant & set(words_of(c.name))]
        borne = [c for c in numbers if unit & set(words_of(c.name)[-1:])]
        if "min" in unit:  # "temp_min" is no column of minutes
            borne = [c for c in borne if words_of(c.name)[-1] != "min" or c in told]
        bare = [c for c in told if not set(words_of(c.name)) & UNITS.keys()]
        if unit and not borne and len(bare) == 1:
            borne = bare
            self.found.notes.append(f"{bare[0].name} is taken to be in {written}")
        fitting = borne if unit else told
        if len(fitting) != 1:
            return None
        taken = int(bool(meant) and self._token(at - 1).kind == "word")
        return fitting[0].name, taken, int(bool(unit))

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

    def _missing(self, at: int) -> int:
        """'where city is (not) missing', 'with no city', 'do not have a city', 'have a city'."""
        return self._lacking(at) or self._having(at) or self._stated_missing(at)

    def _lacking(self, at: int) -> int:
        word, step = self._token(at).word, at + 1
        if word in ("don't", "doesn't", "didn't", "not"):
            if self._token(step).word not in ("have", "has", "had", "contain"):
                return 0
            step += 1
        elif word not in ("no", "without", "lack", "lacks", "lacking"):
            return 0
        while self._token(step).word in ("a", "an", "any", "the"):
            step += 1
        if not self._is_alone(step):
            return 0
        column = self.facts.column(self._token(step).columns[0])
        if column.flag:
            self._add_flag(column.name, False)
            return step + 1 - at
        none = column.kind == "number" and not column.missing and word in ("no", "without")
        self._add(column.name, "=" if none else "missing", (0.0,) if none else ())
        if self._token(at - 1).word in ("do", "does", "did"):
            self.found.used.add(at - 1)
        return step + 1 - at

    def _having(self, at: int) -> int:
        """'how many orders have a rating' counts those whose rating is not missing."""
        counted = {"many", "number", "percentage", "share", "percent"} & {
            token.word for token in self.tokens[:at]
        }
        verb = self._token(at).word in ("have", "has", "had", "having", "with")
        if not (verb and counted and self._token(at + 1).word in ("a", "an", "any")):
            return 0
        if not self._is_alone(at + 2) or self.facts.column(self._token(at + 2).columns[0]).flag:
            return 0
        self._add(self._token(at + 2).columns[0], "present", ())
        return 3

    def _is_alone(self, at: int) -> bool:
        """Whether a column stands there of which nothing more is said."""
        following = self._token(at + 1)
        open_ended = following.kind in ("mark", "word") and (
            following.word in COMPARING | IS_WORDS | {"missing", "equal", "at", "more", "less"}
        )
        free = self._is_free_column(at) and len(self._token(at).columns) == 1
        return free and not open_ended and following.kind not in ("number", "quoted", "date")

    def _stated_missing(self, at: int) -> int:
        if not self._is_free_column(at) or len(self._token(at).columns) != 1:
            return 0
        step = at + 1
        if self._token(step).word not in IS_WORDS | {"isn't", "not", "aren't"}:
            return 0
        negated = False
        while self._token(step).word in IS_WORDS | {"isn't", "not", "aren't"}:
            negated = negated or self._token(step).word in ("isn't", "not", "aren't")
            step += 1
        if self._token(step).word not in MISSING_WORDS or not (
            negated or self._token(step - 1).word in IS_WORDS
        ):
            return 0
        object_ = step + 1
        while self._token(object_).word in ("a", "an", "any", "the", "their"):
            object_ += 1
        if self._is_free_column(object_) and len(self._token(object_).columns) == 1:
            self._add(self._token(object_).columns[0], "present" if negated else "missing", ())
            return object_ + 1 - at
        self._add(self._token(at).columns[0], "present" if negated else "missing", ())
        return step + 1 - at

    def _beside(self, at: int) -> int:
        """'quantity below reorder level': two columns of numbers of the same row."""
        left, op, step = self._token(at), "", at + 1
        while self._token(step).word in IS_WORDS - {"of", "=", "=="}:
            step += 1
        for phrase, meant in COMPARISONS:
            size = len(phrase)
            words = tuple(self._token(step + i).word for i in range(size))
            if meant in (">", ">=", "<", "<=") and words == phrase and words[0] not in _SPANNING:
                op, step = meant, step + size
                break
        while self._token(step).word in ("the", "their", "its"):
            step += 1
        right = self._token(step)
        if not op or not self._is_free_column(step) or left.columns == right.columns:
            return 0
        plain = all(
            not t.entity and [self.facts.column(n).kind for n in t.columns] == ["number"]
            for t in (left, right)
        )
        before = {self._token(at - 1).word, self._token(at - 2).word}
        if not plain or before & {*AGGREGATE_WORDS, *NOT_WORDS, "no", "than", "by"}:
            return 0
        self._add(left.columns[0], f"{op} column", right.columns)
        return step + 1 - at

    def _compared(self, at: int) -> int:
        if self._is_free_column(at) and (took := self._beside(at)):
            return took
        for phrase, op in COMPARISONS:
            size = len(phrase)
            if tuple(self._token(at + i).word for i in range(size)) != phrase:
                continue
            token, width = self._moment(at + size)
            if token.kind not in ("number", "date"):
                continue
            years = phrase[0] in DATE_WORDS and token.kind == "number" and is_year(token)
            if years and self._year_condition(op, token):
                return size + 1
            date = token.kind == "date"
            column, before, after = self._compared_column(at, at + size + width, date)
            if not column:
                continue
            if date:
                self._date_condition(column, op, token.text)
            else:
                if self._token(at - 1).word in ("not", "isn't", "aren't"):
                    op = _OPPOSITE[op]
                    self.found.used.add(at - 1)
                self._add(column, op, (constant(token),))
            self.found.used.update(range(at - before, at))
            return size + width + after
        return self._comparative(at) or self._equal_number(at)

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
            return self._open_ended_before(at)
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
        if others := self._alternatives(step + 1):
            values = (constant(token), *map(constant, others))
            self._add(column.name, "not in" if negated else "in", values)
            return step + 1 + 2 * len(others) - at
        op, width = self._open_end(step + 1)
        self._add(column.name, op or ("!=" if negated else "="), (constant(token),))
        return step + 1 + width - at

    def _alternatives(self, at: int) -> list[Token]:
        """'or 5' after 'a satisfaction of 4', ', 4 or 5' after one of 3: the other numbers."""
        others: list[Token] = []
        while self._token(at).word in ("or", ",") and self._token(at + 1).kind == "number":
            others.append(self._token(at + 1))
            at += 2
        following = self._token(at)
        ends = following.kind != "column" and following.word not in ("or", "and", "%", ",")
        told = bool(others) and self._token(at - 2).word == "or" and ends
        return others if told and following.word not in COMPARING | set(OPEN_ENDS) else []

    def _signed(self, at: int) -> int:
        """'negative amounts', 'with a positive balance': the side of zero of a column."""
        op = {"negative": "<", "positive": ">"}.get(self._token(at).word, "")
        if not op or not self._is_free_column(at + 1) or len(self._token(at + 1).columns) != 1:
            return 0
        column = self._pick(self._token(at + 1), False)
        if column is None or self._token(at - 1).word in NOT_WORDS | {"no", "or", "and"}:
            return 0
        self._add(column.name, op, (0.0,))
        return 2

    def _open_end(self, at: int) -> tuple[str, int]:
        """'or more', 'and above', 'or less' after a number: the operator and its tokens."""
        if self._token(at).word not in ("or", "and"):
            return "", 0
        op = OPEN_ENDS.get(self._token(at + 1).word, "")
        following = self._token(at + 2)
        if following.word == "than" or following.kind == "number":
            return "", 0
        return op, 2 if op else 0

    def _open_ended_before(self, at: int) -> int:
        """'5 or more stars'."""
        op, width = self._open_end(at + 1)
        if self._token(at).kind != "number" or not op or not self._is_free_column(at + 1 + width):
            return 0
        column = self._pick(self._token(at + 1 + width), False)
        if column is None:
            return 0
        self._add(column.name, op, (constant(self._token(at)),))
        return 2 + width

    def _comparative(self, at: int) -> int:
        """'older than 40' is of the one column of ages, 'cheaper than 5' of that of prices."""
        op, meant = COMPARATIVES.get(self._token(at).word, ("", frozenset[str]()))
        number = self._token(at + 2)
        if not op or self._token(at + 1).word != "than" or number.kind != "number":
            return 0
        fitting = [c for c in self.facts.of_kind("number") if meant & set(words_of(c.name))]
        if len(fitting) != 1:
            return 0
        self._add(fitting[0].name, op, (constant(number),))
        return 3 + self._own_unit(fitting[0].name, at + 3)
