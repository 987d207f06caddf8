"""What a training writes down: a record before the first step, one a step, one a validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from infrastructure.training.agemem.checkpoint import Progress
from infrastructure.training.agemem.metrics_log import OPERATIONS, STEP, VALIDATION, Record
from infrastructure.training.agemem.practice import Validation
from infrastructure.training.agemem.reward import RewardFunction
from infrastructure.training.agemem.step_metrics import StepMetrics
from infrastructure.training.agemem.trajectory import OperationOutcome


def operations_record(outcomes: Sequence[OperationOutcome], reward: RewardFunction) -> Record:
    """That every operation was tried, what it did and what it was worth."""
    told = [
        {
            "operation": str(one.operation),
            "success": one.success,
            "reason": one.reason,
            "latency_ms": one.latency_ms,
            "reward": reward.compute(one),
        }
        for one in outcomes
    ]
    return {"kind": OPERATIONS, **_where(Progress()), "operations": told}


def validation_record(progress: Progress, reached: Validation) -> Record:
    """What a validation reached, beside the best score of the stage."""
    return {
        "kind": VALIDATION,
        **_where(progress),
        **asdict(reached),
        "best": progress.stopping.best,
    }


def step_record(
    progress: Progress, metrics: StepMetrics, wanted: int, collected_s: float
) -> Record:
    """What a step did.

    Args:
        progress: after it.
        metrics: of what was learnt.
        wanted: rollouts, had none failed.
        collected_s: seconds that they took.
    """
    return {
        "kind": STEP,
        **_where(progress),
        **asdict(metrics),
        "failed_rollouts": wanted - metrics.rollouts,
        "collect_seconds": collected_s,
        "rollouts_per_second": metrics.rollouts / max(collected_s, 1e-9),
    }


def _where(progress: Progress) -> Record:
    stage = str(progress.stage) if progress.stage else None
    return {"stage": stage, "step": progress.step, "stage_step": progress.stage_step}
