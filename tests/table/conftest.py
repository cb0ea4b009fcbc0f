"""What the tests of the table room share."""

from __future__ import annotations

from pathlib import Path

import pytest

from prunescope.table import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return a new, empty store."""
    return Store(tmp_path / "store", create=True)
