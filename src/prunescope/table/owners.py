"""Who holds a lease: a process by its host, number and start, and what this machine knows of its life."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

LONGEST_EXPIRY = 3600.0
_TOKEN = re.compile(r"[0-9a-f]{32}")
_ENDED = frozenset("ZXx")  # states of processes, as Linux names them


@dataclass(frozen=True)
class Owner:
    """A process that took some names together.

    Attributes
    ----------
    token
        Drawn anew each time that names are taken: 32 hexadecimal digits.
    host, pid
        For people.
    kernel
        The boot of the machine and the namespace in which `pid` counts; empty where the system tells neither. Two
        containers on one machine number their processes each for itself.
    started
        When the process started, in the kernel's ticks: a number that is used again belongs to another process.
    expiry
        Seconds without a heartbeat after which others may take its names.
    names
        How many it took together.
    """

    token: str
    host: str = ""
    pid: int = 0
    kernel: str = ""
    started: int = 0
    expiry: float = LONGEST_EXPIRY
    names: int = 1

    def content(self, beat: int | None = None) -> bytes:
        """Return what stands in its lease, or in the file of its heartbeat."""
        return json.dumps(asdict(self) | ({} if beat is None else {"beat": beat})).encode()

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}" if self.host else "an unknown process"


def this_process(names: int, expiry: float) -> Owner:
    """Return this process as an owner, with a token of its own."""
    stat = _stat(os.getpid())
    return Owner(
        uuid.uuid4().hex, socket.gethostname(), os.getpid(), _kernel(), int(stat[19]) if stat else 0, expiry, names
    )


def parsed(content: bytes) -> Owner:
    """Return the owner that a lease names.

    A lease that is being written, cut short or a stranger's gets a token by its content, and expires like others.
    """
    try:
        fields = json.loads(content)
        owner = Owner(
            str(fields["token"]),
            str(fields["host"]),
            int(fields["pid"]),
            str(fields["kernel"]),
            int(fields["started"]),
            min(max(float(fields["expiry"]), 0.0), LONGEST_EXPIRY),
            int(fields["names"]),
        )
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return _unknown(content)
    # JSON of a stranger's may hold a number that is none, which no time would ever exceed.
    return owner if _TOKEN.fullmatch(owner.token) and owner.expiry >= 0 else _unknown(content)


def _unknown(content: bytes) -> Owner:
    return Owner(hashlib.sha256(content).hexdigest()[:32], expiry=60.0)


def has_ended(owner: Owner) -> bool:
    """Whether an owner's process is known to have ended; of one on another machine its heartbeat alone tells."""
    if not owner.kernel or owner.kernel != _kernel():
        return False
    stat = _stat(owner.pid)
    return not stat or stat[0] in _ENDED or int(stat[19]) != owner.started


def _stat(pid: int) -> list[str]:
    """Return what Linux says of a process, from its state on; nothing of one that is gone, or elsewhere."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, UnicodeDecodeError):
        return []


def _kernel() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""
