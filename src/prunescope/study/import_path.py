"""A user's own functions, named in a study by their import paths: ``package.module:function``.

Naming one runs its module. So nothing is imported that the user did not name, and the folders that are searched for it
come after everything that is installed: what else lies in them is never taken for a library.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunescope.errors import Fault, InputError, clipped, listed, nearest, said
from prunescope.study.catalogue import is_import_path

if TYPE_CHECKING:
    from prunescope.study.study import Study

_LABELS = ("name", "learns_from")  # keys of a study whose values are free words


def import_function(path: str) -> Callable[..., Any]:
    """Import a function by its path."""
    module, _, name = path.partition(":")
    try:
        home = import_module(module)
    except ImportError as trouble:
        hint = "It must be installed, or lie in a folder on PYTHONPATH."
        raise InputError("the study", [Fault(path, "must name a module", str(trouble), hint)]) from None
    except Exception as trouble:
        raise InputError("the study", [Fault(path, f"{module} must be importable", said(trouble))]) from trouble
    function = getattr(home, name, None)
    if not callable(function):
        have = [word for word, value in vars(home).items() if callable(value) and not word.startswith("_")]
        hint = nearest(name, have) or (f"It has {listed(have, 8)}." if have else "")
        origin = f"It was imported from {getattr(home, '__file__', None) or 'Python itself'}."
        fault = Fault(path, f"must name a function of {module}", clipped(name), f"{hint} {origin}".strip())
        raise InputError("the study", [fault])
    return function  # type: ignore[no-any-return]


def import_paths(study: Study) -> tuple[str, ...]:
    """Return the import paths that a study names, whatever for."""
    content = study.to_mapping()
    parts = [*content["axes"], content["recipe"], *content["treatments"]]
    values = [value for section in parts for key, value in section.items() if key not in _LABELS]
    return tuple(dict.fromkeys(word for word in _texts(values) if is_import_path(word)))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def search_folders(paths: Sequence[str], folders: Iterable[Path]) -> None:
    """Let the modules of import paths be found in folders, after everything that is installed.

    Without import paths nothing changes. A module that lies in one of the folders, while another one of its name comes
    first, is refused: the wrong code would run, or fail with words about code that the user has never seen.
    """
    if not paths:
        return
    places = list(dict.fromkeys(str(folder.resolve()) for folder in folders))
    sys.path += [place for place in places if place not in sys.path]
    faults = [fault for path in paths for fault in _hidden(path, map(Path, places))]
    if faults:
        raise InputError("the study", faults)


def _hidden(path: str, folders: Iterable[Path]) -> Iterator[Fault]:
    """Yield a fault where a module of a folder is hidden by another one of its name."""
    module = path.partition(":")[0]
    within, top = Path(*module.split(".")), module.partition(".")[0]
    for folder in folders:
        files = [folder / within.with_suffix(".py"), folder / within / "__init__.py"]
        wanted = next((file for file in files if file.is_file()), None)
        if wanted is None:
            continue
        try:
            first = find_spec(top)
        except ValueError:  # a module without a spec, such as __main__
            first = None
        places = [first.origin, *(first.submodule_search_locations or ())] if first else []
        if not {str(folder / top), str(folder / f"{top}.py")} & {
            str(Path(place).resolve()) for place in places if place
        }:
            origin = next((place for place in places if place), "a module of Python")
            hint = "Give your module a name that no installed package has."
            yield Fault(path, f"must mean {wanted}", f"{origin}, which Python imports by that name", hint)
        return
