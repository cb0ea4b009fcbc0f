"""ImageNet and TinyImageNet packed into one file, from folders that the tests write; damage, breaks and resumption."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from prunescope.cli.main import cli
from prunescope.data import EncodedPictures, load, pack_dataset
from prunescope.data.coding import decoded_strictly, resized
from prunescope.data.packing import Packed, Progress
from prunescope.errors import Fault, InputError, PrunescopeError
from prunescope.study.catalogue import DATASETS, DatasetFacts
from tests.data.photographs import CLASSES, FACTS, PER_CLASS, jpeg, photograph, write_imagenet, write_tiny


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the datasets have few pictures."""
    for name, facts in FACTS.items():
        monkeypatch.setitem(DATASETS, name, facts)


def faults(source: Path, target: Path) -> list[Fault]:
    with pytest.raises(InputError) as raised:
        pack_dataset("imagenet", source, target)
    assert not (target / "imagenet.pictures").exists()
    return list(raised.value.faults)


def packed(source: Path, target: Path, threads: int = 2) -> Packed:
    return pack_dataset("imagenet", source, target, threads=threads)


def test_imagenet_is_packed_in_the_order_of_names_with_its_shorter_side_at_8_to_7(tmp_path: Path) -> None:
    sources = write_imagenet(tmp_path / "in")
    made = packed(tmp_path / "in", tmp_path)
    assert (made.pictures, made.resumed, made.lenient) == (len(CLASSES) * (PER_CLASS + 1), 0, 0)
    data = load("imagenet", tmp_path)
    assert isinstance(data.train_images, EncodedPictures)
    assert data.train_images.shape == (len(CLASSES) * PER_CLASS, 3, 56, 56)
    assert data.train_labels.tolist() == [label for label in range(len(CLASSES)) for _ in range(PER_CLASS)]
    assert data.test_labels.tolist() == list(range(len(CLASSES)))
    for place, path in enumerate(sorted(path for path in sources if "train" in path.parts)):
        height, width = sources[path].shape[:2]
        heights, widths = data.train_images.sizes(np.array([place]))
        assert min(heights[0], widths[0]) == 64
        assert abs(heights[0] / widths[0] - height / width) < 0.05
        whole = resized(sources[path], int(heights[0]), int(widths[0])).astype(float)
        part = data.train_images.pixels(place, (0, 0, int(heights[0]), int(widths[0]))).astype(float)
        assert np.abs(resized(whole.astype(np.uint8), 56, 56) - part).mean() < 6, "two generations of JPEG lose little"
    assert load("imagenet", tmp_path).mean == data.mean
    pixels = np.concatenate([data.train_images.pixels(n).reshape(-1, 3) for n in range(len(data.train_images))])
    assert np.abs(np.array(data.mean) - pixels.mean(0)).max() < 8


def test_the_same_pictures_give_the_same_content_whatever_the_threads(tmp_path: Path) -> None:
    write_imagenet(tmp_path / "in")
    hashes = {packed(tmp_path / "in", tmp_path / str(threads), threads).hash for threads in (1, 3)}
    assert len(hashes) == 1
    first, second = ((tmp_path / n / "imagenet.pictures").read_bytes() for n in ("1", "3"))
    assert first == second


def test_tinyimagenet_packed_is_what_its_folder_is(tmp_path: Path) -> None:
    write_tiny(tmp_path / "in" / "tiny-imagenet-200")
    plain = load("tinyimagenet", tmp_path / "in")
    pack_dataset("tinyimagenet", tmp_path / "in", tmp_path / "tinyimagenet.pictures")
    mapped = load("tinyimagenet", tmp_path)
    assert isinstance(mapped.train_images.base, np.memmap) or isinstance(mapped.train_images, np.memmap)
    for name in ("train_images", "train_labels", "test_images", "test_labels"):
        assert np.array_equal(getattr(plain, name), getattr(mapped, name))
    assert (plain.mean, plain.std) == (mapped.mean, mapped.std)


