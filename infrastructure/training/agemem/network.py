"""The policy network, as it learns. What it has learnt is exported as arrays and runs by NumPy.

The forward pass, the same in both (`infrastructure.memory.agemem.policy`):

    x = clip((numbers - mean) / scale, -5, 5)
    v = max over the sentences s of (silu(s @ Ws + bs) @ Wp + bp)
    h1 = silu([x, v] @ W1 + b1)    h2 = silu(h1 @ W2 + b2)    logits = h2 @ W3 + b3
    logits of updating and deleting entry r += silu([h2, x of r] @ Wc + bc) @ Wu + bu

One small network looks at every entry that an update or a deletion could be about, as pointer
networks do (O. Vinyals et al., 2015): what it learns of one rank holds for the others.

The maximum over sentences is that of deep sets (M. Zaheer et al., 2017): what one sentence says is
not diluted by those beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import Module, Parameter
from torch.nn.functional import log_softmax, silu

from infrastructure.errors import InputError
from infrastructure.memory.agemem.actions import ACTIONS
from infrastructure.memory.agemem.policy import CHOICES
from infrastructure.training.agemem.config import NetworkConfig

Floats = NDArray[np.float32]

STATISTICS: Final = ("mean", "scale")
WEIGHTS: Final = (
    "sentence_weight",
    "sentence_bias",
    "pooled_weight",
    "pooled_bias",
    "hidden1_weight",
    "hidden1_bias",
    "hidden2_weight",
    "hidden2_bias",
    "action_weight",
    "action_bias",
    "candidate_weight",
    "candidate_bias",
    "choice_weight",
    "choice_bias",
)
"""The arrays of a policy; a weight is stored as [in, out]."""

CLIPPED_AT: Final = 5.0
_SMALLEST_SCALE: Final = 0.05
_SENTENCE_SPREAD: Final = 0.3
_ACTION_SPREAD: Final = 0.01


def tensor_of(array: NDArray[Any]) -> Tensor:
    """A copy of an array as a tensor of the same type."""
    return cast("Any", torch).from_numpy(np.array(array))


class PolicyNetwork(Module):
    """From what is observed to the probability of each action.

    Args:
        numbers: how many numbers an observation has.
        width: the length of a row of its sentences.
        sizes: the widths of the layers.
        seed: of the first weights; the first probabilities are nearly equal.
        dropout: share of what is read of a sentence that is hidden while learning.
        candidates: by rank, where among the numbers what is known of an entry stands (see
            `policy.candidates_of`).
    """

    mean: Tensor
    scale: Tensor
    sentence_weight: Tensor
    sentence_bias: Tensor
    pooled_weight: Tensor
    pooled_bias: Tensor
    hidden1_weight: Tensor
    hidden1_bias: Tensor
    hidden2_weight: Tensor
    hidden2_bias: Tensor
    action_weight: Tensor
    action_bias: Tensor
    candidate_weight: Tensor
    candidate_bias: Tensor
    choice_weight: Tensor
    choice_bias: Tensor

    def __init__(
        self,
        numbers: int,
        width: int,
        sizes: NetworkConfig | None = None,
        *,
        seed: int = 0,
        dropout: float = 0.0,
        candidates: Sequence[Sequence[int]] = (),
    ) -> None:
        super().__init__()
        sizes = sizes or NetworkConfig()
        self.numbers, self.width, self.dropout = numbers, width, dropout
        self.register_buffer("mean", torch.zeros(numbers))
        self.register_buffer("scale", torch.ones(numbers))
        draw = torch.Generator().manual_seed(seed)
        read = sizes.sentence_width
        joined = numbers + read
        self._candidates = [list(places) for places in candidates]
        looked = sizes.hidden2 + (len(candidates[0]) if candidates else 0)
        for name, rows, columns, spread in (
            # A unit vector has entries of about 1 / sqrt(d): what is read of it has this spread.
            ("sentence", width, read, _SENTENCE_SPREAD),
            ("pooled", read, read, math.sqrt(2 / read)),
            ("hidden1", joined, sizes.hidden1, math.sqrt(2 / joined)),
            ("hidden2", sizes.hidden1, sizes.hidden2, math.sqrt(2 / sizes.hidden1)),
            ("action", sizes.hidden2, len(ACTIONS), _ACTION_SPREAD),
            ("candidate", looked, sizes.candidate, math.sqrt(2 / looked)),
            ("choice", sizes.candidate, 2, _ACTION_SPREAD),
        ):
            first = torch.randn(rows, columns, generator=draw) * spread
            self.register_parameter(f"{name}_weight", Parameter(first))
            self.register_parameter(f"{name}_bias", Parameter(torch.zeros(columns)))

    def forward(self, states: Tensor, hide: torch.Generator | None = None) -> Tensor:
        """Logits, float32[n, actions].

        Args:
            states: float32[n, numbers + k * width]: the numbers, then k rows of sentences, those
                that are not there as zeros.
            hide: draws what of the sentences is hidden; None hides nothing.
        """
        seen = (states[:, : self.numbers] - self.mean) / self.scale
        seen = seen.clamp(-CLIPPED_AT, CLIPPED_AT)
        meaning = self._read(states[:, self.numbers :].reshape(len(states), -1, self.width), hide)
        hidden = silu(torch.cat((seen, meaning), dim=1) @ self.hidden1_weight + self.hidden1_bias)
        hidden = silu(hidden @ self.hidden2_weight + self.hidden2_bias)
        logits = hidden @ self.action_weight + self.action_bias
        if not self._candidates:
            return logits
        added = torch.zeros_like(logits)
        for places, choices in zip(self._candidates, CHOICES.tolist(), strict=False):
            joined = torch.cat((hidden, seen[:, places]), dim=1)
            looked = silu(joined @ self.candidate_weight + self.candidate_bias)
            added[:, choices] = looked @ self.choice_weight + self.choice_bias
        return logits + added

    def _read(self, sentences: Tensor, hide: torch.Generator | None) -> Tensor:
        """What the sentences say, float32[n, sentence width]; zeros where there are none.

        Args:
            sentences: float32[n, k, width].
        """
        read = silu(sentences @ self.sentence_weight + self.sentence_bias)
        if hide is not None and self.dropout:
            kept = torch.empty_like(read).bernoulli_(1 - self.dropout, generator=hide)
            read = read * kept / (1 - self.dropout)
        compared = read @ self.pooled_weight + self.pooled_bias
        there = (sentences != 0).any(dim=2, keepdim=True)
        lowest = torch.finfo(compared.dtype).min
        best = compared.masked_fill(~there, lowest).amax(dim=1)
        return torch.where(there.any(dim=1), best, torch.zeros_like(best))

    def log_probabilities(
        self, states: Tensor, masks: Tensor, hide: torch.Generator | None = None
    ) -> Tensor:
        """Log-probabilities, float32[n, actions]; the lowest number where an action is not allowed.

        Args:
            masks: bool[n, actions], what is allowed; at least one of each row.
        """
        logits = cast("Tensor", self(states, hide))
        lowest = torch.finfo(logits.dtype).min
        return log_softmax(logits.masked_fill(~masks, lowest), dim=1).clamp(min=lowest)

    def standardise(self, states: Floats) -> None:
        """Fix the mean and scale of the numbers to those of states that were seen.

        They are set once, before learning: they are part of what the network computes.
        """
        numbers = np.asarray(states[:, : self.numbers], dtype=np.float64)
        if not len(numbers) or not np.isfinite(numbers).all():
            raise InputError("features are standardised by at least one state, all of it finite")
        with torch.no_grad():
            self.mean.copy_(tensor_of(numbers.mean(axis=0)))
            # What hardly varies here may vary in use: it must not be blown up.
            spread = np.maximum(numbers.std(axis=0), _SMALLEST_SCALE)
            self.scale.copy_(tensor_of(spread))

    def export(self) -> dict[str, Floats]:
        """Copies of its arrays by name, float32."""
        state = cast("dict[str, Tensor]", self.state_dict())
        return {name: state[name].numpy().copy() for name in (*STATISTICS, *WEIGHTS)}

    def load(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over arrays that `export` gave.

        Raises:
            InputError: one is missing or has another shape.
        """
        state = cast("dict[str, Tensor]", self.state_dict())
        for name in (*STATISTICS, *WEIGHTS):
            array = arrays.get(name)
            if array is None or array.shape != tuple(state[name].shape):
                found = "missing" if array is None else f"of shape {array.shape}"
                wanted = tuple(state[name].shape)
                raise InputError(f"the policy's {name} is {found}; it must have {wanted}")
        with torch.no_grad():
            for name in (*STATISTICS, *WEIGHTS):
                state[name].copy_(tensor_of(arrays[name]))

    def parameters_named(self, *, of_sentences: bool) -> list[Parameter]:
        """The weights that read sentences, or all the others."""
        return [
            weight
            for name, weight in self.named_parameters()
            if (name == "sentence_weight") is of_sentences
        ]

    @property
    def size(self) -> int:
        """How many weights are learnt."""
        return sum(weight.numel() for weight in self.parameters())
