"""Memory that a process of training keeps to itself between steps.

glibc gives large blocks back to the system as soon as they are free and asks for them again, zeroed page by page, a
moment later. Steps of convolutional networks free and take the same blocks over and over; keeping them saves
that.
"""

from __future__ import annotations

import ctypes
import sys

_MMAP_MAX, _TRIM_THRESHOLD = -4, -1


def hold_memory() -> bool:
    """Keep freed memory for the life of this process; say whether the system's C library can."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, 2**31 - 1))
