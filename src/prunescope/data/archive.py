"""Reads files out of a .tar.gz archive in memory.

Nothing is unpacked to the disk, so no name in an archive can lead anywhere. An archive is a stranger's file: what it
unpacks to, how many entries it has and how large they say that they are is bounded.
"""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path

from prunescope.data.fault_collector import refusal

MOST_ENTRIES = 1_000
# Beside the files wanted: a list of labels, a page to read, headers, padding.
_MARGIN = 16 << 20
_LARGEST = 1 << 30  # bytes that an entry may say it has
# Headers about headers, and files with holes. tarfile follows chains of them, one call within the other, and trusts
# their sizes; the names wanted are short and need none.
_SPECIAL = (*tarfile.GNU_TYPES, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)


def members(path: Path, wanted: Collection[str], most: int) -> Iterator[tuple[str, bytes]]:
    """Give name and content of the files called ``folder/file`` in ``wanted``, each of at most ``most`` bytes.

    The archive is read once from beginning to end, so that its checksum is compared too; what is not wanted is passed
    over.
    """
    room = len(wanted) * most + _MARGIN
    try:
        with gzip.open(path) as unpacked:
            stream = _Bounded(unpacked, path.name, room)
            with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Entry) as archive:  # type: ignore[call-overload]
                for number, member in enumerate(archive):
                    if number >= MOST_ENTRIES:
                        raise refusal(path.name, f"must hold at most {MOST_ENTRIES:,} files", "more")
                    name = member.name.removeprefix("./")
                    if name not in wanted:
                        continue
                    if not member.isreg() or member.size > most:
                        got = f"{member.size:,} bytes" if member.isreg() else "none"
                        raise refusal(path.name, f"must hold {name} as a file of at most {most:,} bytes", got)
                    content = archive.extractfile(member)
                    yield name, content.read() if content else b""
            while stream.read(1 << 20):
                pass
    except (tarfile.TarError, zlib.error, EOFError, OSError) as trouble:
        raise refusal(path.name, "must be a whole .tar.gz archive", str(trouble), "Fetch it again.") from None


class _Bounded:
    """A stream of which no more is read than an archive of these files can hold."""

    def __init__(self, stream: gzip.GzipFile, name: str, room: int) -> None:
        self.stream, self.name, self.room = stream, name, room
        self.left = room

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes; refuse the archive where it goes on and on."""
        content = self.stream.read(size)
        self.left -= len(content)
        if self.left < 0:
            raise refusal(self.name, f"must unpack to at most {self.room:,} bytes", "more")
        return content


class _Entry(tarfile.TarInfo):
    """An entry of an archive; headers about headers are taken for files, which are passed over."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if not 0 <= self.size <= _LARGEST:
            raise tarfile.ReadError(f"an entry of {self.size:,} bytes")
        if self.type in _SPECIAL:
            self.type = tarfile.REGTYPE
        return super()._proc_member(archive)  # type: ignore[misc,no-any-return]
