"""What the lab writes of a rung beside its checkpoint (`prune.checkpoints`): its row, and outcomes on request.

checkpoints/<ladder>/<rung>    left_out          of leave-out ladders: the examples that they did without, by their
places in the training set
examples/<ladder>/<rung>       index, label, noisy, loss, right   every training example: of rungs that a study
names so, and of ladders that others learn from
test_examples/<ladder>/<rung>  every test example, as `table.test_outcomes` packs them: of rungs that a study names so
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from prunescope.data import Subsample
from prunescope.errors import DamageError
from prunescope.nets import Network
from prunescope.nets.outline import ParameterOutline
from prunescope.prune import Masks, checkpoints
from prunescope.run.events import OUTCOMES, ArtifactsMissing, Unsound
from prunescope.study import Ladder
from prunescope.study.sections import Keep, keeps
from prunescope.table import ArrayEntry, ArrayKind, Store
from prunescope.table.arrays import packed
from prunescope.train import NetworkOutcome

_LEFT_OUT = "left_out"


@dataclass(frozen=True)
class TrainingFacts:
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
    facts: TrainingFacts,
) -> dict[str, Any]:
    """Return a rung's row; everything is counted from what happened."""
    connected, total = network.connected(masks.by_name()), network.outline.total
    cell, treatment = ladder.cell_at(rung), ladder.treatment
    measured = slice(ladder.recipe.measured(len(noisy)))  # of more where outcomes on every example are kept
    train_loss, noisy = outcome.train_loss[measured], noisy[measured]
    return {
        **checkpoints.rung_columns(ladder, rung, cell, treatment, masks, total, connected),
        "study": facts.study,
        "test_error": _error(outcome.test_right),
        "test_examples": len(outcome.test_right),
        "test_loss": float(outcome.test_loss.mean()),
        "validation_error": _error(outcome.validation_right),
        "validation_loss": _mean(outcome.validation_loss),
        "train_error": _error(outcome.train_right[measured]),
        "train_loss": float(train_loss.mean()),
        "train_loss_original": _mean(train_loss[~noisy]),
        "train_loss_noisy": _mean(train_loss[noisy]),
        "epochs": facts.epochs,
        "seconds": facts.seconds,
        "device": facts.device,
        "started": facts.started,
    }


def left_out_arrays(examples: np.ndarray) -> dict[str, np.ndarray]:
    """Return what is kept of a ladder that does without some examples."""
    return {_LEFT_OUT: examples}


def read_left_out(store: Store, ladder: Ladder) -> np.ndarray:
    """Return which examples a leave-out ladder did without, by their places in the training set."""
    return store.read_arrays("checkpoints", ladder.identity, 0)[_LEFT_OUT]


def layers_of(ladder: Ladder, network: Network) -> tuple[ParameterOutline, ...]:
    """Return the layers of a ladder's network that pruning may remove from."""
    return network.outline.prunable(ladder.recipe.prunable)


def read_masks(store: Store, ladder: Ladder, rung: int, network: Network) -> Masks:
    """Return which weights of a finished rung survive."""
    return checkpoints.read_masks(store, ladder.identity, rung, layers_of(ladder, network))


def read_weights(store: Store, ladder: Ladder, rung: int, network: Network) -> dict[str, np.ndarray]:
    """Return a network's tensors by their names, pruned weights zero; kept where a run was asked to keep weights."""
    return checkpoints.read_weights(store, ladder.identity, rung, layers_of(ladder, network))


def weights_kept(store: Store, ladder: Ladder) -> frozenset[int]:
    """Return the rungs of a ladder whose weights were kept."""
    return checkpoints.weights_kept(store, ladder.identity)


def examples_kept(store: Store, ladder: Ladder) -> frozenset[int]:
    """Return the rungs of a ladder whose outcomes on examples were kept."""
    return frozenset(store.array_names("examples", ladder.identity))


def examples(ladder: Ladder, rung: int, subsample: Subsample, outcome: NetworkOutcome) -> ArrayEntry:
    """Return the file that says how a network does on each of its training examples, by their places in the set."""
    arrays = {
        "index": subsample.train,
        "label": subsample.labels,
        "noisy": subsample.noisy,
        "loss": outcome.train_loss.astype(np.float32),
        "right": outcome.train_right,
    }
    return ArrayEntry(ArrayKind.EXAMPLES, ladder.identity, rung, arrays)


def outcomes_on_tests_kept(store: Store, ladder: Ladder) -> frozenset[int]:
    """Return the rungs of a ladder whose outcomes on test examples were kept."""
    return frozenset(store.array_names(ArrayKind.TEST_EXAMPLES, ladder.identity))


def outcomes_on_tests(ladder: Ladder, rung: int, right: np.ndarray) -> ArrayEntry:
    """Return the file that says which test examples a network classifies correctly."""
    return ArrayEntry(ArrayKind.TEST_EXAMPLES, ladder.identity, rung, packed(right))


def _error(right: np.ndarray) -> float | None:
    """Return the share that is wrong, or None of nothing."""
    return np.count_nonzero(~right) / right.size if right.size else None


def _mean(values: np.ndarray) -> float | None:
    """Return a mean, or None of nothing."""
    return float(values.mean()) if values.size else None


def missing_artifacts(
    store: Store,
    ladders: Sequence[Ladder],
    done: Mapping[str, frozenset[int]],
    keep: Keep,
    keep_examples: Keep,
    keep_test_examples: Keep,
) -> Iterator[ArtifactsMissing | Unsound]:
    """Yield how many finished rungs lack what a run is to keep of them, and the ladders whose files are damaged."""
    wanted: tuple[tuple[str, Keep, Callable[[Store, Ladder], frozenset[int]]], ...] = (
        ("weights", keep, weights_kept),
        (OUTCOMES, keep_examples, examples_kept),
        ("outcomes on test examples", keep_test_examples, outcomes_on_tests_kept),
    )
    for what, kept, rungs_kept in wanted:
        if kept != "none":
            rungs = 0
            for ladder in ladders:
                wanted_rungs = {rung for rung in range(ladder.rungs) if keeps(kept, rung)}
                finished = done.get(ladder.identity, frozenset()) & wanted_rungs
                try:
                    rungs += len(finished - rungs_kept(store, ladder)) if finished else 0
                except DamageError as error:
                    yield Unsound(f"of ladder {ladder.identity}, {error}", "the run continues")
            if rungs:
                yield ArtifactsMissing(what, rungs)
