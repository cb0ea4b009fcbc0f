"""The laws in scikit-learn's manner: `fit` a table, `predict` a table, what was found under names that end in ``_``.

scikit-learn is not needed; where it is installed, its `clone` and cross-validation take these as they are. Fold by
configuration (``GroupKFold``), and let the table have its `unpruned_error`, as a fold may lack the unpruned networks.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from prunescope.errors import Fault, InputError, PrunescopeError, clipped, counted, listed, named, nearest
from prunescope.laws.batch import Numbers
from prunescope.laws.data import GroupData
from prunescope.laws.fit import Options, fit_groups
from prunescope.laws.grouping import Sample, dense_sample, members, plain, read_for_laws, sample
from prunescope.laws.models import DENSE, JOINT, SINGLE, Law
from prunescope.laws.predict import Prediction, predicted
from prunescope.laws.results import Fit, Intervals, RefusedFit
from prunescope.laws.settings import setting_faults
from prunescope.notebook import table_html
from prunescope.table import Table
from prunescope.table.coded import Columns

# The column that a dense law takes for the size of a network; without it, depth * width^2 is.
COUNTED = "prunable"
# Fits that a notebook shows.
SHOWN = 4


class NotFittedError(PrunescopeError, ValueError, AttributeError):
    """A law was asked for what only a fit can tell."""


class Estimator:
    """What the laws share."""

    _law: ClassVar[Law]

    fits_: tuple[Fit, ...]
    refused_: tuple[RefusedFit, ...]
    notes_: tuple[str, ...]
    by_: tuple[str, ...]
    fitted_on_: Mapping[str, Any]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the settings, as scikit-learn's `clone` asks for them."""
        del deep
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **settings: Any) -> Self:
        """Change settings."""
        known = self.get_params()
        for name, value in settings.items():
            if name not in known:
                hint = nearest(name, known) or f"There are {listed(known, 20)}."
                raise InputError(type(self).__name__, [Fault(f"setting {name!r}", "must be a setting", hint=hint)])
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        signature = inspect.signature(type(self)).parameters
        settings = self.get_params().items()
        changed = [f"{name}={each!r}" for name, each in settings if repr(each) != repr(signature[name].default)]
        return f"{type(self).__name__}({', '.join(changed)})"

    def _repr_html_(self) -> str:
        """Show the fits in a notebook, the first few of many."""
        if not hasattr(self, "fits_"):
            return table_html(("law",), [(repr(self),)], notes=("not fitted yet",))
        shown = "".join(fit._repr_html_() for fit in self.fits_[:SHOWN])
        more = len(self.fits_) - SHOWN
        return shown + (table_html((), (), f"and {counted(more, 'fit')} more: fits_") if more > 0 else "")

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn, which alone asks, that this is a regressor whose tables need not be numbers."""
        from sklearn.utils import InputTags, RegressorTags, Tags, TargetTags

        return Tags(
            estimator_type="regressor",
            target_tags=TargetTags(required=False),
            regressor_tags=RegressorTags(),
            input_tags=InputTags(string=True, allow_nan=True),
        )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "fits_")

    def fit(self, table: Any, y: Any = None, progress: Callable[[int, int], None] | None = None) -> Self:
        """Fit the law to each group of a table.

        Parameters
        ----------
        table
            What `read_table` takes: a path, a store, a DataFrame, columns by name.
        y
            Errors, where the table has none, as scikit-learn passes them.
        progress
            Called with the groups done and the groups there are.

        Raises
        ------
        InputError
            Where settings or table cannot be used, or no group can be fitted; with every fault.
        """
        self._check()
        rows = read_for_laws(table, y)
        found = self._sample(rows)
        self._check_groups(found.groups)
        each = fit_groups(self._law, found.groups, self._options(), progress)
        refused = tuple(one for one in each if isinstance(one, RefusedFit))
        if len(refused) == len(each):
            raise InputError(rows.source, [Fault(_named(one.group), one.why) for one in refused])
        self.fits_, self.refused_ = tuple(one for one in each if isinstance(one, Fit)), refused
        self.by_, self.notes_ = found.by, found.notes
        trivial = sum(one.trivial for one in refused)
        if trivial and len(found.groups) > 1:
            self.notes_ += (f"{counted(trivial, 'group')} of unpruned networks only: nothing to fit",)
        self.fitted_on_ = {
            "source": rows.source,
            "rows": len(rows),
            "groups": len(found.groups),
            "points": sum(one.points for one in self.fits_),
            "size": [COUNTED] if COUNTED in rows else [name for name in ("depth", "width") if name in rows],
            "digest": _digest(found.groups),
        }
        return self

    def predict(self, table: Any, dense: Estimator | None = None) -> Numbers:
        """Return the error of each row by the law."""
        return self.predictions(table, dense=dense).error

    def predictions(self, table: Any, level: float = 0.9, dense: Estimator | None = None) -> Prediction:
        """Return the error of each row with its intervals.

        Parameters
        ----------
        table
            Needs `density`, `unpruned_error` (or rows at density 1 with errors), the grouping columns, and for the
            joint law `depth` and `width`.
        dense
            A fitted `DenseLaw` that gives the unpruned errors where the table has none.
        """
        self._fitted()
        if not 0 < level < 1:
            raise InputError("predictions", [Fault("level", "must be between 0 and 1", clipped(level))])
        if dense is not None and (not isinstance(dense, DenseLaw) or self._law is DENSE):
            found = type(dense).__name__ if self._law is not DENSE else "a dense law already"
            raise InputError("predictions", [Fault("dense", "must be a DenseLaw that gives unpruned errors", found)])
        fill = None if dense is None else lambda rows: _predictions(dense, rows, level).error
        needed = (*self._columns(), *(dense._columns() if dense is not None else ()))
        return _predictions(self, members(table, tuple(dict.fromkeys(needed)), fill), level)

    def score(self, table: Any, y: Any = None) -> float:
        """Return minus the root mean square of the relative deviation: 0 is perfect."""
        rows = read_for_laws(table, y)
        if not (rows["test_error"] > 0).all():
            raise InputError(rows.source, [Fault("column 'error'", "must be above 0 for a relative deviation", "0")])
        relative = self.predict(rows) / rows["test_error"] - 1
        return -float(np.sqrt(np.mean(relative**2)))

    @property
    def fit_(self) -> Fit:
        """The fit, where the table was one group."""
        self._fitted()
        if len(self.fits_) != 1:
            raise AttributeError(f"there are {len(self.fits_)} fits, one for each of {listed(self.by_)}: see fits_")
        return self.fits_[0]

    @property
    def parameters_(self) -> Mapping[str, float]:
        """The parameters, where the table was one group."""
        return self.fit_.parameters

    @property
    def intervals_(self) -> Intervals:
        """Their intervals, where the table was one group."""
        return self.fit_.intervals

    @property
    def warnings_(self) -> tuple[str, ...]:
        """What the data cannot tell, over all groups."""
        self._fitted()
        return tuple(dict.fromkeys(each for fit in self.fits_ for each in fit.warnings))

    def to_dict(self) -> dict[str, Any]:
        """Return the documented contract: ``{"fits": [...]}`` and what else there is to tell."""
        self._fitted()
        return {
            "fits": [fit.to_dict() for fit in self.fits_],
            "refused": [{"group": dict(each.group), "why": each.why} for each in self.refused_],
            "notes": list(self.notes_),
        }

    def save(self, path: str | Path) -> None:
        """Write the fitted law as JSON, numbers unrounded, with what it was fitted on."""
        from prunescope.laws.saved import save_law

        self._fitted()
        save_law(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a law that `save` wrote."""
        from prunescope.laws.saved import load_law

        found = load_law(path)
        if not isinstance(found, cls):
            fault = Fault("the law", f"must be a {cls.__name__}", type(found).__name__)
            raise InputError(str(path), [fault])
        return found

    def _fitted(self) -> None:
        if not hasattr(self, "fits_"):
            raise NotFittedError(f"this {type(self).__name__} is not fitted yet: call fit(table) first")

    def _check(self) -> None:
        faults = list(setting_faults(self.get_params(), self._law.parameters))
        if faults:
            raise InputError(type(self).__name__, faults)

    def _check_groups(self, groups: Sequence[GroupData]) -> None:
        """Refuse settings that the table cannot follow."""

    def _columns(self) -> tuple[str, ...]:
        """Return the columns that a prediction needs, beside density and unpruned error."""
        return (*self._telling(), "density", "unpruned_error")

    def _telling(self) -> tuple[str, ...]:
        """Return the grouping columns in which the fits differ."""
        return tuple(name for name in self.by_ if len({fit.group[name] for fit in self.fits_}) > 1)

    def _sample(self, rows: Table) -> Sample:
        settings = self.get_params()
        return sample(
            rows,
            self._law.family,
            settings["by"],
            keep_replicates=settings["replicates"] == "keep",
            classes=settings["classes"],
            filters=settings["filters"],
        )

    def _options(self) -> Options:
        settings = self.get_params()
        return Options(
            fixed={name: float(value) for name, value in dict(settings["fix"] or {}).items()},
            vary=tuple(settings["vary"]) if settings.get("vary") is not None else None,
            level=settings["level"],
            intervals=settings["intervals"],
            draws=settings["draws"],
            starts=settings["starts"],
            seed=settings["seed"],
        )


