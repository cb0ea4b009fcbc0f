"""What is worth telling about a table that is valid: where it may not mean what its owner thinks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from prunescope.errors import clipped, listed
from prunescope.table.findings import Array
from prunescope.table.groups import configuration_codes, group_codes, unpruned
from prunescope.table.schema import BY_NAME

REPETITIONS = ("seed", "run", "trial", "repeat", "repetition")


def notes_on(columns: Mapping[str, Array], given: Mapping[str, Array]) -> Iterator[str]:
    """Tell what a user may want to know.

    Parameters
    ----------
    columns
        The valid table.
    given
        What its source had: without the columns that were filled in.
    """
    if "replicate" not in given:
        repeated = int(np.count_nonzero(columns["replicate"]))
        if repeated:
            yield (
                f"no column `replicate`: {repeated:,} rows that repeat a configuration and density were taken as "
                "further replicates, in the order of the file"
            )
        for name in columns:
            if name.lower() in REPETITIONS:
                yield f"column {name!r} looks like repetitions: rename it to `replicate` to have them taken as such"
    missing = int(np.count_nonzero(np.isnan(columns["unpruned_error"])))
    if missing:
        yield (
            f"{missing:,} rows have no unpruned network to compare with: no row at density 1 shares their configuration"
        )
    yield from _mixtures(columns, given)
    error, density = columns["test_error"], columns["density"]
    dense, sparse = error[density == density.max()].mean(), error[density == density.min()].mean()
    if dense > 0.5 and sparse < dense - 0.1:
        yield (
            f"errors fall as networks get sparser, from {dense:.2g} to {sparse:.2g}: if they are accuracies, "
            "write 1 - accuracy"
        )


def _mixtures(columns: Mapping[str, Array], given: Mapping[str, Array]) -> Iterator[str]:
    """Tell where an unpruned error is a mean over networks that a column of one's own tells apart."""
    dense = unpruned(columns) & np.isnan(given.get("unpruned_error", np.full(len(columns["density"]), np.nan)))
    if not dense.any():
        return
    rows = {name: values[dense] for name, values in columns.items()}
    configurations = configuration_codes(rows)
    for name in columns:
        values = rows[name]
        measured = values.dtype.kind == "f" and len(np.unique(values)) == len(values)  # as another error would be
        if name in BY_NAME or name.lower() in REPETITIONS or measured:
            continue
        both = group_codes({"configuration": configurations, name: rows[name]}, ("configuration", name))
        if both.max() > configurations.max():
            told = listed(map(clipped, dict.fromkeys(values.tolist())), 3)
            yield (
                f"unpruned errors are means over networks with different {name!r} ({told}): if these are different "
                "networks, rename the column to `family` or `dataset`, or give `unpruned_error` yourself"
            )
