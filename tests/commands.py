"""Commands as a shell runs them, each in a process of its own that begins with everything imported, and so at once.

What Python does before `prunescope.cli.start` is not covered here; tests of that start an interpreter.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from multiprocessing.context import ForkServerContext
from pathlib import Path


def processes() -> ForkServerContext:
    """Return what starts processes in milliseconds: the server that forks them has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.imported"])
    return context


def run(*arguments: object, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, in a folder and with some environment variables."""
    words = [str(argument) for argument in arguments]
    environment = os.environ | {"COLUMNS": "120"} | variables
    with tempfile.TemporaryDirectory() as folder:
        streams = tuple(Path(folder) / name for name in ("stdout", "stderr"))
        process = processes().Process(target=_command, args=(words, cwd or Path.cwd(), dict(environment), streams))
        process.start()
        process.join()
        stdout, stderr = (path.read_text(encoding="utf-8") for path in streams)
        assert process.exitcode is not None
        return subprocess.CompletedProcess(words, process.exitcode, stdout, stderr)


def fails(code: int, *arguments: object, cwd: Path | None = None) -> str:
    """Run a command that must fail with this code, in words and not in a traceback; return the words."""
    done = run(*arguments, cwd=cwd)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    return done.stderr


def _command(words: list[str], folder: Path, environment: Mapping[str, str], streams: tuple[Path, Path]) -> None:
    """Be the command."""
    from prunescope.cli import start

    for number, path in enumerate(streams, start=1):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdout, sys.stderr = (
        open(number, "w", encoding="utf-8", errors=errors, buffering=1, closefd=False)  # noqa: SIM115
        for number, errors in ((1, "strict"), (2, "backslashreplace"))
    )
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["prunescope", *words]
    start()
