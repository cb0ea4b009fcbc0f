"""What a store keeps of a rung: its row, what the next rung needs, and on request weights and outcomes.

    checkpoints/<ladder>/<rung>    mask/<rung>       surviving weights, one bit each, layer after layer; this rung's
                                                     and those of rungs below it that have no file of their own
                                   next              the same for the rung above
                                   last/*            tensors after the last epoch, where the treatment goes on from them
                                   origin/*, dense/* in the first file only: what later rungs go back to
                                   kept/<rung>/*     of rungs that are to be kept: surviving weights, all that is
                                                     never pruned
                                   left_out          of leave-out ladders: the examples that they did without, by their
                                                     places in the training set
    examples/<ladder>/<rung>       index, label, noisy, loss, right   every training example: of rungs that a study
                                                     names so, and of ladders that others learn from

A file that is safe on the disk costs milliseconds, as much as many a small network: so short rungs share one. Weights
that come from a seed (a rewind to epoch 0) are drawn again rather than kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from prunescope.data import Subsample
from prunescope.errors import Fault, InputError
from prunescope.nets import Network
from prunescope.prune import Masks, unpacked
from prunescope.study import Ladder
from prunescope.table import ArrayEntry, ArrayKind, Store
from prunescope.train import NetworkOutcome, RungHandover
from prunescope.train.ladder import Arrays
from prunescope.version import __version__

_LEFT_OUT = "left_out"
_FIRST_ONLY = ("origin/", "dense/")


@dataclass(frozen=True)
class Provenance:
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
    provenance: Provenance,
) -> dict[str, Any]:
    """Return a rung's row; everything is counted from what happened."""
    cell, treatment = ladder.cell_at(rung), ladder.treatment
    pruned = masks.prunable - masks.kept
    return {
        "study": provenance.study,
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
        "epochs": provenance.epochs,
        "seconds": provenance.seconds,
        "device": provenance.device,
        "version": __version__,
        "started": provenance.started,
    }


def rung_arrays(rung: int, masks: Masks, after: Arrays, weights: bool) -> dict[str, np.ndarray]:
    """Return what is kept of one rung for itself: its mask, and its weights where they are asked for."""
    arrays = {f"mask/{rung}": masks.packed()}
    if weights:
        survivors = masks.by_name()
        for name, values in after.items():
            arrays[f"kept/{rung}/{name}"] = values[survivors[name]] if name in survivors else values
    return arrays


def left_out_arrays(examples: np.ndarray) -> dict[str, np.ndarray]:
    """Return what is kept of a ladder that does without some examples."""
    return {_LEFT_OUT: examples}


def read_left_out(store: Store, ladder: Ladder) -> np.ndarray:
    """Return which examples a leave-out ladder did without, by their places in the training set."""
    return store.read_arrays("checkpoints", ladder.identity, 0)[_LEFT_OUT]


def checkpoint(ladder: Ladder, rung: int, own_arrays: Arrays, handover: RungHandover) -> ArrayEntry:
    """Return the file for the rungs up to ``rung`` that have none yet.

    Parameters
    ----------
    own_arrays
        What `rung_arrays` told of each of them.
    handover
        What the last of them leaves to the next.
    """
    first = "mask/0" in own_arrays
    left = handover.to_arrays()
    arrays = {name: values for name, values in left.items() if first or not name.startswith(_FIRST_ONLY)}
    return ArrayEntry(ArrayKind.CHECKPOINTS, ladder.identity, rung, {**own_arrays, **arrays})


def inherited(store: Store, ladder: Ladder, rung: int, network: Network) -> RungHandover:
    """Return what a finished rung left to the next."""
    arrays = store.read_arrays("checkpoints", ladder.identity, rung)
    if "mask/0" not in arrays:
        first = _file_with(store, ladder, 0, "mask/0")
        if not first:  # without what it holds, rungs would start elsewhere
            raise InputError(
                str(store.path), [Fault(f"checkpoint of ladder {ladder.identity}, rung 0", "must be there")]
            )
        arrays |= {name: values for name, values in first.items() if name.startswith(_FIRST_ONLY)}
    return RungHandover.from_arrays(arrays, network, ladder.recipe.prunable)