class SingleLaw(Estimator):
    """Eq. 1, fitted to each configuration by itself.

    Parameters
    ----------
    by
        Columns whose values make groups; None takes all that tell ladders apart.
    fix
        Parameters that are given: ``{"eps_up": 0.9}``.
    classes
        Number of classes, which bounds ``eps_up`` by the error of guessing; None takes it from the datasets that
        prunescope knows, else 1 is the bound.
    filters
        Filters of Table 1 to apply first: ``connected``, ``better-than-chance``, ``not-overly-large``.
    replicates
        ``"mean"`` fits to the mean over replicates, as the first paper does; ``"keep"`` to each.
    level
        Probability that an interval is meant to hold the truth.
    intervals
        ``"auto"``, ``"resampled"``, ``"quick"`` (linear) or ``"none"``.
    draws, starts, seed
        How many resamples, from how many starts, drawn with which seed.
    """

    _law = SINGLE

    def __init__(
        self,
        *,
        by: Sequence[str] | None = None,
        fix: Mapping[str, float] | None = None,
        classes: int | None = None,
        filters: Sequence[str] = (),
        replicates: str = "mean",
        level: float = 0.9,
        intervals: str = "auto",
        draws: int = 200,
        starts: int = 16,
        seed: int = 0,
    ) -> None:
        self.by, self.fix, self.classes, self.filters, self.replicates = by, fix, classes, filters, replicates
        self.level, self.intervals, self.draws, self.starts, self.seed = level, intervals, draws, starts, seed


