"""Random numbers that depend on words alone, so that a draw can be repeated on any machine and in any order.

Nothing here knows what is drawn. There is no global state and no seed that is not an argument.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray


def generator(*words: object) -> np.random.Generator:
    """Return a generator whose numbers follow from the words: integers and texts, such as seed, replicate, purpose.

    The words are joined with their kinds and lengths, so 1 is not "1" and ("ab", "c") not ("a", "bc"); the SHA-256 of
    that seeds PCG64. Numpy keeps the raw stream of PCG64 for good, but may change how `permutation` or `normal` use it:
    draws that have to outlive a version of numpy take :func:`keys`.
    """
    return np.random.Generator(np.random.PCG64(int.from_bytes(hashlib.sha256(_joined(words)).digest())))


def keys(count: int, *words: object) -> NDArray[np.uint64]:
    """Return ``count`` numbers of 64 random bits that follow from the words, in every version of numpy."""
    return generator(*words).bit_generator.random_raw(count)


def _joined(words: tuple[object, ...]) -> bytes:
    parts = []
    for word in words:
        if isinstance(word, bool) or not isinstance(word, int | np.integer | str):
            raise TypeError(f"words of a generator are integers and texts; got {word!r}")
        text = str(word).encode()
        parts.append(b"%s%d:%s" % (b"s" if isinstance(word, str) else b"i", len(text), text))
    return b"".join(parts)
