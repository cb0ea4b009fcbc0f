"""`prunescope export` as its users see it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from prunescope.table import Store
from tests.builders import rung
from tests.commands import fails, run
from tests.run.studies import dense_study

STUDY = "keep = [2]\n" + dense_study(replicates=1, widths=(0.08,), levels=2).to_toml()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export")
    (path / "study.toml").write_text(STUDY)
    done = run("run", "study.toml", "--workers", 1, "--store", "store", cwd=path)
    assert done.returncode == 0, done.stderr
    return path


def test_a_network_is_taken_away_and_told_plainly(folder: Path) -> None:
    done = run("export", "store", "--rung", 2, "-o", "net.safetensors", cwd=folder)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("lenet l=3 w=0.08 on 400 of digits, imp, replicate 0, rung 2: density 0.64, ")
    assert [line.split("  ")[1] for line in lines[3:6]] == ["unpruned", "sparse", "dense, cut-off units removed"]
    assert "net.dense.safetensors: every prediction the same on 500 test examples" in done.stdout
    assert 'from Python: prunescope.load_network("net.dense.safetensors")' in done.stdout
    assert done.stderr == ""
    assert (folder / "net.sparse.safetensors").exists()


def test_json_says_all_of_it_and_training_again_is_told_before(folder: Path) -> None:
    ladder = next(iter(Store(folder / "store").done()))
    wanted = ("--ladder", ladder[:8], "--density", 0.8, "--form", "sparse")
    done = run("export", "store", *wanted, "-o", "j.safetensors", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert (content["card"]["ladder"], content["card"]["rung"], content["card"]["retrained"]) == (ladder, 1, True)
    assert [form["path"] for form in content["forms"]] == [None, "j.safetensors"]
    assert "the weights of rung 1 were not kept: training rung 1 again, about" in done.stderr
    quiet = run("export", "store", "--rung", 1, "-o", "q.safetensors", "--form", "dense", "--quiet", cwd=folder)
    assert (quiet.returncode, quiet.stderr) == (0, "")


def test_a_store_of_several_families_is_asked_which(tmp_path: Path) -> None:
    """By label noise: the network of the one is nothing to ship for the other."""
    rows = [
        rung(ladder, number, label_noise=noise, replicate=ladder % 3, width=0.5, recipe=f"{ladder // 3:012x}",
             test_error=min(0.9, (0.05 + noise) * (1 + (0.02 / 0.8**number) ** 2) ** 0.6))
        for ladder, noise in zip(range(6), (0.0, 0.0, 0.0, 0.1, 0.1, 0.1), strict=True)
        for number in range(24)
    ]  # fmt: skip
    Store(tmp_path / "both", create=True).write(rows)
    arguments = ("export", "both", "--max-error", 0.3, "-o", "n.safetensors")
    message = fails(1, *arguments, cwd=tmp_path)
    assert "several families could be meant: " in message
    assert "label_noise 0.1" in message
    options = shlex.split(message)
    assert options[options.index("--where") + 1].startswith("label_noise = 0.0")
    wrong = fails(2, "export", "both", "--rung", 1, "--where", "rung > 0", "-o", "n.safetensors", cwd=tmp_path)
    assert "--where goes with --max-error" in wrong


def test_mistakes_are_told_in_words(folder: Path) -> None:
    out = ("-o", "w.safetensors")
    assert "needs one of --rung, --density and --max-error" in fails(2, "export", "store", *out, cwd=folder)
    assert "must be a finished one; found 7" in fails(2, "export", "store", "--rung", 7, *out, cwd=folder)
    assert "must be one of this store" in fails(2, "export", "store", "--rung", 1, "--ladder", "zz", *out, cwd=folder)
    assert "must be a folder that prunescope made" in fails(2, "export", "nowhere", "--rung", 1, *out, cwd=folder)
    assert "must end in .safetensors" in fails(2, "export", "store", "--rung", 1, "-o", "w.pt", cwd=folder)
    nowhere = fails(1, "export", "store", "--rung", 1, "-o", "no/w.safetensors", cwd=folder)
    assert "cannot be written" in nowhere
    assert "training" not in nowhere
    assert not list(folder.glob("w.*"))
