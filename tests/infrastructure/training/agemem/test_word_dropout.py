"""Reading with gaps: what the policy practises on, and what memory holds."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from test_rollouts import Drawing

from infrastructure.embeddings.builtin import BuiltinEmbedder
from infrastructure.memory.agemem.text_analysis import TextAnalyst
from infrastructure.training.agemem.collect import Collector
from infrastructure.training.agemem.config import TrainingConfig, TrainingStage
from infrastructure.training.agemem.word_dropout import WordDropout
from tests.infrastructure.training.agemem.small_episode import ALLERGY, EPISODE

WHOLE = TextAnalyst(BuiltinEmbedder())
TEXT = f"By the way, before I forget it once more. {ALLERGY} Good to know, is it not?"


def read(analyst: TextAnalyst, text: str = TEXT) -> list[str]:
    return [sentence.text for sentence in analyst.sentences(text)]


@settings(max_examples=40, deadline=None)
@given(share=st.floats(0, 0.9), seed=st.integers(0, 1000))
def test_some_words_of_each_sentence_are_left_and_in_their_order(share: float, seed: int) -> None:
    gapped = read(WordDropout(WHOLE, share, seed))
    whole = read(WHOLE)
    assert len(gapped) == len(whole)
    for part, sentence in zip(gapped, whole, strict=True):
        words = iter(sentence.split())
        assert part
        assert all(word in words for word in part.split())


def test_gaps_depend_on_the_seed_and_the_text_alone() -> None:
    first, again, other = (WordDropout(WHOLE, 0.5, seed) for seed in (1, 1, 2))
    read(again, "Something else that was read before.")
    assert read(first) == read(again)
    assert read(first) != read(other)


def test_what_memory_is_compared_by_has_no_gaps() -> None:
    gapped = WordDropout(WHOLE, 0.9, 0)
    assert gapped.of(TEXT) is WHOLE.of(TEXT)


async def test_a_group_reads_with_the_same_gaps_and_other_tasks_with_others() -> None:
    collector = Collector(TrainingConfig(), lambda _: EPISODE, word_dropout=0.5)
    plain = Collector(TrainingConfig(), lambda _: EPISODE)
    first, second = [await collector.group(TrainingStage.UNIFIED, task, Drawing) for task in (0, 1)]
    (whole, *_) = await plain.group(TrainingStage.UNIFIED, 0, Drawing)
    np.testing.assert_array_equal(first[0].states[0], first[1].states[0])
    assert not np.array_equal(first[0].states[0], second[0].states[0])
    assert not np.array_equal(first[0].states[0], whole.states[0])