def _cmyk(path: Path) -> None:
    Image.open(path).convert("CMYK").save(path, "JPEG")


def _grey(path: Path) -> None:
    Image.open(path).convert("L").save(path, "JPEG")


def _png(path: Path) -> None:
    image = Image.open(path).convert("P")
    image.save(path, "PNG")


def _extra_bytes(path: Path) -> None:
    content = path.read_bytes()
    marker = content.index(b"\xff\xda")
    path.write_bytes(content[:marker] + b"\0\0\0" + content[marker:])


@pytest.mark.parametrize(("change", "lenient"), [(_cmyk, 1), (_grey, 0), (_png, 1), (_extra_bytes, 1)])
def test_pictures_of_other_modes_and_those_that_the_strict_decoder_refuses_are_read(
    change: Callable[[Path], None], lenient: int, tmp_path: Path
) -> None:
    path = sorted(write_imagenet(tmp_path / "in"))[0]
    before = np.asarray(Image.open(path).convert("RGB")).astype(float)
    change(path)
    assert packed(tmp_path / "in", tmp_path).lenient == lenient
    images = load("imagenet", tmp_path).train_images
    after = images.pixels(0, (0, 0, *(int(size[0]) for size in images.sizes(np.array([0])))))
    expected = resized(before.astype(np.uint8), 56, 56).mean((0, 1))
    difference = np.abs(after.mean((0, 1)) - (expected.mean() if change is _grey else expected))
    assert difference.max() < 25


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-300])


def _twelve_bits(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[content.index(b"\xff\xc0") + 4] = 12
    path.write_bytes(bytes(content))


def _text(path: Path) -> None:
    path.write_text("no picture")


def test_damaged_pictures_are_counted_and_named_and_mended_ones_alone_are_read_again(tmp_path: Path) -> None:
    paths = sorted(write_imagenet(tmp_path / "in"))
    kept = {path: path.read_bytes() for path in (paths[1], paths[5], paths[9])}
    _cmyk(paths[3])
    for path, damage in zip(kept, (_truncate, _twelve_bits, _text), strict=True):
        damage(path)
    total, *named = faults(tmp_path / "in", tmp_path)
    assert total.found == "3 pictures that cannot be read"
    assert [fault.place for fault in named] == [repr(str(path.relative_to(tmp_path / "in"))) for path in kept]
    assert named[1].found == "12"
    for path, content in kept.items():
        path.write_bytes(content)
    made = packed(tmp_path / "in", tmp_path)
    assert (made.resumed, made.lenient) == (made.pictures - 3, 1)
    assert made.hash == packed(tmp_path / "in", tmp_path / "anew").hash
    assert np.array_equal(
        load("imagenet", tmp_path).train_images[:], load("imagenet", tmp_path / "anew").train_images[:]
    )


def test_a_picture_that_changes_between_two_tries_is_read_again(tmp_path: Path) -> None:
    paths = sorted(write_imagenet(tmp_path / "in"))
    last = paths[9].read_bytes()
    paths[9].write_text("no picture")
    faults(tmp_path / "in", tmp_path)
    paths[9].write_bytes(last)
    paths[2].write_bytes(jpeg(photograph(np.random.default_rng(99), 80, 90)))
    assert packed(tmp_path / "in", tmp_path).hash == packed(tmp_path / "in", tmp_path / "anew").hash
    (tmp_path / "in" / "train" / CLASSES[0] / "z.JPEG").write_bytes(last)
    assert [fault.place for fault in faults(tmp_path / "in", tmp_path / "third")] == ["train"]


PROGRAM = """
import os, signal, sys
from prunescope.data import pack_dataset
from prunescope.study.catalogue import DATASETS
from tests.data.photographs import FACTS
DATASETS.update(FACTS)
from prunescope.data import packing
packing._AT_ONCE = 1
def progress(now):
    if now.done == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
pack_dataset("imagenet", sys.argv[1], sys.argv[2], threads=2, on_progress=progress)
"""


def test_after_kill_9_packing_goes_on_and_ends_with_the_same_file(tmp_path: Path) -> None:
    write_imagenet(tmp_path / "in")
    arguments = [sys.executable, "-c", PROGRAM, str(tmp_path / "in"), str(tmp_path / "out"), "7"]
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    killed = subprocess.run(arguments, check=False, capture_output=True, text=True, env=environment)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (tmp_path / "out" / "imagenet.pictures").exists()
    with (tmp_path / "out" / "imagenet.pictures.journal").open("ab") as journal:
        journal.write(b"half an entry")
    with (tmp_path / "out" / "imagenet.pictures.part").open("r+b") as part:
        part.seek(-100, os.SEEK_END)
        part.write(bytes(100))  # as after a loss of power
    seen: list[Progress] = []
    made = pack_dataset("imagenet", tmp_path / "in", tmp_path / "out", on_progress=seen.append)
    assert made.resumed == 6
    assert seen[-1] == Progress(made.pictures, 0, made.pictures)
    assert made.path.read_bytes() == packed(tmp_path / "in", tmp_path).path.read_bytes()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["imagenet.pictures"]


def test_a_full_disk_is_told_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_imagenet(tmp_path / "in")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=20_000))
    (fault,) = faults(tmp_path / "in", tmp_path)
    assert (fault.place, fault.found) == ("its disk", "2e-05 GB")
    assert (tmp_path / "imagenet.pictures.part").stat().st_size <= 4096


