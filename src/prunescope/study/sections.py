"""The parts of a study: axes, recipe, treatments. Types and ranges only; what ties parts together is in `checks`.

Every field's description is its documentation: `docs/study.md` is checked against it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from prunescope.study.catalogue import DatasetFacts, is_import_path, is_library_name

_FRACTION = re.compile(r"([1-9][0-9]{0,8})/([1-9][0-9]{0,8})")

Kind = Literal["dense", "imp", "one-shot", "extended", "narrow", "leave-out"]


def _as_list(value: Any) -> Any:
    """Let an axis with one value be written without brackets."""
    return value if isinstance(value, list | tuple) else [value]


def _fraction(value: Any) -> Any:
    """Read a fraction such as "1/8" as the number that it is."""
    parts = _FRACTION.fullmatch(value) if isinstance(value, str) else None
    return int(parts[1]) / int(parts[2]) if parts else value


def _plain_zero(value: float) -> float:
    """Turn -0.0 into 0.0: two spellings of one number must not make two ladders."""
    return value + 0.0


Number = Annotated[float, Field(allow_inf_nan=False), AfterValidator(_plain_zero)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Whole = Annotated[int, Field(ge=1, le=1_000_000)]
MOST_VALUES = 1_000
"""Values that one list of a study may hold."""
MOST_LEVELS = 200
Prunable = str | tuple[str, ...]
"""Weights that pruning may remove: ``all``, ``all-but-output``, or patterns of names."""
NormStart = Literal["uniform", "ones", "zero-last"]
"""How scales of normalisations start: from 0 to 1; at 1; at 1, but the last of each residual branch at 0."""
Keep = Literal["none", "all"] | tuple[int, ...]
"""Which rungs a run keeps something of."""


_Kept = (
    Literal["none", "all"]
    | Annotated[
        tuple[Annotated[int, Field(strict=True, ge=0)], ...], Field(strict=False, min_length=1, max_length=MOST_VALUES)
    ]
)


_Pattern = Annotated[str, Field(strict=True, min_length=1, max_length=200, pattern=r"^!?[\w.*?\[\]-]+$")]


class Section(BaseModel):
    """Base of all parts: frozen, strict about types, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _axis(meaning: str, **rules: Any) -> Any:
    return Field(description=meaning, min_length=1, max_length=MOST_VALUES, strict=False, **rules)


class StudyKeys(Section):
    """The keys of a study outside its sections."""

    name: str = Field(min_length=1, max_length=100, description="any printable text")
    format: int = Field(1, ge=1, le=1, description="version of these rules")
    purpose: str = Field("", max_length=5_000, description="why")
    expected: str = Field("", max_length=5_000, description="what should come out")
    cost: str = Field("", max_length=5_000, description="what it takes, in words")
    replicates: int = Field(3, ge=1, le=100_000, description="repetitions, each with seeds of its own")
    seed: int = Field(0, ge=0, le=2**63 - 1, description="what all randomness of the study starts from")
    keep: _Kept = Field("none", description="rungs whose weights the store keeps")
    keep_examples: _Kept = Field(
        "none", description="rungs of which the store keeps the outcome on every training example"
    )
    keep_test_examples: _Kept = Field(
        "none", description="rungs of which the store keeps whether each test example is classified correctly"
    )


KEEP_KEYS = ("keep", "keep_examples", "keep_test_examples")
"""The keys of a study that name rungs."""


def keeps(keep: Keep, rung: int) -> bool:
    """Whether something of a rung is to be kept."""
    return keep == "all" if isinstance(keep, str) else rung in keep


