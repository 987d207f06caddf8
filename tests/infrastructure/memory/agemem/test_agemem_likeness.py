"""Near duplicates and contradictions among what is remembered."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langgraph.store.memory import InMemoryStore
from likeness_pairs import HELD_OUT, SEEN, C, D, confusion, figures

from infrastructure.embeddings.builtin import BuiltinEmbedder
from infrastructure.memory.agemem.likeness import LikenessKind, compare
from infrastructure.memory.agemem.operations import AgeMem
from infrastructure.memory.agemem.text_analysis import TextAnalyst

ANALYST = TextAnalyst(BuiltinEmbedder())


async def test_entries_are_named_with_the_reasons() -> None:
    memory = AgeMem(InMemoryStore(), analyst=ANALYST)
    oslo = await memory.add("Ada lives in Oslo.")
    again = await memory.add("Ada lives in Paris")
    other = await memory.add("Ada has a sister and two noisy dogs")
    await memory.add("The printer is out of paper.")
    found = await memory.likeness("Ada lives in Paris.")
    assert [(each.entry.entry_id, each.kind) for each in found] == [
        (oslo, LikenessKind.CONTRADICTION),
        (again, LikenessKind.DUPLICATE),
        (other, LikenessKind.RELATED),
    ]
    assert found[0].reasons == (
        "both have 'ada', 'home'",
        "of the same it says 'pari' where the entry has 'oslo'",
    )
    assert found[1].score > found[0].score


@pytest.mark.parametrize(
    ("held", "new", "reason"),
    [
        ("I am vegetarian.", "I\u2019m no longer vegetarian.", "denies"),
        ("The deadline is March 3.", "The deadline is March 10.", "'10' where the entry has '3'"),
        ("Tom drives a red van.", "Tom now drives a blue van.", "tells of a change"),
    ],
)
async def test_a_contradiction_says_why(held: str, new: str, reason: str) -> None:
    memory = AgeMem(InMemoryStore(), analyst=ANALYST)
    await memory.add(held)
    (found,) = await memory.likeness(new)
    assert found.kind is LikenessKind.CONTRADICTION
    assert reason in found.reasons[-1]


async def test_likeness_is_found_as_well_as_the_docs_say() -> None:
    seen, held_out = await confusion(SEEN), await confusion(HELD_OUT)
    for counts, least in ((seen, 0.9), (held_out, 0.85)):
        for label in (D, C):
            precision, recall = figures(counts, label)
            assert precision >= least, (label, counts)
            assert recall >= least, (label, counts)


@settings(max_examples=80, deadline=None)
@given(one=st.text(max_size=60), other=st.text(max_size=60))
def test_any_two_texts_can_be_compared(one: str, other: str) -> None:
    stands = compare(ANALYST.of(one), ANALYST.of(other))
    assert stands is None or all(stands[1])


def test_long_texts_take_little_time() -> None:
    long = "Ada lives in Oslo and Bob in Paris, near 4,200 ships. " * 1_800
    assert compare(ANALYST.of(long), ANALYST.of(long + "not")) is not None
    assert compare(ANALYST.of("x" * 100_000), ANALYST.of("y" * 99_999)) is None
