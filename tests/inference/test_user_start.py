"""
A start that was set on `ssm` is that of every copy of the model for its sample.

The rule: what is computed from results (bootstrap, profile, windows from the first period on, appended data)
has the start of their pass, whatever the model was given since; `clone` and `apply` take the start of the
constructor, as in statsmodels.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracle import ridders_gradient
from walk_subjects import SUBJECTS, N

import statespace_ext as sse
from statespace_ext.base.fitting import Fitting

OURS = [name for name in SUBJECTS if not name.startswith("Mixed")]
FEW = {"method": "lbfgs", "maxiter": 1, "cov_type": "none"}


def known(model: Any) -> Any:
    k = model.k_states
    model.ssm.initialize_known(np.linspace(-0.1, 0.2, k), 0.3 * np.eye(k))
    return model


def started(subject: str) -> Any:
    """Return results of a model with a start of the user's."""
    s = SUBJECTS[subject]
    return known(s.model()).smooth(s.params, cov_type="none")


def refits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the list to which each fit adds mean and covariance of the first state, and no more."""
    found: list[tuple[np.ndarray, np.ndarray]] = []

    def estimate(self: Any, request: Any) -> Any:
        with self.preserved():
            if request.start_params is not None:
                self.update(request.start_params, includes_fixed=True)
            elif self.ssm.initialization is None:
                self.update(self.start_params)
            mean, diffuse, cov = self.ssm.initialization(model=self.ssm)
        found.append((np.array(mean), np.array(np.where(np.any(diffuse), np.inf, cov))))
        raise sse.EstimationError("It is enough to know the start")

    for kind in (Fitting, sse.ATSM):
        monkeypatch.setattr(kind, "estimate", estimate)
    return found


CALLS: dict[str, Callable[[Any], Any]] = {
    "bootstrap": lambda res: res.bootstrap(n_boot=2, rng=0),
    "profile": lambda res: res.profile(res.model.param_names[-1], grid=[0.9 * res.params.iloc[-1]]),
    "rolling": lambda res: res.rolling(N - 1, expanding=True, fit_options=FEW),
    "rolling_fit": lambda res: sse.rolling_fit(res, N - 1, expanding=True, fit_options=FEW),
    "rolling_evaluation": lambda res: res.rolling_evaluation(N - 3, fit_options=FEW),
    "test_alpha": lambda res: res.test_alpha(n_sim=2, rng=0),
    "test_constancy": lambda res: res.test_constancy(n_sim=2, rng=0),
}
"""What fits again, from results."""
ALL = [(subject, name) for subject in OURS for name in ("bootstrap", "profile", "rolling", "rolling_fit")]
ALL += [("CAPM", "test_alpha"), ("CAPM", "test_constancy"), ("CAPM", "rolling_evaluation")]
BY_TURNS = [
    pytest.param(*pair, since, marks=[pytest.mark.slow] * (i % 3 != j))
    for i, pair in enumerate(ALL)
    for j, since in enumerate(["left alone", "another start", "the start of the constructor"])
]
"""One of the three for each pair, so that each occurs with all subjects and calls; the others are slow."""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("subject", "name", "since"), BY_TURNS)
def test_fits_from_results_have_the_start_of_their_pass(
    subject: str, name: str, since: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    res = started(subject)
    k = res.model.k_states
    if since == "another start":
        res.model.ssm.initialize_approximate_diffuse(10.0)
    elif since == "the start of the constructor":
        res.model.ssm.initialization = res.model._written_initialization
    found = refits(monkeypatch)
    with suppress(sse.StateSpaceError):
        CALLS[name](res)
    assert found
    for mean, cov in found:
        assert_allclose(mean, np.linspace(-0.1, 0.2, k), atol=1e-15)
        assert_allclose(cov, 0.3 * np.eye(k), atol=1e-15)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["bootstrap", "rolling", "profile"])
@pytest.mark.parametrize("subject", ["LGSSM", "LGSSM with regressors"])
def test_a_start_set_since_is_not_that_of_earlier_results(
    subject: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    s = SUBJECTS[subject]
    res = s.model().smooth(s.params, cov_type="none")
    known(res.model)
    found = refits(monkeypatch)
    with suppress(sse.StateSpaceError):
        CALLS[name](res)
    assert found and not any(np.allclose(cov, 0.3 * np.eye(len(cov))) for _, cov in found)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("subject", OURS)
def test_a_model_fitted_with_others_has_its_start(
    subject: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """And a checkpoint of the start of the constructor is not taken for it."""
    model, path = SUBJECTS[subject].model(), tmp_path / "fits.jsonl"
    found = refits(monkeypatch)
    options = {**FEW, "start_params": model.start_params}
    (before,) = sse.fit_many({"a": model}, options, checkpoint=path)
    (after,) = sse.fit_many({"a": known(model)}, options, checkpoint=path)
    assert len(found) == 2
    assert_allclose(found[1][1], 0.3 * np.eye(model.k_states), atol=1e-15)
    assert after.fingerprint != before.fingerprint


@pytest.mark.parametrize("subject", OURS)
def test_appended_data(subject: str) -> None:
    s = SUBJECTS[subject]
    found = started(subject).append(s.more(), **s.more_regressors())
    longer = s.model().clone(s.longer(), **s.longer_regressors())
    assert not np.isclose(found.llf, longer.smooth(s.params, cov_type="none").llf, rtol=1e-6)
    assert_allclose(found.llf, known(longer).smooth(s.params, cov_type="none").llf, rtol=1e-10)
    assert_allclose(found.model.loglike(s.params), found.llf, rtol=1e-10)


@pytest.mark.parametrize("subject", OURS)
def test_a_known_start_in_windows_that_leave_the_first_period(subject: str) -> None:
    with pytest.raises(sse.SpecificationError, match="known start"):
        started(subject).rolling(N - 2, fit_options=FEW)


def test_a_start_of_other_states() -> None:
    model = known(SUBJECTS["LGSSM"].model())
    with pytest.raises(sse.SpecificationError, match="number of states"):
        sse.select_order(model, k_factors=[1], fit_options=FEW)


def test_what_results_say_of_the_start() -> None:
    s = SUBJECTS["LGSSM"]
    res = known(s.model()).smooth(s.params)
    k = res.model.k_states
    assert_allclose(res.matrices["initial_state"].to_numpy()[:, 0], np.linspace(-0.1, 0.2, k))
    assert_allclose(res.matrices["initial_state_cov"], 0.3 * np.eye(k))
    same = sse.LGSSM(
        res.model.data.orig_endog, 2, identification="triangular", initialization="known",
        initial_state=np.linspace(-0.1, 0.2, k), initial_state_cov=0.3 * np.eye(k),
    ).smooth(s.params)  # fmt: skip
    assert_allclose(res.bse, same.bse, rtol=1e-6)
    assert_allclose(res.llf, same.llf, rtol=1e-12)


def test_errors_of_another_known_start() -> None:
    """The exact information is that of the constructor's start, and is not used."""
    s, options = SUBJECTS["LGSSM"], {"identification": "triangular", "initialization": "known"}
    other, given = (
        sse.LGSSM(s.y.iloc[:5], 2, initial_state=np.full(2, mean), initial_state_cov=cov, **options)
        for mean, cov in ((1.0, 5.0 * np.eye(2)), (0.0, 0.3 * np.eye(2)))
    )
    want = given.smooth(s.params).bse
    assert not np.allclose(other.smooth(s.params).bse, want, rtol=1e-3)
    other.ssm.initialize_known(np.zeros(2), 0.3 * np.eye(2))
    assert_allclose(other.smooth(s.params).bse, want, rtol=1e-5)


