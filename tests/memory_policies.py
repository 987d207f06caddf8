"""Policies of random weights, and observations, for tests."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infrastructure.embeddings.embedder import Embedder, unit_rows
from infrastructure.memory.agemem.actions import ACTIONS, Moment
from infrastructure.memory.agemem.decider import Observation, Reading
from infrastructure.memory.agemem.features import (
    FEATURES,
    FEATURES_VERSION,
    POLICY_FEATURES,
    RELATION_FEATURES,
    SENTENCE_FEATURES,
)
from infrastructure.memory.agemem.policy import (
    NumpyPolicy,
    PolicyCard,
    PolicyWeights,
    Score,
    candidates_of,
)

DIMENSIONS = 8


class Letters:
    """An embedder of eight dimensions: how often each of eight letters occurs."""

    name = "letters"
    version = "1"
    dimensions = DIMENSIONS

    def embed(self, texts: Any) -> NDArray[np.float32]:
        rows = np.array([[text.count(c) for c in "aeiounrt"] for text in texts], dtype=np.float32)
        return unit_rows(rows)


def card(**changed: Any) -> PolicyCard:
    values: dict[str, Any] = {
        "features": POLICY_FEATURES,
        "sentence_features": SENTENCE_FEATURES,
        "features_version": FEATURES_VERSION,
        "embedder": Letters.name,
        "embedder_version": Letters.version,
        "dimensions": DIMENSIONS,
        "stages": ("single_tool", "multi_tool", "unified"),
        "steps": 300,
        "seed": 7,
        "grid_version": 1,
        "trained_on": "generated episodes only",
        "scores": (Score("policy", "task success", 0.5, 0.4, 0.6),),
        "created_at": "2026-11-20T12:00:00+00:00",
        "package_version": "2.1.0",
        "licence": "MIT",
    }
    return PolicyCard(**values | changed)


def weights(
    seed: int = 0, size: float = 0.3, dimensions: int = DIMENSIONS, **changed: Any
) -> PolicyWeights:
    """Normal ones, with 4, 16 and 12 units."""
    rng = np.random.default_rng(seed)
    seen, taken, first, second = len(POLICY_FEATURES), 4, 16, 12
    shapes = {
        "mean": (seen,),
        "scale": (seen,),
        "sentence_weight": (len(SENTENCE_FEATURES) + dimensions, taken),
        "sentence_bias": (taken,),
        "pooled_weight": (taken, taken),
        "pooled_bias": (taken,),
        "hidden1_weight": (seen + taken, first),
        "hidden1_bias": (first,),
        "hidden2_weight": (first, second),
        "hidden2_bias": (second,),
        "action_weight": (second, len(ACTIONS)),
        "action_bias": (len(ACTIONS),),
        "candidate_weight": (second + len(candidates_of(POLICY_FEATURES)[0]), 6),
        "candidate_bias": (6,),
        "choice_weight": (6, 2),
        "choice_bias": (2,),
    }
    arrays: dict[str, Any] = {
        name: (size * rng.standard_normal(shape)).astype(np.float32)
        for name, shape in shapes.items()
    }
    arrays["scale"] = np.abs(arrays["scale"]) + np.float32(0.1)
    return PolicyWeights(**arrays | changed)


def policy(seed: int = 0) -> NumpyPolicy:
    return NumpyPolicy(card(), weights(seed))


def constant(probabilities: list[float], embedder: Embedder | None = None) -> NumpyPolicy:
    """A policy that gives these probabilities whatever it sees."""
    takes = embedder or Letters()
    held = weights(dimensions=takes.dimensions)
    arrays: dict[str, Any] = {
        field.name: np.zeros_like(getattr(held, field.name))
        for field in fields(PolicyWeights)
        if field.name != "scale"
    }
    with np.errstate(divide="ignore"):
        logits = np.maximum(np.log(np.array(probabilities, dtype=np.float32)), np.float32(-90))
    arrays["action_bias"] = logits
    own = card(embedder=takes.name, embedder_version=takes.version, dimensions=takes.dimensions)
    return NumpyPolicy(own, weights(dimensions=takes.dimensions, **arrays))


def observation(seed: int = 0, allowed: NDArray[np.bool_] | None = None) -> Observation:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((1 + seed % 4, len(SENTENCE_FEATURES) + DIMENSIONS))
    relations = rng.standard_normal(len(RELATION_FEATURES)).astype(np.float32)
    reading = Reading(relations, rows.astype(np.float32))
    return Observation(
        Moment.ARRIVAL,
        rng.standard_normal(len(FEATURES)).astype(np.float32),
        lambda: reading,
        np.ones(len(ACTIONS), dtype=np.bool_) if allowed is None else allowed,
    )