def _one_class(folder: Path) -> None:
    for name in CLASSES[1:]:
        for path in (folder / "train" / name).iterdir():
            path.unlink()
        (folder / "train" / name).rmdir()


def _empty_class(folder: Path) -> None:
    for path in (folder / "train" / CLASSES[2]).iterdir():
        path.unlink()


def _no_labels(folder: Path) -> None:
    for path in list((folder / "val").rglob("*.JPEG")):
        path.rename(folder / "val" / f"{path.parent.name}.JPEG")
    for entry in list((folder / "val").iterdir()):
        if entry.is_dir():
            entry.rmdir()


def _no_val(folder: Path) -> None:
    (folder / "val").rename(folder / "validation")


@pytest.mark.parametrize(
    ("change", "place", "found"),
    [
        (_one_class, "train", "1"),
        (_empty_class, f"'train/{CLASSES[2]}'", "none"),
        (_no_labels, "val", "pictures side by side without a list"),
        (_no_val, "val", "train, validation"),
    ],
)
def test_folders_that_are_not_imagenet_are_refused_before_a_picture_is_read(
    change: Callable[[Path], None], place: str, found: str, tmp_path: Path
) -> None:
    write_imagenet(tmp_path / "in")
    change(tmp_path / "in")
    first = faults(tmp_path / "in", tmp_path)[0]
    assert (first.place, first.found) == (place, found)
    assert not list(tmp_path.glob("*.part"))


def test_validation_pictures_side_by_side_take_their_classes_from_the_list_beside_the_folders(tmp_path: Path) -> None:
    write_imagenet(tmp_path / "in")
    write_imagenet(tmp_path / "flat")
    _no_labels(tmp_path / "flat")
    lines = ["ImageId,PredictionString", *(f"{name},{name} 1 2 3 4" for name in CLASSES)]
    (tmp_path / "flat" / "LOC_val_solution.csv").write_text("\n".join(lines))
    assert packed(tmp_path / "in", tmp_path / "1").hash == packed(tmp_path / "flat", tmp_path / "2").hash


