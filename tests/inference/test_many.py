"""Many fits: the same as one by one, whatever the processes; failures, checkpoints, a killed worker."""

from __future__ import annotations

import json
import os
import pickle
import runpy
import signal
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from capm import BETA_MOVES, simulated
from edge_data import atsm, factor_series, yields

import statespace_ext as sse
from statespace_ext.inference.many import fingerprint

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
    with pytest.raises(sse.SpecificationError, match="no model with a name"):
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
    with pytest.raises(sse.SpecificationError, match="one name"):
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
