"""Programs that call kernels of our own with random sizes, built with sanitizers."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from prunescope.nets.kernels import SOURCE, Vectors, vectors_here

_CASES = [(vectors, "float") for vectors in vectors_here()] + [(vectors, "double") for vectors in vectors_here()[:1]]
on_sanitized = pytest.mark.parametrize(
    ("vectors", "real"), _CASES, ids=[f"{vectors.name}-{real}" for vectors, real in _CASES]
)


def sanitized(program: str, vectors: Vectors, real: str, folder: Path, rounds: int) -> str:
    """Run a program of this folder for some rounds; return what it prints, or fail where a sanitizer does."""
    sanitizers = ("-O0", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    built, trial = folder / "check", folder / "trial.c"
    trial.write_text("int main(void) { return 0; }")
    compiler = shutil.which("cc")
    command = [compiler or "cc", *sanitizers, str(trial), "-o", str(built)]
    if compiler is None or subprocess.run(command, check=False).returncode:
        pytest.skip("no compiler with sanitizers")
    flags = (*sanitizers, *vectors.flags, f"-DREAL={real}", f"-DWIDE={vectors.size}", f"-I{SOURCE.parent}")
    source = Path(__file__).with_name(program)
    subprocess.run([compiler, *flags, str(source), "-lm", "-o", str(built)], check=True)
    ran = subprocess.run([str(built), str(rounds), "1"], check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout
