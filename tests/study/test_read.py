"""Studies from files: what is right is read, and whatever is wrong is told at once, with place and remedy."""

from __future__ import annotations

import dataclasses

import pytest

from prunescope.errors import Fault, InputError
from prunescope.study import parse_study

SOUND = """\
name = "mine"

[axes]
dataset = "mnist"
family = "lenet"
depth = [3, 4]
width = [0.5, 1]

[recipe]
epochs = 40
batch = 128
learning_rate = 0.1
levels = 5

[[treatments]]
kind = "imp"
"""


def faults(text: str) -> dict[str, Fault]:
    with pytest.raises(InputError) as refused:
        parse_study(text)
    return {fault.place: fault for fault in refused.value.faults}


def only_fault(text: str) -> Fault:
    all_faults = faults(text)
    assert len(all_faults) == 1, all_faults
    return next(iter(all_faults.values()))


def changed(line: str, instead: str) -> str:
    assert line in SOUND
    return SOUND.replace(line, instead)


def test_a_study_expands_to_every_combination() -> None:
    study = parse_study(SOUND)
    assert {(cell.depth, cell.width) for cell in study.cells} == {(3, 0.5), (3, 1.0), (4, 0.5), (4, 1.0)}
    assert {cell.examples for cell in study.cells} == {60_000}
    assert len(study.ladders) == 4 * 3
    assert {ladder.rungs for ladder in study.ladders} == {6}


def test_axes_may_have_levels_and_replicates_of_their_own() -> None:
    more = '[[axes]]\ndataset = "mnist"\nfamily = "lenet"\ndepth = [3, 5]\nwidth = 1.0\nlevels = 0\nreplicates = 7\n'
    study = parse_study(SOUND.replace("[axes]", "[[axes]]").replace("[recipe]", f"{more}[recipe]"))
    plain = parse_study(SOUND)
    only_dense = [ladder for ladder in study.ladders if ladder.cell.depth == 5]
    assert [ladder.rungs for ladder in only_dense] == [1] * 7 * len(study.treatments)
    # A cell in two tables has what either asks for, and its ladders stay the same ones.
    shared = [ladder.rungs for ladder in study.ladders if ladder.cell.depth == 3 and ladder.cell.width == 1]
    assert shared == [plain.recipe.levels + 1] * 3 + [1] * 4
    assert {ladder.identity for ladder in plain.ladders} <= {ladder.identity for ladder in study.ladders}
    assert parse_study(study.to_toml()) == study


def test_a_width_may_be_written_as_a_fraction() -> None:
    written = parse_study(changed("width = [0.5, 1]", 'width = ["1/8", 0.25, "3/2"]'))
    assert written == parse_study(changed("width = [0.5, 1]", "width = [0.125, 0.25, 1.5]"))
    assert parse_study(changed("width = [0.5, 1]", 'width = "1/8"')).axes[0].width == (0.125,)
    for wrong in ('"1/0"', '"an eighth"', '"0.5"', '"-1/2"'):
        fault = only_fault(changed("width = [0.5, 1]", f"width = {wrong}"))
        assert fault.place == "axes 1: width, value 1 (line 7)"
        assert fault.must == 'must be a number, or a fraction such as "1/8"'


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("vit_mha", "vit_mha"),
        ("My study, second try", "My study, second try"),
        ("a/b", "a-b"),
        ("../up", "-up".lstrip("-")),
        ("--help", "help"),
        ("ü" * 100, "ü" * 100),
        ("網" * 100, "網" * 66),
    ],
)
def test_a_study_lies_in_a_folder_of_its_name(name: str, folder: str) -> None:
    study = parse_study(changed('name = "mine"', f'name = "{name}"'))
    assert study.folder == folder


def test_a_name_that_is_no_name_of_a_folder_gives_way() -> None:
    assert parse_study(changed('name = "mine"', 'name = "..."')).folder.startswith("study-")


def test_several_tables_of_axes_are_joined_and_shared_cells_trained_once() -> None:
    both = SOUND.replace("[axes]", "[[axes]]").replace(
        "[recipe]", '[[axes]]\ndataset = "mnist"\nfamily = "lenet"\ndepth = [4, 5]\nwidth = 1.0\n[recipe]'
    )
    assert [(cell.depth, cell.width) for cell in parse_study(both).cells] == [
        (3, 0.5), (3, 1.0), (4, 0.5), (4, 1.0), (5, 1.0),
    ]  # fmt: skip


def test_examples_are_counted_from_what_validation_leaves() -> None:
    text = SOUND.replace('family = "lenet"', 'family = "lenet"\nexamples = ["all", "1/4", 100]')
    text = text.replace("epochs = 40", "epochs = 40\nvalidation = 0.1")
    assert sorted({cell.examples for cell in parse_study(text).cells}) == [100, 13_500, 54_000]


