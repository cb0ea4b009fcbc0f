"""Forms over batches are the public forms, and their Jacobians those of complex steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from prunescope.laws import adapted_error, dense_error, joint_error, single_error
from prunescope.laws.data import Points
from prunescope.laws.forms import ADAPTED, ADAPTED_JOINT, DENSE, JOINT, SINGLE, Form, to_coordinates, to_parameters

RANDOM = np.random.default_rng(7)
COUNT = 60
DEPTH, WIDTH = RANDOM.uniform(3, 100, COUNT), 2.0 ** RANDOM.uniform(-4, 2, COUNT)
DENSITY, UNPRUNED = 10 ** RANDOM.uniform(-3, 0, COUNT), RANDOM.uniform(0.02, 0.4, COUNT)
POINTS = Points(np.zeros(COUNT), *(np.log(each) for each in (UNPRUNED, DENSITY, DEPTH, WIDTH)))
THETA = {
    SINGLE: [0.85, 1.4, 0.03],
    JOINT: [0.85, 1.4, 0.06, 0.8, 1.1],
    ADAPTED: [0.85, 0.002, 1.3],
    ADAPTED_JOINT: [0.85, 0.004, 1.3, 0.8, 1.1],
    DENSE: [0.9, 3.0, 0.4, 0.5, 0.6, 0.03],
}


def complex_eq(theta: Any, size: Any) -> Any:
    up, gamma, p = theta[:3]
    ratio = (size**2 + p**2 * (up / UNPRUNED) ** (2 / gamma)) / (size**2 + p**2)
    return np.log(UNPRUNED) + gamma / 2 * np.log(ratio)


def complex_adapted(theta: Any, size: Any) -> Any:
    up, b, beta = theta[:3]
    c = up * UNPRUNED / np.sqrt(up**2 - UNPRUNED**2)
    t = b * size**-beta + c
    return np.log(up) + np.log(t) - np.log(t**2 + up**2) / 2


def complex_dense(theta: Any, size: Any) -> Any:
    del size
    guess, a, alpha, b, beta, c = theta
    t = a * WIDTH**-alpha + b * DEPTH**-beta + c
    return np.log(guess) + np.log(t) - np.log(t**2 + guess**2) / 2


REFERENCE: dict[Form, Callable[[Any, Any], Any]] = {
    SINGLE: complex_eq,
    JOINT: complex_eq,
    ADAPTED: complex_adapted,
    ADAPTED_JOINT: complex_adapted,
    DENSE: complex_dense,
}


def log_error(law: Form, theta: Any) -> Any:
    size = DENSITY * DEPTH ** theta[3] * WIDTH ** theta[4] if law.family else DENSITY
    return REFERENCE[law](theta, size)


@pytest.mark.parametrize("law", REFERENCE, ids=lambda law: law.name)
def test_jacobians_are_those_of_complex_steps(law: Form) -> None:
    parameters = np.array(THETA[law])
    theta = to_coordinates(law.parameters, parameters)
    log_errors, jacobian = law.evaluate(theta[None], POINTS)
    assert log_errors[0] == pytest.approx(log_error(law, parameters), rel=1e-10)
    for place, name in enumerate(law.parameters):
        stepped = parameters.astype(complex)
        stepped[place] += 1e-200j * (1 if name in ("phi", "psi") else parameters[place])
        wanted = np.imag(log_error(law, stepped)) / 1e-200
        assert jacobian[place, 0] == pytest.approx(wanted, rel=1e-9, abs=1e-12), name


def test_batches_are_the_public_forms() -> None:
    def batched(law: Form) -> Any:
        return np.exp(law.evaluate(to_coordinates(law.parameters, np.array(THETA[law]))[None], POINTS)[0][0])

    up, gamma, p = THETA[SINGLE]
    assert batched(SINGLE) == pytest.approx(single_error(UNPRUNED, DENSITY, up, gamma, p), rel=1e-12)
    up, gamma, p, phi, psi = THETA[JOINT]
    assert batched(JOINT) == pytest.approx(
        joint_error(UNPRUNED, DENSITY, DEPTH, WIDTH, up, gamma, p, phi, psi), rel=1e-12
    )
    up, b, beta = THETA[ADAPTED]
    c = up * UNPRUNED / np.sqrt(up**2 - UNPRUNED**2)
    assert batched(ADAPTED) == pytest.approx(adapted_error(DENSITY, up, b, beta, c, up), rel=1e-12)
    guess, a, alpha, b, beta, least = THETA[DENSE]
    assert batched(DENSE) == pytest.approx(dense_error(WIDTH, DEPTH, guess, a, alpha, b, beta, least, guess), rel=1e-12)


@pytest.mark.parametrize("law", REFERENCE, ids=lambda law: law.name)
def test_a_batch_gives_each_fit_what_it_would_get_alone(law: Form) -> None:
    form: Form = law
    theta = np.array([THETA[law]] * 3) * np.array([[1.0], [0.9], [1.05]])
    theta = to_coordinates(law.parameters, theta)
    together, slopes = form.evaluate(theta, POINTS)
    points_of_each_fit = Points(
        *(np.tile(values, (3, 1)) for values in (POINTS.error, *[np.log(x) for x in (UNPRUNED, DENSITY, DEPTH, WIDTH)]))
    )
    apart, slopes_apart = form.evaluate(theta, points_of_each_fit)
    assert np.array_equal(together, apart)
    assert np.array_equal(slopes, slopes_apart)
    for row in range(3):
        alone, slope = form.evaluate(theta[row : row + 1], POINTS)
        assert np.array_equal(together[row], alone[0])
        assert np.array_equal(slopes[:, row], slope[:, 0])


def test_coordinates_and_parameters_are_inverse() -> None:
    values = np.array(THETA[JOINT])
    assert to_parameters(JOINT.parameters, to_coordinates(JOINT.parameters, values)) == pytest.approx(values, rel=1e-15)


def test_nothing_overflows_at_the_corners_of_the_box() -> None:
    from itertools import product

    from prunescope.laws.forms import PARAMETERS

    for law in (SINGLE, JOINT):
        corners = [(max(PARAMETERS[name].low, 1e-3), PARAMETERS[name].high) for name in law.parameters]
        theta = to_coordinates(law.parameters, np.array(list(product(*corners))))
        with np.errstate(all="raise", under="ignore"):
            log_errors, jacobian = law.evaluate(theta, POINTS)
        assert np.isfinite(log_errors).all()
        assert np.isfinite(jacobian).all()


@pytest.mark.parametrize("law", list(THETA))
def test_log_errors_alone_are_those_that_come_with_the_jacobian(law: Form) -> None:
    theta = to_coordinates(law.parameters, np.array(THETA[law]))[None]
    assert law.log_error(theta, POINTS).tolist() == law.evaluate(theta, POINTS)[0].tolist()
