"""What must hold between the parts of a study, each rule a generator of faults.

`sections` checks types and ranges of single keys first; a rule runs only when the parts it reads are valid, so that one
mistake is reported once.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from types import MappingProxyType

from prunescope.errors import Fault, clipped, listed, nearest
from prunescope.study.catalogue import (
    DATASETS,
    FAMILIES,
    NORMALISED,
    RESIDUAL,
    SCORES,
    DatasetFacts,
    is_import_path,
    is_library_name,
    is_own_dataset,
)
from prunescope.study.sections import (
    AXIS_KEYS,
    DEFAULTS,
    GROUP,
    KEEP_KEYS,
    KIND_KEYS,
    PRUNING,
    Axes,
    El2n,
    Keep,
    OwnDataset,
    Recipe,
    StudyKeys,
    Treatment,
    completed,
)

MOST_LADDERS = 100_000
MOST_LAYERS = 1_000_000  # of all networks that differ in shape
SHARE = re.compile(r"1/([1-9][0-9]{0,8})")

OWN_DATASETS = "FILE.npz, FOLDER/ or package.module:function"

# From the path of a key, such as ("axes", 0, "depth"), to words with its line.
Locate = Callable[..., str]


def held_out(facts: DatasetFacts, validation: float) -> int:
    """Return how many training examples are held out; none where the dataset has a validation part of its own."""
    return 0 if facts.validation else round(facts.train * validation)


def resolve_examples(examples: int | str, facts: DatasetFacts, validation: float) -> int | None:
    """Return the number of training examples that a study asks for, or None where the words mean nothing."""
    if isinstance(examples, int):
        return examples
    available = facts.train - held_out(facts, validation)
    if examples == "all":
        return available
    share = SHARE.fullmatch(examples)
    return available // int(share[1]) if share else None


def study_faults(
    axes: Mapping[int, Axes],
    recipe: Recipe | None,
    treatments: Mapping[int, Treatment],
    head: StudyKeys | None,
    locate: Locate,
    unsound: Set[str] = frozenset(),
    unsound_treatments: Set[str] = frozenset(),
    datasets: Mapping[str, DatasetFacts] = MappingProxyType({}),
) -> Iterator[Fault]:
    """Every rule between parts, over the parts that are sound: keyed by their position in the file.

    ``datasets`` are those of the user's own that were read; rules about the size of others wait. ``head`` is None where
    it could not be read. ``unsound`` names keys of the recipe whose value is only a stand-in, ``unsound_treatments``
    treatments that the study has but that could not be read.
    """
    too_many = list(_size_faults(axes.values(), treatments.values(), recipe, head.replicates if head else 1, locate))
    if too_many:
        yield from too_many
        return
    if recipe:
        yield from (fault for keys, fault in _recipe_rules(recipe, locate) if not unsound & keys)
        if head and "levels" not in unsound:
            yield from _keep_faults(head, recipe.levels, locate)
    yield from _axes_faults(axes, locate)
    known = {**DATASETS, **datasets}
    yield from _example_faults(axes, recipe.validation if recipe else 0.0, locate, known)
    yield from _treatment_faults(treatments, locate, unsound_treatments)
    yield from _narrow_faults(treatments, axes, locate)
    if recipe:
        yield from _norm_faults(axes, recipe, locate)
        yield from _measure_faults(treatments, axes, recipe, locate, unsound, known)


def _recipe_rules(recipe: Recipe, locate: Locate) -> Iterator[tuple[set[str], Fault]]:
    """Rules within the recipe that do not hold, each with the keys that it reads."""

    def at(key: str) -> str:
        return locate("recipe", key)

    epochs, milestones = recipe.epochs, recipe.milestones
    if recipe.nesterov and recipe.momentum == 0:
        yield {"nesterov", "momentum"}, Fault(at("nesterov"), "needs momentum above 0", "momentum 0")
    if recipe.optimizer != "sgd" and (recipe.momentum or recipe.nesterov):
        must = f"belongs to sgd; leave momentum and nesterov out with {recipe.optimizer}"
        yield {"optimizer", "momentum", "nesterov"}, Fault(at("momentum"), must, f"{recipe.momentum:g}")
    if recipe.schedule != "steps" and milestones:
        fault = Fault(at("milestones"), 'need schedule = "steps"', f'schedule = "{recipe.schedule}"')
        yield {"schedule", "milestones"}, fault
    if recipe.schedule not in ("cosine", "linear") and recipe.end_factor:
        must = 'needs schedule = "cosine" or "linear"'
        yield {"schedule", "end_factor"}, Fault(at("end_factor"), must, f'schedule = "{recipe.schedule}"')
    if recipe.schedule == "steps" and not milestones:
        fault = Fault(at("milestones"), "must be given with a schedule of steps", hint="For example [80, 120].")
        yield {"schedule", "milestones"}, fault
    if list(milestones) != sorted(set(milestones)):
        yield {"milestones"}, Fault(at("milestones"), "must grow from one to the next", clipped(list(milestones)))
    late = [epoch for epoch in milestones if epoch >= epochs]
    if late:
        fault = Fault(at("milestones"), f"must lie before the last of {epochs} epochs", listed(late))
        yield {"milestones", "epochs"}, fault
    if recipe.accumulate > recipe.batch:
        must = f"must be at most the {recipe.batch} examples of a batch"
        yield {"accumulate", "batch"}, Fault(at("accumulate"), must, str(recipe.accumulate))
    if recipe.warmup > epochs:
        fault = Fault(at("warmup"), f"must be at most the {epochs} epochs of a training", str(recipe.warmup))
        yield {"warmup", "epochs"}, fault
    if recipe.rewind_epoch >= epochs:
        must = f"must be below the {epochs} epochs of a training"
        yield {"rewind_epoch", "epochs"}, Fault(at("rewind_epoch"), must, str(recipe.rewind_epoch))


def _keep_faults(head: StudyKeys, levels: int, locate: Locate) -> Iterator[Fault]:
    """Rungs of which something is kept must be rungs of the study, each named once."""
    for key in KEEP_KEYS:
        keep: Keep = getattr(head, key)
        if isinstance(keep, str):
            continue
        above = [rung for rung in keep if rung > levels]
        if above:
            hint = f"The sparsest rung of this study is {levels}."
            yield Fault(locate(key), f"must name rungs from 0 to {levels}", listed(above), hint)
        twice = [rung for rung, count in Counter(keep).items() if count > 1]
        if twice:
            yield Fault(locate(key), "must name each rung once", f"{listed(twice)} more than once")


def _axes_faults(all_axes: Mapping[int, Axes], locate: Locate) -> Iterator[Fault]:
    """Rules within the axes: known names, depths that the families have, no value twice."""
    for index, axes in all_axes.items():
        for key in AXIS_KEYS:
            values = getattr(axes, key)
            twice = [value for value, count in Counter(values).items() if count > 1]
            if twice:
                yield Fault(locate("axes", index, key), "must name each value once", f"{listed(twice)} more than once")
        for name in axes.dataset:
            if name not in DATASETS and not is_own_dataset(name):
                must = f"must be one of {', '.join(DATASETS)}, or of your own: {OWN_DATASETS}"
                yield Fault(locate("axes", index, "dataset"), must, clipped(name), nearest(name, DATASETS))
        for name in axes.family:
            if name in FAMILIES:
                yield from _depth_faults(name, axes.depth, locate("axes", index, "depth"))
            elif is_library_name(name):
                for key in ("depth", "width"):
                    others = [value for value in getattr(axes, key) if value != 1]
                    if others:
                        must = f"must be left out, or 1, for {name}: the name says its size"
                        hint = "Give other families [[axes]] of their own."
                        yield Fault(locate("axes", index, key), must, listed(others), hint)
            elif not is_import_path(name):
                must = f"must be one of {', '.join(FAMILIES)}, or package.module:function"
                yield Fault(locate("axes", index, "family"), must, clipped(name), nearest(name, FAMILIES))


def _norm_faults(all_axes: Mapping[int, Axes], recipe: Recipe, locate: Locate) -> Iterator[Fault]:
    """How normalisations start belongs to families that have them, and whose starts are ours."""
    if recipe.norm_start == "uniform":
        return
    having, what = (RESIDUAL, "residual branches") if recipe.norm_start == "zero-last" else (NORMALISED, "them")
    others = dict.fromkeys(name for axes in all_axes.values() for name in axes.family if name not in having)
    if others:
        must = f"needs families of ours with {what}: {', '.join(having)}"
        yield Fault(locate("recipe", "norm_start"), must, listed(map(clipped, others)))


def dataset_faults(datasets: Mapping[int, OwnDataset], locate: Locate) -> Iterator[Fault]:
    """Datasets that were read are a user's own, each there once."""
    seen: set[str] = set()
    for index, own in datasets.items():
        place = locate("datasets", index, "name")
        if own.name in seen:
            yield Fault(place, "must be there once", clipped(own.name))
        elif not is_own_dataset(own.name):
            yield Fault(place, f"must be a dataset of your own: {OWN_DATASETS}", clipped(own.name))
        seen.add(own.name)