def test_no_exact_law_beside_another_start() -> None:
    """The test of alphas is exact, and that of constancy pivotal, for exact-diffuse starts alone."""
    s = SUBJECTS["CAPM"]
    y, x = s.y.iloc[:N], s.x.iloc[:N][["MKT"]]
    static = sse.CAPM(y, x, beta="static", obs_cov="diagonal")
    assert static.smooth(static.start_params).test_alpha()["wald"].distribution != "parametric bootstrap"
    known(static)
    res = static.smooth(static.start_params, cov_type="none")
    assert res.test_alpha(n_sim=2, rng=0)["wald"].distribution == "parametric bootstrap"


# -- likelihood, score and EM -------------------------------------------------------------------------------

_y = {name: subject.y.iloc[:N] for name, subject in SUBJECTS.items()}
_factor = {"identification": "triangular", "k_factors": 1}
_rates = {"maturities": [1.0, 2.0, 5.0, 10.0], "k_factors": 1, "dt": 1 / 12}
MODELS: dict[str, Callable[[], Any]] = {
    **{name: SUBJECTS[name].model for name in OURS},
    "LGSSM, estimated": lambda: sse.LGSSM(_y["LGSSM"], initialization="estimated", **_factor),
    "LGSSM, diffuse": lambda: sse.LGSSM(_y["LGSSM"], 1, design=[[1], [1], [1]], initialization="diffuse"),
    "LGSSM, two lags": lambda: sse.LGSSM(_y["LGSSM"], lags=2, **_factor),
    "ATSM, estimated": lambda: sse.ATSM(_y["ATSM"], initialization="estimated", **_rates),
    "ATSM, stationary": lambda: sse.ATSM(_y["ATSM"], initialization="stationary", **_rates),
}
STARTS: dict[str, Callable[[Any], object]] = {
    "known": known,
    "stationary": lambda model: model.ssm.initialize_stationary(),
    "approximate_diffuse": lambda model: model.ssm.initialize_approximate_diffuse(10.0),
    "diffuse": lambda model: model.ssm.initialize_diffuse(),
}


