"""Families by name."""

from __future__ import annotations

import pytest

from prunescope.errors import InputError
from prunescope.nets import DESIGNS, network
from prunescope.study.catalogue import TRAINED_FAMILIES


def test_every_design_is_a_family_that_a_study_may_name() -> None:
    assert set(DESIGNS) == set(TRAINED_FAMILIES)


def test_the_same_words_give_the_same_network() -> None:
    assert network("lenet", 3, 1.0, 10, (1, 8, 8)) is network("lenet", 3, 1.0, 10, (1, 8, 8))
    assert network("lenet", 3, 1.0, 10, (1, 8, 8)) is not network("lenet", 3, 0.5, 10, (1, 8, 8))


@pytest.mark.parametrize(
    ("family", "words"),
    [
        ("resnet", "must be one of lenet, cifar-resnet, vgg, or package.module:function; found 'resnet'. Did you mean"),
        ("nothing.here:make", "must name a module; found No module named 'nothing'"),
        ("tests.nets.modules:owm", "must name a function of tests.nets.modules; found 'owm'. Did you mean 'own'"),
    ],
)
def test_an_unknown_family_is_told_with_what_there_is(family: str, words: str) -> None:
    with pytest.raises(InputError) as raised:
        network(family, 3, 1.0, 10, (1, 8, 8))
    assert words in str(raised.value)
