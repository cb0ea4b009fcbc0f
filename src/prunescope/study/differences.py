"""What differs between two versions of a study, key by key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from prunescope.study.study import Study


@dataclass(frozen=True)
class Difference:
    """One key that two versions of a study give different values; None where a version lacks the key."""

    place: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.place}: {_words(self.before)} -> {_words(self.after)}"


def differences(before: Study, after: Study) -> tuple[Difference, ...]:
    """List every key in which two studies differ, in the order of a study file."""
    return tuple(_walk("", before.to_mapping(), after.to_mapping()))


def _walk(place: str, before: Any, after: Any) -> Iterator[Difference]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys([*before, *after]):
            yield from _walk(f"{place}.{key}" if place else key, before.get(key), after.get(key))
    elif _tables(before) and _tables(after):
        for index in range(max(len(before), len(after))):
            old = before[index] if index < len(before) else None
            new = after[index] if index < len(after) else None
            yield from _walk(f"{place} {index + 1}", old, new)
    elif before != after:
        yield Difference(place, before, after)


def _tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(entry, dict) for entry in value)


def _words(value: object) -> str:
    if value is None:
        return "not there"
    if isinstance(value, dict):
        return ", ".join(f"{key} = {_words(entry)}" for key, entry in value.items())
    if isinstance(value, list) and len(value) == 1:
        return _words(value[0])
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, float) else str(value)
