"""A ladder that a training loop of somebody's own climbs: what `Recorder` is told of it, checked, and its identity."""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, ValidationError

from prunescope.errors import Fault, InputError, clipped
from prunescope.study.catalogue import DATASETS, SCORES, is_import_path
from prunescope.study.sections import (
    DEFAULTS,
    MOST_LEVELS,
    MOST_VALUES,
    PRUNING,
    Name,
    Number,
    Section,
    Treatment,
    completed,
)
from prunescope.study.study import FORMAT, Cell, digest
from prunescope.study.validation_messages import faults_of

# They say how far the ladder goes and who climbs it; no rung's numbers depend on them.
_IDLE = {"levels", "source"}


class RecordedLadder(Section):
    """One cell, one treatment, one replicate, trained elsewhere. Epochs count from 0."""

    family: Name = Field("own", description="networks of one design; any name")
    dataset: Name = Field("own", description="what they are trained on; any name")
    depth: Annotated[int, Field(ge=1)] = Field(1, description="number of layers, where it varies")
    width: Annotated[Number, Field(gt=0)] = Field(1.0, description="width factor, where it varies")
    examples: Annotated[int, Field(ge=1)] = Field(1, description="number of training examples")
    label_noise: Annotated[Number, Field(ge=0, lt=1)] = Field(0.0, description="share of labels changed")
    replicate: Annotated[int, Field(ge=0)] = Field(0, description="which repetition")
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = Field(0, description="what the rungs' seeds follow from")
    treatment: Literal["imp", "one-shot", "extended", "dense"] = Field("imp", description="what is done")
    rewind: Literal["weights", "learning-rate", "fine-tuning", "reinitialise"] | None = Field(
        None, description="how training goes on after pruning"
    )
    score: Name | None = Field(None, description="which weights count least")
    scope: Literal["global", "layer"] | None = Field(None, description="ranks over the network or by layer")
    levels: Annotated[int, Field(ge=0, le=MOST_LEVELS)] = Field(description="rungs above the dense one")
    pruning_fraction: Annotated[Number, Field(gt=0, lt=1)] = Field(
        0.2, description="share of the remaining weights removed from rung to rung"
    )
    densities: Annotated[tuple[Annotated[Number, Field(gt=0, le=1)], ...], Field(strict=False)] | None = Field(
        None, description="densities of the rungs, instead of a fraction", min_length=1, max_length=MOST_LEVELS + 1
    )
    rewind_epoch: Annotated[int, Field(ge=0)] = Field(0, description="epoch that rewinding goes back to")
    prunable: Name | Annotated[tuple[Name, ...], Field(strict=False, min_length=1, max_length=MOST_VALUES)] = Field(
        "all", description="which layers may be pruned"
    )
    recipe: dict[str, JsonValue] = Field(default_factory=dict, description="how it is trained, in any words")
    source: str = Field("", max_length=1_000, description="whose loop it is")

    @property
    def rungs(self) -> int:
        """How many networks the ladder trains."""
        return 1 if self.treatment == "dense" else self.levels + 1

    @property
    def cell(self) -> Cell:
        """Its configuration."""
        return Cell(self.family, self.dataset, self.depth, self.width, self.examples, self.label_noise)

    @cached_property
    def done(self) -> Treatment:
        """Its treatment as a study would write it."""
        return completed(Treatment(kind=self.treatment, rewind=self.rewind, score=self.score, scope=self.scope))

    @cached_property
    def identity(self) -> str:
        """32 hexadecimal digits that stand for everything that decides this ladder's numbers, as far as it was told."""
        return digest({"format": FORMAT, "recorded": self.model_dump(mode="json", exclude=_IDLE)})

    @cached_property
    def recipe_keys(self) -> dict[str, Any]:
        """What rows trained alike share."""
        shared = {"recipe", "pruning_fraction", "densities", "rewind_epoch", "prunable"}
        return self.model_dump(mode="json", include=shared)

    @cached_property
    def recipe_identity(self) -> str:
        """12 hexadecimal digits for what rows trained alike share."""
        return digest({"format": FORMAT, "recorded": self.recipe_keys}, 12)

    @cached_property
    def scores_identity(self) -> str:
        """32 hexadecimal digits for scores of its training examples, which all treatments of its cell share."""
        told = {"recipe": self.recipe, "replicate": self.replicate, "seed": self.seed, "cell": vars(self.cell)}
        return digest({"format": FORMAT, "recorded el2n": told})

    def density(self, rung: int) -> float:
        """Return the density that a rung is meant to have; beyond the last of a list, the last."""
        if rung == 0 or self.treatment not in PRUNING:
            return 1.0
        if self.densities is not None:
            return self.densities[min(rung, len(self.densities) - 1)]
        density: float = (1 - self.pruning_fraction) ** rung
        return density

    def keep(self, size: int, rung: int) -> int:
        """Return how many of ``size`` prunable weights a rung keeps."""
        return round(size * self.density(rung))

    @property
    def words(self) -> str:
        """What it is, for people."""
        return f"{self.family} l={self.depth} w={self.width:g} on {self.dataset}, replicate {self.replicate}"


