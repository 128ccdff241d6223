"""Matrices that vary over time in periods after the sample, in windows, and by named regimes."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from statsmodels.tsa.statespace.mlemodel import MLEModel

import statespace_ext as sse
from statespace_ext.exceptions import DataError
from statespace_ext.inference.many import fingerprint
from statespace_ext.params.curved import CovarianceFunction

N, M, H = 60, 25, 6
WHEN = np.where(np.arange(N) < M, "before", "after")
SEASON = np.arange(N + H) % 4
PATTERNS = {"before": [["r", "c"], ["c", "s"]], "after": [["4*r", 0], [0, "t"]]}
NOISE = sse.Regimes(WHEN, PATTERNS)
LOADINGS = {0: [[1], ["a"]], 1: [[1], ["b"]], 2: [[1], ["b"]], 3: [[1], ["a + b"]]}
DESIGN = sse.Regimes(SEASON[:N], LOADINGS)
BASE: dict[str, Any] = {"obs_cov": NOISE, "design": DESIGN, "transition": [["f"]], "state_cov": [["q"]]}
VALUES = {"a": 0.5, "b": -0.4, "f": 0.7, "r": 0.6, "c": 0.1, "s": 0.5, "t": 1.5, "q": 0.8}
INDEX = pd.period_range("2001-01", periods=N + H, freq="M")


def data(n: int = N) -> pd.DataFrame:
    y = np.random.default_rng(3).normal(size=(N + H, 2)).cumsum(axis=0) * 0.3
    y[5, 0] = y[40] = np.nan
    return pd.DataFrame(y[:n], index=INDEX[:n], columns=["u", "v"])


def model(**more: Any) -> sse.LGSSM:
    return sse.LGSSM(data(), 1, **{**BASE, **more})


def params(ours: sse.LGSSM) -> np.ndarray:
    return np.array(
        [{**VALUES, "obs_intercept.u": 0.2, "obs_intercept.v": -0.3}[name] for name in ours.param_names]
    )


def over(key: str, labels: Any) -> np.ndarray:
    """Return numbers for labels, written out by hand."""
    v = VALUES
    if key == "obs_cov":
        each = {
            "before": [[v["r"], v["c"]], [v["c"], v["s"]]], "after": [[4 * v["r"], 0], [0, v["t"]]],
        }  # fmt: skip
    else:
        each = {
            s: [[1], [x]] for s, x in zip(range(4), [v["a"], v["b"], v["b"], v["a"] + v["b"]], strict=True)
        }
    return np.moveaxis(np.array([each[label] for label in labels], dtype=float), 0, 2)


def plain(y: Any, regimes: Any, seasons: Any) -> MLEModel:
    out = MLEModel(
        y, k_states=1, k_posdef=1, initialization="known", constant=[0.0], stationary_cov=[[0.8 / 0.51]]
    )
    out.ssm["selection"], out.ssm["transition"], out.ssm["state_cov"] = [[1.0]], [[0.7]], [[0.8]]
    out.ssm["obs_cov"], out.ssm["design"] = over("obs_cov", regimes), over("design", seasons)
    out.ssm["obs_intercept"] = np.array([[0.2], [-0.3]])
    return out


def arrays(labels: Any, patterns: Any) -> np.ndarray:
    return np.moveaxis(np.array([patterns[label] for label in labels], dtype=object), 0, 2)


WAYS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "labels": ({}, {"obs_cov": ["after"] * H, "design": SEASON[N:]}),
    "held": (
        {"obs_cov": sse.Regimes(pd.Series(WHEN, INDEX[:N]), PATTERNS, hold=True)},
        {"design": pd.Series(SEASON[N:], INDEX[N:])},
    ),
    "strings": (
        {"obs_cov": arrays(WHEN, PATTERNS), "design": arrays(SEASON[:N], LOADINGS)},
        {"obs_cov": PATTERNS["after"], "design": arrays(SEASON[N:], LOADINGS)},
    ),
    "hold": (
        {"obs_cov": arrays(WHEN, PATTERNS)}, {"obs_cov": "hold", "design": sse.Regimes(SEASON[N:], LOADINGS)},
    ),
    "numbers": ({}, {"obs_cov": over("obs_cov", ["after"] * H), "design": over("design", SEASON[N:])}),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_forecasts_are_those_of_a_longer_sample_without_data(way: str) -> None:
    given, future = WAYS[way]
    ours = model(**given)
    got = ours.smooth(params(ours)).get_forecast(H, **future)
    longer = np.concatenate([data().to_numpy(), np.full((H, 2), np.nan)])
    reference = plain(longer, [*WHEN, *["after"] * H], SEASON).ssm.filter()
    assert_allclose(got.predicted_mean, reference.forecasts[:, N:].T, rtol=1e-9)
    se = np.sqrt(np.diagonal(reference.forecasts_error_cov[..., N:], axis1=0, axis2=1))
    assert_allclose(got.se_mean, se, rtol=1e-9)
    assert list(got.predicted_mean.index) == list(INDEX[N:])


@pytest.mark.parametrize("way", [way for way in WAYS if way != "numbers"])
def test_append_extend_and_apply_have_the_parameters_of_the_sample(way: str) -> None:
    given, future = WAYS[way]
    ours = model(**given)
    res, new = ours.smooth(params(ours)), data(N + H).iloc[N:]
    reference = plain(data(N + H).to_numpy(), [*WHEN, *["after"] * H], SEASON).ssm
    longer = res.append(new, **future)
    assert longer.model.param_names == ours.param_names
    assert_allclose(longer.llf, reference.loglike(), rtol=1e-10)
    extended = res.extend(new, **future)
    assert extended.model.param_names == ours.param_names
    assert_allclose(extended.llf, reference.filter().llf_obs[N:].sum(), rtol=1e-9)
    assert_allclose(res.apply(data()).llf, res.llf)
    assert_allclose(
        extended.forecast(2, obs_cov="hold", design="hold"),
        longer.forecast(2, obs_cov="hold", design="hold"),
    )  # fmt: skip


def test_labels_of_other_data_are_those_of_its_periods() -> None:
    ours = model(obs_intercept="zero")
    res, part, future = ours.smooth(params(ours)), slice(20, 32), {"design": SEASON[20:32]}
    labels, y = pd.Series(WHEN, INDEX[:N]), data()
    want = res.apply(y[part], obs_cov=list(WHEN[part]), **future).llf
    assert_allclose(res.apply(y[part], obs_cov=labels[part], **future).llf, want, rtol=1e-12)
    again = ours.clone(y[part], obs_cov=labels[part], **future)
    assert_allclose(again.loglike(params(ours)), want, rtol=1e-12)
    with pytest.raises(DataError, match="must have the index of endog"):
        res.apply(y[part], obs_cov=labels[4:16], **future)


def test_a_held_regime_lasts_after_new_data() -> None:
    ours = model(**WAYS["held"][0])
    res = ours.smooth(params(ours))
    for longer in (
        getattr(res, how)(data(N + H).iloc[N:], design=SEASON[N:]) for how in ("append", "extend")
    ):
        ahead = longer.get_forecast(1, design=[0])
        assert_allclose(
            ahead.se_mean, longer.get_forecast(1, design=[0], obs_cov=["after"]).se_mean, rtol=1e-12
        )


def test_simulations_after_the_sample_have_the_future_noise() -> None:
    ours = model(obs_intercept="zero")
    labels = [*WHEN, *["before"] * (H - 1), "after"]
    drawn = ours.simulate(
        params(ours), N + H, measurement_shocks=np.ones((N + H, 2)), state_shocks=np.zeros((N + H, 1)),
        initial_state=np.zeros(1), pretransformed_measurement_shocks=False, obs_cov=labels[N:],
        design=SEASON[N:],
    )  # fmt: skip
    roots = np.linalg.cholesky(np.moveaxis(over("obs_cov", labels), 2, 0))
    assert_allclose(drawn, roots.sum(axis=2), rtol=1e-12)


def test_keywords_have_the_label_as_a_suffix() -> None:
    ours = sse.LGSSM(data(), 1, obs_cov=sse.Regimes(WHEN, {"before": "diagonal", "after": "scalar"}))
    names = ["obs_var.u.before", "obs_var.v.before", "obs_var_after"]
    assert sorted(set(ours.param_names) & set(names)) == sorted(names)
    free = {"before": "zero", "after": [[np.nan], [0]]}
    ours = sse.LGSSM(
        data(),
        1,
        obs_intercept="zero",
        state_intercept=sse.Regimes(WHEN, {"before": "zero", "after": "free"}),
    )
    assert "state_intercept.f1.after" in ours.param_names
    ours = sse.LGSSM(data(), 1, design=sse.Regimes(WHEN, free), obs_intercept="zero")
    assert ours.param_names[0] == "loading.f1->u.after"


def test_regimes_equal_an_array_of_strings() -> None:
    ours, other = model(), model(**WAYS["strings"][0])
    assert ours.param_names == other.param_names
    assert_allclose(ours.loglike(params(ours)), other.loglike(params(other)), rtol=1e-14)


@pytest.mark.parametrize("kind", [list, tuple, np.array, pd.Index, pd.Series, pd.Categorical])
def test_labels_of_any_kind(kind: Any) -> None:
    for keys in ((1, 2), ("a", "b"), (pd.Timestamp("2001"), pd.Timestamp("2002")), (True, False)):
        if kind is np.array and isinstance(keys[0], pd.Timestamp):
            continue  # numpy has no Timestamp
        labels = kind([keys[t >= M] for t in range(N)])
        patterns = dict(zip(keys, PATTERNS.values(), strict=True))
        ours = model(
            obs_cov=sse.Regimes(labels.set_axis(INDEX[:N]) if kind is pd.Series else labels, patterns)
        )
        assert_allclose(ours.loglike(params(ours)), model().loglike(params(ours)), rtol=1e-14)


def test_lags_and_loadings_on_lags() -> None:
    lagged = sse.Regimes(WHEN, {"before": [["p", 0.1]], "after": [["p", "g"]]})
    known = {"initialization": "known", "initial_state": [0, 0], "initial_state_cov": np.eye(2)}
    both = [[1, "k"], ["h", 0]]
    for design in ([[1], [0.5]], both):
        ours = sse.LGSSM(
            data(),
            1,
            lags=2,
            transition=lagged,
            design=design,
            obs_cov="identity",
            state_cov="identity",
            **known,
        )
        values = {"p": 0.5, "g": -0.2, "k": 0.3, "h": 0.7, "obs_intercept.u": 0.1, "obs_intercept.v": 0.2}
        at = np.array([values[name] for name in ours.param_names])
        out = MLEModel(data(), k_states=2, k_posdef=1)
        out.ssm["selection"], out.ssm["state_cov"], out.ssm["obs_cov"] = [[1.0], [0.0]], [[1.0]], np.eye(2)
        out.ssm["design"] = [[1, 0.3], [0.7, 0]] if design is both else [[1, 0], [0.5, 0]]
        out.ssm["obs_intercept"] = np.array([[0.1], [0.2]])
        T = np.array([[[0.5, 0.1 if when == "before" else -0.2], [1, 0]] for when in WHEN])
        out.ssm["transition"] = np.moveaxis(T, 0, 2)
        out.ssm.initialize_known(np.zeros(2), np.eye(2))
        assert_allclose(ours.loglike(at), out.ssm.loglike(), rtol=1e-10)
        step = 1e-5 * np.eye(len(at))
        slope = [(ours.loglike(at + row) - ours.loglike(at - row)) / 2e-5 for row in step]
        assert_allclose(ours.score(at), slope, rtol=1e-6, atol=1e-6)
        ahead = ours.smooth(at).forecast(2, transition=["after", "after"])
        assert np.all(np.isfinite(ahead))


def test_intercepts_over_time_beside_regressors() -> None:
    x = np.random.default_rng(1).normal(size=(N + H, 1))
    level = sse.Regimes(WHEN, {"before": ["m", 0], "after": ["m + g", 1]}, hold=True)
    ours = sse.LGSSM(data(), 1, obs_intercept=level, exog=x[:N], design=[[1], [0.5]])
    at = ours.start_params
    ahead = ours.smooth(at).forecast(H, exog=x[N:])
    values = dict(zip(ours.param_names, at, strict=True))
    fixed = {"transition": [[values["L1.f1->f1"]]], "state_cov": [[values["state_var.f1"]]]}
    fixed["obs_cov"] = ours.matrices(at)["obs_cov"]
    none = sse.LGSSM(data(), 1, obs_intercept="zero", design=[[1], [0.5]], **fixed)
    inside = np.where(WHEN[:, None] == "before", [values["m"], 0], [values["m"] + values["g"], 1])
    slopes = np.array([values["obs_coef.x1->u"], values["obs_coef.x1->v"]])
    rest = none.clone(data() - inside - x[:N] * slopes).smooth([])
    wanted = rest.forecast(H) + inside[-1] + x[N:] * slopes
    assert_allclose(ahead, wanted, rtol=1e-9)


def test_windows_without_a_parameter_fail_by_name_and_others_fit() -> None:
    level = {"design": [[1]], "transition": [[1]], "obs_intercept": "zero", "initialization": "diffuse"}
    rng = np.random.default_rng(8)
    y = pd.Series(
        np.cumsum(rng.normal(size=N)) + rng.normal(size=N) * np.where(WHEN == "before", 1, 3), INDEX[:N]
    )
    ours = sse.LGSSM(y, 1, obs_cov=sse.Regimes(WHEN, {"before": [["r"]], "after": [["s"]]}), **level)
    with pytest.warns(UserWarning, match="enters no period with data"):
        found = sse.rolling_fit(ours, 30, 15)
    assert found.params.shape == (3, 3)
    assert found.params.notna().all(axis=1).tolist() == [True, True, False]
    first = sse.LGSSM(
        y[:30], 1, obs_cov=sse.Regimes(WHEN[:30], {"before": [["r"]], "after": [["s"]]}), **level
    )
    assert_allclose(found.params.iloc[0], first.fit(method="lbfgs").params, rtol=1e-3)
    assert_allclose(found.fits["llf"].iloc[0], first.fit(method="lbfgs").llf, atol=1e-6)


# -- inference ---------------------------------------------------------------------------------------------

LEVEL: dict[str, Any] = {
    "design": [[1]],
    "transition": [[0.5]],
    "obs_intercept": "zero",
    "state_cov": [[1.0]],
}
TWO = sse.Regimes(WHEN, {"before": [["r"]], "after": [["s"]]})


def noisy(n: int = N) -> np.ndarray:
    """Return white noise around an AR(1), with another variance after the break."""
    rng, x = np.random.default_rng(8), np.zeros(n)
    for t in range(1, n):
        x[t] = 0.5 * x[t - 1] + rng.normal()
    return x + rng.normal(size=n) * np.where(np.arange(n) < M, 1, 3)


def hessian(ours: sse.LGSSM, params: np.ndarray) -> np.ndarray:
    steps = 1e-4 * np.eye(len(params))
    return np.array([(ours.score(params + h) - ours.score(params - h)) / 2e-4 for h in steps])


def test_standard_errors_are_those_of_differences() -> None:
    res = sse.LGSSM(noisy(), 1, obs_cov=TWO, **LEVEL).fit()
    assert res.converged
    assert not res.boundary
    assert res.identification.n_flat == 0
    wanted = np.sqrt(np.diag(np.linalg.inv(-hessian(res.model, np.asarray(res.params)))))
    assert_allclose(res.bse, wanted, rtol=1e-5)
    assert np.all(np.isfinite(sse.LGSSM(noisy(), 1, obs_cov=TWO, **LEVEL).fit(cov_type="robust").bse))


def test_a_variance_that_vanishes_in_a_regime_is_at_the_boundary() -> None:
    y = np.where(WHEN == "before", 1.0, 5.0) * np.random.default_rng(1).normal(size=N)
    res = sse.LGSSM(y, 1, obs_cov=TWO, **{**LEVEL, "state_cov": [[4.0]]}).fit()
    assert res.converged
    assert res.boundary == ["r"]
    assert np.isnan(res.bse[0])
    second = hessian(res.model, np.array([1e-3, res.params[1]]))[1, 1]
    assert_allclose(res.bse[1], np.sqrt(-1 / second), rtol=1e-2)


def test_identification_looks_at_every_regime() -> None:
    when = np.where(np.arange(N) == N - 8, "odd", WHEN)
    three = {"before": [["r"]], "after": [["s"]], "odd": [["o"]]}
    ours = sse.LGSSM(noisy(), 1, obs_cov=sse.Regimes(when, three), **LEVEL)
    assert ours.identification([1.0, 2.0, 3.0]).n_flat == 0
    free = sse.Regimes(WHEN, {"before": [["a"]], "after": [["b"]]})
    flat = sse.LGSSM(noisy(), 1, **{**LEVEL, "design": free, "state_cov": [["q"]]})
    found = flat.identification({"a": 1.0, "b": 0.6, "q": 1.0, "obs_var.y": 0.5})
    assert found.n_flat == 1
    assert set(found.names) == {"a", "b", "q"}


def test_fixed_parameters_are_numbers_over_time() -> None:
    ours = sse.LGSSM(noisy(), 1, obs_cov=TWO, **LEVEL)
    with ours.fix_params({"r": 0.8}):
        res = ours.fit()
        by_em = ours.fit(method="em", maxiter=200)
    names = np.full(N, "s", dtype=object)
    names[:M] = 0.8
    other = sse.LGSSM(noisy(), 1, obs_cov=names[None, None], **LEVEL).fit()
    assert_allclose(res.llf, other.llf, rtol=1e-9)
    assert_allclose(res.params, [0.8, other.params[0]], rtol=1e-4)
    assert_allclose(by_em.llf, res.llf, atol=1e-4)
    assert_allclose(ours.fit_constrained({"r": 0.8}).llf, res.llf, rtol=1e-9)


def test_bootstrap_and_forecasts_with_the_uncertainty_of_parameters() -> None:
    res = sse.LGSSM(noisy(), 1, obs_cov=TWO, **LEVEL).fit()
    boot = res.bootstrap(3, rng=0)
    assert boot.params.shape == (3, 2)
    ahead = {"obs_cov": ["after", "before"]}
    plain, whole = (res.get_forecast(2, param_uncertainty=each, **ahead) for each in (False, True))
    assert np.all(whole.se_mean >= plain.se_mean)
    again = pickle.loads(pickle.dumps(res))
    assert_allclose(again.forecast(2, **ahead), plain.predicted_mean, rtol=1e-12)


def test_models_of_other_labels_have_other_fingerprints() -> None:
    y, when = np.random.default_rng(1).normal(size=3000), np.arange(3000) < 1500
    patterns = {True: [["r"]], False: [["s"]]}
    marks = set()
    for at in (1500, 1501):
        when = np.arange(3000) < at
        marks.add(fingerprint(sse.LGSSM(y, 1, obs_cov=sse.Regimes(when, patterns), **LEVEL)))
        marks.add(
            fingerprint(sse.LGSSM(y, 1, obs_cov=np.where(when, "r", "s").astype(object)[None, None], **LEVEL))
        )
    assert len(marks) == 4


def test_many_series_with_intercepts_over_time() -> None:
    """Collapsed rows serve the score, and not the sums by group."""
    p, n = 24, 40
    y = np.random.default_rng(4).normal(size=(n, p)) + np.linspace(0, 1, n)[:, None]
    y[3, 5] = np.nan
    when = np.where(np.arange(n) < 20, "before", "after")
    level = sse.Regimes(when, {"before": "free", "after": "free"})
    shift = sse.Regimes(when, {"before": [["u"]], "after": [[0]]})
    ours = sse.LGSSM(y, 1, obs_intercept=level, state_intercept=shift, obs_cov="scalar", state_cov="identity",
        initialization="known", initial_state=[0], initial_state_cov=[[1]])  # fmt: skip
    at = ours.start_params
    found = ours.score(at)
    for name in ("u", "obs_intercept.y6.before", "obs_intercept.y6.after", "loading.f1->y2", "obs_var"):
        h = 1e-5 * np.eye(len(at))[ours.param_names.index(name)]
        assert_allclose(
            found[ours.param_names.index(name)],
            (ours.loglike(at + h) - ours.loglike(at - h)) / 2e-5,
            rtol=1e-6,
            atol=1e-6,
        )
    by_em = ours.fit(at, method="em", maxiter=1, tolerance=0)
    slow = ours.fit(at, method="em", maxiter=1, tolerance=0, estep="statsmodels")
    assert_allclose(by_em.params, slow.params, rtol=1e-10)
    with pytest.raises(sse.UnsupportedError, match="vary over time"):
        ours.fit(at, method="em", maxiter=1, estep="collapsed")


def test_one_matrix_per_lag_over_time() -> None:
    first = np.where(np.arange(N) % 2, "p", "q").astype(object)[None, None]
    known = {"initialization": "known", "initial_state": [0, 0], "initial_state_cov": np.eye(2)}
    ours = sse.LGSSM(data()["u"], 1, lags=2, transition=[first, [["m"]]], design=[[1]], **known)
    assert ours.param_names[1:4] == ["q", "p", "m"] or set(ours.param_names) >= {"p", "q", "m"}
    at = dict.fromkeys(ours.param_names, 0.3) | {"p": 0.6, "q": -0.2}
    T = ours.matrices(at)["transition"]
    assert_allclose(T[0], [np.where(np.arange(N) % 2, 0.6, -0.2), np.full(N, 0.3)])


# -- what is refused ---------------------------------------------------------------------------------------


def regimes(*args: Any, **kwargs: Any) -> Any:
    return lambda: sse.Regimes(*args, **kwargs)


def arguments(**more: Any) -> Any:
    return lambda: model(**more)


def after(way: str, **future: Any) -> Any:
    def call() -> Any:
        ours = model(**WAYS[way][0])
        return ours.smooth(params(ours)).forecast(H, **future)

    return call


def appended(**future: Any) -> Any:
    def call() -> Any:
        ours = model(**WAYS["strings"][0])
        return ours.smooth(params(ours)).append(data(N + H).iloc[N:], **future)

    return call


class Equal(CovarianceFunction):
    """One variance of all series."""

    def parameters(self, size: int) -> list[str]:
        return ["var"]

    def matrix(self, values: np.ndarray, size: int) -> np.ndarray:
        return values[0] * np.eye(size)

    def near(self, target: np.ndarray) -> np.ndarray:
        return np.array([np.trace(target) / len(target)])


MOVING = sse.Regimes(WHEN, {"before": [["f"]], "after": [["g"]]})
SHORT = np.full((2, 2, N - 1), "r", dtype=object)
ODD = arrays(WHEN, {"before": [["r", "c"], [0, "s"]], "after": [["r", 0], [0, "s"]]})
UNSEEN = {True: [["x", 0], [0, 1]], False: [["r", 0], [0, 1]]}
NEW = [["new", 0], [0, "t"]]
LAST = np.where(np.arange(N) == N - 1, "g", "f")
REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "label without pattern": (regimes(WHEN, {"before": "zero"}), sse.SpecificationError, "no pattern.*after"),
    "pattern without label": (
        regimes(WHEN, {"before": "zero", "after": "zero", "later": [["x"]]}),
        sse.SpecificationError, "is used in no period.*later",
    ),
    "patterns no mapping": (regimes(WHEN, ["zero"]), sse.SpecificationError, "must be a mapping"),
    "labels of two axes": (regimes(WHEN[None], PATTERNS), sse.SpecificationError, "one-dimensional"),
    "labels too short": (
        arguments(obs_cov=sse.Regimes(WHEN[1:], PATTERNS)), sse.SpecificationError, "obs_cov.*59.*60",
    ),
    "labels elsewhere": (
        arguments(obs_cov=sse.Regimes(pd.Series(WHEN, INDEX[1 : N + 1]), PATTERNS)),
        sse.DataError, "obs_cov must have the index of endog",
    ),
    "array too short": (arguments(obs_cov=SHORT), sse.SpecificationError, r"obs_cov.*\(2, 2, 59\).*60"),
    "a function": (
        arguments(obs_cov=sse.Regimes(WHEN, {"before": Equal(), "after": "zero"})),
        sse.SpecificationError, "obs_cov must not be a CovarianceFunction in a regime",
    ),
    "not symmetric": (arguments(obs_cov=ODD), sse.SpecificationError, "obs_cov is not symmetric in period 0"),
    "no axis over time": (
        arguments(state_mean=sse.Regimes(WHEN, {"before": ["a"], "after": ["b"]})),
        sse.SpecificationError, "state_mean cannot vary",
    ),
    "a mean": (
        arguments(transition=MOVING, state_mean="free", initialization="estimated"),
        sse.SpecificationError, "state_mean cannot be combined with",
    ),
    "stationary": (
        arguments(transition=MOVING),
        sse.SpecificationError, "stationary start needs",
    ),
    "forecast without pattern": (after("strings"), sse.SpecificationError, 'design=array.*design="hold"'),
    "forecast of a new label": (
        after("labels", obs_cov=["now"] * H, design=SEASON[N:]), sse.SpecificationError, "now",
    ),
    "forecast with a new parameter": (
        after("strings", obs_cov=NEW, design="hold"), sse.SpecificationError, "parameters in the new.*new",
    ),
    "forecast of another length": (
        after("labels", obs_cov=["after"] * 2, design=SEASON[N:]), sse.SpecificationError, "obs_cov.*2.*6",
    ),
    "append without pattern": (appended(), sse.SpecificationError, "design varies over time.*hold"),
    "append with a new parameter": (
        appended(obs_cov=NEW, design="hold"), sse.SpecificationError, "parameters in the new.*new",
    ),
    "clone with more factors": (
        lambda: appended(design="hold", obs_cov="hold")().model.clone(data(N + H), k_factors=3),
        sse.SpecificationError, "design has the wrong shape: got",
    ),
    "clone of another length": (
        lambda: model().clone(data().iloc[1:]), sse.SpecificationError, "design varies over time",
    ),
    "last transition": (
        lambda: model(transition=LAST[None, None], initialization="diffuse", design=[[1], [0.5]]).fit(),
        sse.SpecificationError, "no period with data: got g",
    ),
    "no data": (
        lambda: model(obs_cov=arrays(np.arange(N) == 40, UNSEEN)).fit(),
        sse.SpecificationError, "no period with data: got x",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused_by_name(case: str) -> None:
    call, error, words = REFUSED[case]
    with pytest.raises(error, match=words):
        call()
