"""The forms against their complex form, complex steps, their own inverse, and the whole range of floating point."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunescope.laws import (
    adapted_error,
    dense_error,
    invariant,
    joint_error,
    log_gradient,
    single_error,
    size_for_error,
)

RANDOM = np.random.default_rng(7)
COUNT = 500
UNPRUNED = RANDOM.uniform(0.01, 0.4, COUNT)
DENSITY = 0.8 ** RANDOM.uniform(0, 40, COUNT)
UP = RANDOM.uniform(0.5, 1.0, COUNT)
GAMMA = RANDOM.uniform(0.2, 6, COUNT)
P = 10 ** RANDOM.uniform(-3, -0.3, COUNT)


def complex_form(unpruned: object, size: object, up: object, gamma: object, p: object) -> object:
    """Eq. 1 as the paper writes it."""
    top = size - 1j * p * (up / unpruned) ** (1 / gamma)  # type: ignore[operator]
    return unpruned * abs(top / (size - 1j * p)) ** gamma  # type: ignore[operator]


def real_form(unpruned: object, size: object, up: object, gamma: object, p: object) -> object:
    """Eq. 1 as FACTS writes it, an analytic function, so that complex steps can differentiate it."""
    ratio = (up / unpruned) ** (2 / gamma)  # type: ignore[operator]
    return unpruned * ((size**2 + p**2 * ratio) / (size**2 + p**2)) ** (gamma / 2)  # type: ignore[operator]


def test_eq_1_is_its_complex_form_to_12_digits() -> None:
    errors = single_error(UNPRUNED, DENSITY, UP, GAMMA, P)
    assert errors == pytest.approx(complex_form(UNPRUNED, DENSITY, UP, GAMMA, P), rel=1e-12)


def test_eq_2_is_eq_1_over_the_invariant() -> None:
    depth, width = RANDOM.integers(3, 99, COUNT), 2.0 ** RANDOM.uniform(-4, 2, COUNT)
    size = invariant(DENSITY, depth, width, 0.7, 1.3)
    assert size == pytest.approx(depth**0.7 * width**1.3 * DENSITY, rel=1e-13)
    errors = joint_error(UNPRUNED, DENSITY, depth, width, UP, GAMMA, P, 0.7, 1.3)
    assert errors == pytest.approx(single_error(UNPRUNED, size, UP, GAMMA, P), rel=1e-12)
    without = joint_error(UNPRUNED, DENSITY, depth, width, UP, GAMMA, P)
    assert np.array_equal(without, single_error(UNPRUNED, DENSITY, UP, GAMMA, P))


def test_the_limits_are_the_plateaus_and_the_slope_between_is_gamma() -> None:
    assert single_error(0.05, 1e9, 0.9, 1.5, 0.02) == pytest.approx(0.05, rel=1e-12)
    assert single_error(0.05, 1e-12, 0.9, 1.5, 0.02) == pytest.approx(0.9, rel=1e-12)
    assert single_error(0.05, 0.3, 0.05, 1.5, 0.02) == pytest.approx(0.05, rel=1e-15)
    middle = log_gradient(1e-9, 1e3, 0.9, 1.5, 1.0)
    assert middle.log_size == pytest.approx(-1.5, rel=1e-4)


def test_derivatives_are_those_of_complex_steps() -> None:
    arguments = [UNPRUNED, DENSITY, UP, GAMMA, P]
    error = real_form(*arguments)
    gradient = log_gradient(*arguments)
    for position, name in enumerate(gradient._fields):
        stepped = [values.astype(complex) for values in arguments]
        scale = 1 if name == "gamma" else arguments[position]
        stepped[position] = arguments[position] + 1e-200j * scale
        wanted = np.imag(real_form(*stepped)) / 1e-200 / error  # type: ignore[call-overload]
        assert getattr(gradient, name) == pytest.approx(wanted, rel=1e-9, abs=1e-13), name


def test_the_size_for_an_error_is_where_the_form_gives_it() -> None:
    target = UNPRUNED + (UP - UNPRUNED) * RANDOM.uniform(0.001, 0.999, COUNT)
    size = size_for_error(target, UNPRUNED, UP, GAMMA, P)
    assert single_error(UNPRUNED, size, UP, GAMMA, P) == pytest.approx(target, rel=1e-10)
    assert np.isnan(size_for_error([0.04, 0.05, 0.9, 0.95], 0.05, 0.9, 1.5, 0.02)).all()


def test_rosenfelds_forms_are_their_complex_forms() -> None:
    t = 0.02 * DENSITY**-0.8 + 0.01
    assert adapted_error(DENSITY, 0.9, 0.02, 0.8, 0.01, 0.3) == pytest.approx(0.9 * abs(t / (t - 0.3j)), rel=1e-12)
    examples, size = 10 ** RANDOM.uniform(2, 6, COUNT), 10 ** RANDOM.uniform(3, 8, COUNT)
    t = 3 * examples**-0.5 + 40 * size**-0.6 + 0.004
    errors = dense_error(examples, size, 0.9, 3, 0.5, 40, 0.6, 0.004, 0.2)
    assert errors == pytest.approx(0.9 * abs(t / (t - 0.2j)), rel=1e-12)


tiny_to_huge = st.floats(min_value=1e-300, max_value=1e300)


@given(tiny_to_huge, tiny_to_huge, tiny_to_huge, tiny_to_huge, tiny_to_huge)
def test_nothing_overflows_and_errors_stay_between_the_plateaus(
    unpruned: float, size: float, up: float, gamma: float, p: float
) -> None:
    low, high = sorted((unpruned, up))
    error = float(single_error(unpruned, size, up, gamma, p))
    assert low * (1 - 1e-9) <= error <= high * (1 + 1e-9) or gamma > 1e6
    assert all(np.isfinite(derivative) for derivative in log_gradient(unpruned, size, up, gamma, p))
    assert float(size_for_error(unpruned, unpruned, up, gamma, p)) != 0
    assert float(adapted_error(size, up, unpruned, min(gamma, 1e5), p, p)) >= 0


def test_a_curve_without_a_high_plateau_is_no_trouble() -> None:
    """Known trap: free fits of curves that stop at density 0.1 go to gamma 1000 and a plateau of 1e23."""
    errors = single_error(0.05, 0.8 ** np.arange(11), 1e23, 1000.0, 1e-3)
    assert np.isfinite(errors).all()
    assert (np.diff(errors) >= 0).all()
