"""Filters by a value that the question names: texts of a column, yes and no, parts of texts."""

from __future__ import annotations

from collections.abc import Sequence

from genesis.agents.data_analyst.columns import YES, TableFacts, stem, words_of
from genesis.agents.data_analyst.filters import FilterBase
from genesis.agents.data_analyst.tokens import MAX_SPAN, Token
from genesis.agents.data_analyst.values import folded, striking, value_index
from genesis.agents.data_analyst.vocabulary import (
    BY_WORDS,
    GRAINS,
    HARMLESS,
    IS_WORDS,
    KNOWN_WORDS,
    NOT_WORDS,
    ROW_WORDS,
    STOP_WORDS,
    words,
)

_BEFORE_VALUE = (
    IS_WORDS | NOT_WORDS | words("the a in at from to than other equal for apart besides any all")
)
_EXCLUDING = words("excluding exclude except without ignoring besides")
_CONTAINING = {
    "contain": "contains", "contains": "contains", "containing": "contains",
    "contained": "contains", "include": "contains", "includes": "contains",
    "including": "contains", "mention": "contains", "mentions": "contains",
    "mentioning": "contains", "start": "starts with", "starts": "starts with",
    "starting": "starts with", "begin": "starts with", "begins": "starts with",
    "beginning": "starts with", "end": "ends with", "ends": "ends with",
    "ending": "ends with",
}  # fmt: skip

_JOINING = words("and or nor the from in ,")
_STATES = words("open new used stored available single individual different given same actual")
"""Words of any question that may also be the state of a thing."""
_TELLING = words("is are was were be been being still currently now already not isn't aren't")
_ENDS = {
    "from": words("start from origin source departure begin src"),
    "to": words("end to destination dest target arrival"),
}
"""Words in the name of a column of places that 'from' or 'to' before a place means."""
_PAYING = words("payment pay paid tender")
"""Words in the name of a column of ways to pay."""
_OF_MANY = words("of many for all among only")
_BEFORE_CONTAINING = words("that which is are was were do does did not don't doesn't didn't to")


