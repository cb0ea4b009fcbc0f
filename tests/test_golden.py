"""Numbers that no change of the code may change: identities of the presets' ladders, and what the bundled table says.

`tests/golden.json` was written once. A change that moves a number on purpose writes it anew and says why in the
changelog: ``python -m tests.test_golden``.
"""

from __future__ import annotations

import json
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from prunescope import DenseLaw, JointLaw, SingleLaw, next_ladders, read_study, read_table, smallest_network
from prunescope.study import presets

GOLDEN = Path(__file__).with_name("golden.json")
SAMPLE = Path(str(resources.files("prunescope") / "samples" / "family.csv"))


def identities() -> dict[str, str]:
    """Return a hash over the identities of all ladders, for each preset."""
    hashes = {}
    for name in presets():
        ladders = "".join(ladder.identity for ladder in read_study(name).ladders)
        hashes[name] = sha256(ladders.encode()).hexdigest()
    return hashes


def numbers() -> dict[str, Any]:
    """Return what laws, choice and design make of the bundled table."""
    table = read_table(SAMPLE)
    laws: dict[str, Any] = {"joint": JointLaw(), "single": SingleLaw(), "dense": DenseLaw()}
    fits = {name: [fit.to_dict() for fit in law.fit(table).fits_] for name, law in laws.items()}
    told = {
        name: [
            {key: fit[key] for key in ("parameters", "mean_deviation", "std_deviation", "intervals")} for fit in rows
        ]
        for name, rows in fits.items()
    }
    choices = [smallest_network(table, bound).answers[0].to_dict() for bound in (0.12, 0.2)]
    picks = [{key: answer[key] for key in ("choice", "robust", "unpruned")} for answer in choices]
    return {"fits": told, "choices": picks, "next": next_ladders(table, 0.2).to_dict()}


def test_no_ladder_has_another_identity() -> None:
    assert identities() == json.loads(GOLDEN.read_text())["identities"]


def test_no_number_of_the_bundled_table_is_another() -> None:
    _same(json.loads(json.dumps(numbers())), json.loads(GOLDEN.read_text())["numbers"], "")


def _same(value: Any, golden: Any, place: str) -> None:
    """Compare plain values; numbers to what processors may differ in."""
    if isinstance(golden, dict):
        assert isinstance(value, dict), place
        assert golden.keys() <= value.keys(), place
        for key in golden:
            _same(value[key], golden[key], f"{place}.{key}")
    elif isinstance(golden, list):
        assert len(value) == len(golden), place
        for number, (one, other) in enumerate(zip(value, golden, strict=True)):
            _same(one, other, f"{place}[{number}]")
    elif isinstance(golden, float):
        assert value == pytest.approx(golden, rel=1e-4, abs=1e-9), place
    else:
        assert value == golden, place


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps({"identities": identities(), "numbers": numbers()}, indent=1) + "\n")
