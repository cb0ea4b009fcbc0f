"""Leases: who works on which ladders, on any number of machines. A name is taken by creating a file of that name.

    claims/<name>.lease            whose the name is (`owners`)
    claims/<name>.<token>.lease    whose it is after the owner with this token, who died or fell silent
    claims/<token>.beat            the heartbeat of an owner: its number grows for as long as the owner lives

Creating a file that must not exist yet is what every file system grants to one process alone, and what its server
decides; no listing and no clock of another machine counts. An owner is gone if its process has ended on this machine,
or if the watcher has seen its heartbeat stand still for as long as the owner said, by the watcher's own clock.

A lease is never moved and never taken out from under a living owner. Whoever finds the last owner gone creates the
file of its successor, which again one process alone can do. So the owner of a name is the last of a chain that begins
at ``<name>.lease``. Three moments need care:

- Between seeing that an owner is gone and succeeding it, somebody else may have done so, finished, and let the name go,
  and a third may have begun the chain anew. Tokens are never used twice, so the file just created hangs on no chain;
  the walk from the beginning shows it, and the file is withdrawn.
- An owner that was stopped wakes up. It walks the chain before it publishes (`Claim.held`), finds a successor and drops
  what it has. If it is stopped between that walk and the publishing, two results of one rung may meet: equal ones count
  once, of others the first stays and the second is set aside (`conflicts`).
- A name is let go by deleting the first file before the rest, so that no walk ends at a predecessor.

The chain also tells how often a name's owners died before they got anywhere with it (`Claim.deaths`).
"""

from __future__ import annotations

import errno
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from prunescope.files import open_to_all
from prunescope.table.durable import STALE_SECONDS, new_draft, writing
from prunescope.table.owners import LONGEST_EXPIRY, Owner, has_ended, parsed, this_process

EXPIRY = 60.0  # seconds
_BEATS = 20  # in the time after which a lease expires
_TRIES = 20
_LEASE = re.compile(r"([0-9a-z]+)(\.[0-9a-f]{32})?\.lease")
_WITHOUT_LINKS = (errno.EPERM, errno.EMLINK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)


class Claim(frozenset[str]):
    """The names that were free, and are this process's own now."""

    _holding: _Holding | None

    def __new__(cls, names: Iterable[str], holding: _Holding | None) -> Claim:
        """Make the set."""
        claim = super().__new__(cls, names)
        claim._holding = holding
        return claim

    def held(self, names: Iterable[str] | None = None) -> frozenset[str]:
        """Return which names, of some or all, are still this process's own: after a long stop others may have them."""
        return self._holding.held(self if names is None else names) if self._holding else frozenset()

    def deaths(self, name: str) -> tuple[Owner, ...]:
        """Return the owners that died, one after another, before they got anywhere with a name."""
        return self._holding.deaths(name) if self._holding else ()

    def got_on(self, names: Iterable[str]) -> None:
        """Note that something was finished of some names: deaths before that count no more."""
        if self._holding:
            self._holding.shorten(names)


@dataclass(frozen=True)
class _Link:
    """One file of a chain."""

    path: Path
    owner: Owner


@dataclass
class _Holding:
    """Names that were taken together, with their heartbeat.

    Attributes
    ----------
    chains
        The files of each name, from the first to this owner's.
    """

    store: Path
    owner: Owner
    chains: dict[str, list[_Link]] = field(default_factory=dict)
    _beats: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    @property
    def folder(self) -> Path:
        return self.store / "claims"

    @property
    def is_ours(self) -> bool:
        """Whether this is the process that took the names; a forked child has a copy, and none of its rights."""
        return self.owner.pid == os.getpid()

    def begin(self) -> None:
        """Give the first heartbeat, and go on with it in a thread, which training leaves to run."""
        self.beat()
        self._thread = threading.Thread(target=self._beat_on, name="heartbeat", daemon=True)
        self._thread.start()

    def _beat_on(self) -> None:
        while not self._ended.wait(self.owner.expiry / _BEATS):
            with suppress(Exception):  # a full disk now may have room at the next beat
                self.beat()

    def beat(self) -> None:
        self._beats += 1
        draft = new_draft(self.store, ".beat", self.owner.content(self._beats))
        try:
            with writing(self.store):
                open_to_all(draft)
                draft.replace(self.folder / f"{self.owner.token}.beat")
        finally:
            draft.unlink(missing_ok=True)

    def held(self, names: Iterable[str]) -> frozenset[str]:
        return frozenset(name for name in names if name in self.chains and self.is_ours and self._has(name))

    def _has(self, name: str) -> bool:
        chain = walk(self.folder, name)
        return bool(chain) and chain[-1].owner.token == self.owner.token

    def deaths(self, name: str) -> tuple[Owner, ...]:
        return tuple(link.owner for link in self.chains.get(name, [])[:-1])

    def shorten(self, names: Iterable[str]) -> None:
        """Let chains begin with this owner."""
        for name in names:
            chain = self.chains.get(name, [])
            if len(chain) > 1 and self._has(name):
                draft = new_draft(self.store, ".lease", self.owner.content())
                open_to_all(draft)
                draft.replace(chain[0].path)
                for link in chain[1:]:
                    link.path.unlink(missing_ok=True)
                self.chains[name] = [_Link(chain[0].path, self.owner)]

    def end(self) -> None:
        """Let the names go that are still this owner's, and stop the heartbeat."""
        if not self.is_ours:
            return
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        with suppress(OSError):  # a folder that cannot be reached any more: the lease expires
            for name in self.held(self.chains):
                for link in self.chains[name]:
                    link.path.unlink(missing_ok=True)
            (self.folder / f"{self.owner.token}.beat").unlink(missing_ok=True)


