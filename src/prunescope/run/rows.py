"""From a trained network to its row of the table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from prunescope.nets import Network
from prunescope.prune import Masks
from prunescope.study import Ladder
from prunescope.train import NetworkOutcome
from prunescope.version import __version__


@dataclass(frozen=True)
class Circumstances:
    """When, where and for whom a rung was trained."""

    study: str
    device: str
    started: str
    seconds: float
    epochs: int


def row(
    ladder: Ladder,
    rung: int,
    network: Network,
    masks: Masks,
    outcome: NetworkOutcome,
    noisy: np.ndarray,
    where: Circumstances,
) -> dict[str, Any]:
    """Return a rung's row; everything is counted from what happened."""
    cell, treatment = ladder.cell_at(rung), ladder.treatment
    pruned = masks.prunable - masks.kept
    return {
        "study": where.study,
        "ladder": ladder.identity,
        "replicate": ladder.replicate,
        "rung": rung,
        "family": cell.family,
        "dataset": cell.dataset,
        "depth": cell.depth,
        "width": cell.width,
        "examples": cell.examples,
        "label_noise": cell.label_noise,
        "recipe": ladder.recipe_identity,
        "treatment": treatment.kind,
        "rewind": treatment.rewind,
        "score": treatment.score,
        "scope": treatment.scope,
        "leave": treatment.leave,
        "density": masks.kept / masks.prunable,
        "kept": masks.kept,
        "prunable": masks.prunable,
        "parameters": network.outline.total - pruned,
        "connected": network.connected(masks.by_name()),
        "test_error": _error(outcome.test_right),
        "test_loss": float(outcome.test_loss.mean()),
        "validation_error": _error(outcome.validation_right),
        "validation_loss": _mean(outcome.validation_loss),
        "train_error": _error(outcome.train_right),
        "train_loss": float(outcome.train_loss.mean()),
        "train_loss_original": _mean(outcome.train_loss[~noisy]),
        "train_loss_noisy": _mean(outcome.train_loss[noisy]),
        "epochs": where.epochs,
        "seconds": where.seconds,
        "device": where.device,
        "version": __version__,
        "started": where.started,
    }


def _error(right: np.ndarray) -> float | None:
    """Return the share that is wrong, or None of nothing."""
    return np.count_nonzero(~right) / right.size if right.size else None


def _mean(values: np.ndarray) -> float | None:
    """Return a mean, or None of nothing."""
    return float(values.mean()) if values.size else None
