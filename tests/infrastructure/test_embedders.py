from __future__ import annotations

import logging
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings

from infrastructure.embeddings.builtin import BuiltinEmbedder
from infrastructure.embeddings.embedder import Embedder
from infrastructure.embeddings.langchain import LangChainEmbedder
from infrastructure.errors import ModelError

BUILTIN = BuiltinEmbedder()


class _Rows(Embeddings):
    """Gives what it was told to give, whatever is asked."""

    def __init__(self, rows: list[list[float]]) -> None:
        self.rows = rows

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self.rows

    def embed_query(self, text: str) -> list[float]:
        return self.rows[0]


class _Failing(_Rows):
    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        raise TimeoutError("no answer")


@pytest.mark.parametrize(
    "embedder", [BUILTIN, LangChainEmbedder(DeterministicFakeEmbedding(size=8))]
)
def test_rows_are_unit_vectors_in_order(embedder: Embedder) -> None:
    rows = embedder.embed(["a slow test", "the weather", "a slow test"])
    assert rows.shape == (3, embedder.dimensions)
    assert rows.dtype == np.float32
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1, abs=1e-5)
    assert rows[0] == pytest.approx(rows[2])
    assert embedder.embed([]).shape == (0, embedder.dimensions)
    assert embedder.name
    assert embedder.version


def test_likeness_follows_meaning() -> None:
    query, near, far = BUILTIN.embed(
        ["the program crashed with an exception", "fatal error in the app", "a recipe for soup"]
    )
    assert query @ near > query @ far


def test_a_text_without_words_gives_zeros_and_disturbs_no_other() -> None:
    rows = BUILTIN.embed(["", "hello", "", "world"])
    assert not rows[0].any()
    assert not rows[2].any()
    assert rows[[1, 3]] == pytest.approx(BUILTIN.embed(["hello", "world"]))


@given(st.lists(st.text(max_size=80), max_size=20))
@settings(deadline=None)
def test_a_row_does_not_depend_on_its_neighbours(texts: list[str]) -> None:
    together = BUILTIN.embed(texts)
    assert np.isfinite(together).all()
    for text, row in zip(texts, together, strict=True):
        assert row == pytest.approx(BUILTIN.embed([text])[0], abs=1e-5)


def test_a_long_text_counts_by_its_start() -> None:
    start = "word " * 4000
    rows = BUILTIN.embed([start + "x" * 10, start + "tail " * 100_000])
    assert rows[0] == pytest.approx(rows[1], abs=1e-3)


def test_threads_share_one_model() -> None:
    embedder = BuiltinEmbedder()
    rows: list[float] = []
    threads = [
        threading.Thread(target=lambda: rows.append(float(embedder.embed(["hello"])[0, 0])))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rows == [rows[0]] * 8


def test_loading_leaves_the_logging_of_the_program_alone() -> None:
    code = (
        "import logging\n"
        "from infrastructure.embeddings.builtin import BuiltinEmbedder\n"
        "BuiltinEmbedder().embed(['hello'])\n"
        "print(logging.getLogger().handlers, logging.getLogger().level)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == f"[] {logging.WARNING}"
    assert done.stderr == ""


def test_a_missing_package_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wordllama", None)
    with pytest.raises(ModelError, match="pip install wordllama"):
        BuiltinEmbedder().embed(["hello"])


def test_langchain_vectors_are_scaled_to_length_one() -> None:
    embedder = LangChainEmbedder(_Rows([[3.0, 4.0]]), name="own", version="7")
    assert embedder.dimensions == 2
    assert embedder.embed(["x"])[0] == pytest.approx([0.6, 0.8])
    assert (embedder.name, embedder.version) == ("own", "7")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "0 vectors for 1 texts"),
        ([[1.0, 2.0, 3.0]], "expected 2"),
        ([[float("nan"), 1.0]], "not finite"),
    ],
)
def test_wrong_vectors_are_refused(rows: list[list[float]], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        LangChainEmbedder(_Rows(rows), dimensions=2).embed(["x"])


def test_a_failing_model_is_named() -> None:
    with pytest.raises(ModelError, match=r"langchain:_Failing failed .* no answer"):
        LangChainEmbedder(_Failing([])).embed(["x"])
