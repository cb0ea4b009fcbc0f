"""What a store keeps of a ladder to continue after any rung: masks, the next rung's start, weights on request.

    checkpoints/<ladder>/<rung>    mask/<rung>       surviving weights, one bit each, layer after layer; this rung's
                                                     and those of rungs below it that have no file of their own
                                   next              the same for the rung above
                                   last/*            tensors after the last epoch, where training continues from them
                                   origin/*, dense/* in the first file only: what later rungs go back to
                                   kept/<rung>/*     of rungs that are to be kept: surviving weights, all that is
                                                     never pruned

A file that is safe on the disk costs milliseconds, as much as many a small network: so short rungs share one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from prunescope.errors import Fault, InputError
from prunescope.nets.outline import ParameterOutline
from prunescope.prune.ladder_rules import Arrays, RungHandover
from prunescope.prune.masks import Masks, unpacked
from prunescope.study.recorded import RecordedLadder
from prunescope.study.sections import Treatment
from prunescope.study.study import Cell, Ladder
from prunescope.table import ArrayEntry, ArrayKind, Store
from prunescope.version import __version__

_FIRST_ONLY = ("origin/", "dense/")


def rung_columns(
    ladder: Ladder | RecordedLadder,
    rung: int,
    cell: Cell,
    treatment: Treatment,
    masks: Masks,
    total: int,
    connected: bool,
) -> dict[str, Any]:
    """Return the columns of a rung's row that say what it is and how large, counted from what survives.

    Parameters
    ----------
    total
        Parameters of the unpruned network.
    connected
        Whether a path of surviving weights leads through it.
    """
    return {
        "ladder": ladder.identity,
        "replicate": ladder.replicate,
        "rung": rung,
        **vars(cell),
        "recipe": ladder.recipe_identity,
        "treatment": treatment.kind,
        "rewind": treatment.rewind,
        "score": treatment.score,
        "scope": treatment.scope,
        "leave": treatment.leave,
        "density": masks.kept / masks.prunable,
        "kept": masks.kept,
        "prunable": masks.prunable,
        "parameters": total - (masks.prunable - masks.kept),
        "connected": connected,
        "version": __version__,
    }


def rung_arrays(rung: int, masks: Masks, after: Arrays, weights: bool) -> dict[str, np.ndarray]:
    """Return what is kept of one rung for itself: its mask, and its weights where they are asked for."""
    arrays = {f"mask/{rung}": masks.packed()}
    if weights:
        survivors = masks.by_name()
        for name, values in after.items():
            arrays[f"kept/{rung}/{name}"] = values[survivors[name]] if name in survivors else values
    return arrays


def checkpoint(ladder: str, rung: int, own_arrays: Arrays, handover: RungHandover) -> ArrayEntry:
    """Return the file for the rungs up to ``rung`` that have none yet.

    Parameters
    ----------
    own_arrays
        What `rung_arrays` returned for each of them.
    handover
        What the last of them leaves to the next.
    """
    first = "mask/0" in own_arrays
    left = handover.to_arrays()
    arrays = {name: values for name, values in left.items() if first or not name.startswith(_FIRST_ONLY)}
    return ArrayEntry(ArrayKind.CHECKPOINTS, ladder, rung, {**own_arrays, **arrays})


def inherited(store: Store, ladder: str, rung: int, layers: Sequence[ParameterOutline]) -> RungHandover:
    """Return what a finished rung left to the next."""
    arrays = store.read_arrays("checkpoints", ladder, rung)
    if "mask/0" not in arrays:
        first = _file_with(store, ladder, 0, "mask/0")
        if not first:  # without what it holds, rungs would start elsewhere
            raise InputError(str(store.path), [Fault(f"checkpoint of ladder {ladder}, rung 0", "must be there")])
        arrays |= {name: values for name, values in first.items() if name.startswith(_FIRST_ONLY)}
    return RungHandover.from_arrays(arrays, layers)


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


def damage(store: Store, ladder: str, rung: int) -> Damage:
    """Return what is left of a ladder that cannot go on to a rung."""
    files = store.damaged_arrays("checkpoints", ladder)
    tops = list(files)
    sound = [top for top in tops if not files[top]]
    # What all rungs go back to is in the first file.
    lowest = max((top + 1 for top in sound if top < rung), default=0) if tops[:1] == sound[:1] else 0
    spans = ((range(below + 1, top + 1), top) for below, top in pairwise([-1, *tops]))
    lost = {place: top for span, top in spans if files[top] for place in span}
    return Damage(lowest, lost, tuple(path for paths in files.values() for path in paths))


def started(store: Store, ladder: str, rung: int, layers: Sequence[ParameterOutline]) -> RungHandover:
    """Return what a finished rung began from, where it took nothing from the one below but its mask."""
    first: dict[str, np.ndarray] = {}
    for start in _FIRST_ONLY:
        arrays = _file_with(store, ladder, 0, start)
        first |= {name: values for name, values in arrays.items() if name.startswith(start)}
    mask = read_masks(store, ladder, rung, layers)
    return RungHandover.from_arrays({"next": mask.packed(), **first}, layers)


def _file_with(store: Store, ladder: str, rung: int, start: str) -> dict[str, np.ndarray]:
    """Return the arrays of the file with names that start so: a rung's own, or that of a rung above that holds it too.

    None of them has any where nothing was kept under such a name.
    """
    above = store.rung_with("checkpoints", ladder, rung, start)
    return {} if above is None else store.read_arrays("checkpoints", ladder, above)


def read_masks(store: Store, ladder: str, rung: int, layers: Sequence[ParameterOutline]) -> Masks:
    """Return which weights of a finished rung survive."""
    name = f"mask/{rung}"
    arrays = _file_with(store, ladder, rung, name)
    if name not in arrays:
        raise InputError(str(store.path), [Fault(f"mask of ladder {ladder}, rung {rung}", "must be there")])
    return unpacked(layers, arrays[name])


def read_weights(store: Store, ladder: str, rung: int, layers: Sequence[ParameterOutline]) -> dict[str, np.ndarray]:
    """Return a network's tensors by their names, pruned weights zero; kept where a run was asked to keep weights."""
    start = f"kept/{rung}/"
    arrays = _file_with(store, ladder, rung, start)
    weights = {name.removeprefix(start): values for name, values in arrays.items() if name.startswith(start)}
    if not weights:
        must = (
            "must have been kept: name the rung under `keep` in the study or the recorder, or run with --keep-weights"
        )
        raise InputError(str(store.path), [Fault(f"weights of ladder {ladder}, rung {rung}", must, "none")])
    masks = unpacked(layers, arrays[f"mask/{rung}"]).by_name()
    for name in masks:
        whole = np.zeros(masks[name].shape, weights[name].dtype)
        whole[masks[name]] = weights[name]
        weights[name] = whole
    return weights


def weights_kept(store: Store, ladder: str) -> frozenset[int]:
    """Return the rungs of a ladder whose weights were kept."""
    names = frozenset().union(*store.array_names("checkpoints", ladder).values())
    return frozenset(int(name.split("/")[1]) for name in names if name.startswith("kept/"))
