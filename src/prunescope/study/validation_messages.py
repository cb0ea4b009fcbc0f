"""Pydantic's errors about a study as faults, in the words of study files."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydantic_core import ErrorDetails

from prunescope.errors import Fault, clipped, nearest
from prunescope.study.checks import Locate
from prunescope.study.sections import KEEP_KEYS, Section

SECTIONS = ("axes", "recipe", "treatments", "el2n", "datasets")

# By pydantic's name of the error; braces take the bounds that it names.
_MUST = {
    "missing": "must be given",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "must be a smaller number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "model_type": "must be a table of keys and values",
    "model_attributes_type": "must be a table of keys and values",
    "too_short": "must hold one value or more",
    "too_long": "must hold at most {max_length} values",
    "string_too_short": "must not be empty",
    "string_too_long": "must be at most {max_length} letters",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be {le} or less",
    "literal_error": "must be {expected}",
    "invalid-json-value": "must be plain content: text, numbers, true or false, lists and tables of these",
    "string_pattern_mismatch": "must be 64 hexadecimal digits",
}


def faults_of(
    errors: Sequence[ErrorDetails], model: type[Section], path: tuple[object, ...], locate: Locate
) -> list[Fault]:
    """Return pydantic's errors about a part as faults, one for each key."""
    faults: dict[tuple[object, ...], Fault] = {}
    fields = list(model.model_fields)
    for error in errors:
        # A union's branches each report; the key and the position within its list are the same for all.
        steps = tuple(
            step
            for step in error["loc"]
            if isinstance(step, int) or step in fields or error["type"] == "extra_forbidden"
        )
        steps = steps[:1] if steps and steps[0] in (*KEEP_KEYS, "prunable") else steps  # reported as a whole
        place = (*path, *steps)
        unsound_items = error["type"] == "too_short" and bool(error["input"])  # reported item by item
        if place in faults or unsound_items:
            continue
        words = locate(*place)
        if error["type"] == "extra_forbidden":
            here = f"[{path[0]}]" if path else "the top of a study"
            unknown = str(error["loc"][-1])
            valid = [*fields, *(SECTIONS if not path else ())]
            hint = nearest(unknown, valid) or f"It has {', '.join(valid)}."
            faults[place] = Fault(words, f"is no key of {here}", hint=hint)
            continue
        must = _MUST.get(error["type"], error["msg"]).format(**error.get("ctx", {}))
        value = "" if error["type"] == "missing" else clipped(error["input"])
        hint = ""
        if error["type"] == "literal_error" and isinstance(error["input"], str):
            hint = nearest(error["input"], re.findall("'([^']+)'", must))
        if error["type"] == "missing":
            meaning = model.model_fields[str(steps[-1])].description
            must += f" ({meaning})" if meaning else ""
        if steps[:1] == ("examples",):
            must = 'must be a whole number above 0, "all" or a share such as "1/4"'
        if steps[:1] == ("width",) and error["type"] == "float_type":
            must = 'must be a number, or a fraction such as "1/8"'
        if steps and steps[0] in KEEP_KEYS:
            must = 'must be "none", "all" or a list of rungs such as [0, 10, 20]'
        if steps == ("prunable",):
            must = 'must be "all", "all-but-output" or a list of patterns of names such as ["blocks.*", "!head"]'
        faults[place] = Fault(words, must, value, hint)
    return list(faults.values())