def _depth_faults(family: str, depths: Sequence[int], place: str) -> Iterator[Fault]:
    rule = FAMILIES[family]
    for depth in depths:
        if not rule.allows(depth):
            hint = f"The nearest is {rule.nearest(depth)}."
            yield Fault(place, f"of family {family!r} must be {rule}", str(depth), hint)


def _example_faults(
    all_axes: Mapping[int, Axes], validation: float, locate: Locate, known: Mapping[str, DatasetFacts]
) -> Iterator[Fault]:
    """Rules between axes and recipe: enough examples for training and validation."""
    for index, axes in all_axes.items():
        place = locate("axes", index, "examples")
        for examples in axes.examples:
            if isinstance(examples, str) and examples != "all" and not SHARE.fullmatch(examples):
                yield Fault(place, 'must be a number, "all" or a share such as "1/4"', clipped(examples))
                continue
            for dataset in axes.dataset:
                if dataset not in known:
                    continue
                held = held_out(known[dataset], validation)
                available = known[dataset].train - held
                resolved = resolve_examples(examples, known[dataset], validation)
                if resolved is None or not 1 <= resolved <= available:
                    apart = f" ({held:,} are held out for validation)" if held else ""
                    must = f"must be 1 to {available:,} for {dataset}{apart}"
                    yield Fault(place, must, f"{examples} = {resolved}" if isinstance(examples, str) else str(examples))


