"""Start values of designs with fixed elements, and the starts that are tried after the first."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from reference import start_panel
from walk_subjects import SUBJECTS
from yields import random_panel

import statespace_ext as sse
from statespace_ext.fit.fit import ahead
from statespace_ext.fit.objective import FitResult
from statespace_ext.fit.start_values import _lags_of_states

WEIGHTS = [1, 2, 3, 2, 1]
COMPANION = [["phi", 0, 0, 0, 0], *(list(row) for row in np.eye(5)[:4])]
NOISE = [["q", 0, 0, 0, 0], *([0.0] * 5 for _ in range(4))]


def mixed_sample(seed: int = 0, n: int = 150) -> np.ndarray:
    """Two monthly series and a quarterly one: loadings 1, -.8, and -.4 on the weighted sum of the factor."""
    rng = np.random.default_rng(seed)
    factor = np.zeros(n + 4)
    for t in range(1, n + 4):
        factor[t] = 0.7 * factor[t - 1] + rng.standard_normal()
    summed = np.convolve(factor, WEIGHTS, mode="valid")
    y = np.column_stack([factor[4:], -0.8 * factor[4:], -0.4 * summed]) + 0.7 * rng.standard_normal((n, 3))
    y[np.arange(n) % 3 != 2, 2] = np.nan
    return y


def mixed_model(y: np.ndarray, anchor: float = 1.0, factor: int = 1) -> sse.LGSSM:
    quarterly = [f"{factor * weight}*l" for weight in WEIGHTS]
    design = [[anchor, 0, 0, 0, 0], ["m", 0, 0, 0, 0], quarterly]
    return sse.LGSSM(y, 5, design=design, transition=COMPANION, state_cov=NOISE)


def start(model: sse.LGSSM) -> dict[str, float]:
    return dict(zip(model.param_names, model.start_params, strict=True))


def test_a_fixed_loading_gives_the_sign_and_the_unit() -> None:
    y = mixed_sample()
    one, minus, ten = (start(mixed_model(y, anchor)) for anchor in (1.0, -1.0, 10.0))
    assert one["m"] == pytest.approx(-0.8, abs=0.3) and one["l"] == pytest.approx(-0.4, abs=0.2)
    for name in ("m", "l"):
        assert minus[name] == pytest.approx(-one[name])
        assert ten[name] == pytest.approx(10.0 * one[name])
    assert ten["q"] == pytest.approx(0.01 * one["q"])


def test_a_ratio_of_loadings_enters_the_start() -> None:
    y = mixed_sample()
    assert start(mixed_model(y, factor=3))["l"] == pytest.approx(start(mixed_model(y))["l"] / 3.0)


@pytest.mark.parametrize("seed", range(3))
def test_mixed_frequencies_by_hand(seed: int) -> None:
    """The default start leads where a start at the truth does."""
    model = mixed_model(mixed_sample(seed))
    truth = dict.fromkeys(model.param_names, 0.0) | {"m": -0.8, "l": -0.4, "phi": 0.7, "q": 1.0}
    truth |= {name: 0.5 for name in truth if name.startswith("obs_var")}
    res, best = model.fit(cov_type="none"), model.fit(truth, cov_type="none")
    assert res.converged and best.converged
    assert_allclose(res.llf, best.llf, rtol=0, atol=1e-5)


def test_lags_of_states() -> None:
    def found(transition: Any, noise: Any) -> tuple[list[int], list[int]]:
        k = len(noise)
        y = np.random.default_rng(0).standard_normal((30, 2))
        design = [["a"] + ["b"] * (k - 1), ["c"] + ["d"] * (k - 1)]
        known = {"initialization": "known", "initial_state": [0.0] * k, "initial_state_cov": np.eye(k)}
        model = sse.LGSSM(y, k, design=design, transition=transition, state_cov=noise, **known)
        source, lag = _lags_of_states(model.problem())
        return source.tolist(), lag.tolist()

    assert found(COMPANION, NOISE) == ([0] * 5, [0, 1, 2, 3, 4])
    one = [["q", 0.0], [0.0, 0.0]]
    assert found([["phi", 0.0], [1.0, 0.0]], one) == ([0, 0], [0, 1])
    assert found([["phi", 0.0], [0.5, 0.0]], one) == ([0, 1], [0, 0])
    assert found([["phi", 0.0], [0.0, 1.0]], one) == ([0, 1], [0, 0])
    assert found([["phi", 0.0], ["rho", 0.0]], one) == ([0, 1], [0, 0])
    cycle = [["phi", 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
    assert found(cycle, [["q", 0.0, 0.0], [0.0] * 3, [0.0] * 3]) == ([0, 1, 2], [0, 0, 0])


STATIONARY = [
    entry
    for entry in start_panel.entries("develop")
    if entry["class"] == "LGSSM" and "initialization" not in entry["specification"]
]


@pytest.mark.parametrize("entry", STATIONARY, ids=lambda entry: entry["name"])
def test_start_variances_are_those_of_the_data(entry: dict[str, Any]) -> None:
    """The variance that a stationary model implies at its start values is near that of each series."""
    model = start_panel.model_of(entry)
    system = model.system(model.start_params)
    implied = np.diag(system.design @ system.initial_state_cov @ system.design.T + system.obs_cov)
    ratio = implied / np.nanvar(model.endog, axis=0)
    assert ratio.min() > 0.25 and ratio.max() < 4.0, ratio


def two_factors() -> sse.LGSSM:
    """Two factors whose likelihood has a maximum with an alternating second one, and a higher one."""
    rng = np.random.default_rng([77, 8])
    k, p, n = int(rng.choice([2, 3])), int(rng.integers(3, 6)), int(rng.integers(50, 130))
    matrices = {"design": np.tril(rng.normal(size=(p, k))), "transition": start_panel._stable(rng, k, 1)}
    rng.normal(size=(n, p))
    matrices |= {"obs_cov": np.diag(rng.uniform(0.1, 1.5, p)), "state_cov": np.eye(k)}
    entry: dict[str, Any] = {"class": "LGSSM", "seed": 8, "sample": {"n": n, "series": p}}
    entry["specification"] = {"k_factors": k, "identification": "triangular"}
    entry["truth"] = start_panel._truth(entry, matrices, rng)
    return start_panel.model_of(entry)


def test_a_second_start_leads_higher_and_the_summary_counts() -> None:
    model = two_factors()
    first = model.fit(model.start_params, cov_type="none")
    res = model.fit(cov_type="none")
    assert first.converged and res.converged
    assert res.llf > first.llf + 1.0
    fit = res._fit
    assert len(fit.starts) > 1 and fit.starts_at_best < len(fit.starts)
    assert res.llf == pytest.approx(max(fit.starts))
    line = f"{fit.starts_at_best} of {len(fit.starts)} starts reached the best log-likelihood."
    assert line in res.summary().as_text()


def test_starts_that_agree_end_the_search() -> None:
    """A strong factor: the second start is on the slope of the first maximum, and no third is tried."""
    rng = np.random.default_rng(3)
    factor = np.zeros(121)
    for t in range(120):
        factor[t + 1] = 0.6 * factor[t] + rng.standard_normal()
    y = factor[1:, None] * [1.0, 0.8, -0.9, 0.7] + 0.6 * rng.standard_normal((120, 4))
    fit = sse.LGSSM(y, 1, identification="triangular").fit(cov_type="none")._fit
    assert isinstance(fit, FitResult)
    assert len(fit.starts) == fit.starts_at_best == 2


@pytest.mark.filterwarnings("ignore::statespace_ext.ConvergenceWarning")
@pytest.mark.parametrize("options", [{"method": "em", "maxiter": 3}, {"maxiter": 20}, {"method": "nm"}])
def test_other_starts_are_for_whole_gradient_fits(options: dict[str, Any]) -> None:
    y = np.random.default_rng(0).standard_normal((30, 3))
    model = sse.LGSSM(y, 1, identification="triangular")
    res = model.fit(cov_type="none", **{"maxiter": 2, **options})
    assert len(res._fit.starts) == 1


def test_which_starts_are_ahead() -> None:
    llf = {4: -10.0, 1: -3.0, 2: -3.0005, 7: -5.0, 3: -4.0}
    assert ahead(llf, 3) == [1, 3, 7]
    assert ahead(llf, 9) == [1, 3, 7, 4]


@pytest.mark.filterwarnings("ignore::statespace_ext.ConvergenceWarning")
def test_a_trial_without_a_likelihood_does_not_end_the_fit() -> None:
    """Beside a point that has one, an `UnsupportedError` says that the search went too far."""
    y = np.random.default_rng(1).standard_normal((60, 2)).cumsum(axis=0)
    model = sse.LGSSM(y, 1, identification="unit")
    best, whole, calls = model.fit().llf, model.loglike_and_score, []

    def often_unsupported(params: np.ndarray) -> tuple[float, np.ndarray]:
        calls.append(params)
        if len(calls) % 3 == 0:
            raise sse.UnsupportedError("too near to singular")
        return whole(params)

    model.loglike_and_score = often_unsupported
    assert_allclose(model.fit(cov_type="none").llf, best, rtol=0, atol=1e-2)
    assert len(calls) > 5
    model.loglike_and_score = lambda params: (_ for _ in ()).throw(sse.UnsupportedError("never"))
    model.private_smoother.loglike = model.loglike_and_score
    with pytest.raises(sse.UnsupportedError, match="never"):
        model.fit()


TAU = [0.25, 1, 2, 5, 7, 10]
UNIT_ROOT = random_panel(np.random.default_rng(4), 120, TAU, 3).to_numpy()
"""One least-squares root of these yields is above the bound of start values, and another is below it."""
TERM_STRUCTURES = {
    "jsz": {"k_factors": 3},
    "exact portfolios": {"k_factors": 3, "obs_cov": "exact-portfolios"},
    "jsz-pairs": {"k_factors": 3, "identification": "jsz-pairs"},
    "dai-singleton": {"k_factors": 2, "identification": "dai-singleton"},
    "afns": {"k_factors": 3, "identification": "afns"},
    "dns": {"k_factors": 3, "identification": "dns"},
    "diagonal": {"k_factors": 3, "identification": "afns", "p_dynamics": "diagonal"},
    "free prices of risk": {"k_factors": 2, "risk_prices": {"lambda_1": np.full((2, 2), np.nan)}},
    "one priced factor": {"k_factors": 2, "risk_prices": {"lambda_1": [[np.nan] * 2, [0.0] * 2]}},
}
CONTINUOUS = {
    **{
        name: (partial(sse.ATSM, maturities=TAU, dt=1 / 12, **spec), UNIT_ROOT)
        for name, spec in TERM_STRUCTURES.items()
    },
    **{name: (lambda y, s=s: s.build(y, s.x), s.y) for name, s in SUBJECTS.items()},
}


@pytest.mark.parametrize("name", CONTINUOUS)
def test_the_last_digits_of_the_data_do_not_choose_the_start(name: str) -> None:
    """Processors differ in them. A value at the bound of a condition must not pass it by its rounding."""
    build, y = CONTINUOUS[name]
    rng = np.random.default_rng(0)
    first = build(y).start_params
    size = np.abs(first) + 1e-3 * np.max(np.abs(first))
    for _ in range(6):
        other = build(y * (1.0 + 1e-13 * rng.standard_normal(y.shape))).start_params
        assert_allclose(other / size, first / size, rtol=0.0, atol=1e-3)


@pytest.mark.parametrize(("p", "k", "missing"), [(4, 1, 0.0), (40, 2, 0.05)])
def test_em_leaves_the_start_of_an_unstructured_obs_cov(p: int, k: int, missing: float) -> None:
    """The residuals of principal components have a singular covariance, which no step of EM changes."""
    rng = np.random.default_rng(1)
    factor = np.zeros((100, 1))
    for t in range(1, len(factor)):
        factor[t] = 0.8 * factor[t - 1] + rng.standard_normal(1)
    y = factor @ rng.standard_normal((1, p)) + rng.standard_normal((100, p))
    y[rng.random(y.shape) < missing] = np.nan
    model = sse.LGSSM(y, k, obs_cov="unstructured", identification="triangular")
    noise = model.matrices(model.start_params)["obs_cov"]
    size = np.sqrt(np.diag(noise))
    assert np.linalg.eigvalsh(noise / size / size[:, None])[0] > 1e-3
    with pytest.warns(sse.ConvergenceWarning, match="reached maxiter"):  # EM is slow here
        res = model.fit(method="accelerated-em", maxiter=5 if missing else 200, cov_type="none")
    assert np.isfinite(res.llf)
    if not missing:
        assert res.llf > model.fit(cov_type="none").llf - 0.5
