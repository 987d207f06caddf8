from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import count

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infrastructure.errors import StoreError
from infrastructure.memory.memori.lexical_index import LexicalIndex
from infrastructure.memory.memori.posting_lists import MAX_COUNT
from infrastructure.memory.memori.postings import Document, Postings
from infrastructure.memory.memori.sealing import seal, unseal
from infrastructure.memory.memori.tokens import query_terms, stems

WORDS = ["cat", "dog", "running", "runs", "été", "the", "x1", "blue", "sky", "7"]
TERMS = [*(stems(word)[0] for word in WORDS), "unheard"]
NAMESPACES = ["", "a.", "a.b.", "ab.", "a.b.c.", "é.", "a-."]

texts = st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)
batches = st.lists(
    st.lists(st.tuples(st.sampled_from(NAMESPACES), texts), max_size=8), min_size=1, max_size=12
)
dead_ids = st.lists(st.integers(-3, 120), max_size=30)


def numbered(parts: Iterable[Iterable[tuple[str, str]]]) -> list[list[Document]]:
    """Batches of documents with every second number as their ids."""
    ids = count(1, 2)
    created = count(10**15, 7)
    return [
        [(next(ids), namespace, next(created), text) for namespace, text in part] for part in parts
    ]


def plain(*contents: str) -> Postings:
    return Postings.build(
        (number, "a.", number, text) for number, text in enumerate(contents, start=1)
    )


def naive_bm25(
    contents: dict[int, str], terms: Iterable[str], k1: float, b: float
) -> dict[int, float]:
    """BM25 as the formula reads, of every document."""
    bags = {number: Counter(stems(text)) for number, text in contents.items()}
    mean = sum(bag.total() for bag in bags.values()) / max(len(bags), 1)
    scores = dict.fromkeys(bags, 0.0)
    for term in set(terms):
        having = sum(term in bag for bag in bags.values())
        idf = math.log(1 + (len(bags) - having + 0.5) / (having + 0.5))
        for number, bag in bags.items():
            if bag[term]:
                norm = k1 * (1 - b + b * bag.total() / mean)
                scores[number] += idf * bag[term] * (k1 + 1) / (bag[term] + norm)
    return scores


def naive_links(documents: Iterable[Document]) -> dict[int, tuple[int, int]]:
    """For each id the ids written before and after it in its namespace, -1 for none."""
    rows = list(documents)
    links: dict[int, tuple[int, int]] = {}
    for number, namespace, _, _ in rows:
        others = [row[0] for row in rows if row[1] == namespace]
        at = others.index(number)
        before = others[at - 1] if at else -1
        links[number] = before, others[at + 1] if at + 1 < len(others) else -1
    return links


def live_ids(index: LexicalIndex) -> list[int]:
    return index.documents.ids[index.documents.alive].tolist()


def check(
    index: LexicalIndex,
    live: Sequence[Document],
    terms: Sequence[str],
    k1: float = 1.2,
    b: float = 0.75,
) -> None:
    """The index answers as plain Python over the live documents does."""
    documents = index.documents
    assert live_ids(index) == [row[0] for row in live]
    assert documents.written_at[documents.alive].tolist() == [row[2] for row in live]
    names = documents.namespaces
    codes = documents.namespace_codes[documents.alive].tolist()
    assert [names[code] for code in codes] == [row[1] for row in live]

    found = index.scores(terms, k1=k1, b=b)
    expected = naive_bm25({row[0]: row[3] for row in live}, terms, k1, b)
    assert found.values.dtype == np.float32
    np.testing.assert_allclose(
        found.values[documents.alive], list(expected.values()), rtol=1e-5, atol=1e-5
    )
    assert not found.values[~documents.alive].any()
    assert (found.values <= found.ceiling * (1 + 1e-5)).all()

    for prefix in [*NAMESPACES, "none.", "a.b.c.d."]:
        mask = documents.in_namespace(prefix) & documents.alive
        expected_ids = [row[0] for row in live if row[1].startswith(prefix)]
        assert documents.ids[mask].tolist() == expected_ids

    ids = [*documents.ids.tolist(), -1]  # so that -1 for none leads to -1
    links = {
        ids[ordinal]: (ids[documents.previous[ordinal]], ids[documents.following[ordinal]])
        for ordinal in np.flatnonzero(documents.alive).tolist()
    }
    assert links == naive_links(live)


