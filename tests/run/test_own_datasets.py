"""Studies on a user's own datasets, from the file to the exported network."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from prunescope.choose.counts import Counts
from prunescope.data import load, read_datasets
from prunescope.errors import InputError
from prunescope.export import export_network, load_network
from prunescope.laws.grouping import sample
from prunescope.lens.example_rows import pictures
from prunescope.run import run_study
from prunescope.run.events import DatasetChanged, Event
from prunescope.run.ladder_state import subsample_of
from prunescope.study import Axes, Recipe, Study, Treatment
from prunescope.table import Store, read_table
from prunescope.table.notes import noted_place
from tests.commands import fails, run
from tests.run.studies import dense_study


def digits(count: int = 120, validation: int = 0) -> dict[str, np.ndarray]:
    data = load("digits")
    arrays = {
        "train_images": data.train_images[:count],
        "train_labels": data.train_labels[:count],
        "test_images": data.test_images[:90],
        "test_labels": data.test_labels[:90],
    }
    if validation:
        arrays["val_images"] = data.train_images[count : count + validation]
        arrays["val_labels"] = data.train_labels[count : count + validation]
    return arrays


def save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    np.savez(path, **arrays)  # type: ignore[arg-type]


def own_study(folder: Path, dataset: str = "birds.npz", family: str = "lenet", **changes: object) -> Study:
    depth = 3 if family == "lenet" else 8
    axes = Axes(dataset=(dataset,), family=(family,), depth=(depth,), width=(0.1,))
    recipe = Recipe(**{"epochs": 2, "batch": 16, "learning_rate": 0.1, "levels": 1, **changes})  # type: ignore[arg-type]
    return Study("own", (axes,), recipe, replicates=2, home=folder)


def rows(store: Path) -> list[dict[str, object]]:
    circumstances = ("seconds", "started", "device")
    return [
        {name: value for name, value in row.items() if name not in circumstances} for row in Store(store).table().rows()
    ]


@pytest.fixture
def birds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    save(tmp_path / "birds.npz", digits())
    text = "import numpy as np\n\n\ndef birds():\n    return dict(np.load({!r}))\n"
    (tmp_path / "own_birds_module.py").write_text(text.format(str(tmp_path / "birds.npz")))
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("own_birds_module", None)


@pytest.mark.parametrize("dataset", ["birds.npz", "own_birds_module:birds"])
def test_workers_train_on_the_dataset_that_one_process_trains_on(birds: Path, dataset: str) -> None:
    study = own_study(birds, dataset)
    assert run_study(study, birds / "one", workers=1).rungs == 4
    report = run_study(study, birds / "two", workers=2)
    assert (report.rungs, report.failures) == (4, [])
    for one, two in zip(rows(birds / "one"), rows(birds / "two"), strict=True):
        assert (one["ladder"], one["rung"], one["kept"]) == (two["ladder"], two["rung"], two["kept"])
        assert one["train_loss"] == pytest.approx(two["train_loss"], rel=1e-4)  # other cohorts round otherwise
    assert run_study(study, birds / "one").rungs == 0
    assert {str(row["dataset"])[:6] for row in rows(birds / "one")} == {"birds@"}


def test_a_changed_file_is_another_dataset_and_the_run_says_so(birds: Path) -> None:
    study, events = own_study(birds), list[Event]()
    run_study(study, birds / "store", workers=1)
    before = {str(row["ladder"]) for row in rows(birds / "store")}
    arrays = digits()
    arrays["train_images"] = arrays["train_images"].copy()
    arrays["train_images"][0, 0, 0, 0] ^= 1
    save(birds / "birds.npz", arrays)
    assert run_study(study, birds / "store", workers=1, on_event=events.append).rungs == 4
    (event,) = [event for event in events if isinstance(event, DatasetChanged)]
    assert "'train_images' has changed" in event.words
    assert before < {str(row["ladder"]) for row in rows(birds / "store")}
    assert len({row["dataset"] for row in rows(birds / "store")}) == 2
    save(birds / "birds.npz", digits())  # back to what it was: everything is done
    events.clear()
    assert run_study(study, birds / "store", workers=1, on_event=events.append).rungs == 0
    assert not [event for event in events if isinstance(event, DatasetChanged)]


def test_a_validation_part_is_measured_and_never_trained_on(tmp_path: Path) -> None:
    save(tmp_path / "birds.npz", digits(validation=40))
    leave = Treatment(kind="leave-out", learns_from="imp")
    study = replace(own_study(tmp_path), treatments=(Treatment(kind="imp"), leave))  # which needs a measure of the best
    known, read = read_datasets(study)
    (own,) = read.values()
    for ladder in known.ladders:
        subsample = subsample_of(ladder, own.dataset)
        assert subsample.validation.tolist() == [*range(120, 160)]
        assert sorted(subsample.train.tolist()) == [*range(120)]
    assert not run_study(study, tmp_path / "store", workers=1).failures
    for row in rows(tmp_path / "store"):
        assert float(str(row["validation_error"])) * 40 == pytest.approx(
            round(float(str(row["validation_error"])) * 40)
        )


def test_a_network_of_an_own_dataset_is_exported_and_proved(birds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_study(replace(own_study(birds), replicates=1, keep="all"), birds / "store", workers=1)
    (birds / "elsewhere").mkdir()
    monkeypatch.chdir(birds / "elsewhere")  # the store knows where the file is
    exported = export_network(birds / "store", "net.safetensors", rung=1, form="sparse")
    net = load_network("net.safetensors")
    images, labels = digits()["test_images"], digits()["test_labels"]
    error = float((net(torch.tensor(images)).argmax(1).numpy() != labels).mean())
    assert error == exported.card.test_error
    assert exported.card.dataset.startswith("birds@")
    (birds / "birds.npz").rename(birds / "moved.npz")
    with pytest.raises(InputError, match="nothing there"):
        export_network(birds / "store", "net.safetensors", rung=1, form="sparse")
    export_network(birds / "store", "net.safetensors", rung=1, form="sparse", dataset=birds / "moved.npz")
    save(birds / "moved.npz", digits(100))
    with pytest.raises(InputError, match="must hold what the study says"):
        export_network(birds / "store", "net.safetensors", rung=1, form="sparse", dataset=birds / "moved.npz")


def test_a_store_never_decides_which_code_returns_its_dataset(birds: Path) -> None:
    study = replace(own_study(birds, "own_birds_module:birds"), replicates=1, keep="all")
    run_study(study, birds / "store", workers=1)
    sys.modules.pop("own_birds_module")
    with pytest.raises(InputError, match="must be named as the store does"):
        export_network(birds / "store", birds / "net.safetensors", rung=1)
    assert "own_birds_module" not in sys.modules
    named = export_network(birds / "store", birds / "net.safetensors", rung=1, dataset="own_birds_module:birds")
    assert named.card.classes == 10
    export_network(birds / "store", birds / "net.safetensors", rung=1, dataset=birds / "birds.npz")  # the same arrays


def test_rows_of_features_are_trained_on_by_families_that_take_rows(tmp_path: Path) -> None:
    arrays = digits()
    for part in ("train", "test"):
        arrays[f"{part}_images"] = arrays[f"{part}_images"].reshape(len(arrays[f"{part}_labels"]), -1) / 16 - 0.5
    save(tmp_path / "birds.npz", arrays)
    assert not run_study(own_study(tmp_path, levels=0, epochs=20), tmp_path / "store", workers=1).failures
    assert max(float(str(row["test_error"])) for row in rows(tmp_path / "store")) < 0.7  # 0.9 by guessing
    with pytest.raises(InputError, match="must hold pictures for cifar-resnet"):
        run_study(own_study(tmp_path, family="cifar-resnet"), tmp_path / "other")


def test_pictures_of_examples_come_from_the_file_that_the_store_notes(birds: Path) -> None:
    run_study(own_study(birds), birds / "store", workers=1)
    store = Store(birds / "store")
    (study,) = store.studies()
    place = noted_place(store, study.datasets[0])
    assert place == birds / "birds.npz"
    shown = pictures(study.datasets[0].label, [3, 1], place=place)
    assert np.array_equal(shown.images, digits()["train_images"][[3, 1]])  # type: ignore[arg-type]
    save(birds / "birds.npz", digits(100))
    assert pictures(study.datasets[0].label, [3], place=place).images is None


def test_the_commands_tell_what_a_dataset_is_read_as(birds: Path) -> None:
    read = json.loads(run("data", "birds.npz", "--json", cwd=birds).stdout)
    assert read["examples"] == {"train": 120, "test": 90}
    assert (read["classes"], read["shape"], read["name"]) == (10, [1, 8, 8], "birds.npz")
    shown = run("data", "own_birds_module:birds", cwd=birds)
    assert 'dataset = "own_birds_module:birds"' in shown.stdout
    assert f"birds@{read['hash'][:12]}" in shown.stdout
    assert "runs code that it names" in shown.stderr
    assert "1,297 train, 500 test" in run("data", "digits", cwd=birds).stdout
    assert "must be one of digits" in fails(2, "data", "minst", cwd=birds)


def test_a_plan_counts_what_a_file_holds_and_runs_code_only_if_asked(birds: Path) -> None:
    (birds / "own.toml").write_text(own_study(birds).to_toml())
    plan = json.loads(run("plan", "own.toml", "--json", cwd=birds).stdout)
    assert (plan["rungs"], plan["study"]["datasets"][0]["train"]) == (4, 120)
    (birds / "own_birds_module.py").write_text("raise RuntimeError('it ran')")
    (birds / "code.toml").write_text(own_study(birds, "own_birds_module:birds").to_toml())
    shown = run("plan", "code.toml", cwd=birds)
    assert shown.returncode == 0
    assert "known when its code has run" in shown.stdout
    assert "it ran" in fails(2, "plan", "code.toml", "--run-code", cwd=birds)


def test_identities_on_known_datasets_do_not_know_of_own_ones() -> None:
    assert "datasets" not in dense_study().to_mapping()
    assert all(ladder.own is None for ladder in dense_study().ladders)


def test_laws_and_counts_know_the_classes_and_the_shape_of_an_own_dataset_from_its_store(birds: Path) -> None:
    run_study(own_study(birds), birds / "store", workers=1)
    table = read_table(birds / "store").where("rung = 0")
    (label,) = {str(name) for name in table["dataset"]}
    assert table.datasets[label].classes == 10
    counted, known = Counts.of(table), Counts("lenet", "digits", {}, "all")
    assert counted.count(4, 0.7).multiplications == known.count(4, 0.7).multiplications  # the same shape and classes
    assert counted.count(4, 0.7).how == "counted"
    kept = sample(table, True, filters=("better-than-chance",))  # which needs the error of guessing
    assert sum(len(group) for group in kept.groups) <= len(table)
    assert not read_table({"density": [1.0], "error": [0.1], "dataset": [label]}).datasets
