"""The mixin of the exact score: fits, derivatives and standard errors of statsmodels' models with it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose
from oracle import richardson_gradient
from statsmodels.tsa.statespace.mlemodel import MLEModel

import statespace_ext as sse
from statespace_ext.engine.compat import simulation_seed

SARIMAX, VARMAX, DynamicFactor = sm.tsa.SARIMAX, sm.tsa.VARMAX, sm.tsa.DynamicFactor
UC = sm.tsa.UnobservedComponents

pytestmark = [
    # start values of ARMA models are often not stationary, and of VARMA models not identified: said each time
    pytest.mark.filterwarnings("ignore:Non-stationary starting"),
    pytest.mark.filterwarnings("ignore:Non-invertible starting"),
    pytest.mark.filterwarnings("ignore:Estimation of VARMA"),
    pytest.mark.filterwarnings("ignore:Too few observations to estimate starting parameters"),
]


class ExactSARIMAX(sse.ExactScoreMixin, SARIMAX):
    pass


class ExactUC(sse.ExactScoreMixin, UC):
    pass


class ExactVARMAX(sse.ExactScoreMixin, VARMAX):
    pass


class ExactFactor(sse.ExactScoreMixin, DynamicFactor):
    pass


def macro() -> np.ndarray:
    """Growth of consumption, investment and output, percent."""
    data = sm.datasets.macrodata.load_pandas().data[["realcons", "realinv", "realgdp"]]
    return 100.0 * np.diff(np.log(data.to_numpy()), axis=0)


def gappy(y: np.ndarray, share: float = 0.1) -> np.ndarray:
    out = np.array(y, dtype=float)
    out[np.random.default_rng(63).random(out.shape) < share] = np.nan
    return out


def nile() -> np.ndarray:
    return sm.datasets.nile.load_pandas().data["volume"].to_numpy(dtype=float, copy=True)


FITS: dict[str, tuple[type[MLEModel], type[MLEModel], Callable[[], np.ndarray], dict[str, Any]]] = {
    "SARIMAX": (SARIMAX, ExactSARIMAX, lambda: gappy(macro()[:, 0]), {"order": (2, 0, 1), "trend": "c"}),
    "seasonal": (
        SARIMAX,
        ExactSARIMAX,
        lambda: macro()[:, 0],
        {"order": (1, 0, 0), "seasonal_order": (1, 0, 1, 4), "trend": "c"},
    ),
    "concentrated": (
        SARIMAX,
        ExactSARIMAX,
        lambda: gappy(macro()[:, 0]),
        {"order": (1, 0, 1), "trend": "c", "concentrate_scale": True},
    ),
    "UnobservedComponents": (ExactUC.__mro__[2], ExactUC, lambda: gappy(nile()), {"level": "llevel"}),
    "VARMAX": (VARMAX, ExactVARMAX, lambda: gappy(macro()[:, [0, 2]]), {"order": (1, 0), "trend": "c"}),
    "DynamicFactor": (DynamicFactor, ExactFactor, macro, {"k_factors": 1, "factor_order": 1}),
}  # fmt: skip


class Counter:
    """Count the filter and smoother passes of all models."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from statsmodels.tsa.statespace.kalman_filter import KalmanFilter

        self.count = 0
        original = KalmanFilter._filter

        def counted(ssm: KalmanFilter, *args: Any, **kwargs: Any) -> Any:
            self.count += 1
            return original(ssm, *args, **kwargs)

        monkeypatch.setattr(KalmanFilter, "_filter", counted)

    def of(self, function: Callable[[], Any]) -> tuple[Any, int]:
        """Return what a function returns, and how many passes it took."""
        before = self.count
        return function(), self.count - before


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # statsmodels' own: VARMAX starts, complex steps
@pytest.mark.parametrize("name", FITS)
def test_fit_reaches_the_same_maximum_with_fewer_passes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, exact, data, options = FITS[name]
    y, counter = data(), Counter(monkeypatch)
    kwargs = {"disp": False, "maxiter": 500, "cov_type": "none"}
    theirs, passes = counter.of(lambda: plain(y, **options).fit(**kwargs))
    ours, fewer = counter.of(lambda: exact(y, **options).fit(**kwargs, optim_score="exact"))
    assert ours.mle_retvals["converged"]
    assert ours.llf >= theirs.llf - 1e-5 * abs(theirs.llf)
    assert_allclose(ours.llf, theirs.llf, rtol=1e-4)
    assert fewer < passes
    assert type(ours).__name__ == type(theirs).__name__


def test_log_likelihood_and_score_share_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    y = gappy(macro()[:, [0, 2]])
    model = ExactVARMAX(y, order=(1, 0), trend="c")
    counter = Counter(monkeypatch)
    res, passes = counter.of(lambda: model.fit(disp=False, cov_type="none", optim_score="exact"))
    assert passes <= res.mle_retvals["fcalls"] + 5