def _treatment_faults(
    treatments: Mapping[int, Treatment], locate: Locate, elsewhere: Set[str] = frozenset()
) -> Iterator[Fault]:
    """Rules within and between treatments: keys that fit the kind, known scores, distinct names, no cycle."""
    labels = [treatment.label for treatment in treatments.values()]
    seen: set[str] = set()
    alike: dict[Treatment, str] = {}
    for index, treatment in treatments.items():

        def at(key: str, index: int = index) -> str:
            return locate("treatments", index, key)

        if treatment.label in seen:
            must = "must be the name of one treatment only"
            yield Fault(at("name"), must, clipped(treatment.label), "Give this one a `name` of its own.")
        seen.add(treatment.label)
        done = completed(treatment).model_copy(update={"name": None})
        if done in alike:
            must = "must differ from the others in more than its name"
            yield Fault(at("kind"), must, f"the same as {alike[done]!r}")
        alike.setdefault(done, treatment.label)
        defaults = DEFAULTS[treatment.kind]
        for key in KIND_KEYS:
            if getattr(treatment, key) is not None and key not in defaults:
                kinds = [kind for kind, keys in DEFAULTS.items() if key in keys]
                yield Fault(at(key), f"belongs to {' and '.join(kinds)}, not to {treatment.kind}")
        score = treatment.score
        if score is not None and score not in SCORES and not is_import_path(score):
            must = f"must be one of {', '.join(SCORES)}, or package.module:function"
            yield Fault(at("score"), must, clipped(score), nearest(score, SCORES))
        if treatment.kind == "leave-out":
            if treatment.leave == "misclassified" and treatment.share is not None:
                yield Fault(
                    at("share"),
                    "belongs to leave = improved, worsened and random; misclassified leaves out all of them",
                )
            if treatment.groups is not None and treatment.leave != GROUP:
                yield Fault(at("groups"), f'belongs to leave = "{GROUP}"', f"leave = {treatment.leave}")
            if treatment.leave == GROUP:
                for key in ("learns_from", "share"):
                    if getattr(treatment, key) is not None:
                        must = f'must be left out with leave = "{GROUP}": its examples follow from EL2N'
                        yield Fault(at(key), must, clipped(getattr(treatment, key)))
            elif treatment.learns_from is None:
                must = "must name the treatment to learn from"
                yield Fault(at("learns_from"), must, hint=f"This study has {listed(map(repr, labels))}.")
            elif treatment.learns_from not in labels and treatment.learns_from not in elsewhere:
                must = "must name a treatment of this study"
                hint = nearest(treatment.learns_from, labels) or f"It has {listed(map(repr, labels))}."
                yield Fault(at("learns_from"), must, clipped(treatment.learns_from), hint)
    yield from _lesson_faults(treatments, locate)


def _lesson_faults(treatments: Mapping[int, Treatment], locate: Locate) -> Iterator[Fault]:
    """Leave-out learns from a ladder of pruned networks: never from itself, round a circle, or from one network."""
    teachers = {treatment.label: treatment.learns_from for treatment in treatments.values()}
    kinds = {treatment.label: treatment.kind for treatment in treatments.values()}
    for index, treatment in treatments.items():
        path = {treatment.label: None}
        teacher = treatment.learns_from
        while teacher is not None and teacher in teachers and teacher not in path:
            path[teacher] = None
            teacher = teachers[teacher]
        place = locate("treatments", index, "learns_from")
        if teacher == treatment.label:
            yield Fault(place, "must not lead back to itself", " -> ".join([*path, treatment.label]))
        elif treatment.learns_from in kinds and kinds[treatment.learns_from] not in PRUNING:
            kind = kinds[treatment.learns_from]
            must = f"must be a treatment that prunes ({', '.join(PRUNING)})"
            yield Fault(place, must, f"{treatment.learns_from!r}, which is {kind}")


