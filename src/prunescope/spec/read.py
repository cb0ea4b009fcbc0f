"""From a TOML file, or a preset's name, to a study; all faults at once, each with its line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import Field, ValidationError
from pydantic_core import ErrorDetails

from prunescope.errors import Fault, InputError, clipped, nearest
from prunescope.spec import checks
from prunescope.spec.parts import Axes, Part, Recipe, Treatment
from prunescope.spec.study import FORMAT, Study

MOST_BYTES = 4_000_000
_P = TypeVar("_P", bound=Part)


class _Head(Part):
    """The keys of a study file that stand outside its sections."""

    name: str = Field(min_length=1, max_length=100)
    format: int = Field(FORMAT, ge=1, le=FORMAT)
    purpose: str = Field("", max_length=5_000)
    expected: str = Field("", max_length=5_000)
    cost: str = Field("", max_length=5_000)
    replicates: int = Field(3, ge=1, le=100_000)
    seed: int = Field(0, ge=0, le=2**63 - 1)


SECTIONS = ("axes", "recipe", "treatments")


def presets() -> tuple[str, ...]:
    """Return the names of the studies that ship with the package."""
    folder = resources.files("prunescope.spec") / "presets"
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")))


def preset_text(name: str) -> str:
    """Return a preset's file as it ships, comments included."""
    return (resources.files("prunescope.spec") / "presets" / f"{name}.toml").read_text(encoding="utf-8")


def read_study(source: str | Path) -> Study:
    """Read a study from a file, or by the name of a preset.

    Raises
    ------
    InputError
        With every fault of the file: place and line, what must hold, what was found, the nearest valid name.
    """
    known = presets()
    if str(source) in known:
        return parse_study(preset_text(str(source)), f"preset {source}")
    path = Path(source)
    try:
        if path.is_dir():
            raise InputError(str(source), [Fault("the path", "must be a TOML file", "a folder")])
        if path.stat().st_size > MOST_BYTES:
            found = f"{path.stat().st_size:,} bytes"
            raise InputError(str(source), [Fault("the file", f"must be at most {MOST_BYTES:,} bytes", found)])
        text = path.read_bytes().decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError, ValueError) as trouble:
        if isinstance(trouble, UnicodeDecodeError):
            found = f"other bytes at position {trouble.start}"
            raise InputError(str(source), [Fault("the file", "must be UTF-8 text", found)]) from None
        hint = nearest(str(source), known) or f"Presets: {', '.join(known)}."
        raise InputError(
            clipped(str(source)), [Fault("the study", "must be a file or a preset", "neither", hint)]
        ) from None
    except OSError as trouble:
        raise InputError(str(source), [Fault("the file", "must be readable", trouble.strerror or "")]) from None
    return parse_study(text, str(source))


