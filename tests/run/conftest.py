"""What several tests of runs need."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.run.studies import children


@pytest.fixture
def started() -> Callable[[], list[int]]:
    """Return how to ask what this process has started since the test began (an earlier test's may still be ending)."""
    before = set(children(os.getpid()))
    return lambda: [pid for pid in children(os.getpid()) if pid not in before]
