"""What a request is about: the words that a result must take up to be about the same thing."""

from __future__ import annotations

import re

_WORD = re.compile(r"[^\W\d_]{3,}")
# What every request for code or text says, whatever it is about.
_GENERAL_TEXT = """
about across after again algorithm algorithms all also and annotations any appropriate are article
ask asked asks based been before behavior behaviour being below both brief build builds bullet
bullets can case cases class classes clear code complete comprehensive correct correctly could
create describe describing docstring docstrings document documentation does each edge efficient
efficiently essay every example examples explain explaining explains few file files following for
from function functions general generate get give given good handle handles handling has have
heading headings hints how implement implementation implementing implements including information
into its itself just least less letter library like line list long main make mentioning method
module more most much must need needs new not one only other our out over own page pages paragraph
paragraphs part piece please point points produce program project proper properly provide pytest
python readme report request required result results return returning returns robust script
section sections sentence sentences short should simple simply small software solution some source
standard such summary sure task tell test tested testing tests text than that the their them then
there these they this those three tool tools two type typed types unit use used user using very
want was way well were what when where which while will with within word words work working works
would write writes writing written yes you your
"""
_GENERAL = frozenset(_GENERAL_TEXT.split())
_POINTS_TO_REQUEST = re.compile(r"(?i)\bthe request\b")
_ENDINGS = ("ations", "ation", "ings", "ing", "ers", "ies", "ed", "er", "es", "s", "y", "e")
_MIN_STEM = 4
_ALL_UP_TO = 2


def topic_words(text: str) -> tuple[str, ...]:
    """The content words of a request in lower case, each once, in order."""
    words = (word.lower() for word in _WORD.findall(text))
    return tuple(dict.fromkeys(word for word in words if word not in _GENERAL))


def topic_of(description: str, request: str) -> tuple[str, ...]:
    """The content words of a task: of its description, or of the request that this points to."""
    own = () if _POINTS_TO_REQUEST.search(description) else topic_words(description)
    return own or topic_words(request)


def missing_words(words: tuple[str, ...], text: str) -> tuple[str, ...]:
    """Those of `words` that a text takes up in no form (plural, -ing, or inside a compound).

    Compounds count because code writes them together: "quick sort" is in "quicksort", and
    "quicksort" in "quick_sort".
    """
    lower = text.lower()
    joined = re.sub(r"[\W_]+", "", lower)
    return tuple(word for word in words if _stem(word) not in joined and word not in lower)


def is_about(words: tuple[str, ...], text: str) -> bool:
    """Whether a text takes up a request's topic: both of two words, at least half of more."""
    missing = missing_words(words, text)
    return not missing if len(words) <= _ALL_UP_TO else len(missing) <= len(words) / 2


def _stem(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _MIN_STEM:
            return word[: -len(ending)]
    return word