@pytest.mark.parametrize("damage", ["cut", "flip", "other", "index"])
def test_a_damaged_file_is_refused_by_name_when_it_is_opened_or_a_picture_is_read(damage: str, tmp_path: Path) -> None:
    write_imagenet(tmp_path / "in")
    path = packed(tmp_path / "in", tmp_path).path
    content = bytearray(path.read_bytes())
    if damage == "cut":
        content = content[:-1]
    elif damage == "flip":
        content[5000] ^= 1
    elif damage == "index":
        first = content.rindex(b'{"classes"') - 100
        content[first : first + 50] = b"\xff" * 50
    else:
        content[:4] = b"PK\x03\x04"
    path.write_bytes(bytes(content))
    with pytest.raises(InputError) as raised:
        load("imagenet", tmp_path).train_images[:]
    place = "imagenet.pictures, picture 0" if damage == "flip" else "imagenet.pictures"
    assert raised.value.faults[0].place == place


def test_a_file_of_another_size_of_dataset_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_imagenet(tmp_path / "in")
    packed(tmp_path / "in", tmp_path)
    monkeypatch.setitem(DATASETS, "imagenet", DatasetFacts(1_000, 10, 10, (3, 56, 56)))
    with pytest.raises(InputError) as raised:
        load("imagenet", tmp_path)
    assert raised.value.faults[0].place == str(tmp_path / "imagenet.pictures")


def test_without_its_file_imagenet_is_refused_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(InputError) as raised:
        load("imagenet", tmp_path)
    (fault,) = raised.value.faults
    assert (fault.place, fault.found) == ("its pictures", "nothing there")
    assert "prunescope data imagenet --from DIR" in fault.hint


def cli_result(*words: object) -> Result:
    return CliRunner().invoke(cli, ["data", *map(str, words)])


def test_the_command_packs_tells_what_it_did_and_shows_the_dataset(tmp_path: Path) -> None:
    path = sorted(write_imagenet(tmp_path / "in"))[0]
    _cmyk(path)
    (tmp_path / "out").mkdir()
    done = cli_result("imagenet", "--from", tmp_path / "in", "--data", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.output
    content = json.loads(done.stdout)
    assert (content["examples"], content["shape"]) == ({"train": 16, "test": 4}, [3, 56, 56])
    assert "1 picture refused by the strict decoder and read by Pillow" in done.stderr
    assert (tmp_path / "out" / "imagenet.pictures").exists()
    shown = cli_result("imagenet", "--data", tmp_path / "out")
    assert shown.exit_code == 0
    assert "pictures of 3 x 56 x 56" in shown.stdout


def test_the_command_ends_with_2_where_a_picture_is_damaged_or_the_file_has_another_name(tmp_path: Path) -> None:
    path = sorted(write_imagenet(tmp_path / "in"))[0]
    _truncate(path)
    refused = cli_result("imagenet", "--from", tmp_path / "in", "--out", tmp_path)
    assert refused.exit_code != 0
    assert "1 picture that cannot be read" in str(refused.exception)
    assert isinstance(refused.exception, InputError)
    named = cli_result("imagenet", "--from", tmp_path / "in", "--out", tmp_path / "other.pictures")
    assert isinstance(named.exception, InputError)
    assert cli_result("imagenet", "--out", tmp_path).exit_code == 2
    assert isinstance(cli_result("cifar10", "--from", tmp_path / "in").exception, InputError)


def test_two_processes_do_not_write_one_file(tmp_path: Path) -> None:
    write_imagenet(tmp_path / "in")

    def again(progress: Progress) -> None:
        with pytest.raises(PrunescopeError, match="another process"):
            packed(tmp_path / "in", tmp_path)

    pack_dataset("imagenet", tmp_path / "in", tmp_path, on_progress=again)


def test_the_strict_decoder_and_pillow_agree_on_whole_pictures() -> None:
    content = jpeg(photograph(np.random.default_rng(1), 71, 93))
    assert np.array_equal(decoded_strictly(content), np.asarray(Image.open(io.BytesIO(content))))
