"""The identity of a ladder: equal for equal training, different for different, the same everywhere."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import assume, given, reject
from hypothesis import strategies as st

from prunescope.errors import InputError
from prunescope.run.cohorts import key_of
from prunescope.study import Axes, Recipe, Study, Treatment, differences, ensembles, parse_study, read_study
from prunescope.study.catalogue import DATASETS, FAMILIES, SCORES
from prunescope.study.read import study_from

# Written down once. A change here means that stores in the field no longer know their ladders: raise FORMAT instead.
DIGITS_FIRST = "fa9551fe972b11c800cfa56ae33f70d1"


def test_identities_are_what_they_were_when_the_first_stores_were_written() -> None:
    assert read_study("digits").ladders[0].identity == DIGITS_FIRST


@pytest.mark.parametrize("hash_seed", ["0", "1", "4242"])
def test_identities_do_not_depend_on_the_process(hash_seed: str) -> None:
    program = "from prunescope.study import read_study; print(read_study('digits').ladders[0].identity)"
    result = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONHASHSEED": hash_seed}, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == DIGITS_FIRST


def test_a_default_written_out_is_the_same_ladder() -> None:
    silent = parse_study(TEXT)
    spoken = parse_study(
        TEXT.replace('kind = "imp"', 'kind = "imp"\nrewind = "weights"\nscore = "magnitude"\nscope = "global"')
        .replace("epochs = 2", 'epochs = 2\noptimizer = "sgd"\nmomentum = -0.0\npruning_fraction = 0.2')
        .replace("width = 1.0", "width = 1\nexamples = 60000\nlabel_noise = [0]")
    )
    assert [ladder.identity for ladder in spoken.ladders] == [ladder.identity for ladder in silent.ladders]


def test_more_levels_keep_the_ladders_and_add_rungs() -> None:
    few, many = parse_study(TEXT), parse_study(TEXT.replace("levels = 3", "levels = 9"))
    assert [ladder.identity for ladder in few.ladders] == [ladder.identity for ladder in many.ladders]
    assert {ladder.rungs for ladder in many.ladders} == {10}
    assert few.identity != many.identity


def test_keys_that_decide_nothing_about_a_ladder_are_not_in_its_identity() -> None:
    assert (
        parse_study(TEXT).ladders[0].identity
        == parse_study(TEXT.replace("levels = 3", "levels = 9")).ladders[0].identity
    )
    assert (
        parse_study(TEXT).ladders[0].identity
        == parse_study(TEXT.replace("levels = 3", "levels = 3\nfactor = 0.5")).ladders[0].identity
    )
    assert (
        parse_study(TEXT).ladders[0].identity
        != parse_study(TEXT.replace("levels = 3", "levels = 3\nrewind_epoch = 1")).ladders[0].identity
    )


def test_what_is_kept_changes_no_ladder_and_a_study_that_keeps_nothing_is_what_it_was() -> None:
    plain, keeping = parse_study(TEXT), parse_study("keep = [0, 3]\n" + TEXT)
    assert [ladder.identity for ladder in plain.ladders] == [ladder.identity for ladder in keeping.ladders]
    assert keeping.keep == (0, 3)
    assert keeping.identity != plain.identity
    assert parse_study('keep = "none"\n' + TEXT).identity == plain.identity
    kept_study = parse_study('keep_examples = "all"\n' + TEXT)
    assert [ladder.identity for ladder in plain.ladders] == [ladder.identity for ladder in kept_study.ladders]
    assert (kept_study.keep, kept_study.keep_examples) == ("none", "all")
    tested = parse_study("keep_test_examples = [0, 3]\n" + TEXT)
    assert [ladder.identity for ladder in plain.ladders] == [ladder.identity for ladder in tested.ladders]
    assert (tested.keep_examples, tested.keep_test_examples) == ("none", (0, 3))
    assert len({plain.identity, keeping.identity, kept_study.identity, tested.identity}) == 4


def test_what_a_leave_out_ladder_learns_from_is_in_its_identity() -> None:
    def pupil(text: str, leave: str = "improved") -> str:
        more = f'\n[[treatments]]\nkind = "leave-out"\nlearns_from = "imp"\nleave = "{leave}"\n'
        return parse_study(text.replace("batch = 8", "batch = 8\nvalidation = 0.1") + more).ladders[-1].identity

    deeper = TEXT.replace("levels = 3", "levels = 9")
    other = TEXT.replace('kind = "imp"', 'kind = "imp"\nscore = "random"')
    assert len({pupil(TEXT), pupil(deeper), pupil(other)}) == 3
    assert pupil(TEXT, "random") == pupil(deeper, "random") == pupil(other, "random")


def test_each_group_has_a_ladder_whose_identity_holds_the_scores_and_no_level() -> None:
    """Other treatments keep their identities, whatever stands beside them."""
    text = TEXT + "[el2n]\nnetworks = 2\n" + '[[treatments]]\nkind = "leave-out"\nleave = "group"\ngroups = 4\n'
    study = parse_study(text)
    plain, *groups = study.ladders[:5]
    assert plain == parse_study(TEXT).ladders[0]
    assert [ladder.group for ladder in groups] == [0, 1, 2, 3]
    assert {ladder.scorer for ladder in groups} == {ensembles(study)[0].identity}
    deeper = parse_study(text.replace("levels = 3", "levels = 9")).ladders[1:5]
    assert [ladder.identity for ladder in deeper] == [ladder.identity for ladder in groups]
    others = [
        parse_study(text.replace(*change))
        for change in (("networks = 2", "networks = 3"), ("groups = 4", "groups = 5"))
    ]
    apart = [study, *others]
    every = [ladder.identity for version in apart for ladder in version.ladders if ladder.group is not None]
    assert len(set(every)) == len(every) == sum(3 * count for count in (4, 4, 5))
    assert parse_study(study.to_toml()) == study
    assert parse_study(text.replace("groups = 4\n", "")).ladders[-1].group == 19


def test_keys_that_came_later_are_in_an_identity_only_where_they_are_set() -> None:
    """So that a store from before they existed goes on, with its cohorts."""
    plain = parse_study(TEXT)
    assert plain.ladders[0].identity == "2bd18882616220c12825fe5004cfb755"
    assert plain.ladders[0].recipe_identity == "8d6b1e0909f5"
    assert key_of(plain.ladders[0]) == "18f99adc9fe4ea15"
    assert plain.identity == "c4ba432dc64b00e6e93774f8baba6f01"
    for line in (
        "clip_norm = 1",
        "label_smoothing = 0.1",
        "measure_train = 50",
        'schedule = "cosine"\nend_factor = 0.1',
    ):
        more = parse_study(TEXT.replace("levels = 3", f"levels = 3\n{line}"))
        assert more.ladders[0].identity != plain.ladders[0].identity
        assert parse_study(more.to_toml()) == more
    residual = TEXT.replace('"lenet"', '"cifar-resnet"').replace("depth = 3", "depth = 8")
    starts = [
        parse_study(residual.replace("levels = 3", f'levels = 3\nnorm_start = "{norms}"')).ladders[0].identity
        for norms in ("uniform", "ones", "zero-last")
    ]
    assert starts[0] == parse_study(residual).ladders[0].identity
    assert len(set(starts)) == 3
    spelled = parse_study(
        TEXT.replace("levels = 3", "levels = 3\nlabel_smoothing = -0.0\nend_factor = 0\nmeasure_train = 'all'")
    )
    assert spelled.identity == plain.identity


def test_names_and_purposes_do_not_change_what_is_trained() -> None:
    renamed = parse_study(TEXT.replace('"x"', '"y"\npurpose = "another"'))
    assert renamed.ladders == parse_study(TEXT).ladders
    assert renamed.identity != parse_study(TEXT).identity


TEXT = """\
name = "x"
[axes]
dataset = "mnist"
family = "lenet"
depth = 3
width = 1.0
[recipe]
epochs = 2
batch = 8
learning_rate = 0.1
levels = 3
[[treatments]]
kind = "imp"
"""

positive = st.floats(min_value=1e-6, max_value=100, allow_nan=False)
shares = st.floats(min_value=0, max_value=0.9)


@st.composite
def recipes(draw: st.DrawFn, taught: bool = False) -> Recipe:
    """Draw a recipe, where it is taught with what a lesson needs: sparse networks and a measure of the best."""
    epochs = draw(st.integers(1, 300))
    schedule: Any = draw(
        st.sampled_from(["constant", "steps", "cosine", "linear", "one-cycle"][:: 1 if epochs > 1 else 2])
    )
    steps, falls = schedule == "steps", schedule in ("cosine", "linear")
    rule: Any = draw(st.sampled_from(["sgd", "adam", "adamw"]))
    momentum = draw(shares) if rule == "sgd" else 0.0
    return Recipe(
        epochs=epochs,
        batch=draw(st.integers(1, 4096)),
        learning_rate=draw(positive),
        optimizer=rule,
        momentum=momentum,
        nesterov=momentum > 0 and draw(st.booleans()),
        weight_decay=draw(shares),
        clip_norm=draw(st.none() | positive),
        label_smoothing=draw(shares),
        schedule=schedule,
        milestones=tuple(sorted(draw(st.sets(st.integers(1, epochs - 1), min_size=1, max_size=3)))) if steps else (),
        factor=draw(st.floats(min_value=0.01, max_value=1)),
        end_factor=draw(shares) if falls else 0.0,
        warmup=draw(st.integers(0, epochs)),
        augment=draw(st.sampled_from(["none", "flip-crop", "resized-crop", "flip-resized-crop"])),
        precision=draw(st.sampled_from(["float32", "bfloat16"])),
        validation=draw(st.floats(min_value=0.01 if taught else 0, max_value=0.5)),
        prunable=draw(st.sampled_from(["all", "all-but-output", ("hidden*",), ("!hidden1", "output")])),
        pruning_fraction=draw(st.floats(min_value=0.01, max_value=0.9)),
        rewind_epoch=draw(st.integers(0, epochs - 1)),
        levels=draw(st.integers(int(taught), 6)),
    )


def some(values: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(values, min_size=1, max_size=2, unique=True).map(tuple)


@st.composite
def axes(draw: st.DrawFn, taught: bool = False) -> Axes:
    family = draw(st.sampled_from([*FAMILIES, "mine.nets:make"]))
    rule = FAMILIES.get(family)
    depths = [depth for depth in range(1, 130) if rule is None or rule.allows(depth)]
    return Axes.model_validate(
        {
            "dataset": draw(some(st.sampled_from(list(DATASETS)))),
            "family": (family,),
            "depth": draw(some(st.sampled_from(depths))),
            "width": draw(some(positive)),
            "examples": draw(some(st.one_of(st.integers(1, 500), st.sampled_from(["all", "1/2", "1/8"])))),
            "label_noise": draw(some(shares)),
            "levels": draw(st.none() | st.integers(int(taught), 3)),
            "replicates": draw(st.none() | st.integers(1, 2)),
        }
    )


@st.composite
def treatments(draw: st.DrawFn) -> tuple[Treatment, ...]:
    teacher = Treatment(
        kind=draw(st.sampled_from(["imp", "one-shot"])),
        name=draw(st.none() | st.just("first")),
        rewind=draw(st.sampled_from([None, "weights", "learning-rate", "fine-tuning", "reinitialise"])),
        score=draw(st.sampled_from([None, *SCORES])),
        scope=draw(st.sampled_from([None, "global", "layer"])),
    )
    pupil = Treatment(
        kind="leave-out",
        learns_from=teacher.label,
        leave=draw(st.sampled_from([None, "improved", "worsened", "misclassified"])),
    )
    others = [teacher, Treatment(kind="extended"), Treatment(kind="narrow"), Treatment(kind="dense"), pupil]
    return tuple(draw(st.permutations(others))) if draw(st.booleans()) else (teacher,)


@st.composite
def studies(draw: st.DrawFn) -> Study:
    letters = st.characters(exclude_categories=["C", "Z"])
    treated = draw(treatments())
    taught = any(treatment.learns_from for treatment in treated)
    return Study(
        name=draw(st.text(letters, min_size=1, max_size=20)),
        axes=tuple(draw(st.lists(axes(taught), min_size=1, max_size=2))),
        recipe=draw(recipes(taught)),
        treatments=treated,
        replicates=draw(st.integers(1, 2)),
        seed=draw(st.integers(0, 2**63 - 1)),
        purpose=draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=20)),
        keep=draw(st.sampled_from(["none", "all", (0,)])),
        keep_examples=draw(st.sampled_from(["none", "all", (0,)])),
        keep_test_examples=draw(st.sampled_from(["none", "all", (0,)])),
    )


def rungs(study: Study) -> set[tuple[str, int]]:
    return {(ladder.identity, rung) for ladder in study.ladders for rung in range(ladder.rungs)}


@given(studies())
def test_any_study_survives_toml_and_back(study: Study) -> None:
    again = parse_study(study.to_toml())
    assert again == study
    assert again.identity == study.identity
    assert [ladder.identity for ladder in again.ladders] == [ladder.identity for ladder in study.ladders]
    assert differences(study, again) == ()


@given(studies())
def test_no_two_ladders_of_a_study_share_an_identity(study: Study) -> None:
    assert len({ladder.identity for ladder in study.ladders}) == len(study.ladders)


@given(st.data(), studies())
def test_a_change_anywhere_in_the_recipe_makes_other_rungs(data: st.DataObject, study: Study) -> None:
    # Axes may have levels of their own, which the recipe's do not touch.
    plain = tuple(axes.model_copy(update={"levels": None}) for axes in study.axes)
    study = dataclasses.replace(study, axes=plain)
    other = data.draw(recipes())
    key = data.draw(st.sampled_from([name for name in Recipe.model_fields if name != "milestones"]))
    content = study.to_mapping()
    content["recipe"][key] = getattr(other, key)
    try:
        changed = study_from(content)
    except InputError:
        reject()
    assume(changed.recipe != study.recipe)
    if key == "levels":
        assert rungs(changed) != rungs(study)
        pupils = {ladder.identity for ladder in study.ladders if ladder.teacher}
        shared = {ladder.identity for ladder in study.ladders} & {ladder.identity for ladder in changed.ladders}
        assert shared == {ladder.identity for ladder in study.ladders} - pupils
    else:
        # A key may decide nothing about some kinds of ladders; the ladders that it decides about are others now.
        assert changed.ladders != study.ladders
        pruned = {ladder.identity for ladder in study.ladders if ladder.treatment.kind in ("imp", "one-shot")}
        idle = key == "factor" and study.recipe.schedule != "steps"
        again = key == "rewind_epoch" and {t.rewind for t in study.treatments} & {"reinitialise"}
        assert idle or again or not pruned & {ladder.identity for ladder in changed.ladders}


@given(studies(), studies())
def test_studies_with_other_cells_or_seeds_share_no_rung(one: Study, other: Study) -> None:
    apart = set(one.cells).isdisjoint(other.cells) or one.seed != other.seed
    assert rungs(one).isdisjoint(rungs(other)) or not apart


def test_whatever_a_row_says_is_decided_by_the_identity_of_its_ladder() -> None:
    """A dense network's row tells which of its weights may be pruned, and the identity of its recipe."""
    dense = TEXT.replace('kind = "imp"', 'kind = "dense"')
    other = dense.replace("levels = 3", 'levels = 3\nprunable = "all-but-output"')
    one, two = parse_study(dense).ladders[0], parse_study(other).ladders[0]
    assert one.recipe_identity != two.recipe_identity
    assert one.identity != two.identity
