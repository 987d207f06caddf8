"""The words that questions about data are made of."""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """The words of a text as a set."""
    return frozenset(text.split())


AGGREGATE_WORDS = {
    "mean": "mean", "average": "mean", "avg": "mean", "averages": "mean", "averaged": "mean",
    "median": "median", "min": "min", "minimum": "min", "max": "max", "maximum": "max",
    "sum": "sum", "total": "sum", "totals": "sum", "summed": "sum", "combined": "sum",
    "std": "std", "stdev": "std", "stddev": "std", "deviation": "std", "variance": "var",
    "means": "mean", "medians": "median",
}  # fmt: skip
HIGH = words(
    "highest largest greatest biggest most max maximum top best peak longest tallest busiest"
)
LOW = words("lowest smallest least fewest min minimum bottom worst shortest quietest")
MISSING_WORDS = words(
    "missing null nulls nan nans na blank blanks empty absent incomplete unknowns gaps"
)
DUPLICATE_WORDS = words("duplicate duplicates duplicated duplication repeated")
DISTINCT_WORDS = frozenset(["distinct", "unique", "different"])
CORRELATION_WORDS = words("correlation correlated correlate correlations pearson")
SHARE_WORDS = words("share percentage percent proportion fraction percentages % shares")
RATIO_WORDS = frozenset(["ratio", "ratios", "divided", "quotient"])
PERIOD_WORDS = words("period timespan span covered cover covers")
DESCRIBE_WORDS = words(
    "describe statistics stats distribution histogram summarise summarize summary spread"
)
TREND_WORDS = words("trend trends evolution evolve evolved develop developed time")
COMMON_WORDS = words("common frequent frequently commonly often popular mode")
COUNT_WORDS = words("count counts number many frequency frequencies breakdown counted")
COLUMN_WORDS = words("column columns field fields variable variables")
ROW_WORDS = words(
    "row rows record records entry entries observation observations line lines sample samples "
    "item items case cases example examples instance instances datum points values"
)
EARLIEST = words("earliest oldest first start starts begin begins")
LATEST = words("latest newest last recent end ends")
BY_WORDS = words("by per each every across grouped")

GRAINS = {
    "year": "year", "years": "year", "yearly": "year", "annual": "year", "annually": "year",
    "quarter": "quarter", "quarters": "quarter", "quarterly": "quarter",
    "month": "month", "months": "month", "monthly": "month",
    "week": "week", "weeks": "week", "weekly": "week",
    "day": "day", "days": "day", "daily": "day", "date": "day", "dates": "day",
    "hour": "hour of day", "hours": "hour of day", "hourly": "hour of day",
    "weekday": "weekday", "weekdays": "weekday",
}  # fmt: skip
MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september",
    "october", "november", "december",
)  # fmt: skip
WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
NUMBERS = dict(
    zip(
        ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"],
        range(1, 11),
        strict=True,
    )
)
COMPARISONS = (
    (("greater", "than", "or", "equal", "to"), ">="),
    (("less", "than", "or", "equal", "to"), "<="),
    (("no", "more", "than"), "<="),
    (("no", "less", "than"), ">="),
    (("not", "equal", "to"), "!="),
    (("equal", "to"), "="),
    (("greater", "than"), ">"), (("more", "than"), ">"), (("higher", "than"), ">"),
    (("larger", "than"), ">"), (("bigger", "than"), ">"), (("later", "than"), ">"),
    (("less", "than"), "<"), (("fewer", "than"), "<"), (("lower", "than"), "<"),
    (("smaller", "than"), "<"), (("earlier", "than"), "<"),
    (("longer", "than"), ">"), (("shorter", "than"), "<"),
    (("at", "least"), ">="), (("at", "most"), "<="), (("up", "to"), "<="),
    (("over",), ">"), (("above",), ">"), (("exceeds",), ">"), (("exceeding",), ">"),
    (("exceed",), ">"), (("exceeded",), ">"), (("after",), ">"), (("since",), ">="),
    (("from",), ">="),
    (("under",), "<"), (("below",), "<"), (("before",), "<"), (("until",), "<="),
    (("through",), "<="),
    ((">=",), ">="), (("<=",), "<="), (("!=",), "!="), (("<>",), "!="), (("==",), "="),
    ((">",), ">"), (("<",), "<"), (("=",), "="), (("equals",), "="),
)  # fmt: skip
IS_WORDS = words("is are was were equals = == of : as has being")
NOT_WORDS = words("not isn't except excluding without other != <> aren't wasn't")