def test_every_fault_is_told_at_once() -> None:
    all_faults = faults("""\
name = "x"
purose = 3
replicates = 0
[axes]
dataset = ["mnits", "digits"]
family = "cifar-resnet"
depth = [20, 21]
width = ["a", 1, -1]
exampels = 4
examples = ["1/0", 5, "none"]
[recipe]
epochs = 10.5
batch = "x"
optimizer = "sdg"
schedule = "steps"
levels = 300
[[treatments]]
kind = "imp"
score = "magnitud"
[[treatments]]
kind = "leave-out"
learns_from = "im"
[[treatments]]
knid = "imp"
""")
    assert set(all_faults) == {
        "replicates (line 3)",
        "purose (line 2)",
        "axes 1: dataset (line 5)",
        "axes 1: depth (line 7)",
        "axes 1: width, value 1 (line 8)",
        "axes 1: width, value 3 (line 8)",
        "axes 1: exampels (line 9)",
        "axes 1: examples (line 10)",
        "recipe.epochs (line 12)",
        "recipe.batch (line 13)",
        "recipe.learning_rate",
        "recipe.optimizer (line 14)",
        "recipe.levels (line 16)",
        "recipe.milestones",
        "treatments 1: score (line 19)",
        "treatments 2: learns_from (line 22)",
        "treatments 3: kind",
        "treatments 3: knid (line 24)",
    }
    assert all_faults["purose (line 2)"].hint == "Did you mean 'purpose'?"
    assert all_faults["axes 1: dataset (line 5)"].hint == "Did you mean 'mnist'?"
    assert all_faults["axes 1: depth (line 7)"].hint == "The nearest is 20."
    assert all_faults["recipe.optimizer (line 14)"].hint == "Did you mean 'sgd'?"
    assert all_faults["treatments 1: score (line 19)"].hint == "Did you mean 'magnitude'?"


@pytest.mark.parametrize(
    ("line", "instead", "place", "must"),
    [
        ("depth = [3, 4]", "depth = 1", "axes 1: depth (line 6)", "of family 'lenet' must be 2 or more"),
        ("depth = [3, 4]", "depth = [3, 3]", "axes 1: depth (line 6)", "must name each value once"),
        ("depth = [3, 4]", "depth = 3.0", "axes 1: depth, value 1 (line 6)", "must be a whole number"),
        ("width = [0.5, 1]", "width = []", "axes 1: width (line 7)", "must hold one value or more"),
        ("width = [0.5, 1]", "width = nan", "axes 1: width, value 1 (line 7)", "must be a finite number"),
        ("epochs = 40", "epochs = 40\nnesterov = true", "recipe.nesterov (line 11)", "needs momentum above 0"),
        (
            "epochs = 40",
            'epochs = 40\nschedule = "steps"\nmilestones = [20, 40]',
            "recipe.milestones (line 12)",
            "must lie before the last of 40 epochs",
        ),
        ("levels = 5", "levels = 5\nrewind_epoch = 41", "recipe.rewind_epoch (line 14)", "must be below the 40"),
        ('kind = "imp"', 'kind = "extended"\nscore = "random"', "treatments 1: score (line 17)", "belongs to imp and"),
        ('name = "mine"', 'name = "mine\\u0007"', "name", "must be printable text"),
        ('name = "mine"', 'name = "mine"\nformat = 99', "format (line 2)", "must be 1 or less"),
        ('name = "mine"', 'name = "mine"\nseed = -1', "seed (line 2)", "must be 0 or more"),
        ('name = "mine"', 'name = "mine"\nkeep = "al"', "keep (line 2)", 'must be "none", "all" or a list of rungs'),
        (
            'name = "mine"',
            'name = "mine"\nkeep = [0, "x"]',
            "keep (line 2)",
            'must be "none", "all" or a list of rungs',
        ),
        ('name = "mine"', 'name = "mine"\nkeep = []', "keep (line 2)", 'must be "none", "all" or a list of rungs'),
        ('name = "mine"', 'name = "mine"\nkeep = [0, 6]', "keep (line 2)", "must name rungs from 0 to 5"),
        ('name = "mine"', 'name = "mine"\nkeep = [2, 2]', "keep (line 2)", "must name each rung once"),
        (
            'name = "mine"',
            'name = "mine"\nkeep_examples = [0, 6]',
            "keep_examples (line 2)",
            "must name rungs from 0 to",
        ),
        (
            'name = "mine"',
            'name = "mine"\nkeep_examples = true',
            "keep_examples (line 2)",
            'must be "none", "all" or a list of rungs',
        ),
        ('family = "lenet"', 'family = "lenet"\nexamples = 60001', "axes 1: examples (line 6)", "must be 1 to 60,000"),
    ],
)
def test_a_rule_that_does_not_hold_is_told_with_its_place(line: str, instead: str, place: str, must: str) -> None:
    fault = only_fault(changed(line, instead))
    assert fault.place == place
    assert fault.must.startswith(must)


