"""Dask clusters for tests: workers of this machine, as `prunescope run --cluster FILE.toml` starts them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from prunescope.run.cluster import Cluster

LOCAL = '[cluster]\nkind = "local"\nworkers = {workers}\n'


@dataclass(frozen=True)
class Running:
    """A cluster that runs, by its address."""

    address: str
    certificates: Path

    def connected(self, *upload: Path) -> Cluster:
        """Return it as a run takes it."""
        return Cluster(self.address, certificates=self.certificates, upload=upload)

    def pids(self) -> dict[str, int]:
        """Return the processes of its workers by their addresses."""
        client = self.connected().connect()
        try:
            return dict(client.run(os.getpid))
        finally:
            client.close()

    def signal(self, by: signal.Signals) -> list[int]:
        """Signal every worker, and return their processes."""
        pids = list(self.pids().values())
        for pid in pids:
            os.kill(pid, by)
        return pids


@contextmanager
def running(folder: Path, workers: int = 2) -> Iterator[Running]:
    """Start a cluster."""
    path = folder / "local.toml"
    path.write_text(LOCAL.format(workers=workers))
    with Cluster(path) as cluster:
        client = cluster.connect()
        address = client.scheduler.address
        client.wait_for_workers(workers)
        client.close()
        yield Running(address, cluster.folder / "certificates")
