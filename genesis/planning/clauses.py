"""The clauses of a request: where it may go over from one thing that is asked for to the next."""

from __future__ import annotations

import re
from dataclasses import dataclass

from genesis.tasks.phrases import Phrases

_QUOTED = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]+`|\"[^\"\n]+\"|“[^”\n]+”|(?<!\w)'[^'\n]+'(?!\w)", re.DOTALL
)
_LATER = r"(?:then|afterwards?|after (?:that|this)|finally|next|lastly|once (?:that|this) is done)"
_ALSO = r"(?:and|as well as|plus|also|besides|but)"
_THEN = rf"(?:{_LATER}\b,?\s*)"
_BREAK = re.compile(
    rf"(?P<hard>[.;!?](?=\s)|\n+)\s*(?:[-*\u2022]\s+|\(?\d{{1,2}}[.)]\s+)?(?:{_ALSO}\s+)?(?P<a>{_THEN})?"
    rf"|,\s*(?:{_ALSO}\s+)?(?P<b>{_THEN})?"
    rf"|\s+{_ALSO}\s+(?:also\s+)?(?P<c>{_THEN})?"
    rf"|\s+(?P<d>{_LATER})\b,?\s+",
    re.IGNORECASE,
)
_LEAD = re.compile(
    r"\s*(?:(?:please|pls|plz|kindly|hey|hi|hello|ok|okay"
    r"|also|first|firstly|secondly|now|just|both|let's|help me"
    r"|(?:[-*\u2022]|\(?\d{1,2}[.)])(?=\s)|(?:can|could|would|will) you(?: please)?(?: also)?"
    r"|i(?:'d| would) like(?: you)? to|i (?:want|need)(?: you)? to)(?:\b|(?<=[.)*-]))[,\s]*)*",
    re.IGNORECASE,
)
_ENDS = " \t\r\n,.;:!"
_MAX_CLAUSES = 40


@dataclass(frozen=True, slots=True)
class Clause:
    """A passage of a request.

    Attributes:
        start, end: where it stands, without what joins it to the one before.
        later: it is to come after the one before ("then").
        whole: it begins a sentence, an entry of a list or a line.
        opens: it begins as a request does, with a verb of asking or a question word.
    """

    start: int
    end: int
    later: bool
    whole: bool
    opens: bool


def without_lead(text: str) -> str:
    """The text without what politeness or a list puts before it: 'Could you please ...'."""
    lead = _LEAD.match(text)
    return text[lead.end() :] if lead else text


def clauses(request: str, openings: Phrases) -> tuple[Clause, ...]:
    """The request cut at every place where another thing may be asked for.

    Quotations and code are never cut. Whether a clause asks for anything of its own is not
    decided here. A text of very many clauses is no list of things to do: it is one.

    Args:
        request: the user's words.
        openings: words with which people begin to ask for something.
    """
    closed = [(m.start(), m.end()) for m in _QUOTED.finditer(request)]
    found: list[Clause] = []
    start, later, whole = 0, False, True
    for cut in _BREAK.finditer(request):
        if any(a < cut.start() < b for a, b in closed):
            continue
        found += _clause(request, start, cut.start(), later, whole, openings)
        if len(found) > _MAX_CLAUSES:
            return (Clause(0, len(request), False, True, False),)
        start, later = cut.end(), any(cut.group(name) for name in "abcd")
        whole = cut.group("hard") is not None
    return (*found, *_clause(request, start, len(request), later, whole, openings))


def _clause(
    request: str, start: int, end: int, later: bool, whole: bool, openings: Phrases
) -> list[Clause]:
    lead = _LEAD.match(request, start, end)
    start = lead.end() if lead else start
    while start < end and request[start] in _ENDS:
        start += 1
    while end > start and request[end - 1] in _ENDS:
        end -= 1
    text = request[start:end]
    if not text or text.isdigit():
        return []
    return [Clause(start, end, later, whole, openings.begins(text))]
