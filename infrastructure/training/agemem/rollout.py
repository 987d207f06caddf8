"""Plays an episode on a real memory and writes down every decision with what came of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from infrastructure.memory.agemem.actions import ACTIONS, PASS, MemoryOperation, Moment
from infrastructure.memory.agemem.decider import Decider
from infrastructure.memory.agemem.manager import ALL_OPERATIONS, MemoryManager, Step
from infrastructure.memory.agemem.operations import AgeMem
from infrastructure.training.agemem.credit import arrival_credits, context_credits
from infrastructure.training.agemem.episodes import Episode, Question
from infrastructure.training.agemem.reward import EpisodeOutcome, RewardFunction
from infrastructure.training.agemem.trajectory import OperationOutcome, Trajectory, state_of
from infrastructure.training.agemem.truth import Answer, MemoryJudgement, Truth


@dataclass(frozen=True, slots=True)
class Position:
    """Where in an episode the next decision is due: what an oracle may know.

    Attributes:
        truth: of the episode that is played.
        memory: the memory that it is played on.
        moment: what kind of decision it will be.
        number: of the turn, the arrival or the question, from 0.
    """

    truth: Truth
    memory: AgeMem
    moment: Moment
    number: int


@runtime_checkable
class Guided(Protocol):
    """A decider that is told where it is, as an oracle must be. No policy is one."""

    def follow(self, position: Position) -> None:
        """The next decisions are about this."""
        ...


@dataclass(frozen=True, slots=True)
class Recorded:
    """A step of a rollout.

    Attributes:
        step: what was decided and done.
        event: what it was about, and the how manieth decision about that it was.
        number: of the turn, arrival or question.
        moment: what kind of decision it was.
        outcome: what the operation did; None for doing nothing.
        worth: what it changed in memory and context, by the truth.
    """

    step: Step
    event: str
    number: int
    moment: Moment
    outcome: OperationOutcome | None
    worth: float


@dataclass(frozen=True, slots=True)
class Played:
    """An episode that was played to its end.

    Attributes:
        trajectory: its decisions; it is rewarded at the end.
        answers: one for each question.
        rounds: decisions about each question.
        memory: what long-term memory held when it had heard everything.
        overflows: how often the context held too much.
        contexts: the texts of the context that each question was answered from.
    """

    trajectory: Trajectory
    answers: tuple[Answer, ...]
    rounds: tuple[int, ...]
    memory: MemoryJudgement
    overflows: int
    contexts: tuple[tuple[str, ...], ...]

    @property
    def success(self) -> float:
        """The share of questions that are answered."""
        return _mean([answer.success for answer in self.answers])

    @property
    def evidence_recall(self) -> float:
        """The mean share of what each question needs that is in its context."""
        return _mean([answer.recall for answer in self.answers])

    @property
    def stale_rate(self) -> float:
        """The share of questions whose context says what is no longer true."""
        return _mean([answer.stale for answer in self.answers])

    @property
    def context_tokens(self) -> float:
        """The mean size of a final context."""
        return _mean([answer.tokens for answer in self.answers])


class Rollout:
    """One run through an episode, or through a part of it.

    Args:
        truth: the episode's.
        memory: a real one, which keeps the episode's limits.
        decider: takes the decisions.
        operations: those that may be used.
        max_rounds: decisions about one question, at most.
        judge_memory: whether what each storing decision changed is measured at once; whole
            episodes judge it at their end (see `credit`).
    """

    def __init__(
        self,
        truth: Truth,
        memory: AgeMem,
        decider: Decider,
        *,
        operations: Collection[MemoryOperation] = ALL_OPERATIONS,
        max_rounds: int = 4,
        judge_memory: bool = True,
    ) -> None:
        self.truth = truth
        self.memory = memory
        self.recorded: list[Recorded] = []
        self._guided = decider if isinstance(decider, Guided) else None
        self._judge_memory = judge_memory
        self._manager = MemoryManager(
            memory,
            decider,
            on_step=self._record,
            operations=operations,
            max_rounds=max_rounds,
        )
        self._at: tuple[Moment, int] = (Moment.ARRIVAL, 0)
        self._round = 0
        self._before = 0.0

    async def hear(self, number: int) -> None:
        """Phase 1: one turn is said."""
        self._begin(Moment.ARRIVAL, number)
        self._before = self._memory_worth()
        turns = self.truth.episode.turns
        before = turns[number - 1].text if number else None
        await self._manager.learn(turns[number].text, before=before)

    def announce(self) -> None:
        """Between the phases: the context is cleared, and what comes next is told."""
        episode, context = self.truth.episode, self.memory.context
        context.clear()
        context.goal = self.memory.analyst.of(episode.goal) if episode.goal else None

    async def arrive(self, number: int) -> None:
        """Phase 2: something comes into the context."""
        self._begin(Moment.CONTEXT, number)
        self._before = self._context_worth()
        await self._manager.attend(self.truth.episode.arrivals[number].text)
        # What fell out of the context afterwards fell out because of what was decided.
        last = self.recorded[-1]
        lost = self._context_worth() - self._before
        self.recorded[-1] = replace(last, worth=last.worth + lost)

    async def ask(self, number: int) -> Answer:
        """Phase 3: a question; the context is left as it is when it is answered."""
        self._begin(Moment.QUESTION, number)
        question = self.truth.episode.questions[number]
        self._before = self._context_worth()
        await self._manager.recall(question.text)
        return self.truth.answer(question, self.memory.context.items)

    def _begin(self, moment: Moment, number: int) -> None:
        self._at, self._round = (moment, number), 0
        if self._guided is not None:
            self._guided.follow(Position(self.truth, self.memory, moment, number))

    def _record(self, step: Step) -> None:
        moment, number = self._at
        now = self._memory_worth() if moment is Moment.ARRIVAL else self._context_worth()
        worth, self._before = now - self._before, now
        outcome = outcome_of(step, self.truth, self._needed(), worth)
        event = f"{moment}:{number}:{self._round}"
        self._round += 1
        self.recorded.append(Recorded(step, event, number, moment, outcome, worth))

    def _memory_worth(self) -> float:
        if not self._judge_memory:
            return 0.0
        return self.truth.memory_worth(
            (held.entry for held in self.memory.index), after=self._at[1]
        )

    def _context_worth(self) -> float:
        return self.truth.context_worth(self.memory.context.items, self._question())

    def _question(self) -> Question | None:
        moment, number = self._at
        return self.truth.episode.questions[number] if moment is Moment.QUESTION else None

    def _needed(self) -> frozenset[str]:
        question = self._question()
        return frozenset(need.fact_id for need in question.needs) if question else frozenset()


def outcome_of(
    step: Step, truth: Truth, needed: frozenset[str], worth: float
) -> OperationOutcome | None:
    """What an operation did, checked against the truth; None for doing nothing.

    Args:
        step: the decision, carried out.
        truth: of the episode.
        needed: facts that the question needs.
        worth: what the operation changed, by the truth.
    """
    if step.choice.place == PASS:
        return None
    effect = step.effect
    return OperationOutcome(
        operation=step.choice.action.operation,
        success=effect.done,
        latency_ms=effect.latency_ms,
        retrieved_count=len(effect.retrieved),
        relevant_count=sum(
            bool(truth.facts_in(found.entry.content) & needed) for found in effect.retrieved
        ),
        input_length=effect.input_tokens,
        output_length=effect.output_tokens,
        filtered_count=len(effect.dropped) if effect.original_count else 0,
        original_count=effect.original_count,
        worth=worth,
        reason="" if effect.done else effect.words,
    )


async def play(
    truth: Truth,
    memory: AgeMem,
    decider: Decider,
    reward: RewardFunction,
    *,
    operations: Collection[MemoryOperation] = ALL_OPERATIONS,
    max_rounds: int = 4,
) -> Played:
    """Play a whole episode on an empty memory.

    Every question is asked from the context that the second phase left.
    """
    episode = truth.episode
    memory.analyst.prepare(_texts(episode))
    rollout = Rollout(
        truth,
        memory,
        decider,
        operations=operations,
        max_rounds=max_rounds,
        judge_memory=False,
    )
    for number in range(len(episode.turns)):
        await rollout.hear(number)
    entries = [held.entry for held in memory.index]
    heard = len(rollout.recorded)
    rollout.announce()
    for number in range(len(episode.arrivals)):
        await rollout.arrive(number)
    left = memory.context.snapshot()
    answers: list[Answer] = []
    contexts: list[tuple[str, ...]] = []
    overflows = left.overflows
    for number in range(len(episode.questions)):
        memory.context.restore(left)
        answers.append(await rollout.ask(number))
        contexts.append(tuple(item.text for item in memory.context.items))
        overflows += memory.context.overflows - left.overflows
    rounds = tuple(
        sum(
            recorded.number == number and recorded.moment is Moment.QUESTION
            for recorded in rollout.recorded
        )
        for number in range(len(episode.questions))
    )
    judged = truth.judge_memory(entries)
    fetches = [recorded.outcome for recorded in rollout.recorded if recorded.outcome is not None]
    outcome = EpisodeOutcome(
        answers=tuple(answers),
        rounds=rounds,
        budget=episode.budget,
        overflows=overflows,
        memory=judged,
        gone=len(truth.gone()),
        retrieved=sum(fetch.retrieved_count for fetch in fetches),
        relevant=sum(fetch.relevant_count for fetch in fetches),
    )
    credit = arrival_credits(truth, rollout.recorded[:heard], entries)
    credit += context_credits(rollout.recorded[heard:], reward.config.rounds_penalty)
    trajectory = trajectory_of(rollout.recorded, episode.episode_id, reward.compute(outcome))
    played = Played(
        replace(trajectory, credit=np.array(credit, dtype=np.float32)),
        tuple(answers),
        rounds,
        judged,
        overflows,
        tuple(contexts),
    )
    return replace(played, trajectory=replace(played.trajectory, success=played.success))


def trajectory_of(recorded: Sequence[Recorded], episode_id: str, reward: float) -> Trajectory:
    """Recorded decisions as a trajectory that is rewarded at its end."""
    observations = [record.step.sight.observation for record in recorded]
    rewards = np.zeros(len(recorded), dtype=np.float32)
    if len(rewards):
        rewards[-1] = reward
    return Trajectory(
        states=_rows([state_of(seen) for seen in observations]),
        actions=np.array([record.step.choice.place for record in recorded], dtype=np.int64),
        action_logprobs=np.array([_log_prob(record.step) for record in recorded], np.float32),
        rewards=rewards,
        masks=np.array([seen.allowed for seen in observations], np.bool_).reshape(
            len(recorded), len(ACTIONS)
        ),
        credit=np.array([record.worth for record in recorded], dtype=np.float32),
        events=tuple(record.event for record in recorded),
        outcomes=tuple(record.outcome for record in recorded),
        episode_id=episode_id,
    )


def _rows(rows: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.stack(rows) if rows else np.zeros((0, 0), dtype=np.float32)


def _log_prob(step: Step) -> float:
    """Of the action that was taken; NaN of who gives no probabilities, so that none learns it."""
    probabilities = step.choice.probabilities
    if probabilities is None:
        return float("nan")
    with np.errstate(divide="ignore"):
        return float(np.log(probabilities[step.choice.place]))


def _texts(episode: Episode) -> list[str]:
    texts = [turn.text for turn in episode.turns]
    texts += [arrival.text for arrival in episode.arrivals]
    texts += [question.text for question in episode.questions]
    return [*texts, episode.goal] if episode.goal else texts


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