@dataclass(frozen=True)
class Damage:
    """What is left of a ladder some of whose files are damaged.

    Attributes
    ----------
    rung
        Where it can be trained again from: above the highest rung that has left a sound file, or 0.
    lost
        Rungs whose masks were in damaged files, with the rung whose name the file has.
    files
        The damaged ones.
    """

    rung: int
    lost: Mapping[int, int]
    files: tuple[Path, ...]


def damage(store: Store, ladder: Ladder, rung: int) -> Damage:
    """Return what is left of a ladder that cannot go on to a rung."""
    files = store.damaged_arrays("checkpoints", ladder.identity)
    tops = list(files)
    sound = [top for top in tops if not files[top]]
    # What all rungs go back to is in the first file.
    lowest = max((top + 1 for top in sound if top < rung), default=0) if tops[:1] == sound[:1] else 0
    spans = ((range(below + 1, top + 1), top) for below, top in pairwise([-1, *tops]))
    lost = {place: top for span, top in spans if files[top] for place in span}
    return Damage(lowest, lost, tuple(path for paths in files.values() for path in paths))


def started(store: Store, ladder: Ladder, rung: int, network: Network) -> RungHandover:
    """Return what a finished rung began from, where it took nothing from the one below but its mask."""
    first: dict[str, np.ndarray] = {}
    for start in _FIRST_ONLY:
        arrays = _file_with(store, ladder, 0, start)
        first |= {name: values for name, values in arrays.items() if name.startswith(start)}
    mask = read_masks(store, ladder, rung, network)
    return RungHandover.from_arrays({"next": mask.packed(), **first}, network, ladder.recipe.prunable)


def _file_with(store: Store, ladder: Ladder, rung: int, start: str) -> dict[str, np.ndarray]:
    """Return the arrays of the file with names that start so: a rung's own, or that of a rung above that holds it too.

    None of them has any where nothing was kept under such a name.
    """
    above = store.rung_with("checkpoints", ladder.identity, rung, start)
    return {} if above is None else store.read_arrays("checkpoints", ladder.identity, above)


def read_masks(store: Store, ladder: Ladder, rung: int, network: Network) -> Masks:
    """Return which weights of a finished rung survive."""
    name = f"mask/{rung}"
    arrays = _file_with(store, ladder, rung, name)
    if name not in arrays:
        raise InputError(str(store.path), [Fault(f"mask of ladder {ladder.identity}, rung {rung}", "must be there")])
    return unpacked(network.outline.prunable(ladder.recipe.prunable), arrays[name])


def read_weights(store: Store, ladder: Ladder, rung: int, network: Network) -> dict[str, np.ndarray]:
    """Return a network's tensors by their names, pruned weights zero; kept where a run was asked to keep weights."""
    start = f"kept/{rung}/"
    arrays = _file_with(store, ladder, rung, start)
    weights = {name.removeprefix(start): values for name, values in arrays.items() if name.startswith(start)}
    if not weights:
        must = "must have been kept: name the rung under `keep` in the study, or run it with --keep-weights"
        raise InputError(str(store.path), [Fault(f"weights of ladder {ladder.identity}, rung {rung}", must, "none")])
    masks = unpacked(network.outline.prunable(ladder.recipe.prunable), arrays[f"mask/{rung}"]).by_name()
    for name in masks:
        whole = np.zeros(masks[name].shape, weights[name].dtype)
        whole[masks[name]] = weights[name]
        weights[name] = whole
    return weights


def weights_kept(store: Store, ladder: Ladder) -> frozenset[int]:
    """Return the rungs of a ladder whose weights were kept."""
    names = frozenset().union(*store.array_names("checkpoints", ladder.identity).values())
    return frozenset(int(name.split("/")[1]) for name in names if name.startswith("kept/"))


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


def _error(right: np.ndarray) -> float | None:
    """Return the share that is wrong, or None of nothing."""
    return np.count_nonzero(~right) / right.size if right.size else None


def _mean(values: np.ndarray) -> float | None:
    """Return a mean, or None of nothing."""
    return float(values.mean()) if values.size else None
