"""A study: what varies, how everything is trained, what is done to it; and the ladders that it expands to.

A study is data. It knows nothing of stores, devices or networks.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from prunescope.errors import Fault, InputError, clipped
from prunescope.study import checks
from prunescope.study.catalogue import DATASETS, DatasetFacts, is_own_dataset
from prunescope.study.sections import (
    GROUP,
    KEEP_KEYS,
    Axes,
    El2n,
    Keep,
    OwnDataset,
    Recipe,
    StudyKeys,
    Treatment,
    completed,
)
from prunescope.study.validation_messages import faults_of

# Part of every identity. It grows when the same study comes to mean another training.
FORMAT = 1


def digest(content: object, length: int = 32) -> str:
    """Hash plain content (mappings, lists, text, numbers) the same way on every machine and Python version."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:length]


@dataclass(frozen=True)
class Cell:
    """One configuration: a member of a family on a share of a dataset.

    A user's own dataset is called by its name and the start of its hash: a changed file is another dataset.
    """

    family: str
    dataset: str
    depth: int
    width: float
    examples: int
    label_noise: float

    def seed_words(self, seed: int, replicate: int) -> tuple[int | str, ...]:
        """Return the words that all chance in training follows from: levels of label noise and treatments share it."""
        return seed, replicate, self.family, self.dataset, self.depth, repr(self.width), self.examples


@dataclass(frozen=True)
class Ladder:
    """One cell, one treatment, one replicate: rung 0 is dense, each further rung is sparser.

    Attributes
    ----------
    teacher
        Identity of the ladder that a leave-out treatment learns from; empty otherwise.
    teaches
        Whether another ladder of its study learns from it; its numbers do not depend on that.
    own
        The dataset, where it is a user's own; its hash is in the cell's name for it.
    group
        The group of examples by EL2N that it does without, 0 for the lowest scores; None where it leaves out others.
    scorer
        Identity of the ensemble whose scores make these groups; empty otherwise.
    """

    cell: Cell
    recipe: Recipe
    treatment: Treatment
    replicate: int
    seed: int
    teacher: str = ""
    teaches: bool = False
    own: OwnDataset | None = None
    group: int | None = None
    scorer: str = ""

    @property
    def facts(self) -> DatasetFacts:
        """The size of its dataset."""
        return self.own.facts if self.own else DATASETS[self.cell.dataset]

    @property
    def learns(self) -> bool:
        """Whether it depends on its teacher's measurements; not where it leaves out random examples."""
        return bool(self.teacher) and self.treatment.leave != "random"

    @property
    def waits_for(self) -> str:
        """Identity of the ladder or of the ensemble that must be finished before; empty where nothing must."""
        return self.scorer or (self.teacher if self.learns else "")

    @cached_property
    def identity(self) -> str:
        """32 hexadecimal digits that stand for everything that decides this ladder's numbers.

        The number of levels is not among it: it says how far to climb and changes no rung, so a study may be given more
        levels later and keeps what it has. Only leave-out ladders learn from the best of all rungs and depend on it.
        """
        treatment = self.treatment.model_dump(exclude={"name", "learns_from"})
        grouped = {"group": self.group, "scorer": self.scorer} if self.scorer else {}
        return digest(
            {
                "format": FORMAT,
                "cell": vars(self.cell),
                "recipe": decisive_keys(self.recipe),
                "treatment": treatment,
                "teacher": [self.teacher, self.recipe.levels] if self.learns else None,
                "replicate": self.replicate,
                "seed": self.seed,
                **grouped,
            }
        )

    @cached_property
    def unpruned(self) -> str:
        """32 hexadecimal digits that stand for everything that decides the network of rung 0.

        Ladders of one cell, recipe, replicate and seed begin with the same network, whatever is done to it afterwards;
        but a leave-out ladder's has seen other examples.
        """
        if self.treatment.kind == "leave-out":
            return self.identity
        return digest(
            {
                "format": FORMAT,
                "cell": vars(self.cell),
                "recipe": decisive_keys(self.recipe),
                "replicate": self.replicate,
                "seed": self.seed,
            }
        )

    @cached_property
    def recipe_identity(self) -> str:
        """12 hexadecimal digits for the recipe alone: rows that share it were trained alike."""
        return digest({"format": FORMAT, "recipe": decisive_keys(self.recipe)}, 12)

    @property
    def rungs(self) -> int:
        """How many networks the ladder trains."""
        return 1 if self.treatment.kind in ("dense", "leave-out") else self.recipe.levels + 1

    def cell_at(self, rung: int) -> Cell:
        """Return the cell that a rung's network belongs to: the ladder's own, or of narrow ladders a narrower one.

        Widths have twelve digits, so that 0.8 times 0.8 is the 0.64 that a study would write.
        """
        if self.treatment.kind != "narrow" or rung == 0:
            return self.cell
        width = self.cell.width * (1 - self.recipe.pruning_fraction) ** rung
        return replace(self.cell, width=float(f"{width:.12g}"))