class ValueFilters(FilterBase):
    """Reads filters by named values."""

    def __init__(self, tokens: Sequence[Token], facts: TableFacts) -> None:
        super().__init__(tokens, facts)
        self._values = value_index(facts)
        self._negated = ("", 0)

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
                and not self._is_state(at)
                and not self._is_letter(at, found)
            ):
                continue
            if span == 1 and not linked and self._is_grain(at):
                continue
            if not negated and (start := self._excluded(at, back, found)) >= 0:
                negated, back = True, start - 1
            if not negated and self._continues_negation(at, found):
                negated = True
            if linked and named:
                found = [pair for pair in found if pair[0] in named.columns]
                if self._token(back - 1).word not in ("each", "every", "per", "by"):
                    self.found.used.add(back)
            if len({name for name, _ in found}) > 1:
                found = self._told_apart(at, found)
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
            self._negated = (name, at + span) if negated else ("", 0)
            self.found.used.update(range(max(back + 1, 0), at))
            return span
        return self._owned(at) or self._truth(at)

    def _is_state(self, at: int) -> bool:
        """'are still open', 'open orders': a common word that is a value where a state is told."""
        token, before, after = self._token(at), self._token(at - 1).word, self._token(at + 1)
        if token.word not in _STATES:
            return False
        rows = after.entity or after.word in ROW_WORDS or after.kind == "column"
        names = after.kind == "word" and after.word not in KNOWN_WORDS
        joined = any(self._is_value_like(at, at + 2 * side) for side in (1, -1))
        return before in _TELLING or rows or names or joined

    def _is_value_like(self, at: int, other: int) -> bool:
        """'open or pending': two values of one column with an 'or' between."""
        if self._token((at + other) // 2).word not in ("or", "and", ","):
            return False
        own, near = (self._values.get(self._token(i).word, []) for i in (at, other))
        return bool({name for name, _ in own} & {name for name, _ in near})

    def _is_letter(self, at: int, found: Sequence[tuple[str, str]]) -> bool:
        """'got an A': a capital after an article."""
        text, article = self._token(at).text, self._token(at - 1).word in ("a", "an")
        return article and text.isupper() and any(value == text for _, value in found)

    def _is_grain(self, at: int) -> bool:
        """'hour of the day', 'per day', 'which day' speak of time also where "day" is a value."""
        step = at - 1
        while self._token(step).word in ("the", "each", "every"):
            step -= 1
        before = self._token(step).word
        timed = before in BY_WORDS | {"each", "which", "what"} or (
            before == "of" and self._token(step - 1).word in GRAINS
        )
        return self._token(at).word in GRAINS and timed

    def _told_apart(self, at: int, found: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Of columns alike ("start_station", "end_station") those that the question means."""
        names = list(dict.fromkeys(name for name, _ in found))
        shared = set[str].intersection(*(set(words_of(name)) for name in names))
        if not shared:
            return found
        said = {stem(word) for token in self.tokens for word in words_of(token.text)}
        ends = _ENDS.get(self._token(at - 1).word, frozenset[str]())
        for meant in (ends, said - shared):
            fitting = [name for name in names if meant & set(map(stem, words_of(name)))]
            if len(fitting) == 1:
                return [pair for pair in found if pair[0] == fitting[0]]
        self.found.problem = (
            f"{self._token(at).text!r} may be of {' or '.join(names)}; name one of them"
        )
        return found

    def _before_value(self, at: int) -> tuple[int, bool]:
        """Where a column before a value may be, and whether a 'not' lies between."""
        back, negated = at - 1, False
        while (
            back >= 0
            and self.tokens[back].kind != "column"
            and (self.tokens[back].word in _BEFORE_VALUE)
        ):
            word = self.tokens[back].word
            negated = negated or word in NOT_WORDS or word in ("other", "apart", "besides")
            back -= 1
        if not self._is_free_column(back) and not negated:
            back = at - 1
        return back, negated

    def _continues_negation(self, at: int, found: Sequence[tuple[str, str]]) -> bool:
        """'without Delta and United' leaves out both."""
        name, end = self._negated
        between = {token.word for token in self.tokens[end:at]}
        return any(name == column for column, _ in found) and between <= _JOINING

    def _excluded(self, at: int, back: int, found: Sequence[tuple[str, str]]) -> int:
        """Where what excludes a value stands, or -1."""
        return max(self._excluded_rows(back), self._not_done(at, found))

    def _not_done(self, at: int, found: Sequence[tuple[str, str]]) -> int:
        """Where 'not' stands in 'not paid in cash', 'not located in Oslo', or -1."""
        step = at - 1
        while self._token(step).word in ("in", "by", "with", "via", "a", "the"):
            step -= 1
        parts = {part for name, _ in found for part in words_of(name)}
        paid = self._token(step).word == "paid" and parts & _PAYING
        placed = self._token(step).word in ("located", "based", "situated")
        told = (paid or placed) and step < at - 1 and self._token(step).kind == "word"
        negating = ("not", "isn't", "aren't", "wasn't", "weren't")
        return step - 1 if told and self._token(step - 1).word in negating else -1

    def _excluded_rows(self, at: int) -> int:
        """Where 'excluding' stands in 'excluding the orders from Oslo', or -1."""
        if not (self._token(at).entity or self._token(at).word in ROW_WORDS):
            return -1
        while self._token(at - 1).word in ("the", "all", "any"):
            at -= 1
        return at - 1 if self._token(at - 1).word in _EXCLUDING else -1

    def _contained(self, at: int) -> int:
        """'names that contain Municipal', 'note starts with "late"': a part of a text."""
        token = self._token(at)
        texts = [n for n in token.columns if self.facts.column(n).kind == "text"]
        if not self._is_free_column(at) or len(texts) != 1:
            return 0
        step, negated = at + 1, False
        while self._token(step).word in _BEFORE_CONTAINING:
            negated = negated or self._token(step).word in NOT_WORDS
            step += 1
        op = _CONTAINING.get(self._token(step).word, "")
        step += 1
        while self._token(step).word in ("with", "the", "word", "text", "string", "letter", "in"):
            step += 1
        wanted = self._token(step)
        if not op or wanted.kind == "column" or (
            wanted.kind != "quoted" and (wanted.kind == "mark" or wanted.word in STOP_WORDS)
        ):  # fmt: skip
            return 0
        self._add(texts[0], f"not {op}" if negated else op, (wanted.text,))
        return step + 1 - at

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
        if len(word) < 5 or word in KNOWN_WORDS | HARMLESS:
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
        stated = stated or self._token(at - 1).entity or self._is_label(at - 1)
        describes = after.entity or (after.kind == "word" and after.word not in KNOWN_WORDS)
        rows = after.word in ("rows", "records", "entries")
        listed = before in ("the", "me", "all", "list", "show", *_OF_MANY)
        if listed and after.kind == "column" and len(after.columns) == 1:
            thing = self.facts.column(after.columns[0])
            describes = describes or (thing.kind == "text" and not thing.flag)
        prefix = words_of(column)[:1]
        if prefix[:1] and prefix[0] in ("is", "has", "was") and before in _OF_MANY:
            things = prefix[0] == "has" and self._token(at).word.endswith("s")
            short = prefix[0] not in words_of(self._token(at).text) and not things
            stated = stated or short  # 'of managers', 'how many managers' beside "is_manager"
        if not (stated or describes or rows) or before in ("by", "per"):
            return 0
        if before == "not":
            self.found.used.add(at - 1)
        self._add_flag(column, before != "not")
        return 1

    def _is_label(self, at: int) -> bool:
        """'students' of 'how many students passed', where each row is another student."""
        names = self._token(at).columns
        many = self._token(at - 1).word in _OF_MANY
        return many and len(names) == 1 and self.facts.is_label(self.facts.column(names[0]))

    def _owned(self, at: int) -> int:
        """'have a pool', 'with at least 4 rooms and a pool': a yes-or-no column as a thing."""
        if self._token(at).word not in ("a", "an", "any") or not self._is_free_column(at + 1):
            return 0
        names = self._token(at + 1).columns
        before = self._token(at - 1).word
        having = {"have", "has", "had", "having", "with"} & {t.word for t in self.tokens[:at]}
        chained = before in ("and", ",") and having
        if len(names) != 1 or not self.facts.column(names[0]).flag:
            return 0
        if not (chained or before in ("have", "has", "had", "having", "with")):
            return 0
        self._add_flag(names[0], True)
        return 2

    def _add_flag(self, column: str, holds: bool) -> None:
        facts = self.facts.column(column)
        if facts.kind == "text":
            said = tuple(v for v in facts.values if (v.strip().casefold() in YES) == holds)
            self._add(column, "=" if len(said) == 1 else "in", said)
            return
        self._add(column, "=", (holds if facts.kind == "boolean" else float(holds),))
