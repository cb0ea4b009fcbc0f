"""Single training examples of a store, to take away: rows with scores, losses and suspicion of labels; and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunescope.data import EncodedPictures, load, own_name, read_own
from prunescope.data.dataset import Images
from prunescope.errors import Fault, InputError, MissingPackageError, listed
from prunescope.lens.cell_query import KEYS, CellQuery, asked_rung, sorted_cells
from prunescope.lens.label_suspicion import label_suspicion
from prunescope.lens.loading import open_source
from prunescope.lens.rung_curves import Curve, dense_spread, rung_curve
from prunescope.lens.sparsity import SparseNetworks
from prunescope.table import Table


def example_scores(
    source: Any,
    *,
    noise: Sequence[float] = (),
    cell: Mapping[str, Any] | None = None,
    treatment: str | None = None,
    rung: int | None = None,
    density: float | None = None,
) -> Table:
    """Return one row for each training example of each replicate whose outcomes the store kept.

    Columns are those of the cell, ``replicate``, ``rung`` and ``density`` of the sparse network (the optimal one, where
    none is asked for), and of the example ``index`` in the training set, ``label`` trained on, ``noisy``, ``el2n``
    (not a number where it was not scored), ``loss_dense``, ``loss_sparse`` and ``suspicion`` (`label_suspicion`).

    Parameters
    ----------
    source
        A store.
    noise, cell, treatment, rung, density
        As for `analyze`.

    Raises
    ------
    InputError
        Where no outcomes of examples were kept, or a setting names something absent.
    """
    question = CellQuery(noise, cell or {}, treatment, rung=rung, density=density)
    loaded = open_source(source, None, None, question.rows)
    cells = [ladders for ladders in sorted_cells(loaded.ladders) if any(ladder.treatment.prunes for ladder in ladders)]
    parts: list[dict[str, Any]] = []
    curves: list[Curve] = []
    reached = False
    for ladders in question.select(loaded.name, cells) if cells else ():
        main, others = question.split(ladders)
        ordered = [*main, *others]
        curve = rung_curve(main, dense_spread(ordered, "test_error"))
        curves.append(curve)
        asked = question.rung is not None or question.density is not None
        chosen = asked_rung(curve, question) if asked else curve.optimal
        if chosen is None:
            continue
        reached = True
        network = main[0].network
        of_cell = {key: getattr(network, key) for key in KEYS} | {"label_noise": main[0].label_noise}
        of_cell |= {"treatment": main[0].treatment.name, "rung": chosen, "density": curve.at(chosen).density}
        for pair in SparseNetworks(loaded, main, ordered, curve, 1, 0).pairs(chosen):
            count = len(pair.dense.index)
            measured = {
                "index": pair.dense.index,
                "label": pair.dense.label,
                "noisy": pair.dense.noisy,
                "el2n": np.full(count, np.nan) if pair.el2n is None else pair.el2n,
                "loss_dense": pair.dense.loss,
                "loss_sparse": pair.sparse.loss,
                "suspicion": label_suspicion(pair.sparse.loss, pair.el2n),
            }
            constant = {key: np.full(count, value) for key, value in of_cell.items()}
            parts.append({**constant, "replicate": np.full(count, str(pair.replicate)), **measured})
    if not reached:
        question.refuse_unmeasured(loaded.name, curves)
    if not parts:
        hint = 'prunescope outcomes makes them; keep_examples = "all" in a study keeps them.'
        raise InputError(
            loaded.name, [Fault("the store", "must have kept outcomes on training examples", "none", hint)]
        )
    columns = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    texts = {key: values.astype(object) for key, values in columns.items() if values.dtype.kind == "U"}
    return replace(Table(columns | texts), source=loaded.name)


@dataclass(frozen=True, eq=False)
class ExamplePictures:
    """Training pictures of a dataset.

    Attributes
    ----------
    images
        uint8 [n, channels, height, width], in the requested order; None where the dataset is not on this machine.
    why
        Why there are none; empty otherwise.
    brightest
        The highest value in the dataset: 16 in the digits, 255 in most.
    """

    images: NDArray[np.uint8] | None
    why: str = ""
    brightest: int = 255

    @property
    def bright(self) -> NDArray[np.uint8] | None:
        """The images scaled to the full range up to 255."""
        if self.images is None:
            return None
        return np.asarray(self.images.astype(np.uint16) * 255 // max(self.brightest, 1), np.uint8)


def pictures(
    dataset: str, index: Sequence[int], folder: str | Path | None = None, place: str | Path = ""
) -> ExamplePictures:
    """Return training pictures by their index in the training set. Nothing is fetched.

    Parameters
    ----------
    dataset
        Its name, as in `CellResult.dataset`.
    index
        Indices, as in `Example.index`.
    folder
        Where the dataset's files are; without it where `prunescope.data.load` looks.
    place
        The file or folder of a user's own dataset, as in `CellResult.dataset_place`.
    """
    try:
        images = _images(dataset, folder, Path(place) if place else None)
    except (InputError, MissingPackageError) as trouble:
        return ExamplePictures(None, str(trouble))
    if images.dtype != np.uint8:
        return ExamplePictures(None, f"dataset {dataset} holds numbers that are no pixels")
    beyond = [place for place in index if not 0 <= place < len(images)]
    if beyond:
        fault = Fault("the index of an example", f"must be 0 to {len(images) - 1}", listed(beyond))
        raise InputError(f"dataset {dataset}", [fault])
    brightest = 255 if isinstance(images, EncodedPictures) else int(images.max(initial=0))
    return ExamplePictures(images[np.array(index, np.int64)], brightest=brightest)


def _images(dataset: str, folder: str | Path | None, place: Path | None) -> Images:
    """Return the training pictures of a dataset by its name in rows."""
    if place is None:
        return load(dataset, folder, fetch=False).train_images
    own_data = read_own(own_name(str(place)))
    if own_data.section.label.rpartition("@")[2] != dataset.rpartition("@")[2]:
        raise InputError(f"dataset {dataset}", [Fault(str(place), "must hold what it held when it was trained on")])
    return own_data.dataset.train_images