class JointLaw(Estimator):
    """Eq. 2, fitted to all members of a family at once.

    Parameters
    ----------
    vary
        Of ``depth`` and ``width``, those that the law explains by ``phi`` and ``psi``; None is all that vary. What is
        left out has exponent 0 (a partial fit).
    by, fix, classes, filters, replicates, level, intervals, draws, starts, seed
        As for `SingleLaw`; ``by`` leaves out depth, width and examples.
    """

    _law = JOINT

    def __init__(
        self,
        *,
        vary: Sequence[str] | None = None,
        by: Sequence[str] | None = None,
        fix: Mapping[str, float] | None = None,
        classes: int | None = None,
        filters: Sequence[str] = (),
        replicates: str = "mean",
        level: float = 0.9,
        intervals: str = "auto",
        draws: int = 200,
        starts: int = 16,
        seed: int = 0,
    ) -> None:
        self.vary = vary
        self.by, self.fix, self.classes, self.filters, self.replicates = by, fix, classes, filters, replicates
        self.level, self.intervals, self.draws, self.starts, self.seed = level, intervals, draws, starts, seed

    def _check_groups(self, groups: Sequence[GroupData]) -> None:
        faults = []
        for column in self.vary or ():
            values = np.unique(np.concatenate([getattr(group, column) for group in groups]))
            if all(np.ptp(getattr(group, column)) == 0 for group in groups):
                hint = f"Add networks of another {column}, or leave {column} out of --vary."
                faults.append(Fault(f"column {column!r}", "must vary to be explained", f"only {values[0]:g}", hint))
        if faults:
            raise InputError("--vary", faults)

    def _columns(self) -> tuple[str, ...]:
        used = {"phi": "depth", "psi": "width"}
        needed = [column for name, column in used.items() if any(fit.parameters[name] != 0 for fit in self.fits_)]
        return (*super()._columns(), *(column for column in needed if column not in self.by_))


