"""Replay of annotated conversations: what of each question's evidence a memory brings.

For each seed three conversations are trained on and the others tested on: the hand-written
deciders are tuned on the three, a policy of its own is trained on windows of them, and all are
played on the others from their first turn to their last. A question's figure is its mean over
the seeds that test it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path

from agemem_rows import decider_of, each, play

from infrastructure.memory.agemem.decider import Decider
from infrastructure.memory.agemem.policy_file import SHIPPED
from infrastructure.training.agemem.config import (
    GrpoConfig,
    NetworkConfig,
    RewardConfig,
    TrainingConfig,
    TrainingStage,
)
from infrastructure.training.agemem.episodes import Episode
from infrastructure.training.agemem.replay import (
    Conversation,
    read_conversations,
    split,
    training_windows,
    whole_episode,
)
from infrastructure.training.agemem.tuning import Judge, tuned_heuristics

Recalls = Mapping[str, Mapping[tuple[str, int], float]]
"""By row, then by conversation and number of the question."""

REPLAY_TRAINING = TrainingConfig(
    grpo_config=GrpoConfig(tasks_per_step=6, learning_rate=7e-4, credit="local"),
    reward=RewardConfig(partial=1.0),
    network=NetworkConfig(sentence_width=24, hidden1=48, hidden2=32),
    validation_every=15,
    patience=0,
)
"""How a policy for replay is trained, but for seed and steps: three conversations are little, so
the network is small; every part of a question's evidence counts."""

_STRIDE = 7919


@dataclass(frozen=True)
class Replay:
    """What is to be replayed with one seed.

    Attributes:
        data: the conversations' file.
        seed: chooses the split; of all that is drawn.
        policy: file of the policy that was not trained on this; None for the package's.
        tries: of the search for the heuristics' numbers.
        steps: of the training of a policy; 0 trains none.
    """

    data: Path
    seed: int
    policy: Path | None
    tries: int
    steps: int


async def train_replay_policy(train: Sequence[Conversation], seed: int, steps: int) -> Decider:
    """A policy trained on windows of conversations alone; needs torch.

    Of what it was after so many steps the best is kept by the reward on the whole conversations.
    """
    from infrastructure.training.agemem.session import Material, open_training

    windows = [window for talk in train for window in training_windows(talk)]
    whole = [whole_episode(talk) for talk in train]
    config = replace(
        REPLAY_TRAINING,
        seed=seed,
        stages={TrainingStage.UNIFIED: steps},
        validation_episodes=len(whole),
    )
    material = Material(
        "windows of three conversations",
        # A stride that shares no factor with their number goes through all windows.
        lambda task: windows[task * _STRIDE % len(windows)],
        lambda task: whole[task],
    )
    trainer = open_training(config, material, created_at="", package_version="")
    await trainer.train()
    return trainer.policy()


def recall_on(episodes: Sequence[Episode]) -> Judge:
    """Judges a decider by its mean evidence recall."""

    async def judge(decider: Decider) -> float:
        played = [await play(episode, decider.name, decider) for episode in episodes]
        recalls = [answer.recall for one in played for answer in one.answers]
        return sum(recalls) / len(recalls)

    return judge


async def deciders_for(replay: Replay, train: Sequence[Conversation]) -> dict[str, Decider]:
    """All rows, those that learn tuned or trained on these conversations."""
    rows = {
        name: decider_of(name, replay.seed, replay.policy)
        for name in ("no memory", "random", "untrained policy", "oracle")
    }
    # On whole conversations, as they are tested: tuned on windows they are 1 to 3 points worse.
    whole = [whole_episode(talk) for talk in train]
    for tuned in await tuned_heuristics(recall_on(whole), replay.tries, replay.seed):
        rows[tuned.decider.name] = tuned.decider
    rows["unlimited"] = rows["fifo"]
    if (replay.policy or SHIPPED).is_file():
        rows["shipped policy"] = decider_of("policy", replay.seed, replay.policy)
    if replay.steps:
        rows["policy"] = await train_replay_policy(train, replay.seed, replay.steps)
    return rows


def replayed(replay: Replay) -> Recalls:
    """The recall of every question of the conversations that are tested with this seed."""
    return asyncio.run(_replayed(replay))


async def _replayed(replay: Replay) -> Recalls:
    train, test = split(read_conversations(replay.data), replay.seed)
    recalls: dict[str, dict[tuple[str, int], float]] = {}
    for row, decider in (await deciders_for(replay, train)).items():
        recalls[row] = {
            (talk.name, number): answer.recall
            for talk in test
            for number, answer in enumerate((await play(whole_episode(talk), row, decider)).answers)
        }
    return recalls


def replay_all(replays: Sequence[Replay], pool: Executor | None) -> Recalls:
    """Each question's mean recall over the seeds that test it, by row."""
    collected: defaultdict[str, defaultdict[tuple[str, int], list[float]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for recalls in each(replayed, replays, pool):
        for row, by_question in recalls.items():
            for question, recall in by_question.items():
                collected[row][question].append(recall)
    return {
        row: {question: sum(values) / len(values) for question, values in by_question.items()}
        for row, by_question in collected.items()
    }