def test_lessons_that_go_round_in_a_circle_are_refused() -> None:
    all_faults = faults(
        SOUND
        + """
[[treatments]]
kind = "leave-out"
name = "a"
learns_from = "b"
[[treatments]]
kind = "leave-out"
name = "b"
learns_from = "a"
"""
    )
    assert all("back to itself" in fault.must for fault in all_faults.values())
    assert len(all_faults) == 2


def test_a_leave_out_ladder_stands_behind_the_ladder_it_learns_from() -> None:
    text = SOUND.replace(
        "[[treatments]]", '[[treatments]]\nkind = "leave-out"\nlearns_from = "imp"\n\n[[treatments]]', 1
    )
    study = parse_study(text.replace("levels = 5", "levels = 5\nvalidation = 0.1"))
    order = [ladder.identity for ladder in study.ladders]
    pupils = [ladder for ladder in study.ladders if ladder.teacher]
    assert len(pupils) == len(order) / 2
    assert all(order.index(ladder.teacher) < order.index(ladder.identity) for ladder in pupils)


@pytest.mark.parametrize(
    ("family", "allowed", "wrong", "hint"),
    [
        ("imagenet-resnet", (18, 34, 50, 101), 20, "The nearest is 18."),
        ("imagenet-resnet", (18, 34, 50, 101), 152, "The nearest is 101."),
        ("densenet", (121,), 169, "The nearest is 121."),
        ("vgg", (16,), 19, "The nearest is 16."),
    ],
)
def test_some_families_have_the_published_depths_alone(
    family: str, allowed: tuple[int, ...], wrong: int, hint: str
) -> None:
    text = SOUND.replace('"lenet"', f'"{family}"')
    study = parse_study(text.replace("[3, 4]", str(list(allowed))))
    assert {cell.depth for cell in study.cells} == set(allowed)
    fault = only_fault(text.replace("[3, 4]", str([allowed[0], wrong])))
    assert (fault.place, fault.found, fault.hint) == ("axes 1: depth (line 6)", str(wrong), hint)


@pytest.mark.parametrize(
    ("norms", "families", "others"),
    [
        ("ones", '["vgg", "lenet"]', "lenet"),
        ("ones", '"mine:make"', "mine:make"),
        ("zero-last", '["imagenet-resnet", "vgg", "densenet"]', "vgg, densenet"),
    ],
)
def test_how_normalisations_start_belongs_to_families_that_have_them(norms: str, families: str, others: str) -> None:
    text = SOUND.replace("levels = 5", f'levels = 5\nnorm_start = "{norms}"').replace('"lenet"', families)
    (fault,) = (fault for place, fault in faults(text).items() if place.startswith("recipe.norm_start (line"))
    assert fault.found.replace("'", "") == others
    sound = text.replace(families, '"cifar-resnet"').replace("[3, 4]", "8")
    assert parse_study(sound).recipe.norm_start == norms
    assert only_fault(sound.replace(norms, "zeros")).place.startswith("recipe.norm_start")


def test_scores_of_examples_are_asked_for_in_a_section_of_their_own() -> None:
    study = parse_study(f"{SOUND}\n[el2n]\nepoch = 12\n")
    assert study.el2n is not None
    assert (study.el2n.networks, study.el2n.epoch) == (10, 12)
    assert parse_study(study.to_toml()) == study
    assert study.identity != parse_study(SOUND).identity
    assert [ladder.identity for ladder in study.ladders] == [ladder.identity for ladder in parse_study(SOUND).ladders]
    late = only_fault(f"{SOUND}\n[el2n]\nepoch = 41\n")
    assert late.place.startswith("el2n.epoch (line")
    assert late.must == "must be at most the 40 epochs of a training"
    assert only_fault(f"{SOUND}\n[el2n]\nepochs = 4\n").hint == "Did you mean 'epoch'?"
    assert only_fault(f"{SOUND}\n[el2n]\nnetworks = 0\n").must == "must be 1 or more"


PUPIL = '[[treatments]]\nkind = "leave-out"\nlearns_from = "imp"\n'


