"""Pairs of Q-roots, real, equal and complex: loadings, score, order, maxima that real roots do not reach."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, strategies as st
from numpy.testing import assert_allclose
from oracle import richardson_gradient
from yields import panel, random_panel

import statespace_ext as sse
from statespace_ext.term_structure.maximal import paired

TAU = np.array([0.25, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0])
GSW = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0])
ROOTS: dict[str, tuple[complex, ...]] = {
    "real": (0.02, 0.4, 0.9),
    "equal": (0.02, 0.5, 0.5),
    "complex": (0.02, 0.45 + 0.3j, 0.45 - 0.3j),
    "a pair at zero": (0.3, 0.0, 0.0),
    "all equal": (0.3, 0.3, 0.3),
    "two": (0.1 + 0.2j, 0.1 - 0.2j),
    "four": (0.02, 0.7, 0.45 + 0.3j, 0.45 - 0.3j),
    "five": (0.01, 0.2 + 0.5j, 0.2 - 0.5j, 0.6, 0.6),
}


def _model(k: int, **options: Any) -> sse.ATSM:
    y = random_panel(np.random.default_rng(3), 40, TAU)
    y += 0.002 * np.random.default_rng(4).standard_normal(y.shape)
    return sse.ATSM(y, TAU, k, identification="jsz-pairs", **options)


@cache
def _start(k: int, **options: Any) -> np.ndarray:
    """Return default start values, once for all roots."""
    return np.asarray(_model(k, **options).start_params)


@cache
def model_at(roots: tuple[complex, ...], **options: Any) -> tuple[sse.ATSM, np.ndarray]:
    """Return a model of decimal yields, and parameters with these Q-roots, once for all tests."""
    k = len(roots)
    model = _model(k, **options)
    values = paired(np.array(roots, dtype=complex))
    at = {"pairs_Q": values[k % 2 :].reshape(-1, 2), "drift_Q": [[0.004 * np.prod(np.abs(roots) + 0.1)]]}
    if k % 2:
        at["roots_Q"] = values[:1, None]
    params = model.layout.project({key: np.asarray(v) for key, v in at.items()}, _start(k, **options))
    params.flags.writeable = False
    return model, params


def prices(K: np.ndarray, kappa: np.ndarray, cov: np.ndarray, tau: float) -> tuple[float, np.ndarray]:
    """Return a and b of the log price with r = x_1: b, b b' and a solve one linear equation."""
    k, eye, first = len(K), np.eye(len(K)), np.eye(len(K))[:, :1]
    G = np.zeros((1 + k + k * k + 1,) * 2)
    b, bb = slice(1, 1 + k), slice(1 + k, 1 + k + k * k)
    G[b, :1], G[b, b] = -first, -K.T
    G[bb, b] = -np.kron(first, eye) - np.kron(eye, first)
    G[bb, bb] = -np.kron(K.T, eye) - np.kron(eye, K.T)
    G[-1, b], G[-1, bb] = kappa, 0.5 * cov.ravel()
    z = scipy.linalg.expm(G * tau)[:, 0]
    return float(z[-1]), z[b]


@pytest.mark.parametrize("name", ROOTS)
def test_loadings_are_those_of_the_matrix_exponential(name: str) -> None:
    """From another form with the same roots and drift: the companion of the characteristic polynomial."""
    model, params = model_at(ROOTS[name], obs_cov="scalar")
    at, W = model.matrices(params), model.panel.weights
    k, tail = len(ROOTS[name]), np.poly(-np.array(ROOTS[name])).real[:0:-1]
    K = -np.eye(k, k=1)
    K[-1] += tail
    kappa = at["drift_Q"][0, 0] * np.eye(k)[-1]
    none = np.zeros((k, k))
    slopes = np.array([-prices(K, kappa, none, tau)[1] / tau for tau in TAU])
    inverse = np.linalg.inv(W @ slopes)
    cov = inverse @ at["state_cov"] @ inverse.T
    intercepts = np.array([-prices(K, kappa, cov, tau)[0] / tau for tau in TAU])
    B = slopes @ inverse
    A = intercepts - B @ W @ intercepts
    ours = model.loadings(params, TAU)
    assert_allclose(ours[1], B, rtol=0, atol=1e-12)
    assert_allclose(ours[0], A, rtol=0, atol=1e-12)
    found = np.linalg.eigvals(model.dynamics(params).pricing.K)
    assert_allclose(np.poly(found).real, np.poly(ROOTS[name]).real, atol=1e-9)


