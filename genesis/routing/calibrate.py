"""Raw scores of options to probabilities, each in the light of all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TERMS: Final = 5
OWN_TERM: Final = 0  # the place of the one that needs no other option
_SUREST: Final = 30.0  # logits; beyond, exp overflows or says nothing more


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """A logistic curve for each option over the terms of all options' scores.

    Attributes:
        mean, spread: what scores are standardised by, [options].
        terms: factors of the terms in the logit of P(verified), [options, TERMS].
        offset: of that logit, [options].
    """

    mean: Floats
    spread: Floats
    terms: Floats
    offset: Floats

    def apply(self, scores: Floats) -> Floats:
        """P(verified), [n, options], of raw scores, [n, options]."""
        return 1 / (1 + np.exp(-self.logits(scores)))

    def logits(self, scores: Floats) -> Floats:
        """Of these probabilities."""
        made = score_terms((scores - self.mean) / self.spread)
        return np.clip((made * self.terms).sum(axis=2) + self.offset, -_SUREST, _SUREST)


def score_terms(scores: Floats) -> Floats:
    """What each option's logit is made of, [n, options, TERMS], from scores [n, options].

    Its own standardised score, the mean of the other options', and their squares and product:
    where a weak option is sure to succeed, there is nothing left for a strong one to gain.
    """
    others = (scores.sum(axis=1, keepdims=True) - scores) / max(scores.shape[1] - 1, 1)
    return np.stack([scores, others, scores**2, others**2, scores * others], axis=2)
