"""How long it is measured what trains fastest: against a clock of the test's own."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from prunescope.nets.cohort import Layout
from prunescope.run import tune
from prunescope.train import TrainingContext
from tests.train.cohorts import training_context


@dataclass
class Machine:
    """Takes a step of a member in a given time, whatever its company, and moves the clock by it."""

    step: float
    now: float = 0.0
    tried: list[tuple[int, Layout]] = field(default_factory=list)

    def seconds(self, context: TrainingContext, size: int, layout: Layout) -> float:
        self.tried.append((size, layout))
        self.now += 3 * size * self.step
        return self.step


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine(0.5)
    monkeypatch.setattr(tune, "_seconds", machine.seconds)
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
