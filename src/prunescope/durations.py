"""Times as people write them: 4h, 3h30m, 45 (seconds)."""

from __future__ import annotations

import re

_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1, "": 1}


def seconds_of(text: str) -> float | None:
    """Return the seconds of a time such as 3h30m; None for what is no time, or none at all."""
    parts = re.findall(r"([0-9]+(?:\.[0-9]+)?)([dhms]?)", text)
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    return seconds if "".join(map("".join, parts)) == text and seconds else None
