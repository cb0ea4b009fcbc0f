"""What the laws share, in scikit-learn's manner: `fit` and `predict` tables, check settings, save and load.

scikit-learn is not needed; where it is installed, its `clone` and cross-validation take these as they are. Fold by
configuration (``GroupKFold``), and let the table have its `unpruned_error`, as a fold may lack the unpruned networks.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from prunescope.errors import Fault, InputError, PrunescopeError, clipped, counted, listed, nearest
from prunescope.files import replacing
from prunescope.laws.data import GroupData, Numbers
from prunescope.laws.fit import Options, fit_groups
from prunescope.laws.forms import DENSE, Form, to_parameters
from prunescope.laws.grouping import COUNTED, Sample, sample
from prunescope.laws.predict import MemberQuery, Prediction, name_group, predict_members, read_members
from prunescope.laws.refusals import setting_faults, share_faults
from prunescope.laws.results import Fit, Intervals, RefusedFit, json_text
from prunescope.markup import table_html
from prunescope.table import Table, read_table
from prunescope.table.schema import ERROR, Outcome
from prunescope.version import __version__

# Fits that a notebook shows.
SHOWN = 4
# Probability within one standard deviation.
ONE_SIGMA = 0.6827
# Of a saved law.
FORMAT = 1


class NotFittedError(PrunescopeError, ValueError, AttributeError):
    """A law was asked for what only a fit can tell."""


@dataclass(kw_only=True, repr=False, eq=False)
class Estimator:
    """What the laws share: a subclass says which forms it fits, and how a table becomes a sample for it."""

    _forms: ClassVar[Mapping[str, Form]]
    _explains: ClassVar[tuple[str, ...]] = ("depth", "width")

    by: Sequence[str] | None = None
    fix: Mapping[str, float] | None = None
    classes: int | None = None
    level: float = 0.9
    intervals: str = "auto"
    draws: int = 200
    starts: int = 16
    seed: int = 0
    loss: str = "relative"

    fits_: tuple[Fit, ...] = field(init=False)
    refused_: tuple[RefusedFit, ...] = field(init=False)
    notes_: tuple[str, ...] = field(init=False)
    by_: tuple[str, ...] = field(init=False)
    fitted_on_: Mapping[str, Any] = field(init=False)

    @property
    def _form(self) -> Form:
        """The form that is fitted."""
        return self._forms[getattr(self, "form", "paper")]

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
        changed = [f"{name}={value!r}" for name, value in settings if repr(value) != repr(signature[name].default)]
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
            What `read_table` takes: a path, a store, a DataFrame, columns by name. Or a `Sample` that `sample` made.
        y
            Errors, where the table has none, as scikit-learn passes them.
        progress
            Called with the groups done and the groups there are.

        Raises
        ------
        InputError
            Where settings or table cannot be used, or no group can be fitted; with every fault.
        """
        self.check_settings()
        sample = table if isinstance(table, Sample) else self.sample(table, y)
        kind = self._forms["paper"].name
        if sample.kind != kind:
            raise InputError(sample.source, [Fault("the sample", f"must be one for a {kind} law", sample.kind)])
        self._check_groups(sample.groups)
        if faults := list(share_faults(self.fix)) if sample.outcome.is_error else []:
            raise InputError(type(self).__name__, faults)
        results = fit_groups(self._form, sample.groups, self._options(sample.outcome), progress)
        refused = tuple(result for result in results if isinstance(result, RefusedFit))
        if len(refused) == len(results):
            raise InputError(sample.source, [Fault(name_group(refusal.group), refusal.why) for refusal in refused])
        self.fits_, self.refused_ = tuple(result for result in results if isinstance(result, Fit)), refused
        self.by_, self.notes_ = sample.by, sample.notes
        trivial = sum(refusal.trivial for refusal in refused)
        if trivial and len(sample.groups) > 1:
            self.notes_ += (f"{counted(trivial, 'group')} of unpruned networks only: nothing to fit",)
        self.fitted_on_ = {
            "source": sample.source,
            "rows": sample.rows,
            "groups": len(sample.groups),
            "points": sum(fit.points for fit in self.fits_),
            "size": list(sample.size),
            "digest": _digest(sample.groups),
            **({} if sample.outcome.is_error else {"outcome": vars(sample.outcome)}),
        }
        return self

    def sample(self, table: Any, y: Any = None) -> Sample:
        """Return the groups of a table by the settings of this law, for `fit` and for what goes on with them."""
        self.check_settings()
        return self._group(_read(table, y))

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
        self._check_fitted()
        if not 0 < level < 1:
            raise InputError("predictions", [Fault("level", "must be between 0 and 1", clipped(level))])
        is_dense = isinstance(dense, Estimator) and dense._form is DENSE
        if dense is not None and (not is_dense or self._form is DENSE):
            kind = type(dense).__name__ if self._form is not DENSE else "a dense law already"
            raise InputError("predictions", [Fault("dense", "must be a DenseLaw that gives unpruned errors", kind)])
        fill = None if dense is None else partial(_fill, dense)
        needed = (*self._columns(), *(dense._columns() if dense is not None else ()))
        return self._predict(read_members(table, tuple(dict.fromkeys(needed)), fill, self.outcome_), level)

    @property
    def outcome_(self) -> Outcome:
        """What the law is about: the test error, or what its table took for it."""
        return Outcome(**self.fitted_on_.get("outcome", {}))

    def _predict(self, members: MemberQuery, level: float) -> Prediction:
        size = COUNTED if COUNTED in self.fitted_on_["size"] else None
        return predict_members(self.fits_, self.by_, members, size, level)

    def score(self, table: Any, y: Any = None) -> float:
        """Return minus the root mean square of the relative deviation: 0 is perfect."""
        rows = _read(table, y)
        if not (rows["test_error"] > 0).all():
            raise InputError(rows.source, [Fault("column 'error'", "must be above 0 for a relative deviation", "0")])
        relative = self.predict(rows) / rows["test_error"] - 1
        return -float(np.sqrt(np.mean(relative**2)))

    @property
    def fit_(self) -> Fit:
        """The fit, where the table was one group."""
        self._check_fitted()
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
    def draws_(self) -> Mapping[str, Numbers]:
        """Parameters that fit about as well as the best, by name, where the table was one group.

        With eight configurations or more they are refits to resamples of whole configurations, spread for how few there
        are; with fewer, draws by how well they fit. Predictions are spread over them.
        """
        values = to_parameters(self._form.parameters, self.fit_.draws)
        return dict(zip(self._form.parameters, values.T, strict=True))

    @property
    def warnings_(self) -> tuple[str, ...]:
        """What the data cannot tell, over all groups."""
        self._check_fitted()
        return tuple(dict.fromkeys(warning for fit in self.fits_ for warning in fit.warnings))

    def to_dict(self) -> dict[str, Any]:
        """Return the documented contract: ``{"fits": [...]}`` and what else there is to tell."""
        self._check_fitted()
        return {
            "fits": [fit.to_dict() for fit in self.fits_],
            "refused": [{"group": dict(refusal.group), "why": refusal.why} for refusal in self.refused_],
            "notes": list(self.notes_),
        }

    def save(self, path: str | Path) -> None:
        """Write the fitted law as JSON, numbers unrounded, with what it was fitted on."""
        self._check_fitted()
        content = {
            "prunescope": __version__,
            "format": FORMAT,
            "estimator": type(self).__name__,
            "settings": {name: _plain(value) for name, value in self.get_params().items()},
            "by": list(self.by_),
            "fitted_on": dict(self.fitted_on_),
            "fits": [fit.saved() for fit in self.fits_],
            "refused": [vars(refusal) | {"group": dict(refusal.group)} for refusal in self.refused_],
            "notes": list(self.notes_),
        }
        with replacing(Path(path)) as draft:
            draft.write_text(json_text(content) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a law that `save` wrote."""
        law = load_law(path)
        if not isinstance(law, cls):
            fault = Fault("the law", f"must be a {cls.__name__}", type(law).__name__)
            raise InputError(str(path), [fault])
        return law

    def _check_fitted(self) -> None:
        if not hasattr(self, "fits_"):
            raise NotFittedError(f"this {type(self).__name__} is not fitted yet: call fit(table) first")

    def check_settings(self) -> None:
        """Refuse settings that no table could follow, with every fault."""
        form = getattr(self, "form", "paper")
        if form not in self._forms:
            hint = nearest(str(form), self._forms)
            fault = Fault("form", f"must be one of {listed(self._forms)}", clipped(form), hint)
            raise InputError(type(self).__name__, [fault])
        faults = list(setting_faults(self.get_params(), self._form.parameters, self._explains))
        if faults:
            raise InputError(type(self).__name__, faults)

    def _group(self, rows: Table) -> Sample:
        settings = self.get_params()
        keep = settings["replicates"] == "keep"
        joint, by = self._form.family, settings["by"]
        return sample(rows, joint, by, keep_replicates=keep, classes=settings["classes"], filters=settings["filters"])

    def _check_groups(self, groups: Sequence[GroupData]) -> None:
        """Refuse settings that the table cannot follow."""

    def _columns(self) -> tuple[str, ...]:
        """Return the columns that a prediction needs, beside density and unpruned error."""
        return (*self._varying(), "density", "unpruned_error")

    def _varying(self) -> tuple[str, ...]:
        """Return the grouping columns in which the fits differ."""
        return tuple(name for name in self.by_ if len({fit.group[name] for fit in self.fits_}) > 1)

    def _options(self, outcome: Outcome = ERROR) -> Options:
        del outcome  # it bounds what some laws fix
        fixed = {name: float(value) for name, value in dict(self.fix or {}).items()}
        same = ("level", "intervals", "draws", "starts", "seed", "loss")
        return Options(fixed=fixed, **{name: getattr(self, name) for name in same})


def _read(source: Any, errors: Any = None) -> Table:
    """Return a table with errors; scikit-learn hands those over by themselves."""
    if errors is None:
        return read_table(source)
    table = read_table(source, needed=("density",))
    return read_table(
        {name: values for name, values in table.columns.items() if name != "test_error"} | {"error": errors}
    )


def _fill(dense: Estimator, members: MemberQuery) -> tuple[Numbers, Numbers]:
    """Return the unpruned errors by a dense law, and the standard deviations of their logarithms."""
    prediction = dense._predict(members, ONE_SIGMA)
    return prediction.error, np.log(prediction.high / prediction.low) / 2


def load_law(path: str | Path) -> Estimator:
    """Read a law that `Estimator.save` wrote, of whichever kind it is."""
    source = clipped(str(path), 300)[1:-1]
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, ValueError) as trouble:
        reason = getattr(trouble, "strerror", None) or "something else"
        raise InputError(source, [Fault("the law", "must be a JSON file that --save wrote", reason)]) from None
    try:
        content = json.loads(text)
        if content["format"] != FORMAT:
            version = f"format {content['format']}"
            raise InputError(source, [Fault("the law", f"must be of format {FORMAT}", version, "Fit it anew.")])
        kinds: dict[str, type[Estimator]] = {kind.__name__: kind for kind in Estimator.__subclasses__()}
        law = kinds[content["estimator"]](**content["settings"])
        law.fits_ = tuple(Fit.restored(fit) for fit in content["fits"])
        law.refused_ = tuple(RefusedFit(**refusal) for refusal in content["refused"])
        law.notes_, law.by_ = tuple(content["notes"]), tuple(content["by"])
        law.fitted_on_ = content["fitted_on"]
        if any(set(fit.parameters) != set(law._form.parameters) for fit in law.fits_):
            raise ValueError
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        hint = "Make one with: prunescope fit TABLE --law joint --save law.json"
        raise InputError(source, [Fault("the law", "must be a file that --save wrote", "another file", hint)]) from None
    return law


def _plain(value: Any) -> Any:
    """Return a setting as JSON has it: numbers and lists of Python's own."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, str) or value is None:
        return value
    if hasattr(value, "tolist"):
        return value.tolist()
    return [_plain(item) for item in value] if isinstance(value, Iterable) else value


def _digest(groups: Sequence[GroupData]) -> str:
    """Return a hash of the numbers that were fitted to."""
    numbers = hashlib.sha256()
    for group in groups:
        for values in (group.error, group.unpruned, group.density, group.depth, group.width, group.examples):
            numbers.update(np.ascontiguousarray(values).tobytes())
    return numbers.hexdigest()[:32]
