"""The laws in scikit-learn's manner, on anybody's tables, to JSON and back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prunescope.errors import InputError
from prunescope.laws import DenseLaw, JointLaw, NotFittedError, SingleLaw, load_law, single_error
from tests.laws.families import curve, family, family_table


def test_scikit_learn_clones_and_cross_validates() -> None:
    import pandas
    from sklearn.base import clone
    from sklearn.model_selection import GroupKFold, cross_val_score

    columns, _ = family(1, members=24, known=True, replicates=1)
    law = JointLaw(fix={"eps_up": 0.8}, seed=3, intervals="none")
    copy = clone(law)
    assert copy is not law
    assert copy.get_params() == law.get_params()
    frame = pandas.DataFrame(columns)
    error = frame.pop("error")
    member = frame.groupby(["depth", "width", "examples"]).ngroup()
    scores = cross_val_score(JointLaw(intervals="none"), frame, error, groups=member, cv=GroupKFold(4))
    assert scores == pytest.approx(-0.034, rel=0.25)


def test_scikit_learn_is_not_needed() -> None:
    program = "import sys; sys.modules['sklearn'] = None\nfrom prunescope import SingleLaw\n"
    program += "law = SingleLaw().fit({'density': [1, .5, .25, .12, .06, .03], 'error': [.1, .11, .15, .3, .5, .6]})\n"
    program += "print(law.set_params(seed=4), 'torch' in sys.modules, 'pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["SingleLaw(seed=4)", "False", "False"]


def test_tables_may_be_anybodys(tmp_path: Path) -> None:
    import pandas
    import polars
    import pyarrow

    columns, _ = family(2, members=8)
    path = tmp_path / "family.csv"
    pandas.DataFrame(columns).to_csv(path, index=False)
    wanted = JointLaw(intervals="none").fit(columns).parameters_
    tables: list[Any] = [
        pandas.DataFrame(columns),
        polars.DataFrame(columns),
        pyarrow.table(columns),
        pyarrow.table(columns).to_batches()[0],
        {name: values.tolist() for name, values in columns.items()},
        str(path),
        path,
    ]
    for table in tables:
        assert JointLaw(intervals="none").fit(table).parameters_ == pytest.approx(wanted, rel=1e-9), type(table)


def test_polars_and_arrow_keep_texts_and_gaps() -> None:
    import polars
    import pyarrow

    from prunescope import read_table

    columns = {"density": [1.0, 0.5], "error": [0.1, 0.2], "dataset": ["a", None], "unpruned_error": [None, 0.1]}
    for table in (polars.DataFrame(columns), pyarrow.table(columns)):
        read = read_table(table)
        assert read["dataset"].tolist() == ["a", None]
        assert read["unpruned_error"].tolist() == [0.1, 0.1]


def test_a_sample_made_once_is_fitted_like_its_table() -> None:
    table, _ = family_table(3, members=12)
    for law in (JointLaw(intervals="quick"), SingleLaw(intervals="none"), DenseLaw(intervals="none")):
        of_table, of_sample = type(law)(**law.get_params()).fit(table), law.fit(law.sample(table))
        assert of_sample.fits_ == of_table.fits_
        assert (of_sample.by_, of_sample.notes_, of_sample.fitted_on_) == (
            of_table.by_,
            of_table.notes_,
            of_table.fitted_on_,
        )
    with pytest.raises(InputError) as raised:
        SingleLaw().fit(JointLaw().sample(table))
    assert [(fault.place, fault.found) for fault in raised.value.faults] == [("the sample", "joint")]


def test_a_law_saved_and_loaded_is_the_same_law(tmp_path: Path) -> None:
    table, _ = family_table(3, members=12)
    path = tmp_path / "law.json"
    law = JointLaw(vary=["depth", "width"], fix={"eps_up": 0.75}).fit(table)
    law.save(path)
    again = JointLaw.load(path)
    assert again.fits_ == law.fits_
    assert again.get_params() == {**law.get_params(), "vary": ["depth", "width"], "filters": []}
    for ours, theirs in zip(
        vars(again.predictions(table)).values(), vars(law.predictions(table)).values(), strict=True
    ):
        assert np.array_equal(ours, theirs)
    content = json.loads(path.read_text())
    assert content["fitted_on"]["rows"] == len(table)
    assert len(content["fitted_on"]["digest"]) == 32
    with pytest.raises(InputError, match="must be a SingleLaw; found JointLaw"):
        SingleLaw.load(path)


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", '{"estimator": "JointLaw"}', '{"estimator": "Mine", "settings": {}}']
)
def test_a_file_that_is_no_law_is_refused_with_what_to_do(tmp_path: Path, text: str) -> None:
    path = tmp_path / "law.json"
    path.write_text(text)
    with pytest.raises(InputError, match="--save law"):
        load_law(path)
    with pytest.raises(InputError, match="No such file"):
        load_law(tmp_path / "none.json")


def test_the_same_numbers_have_the_same_digest_and_others_another() -> None:
    columns = curve(levels=12)
    first, second = (SingleLaw().fit(columns).fitted_on_["digest"] for _ in range(2))
    changed = {**columns, "error": columns["error"] * np.where(np.arange(12) == 5, 1.001, 1)}
    assert first == second != SingleLaw().fit(changed).fitted_on_["digest"]


def test_predictions_follow_the_law_and_widen_where_nothing_was_measured() -> None:
    law = SingleLaw().fit(curve(levels=12, noise=0.02, replicates=3, known=False))
    density = 0.8 ** np.arange(1, 40)
    members = {"density": density, "unpruned_error": np.full(39, 0.08)}
    prediction = law.predictions(members)
    assert prediction.error == pytest.approx(single_error(0.08, density, **law.parameters_), rel=1e-9)
    assert (prediction.low < prediction.law_low).all()
    assert (prediction.law_high < prediction.high).all()
    assert (prediction.law_low <= prediction.error).all()
    assert (prediction.error <= prediction.law_high).all()
    ratio = prediction.law_high / prediction.law_low
    assert ratio[0] < 1.05
    assert ratio[-1] > 1.3
    wider = law.predictions(members, level=0.99)
    assert (wider.low < prediction.low).all()


def test_members_never_trained_take_their_unpruned_error_from_the_dense_law() -> None:
    columns, _ = family(5, known=True, noise=0.0, replicates=1)
    dense, law = DenseLaw().fit(columns), JointLaw().fit(columns)
    new = {"density": [0.1, 0.1], "depth": [32, 10], "width": [1.5, 0.2], "examples": [50_000, 30_000]}
    unpruned = dense.predict({**new, "density": [1.0, 1.0]})
    assert law.predict(new, dense=dense) == pytest.approx(law.predict({**new, "unpruned_error": unpruned}), rel=1e-12)
    with pytest.raises(InputError, match="a dense law that predicts it"):
        law.predict(new)
    with pytest.raises(InputError, match="column 'width': must be there to predict"):
        law.predict({"density": [0.1], "depth": [8], "unpruned_error": [0.1]})


def test_rows_are_predicted_by_the_fit_of_their_group() -> None:
    columns = curve(levels=20)
    many = {name: np.concatenate([values, values]) for name, values in columns.items()}
    many["dataset"] = np.repeat(np.array(["one", "two"], object), 20)
    many["error"][20:] = curve(levels=20, p=0.1)["error"]
    law = SingleLaw(intervals="none").fit(many)
    assert law.predict(many) == pytest.approx(many["error"], rel=1e-4)
    assert law.score(many) == pytest.approx(0, abs=1e-4)
    with pytest.raises(InputError, match="dataset three"):
        law.predict({"density": [0.1], "unpruned_error": [0.1], "dataset": ["three"]})
    with pytest.raises(InputError, match="column 'dataset': must be there"):
        law.predict({"density": [0.1], "unpruned_error": [0.1]})


def test_an_unfitted_law_says_so() -> None:
    law = SingleLaw()
    with pytest.raises(NotFittedError, match="call fit"):
        law.predict({})
    with pytest.raises(NotFittedError, match="call fit"):
        _ = law.fit_
    with pytest.raises(NotFittedError, match="call fit"):
        law.save("x")
    with pytest.raises(InputError, match="Did you mean 'seed'"):
        SingleLaw().set_params(sed=1)
