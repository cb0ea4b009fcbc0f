"""Read a study from a TOML file or a preset; all faults are reported together, each with its line."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import ValidationError

from prunescope.errors import Fault, InputError, clipped, nearest
from prunescope.study import checks
from prunescope.study.sections import MOST_VALUES, Axes, El2n, OwnDataset, Recipe, Section, StudyKeys, Treatment
from prunescope.study.study import Study
from prunescope.study.validation_messages import SECTIONS, faults_of

MOST_BYTES = 4_000_000
MOST_FAULTS = 1_000  # after which a file is read no further
MOST_KEYS = 100
MOST_TABLES = {"axes": 10_000, "treatments": 200, "datasets": 200}
# A key of twenty parts. The time that tomllib takes grows with the square of their number.
_DEEP_KEY = re.compile(
    r"""(?:^|[\[{,])[ \t]*+(?:(?:[\w-]++|"(?:\\.|[^"\\\n])*"|'[^'\n]*+')[ \t]*+\.[ \t]*+){19}""", re.MULTILINE
)
_SECTION = re.compile(r"^[ \t]*+\[[\[ \t]*+([\w-]++)", re.MULTILINE)
_P = TypeVar("_P", bound=Section)


def presets() -> tuple[str, ...]:
    """Return the names of the studies that ship with the package."""
    folder = resources.files("prunescope.study") / "presets"
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")))


def preset_text(name: str) -> str:
    """Return a preset's file as it ships, comments included."""
    return (resources.files("prunescope.study") / "presets" / f"{name}.toml").read_text(encoding="utf-8")


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
        if path.exists() and not path.is_file():
            actual = "a folder" if path.is_dir() else "a pipe or device"
            raise InputError(str(source), [Fault("the path", "must be a TOML file", actual)])
        if path.stat().st_size > MOST_BYTES:
            actual = f"{path.stat().st_size:,} bytes"
            raise InputError(str(source), [Fault("the file", f"must be at most {MOST_BYTES:,} bytes", actual)])
        text = path.read_bytes().decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError, ValueError) as trouble:
        if isinstance(trouble, UnicodeDecodeError):
            actual = f"other bytes at position {trouble.start}"
            raise InputError(str(source), [Fault("the file", "must be UTF-8 text", actual)]) from None
        hint = nearest(str(source), known) or f"Presets: {', '.join(known)}."
        raise InputError(
            clipped(str(source)), [Fault("the study", "must be a file or a preset", "neither", hint)]
        ) from None
    except OSError as trouble:
        raise InputError(str(source), [Fault("the file", "must be readable", trouble.strerror or "")]) from None
    return replace(parse_study(text, str(source)), home=path.absolute().parent)


def parse_study(text: str, source: str = "study") -> Study:
    """Read a study from the text of its file."""
    if deep := _DEEP_KEY.search(text):
        raise InputError(source, [_deep_fault(text, deep)])
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as trouble:
        raise InputError(source, [Fault("the file", "must be TOML", _lowered(str(trouble)))]) from None
    except (RecursionError, ValueError) as trouble:
        actual = (
            "lists and tables nested too deep" if isinstance(trouble, RecursionError) else "a number too long to be one"
        )
        raise InputError(source, [Fault("the file", "must be TOML", actual)]) from None
    if not content:
        hint = "`prunescope plan digits --save FILE` writes one to start from."
        raise InputError(source, [Fault("the file", "must describe a study", "nothing", hint)])
    return study_from(content, source, _lines(text))


def _deep_fault(text: str, deep: re.Match[str]) -> Fault:
    before = text[: deep.start()]
    section = [] if deep[0].startswith("[") else _SECTION.findall(before)[-1:]
    key = deep[0].partition(".")[0].strip(" \t[{,\"'")
    words, line = ".".join([*section, key]), before.count("\n") + 1
    return Fault(f"{words} (line {line})", "must be a key of fewer than twenty parts", clipped(deep[0]))


