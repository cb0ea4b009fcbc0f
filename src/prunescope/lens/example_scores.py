"""The training examples of a store as rows to take away: scores, losses, and how suspicious their labels are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from prunescope.errors import Fault, InputError
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
