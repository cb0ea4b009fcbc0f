"""Rows and stores for tests, made from a formula so that a test can tell what each rung must hold."""

from __future__ import annotations

import hashlib
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from prunescope.study import Study, parse_study, preset_text
from prunescope.table import Store

PRUNABLE = 10_000


def ladder_identity(number: int) -> str:
    """Return a ladder's identity: 32 hexadecimal digits that depend on the number alone."""
    return hashlib.sha256(str(number).encode()).hexdigest()[:32]


def rung(ladder: int = 0, number: int = 0, /, **changes: Any) -> dict[str, Any]:
    """Return a complete row; its outcomes are functions of ladder and rung."""
    kept = round(PRUNABLE * 0.8**number)
    row: dict[str, Any] = {
        "study": "a study",
        "ladder": ladder_identity(ladder),
        "replicate": ladder % 3,
        "rung": number,
        "family": "lenet",
        "dataset": "digits",
        "depth": 3,
        "width": 0.1 * (1 + ladder % 5),
        "examples": 1297,
        "label_noise": 0.0,
        "recipe": "0123456789ab",
        "treatment": "imp",
        "rewind": "weights",
        "score": "magnitude",
        "scope": "global",
        "leave": None,
        "density": kept / PRUNABLE,
        "kept": kept,
        "prunable": PRUNABLE,
        "parameters": kept + 100,
        "connected": True,
        "test_error": expected_error(ladder, number),
        "test_loss": 0.5,
        "validation_error": None,
        "validation_loss": None,
        "train_error": 0.01,
        "train_loss": 0.02,
        "train_loss_original": None,
        "train_loss_noisy": None,
        "epochs": 30,
        "seconds": 1.5,
        "device": "cpu",
        "version": "0.1.0",
        "started": f"2026-01-01T00:{number:02d}:00Z",
    }
    return row | changes


def expected_error(ladder: int, number: int) -> float:
    """Return the test error that `rung` gives."""
    return min(0.9, 0.05 + 0.001 * (ladder % 7) + 0.02 * number)


def filled(path: Path, ladders: int = 3, rungs: int = 4, **changes: Any) -> Store:
    """Return a store with some ladders, written rung by rung."""
    made = Store(path, create=True)
    for ladder in range(ladders):
        for number in range(rungs):
            made.write([rung(ladder, number, **changes)])
    return made


def files(root: Path) -> set[str]:
    """Return the paths of all files below a folder."""
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def small_study(levels: int = 2) -> Study:
    """Return a study of four ladders."""
    text = (
        preset_text("digits").replace("replicates = 8", "replicates = 2").replace("levels = 28", f"levels = {levels}")
    )
    return parse_study(text.replace("[0.1, 0.2, 0.4]", "0.1").replace('["all", "1/2", "1/4"]', '["all", "1/2"]'))


def within_limits(*arguments: object, megabytes: int = 4_000, seconds: int = 60) -> subprocess.CompletedProcess[str]:
    """Run Python in a process that may take no more memory and processor time: far more than a sound file takes."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))

    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, preexec_fn=limit, capture_output=True, text=True, check=False)
