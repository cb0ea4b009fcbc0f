"""Measurements that come with the package, by name: ours, each with the study that made it, and published ones.

A name is taken wherever a table is, as long as no file or folder of that name is there.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

from prunescope.errors import Fault, InputError, clipped, listed, nearest


@dataclass(frozen=True)
class Published:
    """A table that comes with the package.

    Attributes
    ----------
    title
        What it holds, in a line.
    source
        Who measured it, on what, when; or where it was published.
    studies
        Files of the studies that made it, in the package's folder of measurements.
    lens_tables
        Files there of what the lens saw in single examples, which rows do not hold.
    """

    name: str
    title: str
    source: str
    studies: tuple[str, ...] = ()
    lens_tables: tuple[str, ...] = ()


def published_tables() -> dict[str, Published]:
    """Return the tables that come with the package, by name."""
    catalogue = tomllib.loads((_folder() / "catalogue.toml").read_text(encoding="utf-8"))
    return {
        name: Published(
            name, entry["title"], entry["source"], *(tuple(entry.get(key, ())) for key in ("studies", "lens_tables"))
        )
        for name, entry in catalogue.items()
    }


def published_file(name: str) -> Traversable | None:
    """Return the file of a table that comes with the package; None where there is none of that name."""
    return _folder() / f"{name}.parquet" if name in published_tables() else None


def published_text(name: str) -> str:
    """Return the text of a file beside the tables: a study."""
    return (_folder() / name).read_text(encoding="utf-8")


def refuse_unpublished(name: str) -> InputError:
    """Return the error for a name that no table has."""
    tables = published_tables()
    hint = nearest(name, tables) or f"There are {listed(tables)}."
    return InputError(
        clipped(name, 300)[1:-1], [Fault("the table", "must be one that comes with prunescope", hint=hint)]
    )


def _folder() -> Traversable:
    return resources.files("prunescope.table") / "measurements"