class DenseLaw(Estimator):
    """Rosenfeld's law of unpruned networks: their error by size and examples, for members never trained.

    The size is the column `prunable` where there is one, else ``depth * width^2``, which is proportional to it.

    Parameters
    ----------
    by, fix, classes, level, intervals, draws, starts, seed
        As for `JointLaw`; the parameters are ``eps_0, a, alpha, b, beta, c``, and with ``classes`` given ``eps_0`` is
        the error of guessing.
    """

    _law = DENSE

    def __init__(
        self,
        *,
        by: Sequence[str] | None = None,
        fix: Mapping[str, float] | None = None,
        classes: int | None = None,
        level: float = 0.9,
        intervals: str = "auto",
        draws: int = 200,
        starts: int = 16,
        seed: int = 0,
    ) -> None:
        self.by, self.fix, self.classes = by, fix, classes
        self.level, self.intervals, self.draws, self.starts, self.seed = level, intervals, draws, starts, seed

    def _sample(self, rows: Table) -> Sample:
        return dense_sample(rows, self.by, classes=self.classes)

    def _options(self) -> Options:
        plain = super()._options()
        if self.classes is not None and "eps_0" not in plain.fixed:
            return Options(**vars(plain) | {"fixed": {**plain.fixed, "eps_0": 1 - 1 / self.classes}})
        return plain

    def _columns(self) -> tuple[str, ...]:
        explained = [("b", self.fitted_on_["size"]), ("a", ["examples"])]
        used = [names for part, names in explained if any(part not in fit.fixed for fit in self.fits_)]
        return (*self._telling(), *(name for names in used for name in names))


def _predictions(law: Estimator, rows: Any, level: float) -> Prediction:
    """Predict every row by the fit of its group."""
    parts = np.full((5, len(rows)), np.nan)
    # A column that all fits share need not be repeated; where it is, it must agree.
    by = [name for name in law.by_ if name in rows.given]
    texts = {name for name in by if any(isinstance(fit.group[name], str) for fit in law.fits_)}
    columns = Columns.of(rows.columns).pick([*by, "density"])
    codes = columns.groups(by)
    order = np.argsort(codes, kind="stable")
    alike = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
    firsts = columns.take(np.array([places[0] for places in alike]))
    values = {name: [plain(each) for each in firsts[name].tolist()] for name in by}
    for name in texts:
        values[name] = [each if each is None else str(each) for each in values[name]]
    keys = list(zip(*values.values(), strict=True)) if by else [()] * len(alike)
    where: dict[tuple[Any, ...], list[Any]] = {}
    for places, key in zip(alike, keys, strict=True):
        where.setdefault(key, []).append(places)
    fits = {tuple(fit.group[name] for name in by): fit for fit in law.fits_}
    unknown = [key for key in where if key not in fits]
    if unknown:
        shown = _named(dict(zip(by, unknown[0], strict=True)))
        fault = Fault(
            "a row's group",
            "must be one that was fitted",
            shown,
            f"Fitted: {listed(map(_named, (fit.group for fit in law.fits_)), 3)}.",
        )
        raise InputError(rows.source, [fault])
    for key, found in where.items():
        at = np.sort(np.concatenate(found))
        depth, width = rows["depth"][at], rows["width"][at]
        if law._law is DENSE:
            counts = rows[COUNTED] if COUNTED in law.fitted_on_["size"] else rows["depth"] * rows["width"] ** 2
            depth, width = counts[at], rows["examples"][at]
        each = predicted(fits[key], rows["unpruned_error"][at], rows["density"][at], depth, width, level)
        parts[:, at] = each.error, each.low, each.high, each.law_low, each.law_high
    return Prediction(parts[0], parts[1], parts[2], parts[3], parts[4], level)


def _named(group: Mapping[str, Any]) -> str:
    return named(group) or "the table"


def _digest(groups: Sequence[GroupData]) -> str:
    """Return a hash of the numbers that were fitted to."""
    found = hashlib.sha256()
    for group in groups:
        for values in (group.error, group.unpruned, group.density, group.depth, group.width, group.examples):
            found.update(np.ascontiguousarray(values).tobytes())
    return found.hexdigest()[:32]
