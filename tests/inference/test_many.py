"""Many fits, the same as one by one: processes, seeds, checkpoints, a killed worker."""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import pickle
import runpy
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from capm import BETA_MOVES, simulated
from edge_data import atsm, factor_series, yields
from numpy.testing import assert_array_equal

import statespace_ext as sse
from statespace_ext.engine.arguments import stream
from statespace_ext.exceptions import SpecificationError
from statespace_ext.inference import records
from statespace_ext.inference.many import (
    applied,
    fingerprint,
    run_simulations,
    spawn,
)

REFERENCE = Path(__file__).resolve().parents[1] / "reference"
OPTIONS = {"method": "lbfgs"}


def models(count: int = 6, n: int = 40) -> dict[str, Any]:
    out = {}
    for i in range(count):
        y, x = simulated(np.random.default_rng(i), n, 1)
        out[f"m{i}"] = sse.DynamicRegression(y, x, dynamics=BETA_MOVES)
    return out


def numbers(records: Any) -> dict[str, tuple[Any, ...]]:
    return {r.name: (r.params, r.llf, r.converged, r.error) for r in records}


def test_names_may_be_integers(tmp_path: Path) -> None:
    """Security numbers are; a checkpoint keeps them."""
    given = {np.int64(10107 + i): model for i, model in enumerate(models(2).values())}
    path = tmp_path / "checkpoint.jsonl"
    first = numbers(sse.fit_many(given, OPTIONS, rng=1, checkpoint=path))
    assert list(first) == [10107, 10108] and not any(one[3] for one in first.values())
    assert numbers(sse.fit_many(given, OPTIONS, rng=1, checkpoint=path)) == first
    with pytest.raises(sse.SpecificationError, match="must be a model with a name"):
        list(sse.fit_many({1.5: given[10107]}, OPTIONS))


def test_one_by_one() -> None:
    given = models()
    for record in sse.fit_many(given, OPTIONS):
        res = given[record.name].fit(**OPTIONS)
        assert record.llf == pytest.approx(res.llf, rel=1e-12)
        assert (record.nobs, record.df_model) == (40, res.df_model)
        np.testing.assert_allclose(list(record.params.values()), res.params, rtol=1e-8)
        np.testing.assert_allclose(list(record.bse.values()), res.bse, rtol=1e-6)


def test_parameters_are_held_fixed(tmp_path: Path) -> None:
    file, held = tmp_path / "run.jsonl", {"state_var.MKT.A1": 0.2}
    for record in sse.fit_many(models(2), OPTIONS, fixed=held, checkpoint=file):
        model = models(2)[record.name]
        with model.fix_params(held):
            res = model.fit(**OPTIONS)
        assert record.params["state_var.MKT.A1"] == 0.2 and record.df_model == res.df_model
        assert record.llf == pytest.approx(res.llf, rel=1e-12)
    with pytest.raises(sse.SpecificationError, match="other options"):
        list(sse.fit_many(models(2), OPTIONS, checkpoint=file))


def test_processes_do_not_change_the_results() -> None:
    pytest.importorskip("joblib", reason="the extra 'parallel' is not installed")
    options = {"n_starts": 2, **OPTIONS}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of joblib: no semaphores, in some containers
        one, two = (numbers(sse.fit_many(models(4), options, rng=3, n_jobs=jobs)) for jobs in (1, 2))
    assert one == two and len(one) == 4


def test_a_failure_does_not_stop_the_rest() -> None:
    given = models(3)
    bad = given["m1"].endog.copy()
    bad[:] = np.nan
    frame = pd.DataFrame(bad, index=given["m1"]._index, columns=given["m1"].coefficients.endog)
    x = pd.DataFrame(given["m1"].exog, index=given["m1"]._index, columns=["const", "MKT"])

    class Broken(sse.DynamicRegression):
        def fit(self, *args: Any, **kwargs: Any) -> Any:
            raise sse.EstimationError("no maximum")

    y = frame.fillna(1.0)
    given["m1"] = Broken(y, x, dynamics=BETA_MOVES)
    records = {r.name: r for r in sse.fit_many(given, OPTIONS)}
    assert records["m1"].error.startswith("EstimationError: no maximum") and not records["m1"].params
    assert all(records[name].error == "" and records[name].converged for name in ("m0", "m2"))


