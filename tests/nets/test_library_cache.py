"""Libraries in the user's cache: built once, trusted only while they are the user's and whole."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from prunescope.nets.library_cache import load_library

FLAGS = ("-shared", "-fPIC")
COMPILER = shutil.which("cc")
pytestmark = pytest.mark.skipif(COMPILER is None, reason="no compiler")


class Desk:
    """A source file, a cache, and a compiler that writes down its calls."""

    def __init__(self, folder: Path) -> None:
        self.source = folder / "answer.c"
        self.source.write_text("int answer(void) { return 42; }")
        self.cache_folder = folder / "cache" / "prunescope" / "kernels"
        self.calls = folder / "calls"
        self.calls.touch()
        self.compiler = folder / "bin" / "cc"
        self.compiler.parent.mkdir()
        self.compile_with(f'exec {COMPILER} "$@"')

    def compile_with(self, line: str) -> None:
        self.compiler.write_text(f"#!/bin/sh\necho called >> {self.calls}\n{line}\n")
        self.compiler.chmod(0o755)

    def answers(self, seconds: float = 60.0) -> bool:
        library = load_library(self.source, FLAGS, seconds)
        return library is not None and library.answer() == 42

    def times_compiled(self) -> int:
        return len(self.calls.read_text().splitlines())

    def library(self) -> Path:
        (path,) = self.cache_folder.glob("*.so")
        return path


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    desk_ = Desk(tmp_path)
    monkeypatch.setenv("PATH", f"{desk_.compiler.parent}{os.pathsep}{os.environ['PATH']}")
    return desk_


def test_a_library_is_built_once_and_loaded_from_then_on(desk: Desk) -> None:
    assert desk.answers()
    assert desk.answers()
    assert desk.times_compiled() == 1
    assert [path.suffix for path in desk.cache_folder.iterdir()] == [".so"]
    assert desk.cache_folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("damage", ["truncated", "empty", "changed", "linked"])
def test_a_damaged_library_is_built_again(desk: Desk, damage: str) -> None:
    assert desk.answers()
    path = desk.library()
    content = path.read_bytes()
    path.unlink()
    if damage == "linked":
        elsewhere = path.with_suffix(".elsewhere")
        elsewhere.write_bytes(content)
        path.symlink_to(elsewhere)
    else:
        damaged = {"truncated": content[:4096], "empty": b"", "changed": content[:-1] + bytes([content[-1] ^ 1])}
        path.write_bytes(damaged[damage])
    assert desk.answers()
    assert desk.times_compiled() == 2
    assert desk.library().read_bytes() == content


def test_a_library_that_others_may_write_is_not_loaded(desk: Desk) -> None:
    assert desk.answers()
    desk.library().chmod(0o770)
    assert desk.answers()
    assert desk.times_compiled() == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_library_of_somebody_else_is_not_loaded(desk: Desk) -> None:
    assert desk.answers()
    os.chown(desk.library(), 65534, 65534)
    assert desk.answers()
    assert desk.times_compiled() == 2
    assert desk.library().stat().st_uid == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders away")
def test_nothing_is_kept_in_a_folder_of_somebody_else(desk: Desk) -> None:
    desk.cache_folder.mkdir(parents=True)
    os.chown(desk.cache_folder, 65534, 65534)
    assert desk.answers()
    assert desk.answers()
    assert desk.times_compiled() == 2
    assert not list(desk.cache_folder.iterdir())


def test_nothing_is_kept_where_no_folder_can_be_made(desk: Desk) -> None:
    (desk.cache_folder.parent.parent).write_text("a file, not a folder")
    assert desk.answers()


def test_a_compiler_that_does_not_end_is_stopped_and_left_alone_until_it_changes(desk: Desk) -> None:
    desk.compile_with("sleep 600 & wait")
    assert not desk.answers(seconds=0.5)
    called = desk.times_compiled()
    assert not desk.answers(seconds=5)
    assert desk.times_compiled() == called
    desk.compile_with(f'exec {COMPILER} "$@"  # mended')
    assert desk.answers()
    assert desk.times_compiled() == called + 1