def recorded_ladder(given: dict[str, Any]) -> RecordedLadder:
    """Return a ladder as it was described, or say all that is wrong with it.

    Raises
    ------
    InputError
        With every fault.
    """
    content = {name: _plain(value) for name, value in given.items() if value is not None}
    densities = content.get("densities")
    if isinstance(densities, list | tuple) and "levels" not in content:
        content["levels"] = len(densities) - 1
    if content.get("treatment") == "dense":
        content.setdefault("levels", 0)
    known = DATASETS.get(content.get("dataset", ""))
    if known is not None:
        content.setdefault("examples", known.train)
    try:
        ladder = RecordedLadder.model_validate(content)
    except ValidationError as trouble:
        raise InputError(
            "the recorder", faults_of(trouble.errors(include_url=False), RecordedLadder, (), _dotted)
        ) from None
    faults = [*_schedule_faults(ladder), *_treatment_faults(ladder)]
    if faults:
        raise InputError("the recorder", faults)
    # One training has one identity, however it is spelled.
    usual = {key: value for key, value in DEFAULTS[ladder.treatment].items() if getattr(ladder, key) is None}
    return ladder.model_copy(update=usual | ({"pruning_fraction": 0.2} if ladder.densities else {}))


def _plain(value: Any) -> Any:
    """Return single numbers of numpy and torch as Python's, and tuples as lists, at any depth."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def _dotted(*path: object) -> str:
    return ".".join(str(step) for step in path)


def _schedule_faults(ladder: RecordedLadder) -> list[Fault]:
    if ladder.densities is None:
        return []
    faults = []
    if ladder.densities[0] != 1 or any(after >= before for before, after in pairwise(ladder.densities)):
        faults.append(Fault("densities", "must begin with 1 and fall from rung to rung", clipped(ladder.densities)))
    if ladder.levels > len(ladder.densities) - 1:
        must = f"must be at most {len(ladder.densities) - 1}, one less than there are densities"
        faults.append(Fault("levels", must, str(ladder.levels)))
    return faults


def _treatment_faults(ladder: RecordedLadder) -> list[Fault]:
    faults = [
        Fault(key, f"must not be given for treatment {ladder.treatment}", clipped(getattr(ladder, key)))
        for key in ("rewind", "score", "scope")
        if key not in DEFAULTS[ladder.treatment] and getattr(ladder, key) is not None
    ]
    if ladder.score is not None and ladder.score not in SCORES and not is_import_path(ladder.score):
        faults.append(Fault("score", f"must be one of {', '.join(SCORES)}, or a function", clipped(ladder.score)))
    if isinstance(ladder.prunable, str) and ladder.prunable not in ("all", "all-but-output"):
        must = 'must be "all", "all-but-output", or a list of names and patterns'
        faults.append(Fault("prunable", must, clipped(ladder.prunable)))
    return faults
