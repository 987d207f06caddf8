"""The deciders that the memory benchmark compares, and how they are played."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from agemem_statistics import Draws, Interval

from infrastructure.embeddings.builtin import BuiltinEmbedder
from infrastructure.memory.agemem.decider import Decider
from infrastructure.memory.agemem.features import (
    FEATURES_VERSION,
    POLICY_FEATURES,
    SENTENCE_FEATURES,
)
from infrastructure.memory.agemem.heuristics import (
    Careful,
    KeepEverything,
    LongestTurns,
    RarestWords,
)
from infrastructure.memory.agemem.policy import (
    NumpyPolicy,
    PolicyCard,
    PolicyWeights,
    candidates_of,
)
from infrastructure.memory.agemem.policy_file import SHIPPED, load_policy
from infrastructure.memory.agemem.text_analysis import TextAnalyst
from infrastructure.training.agemem.baselines import NoMemory, RandomPolicy
from infrastructure.training.agemem.collect import Collector
from infrastructure.training.agemem.config import TrainingConfig
from infrastructure.training.agemem.episodes import DIFFICULTY_VERSION, Episode
from infrastructure.training.agemem.generator import GRID, Split, generate
from infrastructure.training.agemem.oracle import Oracle
from infrastructure.training.agemem.rollout import Played

Given = TypeVar("Given")
Made = TypeVar("Made")

HEURISTICS = ("fifo", "longest", "rarest", "careful")
NOT_LEARNT = ("no memory", "random", *HEURISTICS)
"""The rows of which the best is what a policy must beat."""

ROWS = (*NOT_LEARNT, "unlimited", "untrained policy", "policy", "oracle")
"""`unlimited` is fifo with room for everything, and no rival: it breaks the capacity."""

_CACHED = 50_000
_MEASURES = ("task_success", "evidence_recall", "stale_rate", "context_tokens", "memory_quality")


@dataclass(frozen=True)
class Job:
    """Episodes of one cell of the grid for one row to play.

    Attributes:
        row: one of ROWS.
        policy: file of the policy; None for the one of the package.
        split: of the generator.
        cell: place in GRID.
        seeds: of the episodes.
        decider: plays in place of the row's own.
    """

    row: str
    policy: Path | None
    split: Split
    cell: int
    seeds: tuple[int, ...]
    decider: Decider | None = None


@dataclass(frozen=True)
class Figures:
    """What came of one episode, in the order of the measures."""

    task_success: float
    evidence_recall: float
    stale_rate: float
    context_tokens: float
    memory_quality: float

    @classmethod
    def of(cls, played: Played) -> Figures:
        return cls(
            played.success,
            played.evidence_recall,
            played.stale_rate,
            played.context_tokens,
            played.memory.quality,
        )


def decider_of(row: str, seed: int, policy: Path | None) -> Decider:
    """The decider of a row; the seed is of what is drawn."""
    if row == "random":
        return RandomPolicy(seed)
    if row == "untrained policy":
        return untrained_policy(seed, policy)
    if row == "policy":
        return _loaded(policy or SHIPPED)
    fixed = {
        "no memory": NoMemory,
        "fifo": KeepEverything,
        "unlimited": KeepEverything,
        "longest": LongestTurns,
        "rarest": RarestWords,
        "careful": Careful,
        "oracle": Oracle,
    }
    return fixed[row]()


def untrained_policy(seed: int, policy: Path | None = None) -> NumpyPolicy:
    """A policy as its training begins, with the scales of one that is there."""
    from infrastructure.training.agemem.network import PolicyNetwork

    card = card_of(seed, "nothing")
    width = len(card.sentence_features) + card.dimensions
    arrays = PolicyNetwork(
        len(POLICY_FEATURES), width, seed=seed, candidates=candidates_of(POLICY_FEATURES)
    ).export()
    weights = PolicyWeights(**arrays)
    path = policy or SHIPPED
    if path.is_file():
        trained = _loaded(path).weights
        weights = replace(weights, mean=trained.mean, scale=trained.scale)
    return NumpyPolicy(card, weights)


def card_of(seed: int, trained_on: str) -> PolicyCard:
    """The card of a policy that no file keeps."""
    embedder = BuiltinEmbedder()
    return PolicyCard(
        features=POLICY_FEATURES,
        sentence_features=SENTENCE_FEATURES,
        features_version=FEATURES_VERSION,
        embedder=embedder.name,
        embedder_version=embedder.version,
        dimensions=embedder.dimensions,
        stages=(),
        steps=0,
        seed=seed,
        grid_version=DIFFICULTY_VERSION,
        trained_on=trained_on,
        scores=(),
        created_at="",
        package_version="",
        licence="",
    )


async def play(episode: Episode, row: str, decider: Decider) -> Played:
    """Play an episode; `unlimited` has room for all of it."""
    if row == "unlimited":
        episode = replace(episode, capacity=max(1, len(episode.turns)))
    return await collector().play(episode, decider)


@lru_cache(maxsize=1)
def collector() -> Collector:
    """Plays on real memories in a store of their own; one for each process."""
    analyst = TextAnalyst(BuiltinEmbedder(), cached=_CACHED)
    return Collector(TrainingConfig(), lambda number: generate(number, GRID[0]), analyst=analyst)


@lru_cache(maxsize=4)
def _loaded(path: Path) -> NumpyPolicy:
    return load_policy(path)


def play_job(job: Job) -> list[Figures]:
    """Play the episodes of a job, one after the other."""
    import asyncio

    async def all_of_them() -> list[Figures]:
        figures: list[Figures] = []
        for seed in job.seeds:
            episode = generate(seed, GRID[job.cell], split=job.split)
            decider = job.decider or decider_of(job.row, seed, job.policy)
            played = await play(episode, job.row, decider)
            figures.append(Figures.of(played))
        return figures

    return asyncio.run(all_of_them())


@contextmanager
def workers(processes: int) -> Generator[Executor | None]:
    """So many processes; None for this one alone. What they do does not depend on how many."""
    if processes == 1:
        yield None
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield pool


def each(do: Callable[[Given], Made], given: Iterable[Given], pool: Executor | None) -> list[Made]:
    """What a function of a module makes of each, in order."""
    return list(pool.map(do, given) if pool else map(do, given))


def play_all(jobs: Iterable[Job], pool: Executor | None) -> list[list[Figures]]:
    """Play jobs, each in one process."""
    return each(play_job, jobs, pool)


def means(draws: Draws, figures: Sequence[Figures]) -> dict[str, Interval]:
    """Each measure's mean with its interval."""
    return {
        measure: draws.mean([float(getattr(one, measure)) for one in figures])
        for measure in _MEASURES
    }
