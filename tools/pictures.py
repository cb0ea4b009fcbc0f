"""The pictures of `docs/reproduction.md`, drawn from shipped tables alone: `make docs` writes them.

python -m tools.pictures docs/pictures/reproduction
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from prunescope.lens import TreatmentOutcome
from prunescope.report import report
from prunescope.report.charts.picture_files import PrintSize, write_figure
from prunescope.report.figures.el2n import VERDICTS, El2nGroups, GroupPoint
from prunescope.report.figures.figure import Figure
from prunescope.report.figures.noise import noise_words
from prunescope.table import load_table
from tools.lens_cases import main_rows, shipped

# Points of a page's text; the picture's pixels across, and its colours: small files.
SIZE = PrintSize(640, 10)
ACROSS, COLOURS = 1000, 64
FOLDER = Path(__file__).parents[1] / "docs" / "pictures" / "reproduction"
FIRST = (
    ("lenet-mnist", "error-by-density", "Figs. 1 and 2"),
    ("resnet-cifar10", "error-by-density", "Figs. 1 and 2"),
    ("lenet-mnist", "estimated-against-actual", "Figs. 2 and 5"),
    ("lenet-mnist-long", "estimated-against-actual", "Figs. 2 and 5"),
    ("resnet-cifar10", "estimated-against-actual", "Figs. 2 and 5"),
    ("lenet-mnist", "error-by-parameters", "Fig. 8"),
    ("resnet-cifar10", "error-by-parameters", "Fig. 8"),
)
EL2N = El2nGroups.slug
SECOND = (
    ("error-under-label-noise", "Fig. 3"),
    (EL2N, "Figs. 1b, 2 and 5"),
    ("training-loss-by-density", "Fig. 4"),
    ("pruning-beside-extended-training", "Figs. 1a and 6"),
    ("pruning-beside-narrower-networks", "Fig. 7"),
    ("other-ways-of-pruning", "Appendix J"),
    ("trained-without-some-examples", "Appendices D, E and K"),
)


class Picture(NamedTuple):
    """A picture: the table that it is of, what it counterparts, and the figure."""

    table: str
    where: str
    figure: Figure

    @property
    def name(self) -> str:
        """The name of its file."""
        return _file(self.table, self.figure.slug)


def _file(table: str, slug: str) -> str:
    return f"{table}-{slug}.png"


def _wanted(paper: int) -> tuple[tuple[str, str, str], ...]:
    return FIRST if paper == 1 else tuple((name, slug, where) for slug, where in SECOND for name in shipped())


def shown(paper: int) -> Iterator[str]:
    """Yield the lines of the page that show the pictures that are there: each figure's side by side."""
    for (slug, where), wanted in groupby(_wanted(paper), key=lambda picture: picture[1:]):
        names = [name for name, _, _ in wanted if (FOLDER / _file(name, slug)).exists()]
        if names:
            yield f"**{where}**: {slug.replace('-', ' ')}."
            yield ""
        for pair in _pairs(names):
            yield f"| {' | '.join(f'`{name}`' for name in pair)} |"
            yield f"|{'---|' * len(pair)}"
            pictures = (
                f"![{slug.replace('-', ' ')} of {name}](pictures/reproduction/{_file(name, slug)})" for name in pair
            )
            yield f"| {' | '.join(pictures)} |"
            yield ""


def _pairs(names: list[str]) -> Iterator[list[str]]:
    return (names[first : first + 2] for first in range(0, len(names), 2))


def pictures(name: str) -> Iterator[Picture]:
    """Yield the pictures of a table."""
    made: dict[str, Figure] | None = None
    for table, slug, where in (*_wanted(1), *_wanted(2)):
        if table != name:
            continue
        if slug == EL2N:
            if (groups := _el2n(name)) is not None:
                yield Picture(name, where, groups)
            continue
        if made is None:
            chapters = report(load_table(name), draws=0).chapters
            made = {figure.slug: figure for chapter in chapters for figure in chapter.figures}
        if slug in made:
            yield Picture(name, where, made[slug])


def _el2n(name: str) -> El2nGroups | None:
    """Return losses by EL2N at the optimal sparsity, from the lens table that ships beside the rows."""
    points = []
    for row in main_rows(name, "loss-by-el2n", "optimal"):
        difference, deviation = row["difference"], row["difference_deviation"] or 0.0
        points.append(
            GroupPoint(
                f"noise {noise_words(row['label_noise'])}, density {row['density']:.3g}",
                row["low"],
                row["high"],
                row["el2n"],
                difference,
                difference - deviation,
                difference + deviation,
                VERDICTS[TreatmentOutcome(row["outcome"])],
            )
        )
    caption = (
        "Training examples grouped by EL2N, easiest to hardest, at the optimal sparsity. Bars: mean training loss of "
        "the sparse networks minus that of the dense ones; lines: ± one standard deviation over replicates."
    )
    return El2nGroups(caption, tuple(points)) if points else None


def main(arguments: list[str]) -> None:
    """Write the pictures, the tables' side by side in processes of their own."""
    folder = Path(arguments[-1])
    folder.mkdir(parents=True, exist_ok=True)
    tables = dict.fromkeys(name for name, _, _ in (*_wanted(1), *_wanted(2)))
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as workers:
        list(workers.map(partial(_draw, folder), tables))


def _draw(folder: Path, name: str) -> None:
    for picture in pictures(name):
        _write(picture, folder)


def _write(picture: Picture, folder: Path) -> None:
    with tempfile.TemporaryDirectory() as there:
        drawn = Path(there) / picture.name
        write_figure(picture.figure, drawn, "png", SIZE)
        image = Image.open(drawn).convert("RGB")
        height = round(image.height * ACROSS / image.width)
        small = image.resize((ACROSS, height), Image.Resampling.LANCZOS).quantize(COLOURS)
        small.save(folder / picture.name, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1:])
