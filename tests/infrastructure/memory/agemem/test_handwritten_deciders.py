"""Hand-written deciders: what they decide on real observations, and that it is always allowed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infrastructure.embeddings.builtin import EMBEDDER_NAMES, embedder_named
from infrastructure.errors import InputError
from infrastructure.memory.agemem.actions import ACTIONS, PASS, Moment
from infrastructure.memory.agemem.context import WorkingContext
from infrastructure.memory.agemem.decider import Choice, Decider, Observation, Reading
from infrastructure.memory.agemem.entries import MemoryEntry
from infrastructure.memory.agemem.features import (
    FEATURES,
    see_arrival,
    see_context,
    see_question,
)
from infrastructure.memory.agemem.heuristics import (
    Careful,
    CarefulNumbers,
    KeepEverything,
    LongestTurns,
    RarestWords,
    default_heuristic,
)
from infrastructure.memory.agemem.index import EntryIndex
from infrastructure.memory.agemem.relevance import TermStatistics
from infrastructure.memory.agemem.text_analysis import TextAnalyst

ANALYST = TextAnalyst(embedder_named(EMBEDDER_NAMES[0]))

ALL: Sequence[Decider] = (KeepEverything(), LongestTurns(), RarestWords(), Careful())


@dataclass
class Held:
    """What observations are read from: texts, entries, their terms, and a working context."""

    analyst: TextAnalyst
    context: WorkingContext
    index: EntryIndex
    terms: TermStatistics
    capacity: int = 10


def holding(*texts: str, budget: int = 200) -> Held:
    terms = TermStatistics()
    index = EntryIndex(terms)
    for number, text in enumerate(texts):
        index.put(MemoryEntry(f"e{number}", text, importance=0.5), ANALYST.of(text))
    return Held(ANALYST, WorkingContext(budget), index, terms)


def arrival(memory: Held, text: str) -> Observation:
    return see_arrival(memory, ANALYST.of(text)).observation


def context(memory: Held, *texts: str, goal: str) -> Observation:
    memory.context.goal = ANALYST.of(goal)
    items = [memory.context.append(ANALYST.of(text)) for text in texts]
    return see_context(memory, items[-1]).observation


def question(memory: Held, text: str, round_: int = 0, fetched: int = 0) -> Observation:
    asked = ANALYST.of(text)
    memory.context.goal = asked
    return see_question(memory, asked, round_, fetched).observation


def operation(choice: Choice) -> str:
    return str(choice.action.operation)


TOLD = "Noor's dentist appointment at the clinic in Harlow is on Friday at 9:30."


def test_what_says_much_is_worth_more_than_courtesies() -> None:
    memory, careful = holding("We talked about the weather in Leeds."), Careful()
    fact = careful.importance(arrival(memory, TOLD))
    assert fact > careful.importance(arrival(memory, "Thanks, sounds great!"))
    assert fact > careful.importance(arrival(memory, "Oh really? How are you today?"))


def test_courtesies_are_not_stored_and_facts_are() -> None:
    memory = holding("We talked about the weather in Leeds.")
    careful = Careful(CarefulNumbers(skip_below=0.5))
    assert operation(careful.decide(arrival(memory, TOLD))) == "add"
    thanks = "Thanks! Thank you! Wow, great! What? Really?"
    assert operation(careful.decide(arrival(memory, thanks))) == "pass"


def test_what_is_said_again_takes_the_place_of_what_was_said() -> None:
    assert str(Careful().decide(arrival(holding(TOLD, "It rained."), TOLD)).action) == "update@0"


def test_news_of_an_entry_update_it_and_its_end_deletes_it() -> None:
    memory = holding(TOLD, "The weather in Leeds is fine.")
    moved = "Actually, Noor's dentist appointment at the clinic in Harlow moved to Monday at 8:15."
    over = "Noor's dentist appointment at the clinic in Harlow on Friday was called off."
    assert str(Careful().decide(arrival(memory, moved)).action) == "update@0"
    assert str(Careful().decide(arrival(memory, over)).action) == "delete@0"


def test_another_number_in_the_same_words_is_news_and_another_name_is_not() -> None:
    memory = holding("The deadline of the Harlow report is in 3 weeks.")
    later = "The deadline of the Harlow report is in 9 weeks."
    other = "The deadline of the Leeds report is in 9 weeks."
    assert str(Careful().decide(arrival(memory, later)).action) == "update@0"
    assert operation(Careful().decide(arrival(memory, other))) == "add"


def test_the_context_is_left_alone_while_there_is_room() -> None:
    observed = context(holding(budget=500), TOLD, "It rained.", goal="When is the dentist?")
    assert Careful(CarefulNumbers(tidy_at=0.5)).decide(observed).place == PASS


def test_a_full_context_loses_what_is_not_to_the_point() -> None:
    chatter = ["The band played until midnight in the old barn."] * 4
    observed = context(
        holding(budget=60), TOLD, *chatter, goal="When is Noor's dentist appointment?"
    )
    assert operation(Careful().decide(observed)) == "filter"


def test_a_full_context_of_what_is_all_to_the_point_is_summarised() -> None:
    observed = context(holding(budget=60), *[TOLD] * 5, goal=TOLD)
    assert operation(Careful().decide(observed)) == "summary"


def test_a_question_fetches_once_and_only_what_is_to_the_point() -> None:
    memory = holding(TOLD, "The weather in Leeds is fine.")
    asked = "When is Noor's dentist appointment?"
    assert operation(Careful().decide(question(memory, asked))) == "retrieve"
    assert Careful().decide(question(memory, asked, round_=1, fetched=2)).place == PASS
    choosy = Careful(CarefulNumbers(least_score=0.99))
    assert choosy.decide(question(memory, asked)).place == PASS


@pytest.mark.parametrize("top_k", [2, 4, 8, 16])
def test_fifo_fetches_top_k_or_what_there_is(top_k: int) -> None:
    texts = [f"Meeting {n} is in room {n}." for n in range(9)]
    choice = KeepEverything(top_k).decide(question(holding(*texts), "Where is the meeting?"))
    assert str(choice.action) == f"retrieve@{top_k}"
    few = KeepEverything(top_k).decide(question(holding(*texts[:2]), "Where is the meeting?"))
    assert str(few.action) == "retrieve@2"


def test_a_bucket_that_there_is_not_is_refused() -> None:
    with pytest.raises(InputError, match="5"):
        KeepEverything(5)


def test_importance_orders_as_the_names_say() -> None:
    memory = holding(*[f"The cat sat on the mat {n}" for n in range(6)])
    short, long = arrival(memory, "Zebra quartz"), arrival(memory, "the cat sat on the mat " * 3)
    assert LongestTurns().importance(long) > LongestTurns().importance(short)
    assert RarestWords().importance(short) > RarestWords().importance(long)
    assert KeepEverything().importance(short) == KeepEverything().importance(long)


def _unread() -> Reading:
    raise AssertionError("no hand-written decider reads sentences")


@settings(max_examples=60, deadline=None)
@given(
    moment=st.sampled_from(list(Moment)),
    seed=st.integers(0, 2**32 - 1),
    share=st.floats(0, 1),
)
def test_every_decision_is_allowed(moment: Moment, seed: int, share: float) -> None:
    draws = np.random.default_rng(seed)
    allowed = draws.random(len(ACTIONS)) < share
    allowed[PASS] = True
    numbers = draws.uniform(-4, 4, len(FEATURES)).astype(np.float32)
    observed = Observation(moment, numbers, _unread, allowed)
    loose = replace(CarefulNumbers(), change_at=0.0, clash_at=0.0, end_at=0.0, skip_below=0.0)
    for decider in (*ALL, Careful(loose)):
        choice = decider.decide(observed)
        assert allowed[choice.place]
        assert choice.reason
        assert choice.importance is None or choice.action.operation == "add"


def test_each_has_a_name_of_its_own_and_the_default_is_the_careful_one() -> None:
    assert len({decider.name for decider in ALL}) == len(ALL)
    assert default_heuristic().name == "careful"
