"""Groups of rollouts: one task, played several times from exactly the same state of memory.

Everything that is drawn is drawn from (seed, stage, task, rollout), so that what is collected does
not depend on how many rollouts run at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore

from infrastructure.embeddings.builtin import BuiltinEmbedder
from infrastructure.errors import GenesisError
from infrastructure.memory.agemem.actions import Moment
from infrastructure.memory.agemem.decider import Decider
from infrastructure.memory.agemem.entries import MemorySnapshot
from infrastructure.memory.agemem.ids import CountedClock, CountedIds
from infrastructure.memory.agemem.operations import AgeMem
from infrastructure.memory.agemem.text_analysis import TextAnalyst
from infrastructure.training.agemem.config import TrainingConfig, TrainingStage
from infrastructure.training.agemem.episodes import Episode, TurnKind
from infrastructure.training.agemem.practice import DeciderSource
from infrastructure.training.agemem.reward import RewardFunction
from infrastructure.training.agemem.rollout import Played, Recorded, Rollout, play, trajectory_of
from infrastructure.training.agemem.trajectory import Trajectory
from infrastructure.training.agemem.truth import Truth
from infrastructure.training.agemem.word_dropout import WordDropout

Draws = np.random.Generator
EpisodeSource = Callable[[int], Episode]
Event = tuple[Moment, int]

_STAGES: Final = tuple(TrainingStage)
_SINGLE_SHARES: Final = {Moment.ARRIVAL: 0.6, Moment.CONTEXT: 0.15, Moment.QUESTION: 0.25}
_TELLING_TURNS: Final = 0.5
_QUESTIONS: Final = 0.4
_KNOWN: Final = 0.8
_GONE_KNOWN: Final = 0.5
_CHATTER_KNOWN: Final = 0.2
_PRACTICE_ROUNDS: Final = 3
_FAILURES_KEPT: Final = 100


@dataclass(frozen=True, slots=True)
class Practice:
    """A part of an episode: the state of memory it starts from, and what happens then."""

    truth: Truth
    start: MemorySnapshot
    events: tuple[Event, ...]
    rounds: int


class Collector:
    """Plays tasks on real memories.

    Args:
        config: the training's.
        source: the episode of a task's number.
        analyst: knows texts; its embedder gives the vectors that the policy sees.
        store: a new, empty store for each group; in memory unless given.
        word_dropout: share of the words of each sentence that is not read in a group's rollouts.
    """

    def __init__(
        self,
        config: TrainingConfig,
        source: EpisodeSource,
        *,
        analyst: TextAnalyst | None = None,
        store: Callable[[], BaseStore] = InMemoryStore,
        word_dropout: float = 0.0,
    ) -> None:
        self.config = config
        self.reward = RewardFunction(config.reward)
        self.analyst = analyst or TextAnalyst(BuiltinEmbedder())
        self.failures: deque[str] = deque(maxlen=_FAILURES_KEPT)
        self._source = source
        self._store = store
        self._word_dropout = word_dropout
        self._operations = frozenset((*config.ltm_operations, *config.stm_operations))

    async def group(
        self,
        stage: TrainingStage,
        task: int,
        decider: DeciderSource,
        *,
        rollouts: int | None = None,
    ) -> list[Trajectory]:
        """The rollouts of one task, those that failed left out (`failures` says why of the last).

        Args:
            stage: what is practised.
            task: its number, from 0; it decides the episode and all that is drawn.
            decider: makes the decider of a rollout from its own source of draws.
            rollouts: how many; None for the size of a group.
        """
        truth = Truth(self._source(task))
        store = self._store()
        key = (self.config.seed, _STAGES.index(stage), task)
        analyst = self._reader(key)
        practice = None
        if stage is not TrainingStage.UNIFIED:
            start = self._memory(truth.episode, store, "start", analyst)
            practice = await _practice(stage, truth, start, np.random.default_rng(key))
        at_once = asyncio.Semaphore(self.config.parallel_rollouts)

        async def rollout(number: int) -> Trajectory | None:
            async with at_once:
                decides = decider(np.random.default_rng((*key, number)))
                memory = self._memory(truth.episode, store, f"rollout-{number}", analyst)
                try:
                    if practice is None:
                        return (await self._play(truth, memory, decides)).trajectory
                    return await self._practise(practice, memory, decides)
                except GenesisError as error:
                    self.failures.append(f"{truth.episode.episode_id}: {error}")
                    return None

        size = self.config.grpo_config.group_size if rollouts is None else rollouts
        played = await asyncio.gather(*(rollout(number) for number in range(size)))
        return [trajectory for trajectory in played if trajectory is not None]

    async def play(self, episode: Episode, decider: Decider) -> Played:
        """Play one whole episode on a memory of its own."""
        truth = Truth(episode)
        memory = self._memory(episode, self._store(), "episode", self.analyst)
        return await self._play(truth, memory, decider)

    async def _play(self, truth: Truth, memory: AgeMem, decider: Decider) -> Played:
        return await play(truth, memory, decider, self.reward, operations=self._operations)

    async def _practise(self, practice: Practice, memory: AgeMem, decider: Decider) -> Trajectory:
        await memory.restore(practice.start)
        rollout = Rollout(
            practice.truth,
            memory,
            decider,
            operations=self._operations,
            max_rounds=practice.rounds,
        )
        for moment, number in practice.events:
            if moment is Moment.ARRIVAL:
                await rollout.hear(number)
            elif moment is Moment.CONTEXT:
                await rollout.arrive(number)
            else:
                await rollout.ask(number)
        worth = sum(self._worth(recorded) for recorded in rollout.recorded)
        return trajectory_of(rollout.recorded, practice.truth.episode.episode_id, worth)

    def _worth(self, recorded: Recorded) -> float:
        if recorded.outcome is None:
            return recorded.worth
        return self.reward.compute(recorded.outcome)

    def _reader(self, key: tuple[int, ...]) -> TextAnalyst:
        """Reads the texts of one group: all its rollouts see the same."""
        if not self._word_dropout:
            return self.analyst
        seed = int(np.random.SeedSequence(key).generate_state(1)[0])
        return WordDropout(self.analyst, self._word_dropout, seed)

    def _memory(
        self, episode: Episode, store: BaseStore, name: str, analyst: TextAnalyst
    ) -> AgeMem:
        return AgeMem(
            store,
            namespace=("training", name),
            capacity=episode.capacity,
            context_tokens=episode.budget,
            analyst=analyst,
            clock=CountedClock(),
            new_id=CountedIds(),
            journal=0,
        )


async def _practice(stage: TrainingStage, truth: Truth, memory: AgeMem, draws: Draws) -> Practice:
    single = stage is TrainingStage.SINGLE_TOOL
    events = _single(truth.episode, draws) if single else _several(truth.episode, draws)
    await prepare(truth, memory, events[0], draws)
    rounds = 1 if single else _PRACTICE_ROUNDS
    return Practice(truth, await memory.snapshot(), events, rounds)


async def prepare(truth: Truth, memory: AgeMem, event: Event, draws: Draws) -> None:
    """Bring a memory into a state it could be in before an event, some good and some bad.

    Most facts that are true by then are stored, some of what is gone, a little of the chatter, each
    with an importance that is drawn.
    """
    episode = truth.episode
    memory.analyst.prepare(turn.text for turn in episode.turns)
    moment, number = event
    heard = number if moment is Moment.ARRIVAL else len(episode.turns)
    gone = truth.gone(after=heard - 1)
    for turn in episode.turns[:heard]:
        share = _CHATTER_KNOWN
        if turn.useful:
            share = _GONE_KNOWN if turn.fact_id in gone else _KNOWN
        if draws.random() < share:
            await memory.add(turn.text, importance=float(draws.uniform(0.1, 1.0)))
    if moment is Moment.ARRIVAL:
        return
    context = memory.context
    context.goal = memory.analyst.of(episode.goal) if episode.goal else None
    arrived = number if moment is Moment.CONTEXT else len(episode.arrivals)
    for arrival in episode.arrivals[:arrived]:
        context.append(memory.analyst.of(arrival.text))
    context.fit()


def _single(episode: Episode, draws: Draws) -> tuple[Event, ...]:
    """One decision: about a turn, an arrival or a question."""
    counts = _counts(episode)
    moments = [moment for moment in Moment if counts[moment]]
    shares = np.array([_SINGLE_SHARES[moment] for moment in moments])
    moment = moments[int(draws.choice(len(moments), p=shares / shares.sum()))]
    if moment is Moment.ARRIVAL:
        return ((moment, _turn(episode, draws)),)
    return ((moment, int(draws.integers(counts[moment]))),)


def _several(episode: Episode, draws: Draws) -> tuple[Event, ...]:
    """Two to four decisions: turns that follow each other, or what comes before an answer."""
    if episode.questions and (not episode.turns or draws.random() < _QUESTIONS):
        question = (Moment.QUESTION, int(draws.integers(len(episode.questions))))
        last = len(episode.arrivals) - 1
        return ((Moment.CONTEXT, last), question) if last >= 0 else (question,)
    length = min(int(draws.integers(2, 5)), len(episode.turns))
    first = min(max(0, _turn(episode, draws) - length + 1), len(episode.turns) - length)
    return tuple((Moment.ARRIVAL, number) for number in range(first, first + length))


def _counts(episode: Episode) -> dict[Moment, int]:
    return {
        Moment.ARRIVAL: len(episode.turns),
        Moment.CONTEXT: len(episode.arrivals),
        Moment.QUESTION: len(episode.questions),
    }


def _turn(episode: Episode, draws: Draws) -> int:
    """A turn, as often one that tells something as any."""
    telling = [
        number for number, turn in enumerate(episode.turns) if turn.kind is not TurnKind.CHATTER
    ]
    among: Sequence[int] = range(len(episode.turns))
    if telling and draws.random() < _TELLING_TURNS:
        among = telling
    return among[int(draws.integers(len(among)))]
