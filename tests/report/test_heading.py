"""What a report is called."""

from __future__ import annotations

from typing import Any

import numpy as np

from prunescope.report.build import subtitle, title
from prunescope.table import Table, read_table

DENSITY = 0.8 ** np.arange(6)


def rows(**columns: Any) -> Table:
    """Return six rows, each column of one value or six."""
    wide = {
        name: np.resize(np.array(values, dtype=object if isinstance(values, str) else None), 6)
        for name, values in columns.items()
    }
    return read_table({"density": DENSITY, "error": 0.1 / DENSITY, **wide})


def test_networks_and_data_are_written_as_people_write_them() -> None:
    assert title(rows(family="lenet", dataset="mnist"), 1, "x") == "LeNet on MNIST: 6 networks"
    assert title(rows(family="mine", dataset="flowers.npz"), 1, "x") == "mine on flowers.npz: 6 networks"


def test_a_table_of_several_or_unknown_networks_goes_by_its_name() -> None:
    assert title(rows(family=["lenet", "vgg"], dataset="mnist"), 2, "both.csv") == "both.csv: 6 networks of 2 families"
    assert title(rows(), 1, "plain.csv") == "plain.csv: 6 networks"


def test_what_varies_stands_below() -> None:
    table = rows(depth=3, width=[0.1, 0.4], examples=54_000, label_noise=0.0)
    words = "study a, b: depth 3, width 0.1 to 0.4, examples 54,000, density 1 to 0.328"
    assert subtitle(table, ("a", "b"), "x") == words
    assert "width 0.00461 to 0.4" in subtitle(rows(width=[0.00461168601843, 0.4]), (), "x")
    assert "label noise 0 to 0.3" in subtitle(rows(label_noise=[0.0, 0.3]), (), "x")
