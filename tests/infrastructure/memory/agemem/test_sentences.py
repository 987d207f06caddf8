"""Where sentences of chat text end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infrastructure.memory.agemem.sentences import sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n\t ", []),
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("ok. see you there. bring tea", ["ok.", "see you there.", "bring tea"]),
        ("First line\nsecond line\r\nthird.", ["First line", "second line", "third."]),
        ("Dr. Smith met Mrs. Jones vs. the city.", ["Dr. Smith met Mrs. Jones vs. the city."]),
        ("Bring fruit, e.g. apples, i.e. red ones.", ["Bring fruit, e.g. apples, i.e. red ones."]),
        ("We meet at 5 p.m. on Monday. Come!", ["We meet at 5 p.m. on Monday.", "Come!"]),
        ("It opens at 9 a.m. Bring the key.", ["It opens at 9 a.m.", "Bring the key."]),
        ("The price is 3.50 now. It was 4.20.", ["The price is 3.50 now.", "It was 4.20."]),
        ("See No. 5 first. No. I stay.", ["See No. 5 first.", "No.", "I stay."]),
        ("J. R. Tolkien wrote it. I read it.", ["J. R. Tolkien wrote it.", "I read it."]),
        ("It was me and I. Then we left.", ["It was me and I.", "Then we left."]),
        ("1. Buy milk. 2 litres.", ["1. Buy milk.", "2 litres."]),
        ("well... maybe... Yes.", ["well... maybe...", "Yes."]),
        ("What?! Really!!! Yes", ["What?!", "Really!!!", "Yes"]),
        ('"Stop." She left. (He stayed.) Done', ['"Stop."', "She left.", "(He stayed.)", "Done"]),
        ("see www.example.org/a.b for more. Bye", ["see www.example.org/a.b for more.", "Bye"]),
        ("今天下雨。明天晴。好吗", ["今天下雨。", "明天晴。", "好吗"]),
        ("I work for Acme Inc. in Oslo. Good pay.", ["I work for Acme Inc. in Oslo.", "Good pay."]),
        ("...", ["..."]),
    ],
)  # fmt: skip
def test_sentences_end_where_a_reader_ends_them(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@given(st.text(alphabet="ab I.!?…\"'()。 \n1", max_size=60))
def test_nothing_is_lost_or_changed(text: str) -> None:
    parts = sentences(text)
    assert all(part.strip() == part and part for part in parts)
    place = 0
    for part in parts:
        found = text.index(part, place)
        assert not text[place:found].strip()
        place = found + len(part)
    assert not text[place:].strip()


@pytest.mark.parametrize("unit", ["a. ", ".", "e.g. ", "x", "“", ". “", ".)", ". ", "... "])
def test_a_long_text_of_marks_is_split_without_loss_within_the_time_of_a_test(unit: str) -> None:
    text = unit * (100_000 // len(unit))
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())
