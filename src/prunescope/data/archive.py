"""Reads files out of a .tar.gz archive in memory.

Nothing is unpacked to the disk, so no name in an archive can lead anywhere.
"""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path

from prunescope.data.gather import refusal


def members(path: Path, wanted: Collection[str], most: int) -> Iterator[tuple[str, bytes]]:
    """Give name and content of the files called ``folder/file`` in ``wanted``, each of at most ``most`` bytes.

    The archive is read once from beginning to end, so that its checksum is compared too; what is not wanted is passed
    over.
    """
    try:
        with gzip.open(path) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                name = member.name.removeprefix("./")
                if name not in wanted:
                    continue
                if not member.isreg() or member.size > most:
                    found = f"{member.size:,} bytes" if member.isreg() else "none"
                    raise refusal(path.name, f"must hold {name} as a file of at most {most:,} bytes", found)
                content = archive.extractfile(member)
                yield name, content.read() if content else b""
            while stream.read(1 << 20):
                pass
    except (tarfile.TarError, zlib.error, EOFError, OSError) as trouble:
        raise refusal(path.name, "must be a whole .tar.gz archive", str(trouble), "Fetch it again.") from None
