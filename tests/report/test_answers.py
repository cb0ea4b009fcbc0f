"""What a report says is true of its data: no more than they tell, and nothing against another of its words."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prunescope.report import Chapter, report
from prunescope.report.figures.agreement import agreement
from prunescope.report.figures.curves import curves
from prunescope.report.figures.figure import is_identified
from prunescope.report.figures.forms import forms, verdict
from prunescope.report.figures.regions import regions
from prunescope.report.groups import ReportGroup, report_groups
from prunescope.table import Table, read_table
from tests.choose.test_measured import counted
from tests.commands import run
from tests.laws.families import alike

DENSITY = 0.8 ** np.arange(12)
RISES = np.minimum(0.4, 0.08 * (1 + 0.002 * DENSITY**-2.5))


def group(**columns: Any) -> ReportGroup:
    return report_groups(read_table(columns)).all[0]


def chapter(**columns: Any) -> Chapter:
    return report(columns, draws=0).chapters[0]


def said(chapter_of_report: Chapter, title: str) -> str:
    return " ".join(statement.words for statement in chapter_of_report.said if statement.title == title)


def replicated(error: np.ndarray, noise: float, replicates: int = 3) -> dict[str, np.ndarray]:
    """Return replicates that scatter about errors, alike at every density but in another order."""
    order = np.arange(len(error))
    parts = [error * (1 + noise * ((order + replicate) % replicates - 1)) for replicate in range(replicates)]
    return {
        "density": np.tile(DENSITY[: len(error)], replicates),
        "replicate": np.repeat(np.arange(replicates), len(error)),
        "error": np.concatenate(parts),
    }


@pytest.mark.parametrize("densities", [[0.8], [0.8, 0.4, 0.2]], ids=["one density", "three"])
def test_without_unpruned_networks_nothing_is_compared_with_them(densities: list[float]) -> None:
    rows = {"density": densities * 3, "replicate": np.repeat([0, 1, 2], len(densities)).tolist()}
    bare = report({**rows, "error": [0.1 + 0.001 * place for place in range(3 * len(densities))]}, draws=0)
    only = bare.chapters[0]
    assert [statement.title for statement in only.said] == ["No law"]
    assert "Holds no unpruned network to compare with" in only.said[0].words
    caption = next(only.figures).caption
    assert "unpruned" not in caption
    assert "nan" not in caption


def test_what_the_data_do_not_tell_is_no_place_of_the_curve() -> None:
    flat = group(density=DENSITY[:9], error=0.08 + 0.0001 * np.arange(9))
    assert flat.fit is not None
    assert not is_identified(flat.fit, "gamma")
    figure = regions(flat)
    assert figure is not None
    assert (figure.slope, figure.begins, figure.ends) == (None, None, None)
    assert {point.what for point in figure.points} == {"measured", "law"}
    assert {point.region for point in figure.points} == {""}
    assert "do not tell how fast the error rises (\N{GREEK SMALL LETTER GAMMA})" in figure.caption
    assert "to the power of" not in figure.caption


def test_a_dip_is_pruning_s_doing_only_beyond_chance() -> None:
    dips = np.where(np.arange(12) == 2, 0.93, 1.0) * RISES
    by_chance = curves(group(**replicated(dips, 0.1))).caption
    assert "below its unpruned error, at density 0.64: no more than chance" in by_chance
    assert "Pruning helps" not in by_chance
    surely = curves(group(**replicated(dips, 0.005))).caption
    assert "Pruning helps: the best point beyond chance" in surely
    assert "without replicates this may be chance" in curves(group(density=DENSITY, error=dips)).caption


def test_an_error_that_falls_throughout_does_not_rise() -> None:
    caption = curves(group(density=DENSITY, error=0.1 * DENSITY**0.1)).caption
    assert "does not rise above that of the unpruned network" in caption
    assert "rises to" not in caption


def test_a_law_that_misses_its_bar_by_far_does_not_describe_the_network() -> None:
    humps = chapter(density=DENSITY, error=0.1 + 0.08 * (np.arange(12) % 2))
    assert said(humps, "How well the law fits").startswith("The law does not describe this network")
    assert said(chapter(density=DENSITY, error=RISES), "How well the law fits").startswith("The law describes")


def test_three_points_for_three_parameters_keep_no_bar() -> None:
    short = chapter(density=[1, 0.5, 0.25, 0.125], error=[0.08, 0.09, 0.12, 0.2])
    words = said(short, "How well the law fits")
    assert "3 parameters for 3 pruned points" in words
    assert "threshold" not in words
    assert short.short.startswith("The fit of the law cannot be judged")


def test_forms_are_called_by_their_equation_and_judged_by_replicates() -> None:
    figure = forms(group(**replicated(RISES, 0.02)))
    assert figure is not None
    assert figure.names[0] == "this law (Eq. 1)"
    assert "replicates that each fit did not see" in figure.caption


@pytest.mark.parametrize(
    ("sigmas", "words"),
    [
        ((0.202, 0.202), "both follow these data about as well"),
        ((0.0397, 0.0393), "both follow these data about as well"),
        ((0.05, 0.04), "the second follows these data better"),
        ((0.04, 0.05), "the first follows these data better"),
        ((0.0, 0.0), "both follow these data about as well"),
    ],
)
def test_forms_that_are_off_alike_are_said_to_be(sigmas: tuple[float, float], words: str) -> None:
    assert verdict(*sigmas) == words


def test_of_one_network_the_words_have_no_p_prime() -> None:
    steep = chapter(density=DENSITY[:6], error=RISES[:6])
    told_of = " ".join(statement.words for statement in steep.said if statement.title == "About the law")
    assert "do not tell" in told_of
    assert "p_prime" not in told_of


def two_families() -> Table:
    parts = [
        {
            "method": np.full(12, f"it's {name}", object),
            "density": DENSITY,
            "error": RISES * scale,
            "epochs": np.full(12, 30),
        }
        for name, scale in (("plain", 1.0), ("fancy", 1.4))
    ]
    return read_table({name: np.concatenate([columns[name] for columns in parts]) for name in parts[0]})


def test_what_to_measure_next_is_a_command_for_the_chapter_s_own_rows(tmp_path: Path) -> None:
    path = tmp_path / "two families.csv"
    two_families().write(path)
    both = report(path, draws=0, max_error=0.13, where="epochs = 30")
    assert len(both.chapters) == 2
    for chapter_of_report in both.chapters:
        command = said(chapter_of_report, "What to measure next").split("interval: ")[1]
        name, next_, *rest = shlex.split(command)
        assert (name, next_, rest[:3]) == ("prunescope", "next", [str(path), "--where", "epochs = 30"])
        done = run(next_, *rest, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert run("next", path, "--max-error", "0.13", cwd=tmp_path).returncode == 2


def test_of_one_network_nothing_is_said_of_all_members() -> None:
    lone = chapter(density=DENSITY, error=RISES)
    words = " ".join([*(statement.words for statement in lone.said), *(figure.caption for figure in lone.figures)])
    assert "all members" not in words
    agreed = agreement(group(density=DENSITY, error=RISES))
    assert agreed is not None
    assert [summary.panel for summary in agreed.summaries] == ["the law"]


def test_the_answer_says_what_was_measured() -> None:
    errors = np.minimum(0.9, 0.05 + 0.002 * 1.25 ** np.arange(12))
    noisy = report({"density": DENSITY[:12], "error": errors}, max_error=0.06, draws=0).chapters[0]
    rung = int(np.flatnonzero(errors <= 0.06).max())
    words = f"Smallest measured network that meets it: the network at density {DENSITY[rung]:.4g}"
    assert words in said(noisy, "Which network for an error of at most 0.06")


def test_a_page_says_first_what_the_law_does_not_explain() -> None:
    told = chapter(**alike())
    assert said(told, "How well the law fits").startswith("Width explains nothing here")
    assert told.short.startswith("Width explains nothing here")
    assert "explains nothing" not in chapter(**alike(psi=1.0)).short


def test_a_page_counts_weights_on_request() -> None:
    page = report(counted(), max_error=0.25, draws=0, count="weights")
    words = said(page.chapters[0], "Which network for an error of at most 0.25")
    assert " weights" in words
    assert " parameters" not in words
    assert page.chapters[0].slider is not None
    assert page.chapters[0].slider.stops[-1].facts[2].name == "weights left"
    assert "--count weights" in page.provenance.commands[-1]
