"""Writers and packers killed at any moment: what was reported as written is there once, whole, and nothing else is."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

import pytest

from prunescope.table import Store, Table
from tests.builders import expected_error, ladder_identity
from tests.commands import processes
from tests.table import victims
from tests.table.victims import LADDER

LONG = pytest.mark.long


@pytest.fixture(scope="module", name="processes")
def _processes() -> ForkServerContext:
    """Processes that start in milliseconds."""
    with running(processes(), os.getpid) as first:
        first.join()
    return processes()


@contextmanager
def running(context: ForkServerContext, target: Any, *arguments: object) -> Iterator[ForkServerProcess]:
    process = context.Process(target=target, args=arguments)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def kill(process: ForkServerProcess) -> None:
    assert process.pid is not None
    if process.is_alive():
        os.kill(process.pid, signal.SIGKILL)
    process.join()


def reported(report: Path) -> list[int]:
    """Return the rungs reported, leaving out a line that a kill cut short."""
    text = report.read_text() if report.exists() else ""
    return [int(line) for line in text.split("\n")[:-1]]


def positions(table: Table) -> list[int]:
    """Return which rungs a table holds, checking that each is what the writer wrote."""
    ladders = {ladder_identity(number): number for number in range(2_000)}
    present = []
    for ladder, number, error in zip(table["ladder"], table["rung"], table["error"], strict=True):
        assert error == expected_error(ladders[ladder], int(number))
        present.append(ladders[ladder] * LADDER + int(number))
    return present


@pytest.mark.parametrize("kills", [40, pytest.param(200, marks=LONG)])
def test_a_writer_killed_at_random_moments_loses_no_rung_that_it_reported(
    tmp_path: Path, processes: ForkServerContext, kills: int
) -> None:
    store, report, chance = tmp_path / "store", tmp_path / "report", random.Random(1)
    Store(store, create=True)
    whole_time = 0.0
    for attempt in range(kills + 1):
        begun = time.perf_counter()
        with running(processes, victims.write, store, report, attempt * LADDER, LADDER) as process:
            if attempt == 0:
                process.join()
                whole_time = time.perf_counter() - begun
            time.sleep(chance.uniform(0, whole_time) if attempt else 0)
            kill(process)
        if attempt % (kills // 5) == kills // 5 - 1:
            Store(store).pack()
    finished = reported(report)
    present = positions(Store(store).table())
    assert len(finished) > kills, "the kills came too early to show anything"
    assert len(present) == len(set(present))
    assert set(finished) <= set(present)
    # A kill between the disk and the report leaves at most one rung that was not reported: the writer's next.
    started: dict[int, int] = {}
    for position in finished:
        started[position // LADDER] = position % LADDER + 1
    for position in set(present) - set(finished):
        assert position % LADDER == started.get(position // LADDER, 0)


@pytest.mark.parametrize("rungs", [60, pytest.param(250, marks=LONG)])
def test_eight_writers_of_which_two_are_killed(tmp_path: Path, processes: ForkServerContext, rungs: int) -> None:
    store, chance = tmp_path / "store", random.Random(2)
    Store(store, create=True)
    started = [
        processes.Process(target=victims.write, args=(store, tmp_path / f"report{number}", number * 260, rungs))
        for number in range(8)
    ]
    for process in started:
        process.start()
    for process in started[:2]:
        while len(reported(tmp_path / f"report{started.index(process)}")) < chance.randint(10, 40):
            time.sleep(0.01)
        kill(process)
    for process in started[2:]:
        process.join()
        assert process.exitcode == 0
    present = positions(Store(store).table())
    assert len(present) == len(set(present))
    for number in range(8):
        finished = set(reported(tmp_path / f"report{number}"))
        here = {position for position in present if number * 260 <= position < number * 260 + rungs}
        assert finished <= here
        assert len(here) <= len(finished) + 1
        if number >= 2:
            assert len(here) == rungs


@pytest.mark.parametrize("kills", [20, pytest.param(40, marks=LONG)])
def test_a_packer_killed_at_random_moments_changes_no_answer(
    tmp_path: Path, processes: ForkServerContext, kills: int
) -> None:
    whole, chance = tmp_path / "whole", random.Random(3)
    Store(whole, create=True)
    victims.write(whole, tmp_path / "report", 0, 40)
    before = Store(whole).table()
    texts = set()
    whole_time = 0.0
    for attempt in range(kills + 1):
        store, ready = tmp_path / f"store{attempt}", tmp_path / f"ready{attempt}"
        shutil.copytree(whole, store)
        with running(processes, victims.pack_once, store, ready) as process:
            while not ready.exists():
                time.sleep(0.001)
            begun = time.perf_counter()
            if attempt == 0:
                process.join()
                whole_time = time.perf_counter() - begun
            time.sleep(chance.uniform(0, 1.2 * whole_time) if attempt else 0)
            kill(process)
        listing = Store(store).shards.listing()
        texts.add((bool(listing.packed), bool(listing.small)))
        assert Store(store).table() == before
        assert Store(store).pack() in (0, *range(2, 42))
        assert Store(store).table() == before
        shutil.rmtree(store)
    assert (False, True) in texts, "every kill came after the packed shard was there"
    assert (True, False) in texts or (True, True) in texts, "every kill came before the packed shard was there"


@pytest.mark.parametrize("rungs", [100, pytest.param(400, marks=LONG)])
def test_readers_see_every_rung_while_others_write_and_pack(
    tmp_path: Path, processes: ForkServerContext, rungs: int
) -> None:
    store, report = tmp_path / "store", tmp_path / "report"
    Store(store, create=True)
    victims.write(store, report, 0, 20)
    with (
        running(processes, victims.pack_forever, store),
        running(processes, victims.pack_forever, store),
        running(processes, victims.write, store, report, 20, rungs) as writer,
    ):
        looks = 0
        while writer.is_alive() or looks < 5:
            finished = set(reported(report))
            damaged = [
                (ladder, int(number))
                for ladder, number in zip(
                    *Store(store).query("select ladder, rung from rungs").columns.values(), strict=True
                )
            ]
            assert len(damaged) == len(set(damaged))
            expected = {(ladder_identity(position // LADDER), position % LADDER) for position in finished}
            assert expected <= set(damaged)
            looks += 1
    assert sorted(positions(Store(store).table())) == list(range(20 + rungs))
