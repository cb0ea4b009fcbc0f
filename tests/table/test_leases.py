"""Leases: one owner at any moment, whatever dies, stops, lags or happens at once."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from prunescope.table import leases, owners
from prunescope.table.leases import Leases, create, walk
from prunescope.table.store import Store
from tests.builders import ladder_identity

NAME, OTHER = ladder_identity(0), ladder_identity(1)
EXPIRY = 3600.0  # heartbeats come every three minutes: none during a test


class Clock:
    """A watcher's own clock, which a test turns."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def machines(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[Leases, Clock]]]:
    """Return the leases of one store as three machines see them: of the others they know the heartbeats alone."""
    monkeypatch.setattr(owners, "_kernel", lambda: "")
    clocks = [Clock() for _ in range(3)]
    yield [(Leases(store.path, EXPIRY, clock), clock) for clock in clocks]
    assert not list((store.path / "drafts").iterdir())


def files(store: Store) -> set[str]:
    return {path.name for path in (store.path / "claims").iterdir()}


def fall_silent(watcher: tuple[Leases, Clock], name: str = NAME) -> None:
    """Let a watcher see a heartbeat stand still for longer than the lease."""
    assert name in watcher[0].holders([name])
    watcher[1].now += EXPIRY + 1
    assert name not in watcher[0].holders([name])


def test_a_lease_of_another_machine_expires_by_the_watchers_own_clock(
    store: Store, machines: list[tuple[Leases, Clock]]
) -> None:
    (ours, our_clock), (theirs, clock), _ = machines
    our_clock.now = 1e9  # no clock is compared with another
    with ours.claimed([NAME]) as held:
        with theirs.claimed([NAME]) as free:
            assert not free
        clock.now += EXPIRY
        with theirs.claimed([NAME]) as free:
            assert not free
        (beat,) = (store.path / "claims").glob("*.beat")
        beat.write_bytes(beat.read_bytes().replace(b'"beat": 1', b'"beat": 2'))
        clock.now += 1
        with theirs.claimed([NAME]) as free:  # it has beaten, and is watched anew
            assert not free
        clock.now += EXPIRY + 1
        assert held.held() == {NAME}
        with theirs.claimed([NAME]) as free:
            assert free == frozenset({NAME})
            assert held.held() == frozenset()
            assert free.held() == {NAME}
    assert files(store) == set()