class Leases:
    """The leases of one store, as one process takes and watches them.

    Parameters
    ----------
    expiry
        Seconds without a heartbeat after which others may take what this process holds; an hour at most.
    clock
        This process's own; it never meets another.
    """

    def __init__(self, store: Path, expiry: float = EXPIRY, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._folder = store / "claims"
        self.expiry = min(expiry, LONGEST_EXPIRY)
        self._clock = clock
        self._watched: dict[str, tuple[bytes, float]] = {}  # the last beat of owners, and since when it stands

    @contextmanager
    def claimed(self, names: Iterable[str]) -> Iterator[Claim]:
        """Take names for as long as the block runs; the value has those that were free."""
        wanted = sorted(set(names))
        if not wanted:
            yield Claim((), None)
            return
        holding = _Holding(self._store, this_process(len(wanted), self.expiry))
        try:
            self._take(holding, wanted)
            yield Claim(holding.chains, holding)
        finally:
            holding.end()

    def _take(self, holding: _Holding, wanted: Sequence[str]) -> None:
        with writing(self._store):
            self._folder.mkdir(exist_ok=True)
        holding.begin()
        draft = new_draft(self._store, ".lease", holding.owner.content())
        try:
            with writing(self._store):
                open_to_all(draft)
            for name in wanted:
                chain = self._join(name, holding.owner, draft)
                if chain:
                    holding.chains[name] = chain
        finally:
            draft.unlink(missing_ok=True)

    def _join(self, name: str, owner: Owner, draft: Path) -> list[_Link]:
        """Put an owner at the end of a name's chain, and return the chain; nothing where the name is not free."""
        first = self._folder / f"{name}.lease"
        for _ in range(_TRIES):
            if create(draft, first):
                return [_Link(first, owner)]
            chain = walk(self._folder, name)
            if chain and chain[-1].owner.token == owner.token:
                return chain  # a server that is asked twice makes the file, and then says that it is there
            if chain and not self._is_gone(chain[-1].owner):
                return []
            if chain:
                path = _successor(self._folder, name, chain)
                created = create(draft, path)
                chain = walk(self._folder, name)
                if chain and chain[-1].owner.token == owner.token:
                    return chain
                if created:
                    path.unlink(missing_ok=True)
        return []

    def _is_gone(self, owner: Owner) -> bool:
        """Whether an owner has died or fallen silent, as far as this process has seen."""
        if has_ended(owner):
            return True
        beat, now = self._beat_of(owner), self._clock()
        if self._watched.get(owner.token, (None, 0.0))[0] != beat:
            self._watched[owner.token] = beat, now
            return False
        return now - self._watched[owner.token][1] > owner.expiry

    def _beat_of(self, owner: Owner) -> bytes:
        """Return what stands in the file of a heartbeat; nothing where there is none."""
        return _content(self._folder / f"{owner.token}.beat") or b""

    def holders(self, names: Iterable[str] | None = None) -> dict[str, Owner]:
        """Return who holds names and is not known to be gone; without names, of all that the folder lists."""
        if names is None:
            matches = [_LEASE.fullmatch(entry) for entry in _entries(self._folder)]
            names = {match[1] for match in matches if match and not match[2]}
        holders = {}
        for name in names:
            chain = walk(self._folder, name)
            if chain and not self._is_gone(chain[-1].owner):
                holders[name] = chain[-1].owner
        return holders

    def deaths(self, name: str) -> int:
        """Return how many owners of a name died, one after another, before they got anywhere with it."""
        chain = walk(self._folder, name)
        return len(chain) if chain and self._is_gone(chain[-1].owner) else max(0, len(chain) - 1)

    def await_free(
        self,
        names: Iterable[str],
        stop: Callable[[], bool] = lambda: False,
        sleep: Callable[[float], None] = time.sleep,
    ) -> frozenset[str]:
        """Wait until it is known of each name whether its owner lives, and return those that nobody living holds.

        That takes one heartbeat of the living, and the time to expiry of the others; nothing is returned after a stop.
        """
        wanted, first = frozenset(names), dict[str, bytes]()
        while not stop():
            holders = self.holders(wanted)
            unsure = [owner for owner in holders.values() if not self._has_beaten(owner, first)]
            if not unsure:
                return wanted - holders.keys()
            sleep(min([1.0, *(owner.expiry / (2 * _BEATS) for owner in unsure)]))
        return frozenset()

    def _has_beaten(self, owner: Owner, first: dict[str, bytes]) -> bool:
        beat = self._beat_of(owner)
        return first.setdefault(owner.token, beat) != beat

    def tidy(self, keep: Set[str] = frozenset()) -> None:
        """Delete what owners left behind that are known to be gone.

        Parameters
        ----------
        keep
            Names whose deaths still count.
        """
        entries = _entries(self._folder)
        dead = {match[1] for match in map(_LEASE.fullmatch, entries) if match and not match[2]}
        dead -= self.holders(dead).keys() | keep
        with self.claimed(dead):
            pass  # letting a name go deletes its whole chain
        for entry in entries:
            path = self._folder / entry
            if path.suffix == ".beat" or (path.suffix == ".lease" and entry.count(".") == 2):
                with suppress(OSError):
                    content = _content(path)
                    if content is not None and self._is_left_behind(path, entry, parsed(content)):
                        path.unlink(missing_ok=True)

    def _is_left_behind(self, path: Path, entry: str, owner: Owner) -> bool:
        """Whether nobody needs a heartbeat or a successor's lease any more."""
        if path.suffix == ".lease" and path in [link.path for link in walk(self._folder, entry.partition(".")[0])]:
            return False
        # That of another machine is kept for a day: what is deleted too early its owner writes again, or takes anew.
        return has_ended(owner) or time.time() - path.stat().st_mtime > STALE_SECONDS

    def are_exclusive(self) -> bool:
        """Whether the folder lets one process alone create a file of a name, as leases need it."""
        draft = new_draft(self._store, ".lease", b"")
        path = self._folder / f"{draft.name}.probe"
        try:
            with writing(self._store):
                self._folder.mkdir(exist_ok=True)
            return create(draft, path) and not create(draft, path)
        finally:
            path.unlink(missing_ok=True)
            draft.unlink(missing_ok=True)


def create(draft: Path, path: Path) -> bool:
    """Put a draft's content under a name that must be free; return whether it was."""
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    except OSError as trouble:
        if trouble.errno not in _WITHOUT_LINKS:
            raise
    else:
        return True
    # A file system without hard links, or too many of them. Until its content is there, the owner is unknown.
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
    except FileExistsError:
        return False
    with os.fdopen(handle, "wb") as opened:
        opened.write(draft.read_bytes())
    return True


def walk(folder: Path, name: str) -> list[_Link]:
    """Return the chain of a name, its owner last; nothing where the name is free."""
    chain: list[_Link] = []
    tokens: set[str] = set()
    while (content := _content(_successor(folder, name, chain))) is not None:
        owner = parsed(content)
        chain.append(_Link(_successor(folder, name, chain), owner))
        if owner.token in tokens:  # a stranger's store
            break
        tokens.add(owner.token)
    return chain


def _successor(folder: Path, name: str, chain: Sequence[_Link]) -> Path:
    """Return the file that the next owner of a chain creates."""
    return folder / (f"{name}.{chain[-1].owner.token}.lease" if chain else f"{name}.lease")


def _content(path: Path) -> bytes | None:
    """Return what stands in a small file of a store; None where there is none. No link is followed."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    with os.fdopen(handle, "rb") as opened:
        return opened.read(4096)


def _entries(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except OSError:
        return []
