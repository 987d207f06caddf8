"""What a request in words is after, whatever it is about: 'write ... email', 'explain ...'.

Two requests that share nearly all their words may ask for different things: an email and a poem
about the same ship. What decides is the verb and the thing that it asks for, not their number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from genesis.planning.clauses import without_lead
from genesis.tasks.infer_text import stems
from genesis.tasks.phrases import one_edit_apart, prose, words_of

_MAKE = frozenset(
    {
        "write",
        "word",
        "pen",
        "draft",
        "compose",
        "create",
        "make",
        "generate",
        "prepare",
        "produce",
        "build",
    }
    | {"implement", "develop", "code", "program", "give", "provide", "need", "want"}
)
_EXPLAIN = frozenset(
    {"explain", "describe", "tell", "clarify", "define", "teach", "introduce", "outline"}
    | {"what", "what's", "whats", "how", "why"}
)
_ASK = frozenset(
    {"is", "are", "was", "were", "do", "does", "did", "has", "have", "can", "could", "should"}
    | {"will", "would", "may", "might"}
)
_WHICH = frozenset({"which", "who", "whose", "when", "where"})
_COUNT = frozenset({"many", "much", "often"})
# These say only that something is done: what is done is the thing, 'run a linter'.
_DO = frozenset({"run", "do", "perform", "conduct", "execute"}) | _MAKE
# These say what becomes of a text or file, whichever it is; the nouns stand for the verbs.
_TRANSFORM = frozenset(
    stems(
        "translate summarise proofread paraphrase rephrase reword shorten condense transcribe lint"
        " review typeset spellcheck"
    )
)
_DOINGS = {"linter": "lint", "review": "review", "translation": "translate", "summary": "summarise"}
_SAME_ACT = tuple(
    frozenset(stems(verbs))
    for verbs in (
        "remove delete drop erase strip discard purge",
        "add insert append",
        "fix repair correct mend",
        "convert transform turn",
        "rename relabel",
        "replace substitute swap",
        "clean tidy",
        "merge join combine",
        "sort order",
        "fill impute",
        "rewrite refactor restructure",
        "find locate search detect",
        "check verify validate",
        "show list display print",
        "suggest propose recommend brainstorm",
        "plan schedule organise",
        "anonymise pseudonymise mask redact",
        "summarise summarize",
    )
)
_SAME_THING = (
    frozenset({"email", "mail"}),
    frozenset({"function", "method", "routine"}),
    frozenset({"script", "program"}),
    frozenset({"post", "blogpost"}),
    frozenset({"cv", "resume", "résumé"}),
)
_NO_VERB = frozenset(
    {"the", "my", "our", "your", "this", "that", "these", "those"}
    | {"i", "we", "it", "there", "in", "on", "for"}
)
# Who names something that is not there yet wants it made: 'a haiku on snow', 'I need a function'.
_INDEFINITE = frozenset({"a", "an", "another"})
_WISH = re.compile(
    r"\s*(?:i|we)\s+(?:need|want|would\s+like|wish\s+for)\b|\s*(?:i|we)'d\s+like\b", re.I
)
# 'I'm away in May, write me ...': what is told of oneself is not what is asked for.
_TELLING = re.compile(r"\s*(?:i|we|my|our|i['\u2019]\w+|we['\u2019]\w+)\s", re.IGNORECASE)
_PARTS = re.compile(r"[,;:.!?]\s+")
_THING = re.compile(
    r"\s*(?:(?:me|us|him|her|them)\s+)?"
    r"(?:(?:a|an|the|some|any|my|our|your|this|these|those|another|\d+)\s+)*"
    r"(?P<thing>(?:[^\W_]+['\u2019-]?[^\W_]*\s+){0,7}?[^\W_]+(?:-[^\W_]+)*)"
    r"(?=\s*(?:$|[,.;:!?(\n]|\s(?:to|for|about|on|of|that|which|who|whose|with|without|in|into|from"
    r"|by|over|through|against|via|per|under|and|or|as|so|at|between|after|before|when|where|why|how|asking|saying|[a-z]{3,}ing)\b))",
    re.IGNORECASE,
)
_LONG = 5


@dataclass(frozen=True, slots=True)
class Form:
    """What a request in words is after.

    Attributes:
        act: what is to be done, as a group of verbs or the verb's stem; empty if unknown.
        thing: what is to be made or worked on, in its words; empty if unknown or any.
    """

    act: str
    thing: str


# A past request is compared with each new one that is like it.
@lru_cache(maxsize=256)
def form_of(request: str) -> Form:
    """The form of a request, read from its first words."""
    text = _asking(prose(without_lead(request), {}))
    words = words_of(text[:200])
    wish = _WISH.match(text)
    if words and (wish or words[0] in _INDEFINITE):
        thing = thing_at(text, wish.end() if wish else 0).lower()
        return Form("make", thing) if thing else Form("", "")
    if not words or words[0] in _NO_VERB:
        return Form("", "")
    verb = words[0]
    if verb == "how" and len(words) > 1 and words[1] in _COUNT:
        return Form("count", "")
    if verb in _WHICH:
        return Form(verb, "")
    if verb in _EXPLAIN or verb in _ASK:
        return Form("explain" if verb in _EXPLAIN else "ask", "")
    thing = thing_at(text, text.lower().index(verb) + len(verb)).lower()
    doing = _DOINGS.get(_head(thing), "") if verb in _DO else ""
    act = stems(doing or verb)[0]
    if act in _TRANSFORM or _alike_acts(act, stems("summarise")[0]):
        return Form(act, "")
    return Form("make" if verb in _MAKE else act, thing)


def _asking(text: str) -> str:
    """A text from where it asks for something, if it begins by telling of who asks."""
    if not _TELLING.match(text):
        return text
    parts = (without_lead(part) for part in _PARTS.split(text)[1:])
    return next((part for part in parts if _begins_to_make(part)), text)


def _begins_to_make(text: str) -> bool:
    words = words_of(text[:80])
    return bool(words) and words[0] in _MAKE


def thing_at(text: str, start: int) -> str:
    """The thing that is named from a place on: "short letter" in "a short letter to the mayor"."""
    found = _THING.match(text, start)
    return found.group("thing") if found else ""


def difference(one: Form, other: Form) -> str:
    """In what two forms differ, in words; empty when they may be the same."""
    if one.act and other.act and not _alike_acts(one.act, other.act):
        return f"it asks to {one.act}, this one to {other.act}"
    if one.thing and other.thing and not _alike_things(one, other):
        return f"it asks for another thing ({one.thing}, this one {other.thing})"
    return ""


def settled(one: Form, other: Form) -> bool:
    """Whether two forms leave no doubt that the same work is asked for, whatever it is about."""
    if not one.act or not other.act or difference(one, other):
        return False
    return bool(one.thing and other.thing) or one.act in _TRANSFORM


def _alike_acts(one: str, other: str) -> bool:
    return _alike(one, other) or any({one, other} <= same for same in _SAME_ACT)


def _alike_things(one: Form, other: Form) -> bool:
    """The same thing is to be made, or to be worked on: 'the dates', 'the date column'."""
    if _alike(_head(one.thing), _head(other.thing)):
        return True
    if one.act == "make":
        return False
    first, second = stems(one.thing), stems(other.thing)
    return first[-1] in second or second[-1] in first


def _head(thing: str) -> str:
    words = words_of(thing)
    return words[-1] if words else ""


def _alike(one: str, other: str) -> bool:
    """Equal but for one slip of the keyboard in a long word."""
    if stems(one) == stems(other) or any({one, other} <= same for same in _SAME_THING):
        return True
    if min(len(one), len(other)) < _LONG or one[0] != other[0]:
        return False
    return one_edit_apart(one, other)