def with_start(name: str, start: str) -> tuple[Any, np.ndarray]:
    """Return a model with a start of the user's, and parameters."""
    model = MODELS[name]()
    params = SUBJECTS[name].params if name in SUBJECTS else np.asarray(model.start_params)
    params = np.where([each in model.layout.bounded for each in model.param_names], 0.5, params)
    model.update(params * 0.9)
    STARTS[start](model)
    return model, params


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("name", MODELS)
def test_the_likelihood_and_its_score(name: str, start: str) -> None:
    """That of the results, whatever the model holds; only a stationary start moves with the parameters."""
    model, params = with_start(name, start)
    try:
        want = model.smooth(params, cov_type="none").llf
    except sse.ParameterError:  # a random walk has no stationary start
        assert start == "stationary"
        with pytest.raises(sse.ParameterError, match="stationary"):
            model.loglike(params)
        return
    model.update(0.9 * params)
    assert_allclose(model.loglike(params), want, rtol=1e-9)
    step = 0.1 * np.where(params, np.abs(params), 1.0)
    score = ridders_gradient(lambda at: _value(model, at), params, step=step)
    assert_allclose(model.score(params), score, rtol=0, atol=1e-5 * np.abs(score).max())


def _value(model: Any, at: np.ndarray) -> float:
    try:
        return float(model.loglike(at))
    except (sse.StateSpaceError, np.linalg.LinAlgError):
        return np.nan


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("name", [name for name in MODELS if not name.startswith("ATSM")])
def test_em_climbs(name: str, start: str) -> None:
    model, params = with_start(name, start)
    if np.isnan(_value(model, params)):
        return
    res = model.fit(params, method="em", maxiter=6, tolerance=0.0, cov_type="none")
    assert np.all(np.diff(res.em_trace["llf"]) > -1e-9 * abs(res.llf)), res.em_trace["llf"].to_numpy()