@pytest.mark.parametrize("name", ROOTS)
def test_score(name: str) -> None:
    model, params = model_at(ROOTS[name], obs_cov="scalar")
    step = 1e-3 * np.maximum(np.abs(params), 1e-4)
    step[[i for i, key in enumerate(model.param_names) if "_Q" in key]] = 1e-4
    want = richardson_gradient(model.loglike, params, step=step)
    size = np.median(np.abs(want * step))
    assert_allclose(model.score(params) * step, want * step, rtol=1e-7, atol=1e-7 * size)


def test_real_roots_are_those_of_jsz() -> None:
    """Where these are real: the drift is k_inf times the other roots."""
    model, params = model_at(ROOTS["real"])
    theirs = sse.ATSM(model.endog, TAU, dt=1 / 12)
    at = model.matrices(params)
    drift = at["drift_Q"] / np.prod(np.real(ROOTS["real"][1:]))
    values = {"roots_Q": np.real(ROOTS["real"])[:, None], "k_inf": drift}
    same = {key: at[key] for key in ("K_P", "kappa_P", "state_cov", "obs_cov")}
    moved = theirs.layout.project({**values, **same}, theirs.start_params)
    assert_allclose(model.loglike(params), theirs.loglike(moved), rtol=1e-10)


@given(
    st.lists(st.floats(-0.1, 3.0), min_size=1, max_size=5),
    st.lists(st.tuples(st.floats(0.0, 2.0), st.floats(0.01, 2.0)), max_size=2),
)
def test_pairs_have_the_roots(real: list[float], turning: list[tuple[float, float]]) -> None:
    roots = np.array([*real, *(complex(a, s * b) for a, b in turning for s in (1, -1))], dtype=complex)
    found = paired(roots)
    odd = len(roots) % 2
    again = list(found[:odd].astype(complex))
    for mean, square in found[odd:].reshape(-1, 2):
        again += [mean + np.sqrt(complex(square)), mean - np.sqrt(complex(square))]
    assert_allclose(np.sort_complex(np.round(again, 7)), np.sort_complex(np.round(roots, 7)), atol=3e-7)


@pytest.mark.parametrize("name", ROOTS)
def test_the_order_changes_no_likelihood(name: str) -> None:
    model, params = model_at(ROOTS[name])
    at = model.matrices(params)
    if (
        len(ROOTS[name]) in (3, 5) and at["pairs_Q"][0, 1] > 0
    ):  # the single root changes places with one of a pair
        mean, square = at["pairs_Q"][0]
        first, low, high = at["roots_Q"][0, 0], mean - np.sqrt(square), mean + np.sqrt(square)
        pairs = np.vstack([[0.5 * (first + high), 0.25 * (first - high) ** 2], at["pairs_Q"][1:]])
        moved = {"roots_Q": np.array([[low]]), "pairs_Q": pairs}
    else:
        moved = {"pairs_Q": at["pairs_Q"][::-1]}
    other = model.layout.project(moved, params)
    assert_allclose(model.loglike(other), model.loglike(params), rtol=1e-9)
    assert_allclose(model.normalised(other), model.normalised(params), rtol=1e-6, atol=1e-9)


def gsw(shared_data: Path) -> Any:
    """Return the month-end yields of Gurkaynak, Sack and Wright on which real roots stop short."""
    yields, tau = panel(shared_data, "gsw", "percent")
    return yields[[column for column, years in zip(yields, tau, strict=True) if years in GSW]]


