"""Families by name."""

from __future__ import annotations

import pytest

from prunescope.errors import InputError
from prunescope.nets import DESIGNS, network
from prunescope.nets.outline import Start
from prunescope.study.catalogue import FAMILIES, NORMALISED, RESIDUAL


def test_every_design_is_a_family_that_a_study_may_name() -> None:
    assert set(DESIGNS) == set(FAMILIES)


def test_the_catalogue_knows_which_families_have_normalisations_and_residual_branches() -> None:
    for family, rule in FAMILIES.items():
        depths = rule.only or (rule.first + rule.step,)
        for depth in depths:
            outline = network(family, depth, 1 / 32, 10, (3, 16, 16)).outline
            starts = {parameter.start for parameter in outline.parameters}
            assert (family in NORMALISED) == (Start.SCALE in starts)
            assert (family in RESIDUAL) == (Start.BRANCH_SCALE in starts)


def test_the_same_words_give_the_same_network() -> None:
    assert network("lenet", 3, 1.0, 10, (1, 8, 8)) is network("lenet", 3, 1.0, 10, (1, 8, 8))
    assert network("lenet", 3, 1.0, 10, (1, 8, 8)) is not network("lenet", 3, 0.5, 10, (1, 8, 8))


@pytest.mark.parametrize(
    ("family", "words"),
    [
        (
            "resnet",
            "must be one of lenet, cifar-resnet, vgg, imagenet-resnet, densenet, or package.module:function; found 're",
        ),
        ("nothing.here:make", "must name a module; found No module named 'nothing'"),
        ("tests.nets.modules:owm", "must name a function of tests.nets.modules; found 'owm'. Did you mean 'own'"),
    ],
)
def test_an_unknown_family_is_told_with_what_there_is(family: str, words: str) -> None:
    with pytest.raises(InputError) as raised:
        network(family, 3, 1.0, 10, (1, 8, 8))
    assert words in str(raised.value)