_AFTER_SCORING = ("epochs", "prunable", "pruning_fraction", "rewind_epoch")  # of a recipe; they decide no score


def scores_identity(cell: Cell, recipe: Recipe, replicate: int, seed: int, el2n: tuple[int, int]) -> str:
    """Return 32 hexadecimal digits that stand for everything that decides the scores of a cell and replicate.

    Parameters
    ----------
    el2n
        How many networks score, and after how many epochs.
    """
    keys = {name: value for name, value in decisive_keys(recipe).items() if name not in _AFTER_SCORING}
    content = {"format": FORMAT, "el2n": list(el2n), "cell": vars(cell), "recipe": keys}
    return digest(content | {"replicate": replicate, "seed": seed})


EPOCH_WITH_NOISE, EPOCH = 10, 20


def scored_by(el2n: El2n, recipe: Recipe, cell: Cell) -> tuple[int, int]:
    """Return how many networks score the examples of a cell, and after how many epochs."""
    usual = min(recipe.epochs, EPOCH_WITH_NOISE if cell.label_noise else EPOCH)
    return el2n.networks, el2n.epoch or usual


def decisive_keys(recipe: Recipe) -> dict[str, Any]:
    """Return the keys of a recipe that decide a row, so that one training has one identity however it is spelled."""
    idle = {"levels"} | ({"factor"} if recipe.schedule != "steps" else set())
    return recipe.model_dump(mode="json", exclude=idle)


def _dotted(*path: object) -> str:
    return ".".join(str(step) for step in path)


