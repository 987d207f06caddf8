"""Groups of English words that tell what a sentence does: state, wish, report, greet, take back.

Cues are hints, not a parser: what they are worth is learnt, and each counts words alone.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Final

_GROUPS: Final[Mapping[str, str]] = {
    "first_person": "i me my mine we us our ours i'm i've i'd i'll we're we've we'd we'll",
    "second_person": "you your yours you're you've you'd you'll",
    "third_person": "he she his her hers him they their them he's she's they're",
    "possession": "of my our his her their its own belongs",
    "state": "is are am i'm it's that's has have lives live works work runs run keeps keep uses "
    "use stays stay means likes like prefers prefer speaks speak drives drive owns belongs remains "
    "stands called named located based",
    "past": "was were had went got took made did said told saw bought came left found lost fell "
    "forgot broke sat heard slept ate drank ran met felt knew thought brought",
    "future": "will won't shall tomorrow next soon plan plans planning going_to gonna about_to",
    "modal": "would could might may perhaps maybe if wish wishes dream dreams imagine suppose "
    "probably possibly wonder wonders hope hopes hopefully someday one_day as_if",
    "duty": "must need needs should deadline due remember important always never has_to have_to "
    "required at_most at_least no_more_than every",
    "change": "now instead change changed changes moved switched new update updated correction "
    "actually no_longer anymore any_more replaced rather_than used_to since meanwhile as_of "
    "from_now_on",
    "end": "forget cancel cancelled canceled cancels scrap scrapped drop dropped ignore disregard "
    "gone over ended stopped quit called_off not_true never_mind off_the_table out_of_date wrong",
    "moment": "today yesterday tonight earlier noon midnight this_morning this_afternoon "
    "this_evening last_night all_day just_now right_now a_minute an_hour at_lunch for_once",
    "time": "morning evening afternoon week weekend month year ago monday tuesday wednesday "
    "thursday friday saturday sunday january february march april june july august september "
    "october november december recently last daily weekly monthly yearly",
    "report": "said says say told tells joked jokes asked asks claims claimed thinks think guess "
    "swears according_to apparently rumour heard",
    "anybody": "somebody someone something anybody anyone nobody everybody everyone people "
    "stranger others",
    "courtesy": "thanks thank please hi hey hello bye wow great nice cool awesome sounds glad hope "
    "love amazing sure yeah yes ok okay congrats good_luck take_care welcome sorry well",
    "question": "what who whom whose where when why how which",
    "several": "and both each all every together as_well also plus",
    "negation": "not no nothing none without don't doesn't didn't isn't aren't wasn't can't cannot "
    "won't",
}

CUES: Final = tuple(_GROUPS)
"""The names of the groups."""

_WORD: Final = re.compile(r"[a-z]+(?:'[a-z]+)?")
_PAST: Final = CUES.index("past")
_SHORTEST_PAST: Final = 5


def _lexicon() -> tuple[dict[str, tuple[int, ...]], dict[str, list[tuple[tuple[str, ...], int]]]]:
    """Groups of single words, and phrases by their first word."""
    words: defaultdict[str, list[int]] = defaultdict(list)
    phrases: defaultdict[str, list[tuple[tuple[str, ...], int]]] = defaultdict(list)
    for group, listed in enumerate(_GROUPS.values()):
        for entry in listed.split():
            parts = tuple(entry.split("_"))
            if len(parts) == 1:
                words[entry].append(group)
            else:
                phrases[parts[0]].append((parts, group))
    return {word: tuple(groups) for word, groups in words.items()}, dict(phrases)


_WORDS, _PHRASES = _lexicon()


def cue_counts(text: str) -> tuple[int, ...]:
    """How many words and phrases of each group of CUES a text has."""
    counts = [0] * len(CUES)
    words: list[str] = _WORD.findall(text.lower().replace("\u2019", "'"))
    for place, word in enumerate(words):
        for group in _WORDS.get(word, ()):
            counts[group] += 1
        if word.endswith("ed") and len(word) >= _SHORTEST_PAST and word not in _WORDS:
            counts[_PAST] += 1
        for phrase, group in _PHRASES.get(word, ()):
            counts[group] += tuple(words[place : place + len(phrase)]) == phrase
    return tuple(counts)
