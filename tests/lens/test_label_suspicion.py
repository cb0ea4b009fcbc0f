"""Labels that may be wrong: ranked by EL2N and sparse loss together, and held against planted noise."""

from __future__ import annotations

import numpy as np
import pytest

from prunescope.errors import InputError
from prunescope.lens import label_suspicion, most_suspicious, precision_at
from prunescope.lens.example_changes import Pair
from prunescope.lens.label_suspicion import EL2N_ALONE, JOINT, LOSS_ALONE, SPARSE_LOSS_ALONE, find_suspects
from prunescope.lens.store_contents import Outcomes


def test_suspicion_is_the_mean_of_two_rank_shares() -> None:
    loss, el2n = np.array([3.0, 1.0, 2.0, 0.5]), np.array([0.1, 0.9, 0.8, 0.2])
    assert label_suspicion(loss, el2n).tolist() == [(4 + 1) / 8, (2 + 4) / 8, (3 + 3) / 8, (1 + 2) / 8]
    assert label_suspicion(loss).tolist() == [1.0, 0.5, 0.75, 0.25]


def test_equal_values_share_their_rank_and_go_by_index() -> None:
    suspicion = label_suspicion(np.array([1.0, 1.0, 0.0, 1.0]))
    assert suspicion.tolist() == [0.75, 0.75, 0.25, 0.75]
    assert most_suspicious(suspicion, np.array([30, 10, 0, 20])).tolist() == [1, 3, 0, 2]


def test_precision_is_the_share_of_noisy_labels_at_the_front() -> None:
    noisy, suspicion = np.array([True, False, True, False]), np.array([0.9, 0.8, 0.7, 0.1])
    index = np.arange(4)
    assert [precision_at(count, noisy, suspicion, index) for count in (1, 2, 3, 9)] == [
        1,
        0.5,
        pytest.approx(2 / 3),
        0.5,
    ]
    with pytest.raises(InputError, match="must be 1 or more"):
        precision_at(0, noisy, suspicion, index)


def test_scores_of_other_examples_are_refused() -> None:
    with pytest.raises(InputError, match="2 scores and 3 losses"):
        label_suspicion(np.ones(3), np.ones(2))


def test_the_precision_of_the_list_is_told_beside_el2n_and_loss_alone() -> None:
    index = np.arange(100)
    noisy = index >= 70
    labels = np.zeros(100, np.int64)

    def outcomes(loss: np.ndarray) -> Outcomes:
        return Outcomes("planted", index, labels, noisy, loss)

    dense = np.where(index < 50, 1.0, 0.0)  # fits the noisy half best
    sparse = np.where(noisy, 2.0, 1.0)
    pairs = [Pair(name, "", outcomes(dense), outcomes(sparse), np.linspace(0, 1, 100)) for name in ("0", "1")]
    suspects = find_suspects(pairs, 3, 0.5, 4)
    assert suspects is not None
    shares = {(item.by, item.count): item.share.values for item in suspects.precisions}
    assert shares == {
        (JOINT, 50): (0.6, 0.6),
        (EL2N_ALONE, 50): (0.6, 0.6),
        (LOSS_ALONE, 50): (0.0, 0.0),
        (SPARSE_LOSS_ALONE, 50): (0.6, 0.6),
    }
    assert suspects.precisions[0].chance == 0.3
    assert [suspect.index for suspect in suspects.suspects] == [99, 98, 97, 96]
    assert suspects.words.endswith("60 % of 50 are planted noise (chance 30 %)")
    assert find_suspects([], 3, 0.5) is None
