"""
Simulate and recover: are parameters within the standard errors that a fit gives, as often as they should be?

    python -m pytest -m slow -s tests/term_structure/test_recovery.py

prints the table of docs/atsm_recovery.md. The simulation shares no code with the library: independent factors
have closed forms for a step, and the convexity of the yields is a quadrature.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.stats

import statespace_ext as sse

TAU = np.array([0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0])
DT, MONTHS, REPLICATIONS = 1.0 / 12.0, 480, 100
DECAY = 0.5975
K = np.array([0.0816, 0.2114, 1.233])
THETA = np.array([0.0710, -0.0282, -0.0093])
SIGMA = np.array([0.0051, 0.0110, 0.0264])
"""Christensen, Diebold & Rudebusch (2011), table 3."""
NOISE = np.array([13, 5, 7, 11, 11, 6, 3, 4, 7, 5, 3, 4]) * 1e-4
TRUTH = np.concatenate([[DECAY], K, K * THETA, SIGMA**2, NOISE**2])
DRIFT = slice(1, 7)
"""Places of K_P and kappa_P, which 40 years of persistent factors tell little of."""
CERTAIN = 1e-4
"""Chance with which a right model and right standard errors would fail a check."""


def slopes(tau: np.ndarray) -> np.ndarray:
    """Return minus b(tau) of the three factors."""
    decline = -np.expm1(-DECAY * tau) / DECAY
    return np.stack([tau, decline, decline - tau * np.exp(-DECAY * tau)], axis=-1)


def intercepts() -> np.ndarray:
    """Return A(tau) = -(1 / 2 tau) int_0^tau b' Sigma Sigma' b."""
    nodes, weights = np.polynomial.legendre.leggauss(40)
    times = TAU[:, None] * (nodes + 1.0) / 2.0
    return -0.25 * (slopes(times) ** 2 @ SIGMA**2) @ weights


def simulated(rng: np.random.Generator) -> np.ndarray:
    """Return yields by month and maturity."""
    decline, spread = np.exp(-K * DT), SIGMA / np.sqrt(2.0 * K)
    step = spread * np.sqrt(-np.expm1(-2.0 * K * DT))
    states = np.empty((MONTHS, 3))
    state = THETA + spread * rng.standard_normal(3)
    for t in range(MONTHS):
        states[t] = state
        state = THETA + decline * (state - THETA) + step * rng.standard_normal(3)
    loadings = slopes(TAU) / TAU[:, None]
    return intercepts() + states @ loadings.T + NOISE * rng.standard_normal((MONTHS, len(TAU)))


def recovered() -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
    """Return names, estimates and standard errors by replication, and 2 (llf - llf at the truth)."""
    rng = np.random.default_rng(20110901)
    estimates, errors, ratios = [], [], []
    for _ in range(REPLICATIONS):
        model = sse.ATSM(
            simulated(rng), TAU, identification="afns", p_dynamics="diagonal", state_cov="diagonal", dt=DT
        )
        res = model.fit(method="mle")
        assert res.converged
        estimates.append(np.asarray(res.params))
        errors.append(np.asarray(res.bse))
        ratios.append(2.0 * (res.llf - model.loglike(TRUTH)))
    return model.param_names, np.array(estimates), np.array(errors), np.array(ratios)


def table(names: list[str], estimates: np.ndarray, errors: np.ndarray) -> pd.DataFrame:
    """Return bias, spread and misses by parameter."""
    z = (estimates - TRUTH) / errors
    out = pd.DataFrame({"true": TRUTH, "mean": estimates.mean(axis=0)}, index=names)
    out["bias/sd"] = (estimates.mean(axis=0) - TRUTH) / estimates.std(axis=0)
    out["mean se/sd"] = errors.mean(axis=0) / estimates.std(axis=0)
    out["> 1.96 se"] = np.sum(np.abs(z) > 1.96, axis=0)
    out["> 3 se"] = np.sum(np.abs(z) > 3.0, axis=0)
    return out


def rate_of(width: float) -> float:
    """Return the chance of a normal deviate beyond a number of standard errors."""
    return float(2.0 * scipy.stats.norm.sf(width))


@pytest.mark.slow
def test_parameters_are_recovered() -> None:
    names, estimates, errors, ratios = recovered()
    found = table(names, estimates, errors)
    with pd.option_context("display.width", 120, "display.max_columns", None, "display.precision", 3):
        print(f"\n{found}\n2 (llf - llf at the truth): mean {ratios.mean():.1f}, chi-squared({len(TRUTH)})")
    certain = np.ones(len(TRUTH), bool)
    certain[DRIFT] = False
    for width, column in ((1.96, "> 1.96 se"), (3.0, "> 3 se")):
        rate, misses = rate_of(width), found[column].to_numpy()
        assert misses.max() <= scipy.stats.binom.isf(CERTAIN, REPLICATIONS, rate), column
        together = scipy.stats.binom(REPLICATIONS * certain.sum(), rate)
        assert together.ppf(CERTAIN) <= misses[certain].sum() <= together.isf(CERTAIN), column
    assert scipy.stats.kstest(ratios, scipy.stats.chi2(len(TRUTH)).cdf).pvalue > CERTAIN
