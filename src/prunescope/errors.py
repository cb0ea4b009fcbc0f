"""What can go wrong, in words that a user can act on.

Every error that prunescope raises on purpose is a :class:`PrunescopeError`. Bad input is an :class:`InputError`: it
gathers all faults of one source, so that a user repairs a file once and not fault by fault. Nothing here prints.
"""

from __future__ import annotations

import difflib
import errno
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from traceback import extract_tb
from typing import Any

MOST_SHOWN = 50

# As torch says it on a processor and on a GPU, and DuckDB of its own limit.
_NO_MEMORY = ("defaultcpuallocator", "not enough memory", "out of memory")
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Fault:
    """One thing wrong in somebody's input.

    Attributes
    ----------
    place
        Where it stands: ``recipe.epochs (line 12)``, ``column 'density', line 7``.
    must
        What has to hold there, as a sentence without its subject: ``must be in (0, 1]``.
    found
        What stands there now; empty where nothing does.
    hint
        What would mend it, such as the nearest valid name; empty where nothing is known.
    """

    place: str
    must: str
    found: str = ""
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.place}: {self.must}"
        if self.found:
            text += f"; found {self.found}"
        if self.hint:
            text += f". {self.hint}"
        return text


class PrunescopeError(Exception):
    """Anything prunescope raises on purpose; its text is written for the user."""

    exit_code = 1


class InputError(PrunescopeError):
    """A study, table, store or option that cannot be used as it is, with all its faults."""

    exit_code = 2

    def __init__(self, source: str, faults: Sequence[Fault]) -> None:
        self.source = source
        self.faults = tuple(faults)
        super().__init__(self._words())

    def _words(self) -> str:
        count = len(self.faults)
        lines = [f"{self.source}: {counted(count, 'fault')}"]
        lines += [f"  {fault}" for fault in self.faults[:MOST_SHOWN]]
        if count > MOST_SHOWN:
            lines.append(f"  ... and {count - MOST_SHOWN} more")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[type[InputError], tuple[str, tuple[Fault, ...]]]:
        return type(self), (self.source, self.faults)


class ConflictError(PrunescopeError):
    """Files hold different arrays for one rung."""


class DamageError(PrunescopeError):
    """A file of a store is not what was written: truncated, altered, or not ours."""


class UnwritableError(PrunescopeError):
    """A folder cannot be written to: no space, no permission, a file system mounted for reading alone."""


class MissingPackageError(PrunescopeError):
    """An optional package is needed for what was asked."""

    exit_code = 2


def nearest(word: str, names: Iterable[str], cutoff: float = 0.6) -> str:
    """Return "Did you mean 'x'?" for the name closest to ``word``, or "" where none is close."""
    by_lowered = {name.lower(): name for name in names}
    lowered = word.lower()
    close = difflib.get_close_matches(lowered, by_lowered, n=1, cutoff=max(cutoff, 0.8))
    # A word that is part of a name is closer to it than one that shares some letters: resnet, cifar-resnet.
    close = close or [name for name in by_lowered if len(lowered) > 3 and lowered in name]
    close = close or difflib.get_close_matches(lowered, by_lowered, n=1, cutoff=cutoff)
    return f"Did you mean {by_lowered[close[0]]!r}?" if close else ""


def whole_percent(share: float) -> str:
    """Write a share in percent, without decimals: ``90 %``."""
    return f"{100 * share:.0f} %"


def counted(count: int, word: str, several: str = "") -> str:
    """Write ``1 rung`` and ``3 rungs``; words that take no plain s name their plural."""
    return f"{count:,} {word if count == 1 else several or f'{word}s'}"


def listed(items: Iterable[object], most: int = 8) -> str:
    """Write ``a, b, c and 4 more``."""
    words = [str(item) for item in items]
    if len(words) > most + 1:
        return f"{', '.join(words[:most])} and {len(words) - most} more"
    return ", ".join(words)


