"""Which option makes a column that a table needs of one that a file has, named by what people call such columns.

A name is known as a whole (``top1acc``) or by a word in it (``summary.test/acc1``, ``achieved_sparsity``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import clipped, shell_word
from prunescope.table.cells import cells_of, fractions_of, is_percent, without_marks
from prunescope.table.duckdb_engine import quoted_where_needed
from prunescope.table.values import parsed, plain_column


class _Conversion(NamedTuple):
    """What a column is to a needed one, and how that is said."""

    needed: str
    way: str
    words: str = ""


_REST, _ACCURACY = "density is 1 - sparsity, as a fraction", "error is 1 - accuracy, as a fraction"
_NAMES: dict[_Conversion, Sequence[str]] = {
    _Conversion("error", "share"): ("err", "error", "testerr", "errorrate", "testerrorrate", "err1", "fehler"),
    _Conversion("error", "rest", _ACCURACY): (
        *("accuracy", "acc", "testacc", "testaccuracy", "top1", "acc1", "valacc", "valaccuracy", "top1acc"),
        *("top1accuracy", "accuracytop1", "acctop1", "accuracytest", "validationaccuracy", "genauigkeit"),
    ),
    _Conversion("error", "rest", "more of it is better, so error is 1 - it, as a fraction"): (
        *("bleu", "f1", "auc", "auroc", "miou"),
    ),
    _Conversion("error", "outcome"): (
        *("loss", "valloss", "validationloss", "evalloss", "crossentropy", "perplexity", "ppl", "nll", "wer", "cer"),
    ),
    _Conversion("density", "share", "density is the share of weights left"): (
        *("remaining", "weightsremaining", "remainingweights", "percentremaining", "weightsleft", "kepttotal", "left"),
        *("unpruned", "density", "dichte"),
    ),
    _Conversion("density", "rest", _REST): (
        *("sparsity", "pruned", "pruningratio", "sparsityratio", "pruningrate", "weightsparsity", "weightspruned"),
        *("sparsitylevel", "percentpruned", "sparsität"),
    ),
    _Conversion("density", "inverse", "density is 1 / compression"): ("compression", "compressionratio"),
}
_CONVERSIONS = {word: conversion for conversion, words in _NAMES.items() for word in words}
# Of a column with one of these words it is not known what it holds, or it holds something else.
_OTHERS = frozenset(
    (*("std", "stdev", "stderr", "sd", "sem", "se", "var", "ci", "delta", "diff", "drop", "gap", "top5", "acc5"),)
)
# Words of columns that say how good the network was before it was pruned.
_UNPRUNED_WORDS = ("pre", "orig", "original", "dense", "baseline", "before", "unpruned")
# Words by which one column is rather meant than another with the same word.
_RATHER = {
    **dict.fromkeys(("test", "final", "last", "post", "real", "actual", "achieved"), 1),
    **dict.fromkeys(("train", "target", "best", "max", "min"), -1),
    **dict.fromkeys(_UNPRUNED_WORDS, -1),
}
_DROPS, _MEASURED = frozenset(("drop", "loss", "degradation", "decrease")), frozenset(("train", "val", "test", "eval"))
_WORDS = re.compile(r"[^\W\d_]+\d*|\d+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def set_hint(name: str, raw: Mapping[str, Any]) -> str:
    """Return the very option that would make a needed column of a file's, or nothing."""
    for column, conversion in _candidates(name, raw):
        scale = _scale(raw[column])
        if name == "error" and set(_UNPRUNED_WORDS) & set(_words(column)):
            return _drop_hint(raw, column, conversion, scale or "")
        if scale is not None:
            return _option_for(name, column, conversion, scale)
    drops = [column for column in _drops(raw) if {"acc", "accuracy"} & set(_words(column))] if name == "error" else []
    if len(drops) == 1:
        fallen = quoted_where_needed(drops[0]) + (_scale(raw[drops[0]]) or "")
        options = f"{_option('set', f'error = 0.08 + {fallen}')} {_option('set', 'unpruned_error = 0.08')}"
        return f"{clipped(drops[0])} is how far accuracy falls: if the unpruned error was 8 %, add {options}."
    return _wide_hint(name, raw)


