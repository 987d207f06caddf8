"""Passages of a request that may name a file or folder, and a script's arguments after it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field

DATA_NAME = re.compile(r"\.(?:csv|tsv|txt|json|jsonl|ndjson|parquet)(?:\.gz)?$", re.IGNORECASE)
_FILE_NAME = re.compile(
    r"[^./\\]\.(?:(?:csv|tsv|txt|json|jsonl|ndjson|parquet)(?:\.gz)?|pyw?"
    r"|xlsx?|ods|feather|orc|avro|sqlite|sqlite3|db|pdf|docx?|zip)$",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"`([^`\n]+)`|\"([^\"\n]+)\"|“([^”\n]+)”|(?<!\w)'([^'\n]+)'(?!\w)")
_TOKEN = re.compile(r"[^\s,;|]+")
_LEADING = "([{<\"'`“‘"  # noqa: RUF001 - typographic quotes are what users type
_TRAILING = ")]}>\"'`”’.,;:!?"  # noqa: RUF001 - as above
_POSITION = re.compile(r"(?:::.*|:\d+(?::\d+)?|['’]s)$")  # noqa: RUF001 - as above
_UNSURE = re.compile(r"[*{}<>$@]|://")
_FOLDER_WORD = r"(?:packages?|modules?|folder|directory|project|library)"
_AFTER_WORD = re.compile(rf"\b{_FOLDER_WORD}\s+[`'\"]?$", re.IGNORECASE)
_BEFORE_WORD = re.compile(rf"^[`'\"]?\s+{_FOLDER_WORD}\b", re.IGNORECASE)
_IDENTIFIER = re.compile(r"[A-Za-z_][\w-]*(?:\.[A-Za-z_]\w*)*")
_TO_BE_MADE = re.compile(
    r"\b(?:creat\w*|writ\w*|generat\w*|mak\w*|add|new|sav\w*|export\w*|output|stor\w*|produc\w*)"
    r"(?:\s+(?:a|an|the|its?|them|all|new|python|file|script|module|results?|charts?|reports?"
    r"|output|rows|table|to|as|in|into|named|called))*\s*[`'\"(]?$",
    re.IGNORECASE,
)
_RUNNER = re.compile(r"\bpython[\d.]*\s+(?:-\w+\s+)*[`'\"]?$")
_WITH_ARGUMENTS = re.compile(r"^[`'\"]?\s+with\s+(?:the\s+)?(?:arguments?|args|options?)\s+(.*)")
_STOP = frozenset(
    {"and", "to", "then", "with", "for", "on", "in", "of", "so", "but", "or", "until", "because"}
    | {"if", "when", "while", "that", "which", "is"}
)
_LOOK_BACK = 120
_MAX_WORDS_IN_NAME = 6
# A file or package that is meant by its kind alone.
_CLAUSE_ENDS = r"\s*(?=$|[.,;:!?\n]|\b(?:and|then|but|as well|plus)\b)"
_THE_DATA = re.compile(
    r"\b(?:profile|analy[sz]e|describe|explore|inspect|examine|check|summari[sz]e|chart|plot"
    r"|visuali[sz]e)\s+(?P<it>(?:the|my|our|this|these)\s+(?:data\s?set|data(?:\s?file)?"
    rf"|csv(?:\s?file)?|table|spreadsheet)){_CLAUSE_ENDS}",
    re.IGNORECASE,
)
_THE_SOURCE = re.compile(
    r"\bdocument\s+(?P<it>(?:the|my|our|this)\s+(?:module|package|library|code(?:\s?base)?"
    rf"|source(?:\s+code)?)){_CLAUSE_ENDS}",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Mention:
    """A passage that may name a file or folder.

    Attributes:
        text: the name as it is written.
        texts: readings of it, most likely first (whole quotation, name with spaces).
        certain: it can only be a name, so that its absence is an error.
        folder: it stands beside a word like "package" or "folder".
        to_be_made: the request asks to write it.
        arguments: what follows a script on its command line.
    """

    text: str
    texts: tuple[str, ...]
    certain: bool = False
    folder: bool = False
    to_be_made: bool = False
    arguments: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class _Quotation:
    start: int
    end: int
    text: str


def data_meant(request: str) -> str:
    """The data file that a request means by its kind alone ("the data"); empty for none."""
    return _outside_quotations(_THE_DATA, request)


def source_meant(request: str) -> str:
    """The package or module that it means by its kind alone ("the module"); empty for none."""
    return _outside_quotations(_THE_SOURCE, request)


def _outside_quotations(words: re.Pattern[str], request: str) -> str:
    found = words.search(_QUOTED.sub("''", request))
    return found["it"] if found else ""


def mentions(request: str) -> Iterator[Mention]:
    """Every passage that may name a file or folder, in the order of the request."""
    quotations = [
        _Quotation(m.start(), m.end(), next(g for g in m.groups() if g))
        for m in _QUOTED.finditer(request)
    ]
    for match in _TOKEN.finditer(request):
        token, start = _trimmed(match.group(), match.start())
        if not token or "://" in match.group():
            continue
        while quotations and quotations[0].end <= start:
            quotations.pop(0)
        inside = quotations[0] if quotations and quotations[0].start < start else None
        yield _mention(request, token, start, inside)


def _trimmed(token: str, start: int) -> tuple[str, int]:
    stripped = token.lstrip(_LEADING)
    start += len(token) - len(stripped)
    while True:
        shorter = _POSITION.sub("", stripped.removesuffix("()").rstrip(_TRAILING))
        if shorter == stripped:
            return stripped, start
        stripped = shorter


def _mention(request: str, token: str, start: int, quotation: _Quotation | None) -> Mention:
    before = request[max(0, start - _LOOK_BACK) : start]
    after = request[start + len(token) : start + len(token) + 4 * _LOOK_BACK]
    is_file = bool(_FILE_NAME.search(token))
    folder = bool(_AFTER_WORD.search(before) or _BEFORE_WORD.search(after))
    quoted_name = quotation is not None and quotation.text == token and folder
    certain = not _UNSURE.search(token) and (
        is_file
        or token.startswith(("./", "../", "~/"))
        or (token.startswith("/") and token.count("/") > 1)
        or quoted_name
    )
    texts = [token]
    if quotation is not None and quotation.text != token:
        texts.insert(0, quotation.text)
    if is_file:
        texts.extend(_with_words_before(before, token))
    return Mention(
        token,
        tuple(texts),
        certain,
        folder and bool(_IDENTIFIER.fullmatch(token)),
        bool(_TO_BE_MADE.search(before)),
        _arguments(before, after, quotation, start) if token.endswith((".py", ".pyw")) else (),
    )


def _with_words_before(before: str, token: str) -> list[str]:
    """The token as the end of a name with spaces: "my sales.csv"."""
    line = re.split(r"[\n,;:\"'`“(]", before)[-1]
    starts = [m.start() for m in re.finditer(r"\S+", line)][-_MAX_WORDS_IN_NAME:]
    return [line[start:] + token for start in reversed(starts)]


def _arguments(
    before: str, after: str, quotation: _Quotation | None, start: int
) -> tuple[str, ...]:
    if quotation is not None:
        rest = quotation.text[start - quotation.start - 1 :].split(maxsplit=1)
        return _split(rest[1]) if len(rest) > 1 else ()
    named = _WITH_ARGUMENTS.match(after.split("\n")[0])
    if named:
        return _until_stop(named.group(1))
    line = after.split("\n")[0]
    if line[:1] not in (" ", "\t"):
        return ()
    if _RUNNER.search(before):
        return _until_stop(line)
    return _until_stop(line) if line.lstrip().startswith("-") else ()


def _until_stop(line: str) -> tuple[str, ...]:
    """The words up to the first that goes on with the sentence."""
    taken: list[str] = []
    for word in _split(line):
        if word.lower() in _STOP:
            break
        clean = word.rstrip(_TRAILING)
        if clean:
            taken.append(clean)
        if clean != word:
            break
    return tuple(taken)


def _split(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError:  # an apostrophe of the sentence, not a quotation
        return tuple(text.split())