@pytest.mark.parametrize("method", ["lbfgs", "bfgs", "ncg", "nm", "powell"])
def test_methods_of_fit(method: str) -> None:
    y = gappy(macro()[:, 0])
    options = {"order": (1, 0, 0), "trend": "c"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of statsmodels, for "nm" and "powell" stopped by maxiter
        res = ExactSARIMAX(y, **options).fit(method=method, disp=False, maxiter=1000, cov_type="none")
        best = SARIMAX(y, **options).fit(disp=False, maxiter=1000, cov_type="none").llf
    assert_allclose(res.llf, best, rtol=0, atol=1e-4)


def test_fit_with_positional_arguments_and_options() -> None:
    y = gappy(macro()[:, 0])
    model = ExactSARIMAX(y, order=(1, 0, 0), trend="c")
    res = model.fit([0.1, 0.1, 1.0], True, False, "oim", None, "lbfgs", 100, 1, 0)
    assert res.mle_retvals["converged"]
    other = model.fit(disp=0, approx_grad=True, cov_type="none")
    assert_allclose(other.llf, res.llf, rtol=0, atol=1e-4)
    seen = []
    model.fit(disp=0, callback=seen.append, cov_type="none")
    assert len(seen) > 1
    assert isinstance(model.fit(disp=0, return_params=True), np.ndarray)
    with model.fix_params({"ar.L1": 0.2}):
        fixed = model.fit(disp=0)
    assert fixed.params[model.param_names.index("ar.L1")] == 0.2 and fixed.llf < res.llf
    assert_allclose(model.fit_constrained({"ar.L1": 0.2}, disp=0).llf, fixed.llf, rtol=1e-8)


def test_options_of_a_fit_whose_signature_is_the_user_s() -> None:
    seen = {}

    class Mine(UC):
        def fit(self, start_params=None, method="lbfgs", optim_score=None, *, maxiter=50, **options):
            seen.update(options)
            given = {"method": method, "optim_score": optim_score, "maxiter": maxiter}
            return super().fit(start_params, **given, **options)

    class Exact(sse.ExactScoreMixin, Mine):
        pass

    res = Exact(np.cumsum(np.random.default_rng(0).standard_normal(60)), "local level").fit(
        None, "lbfgs", disp=False, cov_type="none", pgtol=1e-9
    )
    assert res.cov_type == "none" and seen["pgtol"] == 1e-9 and seen["disp"] is False


def test_score_of_the_mixin_is_the_exact_one() -> None:
    y = gappy(macro()[:, [0, 2]])
    model, plain = ExactVARMAX(y, order=(1, 0), trend="c"), VARMAX(y, order=(1, 0), trend="c")
    params = np.asarray(model.start_params) * 0.9
    assert_allclose(model.score(params), sse.exact_score(plain, params).score, rtol=1e-10, atol=1e-10)
    assert_allclose(model.loglike(params), plain.loglike(params), rtol=1e-14)
    free = model.untransform_params(params)
    want = sse.exact_score(plain, free, transformed=False).score
    assert_allclose(model.score(free, transformed=False), want, rtol=1e-8, atol=1e-8)
    assert_allclose(model.score(free, False), want, rtol=1e-8, atol=1e-8)
    harvey = model.score(params, method="harvey")
    assert_allclose(harvey, plain.score(params, method="harvey"), rtol=1e-10)


def test_memo_does_not_outlive_a_change_of_the_model() -> None:
    """The same parameters with other data or another start have another score."""
    y = macro()[:, 0]
    model = ExactSARIMAX(y, order=(1, 0, 0))
    params = np.array([0.3, 0.5])
    first = model.score(params)
    model.ssm.initialize_known(np.array([5.0]), np.eye(1))
    second = model.score(params)
    assert np.abs(first - second).max() > 1e-3
    model.fit(disp=0, cov_type="none")
    assert_allclose(model.score(params), second, rtol=1e-12)


def numerical_hessian(model: MLEModel, params: np.ndarray) -> np.ndarray:
    """Return second differences of the log-likelihood, extrapolated."""
    steps = 2e-2 * np.maximum(np.abs(params), 0.05)

    def gradient(at: np.ndarray) -> np.ndarray:
        return richardson_gradient(model.loglike, at, step=steps, levels=3)

    return richardson_gradient(gradient, params, step=steps, levels=3)


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("SARIMAX", 0.0),
        ("SARIMAX", 0.3),
        ("VARMAX", 0.3),
        pytest.param("VARMAX", 0.0, marks=pytest.mark.slow),
    ],
)
def test_standard_errors_with_missing_data(name: str, share: float) -> None:
    """statsmodels' "oim" counts missing rows, and its errors are too small; ours are those of differences."""
    _, exact, _, options = FITS[name]
    data = macro()[:120, 0] if name == "SARIMAX" else macro()[:120, [0, 2]]
    model = exact(gappy(data, share), **options)
    model.ssm.tolerance = 0.0
    res = model.fit(disp=False, maxiter=500, cov_type="oim")
    params = np.asarray(res.params)
    want = numerical_hessian(model, params)
    found = model.hessian(params) * (model.nobs - model.ssm.loglikelihood_burn)
    assert_allclose(found, want, rtol=0, atol=1e-4 * np.abs(want).max())
    expected = np.sqrt(np.diag(np.linalg.inv(-want)))
    assert_allclose(res.bse, expected, rtol=1e-3)