def _drop_hint(raw: Mapping[str, Any], before: str, conversion: _Conversion, scale: str) -> str:
    """Return how errors come of what was before pruning and how far it fell; nothing where that is not said."""
    drops = _drops(raw)
    if conversion.way != "rest" or len(drops) != 1 or scale == _MIXED:
        return ""
    start, drop = quoted_where_needed(before), quoted_where_needed(drops[0])
    unpruned, error = f"unpruned_error = 1 - {start}{scale}", f"error = 1 - ({start} - {drop}){scale}"
    return (
        f"{clipped(before)} is from before pruning, and {clipped(drops[0])} how far it falls: add "
        f"{_option('set', error)} {_option('set', unpruned)}."
    )


def _drops(raw: Mapping[str, Any]) -> list[str]:
    """Return columns of how far something falls by pruning."""
    return [column for column in raw if _DROPS & set(_words(column)) and not _MEASURED & set(_words(column))]


def _candidates(name: str, raw: Mapping[str, Any]) -> list[tuple[str, _Conversion]]:
    """Return columns that could be made into a needed one, those known by their whole name first."""
    candidates = []
    gathered = {column for columns in _numbered(raw).values() for column in columns.values()}
    for place, column in enumerate(raw):
        if column in gathered:
            continue
        whole = _CONVERSIONS.get(re.sub(r"[\s_.%()-]+", "", column.lower()))
        words = _words(column)
        conversion = whole or (None if _OTHERS & set(words) else _by_words(words))
        if conversion is not None and conversion.needed == name:
            rather = sum(_RATHER.get(word, 0) for word in words)
            candidates.append(((conversion.way == "outcome", -rather, whole is None, place), column, conversion))
    return [(column, conversion) for _, column, conversion in sorted(candidates, key=lambda item: item[0])]


def _words(column: str) -> list[str]:
    """Return the words of a name, also ``top1`` of ``Top-1``."""
    words = [word.lower() for word in _WORDS.findall(_CAMEL.sub(" ", column))]
    return words + [word + digits for word, digits in pairwise(words) if digits.isdigit()]


def _by_words(words: Sequence[str]) -> _Conversion | None:
    """Return what a column is by a word of its name: `Top-1 error` is an error, and the first of `_NAMES` counts."""
    known = {_CONVERSIONS[word] for word in words if word in _CONVERSIONS}
    return next((conversion for conversion in _NAMES if conversion in known), None)


def _option_for(name: str, column: str, conversion: _Conversion, scale: str) -> str:
    written = quoted_where_needed(column)
    if conversion.way == "outcome":
        return f"To go by {clipped(column)}, of which less is better: {_option('outcome', column)}."
    share = f"case when {written} > 1 then {written} / 100 else {written} end" if scale == _MIXED else written + scale
    expression = {"rest": f"1 - {share}", "share": share, "inverse": f"1 / {written}"}[conversion.way]
    option = _option("set", f"{name} = {expression}")
    kind = ", partly in percent" if scale == _MIXED else ", in percent" if scale else ""
    kind = kind if conversion.way != "inverse" else ""
    if not conversion.words:
        return f"Did you mean {clipped(column)}{kind}? Add {option}."
    return f"There is {clipped(column)}{kind}: {conversion.words}. Add {option}."


def set_option(target: str, column: str) -> str:
    """Return the option that makes a column of another."""
    return _option("set", f"{target} = {quoted_where_needed(column)}")


def _option(option: str, words: str) -> str:
    return f"--{option} {shell_word(words)}"