class Key(dict[str, Any]):
    """Values by name that belong to one of several, and which of these names tell it from the others."""

    def __init__(self, values: Mapping[str, Any], telling: Iterable[str] = ()) -> None:
        super().__init__(values)
        self.telling = frozenset(telling)


def apart(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what tells a `Key` from others; nothing of what is no key, or the only one."""
    telling = values.telling if isinstance(values, Key) else frozenset()
    return {name: value for name, value in values.items() if name in telling}


def named(values: Mapping[str, object]) -> str:
    """Write ``depth 20, width 1``: all that has a value; of a `Key` what tells it from others, if anything does."""
    present = {name: value for name, value in values.items() if value is not None}
    differing = {name: value for name, value in apart(values).items() if value is not None} or present or values
    return ", ".join(
        f"{name} {f'{value:.12g}' if isinstance(value, float) else value}" for name, value in differing.items()
    )


MEMORY_HINT = "Memory ran out: take fewer --workers, smaller networks or batches, or close other programs"


def said(trouble: BaseException) -> str:
    """Write what a user's own code raised, and where: ``ValueError: too deep (mine.py, line 12)``."""
    package = str(Path(__file__).parent)
    frames = [
        frame
        for frame in extract_tb(trouble.__traceback__)
        if not frame.filename.startswith((package, "<")) and "site-packages" not in frame.filename
    ]
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    words = str(trouble).strip().split("\n")[0]
    hint = f". {MEMORY_HINT}" if is_out_of_memory(trouble) else ""
    return f"{type(trouble).__name__}{': ' if words else ''}{words}{place}{hint}"


def is_out_of_memory(trouble: BaseException) -> bool:
    """Whether something failed for want of memory, whatever its type."""
    if isinstance(trouble, OSError):
        return trouble.errno == errno.ENOMEM
    text = str(trouble).lower()
    torch_or_duckdb = not isinstance(trouble, PrunescopeError) and any(words in text for words in _NO_MEMORY)
    return isinstance(trouble, MemoryError) or torch_or_duckdb


def unwritable(folder: Path, trouble: Exception) -> UnwritableError:
    """Return what to tell of a folder that could not be written to, with what would help."""
    number = trouble.errno if isinstance(trouble, OSError) else None
    words = (trouble.strerror if isinstance(trouble, OSError) else None) or str(trouble).strip().split("\n")[0]
    full = number in _NO_SPACE or "space left" in words or "File too large" in words
    advice = "Make room there" if full else "Make it writable"
    return UnwritableError(
        f"{folder} cannot be written to: {words}. {advice}, then give the same command again: what was written is safe"
    )


def shell_word(word: object) -> str:
    """Write a word of a command as a shell reads it; a path that begins with a dash is no option."""
    text = str(word)
    if isinstance(word, Path) and text.startswith("-") and text != "-":
        text = f"./{text}"
    if not text.isprintable():
        return f"$'{''.join(map(_shell_letter, text))}'"
    if "'" in text and not set(text) & set('"$`\\!'):
        return f'"{text}"'
    return shlex.quote(text)


def _shell_letter(letter: str) -> str:
    if letter.isprintable():
        return f"\\{letter}" if letter in "'\\" else letter
    return "".join(f"\\x{byte:02x}" for byte in letter.encode("utf-8", "surrogateescape"))


def command(*words: object) -> str:
    """Write a command of prunescope to be typed into a shell as it stands."""
    return " ".join(["prunescope", *map(shell_word, words)])


def printable(text: str) -> str:
    """Keep a stranger's text from steering the terminal, on one line: faults told within another message are joined."""
    heading, *faults = re.split(r"\n  (?=\S)", text)
    line = f"{heading}: {'; '.join(faults)}" if faults else heading
    return "".join(letter if letter.isprintable() else " " if letter.isspace() else "\ufffd" for letter in line)


def clipped(value: object, most: int = 60) -> str:
    """Write a value found in somebody's file, quoted and never longer than a line should be."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        return "something too large to show"
    return text if len(text) <= most else f"{text[: most - 3]}..."
