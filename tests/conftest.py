"""Settings of all tests, and how a run of them ends when one of its processes dies or stalls.

A test that takes longer than `faulthandler_timeout` (pyproject.toml) ends its process, stacks printed. A process that
dies ends the whole run, at once and red, with whatever it had started; so does a run that takes longer than
PRUNESCOPE_TEST_SECONDS.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Tests run side by side, one to a core; threads of their own for small products would stand in each other's way.
for library in ("OPENBLAS", "OMP", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

# No test depends on the clock; examples are the same in every run, so that a failure can be repeated.
settings.register_profile(
    "prunescope", deadline=None, derandomize=True, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("prunescope")

WHOLE_RUN_SECONDS = 3600.0
# The files that take longest begin first: were one of them the last, the other process would wait for it.
LONGEST_FIRST = ("tests/test_readme.py", "tests/run/test_copies.py", "tests/laws/test_intervals.py")
_running: list[str] = []


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is remembered for this machine stays out of the tests, and what they remember out of it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Ask a test process for its number; with the first of them the time of the whole run begins."""
    if not hasattr(node.config, "test_processes"):
        node.config.test_processes = Path(tempfile.mkdtemp(prefix="prunescope-tests-"))
        limit = float(os.environ.get("PRUNESCOPE_TEST_SECONDS", WHOLE_RUN_SECONDS))
        threading.Thread(target=_end_after, args=(node.config, limit), daemon=True).start()
    node.workerinput["test_processes"] = str(node.config.test_processes)


def pytest_configure(config: pytest.Config) -> None:
    """Give a test process a process group, so that what it starts can be ended with it."""
    if hasattr(config, "workerinput"):
        os.setpgid(0, 0)
        (Path(config.workerinput["test_processes"]) / str(os.getpid())).touch()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of the longest files first (the Makefile tells pytest-xdist to keep this order)."""
    rank = {name: number for number, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: rank.get(item.nodeid.partition("::")[0], len(rank)))


def pytest_runtest_logstart(nodeid: str) -> None:
    """Note which tests are running."""
    _running.append(nodeid)


def pytest_runtest_logfinish(nodeid: str) -> None:
    """Note which tests are running no more."""
    _running.remove(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """End the run if a test process died."""
    if error:
        pytest.exit(f"a test process died; running were {', '.join(_running) or 'no tests'}", returncode=1)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """End what test processes left running."""
    if hasattr(session.config, "test_processes"):
        _end_all(session.config, signal.SIGKILL)
        shutil.rmtree(session.config.test_processes)


def _end_after(config: Any, seconds: float) -> None:
    """Abort all test processes after some seconds, late ones too, and this process where that is not enough."""
    wait = threading.Event().wait
    wait(seconds)
    for _ in range(10):
        _end_all(config, signal.SIGABRT)
        wait(3)
    os.abort()


def _end_all(config: Any, by: signal.Signals) -> None:
    """Send a signal to all test processes, and to what they started; SIGABRT prints stacks first."""
    for process in config.test_processes.glob("*"):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(int(process.name), by)
