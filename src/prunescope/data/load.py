"""From a dataset's name to its arrays: finds its files, fetches them where they are missing, reads and checks them."""

from __future__ import annotations

from pathlib import Path

from prunescope.data import cifar, idx, svhn, tiny_imagenet
from prunescope.data.dataset import Dataset, assembled
from prunescope.data.fetch import SOURCES
from prunescope.data.fetch import fetch as fetch_files
from prunescope.data.idx import read_digits
from prunescope.data.imagenet import PACKED, packed_file, read_packed
from prunescope.data.layouts import FileLayout, cache_folder, data_folder, find, halves, missing
from prunescope.data.own import read_own
from prunescope.data.packed_pictures import ENDING
from prunescope.errors import Fault, InputError, clipped, command, nearest
from prunescope.study.catalogue import DATASETS, is_own_dataset

LAYOUTS: dict[str, tuple[FileLayout, ...]] = idx.LAYOUTS | cifar.LAYOUTS | svhn.LAYOUTS | tiny_imagenet.LAYOUTS


def load(name: str, folder: str | Path | None = None, *, fetch: bool = True) -> Dataset:
    """Return a dataset by its name in a study.

    Parameters
    ----------
    name
        ``digits`` comes with prunescope; the others are read from their makers' files, ``imagenet`` from the file that
        `pack_dataset` makes. A dataset of your own is ``FILE.npz``, ``FOLDER/`` or ``package.module:function``, whose
        code runs.
    folder
        Where those files are; without it the folder that PRUNESCOPE_DATA names, else the cache folder
        (``~/.cache/prunescope/data``, or below XDG_CACHE_HOME).
    fetch
        Whether files that are not there may be taken from the cache folder, and fetched into it.
    """
    if name not in DATASETS and is_own_dataset(name):
        return read_own(name, folder=None if folder is None else data_folder(folder)).dataset
    if name not in DATASETS:
        fault = Fault("its name", f"must be one of {', '.join(DATASETS)}", clipped(name), nearest(name, DATASETS))
        raise InputError("the dataset", [fault])
    if name == "digits":
        return assembled(name, *read_digits(), source="the digits that come with prunescope")
    folders = [data_folder(folder)]
    if fetch and cache_folder() not in folders:
        folders.append(cache_folder())
    if name in PACKED and (packed := packed_file(name, folders)):
        return read_packed(name, packed)
    if name not in LAYOUTS:
        must = f"must be packed into one file, {name}{ENDING}, in {' or '.join(map(str, folders))}"
        hint = f"Make it of the unpacked folders: {command('data', name, '--from', 'DIR')}."
        raise InputError(f"dataset {name}", [Fault("its pictures", must, "nothing there", hint)])
    layouts = LAYOUTS[name]
    files = find(name, layouts, folders)
    if files is None:
        # Half a dataset in the user's own folder is a mistake to report, not to fetch around.
        if (
            not fetch
            or name not in SOURCES
            or halves(name, layouts, [path for path in folders if path != cache_folder()])
        ):
            raise missing(name, layouts, folders)
        fetch_files(name, cache_folder() / name, folders)
        files = find(name, layouts, [cache_folder()])
        if files is None:
            raise missing(name, layouts, [cache_folder()])
    train, test = files.layout.read(name, files.files)
    return assembled(name, train, test, source=str(next(iter(files.files.values())).parent))