def study_from(content: Mapping[str, Any], source: str = "study", lines: Mapping[str, int] | None = None) -> Study:
    """Build a study from plain content, such as `Study.to_mapping` returns."""
    faults: list[Fault] = []

    def locate(*path: object) -> str:
        words = _place(path)
        line = (lines or {}).get(_key(path))
        return f"{words} (line {line})" if line else words

    too_large = list(islice(_too_large(content, locate), MOST_FAULTS))
    if too_large:
        raise InputError(source, too_large)
    head_content = {key: value for key, value in content.items() if key not in SECTIONS}
    head = _part(StudyKeys, head_content, (), locate, faults)
    axes = _many(Axes, content, "axes", locate, faults)
    recipe = _one(Recipe, content, "recipe", locate, faults)
    unsound: set[str] = set()
    stand_in = recipe
    if recipe is None and isinstance(content.get("recipe"), Mapping):
        stand_in, unsound = _sound_recipe(content["recipe"])
    treatments = _many(Treatment, content, "treatments", locate, faults)
    el2n = _one(El2n, content, "el2n", locate, faults) if "el2n" in content else None
    datasets = _many(OwnDataset, content, "datasets", locate, faults) if "datasets" in content else {}
    facts = {own.name: own.facts for own in datasets.values()}
    faults += checks.dataset_faults(datasets, locate)
    faults += checks.el2n_faults(el2n, stand_in, locate, unsound)
    if "el2n" not in content or el2n is not None:  # a section with faults is there
        faults += checks.group_faults(el2n, treatments, locate)
    named = _named(content) if faults else set()
    faults += islice(checks.study_faults(axes, stand_in, treatments, head, locate, unsound, named, facts), MOST_FAULTS)
    if head is None or recipe is None or faults:
        raise InputError(source, sorted(faults, key=_line))
    return Study(
        axes=tuple(axes.values()),
        recipe=recipe,
        treatments=tuple(treatments.values()),
        el2n=el2n,
        datasets=tuple(datasets.values()),
        **head.model_dump(exclude={"format"}),
    )


def _too_large(content: Mapping[str, Any], locate: checks.Locate) -> Iterator[Fault]:
    """Yield a fault for each part of a file that is too large; such a file is read no further."""
    parts: list[tuple[tuple[object, ...], object]] = [((), {key: content[key] for key in content.keys() - SECTIONS})]
    for section in SECTIONS:
        value = content.get(section)
        if section not in MOST_TABLES:
            parts.append(((section,), value))
            continue
        tables = value if isinstance(value, list) else [value]
        if len(tables) > MOST_TABLES[section]:
            yield Fault(f"[[{section}]]", f"must be given at most {MOST_TABLES[section]:,} times", f"{len(tables):,}")
        else:
            parts += [((section, index), table) for index, table in enumerate(tables)]
    for path, table in parts:
        if not isinstance(table, Mapping):
            continue
        if len(table) > MOST_KEYS:
            place = locate(*path) if path else "the top of a study"
            yield Fault(place, f"must have at most {MOST_KEYS} keys", f"{len(table):,}")
            continue
        for key, value in table.items():
            if isinstance(value, list) and len(value) > MOST_VALUES:
                yield Fault(locate(*path, key), f"must hold at most {MOST_VALUES:,} values", f"{len(value):,}")


def _named(content: Mapping[str, Any]) -> set[str]:
    """Return what the treatments of a study are called, sound or not."""
    entries = content.get("treatments")
    tables = [entry for entry in entries if isinstance(entry, Mapping)] if isinstance(entries, list) else []
    return {str(entry.get("name") or entry.get("kind")) for entry in tables}