def test_who_falls_silent_first_is_followed_by_one_of_many(store: Store, machines: list[tuple[Leases, Clock]]) -> None:
    with ExitStack() as stack:
        stack.enter_context(machines[0][0].claimed([NAME, OTHER]))
        for watcher in machines[1:]:
            fall_silent(watcher)
        watchers = [leases for leases, _ in machines[1:] for _ in range(8)]
        barrier, winners, lock = threading.Barrier(len(watchers)), [0], threading.Lock()
        ended = threading.Barrier(len(watchers))

        def compete(mine: Leases) -> None:
            barrier.wait()
            with mine.claimed([NAME]) as free:
                with lock:
                    winners[0] += len(free)
                ended.wait()

        threads = [threading.Thread(target=compete, args=(mine,)) for mine in watchers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert winners == [1]


def test_an_owner_that_wakes_up_lets_nothing_go_that_is_anothers(
    store: Store, machines: list[tuple[Leases, Clock]]
) -> None:
    (slow, _), heir, third = machines
    with ExitStack() as ours:
        held = ours.enter_context(slow.claimed([NAME, OTHER]))
        fall_silent(heir)
        with heir[0].claimed([NAME]) as free:
            assert held.held() == {OTHER}
            ours.close()
            assert free.held() == {NAME}
            with third[0].claimed([NAME, OTHER]) as left:
                assert left == frozenset({OTHER})
    assert files(store) == set()


def test_a_watcher_that_comes_late_withdraws(
    store: Store, machines: list[tuple[Leases, Clock]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its look and its try, another has followed the dead, finished, and a third has begun anew."""
    (dead, _), late, (quick, clock) = machines
    with ExitStack() as stack, ExitStack() as begun:
        stack.enter_context(dead.claimed([NAME]))
        fall_silent(late)
        fall_silent((quick, clock))
        tries = 0

        def meanwhile(draft: Path, path: Path) -> bool:
            nonlocal tries
            if path.name.count(".") == 2 and tries == 0:
                tries += 1
                with quick.claimed([NAME]) as free:
                    assert free
                assert begun.enter_context(quick.claimed([NAME]))
            return create(draft, path)

        monkeypatch.setattr(leases, "create", meanwhile)
        with late[0].claimed([NAME]) as free:
            assert tries == 1
            assert not free
        assert len(walk(store.path / "claims", NAME)) == 1
        assert len([name for name in files(store) if name.endswith(".lease")]) == 1


def test_deaths_are_counted_until_something_is_finished(store: Store, machines: list[tuple[Leases, Clock]]) -> None:
    (first, _), second, third = machines
    with ExitStack() as stack:
        stack.enter_context(first.claimed([NAME, OTHER]))
        fall_silent(second)
        held = stack.enter_context(second[0].claimed([NAME]))
        assert [owner.names for owner in held.deaths(NAME)] == [2]
        fall_silent(third)
        assert third[0].deaths(NAME) == 2
        with third[0].claimed([NAME]) as free:
            assert [owner.names for owner in free.deaths(NAME)] == [2, 1]
            free.got_on([NAME])
            assert free.deaths(NAME) == ()
            assert free.held() == {NAME}
            assert held.held() == frozenset()
            assert third[0].deaths(NAME) == 0
            assert files(store) >= {f"{NAME}.lease", f"{OTHER}.lease"}
            assert not [name for name in files(store) if name.count(".") == 2]


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK])
def test_without_hard_links_names_are_taken_all_the_same(
    store: Store, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def without_links(*_: object) -> None:
        raise OSError(number, "no links here")

    monkeypatch.setattr(os, "link", without_links)
    assert store.leases.are_exclusive()
    with store.claim_all([NAME]) as first, Store(store.path).claim_all([NAME, OTHER]) as second:
        assert (first, second) == (frozenset({NAME}), frozenset({OTHER}))
        assert first.held() == {NAME}
    assert files(store) == set()


def test_a_server_that_answers_a_repeated_request_with_there_is_one_does_not_lock_its_client_out(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def asked_twice(draft: Path, path: Path) -> None:
        link(draft, path)
        link(draft, path)

    monkeypatch.setattr(os, "link", asked_twice)
    with store.claim_all([NAME]) as free:
        assert free == frozenset({NAME})
        with Store(store.path).claim_all([NAME]) as again:
            assert not again


def test_a_folder_in_which_two_create_one_file_is_noticed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert store.leases.are_exclusive()
    monkeypatch.setattr(os, "link", lambda draft, path: Path(path).write_bytes(Path(draft).read_bytes()))
    assert not store.leases.are_exclusive()
    assert files(store) == set()


@pytest.mark.parametrize("content", [b"", b"junk", b"\xff", b"[1]", b"{}", b'{"token": "../../x"}', b"[" * 5000])
def test_a_lease_that_nobody_can_read_expires(store: Store, content: bytes) -> None:
    path = store.path / "claims" / f"{NAME}.lease"
    path.write_bytes(content)
    clock = Clock()
    watcher = Leases(store.path, clock=clock)
    with watcher.claimed([NAME]) as free:
        assert not free
    clock.now = 61.0
    with watcher.claimed([NAME]) as free:
        assert free == frozenset({NAME})
    assert files(store) == set()


def test_a_chain_that_leads_back_to_itself_ends(store: Store) -> None:
    owner = owners.this_process(1, 60.0)
    for name in (f"{NAME}.lease", f"{NAME}.{owner.token}.lease"):
        (store.path / "claims" / name).write_bytes(owner.content())
    assert len(walk(store.path / "claims", NAME)) == 2
    assert store.running([NAME]) == {NAME}


def test_a_number_of_a_process_that_is_used_again_is_no_life(store: Store) -> None:
    ours = owners.this_process(1, 60.0)
    for changes, ended in (
        ({}, False),
        ({"started": ours.started + 1}, True),
        ({"pid": 2**22 + 1}, True),  # above the largest number that Linux gives
        ({"pid": 2**22 + 1, "kernel": "another boot"}, False),
    ):
        content = json.loads(ours.content()) | changes
        assert owners.has_ended(owners.parsed(json.dumps(content).encode())) is ended


@pytest.mark.parametrize("expiry", [float("nan"), float("inf"), 1e9, -1.0, "soon", None])
def test_a_lease_of_a_strangers_expires_within_an_hour_whatever_it_says(expiry: object) -> None:
    content = json.loads(owners.this_process(1, 60.0).content()) | {"expiry": expiry}
    assert 0 <= owners.parsed(json.dumps(content).encode()).expiry <= owners.LONGEST_EXPIRY


HOLD = (
    "import sys; from prunescope.table import Store\n"
    "with Store(sys.argv[1], expiry=0.5).claim_all(sys.argv[2:]) as free:\n"
    "    print(len(free), flush=True)\n"
    "    for line in sys.stdin: print(len(free.held()), flush=True)\n"
)


def test_a_process_that_was_stopped_for_long_knows_what_it_has_lost(store: Store) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(store.path), NAME, OTHER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def held() -> int:
            assert process.stdin is not None
            assert process.stdout is not None
            print(file=process.stdin, flush=True)
            return int(process.stdout.readline())

        assert process.stdout.readline() == "2\n"
        assert store.leases.await_free([NAME]) == frozenset()  # it lives
        assert held() == 2
        process.send_signal(signal.SIGSTOP)
        assert store.leases.await_free([NAME]) == {NAME}
        with store.claim_all([NAME]) as free:
            assert free == frozenset({NAME})
            process.send_signal(signal.SIGCONT)
            assert held() == 1
            process.stdin.close()
            process.wait()
            assert free.held() == {NAME}
    assert process.returncode == 0
    assert files(store) == set()


def test_the_heart_beats_while_the_process_computes(store: Store) -> None:
    with Store(store.path, expiry=0.2).claim_all([NAME]):
        (path,) = (store.path / "claims").glob("*.beat")
        beat, total = 0, 0
        while beat < 5:  # for ever, if computing kept it from beating
            total += sum(range(200_000))
            beat = json.loads(path.read_text())["beat"]


def test_waiting_ends_when_the_run_is_to_end(store: Store) -> None:
    with store.claim_all([NAME]):
        assert Store(store.path).leases.await_free([NAME], stop=lambda: True) == frozenset()


def test_what_a_dead_process_left_is_deleted_and_nothing_of_the_living(store: Store) -> None:
    program = HOLD.replace("print(len(free), flush=True)", "import os; os.kill(os.getpid(), 9)")
    with store.claim_all([OTHER]):
        subprocess.run([sys.executable, "-c", program, str(store.path), NAME, OTHER], check=False)
        assert len(files(store)) == 4
        before = files(store)
        Store(store.path).leases.tidy()
        assert {name for name in files(store) if name.endswith(".lease")} == {f"{OTHER}.lease"}
        assert len(files(store)) == 2
        assert files(store) < before
