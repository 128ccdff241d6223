"""Tests of forecasts against each other: the statistic by hand."""

from __future__ import annotations

import numpy as np
from numpy.testing import assert_allclose
from scipy import stats

from statespace_ext.inference.evaluation import diebold_mariano


def test_diebold_mariano() -> None:
    """With one lag, against the formula; by hand."""
    loss = np.random.default_rng(0).standard_normal(50) + 0.3
    t, pvalue = diebold_mariano(loss)
    assert_allclose(t, loss.mean() / np.sqrt(loss.var() / 49), rtol=1e-12)  # the correction for h = 1
    assert_allclose(pvalue, 2 * stats.t.sf(abs(t), 49))
    d = loss - loss.mean()
    variance = (d @ d + 2 * d[1:] @ d[:-1]) / 50
    correction = (50 + 1 - 4 + 2 / 50) / 50
    want = np.sqrt(correction) * loss.mean() / np.sqrt(variance / 50)
    assert_allclose(diebold_mariano(np.append(loss, np.nan), 2)[0], want)
    sawtooth = np.tile([1.0, -1.0], 10) + 0.1
    assert np.isfinite(diebold_mariano(sawtooth, 2)[0])  # the plain sum of autocovariances is negative
    for degenerate in (np.zeros(20), np.ones(2)):
        assert np.isnan(diebold_mariano(degenerate)).all()
