"""What can be proven about a text by reading it: not empty, whole, no refusal, no echo."""

from __future__ import annotations

import re
import unicodedata
from difflib import SequenceMatcher

from genesis.agents.evidence import require

_WORD = re.compile(r"\w+")
_REFUSAL = re.compile(
    r"\W*(i'?m sorry|i am sorry|sorry|i apologi[sz]e|unfortunately|as an ai\b"
    r"|i (can'?t|cannot|can not|am unable|am not able|won'?t)\b)",
    re.IGNORECASE,
)
_INABILITY = re.compile(r"\b(can'?t|cannot|can not|unable to|not able to|won'?t)\b", re.IGNORECASE)
_REFUSAL_WORDS = 80
_ECHO_LIKENESS = 0.9
_COMPARED_CHARS = 4_000
_LINE_WORDS = 8
_UNFINISHED = ",;-(["
_STRAIGHT = str.maketrans("\u2018\u2019\u201a\u201c\u201d\u201e", "'''\"\"\"")


def words_of(text: str) -> list[str]:
    """The words of a text in lower case."""
    return [word.lower() for word in _WORD.findall(text)]


def straight_quotes(text: str) -> str:
    """A text with the quotation marks and apostrophes of a typewriter."""
    return text.translate(_STRAIGHT)


def require_answer(text: str, *asked: str) -> None:
    """Refute a text that is empty, repeats what was asked, refuses, or breaks off.

    Args:
        asked: the texts that were asked: task and request.
    """
    require(bool(text.strip()), "the text is empty")
    require(bool(words_of(text)), "the text holds no words")
    for question in asked:
        require(not _is_echo(text, question), "the text only repeats what was asked")
    require(not _is_refusal(text), "the text declines to answer")
    require(not _breaks_off(text), "the text breaks off in the middle")


def _is_echo(text: str, question: str) -> bool:
    said, asked = words_of(text[:_COMPARED_CHARS]), words_of(question[:_COMPARED_CHARS])
    return bool(asked) and SequenceMatcher(None, said, asked, False).ratio() >= _ECHO_LIKENESS


def _is_refusal(text: str) -> bool:
    """A short text that begins like a refusal and says what it cannot do."""
    said = straight_quotes(text)
    short = len(words_of(said)) <= _REFUSAL_WORDS
    return short and bool(_REFUSAL.match(said)) and bool(_INABILITY.search(said))


def _breaks_off(text: str) -> bool:
    """Whether a code block is left open, a heading is last, or a long last line has no end."""
    if text.count("```") % 2:
        return True
    last = text.rstrip().splitlines()[-1].strip()
    if re.match(r"#{1,6}\s", last):
        return True
    is_list = re.match(r"([-*+•]|\d+[.)])\s", last) is not None
    ended = unicodedata.category(last[-1])[0] in "PS" and last[-1] not in _UNFINISHED
    return len(words_of(last)) > _LINE_WORDS and not is_list and not ended