OPEN_ENDS = {
    **dict.fromkeys(words("more above higher greater over larger later after up older"), ">="),
    **dict.fromkeys(words("less fewer below lower under smaller earlier before younger"), "<="),
}
"""What ends 'or' after a number, as in '3 or more', and the operator that it makes."""
_AGE, _PRICE = frozenset(("age",)), words("price cost fare fee")
_HEIGHT, _WEIGHT = words("height tall"), words("weight mass")
_SPEED, _HEAT = frozenset(("speed",)), words("temp temperature")
COMPARATIVES = {
    "older": (">", _AGE), "younger": ("<", _AGE),
    "costlier": (">", _PRICE), "dearer": (">", _PRICE), "cheaper": ("<", _PRICE),
    "taller": (">", _HEIGHT), "heavier": (">", _WEIGHT), "lighter": ("<", _WEIGHT),
    "faster": (">", _SPEED), "slower": ("<", _SPEED),
    "hotter": (">", _HEAT), "warmer": (">", _HEAT), "colder": ("<", _HEAT), "cooler": ("<", _HEAT),
}  # fmt: skip
"""Comparatives that say of which column they are, by a word of its name."""
_LASTING = words("duration runtime length minutes hours seconds")
_UNITS = (
    words("km kms kilometers kilometres kilometer kilometre"), words("mile miles mi"),
    words("minute minutes mins min"), words("hour hours hrs hr"), words("second seconds secs sec"),
    words("day days"), words("kg kgs kilos kilograms"), words("gram grams"), words("cm"),
    words("meter meters metres"), words("year years"), words("euro euros eur"),
    words("dollar dollars usd"),
)  # fmt: skip
UNITS = {unit: alike for alike in _UNITS for unit in alike}
"""Units by each way to write them; a column may bear one as the last word of its name."""
MEASURING = {
    **dict.fromkeys(words("cost costs costing"), _PRICE),
    **dict.fromkeys(words("lasted lasting lasts last took"), _LASTING),
    **dict.fromkeys(words("earn earns earning"), words("income salary wage wages earnings")),
    **dict.fromkeys(words("weigh weighs weighing weighed"), _WEIGHT),
}
"""Verbs before a comparison that say of which column it is, by a word of its name."""
LENGTHS = words("longer shorter")
"""Comparatives of both distances and durations: the unit tells which."""
SUPERLATIVES = {
    "oldest": ("highest", _AGE), "youngest": ("lowest", _AGE),
    "costliest": ("highest", _PRICE), "dearest": ("highest", _PRICE),
    "cheapest": ("lowest", _PRICE), "tallest": ("highest", _HEIGHT),
    "heaviest": ("highest", _WEIGHT), "lightest": ("lowest", _WEIGHT),
    "fastest": ("highest", _SPEED), "slowest": ("lowest", _SPEED),
    "hottest": ("highest", _HEAT), "warmest": ("highest", _HEAT),
    "coldest": ("lowest", _HEAT), "coolest": ("lowest", _HEAT),
}  # fmt: skip
"""The same for superlatives."""
NEGATIONS = words(
    "not isn't except excluding exclude without != <> aren't wasn't weren't no don't doesn't "
    "didn't never nor neither ignoring besides apart unless outside instead"
)
"""Words that turn a question around; one that no filter used must not be passed over."""

REFUSED = words(
    "predict forecast predicted why second third fourth fifth percentile percentiles quartile "
    "cumulative rolling running moving growth increase decrease increased decreased increasing "
    "decreasing difference differ differs differed change changed outlier outliers regression "
    "grow grows grew grown growing rise rises rose risen fall falls fell decline declined "
    "declines gain gained next previous ago today yesterday tomorrow cluster weighted weighed "
    "geometric harmonic negative positive"
)
"""Words that ask for something that is not offered; answering without them would mislead."""

STOP_WORDS = words(
    "a an the is are was were be been being do does did have has had having it its it's this "
    "that these those there here i me my we us our you your they them their of in on at to "
    "for from with within into about and or but then than also as so if please can could "
    "would should will shall tell show give list find compute calculate get report what which "
    "who whom whose when where how much many what's who's whats value values data dataset "
    "file table csv tsv json parquet all any some each every per by grouped group across "
    "overall whole entire exist exists present recorded contain contains contained hold holds "
    "include includes using use based only just out up over between let want need know like "
    "see load read open look analyse analyze analysis answer question questions question's "
    "number count total figure figures following namely respectively both either new given "
    "during among amongst respect terms row rows record records has rate level levels amount "
    "sheet spreadsheet plot draw chart graph make create write produce display print return "
    "provide determine examine check inspect explore study evaluate measure measured observed "
    "seen one ones broken down breakdown sorted ordered order ranking ranked rank column "
    "columns field fields compare compared comparison versus vs against more less most least "
    "equal appear appears occur occurs occurred happen happened belong belongs come comes "
    "available stored different no not yes true false same kind kinds type types category "
    "categories group groups time times single individual actual really exactly currently "
    "altogether together descending ascending desc asc alphabetically s e g"
)
"""Words that change nothing about what is asked."""

HARMLESS = words(
    "placed made recorded listed registered received taken given sold ordered bought reported "
    "observed measured counted found shown included logged collected entered created issued opened"
)
"""Verbs that say no more than that the rows exist."""

OVERVIEW_WORDS = words(
    "analyse analyze analysis profile explore overview summarise summarize summary describe "
    "insight insights inspect examine understand report"
)
COMPARING = words(
    "over above exceeds exceeding exceed exceeded after since under below before until between "
    "than > < >= <= = != earlier later higher lower bigger smaller larger"
)
"""Words that compare; one that found nothing to compare with must not be passed over."""
KNOWN_WORDS = (
    frozenset(AGGREGATE_WORDS) | HIGH | LOW | MISSING_WORDS | DUPLICATE_WORDS | DISTINCT_WORDS
    | CORRELATION_WORDS | SHARE_WORDS | RATIO_WORDS | PERIOD_WORDS | DESCRIBE_WORDS
    | TREND_WORDS | COMMON_WORDS | COUNT_WORDS | COLUMN_WORDS | ROW_WORDS | BY_WORDS
    | STOP_WORDS | NOT_WORDS | OVERVIEW_WORDS | EARLIEST | LATEST | frozenset(GRAINS)
    | frozenset(NUMBERS) | {"range", "standard", "sorted"}
)  # fmt: skip
"""Every word that has a meaning of its own, or none."""
KEYWORDS = (
    KNOWN_WORDS
    - frozenset(GRAINS)
    - words(
        "time type category group level rate rank amount order period value kind types categories "
        "levels amounts recent times first last start end record number year different example "
        "share item case best peak items cases sample line point span cover range standard"
    )
)
"""Words that name a column only where the sentence makes that plain."""