@pytest.mark.parametrize(
    ("levels", "more", "place", "must"),
    [
        ("levels = 5", "", "treatments 1: kind (line 16)", "needs validation above 0 in the recipe"),
        ("levels = 0\nvalidation = 0.1", "", "treatments 1: kind (line 17)", "needs levels of 1 or more"),
        ("levels = 5\nvalidation = 0.1", "levels = 0\n", "axes 1: levels (line 5)", "must be 1 or more to leave"),
    ],
)
def test_without_a_best_sparse_network_there_is_nothing_to_learn(levels: str, more: str, place: str, must: str) -> None:
    text = SOUND.replace("[[treatments]]", f"{PUPIL}\n[[treatments]]", 1)
    text = text.replace("levels = 5", levels).replace("family =", f"{more}family =")
    fault = only_fault(text)
    assert fault.place == place
    assert fault.must.startswith(must)
    parse_study(text.replace(PUPIL, f'{PUPIL}leave = "random"\n'))


GROUPED = '[[treatments]]\nkind = "leave-out"\nleave = "group"\n'


@pytest.mark.parametrize(
    ("section", "key", "place", "must"),
    [
        ("", "", "treatments 2: leave", "needs a section [el2n]"),
        ("[el2n]\n", 'learns_from = "imp"\n', "treatments 2: learns_from", "must be left out"),
        ("[el2n]\n", "share = 0.2\n", "treatments 2: share", "must be left out"),
        ("[el2n]\n", "groups = 1\n", "treatments 2: groups", "must be 2 or more"),
    ],
)
def test_groups_by_el2n_need_scores_and_nothing_to_learn_from(section: str, key: str, place: str, must: str) -> None:
    fault = only_fault(f"{SOUND}\n{section}{GROUPED}{key}")
    assert fault.place.partition(" (")[0] == place
    assert fault.must.startswith(must)
    sound = parse_study(f"{SOUND}\n[el2n]\n{GROUPED}groups = 3\n")
    assert len(sound.ladders) == 4 * len(parse_study(SOUND).ladders)


def test_a_number_of_groups_belongs_to_leaving_out_groups() -> None:
    text = SOUND.replace("levels = 5", "levels = 5\nvalidation = 0.1")
    assert only_fault(f"{text}\n{PUPIL}groups = 3\n").place.startswith("treatments 2: groups")


def test_a_family_of_ones_own_is_named_by_import_path() -> None:
    text = SOUND.replace('"lenet"', '"my_package.nets:make"').replace("[3, 4]", "[1, 77]")
    assert {cell.family for cell in parse_study(text).cells} == {"my_package.nets:make"}


def test_prunable_weights_are_named_by_a_word_or_by_patterns() -> None:
    assert parse_study(changed("levels = 5", 'levels = 5\nprunable = ["hidden*", "!hidden2"]')).recipe.prunable == (
        "hidden*",
        "!hidden2",
    )
    for value in ('"al"', "[]", '["two words"]', "[3]", '["!"]'):
        fault = only_fault(changed("levels = 5", f"levels = 5\nprunable = {value}"))
        assert fault.place == "recipe.prunable (line 14)"
        assert "a list of patterns of names" in fault.must
    assert only_fault(changed("levels = 5", 'levels = 5\nprunable = "al"')).hint == "Did you mean 'all'?"


def test_rules_between_sound_keys_are_told_beside_unsound_ones() -> None:
    all_faults = faults(
        SOUND.replace("epochs = 40", 'epochs = "x"\nschedule = "steps"\nnesterov = true\nrewind_epoch = 9')
    )
    assert set(all_faults) == {"recipe.epochs (line 10)", "recipe.nesterov (line 12)", "recipe.milestones"}


def test_faults_are_told_in_the_order_of_the_file() -> None:
    text = (
        SOUND.replace("levels = 5", "levels = -1")
        .replace("depth = [3, 4]", "depth = 1")
        .replace("[[tr", "zz = 1\n[[tr")
    )
    lines = [int(place.split("line ")[1].rstrip(")")) for place in faults(text)]
    assert lines == sorted(lines)


def test_a_study_made_in_python_is_checked_like_a_file() -> None:
    sound = parse_study(SOUND)
    for changes in (
        {"seed": -5},
        {"seed": 1.5},
        {"name": "x" * 101},
        {"replicates": "3"},
        {"axes": sound.axes[0]},
        {"recipe": None},
    ):
        with pytest.raises(InputError):
            dataclasses.replace(sound, **changes)


def test_learning_from_a_treatment_with_a_fault_of_its_own_is_no_fault() -> None:
    text = SOUND.replace(
        'kind = "imp"', 'kind = "imp"\nscope = "globl"\n[[treatments]]\nkind = "leave-out"\nlearns_from = "imp"'
    )
    assert only_fault(text).hint == "Did you mean 'global'?"
