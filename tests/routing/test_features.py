"""The form of a text: counted as a reader would, finite for anything, bounded in length."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from genesis.routing.features import FORM_NAMES, form

QUESTION = "Which of these is NOT a prime?\nA. 2\nB. 3.5\nC. eleven is one of the smaller ones"


def counted(text: str) -> dict[str, float]:
    return dict(zip(FORM_NAMES, form(text).tolist(), strict=True))


def test_a_question_is_counted_as_a_reader_would() -> None:
    found = counted(QUESTION)
    assert found["lines"] == 4
    assert found["question marks"] == found["first line ends in a question mark"] == 1
    assert found["negations"] == found["negations in the first line"] == 1
    assert found["shouted words"] == 1
    assert (found["numbers"], found["decimals"]) == (2, 1)
    assert found["share of later lines with digits"] == 2 / 3
    assert found["share of short later lines"] == 2 / 3
    assert found["has 'which'"] == 1
    assert found["has 'how'"] == 0


def test_what_lies_in_the_words_does_not_count_as_a_word() -> None:
    found = counted("Nothing is knotted, therefore whatever")
    assert found["negations"] == found["has 'what'"] == found["has 'how'"] == 0


def test_only_the_start_of_a_long_text_counts() -> None:
    start = "word " * 1_200
    assert np.array_equal(form(start + "!" * 10), form(start + "?" * 100_000))


@given(st.text(st.characters(codec=None), max_size=200))
def test_any_text_has_a_finite_form(text: str) -> None:
    found = form(text)
    assert found.shape == (len(FORM_NAMES),)
    assert np.isfinite(found).all()