def _part(
    model: type[_P], content: object, path: tuple[object, ...], locate: checks.Locate, faults: list[Fault]
) -> _P | None:
    """Read one part; on faults, add them and return None."""
    try:
        return model.model_validate(content)
    except ValidationError as trouble:
        faults += faults_of(trouble.errors(include_url=False), model, path, locate)
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
        actual = clipped(content[key]) if key in content else ""
        faults.append(Fault(f"[[{key}]]", "must be given, as one table or more", actual))
        return {}
    parts: dict[int, _P | None] = {}
    for index, entry in enumerate(entries):
        if len(faults) < MOST_FAULTS:
            parts[index] = _part(model, entry, (key, index), locate, faults)
    for index, table in parts.items():
        if table is None and isinstance(entries[index], Mapping):
            parts[index] = _sound_keys(model, entries[index])
    return {index: table for index, table in parts.items() if table is not None}


# Stands in for a key of [axes] whose own value is unsound, so that the rules about its neighbours can run.
_NEUTRAL = {
    "dataset": "digits",
    "family": "lenet",
    "depth": 3,
    "width": 1.0,
    "examples": "all",
    "label_noise": 0.0,
}


def _sound_recipe(content: Mapping[str, Any]) -> tuple[Recipe, set[str]]:
    """Return a recipe of the keys that are sound, and the names of those that are not and got a stand-in."""
    neutral: dict[str, Any] = {"epochs": 1, "batch": 1, "learning_rate": 1.0, "levels": 1}
    values = {name: field.get_default() for name, field in Recipe.model_fields.items()} | neutral
    unsound = {name for name in neutral if name not in content}
    for name in content.keys() & Recipe.model_fields.keys():
        try:
            values[name] = getattr(Recipe.model_validate({**neutral, name: content[name]}), name)
        except ValidationError:
            unsound.add(name)
    return Recipe.model_construct(**values), unsound


def _sound_keys(model: type[_P], content: Mapping[str, Any]) -> _P | None:
    """Return axes reduced to the keys that are sound, the others empty; None for other parts."""
    if model is not Axes:
        return None
    sound = {}
    for key, neutral in _NEUTRAL.items():
        try:
            axes = model.model_validate({**_NEUTRAL, key: content.get(key, neutral)})
        except ValidationError:
            continue
        if key in content:
            sound[key] = getattr(axes, key)
    return cast(_P, model.model_construct(**{**dict.fromkeys(_NEUTRAL, ()), **sound}))


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


# Texts of one line and comments may hold anything; a text of several lines goes on to the mark that it began with.
# No possessive quantifiers: Python before 3.11.4 matches them wrongly.
_MARKS = re.compile(r'"""|\'\'\'|"(?:\\.|[^"\\])*"|\'[^\']*\'|#.*')
_ENDS = {'"""': re.compile(r'(?:\\.|[^\\])*?"""'), "'''": re.compile(r".*?'''")}
_HEADER = re.compile(r"""\s*\[(\[?)\s*["']?([\w-]+)["']?\s*\]""")
_ASSIGNED = re.compile(r"""\s*["']?([\w-]+)["']?\s*=""")


def _lines(text: str) -> dict[str, int]:
    """Tell on which line each key of a study file stands, as far as that can be seen line by line."""
    lines: dict[str, int] = {}
    section, counts, inside = "", dict.fromkeys(SECTIONS, 0), ""
    for number, line in enumerate(text.split("\n"), 1):
        # Lines within a text of several lines are no keys.
        starts_inside, place = inside, 0
        while mark := _ENDS[inside].match(line, place) if inside else _MARKS.search(line, place):
            place = mark.end()
            inside = mark[0] if not inside and mark[0] in _ENDS else ""
        if starts_inside:
            continue
        header = _HEADER.match(line)
        if header:
            name = header[2]
            section = f"{name}/"
            if name in MOST_TABLES:
                section += f"{counts[name]}/"
                counts[name] += 1
            lines.setdefault(section.rstrip("/"), number)
            continue
        assigned = _ASSIGNED.match(line)
        if assigned:
            lines.setdefault(section + assigned[1], number)
    return lines


def _line(fault: Fault) -> float:
    """Sort key: faults in the order of the file, those about what is not there last."""
    match = re.search(r"\(line ([0-9]+)\)", fault.place)
    return int(match[1]) if match else math.inf


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]
