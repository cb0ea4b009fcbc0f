"""``prunescope choose`` and ``next`` from the command line."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from prunescope.demo import sample_path
from prunescope.design.recommendation import next_ladders
from prunescope.errors import InputError
from prunescope.study import parse_study, preset_text, read_study
from prunescope.table import Store, read_table
from tests.builders import rung
from tests.choose.test_choice import planted
from tests.choose.test_measured import counted
from tests.commands import run

SAMPLE = str(sample_path())


def test_choose_answers_in_words() -> None:
    output = run("choose", SAMPLE, "--max-error", "0.2")
    assert output.returncode == 0
    assert "family made-up, dataset made-up" in output.stdout
    assert "expected         depth 20, width 0.25" in output.stdout
    assert "at 90 % sure" in output.stdout
    assert "times smaller than the smallest unpruned network" in " ".join(output.stdout.split())


def test_choose_gives_json() -> None:
    output = run("choose", SAMPLE, "--max-error", "0.2", "--json", "--confidence", "0.8")
    answer = json.loads(output.stdout)["answers"][0]
    assert answer["choice"]["depth"] == 20
    assert answer["robust"]["probability"] == pytest.approx(0.8, abs=0.01)
    assert {"frontier", "insight", "rivals", "ideal", "times_smaller"} <= set(answer)


def test_choose_prints_the_frontier_on_request() -> None:
    output = run("choose", SAMPLE, "--max-error", "0.2", "--frontier", "--depths", "20")
    assert "start with" in output.stdout
    assert "depth 8" not in output.stdout


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--max-error", "0.05"], 1, "no member reaches an error of 0.05"),
        (["--max-error", "20"], 2, "20 % is 0.2"),
        (["--max-error", "0.2", "--depths", "8;14"], 2, "must be positive numbers with commas"),
        (["--max-error", "0.2", "--max-flops", "1e6"], 2, "must be known"),
        (["--max-error", "0.2", "--max-parameters", "0.01"], 1, "the lowest error to expect is"),
        (["--max-error", "0.2", "--members", "nothing.csv"], 2, "nothing.csv"),
        (["--max-error", "0.2", "--law", "sparse"], 2, "prunescope sparsity law.json"),
    ],
)
def test_what_cannot_be_answered_says_why(options: list[str], code: int, words: str) -> None:
    output = run("choose", SAMPLE, *options)
    assert output.returncode == code
    assert words in output.stderr


def test_several_families_get_an_answer_each(tmp_path: Path) -> None:
    one, other = planted(), planted()
    other["error"] = np.minimum(1.0, other["error"] * 1.3)
    whole = {name: np.concatenate([one[name], other[name]]) for name in one}
    whole["data"] = np.repeat(np.array(["easy", "hard"], object), len(one["error"]))
    path = tmp_path / "two.csv"
    names = list(whole)
    lines = [",".join(str(whole[name][row]) for name in names) for row in range(len(whole["error"]))]
    path.write_text("\n".join([",".join(names), *lines]) + "\n")
    output = run("choose", str(path), "--max-error", "0.2", "--by", "data")
    assert output.returncode == 0
    assert "2 families" in output.stdout
    assert output.stdout.index("easy") < output.stdout.index("hard")


def test_next_says_when_the_answer_is_known() -> None:
    output = run("next", SAMPLE, "--max-error", "0.2")
    assert output.returncode == 0
    assert "settled" in output.stdout
    assert "(90 % sure: depth" in output.stdout


def test_next_names_what_keeps_the_bound_as_surely_as_asked() -> None:
    picks = []
    for confidence in (0.6, 0.95):
        output = run("next", SAMPLE, "--max-error", "0.2", "--json", "--confidence", confidence)
        plan = json.loads(output.stdout)
        assert plan["sure"]["probability"] == pytest.approx(confidence, abs=0.005)
        assert plan["pick"]["probability"] == pytest.approx(0.5, abs=0.1)
        picks.append(plan["sure"]["density"])
    assert picks[0] < picks[1]
    chosen = json.loads(run("choose", SAMPLE, "--max-error", "0.2", "--json", "--confidence", "0.95").stdout)
    assert picks[1] == pytest.approx(chosen["answers"][0]["robust"]["density"], rel=0.15)


def test_next_begins_a_study_that_run_takes(tmp_path: Path) -> None:
    out = tmp_path / "more.toml"
    output = run("next", str(tmp_path / "store"), "--study", "digits", "--max-error", "0.12", "--out", str(out))
    assert output.returncode == 0, output.stderr
    assert "off after it" in output.stdout
    written, whole = read_study(str(out)), read_study("digits")
    assert {ladder.identity for ladder in written.ladders} <= {ladder.identity for ladder in whole.ladders}
    assert sum(ladder.rungs for ladder in written.ladders) < sum(ladder.rungs for ladder in whole.ladders) / 4
    again = run("next", str(tmp_path / "store"), "--study", "digits", "--max-error", "0.12", "--out", str(out))
    assert again.returncode == 1
    assert "exists already" in again.stderr


def test_next_keeps_its_budget(tmp_path: Path) -> None:
    output = run("next", str(tmp_path / "none"), "--study", "digits", "--max-error", "0.1", "--budget", "1%", "--json")
    plan = json.loads(output.stdout)
    assert plan["proposals"]
    assert sum(proposal["cost"] for proposal in plan["proposals"]) <= 0.01 * plan["whole"] * (1 + 1e-9)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--max-error", "0.2", "--budget", "soon"], "must be a time or a share"),
        (["--max-error", "0.2", "--budget", "2h"], "must be a share while the table holds no seconds"),
        (["--max-error", "-1"], "must be between 0 and 1"),
        (["--max-error", "0.2", "--confidence", "90"], "must be a fraction; found 90. 90 % is 0.9"),
        (["--max-error", "0.2", "--examples", "7"], "must be those of some cells"),
    ],
)
def test_what_next_cannot_weigh_says_why(options: list[str], words: str) -> None:
    output = run("next", SAMPLE, *options)
    assert output.returncode == 2
    assert words in output.stderr


def test_next_needs_a_table_or_a_study(tmp_path: Path) -> None:
    Store(tmp_path / "empty", create=True)
    output = run("next", str(tmp_path / "empty"), "--max-error", "0.2")
    assert output.returncode == 2
    assert "--study" in output.stderr


def noisy(store: Path) -> Path:
    """Return a store with two levels of label noise, pruned and unpruned, and a study file beside it."""
    text = preset_text("digits").replace("[axes]", "[axes]\nlabel_noise = [0.0, 0.25]", 1)
    (store.parent / "noisy.toml").write_text(text)
    study = parse_study(text, "noisy.toml")
    new_store = Store(store, create=True)
    new_store.begin(study)
    rows = []
    for ladder in study.ladders:
        if ladder.cell.examples != max(cell.examples for cell in study.cells) or ladder.replicate > 1:
            continue
        rows += [
            rung(0, number, ladder=ladder.identity, replicate=ladder.replicate, width=ladder.cell.width,
                 examples=ladder.cell.examples, label_noise=ladder.cell.label_noise, recipe=ladder.recipe_identity,
                 test_error=min(0.9, (0.05 + ladder.cell.label_noise / 5) * (1 + (0.02 / 0.8**number) ** 2) ** 0.5))
            for number in range(20)
        ]  # fmt: skip
    new_store.write(rows)
    return store


def test_next_is_asked_about_one_level_of_label_noise(tmp_path: Path) -> None:
    store = noisy(tmp_path / "store")
    output = run("next", store, "--max-error", "0.08")
    assert output.returncode == 2
    assert "label noise: must be one level to choose within; found 0, 0.25. Name it: --noise 0." in output.stderr
    assert "There are 0, 0.25." in run("next", store, "--max-error", "0.08", "--noise", "0.5").stderr
    out = tmp_path / "more.toml"
    about = run("next", store, "--max-error", "0.15", "--noise", "0.25", "--out", out, "--enough", "0.001")
    assert about.returncode == 0, about.stderr
    assert {cell.label_noise for cell in read_study(str(out)).cells} == {0.25}
    same = run("next", store, "--max-error", "0.15", "--where", "label_noise = 0.25", "--enough", "0.001")
    assert same.stdout == about.stdout


def test_next_leaves_groups_aside_in_which_nothing_was_pruned() -> None:
    alone = planted()
    dense = {name: values[alone["density"] == 1] for name, values in alone.items()}
    both = {name: np.concatenate([alone[name], dense[name]]) for name in alone}
    both["method"] = np.array(["pruned"] * len(alone["error"]) + ["grown"] * len(dense["error"]), object)
    with_them, without = (next_ladders(read_table(source), 0.2).pick for source in (both, alone))
    assert with_them is not None
    assert without is not None
    assert with_them.member == without.member
    assert with_them.density == pytest.approx(without.density, rel=0.01)
    both["method"] = np.array(["one"] * len(alone["error"]) + ["two"] * len(dense["error"]), object)
    twice = {name: np.concatenate([values, values]) for name, values in both.items()}
    twice["data"] = np.repeat(np.array(["easy", "it's hard"], object), len(both["error"]))
    with pytest.raises(InputError, match="must hold one family") as error:
        next_ladders(read_table(twice), 0.2)
    words = re.search(r"--where (.*), or put them", str(error.value))
    assert words is not None
    (condition,) = shlex.split(words[1])
    assert next_ladders(read_table(twice).where(condition), 0.2).pick is not None


def test_an_export_is_proposed_only_where_the_store_says_how_its_networks_were_trained(tmp_path: Path) -> None:
    study = read_study("digits")
    ladders = [ladder for ladder in study.ladders if ladder.cell.examples == 1297 and ladder.replicate == 0]
    assert len({ladder.cell.width for ladder in ladders}) > 1

    def error(width: float, number: int) -> float:
        return float(min(0.9, 0.05 / width**0.3 * (1 + (0.02 / width / 0.8**number) ** 2) ** 0.6))

    rows = [
        rung(0, number, ladder=ladder.identity, width=ladder.cell.width, test_error=error(ladder.cell.width, number))
        for ladder in ladders
        for number in range(24)
    ]
    path = tmp_path / "by hand"
    store = Store(path, create=True)
    store.write(rows)
    bare = run("choose", path, "--max-error", "0.15").stdout
    assert "prunescope export" not in bare
    assert "It cannot be exported: the store does not hold the study" in " ".join(bare.split())
    store.begin(study)
    (typed,) = re.findall("prunescope (export .*)", run("choose", path, "--max-error", "0.15").stdout)
    words = shlex.split(typed)
    assert (words[1], words[2]) == (str(path), "--ladder")
    assert words[3] in {ladder.identity[:8] for ladder in ladders}
    untrained = run("choose", path, "--max-error", "0.15", "--widths", "0.3").stdout
    assert f"prunescope next '{path}' --max-error 0.15" in untrained


def test_a_size_that_the_table_does_not_tell_is_not_told() -> None:
    done = run("choose", SAMPLE, "--max-error", "0.2")
    assert "before pruning" not in done.stdout
    assert "The table does not say how many parameters it has." in " ".join(done.stdout.split())


def test_choose_counts_and_picks_as_asked(tmp_path: Path) -> None:
    columns = counted() | {"validation_error": counted()["error"] * 1.1}
    path = tmp_path / "counted.csv"
    names = list(columns)
    rows = [",".join(f"{value:.10g}" for value in row) for row in zip(*columns.values(), strict=True)]
    path.write_text("\n".join([",".join(names), *rows]) + "\n")
    weights = run("choose", path, "--max-error", "0.25", "--count", "weights").stdout
    assert "weights, error" in weights
    assert "--count parameters chooses it" in " ".join(weights.split())
    assert "picked by its validation error" in " ".join(weights.split())
    tested = json.loads(run("choose", path, "--max-error", "0.25", "--pick-by", "test", "--json").stdout)["answers"][0]
    assert (tested["seen"]["by"], tested["unit"]) == ("test", "parameters")
    without = run("choose", SAMPLE, "--max-error", "0.2", "--pick-by", "validation")
    assert without.returncode == 2
    assert "validation_error" in without.stderr