def test_complex_roots_on_month_end_yields(shared_data: Path) -> None:
    """Real roots end at a repeated one, 4121.581; complex ones go on from near there, to a local maximum."""
    y = gsw(shared_data)
    assert y.shape == (338, 7)
    real = sse.ATSM(y, GSW, units="percent").fit(method="mle", cov_type="none")
    assert any("Two Q-roots are equal" in line for line in real.status_lines())
    model = sse.ATSM(y, GSW, units="percent", identification="jsz-pairs")
    at = real.model.matrices(real.params)
    roots = np.sort(at["roots_Q"][:, 0])
    pairs = [[roots[1:].mean(), -0.08]]
    values = {key: at[key] for key in ("K_P", "kappa_P", "state_cov", "obs_cov")}
    values.update(roots_Q=roots[:1, None], pairs_Q=np.array(pairs), drift_Q=at["k_inf"] * roots[1] * roots[2])
    start = model.layout.project(values, model.start_params)
    res = model.fit(start, cov_type="none")
    assert res.converged and res.llf > 4175.18 > real.llf + 50.0
    assert res.params["pair_Q.1.square"] < 0
    assert res.mean_reversion.loc["Q", "period"].notna().sum() == 2
    assert not any("Q-roots" in line for line in res.status_lines())
    assert "pair_Q.1.square" in str(res.tidy()["term"].tolist())


@pytest.mark.slow
def test_the_default_fit_of_pairs(shared_data: Path) -> None:
    res = sse.ATSM(gsw(shared_data), GSW, units="percent", identification="jsz-pairs").fit(cov_type="none")
    assert res.converged and res.llf > 4185.23


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_fits_reach_the_likelihood_at_the_truth(seed: int) -> None:
    model, params = model_at(ROOTS["complex"], obs_cov="scalar")
    rng = np.random.default_rng(seed)
    at = model.dynamics(params)
    step = model.system(params)
    X = np.zeros((300, 3)) + np.linalg.solve(at.K_P, at.kappa_P)
    shock = np.linalg.cholesky(step.state_cov)
    for t in range(1, 300):
        X[t] = step.state_intercept + step.transition @ X[t - 1] + shock @ rng.standard_normal(3)
    noise = np.sqrt(step.obs_cov[0, 0])
    y = step.obs_intercept + X @ step.design.T + noise * rng.standard_normal((300, len(TAU)))
    weights = model.panel.weights
    new = model.clone(y, dt=1 / 12, portfolio_weights=weights)
    res = new.fit(cov_type="none")
    assert res.llf > new.loglike(params)


def test_what_else_a_model_does() -> None:
    model, params = model_at(ROOTS["complex"])
    res = model.smooth(params)
    assert model.param_names[:4] == ["root_Q.1", "pair_Q.1.mean", "pair_Q.1.square", "drift_Q"]
    assert_allclose(res.append(model.endog[-3:]).llf - res.llf, res.extend(model.endog[-3:]).llf, rtol=1e-6)
    with pytest.raises(sse.UnsupportedError, match="cannot estimate this model"):
        model.fit(method="jsz")
    equal = model_at(ROOTS["equal"])
    assert any("pair 1 are equal" in line for line in equal[0].smooth(equal[1]).status_lines())


def test_afns_is_a_special_case() -> None:
    """A single root of zero, a pair of equal ones, no drift: its yields, given portfolios of them."""
    decay, S = 0.6, np.diag([0.006, 0.01, 0.02]) ** 2
    model, params = model_at((0.0, decay, decay))
    afns = sse.ATSM(model.endog, TAU, identification="afns", dt=1 / 12)
    theirs = afns.params_from_matrices(
        {**afns.matrices(afns.start_params), "decay": np.array([[decay]]), "state_cov": S}
    )
    A, B = afns.loadings(theirs, TAU)
    W = model.panel.weights
    turn = np.linalg.inv(W @ B)
    at = {"drift_Q": np.zeros((1, 1)), "state_cov": W @ B @ S @ B.T @ W.T}
    ours = model.loadings(model.layout.project(at, params), TAU)
    assert_allclose(ours[1], B @ turn, atol=1e-11)
    assert_allclose(ours[0], A - B @ turn @ W @ A, atol=1e-11)


@pytest.mark.slow
def test_the_default_fit_goes_on_where_real_roots_meet(shared_data: Path) -> None:
    res = sse.ATSM(gsw(shared_data), GSW, units="percent").fit(cov_type="none")
    assert res.converged and res.llf > 4185.23
    assert res.model.param_names[:4] == ["root_Q.1", "pair_Q.1.mean", "pair_Q.1.square", "drift_Q"]
    assert res.mean_reversion.loc["Q", "period"].notna().sum() == 2