@given(
    batches,
    st.data(),
    st.lists(st.sampled_from(TERMS), max_size=6),
    st.sampled_from([(1.2, 0.75), (0.9, 0.4), (0.0, 0.5), (2.0, 0.0), (1.5, 1.0)]),
)
def test_appends_and_removals_score_as_plain_bm25_over_what_is_live(
    parts: list[list[tuple[str, str]]],
    data: st.DataObject,
    terms: list[str],
    parameters: tuple[float, float],
) -> None:
    index = LexicalIndex()
    live: dict[int, Document] = {}
    for batch in numbered(parts):
        index.append(Postings.from_bytes(Postings.build(batch).to_bytes()))
        live.update((row[0], row) for row in batch)
        if data.draw(st.booleans(), "search in between"):
            check(index, list(live.values()), terms, *parameters)
        dead = data.draw(dead_ids, "dead")
        index.remove(dead)
        for number in dead:
            live.pop(number, None)
    check(index, list(live.values()), terms, *parameters)


@given(batches, dead_ids, st.lists(st.sampled_from(TERMS), max_size=6))
def test_merged_segments_are_the_live_documents_built_at_once(
    parts: list[list[tuple[str, str]]], dead: list[int], terms: list[str]
) -> None:
    documents = numbered(parts)
    live = [row for batch in documents for row in batch if row[0] not in dead]
    merged = Postings.merged([Postings.build(batch) for batch in documents], dead)
    assert merged.to_bytes() == Postings.build(live).to_bytes()
    index = LexicalIndex()
    index.append(Postings.from_bytes(merged.to_bytes()))
    check(index, live, terms)


def test_many_small_batches_are_as_one() -> None:
    rng = np.random.default_rng(5)
    contents = [" ".join(rng.choice(WORDS, 6)) for _ in range(700)]
    rows = [(number, f"{number % 3}.", number, text) for number, text in enumerate(contents)]
    index, whole = LexicalIndex(), LexicalIndex()
    for row in rows:
        index.append(Postings.build([row]))
    whole.append(Postings.build(rows))
    for term in TERMS:
        np.testing.assert_array_equal(index.scores([term]).values, whole.scores([term]).values)
    np.testing.assert_array_equal(index.documents.previous, whole.documents.previous)
    np.testing.assert_array_equal(index.documents.following, whole.documents.following)


def test_an_empty_index_answers() -> None:
    index = LexicalIndex()
    index.remove([1, 2])
    index.append(Postings.build([]))
    assert len(index.documents) == 0
    found = index.scores(["cat"])
    assert (len(found.values), found.ceiling) == (0, 0.0)
    assert len(index.documents.in_namespace("a.")) == 0


def test_documents_without_a_word_are_there_and_score_nothing() -> None:
    index = LexicalIndex()
    index.append(plain("", "?!"))
    assert index.scores(["cat"]).values.tolist() == [0.0, 0.0]
    assert live_ids(index) == [1, 2]


def test_repeated_terms_of_a_query_count_once() -> None:
    index = LexicalIndex()
    index.append(plain("cat dog", "cat"))
    once, twice = index.scores(["cat"]), index.scores(["cat", "cat"])
    np.testing.assert_array_equal(once.values, twice.values)
    assert once.ceiling == twice.ceiling


def test_the_ceiling_depends_on_the_terms_not_on_what_matches() -> None:
    index = LexicalIndex()
    index.append(plain("cat", "cat dog", "blue sky"))
    both = index.scores(["cat", "dog"]).ceiling
    assert both == index.scores(["cat"]).ceiling + index.scores(["dog"]).ceiling
    assert index.scores(["cat"]).ceiling == pytest.approx(1.9 * math.log(1 + 1.5 / 2.5))
    assert index.scores(["unheard"]).ceiling > index.scores(["dog"]).ceiling


