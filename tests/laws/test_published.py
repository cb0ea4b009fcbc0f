"""Published curves: Renda, Frankle and Carbin (2020), ResNet-20 on CIFAR-10 and ResNet-50 on ImageNet."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from prunescope.laws import SingleLaw

pytestmark = [
    pytest.mark.external,
    pytest.mark.skipif("PRUNESCOPE_EXTERNAL" not in os.environ, reason="needs PRUNESCOPE_EXTERNAL"),
]


def test_published_curves_that_rise_are_fitted_within_the_papers_bar() -> None:
    law = SingleLaw().fit(Path(os.environ["PRUNESCOPE_EXTERNAL"]) / "measurements" / "renda2020.csv")
    assert len(law.fits_) == 70
    rising = [fit for fit in law.fits_ if not any("hardly rises" in words for words in fit.warnings)]
    missed = {
        (fit.group["retraining"], fit.group["retrain_epochs"])
        for fit in rising
        if abs(fit.mean_deviation) >= 0.02 or fit.std_deviation >= 0.04
    }
    # One dips 5 % below its unpruned error before it rises; the other falls after its first rung.
    assert missed == {("lr-rewinding", 150), ("weights-only-rewinding", 182)}
    assert len(rising) == 43
    for fit in law.fits_:
        assert fit.parameters["eps_up"] <= (0.9 if fit.group["dataset"] == "cifar10" else 0.999) + 1e-12
        gamma = fit.intervals["gamma"]
        assert gamma is None or gamma[1] < 5


def test_a_dip_below_the_unpruned_error_is_named_on_published_curves() -> None:
    law = SingleLaw(intervals="none").fit(Path(os.environ["PRUNESCOPE_EXTERNAL"]) / "measurements" / "renda2020.csv")
    dipping = {
        (fit.group["retraining"], fit.group["retrain_epochs"])
        for fit in law.fits_
        if any("before it rises" in words for words in fit.warnings)
    }
    assert dipping == {("lr-rewinding", epoch) for epoch in (130, 150, 170, 182)} | {("weight-rewinding", 130)}
