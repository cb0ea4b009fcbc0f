"""What several tests of runs need."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from prunescope.run.tuning_cache import CohortSettings, TuningCache
from prunescope.table import Store
from tests.run.studies import children, dense_study, trained


@pytest.fixture
def started() -> Callable[[], list[int]]:
    """Return how to ask what this process has started since the test began (an earlier test's may still be ending)."""
    before = set(children(os.getpid()))
    return lambda: [pid for pid in children(os.getpid()) if pid not in before]


@pytest.fixture
def whole_cohorts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process train all ladders of a shape together, whatever is fastest on a machine as busy as it may be."""
    monkeypatch.setattr(TuningCache, "of_machine", lambda self, key: CohortSettings(64, 1, 64, 1, 1e-4))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Return the store of `dense_study`, trained without a break."""
    return trained(dense_study(), tmp_path_factory.mktemp("unbroken") / "store")
