"""Single examples whose training loss pruning worsens and improves most, replicate by replicate."""

from __future__ import annotations

import numpy as np

from prunescope.lens.pairs import Pair
from prunescope.lens.results import Example, Extremes


def find_extremes(pair: Pair, count: int) -> Extremes:
    """Return the ``count`` examples at either end, the largest change first; of equals the lower index first."""
    differences = pair.differences
    order = np.lexsort((pair.dense.index, differences))
    back = np.lexsort((pair.dense.index, -differences))
    worsened = [int(place) for place in back[:count] if differences[place] > 0]
    improved = [int(place) for place in order[:count] if differences[place] < 0]
    noisy = int(np.count_nonzero(pair.dense.noisy[worsened]))
    words = f"replicate {pair.replicate}: of the {len(worsened)} examples that pruning worsens most, {noisy} are noisy"
    return Extremes(
        pair.replicate,
        pair.ladder,
        tuple(_example(pair, place) for place in worsened),
        tuple(_example(pair, place) for place in improved),
        noisy,
        words,
    )


def _example(pair: Pair, place: int) -> Example:
    return Example(
        index=int(pair.dense.index[place]),
        label=int(pair.dense.label[place]),
        noisy=bool(pair.dense.noisy[place]),
        dense_loss=float(pair.dense.loss[place]),
        sparse_loss=float(pair.sparse.loss[place]),
        difference=float(pair.differences[place]),
        el2n=None if pair.el2n is None else float(pair.el2n[place]),
    )