def test_removing_again_changes_nothing() -> None:
    index = LexicalIndex()
    index.append(plain("cat", "dog", "cat dog"))
    index.remove([2, 2])
    before = index.scores(["cat", "dog"]).values.tolist()
    index.remove([2, 99])
    assert index.scores(["cat", "dog"]).values.tolist() == before
    assert (index.documents.live, index.documents.live_length) == (2, 3)


@pytest.mark.parametrize("ids", [(3, 4), (2, 9), (5, 5), (7, 6)])
def test_batches_out_of_order_are_refused_and_change_nothing(ids: tuple[int, int]) -> None:
    index = LexicalIndex()
    index.append(plain("cat", "dog", "cat dog", "sky"))
    with pytest.raises(StoreError, match="out of order"):
        index.append(Postings.build([(number, "a.", 0, "cat") for number in ids]))
    assert live_ids(index) == [1, 2, 3, 4]
    index.append(Postings.build([(5, "a.", 0, "cat")]))
    assert np.flatnonzero(index.scores(["cat"]).values).tolist() == [0, 2, 4]


def test_a_count_stops_at_its_most() -> None:
    batch = plain("a " * (MAX_COUNT + 10))
    assert batch.lists.counts.tolist() == [MAX_COUNT]
    assert Postings.from_bytes(batch.to_bytes()).lists.counts.tolist() == [MAX_COUNT]


def test_more_documents_than_fit_two_bytes_read_back() -> None:
    size = 2**16 + 3
    batch = Postings.build(
        (number, "a.", 0, "cat" if number % 2 else "dog") for number in range(size)
    )
    again = Postings.from_bytes(batch.to_bytes())
    np.testing.assert_array_equal(again.lists.documents, batch.lists.documents)
    assert again.to_bytes() == batch.to_bytes()


def test_namespaces_with_any_text_read_back() -> None:
    names = ['quote".', "line\nbreak.", "\u2028.", "\\.", "日本."]
    batch = Postings.build((number, name, 0, "") for number, name in enumerate(names))
    again = Postings.from_bytes(batch.to_bytes())
    assert [again.namespaces[code] for code in again.namespace_codes.tolist()] == names


def test_any_damage_of_a_segment_is_reported() -> None:
    sound = plain("the cat runs", "a dog", "blue sky").to_bytes()
    for place in range(len(sound)):
        changed = bytearray(sound)
        for change in (0x01, 0x80, 0xFF):
            changed[place] = sound[place] ^ change
            for broken in (bytes(changed), sound[:place], sound + sound[:place] + b"x"):
                with pytest.raises(StoreError, match=r"damaged.*built anew"):
                    Postings.from_bytes(broken)


@pytest.mark.parametrize("data", [b"", b"GTXT", b"\x80\x04K\x01.", b"x" * 400])
def test_what_is_no_segment_is_refused(data: bytes) -> None:
    with pytest.raises(StoreError, match="damaged"):
        Postings.from_bytes(data)


@given(section=st.integers(0, 8), junk=st.binary(max_size=24))
def test_parts_that_do_not_belong_are_refused_or_harmless(section: int, junk: bytes) -> None:
    """Whatever passes the checks can be searched without a fault."""
    parts = unseal(b"GTXT", 1, plain("the cat runs", "a dog", "blue sky").to_bytes())
    parts[section] = junk
    try:
        batch = Postings.from_bytes(seal(b"GTXT", 1, parts))
    except StoreError:
        return
    index = LexicalIndex()
    index.append(batch)
    assert len(index.scores(query_terms("cat dog sky")).values) == len(batch)


def _i4(*values: int) -> bytes:
    return np.array(values, dtype="<i4").tobytes()


def _u2(*values: int) -> bytes:
    return np.array(values, dtype="<u2").tobytes()


