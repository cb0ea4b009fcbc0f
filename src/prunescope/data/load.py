"""From a dataset's name to its arrays: finds its files, fetches them where they are missing, reads and checks them.

Files are fetched from their makers, and each is checked by the SHA-256 that they publish.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunescope.data import cifar, idx, imagenet, svhn
from prunescope.data.dataset import Dataset, assembled
from prunescope.data.idx import read_digits
from prunescope.data.imagenet import PACKED, packed_file, read_packed
from prunescope.data.layouts import VARIABLE, FileLayout, cache_folder, data_folder, find, halves, missing
from prunescope.data.own import read_own
from prunescope.data.packed_pictures import ENDING
from prunescope.errors import (
    Fault,
    InputError,
    MissingPackageError,
    PrunescopeError,
    clipped,
    command,
    nearest,
    printable,
)
from prunescope.study.catalogue import DATASETS, is_own_dataset

if TYPE_CHECKING:
    from typing_extensions import Buffer

LAYOUTS: dict[str, tuple[FileLayout, ...]] = idx.LAYOUTS | cifar.LAYOUTS | svhn.LAYOUTS | imagenet.LAYOUTS


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
        _fetch_files(name, cache_folder() / name, folders)
        files = find(name, layouts, [cache_folder()])
        if files is None:
            raise missing(name, layouts, [cache_folder()])
    train, test = files.layout.read(name, files.files)
    return assembled(name, train, test, source=str(next(iter(files.files.values())).parent))


@dataclass(frozen=True)
class DatasetSource:
    """The files of one dataset on the network.

    Attributes
    ----------
    addresses
        Each has all files; the next is tried where one does not answer.
    sums
        SHA-256 by file name.
    megabytes
        Size of all of them, for whoever waits.
    """

    addresses: tuple[str, ...]
    sums: dict[str, str]
    megabytes: int


SOURCES = {
    "mnist": DatasetSource(
        (
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
        ),
        {
            "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        },
        12,
    ),
    "fashion-mnist": DatasetSource(
        ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
        {
            "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        },
        31,
    ),
    "cifar10": DatasetSource(
        ("https://www.cs.toronto.edu/~kriz/",),
        {"cifar-10-binary.tar.gz": "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"},
        170,
    ),
    "cifar100": DatasetSource(
        ("https://www.cs.toronto.edu/~kriz/",),
        {"cifar-100-binary.tar.gz": "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"},
        169,
    ),
    "svhn": DatasetSource(
        ("http://ufldl.stanford.edu/housenumbers/",),
        {
            "train_32x32.mat": "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
            "test_32x32.mat": "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
        },
        246,
    ),
}


def _fetch_files(dataset: str, folder: Path, looked: Sequence[Path]) -> None:
    """Put the files of a dataset into a folder; what lies there already and is right stays.

    ``looked`` names the folders in which the dataset was not, for the error.
    """
    source = SOURCES[dataset]
    names = ", ".join(source.sums)
    where = " or ".join(map(str, looked))
    try:
        import pooch
    except ImportError:
        raise MissingPackageError(
            f"{dataset} is not in {where}, and fetching it needs pooch: pip install pooch\n"
            f"Or name a folder that holds {names} with --data DIR or {VARIABLE}."
        ) from None

    def downloaded(address: str, target: str, asker: Any) -> None:
        with _BoundedFile(target, source.megabytes) as file:
            pooch.HTTPDownloader()(address, file, asker)

    reason = ""
    for file, expected in source.sums.items():
        for address in source.addresses:
            try:
                pooch.retrieve(address + file, f"sha256:{expected}", file, folder, downloader=downloaded)
                break
            except (OSError, ValueError) as trouble:  # requests' errors are OSErrors; a wrong sum is a ValueError
                reason = _short(trouble)
        else:
            raise PrunescopeError(
                f"{dataset} is not in {where} and could not be fetched from {' or '.join(source.addresses)}: {reason}\n"
                f"Put {names} ({source.megabytes} MB) into {folder}, "
                f"or name a folder that holds them with --data DIR or {VARIABLE}."
            )


class _BoundedFile(io.FileIO):
    """A new file that takes no more than a dataset has, so that no server can fill the disk."""

    def __init__(self, path: str, megabytes: int) -> None:
        super().__init__(path, "wb")
        self.megabytes, self.left = megabytes, (megabytes + 1) * 1_000_000

    def write(self, content: Buffer) -> int:
        """Write what came; raise where it is too much."""
        self.left -= memoryview(content).nbytes
        if self.left < 0:
            raise ValueError(f"what came is larger than the {self.megabytes} MB that were published")
        return super().write(content)


def _short(trouble: Exception) -> str:
    """Say in a few words what went wrong; what `requests` says of a failed connection runs over several lines."""
    kind = type(trouble).__name__
    if isinstance(trouble, ValueError) and "hash" in str(trouble):
        return "what came is not the file that was published (its SHA-256 is another)"
    response = getattr(trouble, "response", None)
    if response is not None:
        return f"the server answered {response.status_code}"
    if "Timeout" in kind:
        return "no answer in time"
    if "Connection" in kind:
        return "no connection"
    return printable(str(trouble).splitlines()[0] if str(trouble) else kind)[:200]