class Axes(Section):
    """What varies: every combination of these values is one cell. One value needs no brackets."""

    @model_validator(mode="before")
    @classmethod
    def _sized_by_name(cls, content: Any) -> Any:
        """Let depth and width be left out where every family is a library's, whose names say both."""
        families = _as_list(content.get("family")) if isinstance(content, Mapping) else ()
        if families and all(isinstance(family, str) and is_library_name(family) for family in families):
            return {"depth": 1, "width": 1.0, **content}
        return content

    dataset: Annotated[tuple[Name, ...], BeforeValidator(_as_list)] = _axis(
        "names of datasets, or files, folders and functions of one's own"
    )
    family: Annotated[tuple[Name, ...], BeforeValidator(_as_list)] = _axis(
        "names of network families, timm:NAME, torchvision:NAME, or package.module:function for one's own"
    )
    depth: Annotated[tuple[Annotated[int, Field(strict=True, ge=1, le=2_000)], ...], BeforeValidator(_as_list)] = _axis(
        "numbers of layers with weights, shortcuts aside"
    )
    width: Annotated[
        tuple[Annotated[Annotated[Number, Field(strict=True, gt=0, le=1_000)], BeforeValidator(_fraction)], ...],
        BeforeValidator(_as_list),
    ] = _axis('width factors, such as 0.125 or "1/8"; 1 is the family\'s own width')
    examples: Annotated[
        tuple[Annotated[int, Field(strict=True, ge=1)] | Annotated[str, Field(strict=True)], ...],
        BeforeValidator(_as_list),
    ] = _axis('training examples: numbers, "all", or shares such as "1/4"', default=("all",))
    label_noise: Annotated[tuple[Annotated[Number, Field(strict=True, ge=0, lt=1)], ...], BeforeValidator(_as_list)] = (
        _axis("shares of training labels changed to another class", default=(0.0,))
    )
    levels: Annotated[int, Field(ge=0, le=MOST_LEVELS)] | None = Field(
        None, description="rungs above the dense one for these cells alone; the recipe's where not given"
    )
    replicates: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        None, description="repetitions of these cells alone; the study's where not given"
    )


AXIS_KEYS = ("dataset", "family", "depth", "width", "examples", "label_noise")
"""The keys of axes whose every combination is a cell."""