def _i8(*values: int) -> bytes:
    return np.array(values, dtype="<i8").tobytes()


TWO_TERMS = {1: b'["cat","dog"]', 6: _i4(1, 1)}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({0: b'["a.","a."]'}, id="a namespace twice"),
        pytest.param({0: b"[]"}, id="a namespace that is not there"),
        pytest.param({0: b'{"a.":1}'}, id="namespaces that are no list"),
        pytest.param({1: b"[7]"}, id="a term that is no text"),
        pytest.param({1: b"[" * 100_000}, id="terms nested too deep"),
        pytest.param({1: b'["cat","dog"]'}, id="a term without postings"),
        pytest.param(TWO_TERMS | {1: b'["cat","cat"]'}, id="a term twice"),
        pytest.param(TWO_TERMS | {6: _i4(3, -1)}, id="postings that end before they begin"),
        pytest.param(TWO_TERMS | {6: _i4(2, 0)}, id="a term with no postings"),
        pytest.param({6: _i4(3)}, id="postings beyond the last"),
        pytest.param({6: _i4(1)}, id="postings of no term"),
        pytest.param({2: _i8(5, -1)}, id="ids that fall"),
        pytest.param({2: _i8(5)}, id="an id missing"),
        pytest.param({3: _i8(5)}, id="a time missing"),
        pytest.param({4: _i4(0)}, id="a namespace missing"),
        pytest.param({4: _i4(0, -1)}, id="a namespace below the first"),
        pytest.param({5: _i4(1)}, id="a length missing"),
        pytest.param({5: _i4(1, -1)}, id="a length below nothing"),
        pytest.param({7: _u2(0, 2)}, id="a document that is not there"),
        pytest.param({7: _u2(0, 0)}, id="a document twice under a term"),
        pytest.param({7: _u2(0)}, id="a document missing"),
        pytest.param({8: _u2(1, 0)}, id="a count of nothing"),
        pytest.param({8: _u2(1)}, id="a count missing"),
        pytest.param({8: b"\x01"}, id="half a count"),
    ],
)
def test_parts_that_contradict_each_other_are_refused(changes: dict[int, bytes]) -> None:
    parts = unseal(b"GTXT", 1, plain("cat", "cat").to_bytes())
    for section, content in changes.items():
        parts[section] = content
    with pytest.raises(StoreError, match="damaged"):
        Postings.from_bytes(seal(b"GTXT", 1, parts))


def test_parts_that_fit_together_are_read() -> None:
    parts = unseal(b"GTXT", 1, plain("cat", "cat").to_bytes())
    for section, content in TWO_TERMS.items():
        parts[section] = content
    assert Postings.from_bytes(seal(b"GTXT", 1, parts)).terms == ("cat", "dog")


def test_a_segment_of_another_version_or_kind_is_refused() -> None:
    parts = unseal(b"GTXT", 1, plain("cat").to_bytes())
    for other in (seal(b"GTXT", 2, parts), seal(b"GVEC", 1, parts), seal(b"GTXT", 1, parts[:-1])):
        with pytest.raises(StoreError, match="damaged"):
            Postings.from_bytes(other)


def test_a_block_that_claims_too_much_is_refused_before_it_is_unpacked() -> None:
    block = bytearray(seal(b"GTXT", 1, [b"x"]))
    block[12:20] = (2**62).to_bytes(8, "little")
    block[8:12] = zlib.crc32(bytes(block[12:])).to_bytes(4, "little")
    with pytest.raises(StoreError, match="larger"):
        unseal(b"GTXT", 1, bytes(block))


def test_a_block_that_unpacks_to_more_than_it_claims_is_refused() -> None:
    block = bytearray(seal(b"GTXT", 1, [b"x" * 1_000_000]))
    block[12:20] = (10).to_bytes(8, "little")
    block[8:12] = zlib.crc32(bytes(block[12:])).to_bytes(4, "little")
    with pytest.raises(StoreError, match="size"):
        unseal(b"GTXT", 1, bytes(block))