@dataclass(frozen=True)
class Study:
    """Axes, recipe and treatments under a name.

    Build one from a file with `read_study`, or here; either way all faults are reported together.

    Attributes
    ----------
    datasets
        The user's own datasets as they were read (`prunescope.data.read_datasets`); cells and ladders need them.
    home
        The folder of the study's file, which relative paths are relative to; None: the current folder.
    """

    name: str
    axes: tuple[Axes, ...]
    recipe: Recipe
    treatments: tuple[Treatment, ...] = field(default=(Treatment(kind="imp"),))
    replicates: int = 3
    seed: int = 0
    purpose: str = ""
    expected: str = ""
    cost: str = ""
    keep: Keep = "none"
    keep_examples: Keep = "none"
    keep_test_examples: Keep = "none"
    el2n: El2n | None = None
    datasets: tuple[OwnDataset, ...] = ()
    home: Path | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        faults: list[Fault] = []
        head: StudyKeys | None = None
        try:
            head = StudyKeys.model_validate(
                {name: getattr(self, name) for name in StudyKeys.model_fields if name != "format"}
            )
        except ValidationError as trouble:
            faults += faults_of(trouble.errors(include_url=False), StudyKeys, (), _dotted)
        shapes: tuple[tuple[str, type, object], ...] = (
            ("axes", Axes, self.axes),
            ("treatments", Treatment, self.treatments),
            ("recipe", Recipe, (self.recipe,)),
        )
        for name, kind, parts in shapes:
            if not isinstance(parts, tuple) or not parts or not all(isinstance(item, kind) for item in parts):
                must = f"must be {'a' if name == 'recipe' else 'a tuple of'} {kind.__name__}"
                faults.append(Fault(name, must, clipped(getattr(self, name))))
        el2n: object = self.el2n
        if el2n is not None and not isinstance(el2n, El2n):
            faults.append(Fault("el2n", "must be an El2n, or None", clipped(el2n)))
        sections: object = self.datasets
        if not isinstance(sections, tuple) or not all(isinstance(item, OwnDataset) for item in sections):
            faults.append(Fault("datasets", "must be a tuple of OwnDataset", clipped(sections)))
        if not faults:
            faults += checks.el2n_faults(self.el2n, self.recipe, _dotted)
            faults += checks.group_faults(self.el2n, dict(enumerate(self.treatments)), _dotted)
            if not self.name.isprintable() or self.name != self.name.strip():
                must = "must be printable text without white space around it"
                faults.append(Fault("name", must, clipped(self.name)))
            axes, treatments = dict(enumerate(self.axes)), dict(enumerate(self.treatments))
            facts = {own.name: own.facts for own in self.datasets}
            faults += checks.dataset_faults(dict(enumerate(self.datasets)), _dotted)
            faults += checks.study_faults(axes, self.recipe, treatments, head, _dotted, datasets=facts)
        if faults:
            raise InputError(f"study {clipped(self.name)}", faults)
        object.__setattr__(self, "treatments", tuple(completed(treatment) for treatment in self.treatments))

    @cached_property
    def unread(self) -> tuple[str, ...]:
        """The user's own datasets that were not read yet, as the axes name them."""
        known = {own.name for own in self.datasets}
        named = dict.fromkeys(name for axes in self.axes for name in axes.dataset)
        return tuple(name for name in named if is_own_dataset(name) and name not in known)

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """Every combination of the axes, in their order, each once."""
        return tuple(self.extent)

    @cached_property
    def extent(self) -> dict[Cell, list[int]]:
        """Levels of each replicate of each cell: the most that any axes ask for it."""
        if self.unread:
            must = "must be read before cells are counted (prunescope.data.read_datasets)"
            raise InputError(f"study {clipped(self.name)}", [Fault(f"dataset {name}", must) for name in self.unread])
        extent: dict[Cell, list[int]] = {}
        own = {dataset.name: dataset for dataset in self.datasets}
        for axes in self.axes:
            levels = self.recipe.levels if axes.levels is None else axes.levels
            per_replicate = [levels] * (axes.replicates or self.replicates)
            for family, dataset, depth, width, examples, noise in itertools.product(
                axes.family, axes.dataset, axes.depth, axes.width, axes.examples, axes.label_noise
            ):
                facts = own[dataset].facts if dataset in own else DATASETS[dataset]
                label = own[dataset].label if dataset in own else dataset
                number = checks.resolve_examples(examples, facts, self.recipe.validation)
                if number is not None:
                    before = extent.setdefault(Cell(family, label, depth, width, number, noise), [])
                    both = itertools.zip_longest(before, per_replicate, fillvalue=0)
                    before[:] = [max(pair) for pair in both]
        return extent

    def teaches(self, treatment: Treatment) -> bool:
        """Whether ladders of another treatment learn from this one's."""
        return any(other.learns_from == treatment.label and other.leave != "random" for other in self.treatments)

    @cached_property
    def ladders(self) -> tuple[Ladder, ...]:
        """Every cell under every treatment, once per replicate; each ladder after the one it learns from."""
        order = sorted(self.treatments, key=lambda treatment: treatment.learns_from is not None)
        teaching = {treatment.label: self.teaches(treatment) for treatment in order}
        recipes: dict[int, Recipe] = {}
        own = {dataset.label: dataset for dataset in self.datasets}
        ladders: list[Ladder] = []
        for cell, per_replicate in self.extent.items():
            for replicate, levels in enumerate(per_replicate):
                if levels not in recipes:
                    recipes[levels] = self.recipe.model_copy(update={"levels": levels})
                recipe = recipes[levels]
                known: dict[str, Ladder] = {}
                for treatment in order:
                    teacher = known[treatment.learns_from].identity if treatment.learns_from else ""
                    teaches = teaching[treatment.label]
                    dataset = own.get(cell.dataset)
                    ladder = Ladder(cell, recipe, treatment, replicate, self.seed, teacher, teaches, dataset)
                    known[treatment.label] = ladder
                    ladders += self._without_groups(ladder) if treatment.leave == GROUP else (ladder,)
        return tuple(ladders)

    def _without_groups(self, ladder: Ladder) -> Iterator[Ladder]:
        """Yield a ladder for each group of examples that it may do without."""
        if self.el2n is None:
            raise ValueError("a study that leaves out groups by EL2N has a section for it")
        el2n = scored_by(self.el2n, self.recipe, ladder.cell)
        scorer = scores_identity(ladder.cell, self.recipe, ladder.replicate, self.seed, el2n)
        for group in range(ladder.treatment.groups or 0):
            yield replace(ladder, group=group, scorer=scorer)

    @cached_property
    def identity(self) -> str:
        """32 hexadecimal digits for the whole study, words included."""
        return digest(self.to_mapping())

    @property
    def folder(self) -> str:
        """What its store is called where none is named: its name, where that can be the name of a folder.

        A slash becomes a dash, and a name that would be hidden, or be taken for an option, loses what it begins with.
        """
        name = self.name.replace("/", "-").lstrip(".- ").encode()[:200].decode(errors="ignore")
        return name or f"study-{self.identity[:8]}"

    def to_mapping(self) -> dict[str, Any]:
        """Return the study as plain content, every default written out."""
        keeps = {key: getattr(self, key) for key in KEEP_KEYS}
        words = {"purpose": self.purpose, "expected": self.expected, "cost": self.cost}
        return {
            "format": FORMAT,
            "name": self.name,
            **{key: text for key, text in words.items() if text},
            "replicates": self.replicates,
            "seed": self.seed,
            **{key: keep if keep == "all" else list(keep) for key, keep in keeps.items() if keep != "none"},
            "axes": [axes.model_dump(mode="json", exclude_none=True) for axes in self.axes],
            "recipe": self.recipe.model_dump(mode="json"),
            **({"el2n": self.el2n.model_dump(mode="json", exclude_none=True)} if self.el2n else {}),
            "treatments": [treatment.model_dump(mode="json", exclude_none=True) for treatment in self.treatments],
            **({"datasets": [own.model_dump(mode="json") for own in self.datasets]} if self.datasets else {}),
        }

    def to_toml(self) -> str:
        """Return the study as the file that `read_study` reads."""
        import tomli_w

        return tomli_w.dumps(self.to_mapping())