def with_unit_noise(
    model: sse.ATSM, params: np.ndarray, identification: str = "dai-singleton-pairs"
) -> tuple[sse.ATSM, np.ndarray]:
    """Return the same model in latent factors with Sigma = I, and its parameters."""
    latent = model.clone(model.panel.endog, identification=identification, portfolio_weights=None)
    at = model.dynamics(params)
    values, turn, centre = latent.norm.form(at.pricing, at.cov)
    values["K_P"] = turn @ at.K_P @ np.linalg.inv(turn)
    values["kappa_P"] = (turn @ (at.kappa_P - at.K_P @ centre))[:, None]
    values["obs_cov"] = model.matrices(params)["obs_cov"]
    return latent, latent.layout.project(values, np.zeros(len(latent.layout)))


@pytest.mark.parametrize("name", ["real", "equal", "complex", "two", "four", "five"])
def test_the_same_model_with_unit_noise(name: str) -> None:
    """The likelihood, roots and order are those of portfolios; a rotation of the factors is undone."""
    model, params = model_at(ROOTS[name])
    latent, same = with_unit_noise(model, params)
    assert len(latent.param_names) == len(model.param_names)
    assert_allclose(latent.loglike(same), model.loglike(params), rtol=1e-9)
    assert_allclose(latent.normalised(same), same, rtol=1e-6, atol=1e-9)
    K = latent.matrices(same)["K_Q"]
    assert_allclose(np.poly(K).real, np.poly(ROOTS[name]).real, atol=1e-9)
    for i in range(len(K) % 2, len(K), 2):
        assert K[i, i] == K[i + 1, i + 1] and abs(K[i, i + 1]) <= abs(K[i + 1, i])
    moved = dict(latent.matrices(same))
    first, flip = len(K) % 2, np.eye(len(K))
    flip[first : first + 2, first : first + 2] = [[0.0, 1.0], [1.0, 0.0]]  # the factors of the first pair
    for key in ("K_Q", "K_P"):
        moved[key] = flip @ moved[key] @ flip
    for key in ("delta_1", "kappa_P"):
        moved[key] = flip @ moved[key]
    other = latent.layout.project(moved, same)
    assert_allclose(latent.loglike(other), latent.loglike(same), rtol=1e-10)
    assert_allclose(latent.normalised(other), same, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("identification", ["dai-singleton", "dai-singleton-pairs"])
def test_an_unknown_first_state_turns_with_the_factors(identification: str) -> None:
    y = random_panel(np.random.default_rng(3), 40, TAU)
    model = sse.ATSM(y, TAU, 2, identification=identification, initialization="estimated")
    params = np.asarray(model.start_params)
    at, turn = model.matrices(params), np.diag([1.0, -1.0])
    turned = {key: turn @ at[key] for key in ("delta_1", "kappa_P", "initial_state")}
    turned |= {key: turn @ at[key] @ turn for key in ("K_Q", "K_P")}
    other = model.layout.project({**at, **turned}, params)
    assert_allclose(model.loglike(other), model.loglike(params), rtol=1e-12)
    assert_allclose(model.normalised(other), params, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["complex", "equal", "two"])
def test_score_with_unit_noise(name: str) -> None:
    model, params = with_unit_noise(*model_at(ROOTS[name], obs_cov="scalar"))
    step = 1e-3 * np.maximum(np.abs(params), 1e-4)
    want = richardson_gradient(model.loglike, params, step=step)
    size = np.median(np.abs(want * step))
    assert_allclose(model.score(params) * step, want * step, rtol=1e-7, atol=1e-7 * size)


def test_equal_roots_with_unit_noise_are_told() -> None:
    real, equal = "dai-singleton", "dai-singleton-pairs"
    told = {
        real: f'Two Q-roots are equal.*identification="{equal}"',
        equal: "Q-roots of pair 1 are equal",
    }
    for name, message in told.items():
        model, params = with_unit_noise(*model_at(ROOTS["equal"]), name)
        res = model.smooth(params)
        assert any(re.search(message, line) for line in res.status_lines()), name


@pytest.mark.slow
def test_the_default_fit_with_unit_noise_goes_on_where_real_roots_meet(shared_data: Path) -> None:
    y = gsw(shared_data)
    res = sse.ATSM(y, GSW, units="percent", identification="dai-singleton").fit(cov_type="none")
    assert res.converged and res.llf > 4185.23
    assert res.mean_reversion.loc["Q", "period"].notna().sum() == 2
    K = res.matrices["K_Q"].to_numpy()
    assert K[1, 1] == K[2, 2] and K[1, 2] * K[2, 1] < 0 and not np.any(K[0, 1:])


def test_k_inf_beside_the_drift() -> None:
    """It is the drift over the other roots, and the parameter of the form with real roots."""
    model, params = model_at(ROOTS["real"])
    found = model.norm.derived(model.matrices(params))
    assert_allclose(found["k_inf"], model.matrices(params)["drift_Q"][0, 0] / (0.4 * 0.9))
    summary = str(model.smooth(params).summary())
    assert "k_inf" in summary and "Mean reversion (eigenvalues of K a year" in summary
    turning, at_them = model_at(ROOTS["two"])
    assert turning.norm.derived(turning.matrices(at_them)) == {}


# -- parameters of real roots by name ----------------------------------------------------------------------


def as_real(model: sse.ATSM, params: np.ndarray, name: str) -> tuple[sse.ATSM, sse.ATSM, Any]:
    """Return the models with real roots and with pairs of a normalisation, and parameters of the first."""
    real = sse.ATSM(model.endog, TAU, model.k_factors, dt=1 / 12)
    at = model.matrices(params)
    roots = np.sort(np.linalg.eigvals(model.dynamics(params).pricing.K).real)
    values = {key: at[key] for key in ("K_P", "kappa_P", "state_cov", "obs_cov")}
    values.update(roots_Q=roots[::-1, None], k_inf=at["drift_Q"] / np.prod(roots[:-1]))  # in another order
    vector = real.layout.project(values, np.zeros(len(real.layout)))
    pairs = real.clone(real.panel.endog, identification="jsz-pairs")
    if name == "dai-singleton":
        real, vector = with_unit_noise(real, real.normalised(vector), name)
        pairs = real.clone(real.panel.endog, identification="dai-singleton-pairs")
    return real, pairs, dict(zip(real.param_names, vector, strict=True))


@pytest.mark.parametrize("name", ["jsz", "dai-singleton"])
@pytest.mark.parametrize("roots", [(0.02, 0.4, 0.9), (0.1, 0.5)])
def test_parameters_of_real_roots_by_name(name: str, roots: tuple[complex, ...]) -> None:
    real, pairs, given = as_real(*model_at(roots), name)
    assert_allclose(pairs.loglike(given), real.loglike(given), rtol=1e-9)
    assert_allclose(pairs.loglike(pairs.smooth(given).params), real.loglike(given), rtol=1e-9)
    for model in (real, pairs):  # names such as "k_inf" and "delta_0" are also those of matrices
        started = model.fit(given, method="two-step", return_params=True)
        assert_allclose(model.loglike(started), real.loglike(given), rtol=1e-9)
    found = np.linalg.eigvals(pairs.dynamics(given).pricing.K)
    assert_allclose(np.sort(found.real), roots, rtol=1e-7)
    with pytest.raises(sse.ParameterError, match="Parameter names do not match"):
        pairs.loglike({**given, "other": 1.0})


def test_real_roots_can_be_fixed_in_pairs() -> None:
    real, pairs, given = as_real(*model_at(ROOTS["real"]), "jsz")
    held = {key: value for key, value in given.items() if key.startswith("root_Q")}
    with pairs.fix_params(held):
        assert sorted(pairs._fixed_params) == ["pair_Q.1.mean", "pair_Q.1.square", "root_Q.1"]
        own = pairs.smooth(given, includes_fixed=True)
        start = pairs.fit(given, method="two-step", return_params=True)
    assert_allclose(own.llf, real.loglike(given), rtol=1e-9)
    assert_allclose(start, own.params, rtol=1e-9)
    with pairs.fix_params({**held, "k_inf": given["k_inf"]}):
        assert_allclose(pairs._fixed_params["drift_Q"], own.params[3])
    with pytest.raises(sse.ParameterError, match=r"incomplete: got root_Q.2; expected also root_Q.1, root_Q"):
        with pairs.fix_params({"root_Q.2": 0.4}):
            pass
    latent = as_real(*model_at(ROOTS["real"]), "dai-singleton")
    with pytest.raises(sse.ParameterError, match="incomplete"):
        with latent[1].fix_params({"K_Q.f3.f3": latent[2]["K_Q.f3.f3"]}):
            pass