class Recipe(Section):
    """How each network of the study is trained and pruned. Epochs count from 0."""

    epochs: Whole = Field(description="epochs of one training from start to completion")
    batch: Whole = Field(description="examples in a gradient step")
    learning_rate: Annotated[Number, Field(gt=0)] = Field(description="highest learning rate")
    optimizer: Literal["sgd", "adam", "adamw"] = Field("sgd", description="update rule")
    momentum: Annotated[Number, Field(ge=0, lt=1)] = Field(0.0, description="momentum of sgd")
    nesterov: bool = Field(False, description="Nesterov's form of momentum")
    weight_decay: Annotated[Number, Field(ge=0)] = Field(
        0.0, description="L2 penalty on all parameters; decay apart from the gradient with adamw"
    )
    clip_norm: Annotated[Number, Field(gt=0)] | None = Field(
        None, description="largest norm of a network's gradient, which is scaled down to it; no bound where not given"
    )
    label_smoothing: Annotated[Number, Field(ge=0, lt=1)] = Field(
        0.0, description="share of the target that is spread over all classes in training"
    )
    schedule: Literal["constant", "steps", "cosine", "linear", "one-cycle"] = Field(
        "constant", description="learning rate over the steps of a training"
    )
    milestones: Annotated[
        tuple[Annotated[int, Field(strict=True, ge=1)], ...], Field(strict=False, max_length=MOST_VALUES)
    ] = Field((), description="epochs at which a schedule of steps multiplies the rate by `factor`")
    factor: Annotated[Number, Field(gt=0, le=1)] = Field(0.1, description="what each milestone multiplies by")
    end_factor: Annotated[Number, Field(ge=0, lt=1)] = Field(
        0.0, description="share of the highest rate that cosine and linear fall to"
    )
    warmup: Annotated[int, Field(ge=0)] = Field(
        0, description="epochs of linear growth from 0 to the full rate; with one-cycle, epochs of its rise"
    )
    augment: Literal["none", "flip-crop", "resized-crop", "flip-resized-crop"] = Field(
        "none",
        description="changes to training pictures: random flip, and crop after 4 pixels of padding; "
        "or a random part scaled to the whole, with a random flip or without",
    )
    accumulate: Whole = Field(
        1,
        description="parts that each batch is cut into, computed one after the other, so that less memory is needed; "
        "gradients are those of the batch, normalisations take the statistics of a part",
    )
    precision: Literal["float32", "bfloat16", "float16"] = Field("float32", description="arithmetic of products")
    norm_start: NormStart = Field(
        "uniform",
        description="scales of normalisations before training: uniform in [0, 1], ones, or ones but zero for the last "
        "of each residual branch",
    )
    validation: Annotated[Number, Field(ge=0, lt=1)] = Field(
        0.0, description="share of the training set held out, drawn anew for each replicate"
    )
    measure_train: Literal["all"] | Whole = Field(
        "all",
        description="training examples that a network's error and loss on them are measured on, drawn at random for "
        "each replicate; all, or a number",
    )
    prunable: (
        Literal["all", "all-but-output"]
        | Annotated[tuple[_Pattern, ...], Field(strict=False, min_length=1, max_length=MOST_VALUES)]
    ) = Field(
        "all",
        description="weights that pruning may remove: of every convolution and linear layer, or not the last; "
        'or patterns of names such as ["blocks.*", "!head"]',
    )
    pruning_fraction: Annotated[Number, Field(gt=0, lt=1)] = Field(
        0.2, description="share of the remaining prunable weights removed from rung to rung"
    )
    rewind_epoch: Annotated[int, Field(ge=0)] = Field(
        0, description="epoch that weights or learning rate go back to before retraining"
    )
    levels: Annotated[int, Field(ge=0, le=MOST_LEVELS)] = Field(
        description="rungs above the dense one; more can be asked for later without redoing any"
    )

    def measured(self, examples: int) -> int:
        """Return on how many of a network's training examples it is measured."""
        return examples if self.measure_train == "all" else min(self.measure_train, examples)

    @model_serializer(mode="wrap")
    def _as_before(self, written: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out later keys that are not set, so that identities stay those of stores that did not know them."""
        content: dict[str, Any] = written(self)
        usual = {key: type(self).model_fields[key].default for key in _LATER_KEYS}
        return {key: value for key, value in content.items() if key not in usual or value != usual[key]}


_LATER_KEYS = ("clip_norm", "label_smoothing", "end_factor", "norm_start", "measure_train", "accumulate")


_Count = Annotated[int, Field(ge=1, le=10_000_000)]


class OwnDataset(Section):
    """What a dataset of a user's own held when it was read. A run writes this into its store; nobody has to."""

    name: Name = Field(description="the dataset as the axes name it")
    hash: str = Field(pattern="^[0-9a-f]{64}$", description="SHA-256 over its arrays")
    train: _Count = Field(description="training examples")
    test: _Count = Field(description="test examples")
    validation: Annotated[int, Field(ge=0, le=10_000_000)] = Field(
        0, description="examples of a validation part of its own"
    )
    classes: Annotated[int, Field(ge=2, le=10_000)] = Field(description="number of classes")
    shape: tuple[_Count, _Count, _Count] = Field(strict=False, description="channels, height and width of a picture")
    values: Literal["uint8", "float32"] = Field("uint8", description="type of its values")

    @property
    def label(self) -> str:
        """What cells and rows call it: its name without the folder, and the start of its hash."""
        if is_import_path(self.name):
            stem = self.name.partition(":")[2]
        else:
            stem = PurePosixPath(self.name).name
            stem = stem[:-4] if stem.lower().endswith(".npz") else stem
        return f"{stem.strip('.') or 'data'}@{self.hash[:12]}"

    @property
    def facts(self) -> DatasetFacts:
        """Its size, as the catalogue has those of known datasets."""
        return DatasetFacts(self.train, self.test, self.classes, self.shape, self.validation)


class El2n(Section):
    """Which networks score the training examples: how far their early predictions are from the labels."""

    networks: Annotated[int, Field(ge=1, le=1_000)] = Field(
        10, description="dense networks, each with a seed of its own, whose mean error scores an example"
    )
    epoch: Annotated[int, Field(ge=1)] | None = Field(
        None, description="epochs that they are trained; 10 with label noise and 20 without where not given"
    )


class Treatment(Section):
    """What is done to a cell. Only `kind` is needed; the other keys belong to some kinds alone."""

    kind: Kind = Field(description="what is done")
    name: Annotated[str, Field(min_length=1, max_length=60)] | None = Field(
        None, description="how this file calls it; the kind where it is not given"
    )
    rewind: Literal["weights", "learning-rate", "fine-tuning", "reinitialise"] | None = Field(
        None, description="imp, one-shot: how training goes on after pruning; weights where not given"
    )
    score: Name | None = Field(None, description="imp, one-shot: which weights count least; magnitude where not given")
    scope: Literal["global", "layer"] | None = Field(
        None,
        description="imp, one-shot: ranks over the whole network or layer by layer; global where not given",
    )
    learns_from: Annotated[str, Field(min_length=1, max_length=60)] | None = Field(
        None, description="leave-out: name of the treatment whose ladder tells which examples to leave out"
    )
    leave: Literal["improved", "worsened", "misclassified", "random", "group"] | None = Field(
        None,
        description="leave-out: examples that pruning improved or worsened most, the sparse model gets wrong, any, or "
        "one group by EL2N after the other",
    )
    share: Annotated[Number, Field(gt=0, lt=1)] | None = Field(
        None, description="leave-out: share of examples left out when improved, worsened or random; 0.2 where not given"
    )

    groups: Annotated[int, Field(ge=2, le=MOST_VALUES)] | None = Field(
        None, description="leave-out of groups: how many by EL2N, with a ladder for each; 20 where not given"
    )

    @model_serializer(mode="wrap")
    def _as_before(self, written: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out the later key where it is not set, so that identities stay what they were."""
        content: dict[str, Any] = written(self)
        return {key: value for key, value in content.items() if key != "groups" or value is not None}

    @property
    def label(self) -> str:
        """The name that other treatments of the study refer to."""
        return self.name or self.kind


PRUNING = ("imp", "one-shot")
_REWINDS = ("learning-rate", "weights", "fine-tuning", None, "reinitialise")


def pruning_rank(kind: str | None, rewind: str | None, score: str | None, scope: str | None) -> tuple[int, ...]:
    """Return how far a treatment is from the second paper's, iterative pruning with learning-rate rewinding.

    The lowest rank is the main treatment of a cell; None stands for what a table does not say.
    """
    kinds = (None, *PRUNING)
    return (
        int(score not in (None, "magnitude")),
        kinds.index(kind) if kind in kinds else len(kinds),
        int(rewind == "reinitialise"),
        int(scope not in (None, "global")),
        _REWINDS.index(rewind) if rewind in _REWINDS else len(_REWINDS),
    )


# Which optional keys a kind has, and what they are where a study does not say.
DEFAULTS: dict[str, dict[str, Any]] = {
    "dense": {},
    "imp": {"rewind": "weights", "score": "magnitude", "scope": "global"},
    "one-shot": {"rewind": "weights", "score": "magnitude", "scope": "global"},
    "extended": {},
    "narrow": {},
    "leave-out": {"learns_from": None, "leave": "improved", "share": 0.2, "groups": None},
}
KIND_KEYS = ("rewind", "score", "scope", "learns_from", "leave", "share", "groups")
GROUP = "group"
"""What a leave-out treatment leaves out that trains a ladder without each group of examples by EL2N."""


def completed(treatment: Treatment) -> Treatment:
    """Return the treatment with every key that its kind has filled in."""
    defaults = dict(DEFAULTS[treatment.kind])
    if treatment.leave in ("misclassified", GROUP):
        defaults["share"] = None
    if treatment.leave == GROUP:
        defaults["groups"] = 20
    missing = {key: value for key, value in defaults.items() if getattr(treatment, key) is None}
    return treatment.model_copy(update={"name": treatment.label, **missing})