_PERCENT, _MIXED = " / 100", "mixed"
_OF_EACH = 0.2  # of values, below 1 and above 10, where a column holds both fractions and percent


def _scale(values: Any) -> str | None:
    """Return what percent is divided by, nothing where values are fractions; None where they are no numbers."""
    numbers, percent_signs = _numbers(values)
    if percent_signs:
        return ""
    if not len(numbers):
        return None
    fractions, percent = (numbers > 0) & (numbers <= 1), (numbers >= 10) & (numbers <= 100)
    if np.mean(fractions) >= _OF_EACH <= np.mean(percent) and np.all(fractions | percent | (numbers == 0)):
        return _MIXED
    return _PERCENT if 1 < numbers.max() <= 100 else ""


def _numbers(values: Any) -> tuple[NDArray[np.float64], bool]:
    """Return the numbers of a column, as far as there are any, and whether all have percent signs."""
    bare = without_marks({"": plain_column(values)})[0][""]
    if is_percent(bare):
        return fractions_of(bare), True
    numbers = np.array([number for number in map(parsed, cells_of(bare)) if number is not None], np.float64)
    return numbers[np.isfinite(numbers)], False


_NUMBERED = re.compile(r"(.*?)([0-9]+(?:[.,][0-9]+)?)(\D*)")
_REPEATED = frozenset(("seed", "run", "trial", "repeat", "repetition", "rep", "replicate"))


def _wide_hint(name: str, raw: Mapping[str, Any]) -> str:
    """Return how to read a file with one column for each density, or for each replicate."""
    wanted: dict[str, dict[tuple[str, str], dict[float, str]]] = {"density": {}, "replicate": {}}
    for (before, after), columns in _numbered(raw).items():
        wanted["replicate" if _is_replicate(before) else "density"][before, after] = columns
    key = "density" if name == "density" else "replicate"
    if not wanted[key]:
        return ""
    (before, after), columns = max(wanted[key].items(), key=lambda item: len(item[1]))
    if key == "density" and (min(columns) == 0 or {"sparsity", "pruned"} & set(_words(before))):
        key = "sparsity"
    words = [word for word in re.split(r"\W+|_", before) if word and word.lower() not in _REPEATED]
    target = re.sub(r"\W+|_+$|^_+", "", before) if key != "replicate" else "_".join(words)
    meant = _by_words(_words(target))
    if not target or (meant is not None and meant.needed == "density"):
        target = "accuracy" if _falls(raw, columns, key) else "error"
    return f"If there is a column for each {key}, add {_option('wide', f'{target} = {before}{{{key}}}{after}')}."


def _numbered(raw: Mapping[str, Any]) -> dict[tuple[str, str], dict[float, str]]:
    """Return columns whose names differ in a number alone, by what stands before and behind it."""
    patterns: dict[tuple[str, str], dict[float, str]] = {}
    for column in raw:
        parts = _NUMBERED.fullmatch(column.strip())
        if parts and not _OTHERS & set(_words(parts[1])):
            patterns.setdefault((parts[1], parts[3]), {})[float(parts[2].replace(",", "."))] = column
    return {
        (before, after): columns
        for (before, after), columns in patterns.items()
        if len(columns) >= (2 if _is_replicate(before) else 3)
    }


def _is_replicate(before: str) -> bool:
    return bool(_REPEATED & set(_words(re.sub(r"\d", "", before))))


def _falls(raw: Mapping[str, Any], columns: Mapping[float, str], key: str) -> bool:
    """Whether values are lower where networks are sparser, as accuracies are; of replicates, whether most are high."""
    numbers = [_numbers(raw[columns[level]])[0] for level in (max(columns), min(columns))]
    means = [float(np.nanmean(level)) if np.isfinite(level).any() else 0.0 for level in numbers]
    if key == "replicate":
        return means[0] > (50 if means[0] > 1 else 0.5)
    return means[0] > means[1] if key == "density" else means[0] < means[1]
