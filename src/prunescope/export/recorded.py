"""A rung that was recorded from a training loop of your own becomes a file to take away.

The model is handed in: the store knows its tensors, not how it computes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from prunescope.errors import DamageError, Fault, InputError, listed
from prunescope.export.checkpoint import RECORDED, Card, SavedNetwork, read, write
from prunescope.export.module import fill, made, places_of
from prunescope.export.outcome import Exported, ExportedForm
from prunescope.export.pick import nearest_rung, one_ladder
from prunescope.files import replacing
from prunescope.nets.outline import ParameterOutline, Start
from prunescope.prune import checkpoints
from prunescope.table import Store
from prunescope.table.schema import STORED_NAMES
from prunescope.table.status import RecordedNote
from prunescope.version import __version__


def export_recorded(
    store: Store,
    target: Path,
    note: RecordedNote,
    rung: int | None,
    density: float | None,
    model: nn.Module | Callable[..., nn.Module],
) -> Exported:
    """Write a recorded rung as one sparse file, and prove that reading it gives the same tensors.

    Parameters
    ----------
    model
        A model of the ladder's shapes, or what makes one. Where the store kept the rung's weights it gets them; else it
        must be the trained one.
    """
    if target.suffix != ".safetensors":
        hint = f"For example {target.with_suffix('.safetensors').name}." if target.name else ""
        raise InputError("the export", [Fault("the file", "must end in .safetensors", target.name, hint)])
    ladder = note.ladder
    rows = {int(row["rung"]): row for row in store.table(f"ladder = '{ladder.identity}'").rows()}
    number = nearest_rung(store, rows, rung, density)
    row = {name: rows[number][name] for name in STORED_NAMES}
    module = model if isinstance(model, nn.Module) else made(model, ladder.depth, ladder.width)
    layers = _layers(note)
    masks = checkpoints.read_masks(store, ladder.identity, number, layers).by_name()
    tensors = {name: _array(value) for name, value in places_of(module).items()}
    kept = number in checkpoints.weights_kept(store, ladder.identity)
    if kept:
        tensors = checkpoints.read_weights(store, ladder.identity, number, layers)
        fill(module, tensors, "the model")
    else:
        _refuse_untrained(tensors, masks, number)
    card = Card(
        form=RECORDED,
        family=ladder.family,
        depth=ladder.depth,
        width=ladder.width,
        classes=0,
        shape=(),
        dataset=ladder.dataset,
        mean=(),
        std=(),
        study=ladder.source,
        ladder=ladder.identity,
        replicate=ladder.replicate,
        rung=number,
        density=row["density"],
        kept=row["kept"],
        prunable=row["prunable"],
        test_error=row["test_error"],
        retrained=False,
        version=__version__,
    )
    with replacing(target) as draft:
        write(draft, card, (), tensors, masks)
        _prove(read(draft), tensors, target)
        size = draft.stat().st_size
    whole = sum(values.nbytes for values in tensors.values())
    forms = (ExportedForm("unpruned", None, whole, 0, None), ExportedForm("sparse", target, size, 0, None))
    words = f"{ladder.words}, rung {number}: density {card.density:.3g}"
    if not kept:
        words += ", weights as the model has them that was handed in"
    return Exported(words, card, row["test_error"], forms, 0, 0, 0, 0.0, 0)


def recorded_note(store: Store, ladder: str | None) -> RecordedNote | None:
    """Return the note of the ladder that is meant, if it was recorded."""
    notes = store.recorded()
    if not notes:
        return None
    return notes.get(one_ladder(store, ladder))


def _array(tensor: Tensor) -> np.ndarray:
    """Return a tensor; types that numpy lacks as float32, as the store keeps them."""
    value = tensor.detach().cpu()
    return (value.float() if value.dtype == torch.bfloat16 else value).numpy()


def _layers(note: RecordedNote) -> list[ParameterOutline]:
    """Return the prunable layers as they were at rung 0."""
    try:
        return [
            ParameterOutline(str(name), tuple(map(int, shape)), Start.SHIFT, weight=True)
            for name, shape in note.content["layers"]
        ]
    except (KeyError, TypeError, ValueError):
        raise DamageError(f"the note about ladder {note.ladder.identity} does not say its layers") from None


def _refuse_untrained(tensors: dict[str, np.ndarray], masks: dict[str, np.ndarray], rung: int) -> None:
    """Refuse a model that cannot be the rung's: its pruned weights are not zero."""
    wrong = [
        name
        for name, mask in masks.items()
        if name not in tensors or tensors[name].shape != mask.shape or tensors[name][~mask].any()
    ]
    if wrong:
        must = f"must be the trained one of rung {rung}, its pruned weights zero, since the store did not keep weights"
        hint = "Recorder(..., keep='all') keeps them."
        raise InputError("the export", [Fault("the model", must, f"others at {listed(wrong, 4)}", hint)])


def _prove(saved: SavedNetwork, tensors: dict[str, np.ndarray], target: Path) -> None:
    same = set(saved.tensors) == set(tensors) and all(
        saved.tensors[name].tobytes() == np.ascontiguousarray(values).tobytes() for name, values in tensors.items()
    )
    if not same:
        raise DamageError(f"{target} does not read back as the network that was written")