class Quick(sse.ExactScoreMixin, sm.tsa.SARIMAX):  # type: ignore[misc]
    pass


def plain_models() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    y, Y = rng.standard_normal(80).cumsum(), rng.standard_normal((80, 3))
    return {
        "SARIMAX": sm.tsa.SARIMAX(y, order=(1, 1, 1)),
        "with the exact score": Quick(y, order=(1, 1, 1)),
        "UnobservedComponents": sm.tsa.UnobservedComponents(y, "llevel"),
        "VARMAX": sm.tsa.VARMAX(Y[:, :2], order=(1, 0)),
        "DynamicFactorMQ": sm.tsa.DynamicFactorMQ(Y, factors=1, factor_orders=1),
        "RecursiveLS": sm.RecursiveLS(y, sm.add_constant(Y)),
    }


def test_models_of_statsmodels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record holds what the model's own fit gives, and a stored one of an equal model is kept."""
    file = tmp_path / "run.jsonl"
    records = {record.name: record for record in sse.fit_many(plain_models(), checkpoint=file)}
    for name, model in plain_models().items():
        res = model.fit(**({} if name == "RecursiveLS" else {"disp": False}))
        assert (records[name].error, records[name].converged) == ("", True)
        assert records[name].llf == res.llf and records[name].aic == res.aic
        assert_array_equal(list(records[name].params.values()), res.params)
        if name != "DynamicFactorMQ":  # whose results have no standard errors after EM
            assert_array_equal(list(records[name].bse.values()), res.bse)
    again = plain_models()
    for model in again.values():
        monkeypatch.setattr(model, "fit", None)  # a call would be recorded as an error
    kept = {record.name: record for record in sse.fit_many(again, checkpoint=file)}
    assert {name: record.llf for name, record in kept.items()} == {n: r.llf for n, r in records.items()}


def test_a_plain_fit_that_stops_early_has_not_converged() -> None:
    (record,) = sse.fit_many({"a": plain_models()["VARMAX"]}, {"maxiter": 1})
    assert record.error == "" and not record.converged


def test_an_argument_of_a_later_version_leaves_fingerprints_as_they_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = models(1)["m0"]
    before = fingerprint(model)
    model._given["obs_cov"], given = "free", model._given["obs_cov"]
    assert fingerprint(model) != before
    model._given["obs_cov"] = given
    signature = inspect.signature(type(model).__init__)
    added = inspect.Parameter("knob", inspect.Parameter.KEYWORD_ONLY, default=None)
    later = signature.replace(parameters=[*signature.parameters.values(), added])
    monkeypatch.setattr(type(model).__init__, "__signature__", later, raising=False)
    monkeypatch.setattr(type(model), "added_arguments", type(model).added_arguments | {"knob"})
    model._given["knob"] = None
    assert fingerprint(model) == before
    model._given["knob"] = 2
    assert fingerprint(model) != before


def test_last_digits_of_computed_arguments_do_not_matter(tmp_path: Path) -> None:
    """Principal components differ in the last digits between processors; version 0.1 hashed them."""
    file, options = tmp_path / "run.jsonl", {"maxiter": 1, "cov_type": "none"}
    model, elsewhere, other = atsm(yields()), atsm(yields()), atsm(yields())
    elsewhere._given["portfolio_weights"] = np.nextafter(model._given["portfolio_weights"], 2.0)
    other._given["portfolio_weights"] = model._given["portfolio_weights"] + 1e-3
    assert fingerprint(elsewhere) == fingerprint(model) != fingerprint(other)
    assert fingerprint(elsewhere, exact=True) != fingerprint(model, exact=True) != fingerprint(model)
    (first,) = sse.fit_many({"a": model}, options, rng=1, checkpoint=file)
    file.write_text(file.read_text().replace(fingerprint(model), fingerprint(model, exact=True)))
    (kept,) = sse.fit_many({"a": model}, options, rng=1, checkpoint=file)
    assert kept.seconds == first.seconds


