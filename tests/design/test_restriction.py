"""Of very many cells a plan weighs those that may be the answer, and says so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from prunescope.design.inputs import cells_to_weigh, design_inputs, question_of
from prunescope.design.recommendation import _members, next_ladders
from prunescope.table import read_table
from tests.choose.test_choice import MEMBERS, planted, truly
from tests.commands import run


@pytest.mark.parametrize("bound", [0.13, 0.17, 0.25])
def test_the_smallest_member_is_among_the_cells_that_are_weighed(bound: float) -> None:
    inputs = design_inputs(read_table(planted(noise=0.01)), None, None, None, None, None)
    question = question_of(inputs, _members(inputs.place, None), bound)
    weighed = cells_to_weigh(inputs, question, 8, None)
    assert len(weighed) == 8
    assert weighed.tolist() == sorted(set(weighed.tolist()))
    pairs = set(zip(inputs.place.depth[weighed].tolist(), inputs.place.width[weighed].tolist(), strict=True))
    assert truly(bound)[0] in pairs


def test_cells_that_are_few_are_all_weighed() -> None:
    inputs = design_inputs(read_table(planted()), None, None, None, None, None)
    question = question_of(inputs, _members(inputs.place, None), 0.17)
    assert cells_to_weigh(inputs, question, len(MEMBERS), None).tolist() == list(range(len(MEMBERS)))


def test_some_cells_have_the_measurements_that_they_have_among_all() -> None:
    inputs = design_inputs(read_table(planted(replicates=2)), None, None, None, None, None)
    cells = np.array([1, 4, 7])
    some = inputs.pick(cells)
    assert some.counts == tuple(inputs.counts[cell] for cell in cells)
    assert [some.tops[number] for number in range(3)] == [inputs.tops[cell] for cell in cells.tolist()]
    for number, cell in enumerate(cells.tolist()):
        ours, theirs = some.rows.cell == number, inputs.rows.cell == cell
        assert ours.any()
        assert some.rows.log_error[ours].tolist() == inputs.rows.log_error[theirs].tolist()


def test_a_plan_on_some_cells_says_so_and_picks_what_all_of_them_pick(tmp_path: Path) -> None:
    rows = read_table(planted(noise=0.01))
    whole, some = (next_ladders(rows, 0.17, cells=cells) for cells in (len(MEMBERS), 10))
    assert whole.pick
    assert some.pick
    assert some.pick.member == whole.pick.member
    assert not whole.notes
    assert "notes" not in whole.to_dict()
    assert some.notes[0].startswith("10 of 12 cells are weighed")
    assert some.whole == whole.whole
    rows.write(tmp_path / "rows.csv")
    result = run("next", tmp_path / "rows.csv", "--max-error", "0.17", "--cells", "10")
    assert "10 of 12 cells are weighed" in result.stderr
    plain = json.loads(run("next", tmp_path / "rows.csv", "--max-error", "0.17", "--cells", "10", "--json").stdout)
    assert plain["notes"] == list(some.notes)
