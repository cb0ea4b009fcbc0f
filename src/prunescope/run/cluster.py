"""A Dask cluster to train on: the address of its scheduler, the file that a scheduler wrote, or a file to start one by.

    tcp://host:8786, tls://host:8786     a scheduler that runs
    scheduler.json                       the file that `dask scheduler --scheduler-file` wrote
    cluster.toml                         what to start (`cluster_file`)

Dask is loaded when a cluster is connected to.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from prunescope.errors import Fault, InputError, MissingPackageError, PrunescopeError, clipped
from prunescope.run.certificates import make_certificates, security_named, security_of
from prunescope.run.cluster_file import QUEUES, ClusterKeys, job_script, read_cluster_file, start_cluster

if TYPE_CHECKING:
    from distributed import Client, Security

CONNECTING = 30.0  # seconds
_ADDRESS = re.compile(r"((tcp|tls)://)?[^/:\s]+:[0-9]{1,5}")


class Cluster:
    """A Dask cluster, started or connected to when a run first needs it. Close it, or use it in a ``with`` block.

    Parameters
    ----------
    source
        An address, a scheduler file, or a TOML file that says what to start.
    certificates
        Folder of `prunescope cluster certificates`; None: as the file says, or without encryption.
    upload
        Modules that every worker gets.
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        *,
        certificates: str | os.PathLike[str] | None = None,
        upload: Sequence[str | os.PathLike[str]] = (),
    ) -> None:
        self.source = os.fspath(source)
        self.upload = tuple(Path(path) for path in upload)
        self._certificates = None if certificates is None else Path(certificates)
        self._keys: ClusterKeys | None = None
        self._started: Any = None
        missing = [path for path in self.upload if not path.is_file()]
        if missing:
            raise InputError("--upload", [Fault(str(path), "must be a file", "none") for path in missing])
        if self.source.endswith(".toml"):
            self._keys = read_cluster_file(_file(self.source))
            self._check_folder(self._keys)
        elif not _ADDRESS.fullmatch(self.source):
            address = _address_in(_file(self.source))
            self._check_encryption(address)
        else:
            self._check_encryption(self.source)

    def _check_folder(self, keys: ClusterKeys) -> None:
        """Refuse what job scripts do not understand."""
        paths = [self.folder, *([self._certificates.absolute()] if self._certificates else [])]
        broken = [path for path in paths if keys.kind in QUEUES and re.search(r"\s", str(path))]
        if broken:
            must = "must have no space in its path, since job scripts name it"
            raise InputError(self.source, [Fault("a folder", must, str(path)) for path in broken])

    def _check_encryption(self, address: str) -> None:
        encrypted = address.startswith("tls://")
        if encrypted and self._certificates is None:
            raise InputError(self.source, [Fault("--certificates", "must be given for a tls:// address")])
        if self._certificates is not None and not encrypted:
            fault = Fault("the address", "must begin with tls:// where --certificates are given", address)
            raise InputError(self.source, [fault])

    @property
    def capacity(self) -> int | None:
        """How many workers may come; None where somebody else starts them."""
        return self._keys.workers if self._keys else None

    @property
    def name(self) -> str:
        """What its jobs are called."""
        return f"prunescope-{Path(self.source).stem}"

    @property
    def folder(self) -> Path:
        """The folder for what jobs print, and for certificates: beside the file, where all machines should see it."""
        return Path(self.source).absolute().with_suffix(".cluster")

    def job_script(self) -> str:
        """Return what is submitted to start workers."""
        if self._keys is None:
            raise InputError(
                self.source, [Fault("the cluster", "must be a TOML file: workers of others have no script")]
            )
        _need_distributed()
        certificates = self._certificates or self.folder / "certificates"
        security = security_named(certificates) if self._encrypts else None
        return job_script(self._keys, self.name, self.folder, security)

    @property
    def _encrypts(self) -> bool:
        """Whether what is started here lets in only who has the key."""
        return self._keys is not None and self._keys.tls and self._keys.kind != "kubernetes"

    def connect(self, timeout: float = CONNECTING) -> Client:
        """Return a new connection to the scheduler, which is started if it is to be.

        Raises
        ------
        PrunescopeError
            Where none can be had within the time.
        """
        _need_distributed()
        from distributed import Client

        try:
            if self._keys is not None:
                if self._started is None:
                    self._started = start_cluster(self._keys, self.name, self.folder, self._security())
                return Client(self._started, timeout=timeout, set_as_default=False)
            known = _ADDRESS.fullmatch(self.source)
            where = {"address": self.source} if known else {"scheduler_file": self.source}
            return Client(**where, timeout=timeout, set_as_default=False, security=self._security())
        except (OSError, ValueError, RuntimeError) as trouble:
            reason = str(trouble).strip().split("\n")[0]
            raise PrunescopeError(f"no connection to the cluster {self.source}: {reason}") from None

    def _security(self) -> Security | None:
        """Return how the parts know each other; a cluster that is started gets certificates of its own."""
        if self._certificates is not None:
            return security_of(self._certificates)
        if not self._encrypts:
            return None
        folder = self.folder / "certificates"
        if not folder.exists():
            make_certificates(folder)
        return security_of(folder)

    def close(self) -> None:
        """End what was started."""
        started, self._started = self._started, None
        if started is not None:
            started.close(timeout=10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _need_distributed() -> None:
    if find_spec("distributed") is None:
        raise MissingPackageError("--cluster needs Dask: pip install 'prunescope[cluster]'")


def _file(source: str) -> Path:
    path = Path(source)
    if not path.is_file():
        must = "must be an address such as tcp://host:8786, a scheduler file or a TOML file"
        raise InputError("--cluster", [Fault(clipped(source), must)])
    return path


def _address_in(path: Path) -> str:
    """Return the address of the scheduler that wrote a file."""
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["address"])
    except (ValueError, KeyError, TypeError):
        raise InputError(str(path), [Fault("the file", "must be what a Dask scheduler wrote")]) from None