def test_a_later_version_may_add_a_field(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "run.jsonl"
    given = {"a": plain_models()["SARIMAX"]}
    (before,) = sse.fit_many(given, checkpoint=file)
    later = dataclasses.make_dataclass(
        "Later", [("note", str, "none")], bases=(records.FitRecord,), frozen=True
    )
    monkeypatch.setattr(records, "FitRecord", later)
    (kept,) = sse.fit_many(given, checkpoint=file)
    assert kept.llf == before.llf and kept.seconds == before.seconds and kept.note == "none"


def test_results_stream() -> None:
    """The first record is there before the last model is asked for."""
    asked = []

    def lazily() -> Any:
        for name, model in models(30, 20).items():
            asked.append(name)
            yield name, model

    records = sse.fit_many(lazily(), {**OPTIONS, "cov_type": "none"}, n_jobs=1)
    next(records)
    assert len(asked) < 30
    assert len(list(records)) == 29


def test_resume(tmp_path: Path) -> None:
    """Stopped in the middle, with half a line in the file: nothing is fitted twice, nothing is lost."""
    file = tmp_path / "run.jsonl"
    whole = numbers(sse.fit_many(models(), OPTIONS, rng=1))
    records = sse.fit_many(models(), OPTIONS, rng=1, checkpoint=file)
    seen = [next(records).name for _ in range(2)]
    records.close()
    with file.open("a") as handle:
        handle.write('{"name": "m5", "par')
    again = models()
    for name in seen:
        again[name].fit = None  # would raise if it were fitted again
    assert numbers(sse.fit_many(again, OPTIONS, rng=1, checkpoint=file)) == whole
    lines = file.read_text().splitlines()
    assert len(lines) == 1 + len(whole)
    with pytest.raises(sse.SpecificationError, match="other options or another seed"):
        list(sse.fit_many(models(), {"method": "em"}, rng=1, checkpoint=file))
    with pytest.raises(sse.SpecificationError, match="other options or another seed"):
        list(sse.fit_many(models(), OPTIONS, rng=2, checkpoint=file))


def test_other_data_are_fitted_again(tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    first = numbers(sse.fit_many(models(2), OPTIONS, rng=1, checkpoint=file))
    changed = models(2)
    changed["m0"] = models(3)["m2"]
    second = numbers(sse.fit_many(changed, OPTIONS, rng=1, checkpoint=file))
    assert second["m1"] == first["m1"] and second["m0"] != first["m0"]


@pytest.mark.parametrize(
    "spec",
    [
        {"maturities": [1.0, 2.0, 5.0]},
        {"dt": 0.25},
        {"portfolio_weights": np.array([[0.0, 1.0, 0.0]])},
        {"initialization": "estimated"},
    ],
    ids=lambda spec: next(iter(spec)),
)
def test_another_specification_of_the_same_data_is_fitted_again(tmp_path: Path, spec: dict) -> None:
    """Models with one name, the same parameters and the same data, but other fixed numbers."""
    file, options = tmp_path / "run.jsonl", {"maxiter": 1, "cov_type": "none"}
    one, same, other = atsm(yields()), atsm(yields()), atsm(yields(), **spec)
    (first,) = sse.fit_many({"a": one}, options, rng=1, checkpoint=file)
    (again,) = sse.fit_many({"a": same}, options, rng=1, checkpoint=file)
    assert again.seconds == first.seconds and again.llf == first.llf
    (second,) = sse.fit_many({"a": other}, options, rng=1, checkpoint=file)
    (want,) = sse.fit_many({"a": other}, options, rng=1)
    assert second.llf == want.llf != first.llf


def test_fingerprints_see_labels_numbers_and_their_order() -> None:
    y, dates = factor_series(), pd.date_range("2000", periods=60, freq="MS")

    def model(y: Any = y, first: float = 1.0, **spec: Any) -> Any:
        return sse.LGSSM(y, 1, **{"design": [[first], [np.nan], [np.nan]], **spec})

    given = [
        model(), model(first=2.0), model(pd.DataFrame(y, index=dates)), model(y[::-1]),
        model(initialization="estimated"), model(transition=[[0.5]], state_cov=[[1.0]]),
        model(transition=[[0.5]], state_cov=[[2.0]]),
    ]  # fmt: skip
    marks = [fingerprint(each) for each in given]
    assert len(set(marks)) == len(marks)
    assert fingerprint(pickle.loads(pickle.dumps(given[0]))) == fingerprint(model()) == marks[0]


def test_names_are_different() -> None:
    model = models(1)["m0"]
    with pytest.raises(sse.SpecificationError, match="same name"):
        list(sse.fit_many([("a", model), ("a", model)], OPTIONS, n_jobs=1))


@pytest.mark.filterwarnings("ignore")  # of dask and tornado, about their own ports and loops
def test_a_worker_of_a_cluster_is_killed() -> None:
    """Three workers, one killed during the run: every fit arrives, as from one process; then a bootstrap."""
    joblib = pytest.importorskip("joblib", reason="the extra 'parallel' is not installed")
    distributed = pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
    want = numbers(sse.fit_many(models(24), OPTIONS, rng=1, n_jobs=1))
    fitted = models(1)["m0"].fit(**OPTIONS)
    with (
        distributed.LocalCluster(
            n_workers=3, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        pids = list(client.run(os.getpid).values())
        assert len(set(pids)) == 3
        records = []
        with joblib.parallel_config(backend="dask"):
            for record in sse.fit_many(models(24), OPTIONS, rng=1):
                if not records:
                    os.kill(pids[0], signal.SIGKILL)
                records.append(record)
            boot = fitted.bootstrap(4, rng=3).params
            again = fitted.model.fit(n_starts=3, rng=0, n_jobs=None, cov_type="none")
        later = set(client.run(os.getpid).values())
    assert pids[0] not in later
    pd.testing.assert_frame_equal(boot, fitted.bootstrap(4, rng=3).params)
    want_fit = fitted.model.fit(n_starts=3, rng=0, cov_type="none")
    np.testing.assert_allclose(
        again.params, want_fit.params, rtol=1e-9, atol=1e-12
    )  # of memory laid out anew
    assert len(records) == 24 and numbers(records) == want


def fitted(state_cov: str, missing: float = 0.0) -> Any:
    y, x = simulated(np.random.default_rng(5), 30, 2, missing=missing)
    model = sse.DynamicRegression(y, x, dynamics=BETA_MOVES, state_cov=state_cov)
    return model.fit(method="lbfgs", cov_type="none")


def test_seeds() -> None:
    res = fitted("proportional")
    runs = [res.test_constancy(9, rng).simulated for rng in (3, 3, np.random.default_rng(3), 4)]
    assert_array_equal(runs[0], runs[1])
    assert_array_equal(runs[0], runs[2])
    assert not np.array_equal(runs[0], runs[3])
    generator = np.random.default_rng(3)
    assert not np.array_equal(
        res.test_constancy(9, generator).simulated, res.test_constancy(9, generator).simulated
    )


@pytest.mark.parametrize("missing", [0.0, 0.05])
def test_processes_do_not_change_the_result(missing: float) -> None:
    pytest.importorskip("joblib", reason="the extra 'parallel' is not installed")
    res = fitted("scalar", missing=missing)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of joblib: no semaphores, in some containers
        one, two = (res.test_constancy(5, 1, n_jobs, per_series=True) for n_jobs in (1, 2))
    assert_array_equal(one.simulated, two.simulated)
    pd.testing.assert_frame_equal(one.per_series, two.per_series)


def test_one_blas_thread_while_a_task_runs() -> None:
    """Also in this process, whatever the environment says; afterwards as many as before."""
    threadpoolctl = pytest.importorskip("threadpoolctl", reason="the extra 'parallel' is not installed")

    def threads() -> set[int]:
        pools = threadpoolctl.threadpool_info()
        return {pool["num_threads"] for pool in pools if pool["user_api"] == "blas"}

    with threadpoolctl.threadpool_limits(2):
        if threads() != {2}:
            pytest.skip("a BLAS of one thread")
        assert list(stream(threads, [()], 1)) == [{1}]
        assert threads() == {2}


def test_processes_need_joblib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "joblib", None)
    res = fitted("proportional")
    with pytest.raises(sse.UnsupportedError, match='extra "parallel"'):
        res.test_constancy(2, n_jobs=2)
    with pytest.raises(sse.SpecificationError, match="n_jobs"):
        res.test_constancy(2, n_jobs=0)
    assert run_simulations(lambda rng: 1, spawn(0, 2), 1) == [1, 1]


def test_an_error_after_a_fit_is_that_of_its_record() -> None:
    records = list(sse.fit_many(models(2), OPTIONS))
    assert applied(lambda record, add: record.nobs + add, records, [1, 2]) == [41, 42]

    def refuse(record: Any) -> float:
        if record.name == "m0":
            raise sse.DataError("No forecast")
        return 1.0

    assert applied(refuse, records) == [None, 1.0]
    assert [record.error for record in records] == ["DataError: No forecast.", ""]


def test_a_checkpoint_of_an_earlier_version_is_read_and_not_fitted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = REFERENCE / "checkpoint.jsonl"
    space = runpy.run_path(str(REFERENCE / "checkpoint.py"))
    path = tmp_path / "checkpoint.jsonl"
    path.write_bytes(stored.read_bytes())
    given = space["models"]()
    for model in given.values():
        monkeypatch.setattr(model, "fit", None)  # a call would be recorded as an error
    records = {
        record.name: record
        for record in sse.fit_many(given, space["OPTIONS"], rng=space["SEED"], checkpoint=path)
    }
    lines = [json.loads(line) for line in stored.read_text().splitlines()[1:]]
    assert [line["name"] for line in lines] == list(given)
    for line in lines:
        assert {key: getattr(records[line["name"]], key) for key in line} == line
    assert path.read_bytes() == stored.read_bytes()


# -- coefficients that records keep ---------------------------------------------------------------------


def regressions(index: Any = None) -> dict[str, Any]:
    """Return two regressions with a random walk, on periods with labels of a kind."""
    rng = np.random.default_rng(8)
    index = pd.period_range("2001-01", periods=30, freq="M") if index is None else index
    x = pd.DataFrame({"const": 1.0, "MKT": rng.standard_normal(30)}, index)
    y = pd.DataFrame(x[["MKT"]].to_numpy() @ [[1.0, 0.6]] + rng.standard_normal((30, 2)), index, ["A", "B"])
    options = {"dynamics": {"MKT": "random_walk"}, "obs_cov": "diagonal", "state_cov": "scalar"}
    return {
        "both": sse.DynamicRegression(y, x, **options),
        "trend": sse.DynamicRegression(y[["A"]], x, dynamics={"MKT": "local_linear"}, obs_cov=[[1.0]],
                                       state_cov={"MKT": [[0.1]], "MKT.slope": [[0.01]]}),
    }  # fmt: skip


@pytest.mark.parametrize(
    "index",
    [
        pd.period_range("2001-01", periods=30, freq="M"),
        pd.date_range("2001-01-01", periods=30, freq="D"),
        pd.RangeIndex(30),
        pd.Index([f"w{i:02d}" for i in range(30)]),
    ],
    ids=["periods", "dates", "numbers", "texts"],
)
def test_records_keep_the_coefficients_also_in_a_checkpoint(index: Any, tmp_path: Path) -> None:
    file, options = tmp_path / "run.jsonl", {"cov_type": "none", "low_memory": True}
    given = regressions(index)
    first = {r.name: r for r in sse.fit_many(given, options, rng=0, checkpoint=file, keep="coefficients")}
    again = {r.name: r for r in sse.fit_many(given, options, rng=0, checkpoint=file, keep="coefficients")}
    assert list(first["trend"].coefficients) == ["const", "MKT", "MKT.slope"]
    for name, model in given.items():
        res = model.smooth(list(first[name].params.values()))
        for label, found in res.coefficients.items():
            for record in (first[name], again[name]):
                frame = record.coefficients[label]
                for kind in ("smoothed", "smoothed_se", "filtered", "filtered_se"):
                    pd.testing.assert_frame_equal(frame[kind], getattr(found, kind), check_freq=False)
    assert (
        pickle.loads(pickle.dumps(first["both"]))
        .coefficients["MKT"]
        .equals(first["both"].coefficients["MKT"])
    )
    with pytest.raises(SpecificationError, match="other options"):
        list(sse.fit_many(given, options, rng=0, checkpoint=file))


def test_coefficients_are_kept_of_regressions_only_and_on_request() -> None:
    given = regressions()
    options = {"cov_type": "none"}
    assert all(record.coefficients is None for record in sse.fit_many(given, options))
    with pytest.raises(SpecificationError, match="dynamic regression"):
        list(sse.fit_many(plain_models(), keep="coefficients"))
    with pytest.raises(SpecificationError, match="keep"):
        list(sse.fit_many(given, keep="betas"))
