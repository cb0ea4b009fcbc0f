"""Student's t against SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtri, stdtrit

from prunescope.distributions import normal_quantile
from prunescope.laws.uncertainty import t_quantile


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95, 0.99])
def test_quantiles_are_scipys(level: float) -> None:
    freedom = np.array([*range(1, 260), 1_000, 10_000, 1_000_000], np.float64)
    assert t_quantile(level, freedom) == pytest.approx(stdtrit(freedom, 0.5 + level / 2), rel=1e-8)
    assert normal_quantile(level) == pytest.approx(ndtri(0.5 + level / 2), rel=1e-12)


def test_shapes_are_kept() -> None:
    assert t_quantile(0.9, np.array([[3.0, 4.0], [3.0, 9.0]])).shape == (2, 2)
    assert float(t_quantile(0.9, 5)) == pytest.approx(2.015, abs=1e-3)
