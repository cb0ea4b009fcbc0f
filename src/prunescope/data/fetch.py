"""Fetches the files of a dataset from its makers, each checked by SHA-256 before it is put in its place."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunescope.data.layouts import VARIABLE
from prunescope.data.sources import SOURCES
from prunescope.errors import MissingPackageError, PrunescopeError, printable

if TYPE_CHECKING:
    from typing_extensions import Buffer


def fetch(dataset: str, folder: Path, looked: Sequence[Path]) -> None:
    """Put the files of a dataset into a folder; what lies there already and is right stays.

    ``looked`` names the folders in which the dataset was not, for the error.
    """
    source = SOURCES[dataset]
    names = ", ".join(source.sums)
    where = " or ".join(map(str, looked))
    try:
        import pooch
    except ImportError:
        raise MissingPackageError(
            f"{dataset} is not in {where}, and fetching it needs pooch: pip install pooch\n"
            f"Or name a folder that holds {names} with --data DIR or {VARIABLE}."
        ) from None

    def downloaded(address: str, target: str, asker: Any) -> None:
        with _Bounded(target, source.megabytes) as file:
            pooch.HTTPDownloader()(address, file, asker)

    reason = ""
    for file, expected in source.sums.items():
        for address in source.addresses:
            try:
                pooch.retrieve(address + file, f"sha256:{expected}", file, folder, downloader=downloaded)
                break
            except (OSError, ValueError) as trouble:  # requests' errors are OSErrors; a wrong sum is a ValueError
                reason = _short(trouble)
        else:
            raise PrunescopeError(
                f"{dataset} is not in {where} and could not be fetched from {' or '.join(source.addresses)}: {reason}\n"
                f"Put {names} ({source.megabytes} MB) into {folder}, "
                f"or name a folder that holds them with --data DIR or {VARIABLE}."
            )


class _Bounded(io.FileIO):
    """A new file that takes no more than a dataset has, so that no server can fill the disk."""

    def __init__(self, path: str, megabytes: int) -> None:
        super().__init__(path, "wb")
        self.megabytes, self.left = megabytes, (megabytes + 1) * 1_000_000

    def write(self, content: Buffer) -> int:
        """Write what came; raise where it is too much."""
        self.left -= memoryview(content).nbytes
        if self.left < 0:
            raise ValueError(f"what came is larger than the {self.megabytes} MB that were published")
        return super().write(content)


def _short(trouble: Exception) -> str:
    """Say in a few words what went wrong; what `requests` says of a failed connection runs over several lines."""
    kind = type(trouble).__name__
    if isinstance(trouble, ValueError) and "hash" in str(trouble):
        return "what came is not the file that was published (its SHA-256 is another)"
    response = getattr(trouble, "response", None)
    if response is not None:
        return f"the server answered {response.status_code}"
    if "Timeout" in kind:
        return "no answer in time"
    if "Connection" in kind:
        return "no connection"
    return printable(str(trouble).splitlines()[0] if str(trouble) else kind)[:200]
