"""Pictures of single examples, where their dataset is to be had."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from prunescope.data import load
from prunescope.errors import InputError
from prunescope.lens import pictures


def test_pictures_are_those_of_the_training_set_in_the_order_asked() -> None:
    shown = pictures("digits", [5, 0, 1296])
    assert shown.images is not None
    assert np.array_equal(shown.images, load("digits").train_images[[5, 0, 1296]])
    assert shown.why == ""
    assert shown.bright is not None
    assert shown.bright.max() == 255
    assert np.array_equal(shown.bright, shown.images.astype(int) * 255 // 16)


def test_without_the_dataset_there_are_none_and_the_reason_is_told(tmp_path: Path) -> None:
    shown = pictures("cifar10", [0], tmp_path)
    assert shown.images is None
    assert "cifar10" in shown.why


def test_places_beyond_the_training_set_are_refused() -> None:
    with pytest.raises(InputError, match="must be 0 to 1296; found 1297"):
        pictures("digits", [1297])
