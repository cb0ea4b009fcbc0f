"""What a store keeps of a rung beside its row: what the next rung needs, and on request weights and outcomes.

    checkpoints/<ladder>/<rung>    mask     this rung's surviving weights, one bit each, layer after layer
                                   next     the same for the next rung
                                   last/*   tensors after the last epoch, where the treatment goes on from them
                                   origin/*, dense/*   with rung 0 only: what later rungs go back to
                                   kept/*   with `keep_weights`: surviving weights, and all of what is never pruned
    examples/<ladder>/<rung>       index, label, noisy, loss, right   with `keep_examples`: every training example

Weights that come from a seed (a rewind to epoch 0) are drawn again rather than kept.
"""

from __future__ import annotations

import numpy as np

from prunescope.data import Share
from prunescope.nets import Network
from prunescope.prune import Masks, unpacked
from prunescope.spec import Ladder
from prunescope.table import Store
from prunescope.train import Inheritance, Outcome
from prunescope.train.ladder import Arrays

_FIRST_ONLY = ("origin/", "dense/")


def keep_checkpoint(
    store: Store, ladder: Ladder, rung: int, masks: Masks, inheritance: Inheritance, after: Arrays, weights: bool
) -> None:
    """Keep what the next rung needs, and the weights where they are asked for."""
    arrays = {
        name: each for name, each in inheritance.to_arrays().items() if not rung or not name.startswith(_FIRST_ONLY)
    }
    arrays["mask"] = masks.packed()
    if weights:
        survivors = masks.by_name()
        for name, each in after.items():
            arrays[f"kept/{name}"] = each[survivors[name]] if name in survivors else each
    store.discard_arrays("checkpoints", ladder.identity, rung)
    store.write_arrays("checkpoints", ladder.identity, rung, arrays)


def inherited(store: Store, ladder: Ladder, rung: int, network: Network) -> Inheritance:
    """Return what a finished rung left to the next."""
    arrays = store.read_arrays("checkpoints", ladder.identity, rung)
    if rung:
        first = store.read_arrays("checkpoints", ladder.identity, 0)
        arrays |= {name: each for name, each in first.items() if name.startswith(_FIRST_ONLY)}
    return Inheritance.from_arrays(arrays, network, ladder.recipe.prunable)


def keep_examples(store: Store, ladder: Ladder, rung: int, share: Share, outcome: Outcome) -> None:
    """Keep how a network does on each of its training examples, by their places in the training set."""
    arrays = {
        "index": share.train,
        "label": share.labels,
        "noisy": share.noisy,
        "loss": outcome.train_loss.astype(np.float32),
        "right": outcome.train_right,
    }
    store.discard_arrays("examples", ladder.identity, rung)
    store.write_arrays("examples", ladder.identity, rung, arrays)


def read_weights(store: Store, ladder: Ladder, rung: int, network: Network) -> dict[str, np.ndarray]:
    """Return a network's tensors by their names, pruned weights zero; kept where a run was asked to keep weights."""
    arrays = store.read_arrays("checkpoints", ladder.identity, rung)
    masks = unpacked(network.outline.prunable(ladder.recipe.prunable), arrays["mask"]).by_name()
    found = {}
    for key, each in arrays.items():
        if not key.startswith("kept/"):
            continue
        name = key.removeprefix("kept/")
        if name in masks:
            whole = np.zeros(masks[name].shape, each.dtype)
            whole[masks[name]] = each
            found[name] = whole
        else:
            found[name] = each
    return found
