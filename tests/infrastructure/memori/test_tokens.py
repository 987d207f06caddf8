from __future__ import annotations

import re
import unicodedata
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infrastructure.memory.memori.tokens import (
    MAX_CHARACTERS,
    MAX_QUERY_TERMS,
    MAX_TERM_CHARACTERS,
    query_terms,
    stems,
)


def test_words_are_folded_and_stemmed_in_their_order() -> None:
    text = "Running, the runner's CAFÉS\nran to Straße_7 and ﬁve naïve cafes"
    assert (
        " ".join(stems(text))
        == "run the runner s cafe ran to strasse_7 and five naiv cafe strass 7"
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ångström", "angstrom"),
        ("\u1ea4m", "a\u0302\u0301m"),  # one character or three
        ("İstanbul", "istanbul"),
        ("\uff12\uff10\uff12\uff14", "2024"),
        ("ΟΔΟΣ", "οδος"),
        ("한국어", "\u1112\u1161\u11ab\u1100\u116e\u11a8\u110b\u1165"),
    ],
)
def test_ways_to_write_a_word_are_one_term(one: str, other: str) -> None:
    assert stems(one) == stems(other)
    assert len(stems(one)) == 1


@pytest.mark.parametrize(
    ("identifier", "terms"),
    [
        ("parse_user_id", "parse_user_id pars user id"),
        ("parseUserId", "parseuserid pars user id"),
        ("HTTPServer2Go", "httpserver2go http server2 go"),
        ("__init__", "__init__ init"),
        ("MAX_QUERY_TERMS", "max_query_term max queri term"),
        ("Größe_ändern", "grosse_andern gross andern"),
        ("_", "_"),
        ("PostgreSQL", "postgresql postgr sql"),
    ],
)
def test_an_identifier_counts_as_a_whole_and_by_its_parts(identifier: str, terms: str) -> None:
    assert stems(identifier) == query_terms(identifier) == terms.split()


def test_marks_do_not_split_a_word() -> None:
    assert len(stems("हिन्दी")) == 1


def test_text_without_words_has_no_terms() -> None:
    assert stems("") == stems("?! …\n") == query_terms("--") == []


@given(st.text(max_size=60))
def test_folding_characters_one_by_one_is_folding_the_text(text: str) -> None:
    folded = unicodedata.normalize("NFKD", text).casefold()
    plain = "".join(
        char
        for char in unicodedata.normalize("NFKD", folded)
        if not unicodedata.category(char).startswith("M")
    )
    caseless = text.casefold()  # case also tells where the parts of an identifier meet
    assert stems(caseless) == stems(plain)
    words = re.findall(r"\w+", plain)
    parts = [part for word in words if "_" in word for part in word.split("_") if part]
    assert len(stems(caseless)) == len(words) + len(parts)


@pytest.mark.parametrize(
    "text",
    ["a" * 10_000_000, "ab " * 3_000_000, "\u0344\u0f73" * 5_000_000, "\ufdfa" * 1_000_000],
    ids=["one word", "words", "marks out of order", "characters that grow"],
)
def test_a_huge_text_counts_by_its_start(text: str) -> None:
    found = stems(text)
    assert found == stems(text[:MAX_CHARACTERS])
    assert len(found) <= MAX_CHARACTERS
    assert all(len(term) <= MAX_TERM_CHARACTERS for term in found)


def test_what_follows_the_indexed_start_is_not_indexed() -> None:
    assert "late" not in stems("x " * (MAX_CHARACTERS // 2) + "late")
    assert stems("x " * (MAX_CHARACTERS // 2 - 2) + "late")[-1] == "late"


def test_a_long_word_is_found_by_itself() -> None:
    digest = "0123456789abcdef" * 8
    assert query_terms(digest) == stems(digest)


def test_a_query_goes_without_stop_words_unless_it_has_nothing_else() -> None:
    assert query_terms("Who were the runners, and what were they running from?") == [
        "runner",
        "run",
    ]
    assert query_terms("Who are they?") == ["who", "ar", "thei"]


def test_a_query_has_distinct_terms_up_to_a_number() -> None:
    assert query_terms("cat cats dog cat") == ["cat", "dog"]
    assert query_terms(" ".join(f"w{n}" for n in range(1000))) == [
        f"w{n}" for n in range(MAX_QUERY_TERMS)
    ]


def test_threads_stem_at_once_as_one_does() -> None:
    texts = [f"running{n} generalizations of relational databases, nationally" for n in range(2000)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(stems, texts)) == [stems(text) for text in texts]
