"""The router's benchmark: its measures by definition, and its rows on questions of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from router_routellm import area, calls_for, draws_of, recovered

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "router_routellm.py"


def test_measures_of_a_curve_drawn_by_hand() -> None:
    # The strong model helps at the first, harms at the last: 0, 1, 1, 2, 1 recovered.
    gains = np.array([1.0, 0.0, 1.0, -1.0])
    assert area(gains, np.ones(4)) == pytest.approx((0.5 + 1 + 1.5 + 1.5) / 4)
    assert recovered(gains, np.array([0.0, 0.25, 0.75, 1.0])) == pytest.approx([0, 1, 2, 1])
    assert calls_for(gains, 0.5) == 0.25
    assert calls_for(np.array([0.0, 0.0, 1.0, 1.0]), 0.8) == 1.0


@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=12))
def test_a_question_that_counts_twice_is_as_two_questions(drawn: list[float]) -> None:
    gains = np.array([*drawn, *[1.0] * 13])
    counts = np.arange(len(gains), dtype=np.float64) % 3 + 1
    written_out = np.repeat(gains, counts.astype(int))
    # Questions of one score share their places, as they stand side by side.
    assert area(gains, counts) == pytest.approx(area(written_out, np.ones(len(written_out))))


def test_what_is_asked_was_never_shown() -> None:
    for draw in draws_of(101, None, 30, 5, 0):
        assert len(draw.labelled) == 30
        assert not set(draw.labelled.tolist()) & set(draw.asked.tolist())
    first, second = draws_of(101, 7, 30, 2, 0)
    assert first.asked.tolist() == second.asked.tolist() == list(range(7))
    assert first.labelled.tolist() != second.labelled.tolist()


def questions(path: Path, count: int) -> Path:
    """Proofs are what only the strong model can do."""
    rng = np.random.default_rng(0)
    rows: list[str] = []
    for number in range(count):
        hard = number % 2 == 1
        words = rng.choice(["moss", "fern", "pine", "oak"], 4).tolist()
        prompt = f"{'Prove the theorem about' if hard else 'Name a plant like'} {' '.join(words)}"
        weak = bool(rng.random() < (0.1 if hard else 0.9))
        row = {"id": number, "prompt": prompt, "weak_correct": weak, "strong_correct": True}
        rows.append(json.dumps(row))
    path.write_text("\n".join(rows))
    return path


@pytest.mark.timeout(300)
def test_ours_finds_what_the_strong_model_is_for(tmp_path: Path) -> None:
    file = questions(tmp_path / "questions.jsonl", 240)
    arguments = ["--train", file, "--test", file, "--labels", "80", "--draws", "3", "--json"]
    plot = ["--plot", tmp_path / "figure.png", "--embedder", "none"]
    done = subprocess.run(
        [sys.executable, BENCHMARK, *arguments, *plot], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    rows = {row["name"]: row for row in found["rows"]}
    assert found["labels"] == 80
    assert found["n_test"] == 120
    assert rows["oracle"]["apgr"] > found["apgr"] > 0.65
    assert found["apgr_ci"][0] <= found["apgr"] <= found["apgr_ci"][1]
    assert rows["random"]["apgr"] == pytest.approx(0.5, abs=0.12)
    assert rows["oracle"]["cpt50"] < found["cpt50"] < rows["random"]["cpt50"]
    assert rows["always strong"]["accuracy"] == 1.0
    assert found["calibration"]["weak"]["brier"] < found["calibration"]["weak"]["base_brier"]
    assert (tmp_path / "figure.png").stat().st_size > 1000


@pytest.mark.parametrize("content", ['{"prompt": "x"}\n', "no json", "3", ""])
def test_a_file_that_is_none_is_refused_with_the_reason(tmp_path: Path, content: str) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(content)
    arguments = ["--train", file, "--test", file, "--embedder", "none"]
    done = subprocess.run([sys.executable, BENCHMARK, *arguments], capture_output=True, text=True)
    assert done.returncode != 0
    assert f"{file}: " in done.stderr
    assert "Traceback" not in done.stderr
