"""How numbers, dates and missing values may be written in a data file.

The patterns keep to the syntax that both RE2 and Python's `re` read.
"""

from __future__ import annotations

MISSING = (
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
)  # fmt: skip
"""What pandas reads as missing."""

PLACEHOLDERS = ("?", "-", "--", "---", "—", "–")  # noqa: RUF001 - dashes are what files hold
"""Cells that stand for no value in any column."""

NOT_NUMBERS = (
    "na", "n.a.", "n/a", "nan", "nil", "none", "null", "missing", "unknown", "undefined",
    "not available", "not applicable", ".", "..", "...", "*", "x", "#value!", "#div/0!", "#ref!",
    "tbd", "error", "invalid",
)  # fmt: skip
"""Cells (in lower case) that stand for no value where the rest of a column is numbers or dates."""

FILE_WIDE = (
    "na", "n.a.", "n/a", "nan", "nil", "none", "null", "missing", "undefined", "not available",
    "not applicable",
)  # fmt: skip
"""Of these the ones that stand for no value in some column of numbers or dates do so in texts."""

SENTINELS = (-999.0, -9999.0, -99999.0, -999999.0, -999.9, -999.99, -9999.9)
"""Numbers that stand for no value where all others are far above them."""

HIGH_SENTINELS = (9999.0, 99999.0, 999999.0, 9999999.0)
"""The same where all others are far below them."""

SENTINEL_TEXTS = ("-999", "-9999", "-99999", "-999999")
"""The same among texts none of which is a number."""

MOMENT_WORDS = (
    "timestamp", "time", "date", "datetime", "epoch", "ts", "created", "updated", "modified",
)  # fmt: skip
"""Words in the name of a column whose large whole numbers count seconds since 1970."""

EPOCH_SECONDS = (500_000_000, 4_200_000_000)
"""Seconds since 1970 that moments are recognised in: 1985 to 2103; or a thousand times as many."""

TRUTHS = ("true", "false")

PLAIN = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"
INTEGER = r"[+-]?[0-9]{1,18}"
_SIGN = r"[+-]?[$€£]? ?[+-]?"
_UNIT = r"( ?[%$€£])?"
COMMA_GROUPS = _SIGN + r"([0-9]{1,3}(,[0-9]{3})+|[0-9]+)(\.[0-9]*)?" + _UNIT
DECIMAL_COMMA = _SIGN + "([0-9]{1,3}([. '\u00a0\u202f][0-9]{3})+|[0-9]+)(,[0-9]+)?" + _UNIT
SURELY_DECIMAL_COMMA = (
    _SIGN + r"(0,[0-9]+|[0-9]+,([0-9]{1,2}|[0-9]{4,})|[0-9]{1,3}([.][0-9]{3})+,[0-9]+)" + _UNIT
)
DOT_GROUPS = r"[+-]?[0-9]{1,3}(\.[0-9]{3})*"
COMMA_JUNK = r"[$€£%, ]"
DOT_JUNK = "[$€£%.' \u00a0\u202f]"

NUMERIC_DATE = r"[0-9]{1,2}[/.-][0-9]{1,2}[/.-]([0-9]{4}|[0-9]{2})"
_CLOCK = r"[0-9]{1,2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?( ?[AaPp][Mm])?"
_MONTH = r"[A-Za-z]{3,9}\.?"
DATE = (
    r"([0-9]{4}[/.-][0-9]{1,2}([/.-][0-9]{1,2})?"
    + "|" + NUMERIC_DATE
    + "|" + _MONTH + r" [0-9]{1,2},? [0-9]{4}"
    + "|" + r"[0-9]{1,2}[ -]" + _MONTH + r"[ ,-]+[0-9]{4}"
    + "|" + _MONTH + r"[ -][0-9]{4})"
    + r"([T ]" + _CLOCK + r"( ?Z| ?[+-][0-9]{2}:?[0-9]{2}| UTC| GMT)?)?"
)  # fmt: skip
