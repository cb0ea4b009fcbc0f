"""What a store keeps of rungs beside their rows: what the next rung needs, and on request weights and outcomes.

    checkpoints/<ladder>/<rung>    mask/<rung>       surviving weights, one bit each, layer after layer; this rung's
                                                     and those of rungs below it that have no file of their own
                                   next              the same for the rung above
                                   last/*            tensors after the last epoch, where the treatment goes on from them
                                   origin/*, dense/* in the first file only: what later rungs go back to
                                   kept/<rung>/*     of rungs that are to be kept: surviving weights, all that is
                                                     never pruned
    examples/<ladder>/<rung>       index, label, noisy, loss, right   with `keep_examples`: every training example

A file that is safe on the disk costs milliseconds, as much as many a small network: so short rungs share one. Weights
that come from a seed (a rewind to epoch 0) are drawn again rather than kept.
"""

from __future__ import annotations

import numpy as np

from prunescope.data import Share
from prunescope.errors import ConflictError, Fault, InputError
from prunescope.nets import Network
from prunescope.prune import Masks, unpacked
from prunescope.spec import Ladder
from prunescope.table import Store
from prunescope.train import Inheritance, Outcome
from prunescope.train.ladder import Arrays

_FIRST_ONLY = ("origin/", "dense/")


def rung_arrays(rung: int, masks: Masks, after: Arrays, weights: bool) -> dict[str, np.ndarray]:
    """Return what is kept of one rung for itself: its mask, and its weights where they are asked for."""
    arrays = {f"mask/{rung}": masks.packed()}
    if weights:
        survivors = masks.by_name()
        for name, each in after.items():
            arrays[f"kept/{rung}/{name}"] = each[survivors[name]] if name in survivors else each
    return arrays


def keep_checkpoint(store: Store, ladder: Ladder, rung: int, own: Arrays, inheritance: Inheritance) -> None:
    """Keep a file for the rungs up to ``rung`` that have none yet.

    Parameters
    ----------
    own
        What `rung_arrays` told of each of them.
    inheritance
        What the last of them leaves to the next.
    """
    first = "mask/0" in own
    left = inheritance.to_arrays()
    arrays = {name: each for name, each in left.items() if first or not name.startswith(_FIRST_ONLY)}
    _write(store, "checkpoints", ladder, rung, {**own, **arrays})


def _write(store: Store, kind: str, ladder: Ladder, rung: int, arrays: Arrays) -> None:
    """Write a rung's arrays; those of a rung that never got its row, since it was stopped in between, make room."""
    try:
        store.write_arrays(kind, ladder.identity, rung, arrays)
    except ConflictError:
        store.discard_arrays(kind, ladder.identity, rung)
        store.write_arrays(kind, ladder.identity, rung, arrays)


def inherited(store: Store, ladder: Ladder, rung: int, network: Network) -> Inheritance:
    """Return what a finished rung left to the next."""
    arrays = store.read_arrays("checkpoints", ladder.identity, rung)
    if "mask/0" not in arrays:
        first = _file_of(store, ladder, 0)
        arrays |= {name: each for name, each in first.items() if name.startswith(_FIRST_ONLY)}
    return Inheritance.from_arrays(arrays, network, ladder.recipe.prunable)


def started(store: Store, ladder: Ladder, rung: int, network: Network) -> Inheritance:
    """Return what a finished rung began from, where it took nothing from the one below but its mask."""
    first = {name: each for name, each in _file_of(store, ladder, 0).items() if name.startswith(_FIRST_ONLY)}
    mask = read_masks(store, ladder, rung, network)
    return Inheritance.from_arrays({"next": mask.packed(), **first}, network, ladder.recipe.prunable)


def has_weights(store: Store, ladder: Ladder, rung: int) -> bool:
    """Whether the weights of a rung were kept."""
    try:
        return any(name.startswith(f"kept/{rung}/") for name in _file_of(store, ladder, rung))
    except InputError:  # there is no file
        return False


def _file_of(store: Store, ladder: Ladder, rung: int) -> dict[str, np.ndarray]:
    """Return the arrays of the file that holds a rung: its own, or that of the next rung above which has one."""
    for above in range(rung, ladder.rungs):
        if store.has_arrays("checkpoints", ladder.identity, above):
            return store.read_arrays("checkpoints", ladder.identity, above)
    return store.read_arrays("checkpoints", ladder.identity, rung)  # which says what is missing


def read_masks(store: Store, ladder: Ladder, rung: int, network: Network) -> Masks:
    """Return which weights of a finished rung survive."""
    arrays = _file_of(store, ladder, rung)
    return unpacked(network.outline.prunable(ladder.recipe.prunable), arrays[f"mask/{rung}"])


def read_weights(store: Store, ladder: Ladder, rung: int, network: Network) -> dict[str, np.ndarray]:
    """Return a network's tensors by their names, pruned weights zero; kept where a run was asked to keep weights."""
    arrays = _file_of(store, ladder, rung)
    start = f"kept/{rung}/"
    kept = {name.removeprefix(start): each for name, each in arrays.items() if name.startswith(start)}
    if not kept:
        must = "must have been kept: name the rung under `keep` in the study, or run it with --keep-weights"
        raise InputError(str(store.path), [Fault(f"weights of ladder {ladder.identity}, rung {rung}", must, "none")])
    masks = unpacked(network.outline.prunable(ladder.recipe.prunable), arrays[f"mask/{rung}"]).by_name()
    for name in masks:
        whole = np.zeros(masks[name].shape, kept[name].dtype)
        whole[masks[name]] = kept[name]
        kept[name] = whole
    return kept


def keep_examples(store: Store, ladder: Ladder, rung: int, share: Share, outcome: Outcome) -> None:
    """Keep how a network does on each of its training examples, by their places in the training set."""
    arrays = {
        "index": share.train,
        "label": share.labels,
        "noisy": share.noisy,
        "loss": outcome.train_loss.astype(np.float32),
        "right": outcome.train_right,
    }
    _write(store, "examples", ladder, rung, arrays)
