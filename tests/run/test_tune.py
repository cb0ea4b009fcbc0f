"""What trains fastest, and how long that is measured: against a clock of the test's own."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import pytest

from prunescope.nets.cohort import Layout
from prunescope.run import tune
from prunescope.run.cohorts import key_of
from prunescope.run.estimate import cores, estimate
from prunescope.run.tuning_cache import CohortSettings, TuningCache
from prunescope.study.read import study_from
from prunescope.table import Store
from prunescope.train import TrainingContext
from tests.train.cohorts import pictures, training_context


@dataclass
class Machine:
    """Takes a step of a member in a given time, whatever its company, and moves the clock by it.

    A sparse step takes ``base`` of that, and ``slope`` times the share of the weights that are kept.
    """

    step: float
    now: float = 0.0
    base: float = 0.1
    slope: float = 1.0
    tried: list[tuple[int, Layout]] = field(default_factory=list)
    shares: list[float | None] = field(default_factory=list)

    def seconds(self, context: TrainingContext, size: int, share: float | None = None) -> float:
        self.now += 3 * size * self.step
        self.shares.append(share)
        if share is not None:
            assert context.sparse_below == 1
            return (self.base + self.slope * share) * self.step
        self.tried.append((size, context.layout))
        return self.step


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine(0.5)
    monkeypatch.setattr(tune, "step_seconds", machine.seconds)
    monkeypatch.setattr("prunescope.run.tune.time.perf_counter", lambda: machine.now)
    return machine


@pytest.mark.parametrize("steps", [10, 400, 4_000, 100_000])
def test_measuring_takes_a_twentieth_of_what_it_is_for_at_most(machine: Machine, steps: int) -> None:
    context = training_context("tests.nets.modules:own", 2, 1.0)
    tune.choose(context, 128, 1, steps)
    assert machine.now <= max(3 * machine.step, steps * machine.step / 20)  # one figure there must be
    sizes = [size for size, _ in machine.tried]
    assert sizes == sorted(set(sizes))  # of a user's modules there is one layout to each size
    assert (len(sizes) == len(tune.SIZES)) == (steps == 100_000)


def test_small_networks_of_our_own_families_are_measured_for_a_second(machine: Machine) -> None:
    machine.step = 0.001
    tune.choose(training_context("lenet", 3, 0.05), 128, 1, 100)
    assert [size for size, _ in machine.tried] == list(tune.SIZES)
    assert machine.now < 1


@pytest.mark.parametrize("make", ["grown", "with_dropout", "own"])
def test_what_has_no_company_to_choose_is_measured_once_for_each_number_of_threads(machine: Machine, make: str) -> None:
    """One member alone, or members that are computed one at a time."""
    home = "tests.nets.test_custom" if make == "grown" else "tests.nets.modules"
    settings = tune.choose(training_context(f"{home}:{make}", 2, 1.0), 1 if make == "own" else 8, 2, 10_000)
    assert machine.tried == [(1, Layout(1)), (1, Layout(1))]
    assert (settings.members, settings.together, settings.threads) == (1, 1, 1)


@pytest.mark.parametrize(
    ("base", "slope", "below"), [(0.1, 1.0, 0.8), (0.4, 1.0, 0.5), (0.2, 0.2, 1.0), (0.85, 2.0, 0.025), (1.0, 1.0, 0.0)]
)
def test_steps_are_sparse_below_the_share_at_which_they_are_measured_to_pay(
    machine: Machine, base: float, slope: float, below: float
) -> None:
    context = training_context("lenet", 3, 0.5, pictures((1, 28, 28)))
    if context.sparse_kernels is None:
        pytest.skip("no compiler that works")
    machine.base, machine.slope = base, slope
    assert tune.choose(context, 1, 1).sparse_below == pytest.approx(below)


def test_sparse_steps_are_not_measured_where_that_takes_longer_than_it_is_worth(machine: Machine) -> None:
    cases = [
        (training_context("lenet", 3, 0.05), 10_000),  # too small
        (training_context("lenet", 3, 0.5, pictures((1, 28, 28))), 100),  # too short
        (training_context("cifar-resnet", 8, 1 / 8), 10_000),
    ]
    for context, steps in cases:
        assert tune.choose(context, 1, 1, steps).sparse_below == 0
    assert set(machine.shares) == {None}


def test_a_store_goes_on_without_sparse_steps_where_it_began_so_and_a_machine_measures_them(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    cache, settings = TuningCache(store, "cpu", 1), CohortSettings(4, 1, 4, 1, 1e-3, sparse_below=0.5)
    cache.keep_in_store("new", settings)
    cache.keep_on_machine("new", settings)
    assert (cache.of_store("new"), cache.of_machine("new")) == (settings, settings)
    before = {name: value for name, value in asdict(settings).items() if name != "sparse_below"}
    store.write_note(cache._store_name("old"), before)
    cache._machine_file("old").write_text(json.dumps(before))
    assert cache.of_store("old") == replace(settings, sparse_below=0.0)
    assert cache.of_machine("old") is None
    for wrong in (-0.1, 1.5, True, "all", None):
        store.write_note(cache._store_name(f"wrong{wrong}"), {**before, "sparse_below": wrong})
        assert cache.of_store(f"wrong{wrong}") is None


def test_an_estimate_knows_what_sparse_steps_save(tmp_path: Path) -> None:
    study = study_from(
        {
            "name": "x",
            "replicates": 2,
            "axes": {"dataset": "digits", "family": "lenet", "depth": 3, "width": 0.5, "examples": 400},
            "recipe": {"epochs": 50, "batch": 10, "learning_rate": 0.1, "levels": 3, "pruning_fraction": 0.5},
            "treatments": [{"kind": "imp"}, {"kind": "extended"}],
        }
    )
    seconds = []
    for below in (0.0, 0.4):
        store = Store(tmp_path / f"{below}", create=True)
        settings = CohortSettings(2, cores(), 2, 1, 0.1, sparse_below=below)
        TuningCache(store, "cpu", 1).keep_in_store(key_of(study.ladders[0]), settings)
        seconds.append(estimate(study.ladders, store).seconds or 0)
    # Two of the rungs of imp are sparse, at 1/4 and 1/8: they take 0.9 x share / 0.4 of a dense one.
    trainings = 2 * 50 * 40 * 0.1
    assert seconds[0] - seconds[1] == pytest.approx(trainings * (2 - 0.9 * 0.375 / 0.4))
