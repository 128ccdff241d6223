"""Starts at which some maturities are priced without error."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from statsmodels.tsa.api import VAR
from yields import random_panel, turning_panel

import statespace_ext as sse
from statespace_ext.term_structure.maxima import ExactYields, errors_may_vanish, without_error
from statespace_ext.term_structure.normalisation import candidates, cross_section

TAU = np.array([0.25, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0])


def without_noise(exact: list[int]) -> tuple[pd.DataFrame, np.ndarray]:
    """Return simulated yields of three factors, of which some maturities have no errors."""
    y, tau = turning_panel()
    model = sse.ATSM(y, tau, identification="jsz-pairs")
    at = {**model.matrices(model.start_params), "obs_cov": 1e-20 * np.eye(7)}
    draw = np.asarray(model.simulate(model.params_from_matrices(at), len(y), rng=0))
    noise = 0.0003 * np.random.default_rng(1).standard_normal(draw.shape)
    noise[:, exact] = 0.0
    return pd.DataFrame(draw + noise, index=y.index, columns=y.columns), tau


def test_likelihood_of_sets_is_that_of_regressions() -> None:
    """A VAR of the exact yields, by statsmodels, and normal errors with the variances of the others."""
    y = random_panel(np.random.default_rng(0), 80, TAU)
    model = sse.ATSM(y, TAU, 2)
    sample, sets = cross_section(model), np.array(list(itertools.combinations(range(len(TAU)), 2)))
    at = model.layout.matrices(candidates(model)[0])
    found = ExactYields(sample.yields).loglike(model.norm.slopes(at, sample), sets)
    B, values, n = model.loadings(candidates(model)[0], TAU)[1], y.to_numpy(), len(y)
    for i in (0, 9, 20):
        rest = np.setdiff1d(np.arange(len(TAU)), sets[i])
        errors = values[:, rest] - values[:, sets[i]] @ np.linalg.inv(B[sets[i]]).T @ B[rest].T
        moves = VAR(values[:, sets[i]]).fit(1).sigma_u_mle
        want = np.linalg.slogdet(moves)[1] + np.log(np.var(errors, axis=0)).sum()
        assert_allclose(found[i], -0.5 * n * (want + len(TAU) * (1 + np.log(2 * np.pi))), rtol=1e-8)


@pytest.mark.parametrize("identification", ["jsz-pairs", "dai-singleton-pairs"])
@pytest.mark.parametrize("exact", [[1, 3, 6], [0, 2, 5]])
def test_start_finds_the_maturities_without_errors(identification: str, exact: list[int]) -> None:
    """Its likelihood is far above that of the start with errors everywhere."""
    y, tau = without_noise(exact)
    model = sse.ATSM(y, tau, identification=identification)
    usual = candidates(model)[0]
    start = without_error(model, usual)[0]
    h = np.diag(model.matrices(start)["obs_cov"])
    assert np.flatnonzero(h < 1e-5 * np.median(h)).tolist() == exact
    assert model.loglike(start) > model.loglike(usual) + 30.0


def test_sets_that_led_to_a_maximum_are_left_out() -> None:
    y, tau = without_noise([1, 3, 6])
    model = sse.ATSM(y, tau)
    first = without_error(model, model.start_params, np.inf)
    known = {(1, 3, 6)}
    assert not without_error(model, model.start_params, 0.0, set(known))
    assert len(without_error(model, model.start_params, np.inf, known)) == len(first) - 1 == 3
    assert len(known) == 4
    assert not without_error(model, model.start_params, np.inf, known)


def test_a_trial_without_a_likelihood_does_not_end_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long step may make the slopes of a set singular."""
    y, tau = without_noise([1, 3, 6])
    model, loglike, calls = sse.ATSM(y, tau), ExactYields.loglike, itertools.count()

    def _once_singular(self: ExactYields, B: np.ndarray, sets: np.ndarray) -> np.ndarray:
        return loglike(self, 0.0 * B if next(calls) == 8 else B, sets)

    start = model.start_params
    monkeypatch.setattr(ExactYields, "loglike", _once_singular)
    assert len(without_error(model, start, np.inf)) == 4


def test_models_without_such_maxima() -> None:
    y = random_panel(np.random.default_rng(0), 40, TAU)
    assert errors_may_vanish(sse.ATSM(y, TAU, 2))
    for options in (
        {"obs_cov": "scalar"}, {"obs_cov": "exact-portfolios"}, {"initialization": "estimated"},
        {"macro": np.random.default_rng(1).standard_normal(40)}, {"k_factors": 7},
    ):  # fmt: skip
        assert not errors_may_vanish(sse.ATSM(y, TAU, **{"k_factors": 2, **options})), options


def test_many_maturities_cost_little() -> None:
    tau = np.arange(1, 61) / 4.0
    y = random_panel(np.random.default_rng(0), 60, tau)
    model = sse.ATSM(y, tau)
    assert np.isfinite(model.loglike(without_error(model, model.start_params)[0]))
