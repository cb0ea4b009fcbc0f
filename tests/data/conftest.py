"""What the tests of the data room share: no test looks into the user's own folders, none reaches a network."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("PRUNESCOPE_DATA", raising=False)
    return tmp_path / "cache" / "prunescope" / "data"
