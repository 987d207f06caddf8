"""Step-wise group relative policy optimisation (GRPO) of the memory policy.

From Z. Shao et al., DeepSeekMath, arXiv 2402.03300, 2024 (group advantage, clipped ratio, KL to a
reference), with the options of Z. Liu et al., arXiv 2503.20783, 2025 (Dr. GRPO: no division by the
standard deviation) and Q. Yu et al., DAPO, arXiv 2503.14476, 2025 (a higher upper clip, groups
without variance left out). A decision is to us what a token is there: it has a ratio of its own,
and all decisions of a step weigh the same. There are few actions, so the KL and the entropy are
exact sums over them, not estimates from the one that was drawn.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from infrastructure.training.agemem.advantages import Rows, rows_of
from infrastructure.training.agemem.config import GrpoConfig
from infrastructure.training.agemem.network import PolicyNetwork, tensor_of
from infrastructure.training.agemem.step_metrics import StepMetrics, Tally, Terms, step_metrics
from infrastructure.training.agemem.trajectory import Trajectory

Arrays = Mapping[str, NDArray[Any]]
Floats = NDArray[np.float32]

_MOMENTS: Final = ("exp_avg", "exp_avg_sq", "step")
_RNG: Final = "rng"
_REFERENCE: Final = "reference."
_OPTIMIZER: Final = "optimizer."
_AVERAGE: Final = "average."
_STEPS: Final = "steps"


class Grpo:
    """Changes a policy by groups of its rollouts.

    Args:
        network: the policy; it is changed in place.
        config: how.
        seed: of the order of decisions and of what dropout hides.
    """

    def __init__(self, network: PolicyNetwork, config: GrpoConfig, *, seed: int = 0) -> None:
        self.network = network
        self.config = config
        self._draw = torch.Generator().manual_seed(seed)
        self.begin_stage()

    def begin_stage(self) -> None:
        """Take the policy as it is for the reference and the average; forget the moments."""
        self.renew_reference()
        self._steps = 0
        self._average = self.network.export()
        config = self.config
        self._optimizer = torch.optim.AdamW(
            [
                {
                    "params": self.network.parameters_named(of_sentences=of_sentences),
                    "weight_decay": decay,
                }
                for of_sentences, decay in (
                    (False, config.weight_decay),
                    (True, config.sentence_weight_decay),
                )
            ],
            lr=config.learning_rate,
            foreach=False,
        )

    def renew_reference(self) -> None:
        """Take the policy as it is for the reference."""
        self.reference = deepcopy(self.network).requires_grad_(False)

    def train_step(self, groups: Sequence[Sequence[Trajectory]]) -> StepMetrics:
        """Change the policy by the groups of rollouts that it drew.

        Args:
            groups: rollouts of the same task are one group.

        Returns:
            What was done; where no group says anything the policy stays as it is.

        Raises:
            InputError: a trajectory's parts do not fit each other.
        """
        began = time.perf_counter()
        rows, counts = rows_of(groups, self.config)
        with one_thread():
            tally = Tally()
            if rows is not None and len(rows):
                self._learn(rows, tally)
        self._take_into_average()
        return step_metrics(
            groups, counts, tally, 0 if rows is None else len(rows), time.perf_counter() - began
        )

    def averaged(self) -> dict[str, Floats]:
        """The running average of the policy's arrays over the steps of a stage.

        As in B. Polyak, A. Juditsky, Acceleration of Stochastic Approximation by Averaging, 1992,
        with an exponential window; while it fills, all steps count alike.
        """
        return {name: array.copy() for name, array in self._average.items()}

    def _take_into_average(self) -> None:
        self._steps += 1
        left = np.float32(min(self.config.averaging, 1 - 1 / self._steps))
        for name, array in self.network.export().items():
            mixed = left * self._average[name] + (1 - left) * array
            self._average[name] = mixed.astype(np.float32)

    def terms(self, batch: Batch, hide: torch.Generator | None = None) -> Terms:
        """What the loss of some decisions is made of, with gradients to the policy."""
        config = self.config
        logprobs = self.network.log_probabilities(batch.states, batch.masks, hide)
        taken = logprobs.gather(1, batch.actions[:, None]).squeeze(1)
        ratio = torch.exp(taken - batch.logprobs)
        clipped = ratio.clamp(1 - config.clip_low, 1 + config.clip_high)
        gains = torch.minimum(ratio * batch.advantages, clipped * batch.advantages)
        probabilities = logprobs.exp()
        kl = (probabilities * (logprobs - batch.reference)).sum(dim=1).mean()
        entropy = -(probabilities * logprobs).sum(dim=1).mean()
        policy = -gains.mean()
        return Terms(
            policy,
            kl,
            entropy,
            (ratio != clipped).float().mean(),
            policy + config.kl_weight * kl - config.entropy_weight * entropy,
        )

    def batch_of(self, rows: Rows) -> Batch:
        """Decisions as tensors, with the reference's log-probabilities of every action."""
        states, masks = tensor_of(rows.states), tensor_of(rows.masks)
        with torch.no_grad():
            reference = self.reference.log_probabilities(states, masks)
        return Batch(
            states,
            masks,
            tensor_of(rows.actions),
            tensor_of(rows.logprobs),
            tensor_of(rows.advantages),
            reference,
        )

    def _learn(self, rows: Rows, tally: Tally) -> None:
        batch = self.batch_of(rows)
        for _ in range(self.config.epochs):
            order = torch.randperm(len(rows), generator=self._draw)
            for first in range(0, len(rows), self.config.minibatch):
                places = order[first : first + self.config.minibatch]
                self._update(batch.at(places), tally)

    def _update(self, batch: Batch, tally: Tally) -> None:
        self._optimizer.zero_grad()
        terms = self.terms(batch, self._draw)
        cast("Any", terms.loss).backward()
        norm = clip_grad_norm_(self.network.parameters(), self.config.max_grad_norm)
        if not bool(torch.isfinite(norm)):
            tally.skipped += 1
            return
        cast("Any", self._optimizer).step()
        tally.add(terms, float(norm), len(batch.actions))

    def export_state(self) -> dict[str, NDArray[Any]]:
        """Everything beside the policy that the next step depends on, as named arrays."""
        arrays: dict[str, NDArray[Any]] = {_RNG: self._draw.get_state().numpy().copy()}
        arrays |= {f"{_REFERENCE}{name}": one for name, one in self.reference.export().items()}
        arrays |= {f"{_AVERAGE}{name}": one for name, one in self.averaged().items()}
        arrays[_STEPS] = np.array([self._steps], dtype=np.int64)
        for name, weight in self.network.named_parameters():
            state = cast("dict[str, Tensor]", self._optimizer.state.get(weight, {}))
            for part, one in state.items():
                arrays[f"{_OPTIMIZER}{name}.{part}"] = one.numpy().copy()
        return arrays

    def load_state(self, arrays: Arrays) -> None:
        """Take over what `export_state` gave.

        Raises:
            InputError: the reference does not fit the policy.
        """
        self.begin_stage()
        self._draw.set_state(tensor_of(arrays[_RNG]))
        self.reference.load(_part(_REFERENCE, arrays))
        self._average = {name: one.copy() for name, one in _part(_AVERAGE, arrays).items()}
        self._steps = int(arrays[_STEPS][0])
        for name, weight in self.network.named_parameters():
            state = {
                part: tensor_of(arrays[f"{_OPTIMIZER}{name}.{part}"])
                for part in _MOMENTS
                if f"{_OPTIMIZER}{name}.{part}" in arrays
            }
            if state:
                self._optimizer.state[weight] = state


@dataclass(frozen=True, slots=True)
class Batch:
    """`Rows` as tensors, and the reference's log-probabilities, float32[n, len(ACTIONS)]."""

    states: Tensor
    masks: Tensor
    actions: Tensor
    logprobs: Tensor
    advantages: Tensor
    reference: Tensor

    def at(self, places: Tensor) -> Batch:
        """Some of the decisions."""
        return Batch(
            self.states[places],
            self.masks[places],
            self.actions[places],
            self.logprobs[places],
            self.advantages[places],
            self.reference[places],
        )


@contextmanager
def one_thread() -> Generator[None, None, None]:
    """Torch on one thread and with deterministic algorithms, as it was before afterwards.

    More threads add up in another order, which would give other weights on another machine's
    number of cores; for networks of this size they are no quicker either.
    """
    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(deterministic)
        torch.set_num_threads(threads)


def _part(prefix: str, arrays: Arrays) -> dict[str, NDArray[Any]]:
    return {
        name.removeprefix(prefix): one for name, one in arrays.items() if name.startswith(prefix)
    }
