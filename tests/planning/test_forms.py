"""What requests in words are after."""

from __future__ import annotations

import pytest

from genesis.planning.forms import Form, difference, form_of, settled


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Write an email to the supplier", "Please draft a short email to Bob about the delay"),
        ("Explain how TCP works", "What is TCP?"),
        ("Write a Python function that sorts names", "Create a function which sorts numbers"),
        ("Translate 'good day' into French", "Translate the menu into Italian"),
        ("Suggest ten titles for a novel", "Suggest five titles for a film"),
        ("Draft an invitation to Ann", "Draft an invitaton to Bob"),
        ("the old one", "whatever"),
    ],
)
def test_the_same_is_asked_of_something_else(one: str, other: str) -> None:
    assert difference(form_of(one), form_of(other)) == ""


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        ("Write an email to the mayor", "Write a poem to the mayor", "poem"),
        ("Write a README for src/shop", "Write a changelog for src/shop", "changelog"),
        ("Translate this poem into French", "Explain this poem in French", "to explain"),
        ("Plan a trip to Rome", "Plan a wedding in Rome", "wedding"),
        ("How many sorts of tea are there?", "What sorts of tea are there?", "count"),
    ],
)
def test_another_thing_is_asked_in_nearly_the_same_words(one: str, other: str, why: str) -> None:
    assert why in difference(form_of(one), form_of(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Write a polite email to the choir", "draft a friendly mail to my doctor"),
        ("Translate 'good night' into Czech", "please translate 'see you' to Welsh"),
        ("Lint pool.py", "Run a linter over feed.py"),
        ("Remove the duplicate rows from zoo.csv", "delete duplicated rows in pool.csv"),
        ("Clean the dates in zoo.csv", "clean up the date column of pool.csv"),
    ],
)
def test_the_same_work_on_something_else_is_settled(one: str, other: str) -> None:
    assert settled(form_of(one), form_of(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Write a poem about the sea", "Write an email about the sea"),
        ("Explain the rules of chess", "Explain why the sky is blue"),
        ("Which functions have no tests?", "Which functions have no type hints?"),
        ("Rename the columns of zoo.csv", "Remove the columns of zoo.csv"),
        ("Recommend a laptop", "Recommend a course"),
    ],
)
def test_other_work_or_a_question_is_not_settled(one: str, other: str) -> None:
    assert not settled(form_of(one), form_of(other))


@pytest.mark.parametrize(
    ("request_text", "thing"),
    [
        ("a haiku on snowmelt, please", "haiku"),
        ("I need a small function to sort names", "small function"),
        ("We'd like an invitation to our party", "invitation"),
        ("I'm away in October, write me a reply to Bob", "reply"),
    ],
)
def test_what_is_wished_for_is_to_be_made(request_text: str, thing: str) -> None:
    assert form_of(request_text) == Form("make", thing)


@pytest.mark.parametrize("request_text", ["My script fails, is it slow", "some tests are red"])
def test_what_is_told_is_not_wished_for(request_text: str) -> None:
    assert form_of(request_text).act != "make"