def test_hessian_of_unconstrained_and_of_fixed_parameters() -> None:
    model = ExactSARIMAX(gappy(macro()[:, 0]), order=(1, 0, 1))
    params = np.array([0.5, -0.2, 0.4])
    free = np.asarray(model.untransform_params(params))
    want = richardson_gradient(lambda at: model.score(at, transformed=False), free, step=1e-2) / model.nobs
    assert_allclose(model.hessian(free, transformed=False), want, rtol=0, atol=1e-6 * np.abs(want).max())
    whole = model.hessian(params)
    with model.fix_params({"ar.L1": 0.5}):
        assert_allclose(model.hessian(params[1:]), whole[1:, 1:], rtol=1e-5)


def test_standard_errors_of_unobserved_components_leave_out_burnt_periods() -> None:
    model = ExactUC(gappy(nile()) / 100.0, "llevel")
    assert model.ssm.loglikelihood_burn == 1
    res = model.fit(disp=False, cov_type="oim")
    model.ssm.tolerance = 0.0
    want = numerical_hessian(model, np.asarray(res.params))
    assert_allclose(res.bse, np.sqrt(np.diag(np.linalg.inv(-want))), rtol=1e-2)


def test_mixin_of_a_model_without_an_exact_form() -> None:
    """It fits with the numerical score, to the same maximum."""
    y = macro()[:, [0, 2]]

    def start(model: MLEModel) -> MLEModel:
        model.ssm.timing_init_filtered = True
        model.initialize_known(np.zeros(2), np.eye(2))
        return model

    ours = start(ExactVARMAX(y, order=(1, 0), trend="n")).fit(disp=False, cov_type="none")
    theirs = start(VARMAX(y, order=(1, 0), trend="n")).fit(disp=False, cov_type="none")
    assert_allclose(ours.llf, theirs.llf, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:Calculation of the Hessian using finite differences")
@pytest.mark.parametrize("complex_step", [True, False])
def test_approximate_derivatives_of_the_mixin_are_those_of_statsmodels(complex_step: bool) -> None:
    """`loglike` of complex parameters is complex: cast to a float, every derivative by them is zero."""
    y = gappy(macro()[:, 0])
    options = {"order": (1, 0, 0), "trend": "c"}
    ours, theirs = ExactSARIMAX(y, **options), SARIMAX(y, **options)
    params, how = np.array([0.5, 0.2, 0.4]), {"approx_complex_step": complex_step}
    want = theirs.score(params, method="approx", **how)
    assert np.abs(want).max() > 1.0
    assert_allclose(ours.score(params, method="approx", **how), want, rtol=1e-4)
    want = theirs.hessian(params, method="approx", **how)
    assert_allclose(ours.hessian(params, method="approx", **how), want, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("cov_type", ["approx", "opg", "robust_approx"])
def test_other_standard_errors_of_the_mixin_are_those_of_statsmodels(cov_type: str) -> None:
    y = macro()[:, 0]
    options, how = {"order": (1, 0, 0), "trend": "c"}, {"disp": 0, "cov_type": cov_type}
    want = SARIMAX(y, **options).fit(**how).bse
    assert_allclose(ExactSARIMAX(y, **options).fit(**how).bse, want, rtol=1e-2)


def test_fit_with_the_score_of_statsmodels() -> None:
    y = macro()[:, 0]
    model = ExactSARIMAX(y, order=(1, 0, 0), trend="c")
    best = model.fit(disp=0, cov_type="none").llf
    for score in ("approx", "harvey"):
        assert_allclose(model.fit(disp=0, optim_score=score, cov_type="none").llf, best, rtol=0, atol=1e-4)


def test_description_of_the_standard_errors() -> None:
    res = ExactSARIMAX(macro()[:, 0], order=(1, 0, 0)).fit(disp=0, cov_type="oim")
    assert "Harvey" not in res.cov_kwds["description"]


def test_mixin_can_be_pickled_and_cloned() -> None:
    import pickle

    model = ExactUC(nile(), "llevel")
    res = model.fit(disp=False)
    again = pickle.loads(pickle.dumps(model))
    assert isinstance(again, ExactUC)
    assert_allclose(again.score(res.params), model.score(res.params), rtol=1e-10)
    assert isinstance(res.apply(nile()[:60]).model, ExactUC)


def test_a_simulation_smoother_of_the_model_goes_on() -> None:
    model = sm.tsa.SARIMAX(np.random.default_rng(0).normal(size=50), order=(1, 0, 1))
    model.update(model.start_params)
    simulator = model.simulation_smoother()
    draws = []
    for _ in range(2):
        with simulation_seed(3) as seed:
            simulator.simulate(**seed)
        draws.append(np.array(simulator.simulated_state))
        sse.exact_score(model, model.start_params)
    assert_allclose(*draws)
