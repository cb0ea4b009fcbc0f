"""What the tests of the data room share: no test looks into the user's own folders, none reaches a network."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("PRUNESCOPE_DATA", raising=False)
    return tmp_path / "cache" / "prunescope" / "data"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Write a module that can be imported, and return the name of a dataset in it."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(text: str) -> str:
        (tmp_path / "birds_of_mine.py").write_text(f"import numpy as np\n{text}")
        sys.modules.pop("birds_of_mine", None)
        return "birds_of_mine:birds"

    yield write
    sys.modules.pop("birds_of_mine", None)
