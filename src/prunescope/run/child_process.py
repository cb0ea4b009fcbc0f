"""Processes of a run's own on this machine: started alike, tied to the run's life, ended."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe


@dataclass
class ChildProcess:
    """A process, and the pipe to it."""

    process: subprocess.Popen[bytes]
    pipe: Connection


def start_child(module: str) -> ChildProcess:
    """Start a process that calls ``serve(handle of its pipe, number of this process)`` of a module."""
    # Not by multiprocessing, whose workers import the main module: a script need not guard itself against that. In
    # a session of its own, a terminal's Ctrl-C reaches the run alone; that of others is ignored before all else.
    # With -P Python does not search the current folder before the worker has the run's own path.
    pipe_here, pipe_there = Pipe()
    program = (
        "import signal, sys; "
        "signal.signal(signal.SIGINT, signal.SIG_IGN); signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        f"sys.path[:] = {sys.path!r}; "
        f"from {module} import serve; serve({pipe_there.fileno()}, {os.getpid()})"
    )
    process = subprocess.Popen(  # noqa: S603 - this very interpreter
        [sys.executable, "-P", "-c", program],
        pass_fds=[pipe_there.fileno()],
        start_new_session=True,
        stdin=subprocess.DEVNULL,
    )
    pipe_there.close()
    return ChildProcess(process, pipe_here)


def end_children(children: Sequence[ChildProcess]) -> None:
    """End processes, and wait until they are gone."""
    for child in children:
        child.pipe.close()
        child.process.kill()
    for child in children:
        child.process.wait()


def ending(code: int) -> str:
    """Say how a process ended, by its exit code."""
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def die_with_parent() -> None:
    """Ask Linux to kill this process with the run's own; elsewhere it ends when it next reports something."""
    if sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
