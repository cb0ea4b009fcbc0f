"""The makers' own files, where they are: PRUNESCOPE_EXTERNAL names a folder with data/mnist."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from prunescope.data import load
from prunescope.errors import InputError

pytestmark = [
    pytest.mark.external,
    pytest.mark.skipif("PRUNESCOPE_EXTERNAL" not in os.environ, reason="needs PRUNESCOPE_EXTERNAL"),
]


def test_mnist_is_mnist() -> None:
    mnist = load("mnist", Path(os.environ["PRUNESCOPE_EXTERNAL"]) / "data", fetch=False)
    assert mnist.train_images.shape == (60_000, 1, 28, 28)
    # The numbers that every tutorial divides by, 0.1307 and 0.3081, times 255.
    assert mnist.mean[0] / 255 == pytest.approx(0.1307, abs=5e-5)
    assert mnist.std[0] / 255 == pytest.approx(0.3081, abs=5e-5)
    assert np.bincount(mnist.train_labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(mnist.test_labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_mnist_is_not_fashion_mnist() -> None:
    with pytest.raises(InputError, match="must hold the labels of fashion-mnist; found those of mnist"):
        load("fashion-mnist", Path(os.environ["PRUNESCOPE_EXTERNAL"]) / "data" / "mnist", fetch=False)