def parse_study(text: str, source: str = "study") -> Study:
    """Read a study from the text of its file."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as trouble:
        raise InputError(source, [Fault("the file", "must be TOML", _lowered(str(trouble)))]) from None
    except RecursionError:
        raise InputError(source, [Fault("the file", "must not nest lists and tables this deep")]) from None
    return study_from(content, source, _lines(text))


def study_from(content: Mapping[str, Any], source: str = "study", lines: Mapping[str, int] | None = None) -> Study:
    """Build a study from plain content, such as `Study.to_mapping` returns."""
    faults: list[Fault] = []

    def locate(*path: object) -> str:
        words = _place(path)
        line = (lines or {}).get(_key(path))
        return f"{words} (line {line})" if line else words

    head_content = {key: value for key, value in content.items() if key not in SECTIONS}
    head = _part(_Head, head_content, (), locate, faults)
    axes = _many(Axes, content, "axes", locate, faults)
    recipe = _one(Recipe, content, "recipe", locate, faults)
    treatments = _many(Treatment, content, "treatments", locate, faults)
    replicates = head.replicates if head else 1
    faults += checks.study_faults(axes, recipe, treatments, replicates, locate)
    if head is None or recipe is None or faults:
        raise InputError(source, faults)
    return Study(
        axes=tuple(axes.values()),
        recipe=recipe,
        treatments=tuple(treatments.values()),
        **head.model_dump(exclude={"format"}),
    )


def _part(
    model: type[_P], content: object, path: tuple[object, ...], locate: checks.Locate, faults: list[Fault]
) -> _P | None:
    """Read one part; on faults, add them and return None."""
    try:
        return model.model_validate(content)
    except ValidationError as trouble:
        faults += _faults_of(trouble.errors(include_url=False), model, path, locate)
        return None


def _one(
    model: type[_P], content: Mapping[str, Any], key: str, locate: checks.Locate, faults: list[Fault]
) -> _P | None:
    """Read a section that must be there, once."""
    if key not in content:
        faults.append(Fault(f"[{key}]", "must be given"))
        return None
    return _part(model, content[key], (key,), locate, faults)


def _many(
    model: type[_P], content: Mapping[str, Any], key: str, locate: checks.Locate, faults: list[Fault]
) -> dict[int, _P]:
    """Read a section that may be there several times; return the sound ones by position."""
    entries = content.get(key, [])
    if isinstance(entries, Mapping):
        entries = [entries]
    if not isinstance(entries, list) or not entries:
        faults.append(Fault(f"[[{key}]]", "must be given, as one table or more", clipped(content.get(key, ""))))
        return {}
    parts = {index: _part(model, entry, (key, index), locate, faults) for index, entry in enumerate(entries)}
    for index, part in parts.items():
        if part is None and isinstance(entries[index], Mapping):
            parts[index] = _sound_keys(model, entries[index])
    return {index: part for index, part in parts.items() if part is not None}


# Stands in for a key of [axes] whose own value is unsound, so that the rules about its neighbours can run.
_NEUTRAL = {
    "dataset": "digits",
    "family": "lenet",
    "depth": 3,
    "width": 1.0,
    "examples": "all",
    "label_noise": 0.0,
}


def _sound_keys(model: type[_P], content: Mapping[str, Any]) -> _P | None:
    """Return axes reduced to the keys that are sound, the others empty; None for other parts."""
    if model is not Axes:
        return None
    sound = {}
    for key, neutral in _NEUTRAL.items():
        try:
            part = model.model_validate({**_NEUTRAL, key: content.get(key, neutral)})
        except ValidationError:
            continue
        if key in content:
            sound[key] = getattr(part, key)
    return cast(_P, model.model_construct(**{**dict.fromkeys(_NEUTRAL, ()), **sound}))


# What pydantic finds wrong, in the words of a study's author. `limit` stands for the bound it names.
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
    "string_too_short": "must not be empty",
    "string_too_long": "must be at most {max_length} letters",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be {le} or less",
    "literal_error": "must be {expected}",
}


def _faults_of(
    errors: Sequence[ErrorDetails], model: type[Part], path: tuple[object, ...], locate: checks.Locate
) -> list[Fault]:
    found: dict[tuple[object, ...], Fault] = {}
    fields = [name for name in model.model_fields if name not in SECTIONS]
    for error in errors:
        # A union's branches each report; the key and the position within its list are the same for all.
        steps = tuple(
            step
            for step in error["loc"]
            if isinstance(step, int) or step in fields or error["type"] == "extra_forbidden"
        )
        place = (*path, *steps)
        unsound_items = error["type"] == "too_short" and bool(error["input"])  # told item by item
        if place in found or unsound_items:
            continue
        words = locate(*place)
        if error["type"] == "extra_forbidden":
            here = f"[{path[0]}]" if path else "the top of a study"
            unknown = str(error["loc"][-1])
            valid = [*fields, *(SECTIONS if not path else ())]
            hint = nearest(unknown, valid) or f"It has {', '.join(valid)}."
            found[place] = Fault(words, f"is no key of {here}", hint=hint)
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
        found[place] = Fault(words, must, value, hint)
    return list(found.values())


def _place(path: tuple[object, ...]) -> str:
    """Write ("axes", 1, "width", 2) as ``axes 2: width, value 3``: people count from one."""
    words = ""
    for step in path:
        if isinstance(step, int):
            words += f" {step + 1}" if words in SECTIONS else f", value {step + 1}"
        elif words:
            words += f": {step}" if words[-1].isdigit() else f".{step}"
        else:
            words = str(step)
    return words


def _key(path: tuple[object, ...]) -> str:
    """Return the path of the key that a value stands under, as `_lines` spells it."""
    steps = list(path)
    while len(steps) > 2 and isinstance(steps[-1], int):
        steps.pop()
    return "/".join(str(step) for step in steps)


_HEADER = re.compile(r"\s*\[(\[?)\s*([\w-]+)\s*\]")
_ASSIGNED = re.compile(r"""\s*["']?([\w-]+)["']?\s*=""")


def _lines(text: str) -> dict[str, int]:
    """Tell on which line each key of a study file stands, as far as that can be seen line by line."""
    lines: dict[str, int] = {}
    section, counts = "", dict.fromkeys(SECTIONS, 0)
    for number, line in enumerate(text.splitlines(), 1):
        header = _HEADER.match(line)
        if header:
            name = header[2]
            section = f"{name}/"
            if name in ("axes", "treatments"):
                section += f"{counts[name]}/"
                counts[name] += 1
            lines.setdefault(section.rstrip("/"), number)
            continue
        assigned = _ASSIGNED.match(line)
        if assigned:
            lines.setdefault(section + assigned[1], number)
    return lines


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]