def el2n_faults(
    el2n: El2n | None, recipe: Recipe | None, locate: Locate, unsound: Set[str] = frozenset()
) -> Iterator[Fault]:
    """Scores after some epochs need a training of at least as many."""
    if el2n and recipe and el2n.epoch and el2n.epoch > recipe.epochs and "epochs" not in unsound:
        must = f"must be at most the {recipe.epochs} epochs of a training"
        yield Fault(locate("el2n", "epoch"), must, str(el2n.epoch))


def group_faults(el2n: El2n | None, treatments: Mapping[int, Treatment], locate: Locate) -> Iterator[Fault]:
    """Hold leaving out groups by EL2N against what makes the scores."""
    for index, treatment in treatments.items():
        if treatment.leave == GROUP and el2n is None:
            must = f'needs a section [el2n] with leave = "{GROUP}"'
            yield Fault(locate("treatments", index, "leave"), must, hint="For example [el2n] with networks = 10.")


def _narrow_faults(
    treatments: Mapping[int, Treatment], all_axes: Mapping[int, Axes], locate: Locate
) -> Iterator[Fault]:
    """Refuse to make a network narrower that a library names."""
    names = [name for axes in all_axes.values() for name in axes.family if is_library_name(name)]
    for index, treatment in treatments.items():
        if treatment.kind == "narrow" and names:
            must = "must be another: networks that a library names have no width"
            yield Fault(locate("treatments", index, "kind"), must, f"narrow, and {names[0]}")


def _measure_faults(
    treatments: Mapping[int, Treatment],
    all_axes: Mapping[int, Axes],
    recipe: Recipe,
    locate: Locate,
    unsound: Set[str],
    known: Mapping[str, DatasetFacts],
) -> Iterator[Fault]:
    """Leave-out learns from the optimally sparse network: there must be sparse ones, and a measure of the best."""
    named = {name for axes in all_axes.values() for name in axes.dataset}
    measured = all(name not in known or known[name].validation for name in named)  # by a part of their own, or unread
    teachers = {treatment.label for treatment in treatments.values() if treatment.kind in PRUNING}
    for index, treatment in treatments.items():
        if treatment.learns_from not in teachers or treatment.leave in ("random", GROUP):
            continue
        place = locate("treatments", index, "kind")
        if not recipe.validation and "validation" not in unsound and not (named and measured):
            must = "needs validation above 0 in the recipe: the sparsity to learn from has the lowest validation error"
            yield Fault(place, must, "validation 0", "For example validation = 0.1.")
        if not recipe.levels and "levels" not in unsound and any(axes.levels is None for axes in all_axes.values()):
            yield Fault(place, "needs levels of 1 or more to learn from", "levels 0 in the recipe")
        for position, axes in all_axes.items():
            if axes.levels == 0:
                yield Fault(locate("axes", position, "levels"), "must be 1 or more to leave examples out", "0")


def _size_faults(
    all_axes: Collection[Axes],
    treatments: Collection[Treatment],
    recipe: Recipe | None,
    replicates: int,
    locate: Locate,
) -> Iterator[Fault]:
    """Refuse a study too large to be meant."""
    sizes = (
        (math.prod(len(getattr(axes, key)) for key in AXIS_KEYS), axes.replicates or replicates) for axes in all_axes
    )
    ladders = sum(completed(treatment).groups or 1 for treatment in treatments)
    ladders *= sum(cells * repeated for cells, repeated in sizes)
    if ladders > MOST_LADDERS:
        yield Fault(locate("axes"), f"must make at most {MOST_LADDERS:,} ladders", f"{ladders:,}")
        return
    levels = recipe.levels if recipe and any(treatment.kind == "narrow" for treatment in treatments) else 0
    shapes = {
        shape: 1 + (axes.levels or levels if levels else 0)
        for axes in all_axes
        for shape in itertools.product(axes.family, axes.dataset, axes.depth, axes.width)
    }
    layers = sum(depth * rungs for (_, _, depth, _), rungs in shapes.items())
    if layers > MOST_LAYERS:
        must = f"must make networks of at most {MOST_LAYERS:,} layers in all, one of each shape"
        yield Fault(locate("axes"), must, f"{layers:,}")
