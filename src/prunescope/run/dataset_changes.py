"""Says which of a study's own datasets are not what they were when the rows of a store were made."""

from __future__ import annotations

from collections.abc import Iterable

from prunescope.data import OwnData
from prunescope.data.own import changes
from prunescope.errors import clipped, listed
from prunescope.study import Study
from prunescope.table import Store
from prunescope.table.notes import noted_marks


def changed_datasets(store: Store, study: Study, read: Iterable[OwnData]) -> list[str]:
    """Return a sentence for each dataset that has changed, with the files or arrays that differ."""
    stored = [dataset for version in store.studies() if version.name == study.name for dataset in version.datasets]
    words = []
    for current in read:
        name, now = current.section.name, current.section.hash
        earlier = [other for other in stored if other.name == name]
        if not earlier or any(other.hash == now for other in earlier):
            continue
        differing = [changes(marks, current.marks) for other in earlier for marks in noted_marks(store, other)]
        nearest = min((changed for changed in differing if changed), key=len, default=[])
        same = "its files are the same and are decoded differently" if differing else "its arrays have changed"
        words.append(
            f"dataset {clipped(name)} is not what it was when rows of this store were made: "
            f"{listed(nearest, 6) or same}. It counts as another dataset, {current.section.label}; the former rows stay"
        )
    return words
