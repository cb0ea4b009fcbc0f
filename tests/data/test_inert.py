"""Pickles are read without being run: what they hold comes out, and what they call does not happen."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunescope.data.safe_pickle import read_pickle
from prunescope.errors import InputError
from tests.data.formats import pickled_by_python_2

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=4), plain, max_size=5), st.integers(0, 5))
def test_plain_values_come_out_as_pickle_has_them(values: dict[str, Any], protocol: int) -> None:
    content = pickle.dumps(values, protocol)
    if protocol == 0 and b"I0" in content:
        return  # protocol 0 writes flags as I00 and I01, which are numbers here
    assert read_pickle(content, "a file") == pickle.loads(content)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("kind", ["u1", "<i4", ">i8", "<f4", "f8", "?"])
def test_arrays_come_out_as_numpy_has_them(protocol: int, kind: str) -> None:
    array = np.arange(24).reshape(4, 6).astype(kind)
    for item in (array, np.asfortranarray(array), array[::2]):
        content = pickle.dumps({"data": item, "labels": [1, 300, -7, 2**40]}, protocol)
        loaded = read_pickle(content, "a file")
        np.testing.assert_array_equal(loaded["data"], item)
        assert loaded["data"].dtype == item.dtype
        assert loaded["labels"] == [1, 300, -7, 2**40]


def test_what_python_2_wrote_comes_out_as_pickle_has_it() -> None:
    array = np.arange(12, dtype=np.uint8).reshape(3, 4)
    content = pickled_by_python_2({"data": array, "labels": [5, 300], "batch_label": "one"})
    oracle = pickle.loads(content, encoding="bytes")
    loaded = read_pickle(content, "a file")
    np.testing.assert_array_equal(loaded["data"], oracle[b"data"])
    assert loaded["labels"] == oracle[b"labels"]
    assert loaded["batch_label"] == oracle[b"batch_label"]


class Malicious:
    """Makes a folder when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = str(target)

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (self.target,)


@pytest.mark.parametrize("protocol", range(6))
def test_a_malicious_pickle_is_refused_and_nothing_happens(tmp_path: Path, protocol: int) -> None:
    target = tmp_path / "made"
    content = pickle.dumps({"data": Malicious(target), "labels": []}, protocol)
    with pytest.raises(InputError, match=r"found (posix|nt)\.mkdir; nothing of the file was run"):
        read_pickle(content, "data_batch_1")
    assert not target.exists()
    pickle.loads(content)
    assert target.exists(), "the pickle would have done it"


@pytest.mark.parametrize(
    "content",
    [
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"(S'echo'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nS'echo'\no.",  # OBJ
        b"\x80\x02cnumpy\nndarray\n)\x81.",  # NEWOBJ
        b"\x80\x02cnumpy\nndarray\n)R.",
        b"\x80\x02\x82\x01.",  # EXT1
        b"Pname\n.",  # PERSID
        b"\x80\x02}K\x01b.",  # BUILD of a dictionary
        b"\x80\x02K\x01)R.",
        b"\x80\x02]q\x00h\x00K\x01s.",
        b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R.",
        b"\x80\x02cnumpy\ndtype\nU\x01O\x85R.",
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R.",
        b"\x80\x02]\x94.",
        b"",
        b".",
        b"\x80\x02}",
        b"\x80\x02}u.",
        b"\x80\x02}(K\x01K\x02u.",
        b"\x80\x02h\x07.",
        b"\x80\x05\x8e\xff\xff\xff\xff\xff\xff\xff\x7fa.",
        b"<html>not found</html>",
        b"S'\\]'\n.",  # of which Python warns
    ],
)
def test_anything_else_is_refused_in_words(content: bytes) -> None:
    with pytest.raises(InputError, match="train: must"):
        read_pickle(content, "train")


def test_an_array_that_contradicts_itself_is_refused() -> None:
    good = pickled_by_python_2({"data": np.zeros((3, 4), np.uint8)})
    for old, new, words in (
        (b"J\x03\x00\x00\x00", b"J\x04\x00\x00\x00", r"an array of shape \(4, 4\) in 12 bytes"),
        (b"J\x03\x00\x00\x00", b"J\xff\xff\xff\xff", "without a plain shape"),
        (b"U\x02u1", b"U\x02O8", "an array of type 'O8'"),
        (b"U\x01|N", b"U\x01!N", "an array of type 'u1'"),
    ):
        assert old in good
        with pytest.raises(InputError, match=words):
            read_pickle(good.replace(old, new), "train")


def test_bytes_are_not_made_without_end() -> None:
    text = b"X" + (1000).to_bytes(4, "little") + b"a" * 1000
    call = b"c_codecs\nencode\nq\x01" + text + b"q\x020" + b"h\x01h\x02\x85R" * 100
    with pytest.raises(InputError, match="train: must"):
        read_pickle(b"\x80\x02" + call + b".", "train")
    call = b"](c_codecs\nencode\nq\x01" + text + b"q\x02\x85R" + b"h\x01h\x02\x85R" * 100 + b"e."
    with pytest.raises(InputError, match="more bytes than the file has"):
        read_pickle(b"\x80\x02" + call, "train")


LONG = b"T" + (1_000).to_bytes(4, "little") + b"a" * 1_000
ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n)R(K\x01%scnumpy\ndtype\nU\x02u1\x85R\x89U\x00tb"


@pytest.mark.parametrize(
    ("instructions", "words"),
    [
        (b"]" * 200_000, "more than 100,000 instructions"),
        (b"}%sK\x01s" % LONG, "a name of 1,000 letters"),
        (b"cnumpy\ndtype\n%s\x85R" % LONG, "a name of 1,000 letters"),
        (b"%s%s\x93" % (LONG, LONG), "a name of 1,000 letters"),
        (b"cnumpy\ndtype\n(%stR" % (b"U\x02u1" * 100), "a call with 100 arguments"),
        (ARRAY % (b"(" + b"K\x00" * 100 + b"t"), "an array without a plain shape"),
        (ARRAY % (b"K\x00\x8a\x09" + b"\xff" * 8 + b"\0\x86"), "an array without a plain shape"),
    ],
)
def test_what_could_be_made_again_and_again_from_the_same_bytes_is_short(instructions: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_pickle(b"\x80\x02" + instructions + b".", "train")


def test_a_dictionary_of_another_kind_is_none() -> None:
    with pytest.raises(InputError, match=r"collections\.OrderedDict"):
        read_pickle(pickle.dumps(OrderedDict(data=1)), "train")
    with pytest.raises(InputError, match="list instead of a dictionary"):
        read_pickle(pickle.dumps([1]), "train")


@given(st.binary(max_size=200), st.integers(0, 400), st.integers(0, 255))
def test_no_damage_gets_past_the_refusals(tail: bytes, place: int, value: int) -> None:
    whole = bytearray(pickle.dumps({"data": np.arange(200, dtype=np.uint8), "labels": list(range(50))}, 2))
    whole[place % len(whole)] = value
    for content in (bytes(whole), bytes(whole[:place]), b"\x80\x04" + tail):
        try:
            read_pickle(content, "train")
        except InputError as trouble:
            assert "train: must" in str(trouble)  # noqa: PT017
