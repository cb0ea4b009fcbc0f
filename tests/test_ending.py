"""A run of tests ends, red, when one of its processes dies or stalls."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

DYING = """
import os, signal, subprocess
def test_that_dies():
    child = subprocess.Popen(["sleep", "1000"])
    open("child", "w").write(str(child.pid))
    os.kill(os.getpid(), signal.SIGKILL)
"""
STALLING = """
import signal
def test_that_stalls():
    signal.pause()
"""
PASSING = "def test_that_passes(): pass\n"


def end_of(folder: Path, tests: dict[str, str], *options: str, seconds: str = "1000") -> tuple[int, str]:
    """Run tests as `make test` does; return exit code and output."""
    (folder / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    (folder / "tests").mkdir()
    (folder / "tests" / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    for name, text in tests.items():
        (folder / "tests" / f"test_{name}.py").write_text(text)
    makefile = (ROOT / "Makefile").read_text()
    (words,) = re.findall(r"^test:.*\n.*-m pytest (.*)", makefile, re.MULTILINE)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *words.split(), "-p", "no:cacheprovider", *options],
        cwd=folder,
        env=environment | {"PRUNESCOPE_TEST_SECONDS": seconds},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    return ran.returncode, ran.stdout + ran.stderr


def is_running(pid: int) -> bool:
    """Whether a process runs; one that ended and was not yet asked for its code does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_test_process_that_is_killed_ends_the_run_and_what_it_started(tmp_path: Path) -> None:
    code, output = end_of(tmp_path, {"dying": DYING, "stalling": STALLING})
    assert code == 1
    assert "a test process died" in output
    assert "test_that_dies" in output
    if sys.platform == "linux":
        assert not is_running(int((tmp_path / "child").read_text()))


def test_a_test_that_stalls_ends_the_run_with_its_stack(tmp_path: Path) -> None:
    code, output = end_of(tmp_path, {"stalling": STALLING, "passing": PASSING}, "-o", "faulthandler_timeout=2")
    assert code == 1
    assert "a test process died" in output
    assert "in test_that_stalls" in output


def test_a_run_that_takes_too_long_ends_with_the_stacks_of_its_tests(tmp_path: Path) -> None:
    code, output = end_of(tmp_path, {"stalling": STALLING}, seconds="5")
    assert code == 1
    assert "in test_that_stalls" in output


def test_a_run_that_passes_is_green(tmp_path: Path) -> None:
    assert end_of(tmp_path, {"passing": PASSING})[0] == 0
