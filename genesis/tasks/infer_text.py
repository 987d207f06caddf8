"""A request cut down to what tells its type: the leading sentence, the rest, and their words.

The first sentence names the deliverable far more often than what follows, so it is kept apart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_HEAD_CHARS = 3000
_TAIL_CHARS = 500
_TITLE_CHARS = 200
_BODY_CHARS = 800
_CODE_CHARS = 150
_MIN_STEM = 3

_CODE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_TEMPLATE_HINT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_LINK = re.compile(r"!\[[^\]\n]*\]\([^)\n]*\)|https?://\S+")
_UNTICKED = re.compile(r"^\s*[-*] \[ \][^\n]*$", re.MULTILINE)
_GREETING = re.compile(
    r"\s*(?:hi|hello|hey|dear|good (?:morning|evening))\b[^\n.!?,:]{0,30}[\n.!,:]+\s*(?=\S)", re.I
)
_SENTENCE = re.compile(r"\s*[^\n]+?(?:\n|[.?!](?=\s)|\Z)")
_WORD = re.compile(r"[^\W_]+[+#]*|\?")


@dataclass(frozen=True, slots=True)
class RequestText:
    """What is left of a request.

    Attributes:
        title: its first sentence, outside of code.
        body: what follows, cut short, with the start of each block of code.
    """

    title: str
    body: str

    @property
    def whole(self) -> str:
        return f"{self.title}\n{self.body}"


def read_request(text: str) -> RequestText:
    """Keep head and tail of a long text, drop template noise, and split off the first sentence."""
    if len(text) > _HEAD_CHARS + _TAIL_CHARS:
        text = f"{text[:_HEAD_CHARS]}\n{text[-_TAIL_CHARS:]}"
    text = _LINK.sub(" ", _TEMPLATE_HINT.sub(" ", text))
    code = [block[:_CODE_CHARS] for block in _CODE.findall(text)]
    prose = _UNTICKED.sub("", _GREETING.sub("", _CODE.sub("\n", text), count=1)).strip()
    if not prose:
        prose, code = "\n".join(code), []
    sentence = _SENTENCE.match(prose)
    title = sentence.group()[:_TITLE_CHARS] if sentence else prose[:_TITLE_CHARS]
    rest = prose[len(title) :].strip()
    body = rest if len(rest) <= _BODY_CHARS else f"{rest[: _BODY_CHARS - 200]}\n{rest[-200:]}"
    return RequestText(title.strip(), "\n".join([body, *code[:2]]).strip())


def stems(text: str) -> list[str]:
    """The stems of the words of a text in order, and its question marks."""
    return [_stem(word) for word in _WORD.findall(text.lower())]


@lru_cache(maxsize=20_000)
def _stem(word: str) -> str:
    """An inflected word's stem: plural, -ed, -ing and a final e go; derivations stay apart."""
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    for suffix in ("ings", "ing", "ed", "es", "s", "e"):
        root = word.removesuffix(suffix)
        if root == word or len(root) < _MIN_STEM or word.endswith(("ss", "us", "is")):
            continue
        if suffix in ("ings", "ing", "ed") and root[-1] == root[-2] and root[-1] not in "ls":
            return root[:-1]
        return root
    return word
