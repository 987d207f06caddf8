"""What a request in words is after, whatever it is about: 'write ... email', 'explain ...'.

Two requests that share nearly all their words may ask for different things: an email and a poem
about the same ship. What decides is the verb and the thing that it asks for, not their number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from genesis.planning.clauses import without_lead
from genesis.tasks.infer_text import stems
from genesis.tasks.phrases import one_edit_apart, prose, words_of

_MAKE = frozenset(
    {"write", "draft", "compose", "create", "make", "generate", "prepare", "produce", "build"}
    | {"implement", "develop", "code", "program", "give", "provide", "need", "want"}
)
_EXPLAIN = frozenset(
    {"explain", "describe", "tell", "clarify", "define", "teach", "introduce", "outline"}
    | {"what", "what's", "whats", "how", "why", "which", "who", "whose", "when", "where"}
)
_ASK = frozenset(
    {"is", "are", "was", "were", "do", "does", "did", "has", "have", "can", "could", "should"}
    | {"will", "would", "may", "might"}
)
# These say only that something is done: what is done is the thing, 'run a linter'.
_DO = frozenset({"run", "do", "perform", "conduct", "execute"})
# These say what becomes of a text or file, whichever it is.
_TRANSFORM = frozenset(
    stems(
        "translate summarise summarize proofread paraphrase rephrase reword shorten condense"
        " transcribe lint review typeset spellcheck"
    )
)
_SAME_THING = (
    frozenset({"email", "mail"}),
    frozenset({"function", "method", "routine"}),
    frozenset({"script", "program"}),
    frozenset({"post", "blogpost"}),
    frozenset({"cv", "resume", "résumé"}),
)
_COUNT = frozenset({"many", "much", "often"})
_NO_VERB = frozenset(
    {"the", "a", "an", "my", "our", "your", "this", "that", "these", "those"}
    | {"i", "we", "it", "there", "in", "on", "for"}
)
_THING = re.compile(
    r"\s*(?:(?:me|us|him|her|them)\s+)?"
    r"(?:(?:a|an|the|some|any|my|our|your|this|these|those|another|\d+)\s+)*"
    r"(?P<thing>(?:[^\W_]+['\u2019-]?[^\W_]*\s+){0,7}?[^\W_]+(?:-[^\W_]+)*)"
    r"(?=\s*(?:$|[,.;:!?(\n]|\s(?:to|for|about|on|of|that|which|who|whose|with|without|in|into|from"
    r"|by|and|or|as|so|at|between|after|before|when|where|why|how|asking|saying|[a-z]{3,}ing)\b))",
    re.IGNORECASE,
)
_LONG = 5


@dataclass(frozen=True, slots=True)
class Form:
    """What a request in words is after.

    Attributes:
        act: what is to be done, as a group of verbs or the verb's stem; empty if unknown.
        thing: what is to be made or worked on, one word; empty if unknown or any.
    """

    act: str
    thing: str


def form_of(request: str) -> Form:
    """The form of a request, read from its first words."""
    text = prose(without_lead(request), {})
    words = words_of(text[:200])
    if not words or words[0] in _NO_VERB:
        return Form("", "")
    verb = words[0]
    if verb == "how" and len(words) > 1 and words[1] in _COUNT:
        return Form("count", "")
    if verb in _EXPLAIN or verb in _ASK:
        return Form("explain" if verb in _EXPLAIN else "ask", "")
    act = "make" if verb in _MAKE else stems(verb)[0]
    if act in _TRANSFORM:
        return Form(act, "")
    named = words_of(thing_at(text, text.lower().index(verb) + len(verb)))
    thing = named[-1] if named else ""
    if verb in _DO and thing:
        done = stems(thing)[0]
        act = done if done in _TRANSFORM else done.removesuffix("er")
        return Form(act, "") if act in _TRANSFORM else Form(stems(verb)[0], thing)
    return Form(act, thing)


def thing_at(text: str, start: int) -> str:
    """The thing that is named from a place on: "short letter" in "a short letter to the mayor"."""
    found = _THING.match(text, start)
    return found.group("thing") if found else ""


def difference(one: Form, other: Form) -> str:
    """In what two forms differ, in words; empty when they may be the same."""
    if one.act and other.act and not _alike(one.act, other.act):
        return f"it asks to {one.act}, this one to {other.act}"
    if one.thing and other.thing and not _alike(one.thing, other.thing):
        return f"it asks for another thing ({one.thing}, this one {other.thing})"
    return ""


def settled(one: Form, other: Form) -> bool:
    """Whether two forms leave no doubt that the same work is asked for, whatever it is about."""
    if difference(one, other):
        return False
    made = one.act == other.act == "make" and bool(one.thing) and bool(other.thing)
    return made or (one.act == other.act and one.act in _TRANSFORM)


def _alike(one: str, other: str) -> bool:
    """Equal but for one slip of the keyboard in a long word."""
    if stems(one) == stems(other) or any({one, other} <= same for same in _SAME_THING):
        return True
    if min(len(one), len(other)) < _LONG or one[0] != other[0]:
        return False
    return one_edit_apart(one, other)
