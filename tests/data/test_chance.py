"""Random numbers follow from words, and from nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from prunescope.data import generator
from prunescope.data.subsample import keys


def test_the_stream_of_some_words_is_known() -> None:
    assert keys(3, 1, 0, "digits", "subsample").tolist() == [
        16708691642125144216,
        7386099941669518000,
        10142336807927394535,
    ]


def test_words_are_joined_so_that_none_runs_into_the_next() -> None:
    joined = [("ab", "c"), ("a", "bc"), ("abc",), (1, "2"), ("1", 2), (12,), ("12",), (), ("",), (-1,), (1,), ("i1:1",)]
    first = {int(keys(1, *words)[0]) for words in joined}
    assert len(first) == len(joined)


def test_numpys_integers_are_integers() -> None:
    assert keys(2, np.int64(5)).tolist() == keys(2, 5).tolist()


def test_a_generator_touches_no_global_state() -> None:
    before = np.random.get_state()[1].tolist()  # type: ignore[index]
    one, other = generator(1, "a"), generator(1, "a")
    assert one.random() == other.random()
    assert np.random.get_state()[1].tolist() == before  # type: ignore[index]


@pytest.mark.parametrize("word", [1.0, None, True, b"a", (1,)])
def test_other_words_are_refused(word: object) -> None:
    with pytest.raises(TypeError, match="integers and texts"):
        generator(1, word)
