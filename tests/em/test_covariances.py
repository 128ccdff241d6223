"""Scoring steps for covariance matrices, from starts at which a full step leads too far."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
from numpy.testing import assert_allclose

from statespace_ext.em.covariances import CovarianceTerm, update_covariance
from statespace_ext.em.moments import Regression
from statespace_ext.params.layout import ParameterLayout
from statespace_ext.params.parse import parse_matrix

SUMS = [["v", 0, 0], [0, "v + w", 0], [0, 0, "w"]]
COMMON = [["v + w", "v", "v"], ["v", "v + 2*w", "v"], ["v", "v", "v + 3*w"]]


def terms_of(*matrices: object, n: float = 7.0) -> tuple[ParameterLayout, list[CovarianceTerm]]:
    """Matrices in the parameters v and w, and a random residual matrix for each."""
    rng = np.random.default_rng(3)
    blocks = {
        f"H{i}": parse_matrix(matrix, (3, 3), f"H{i}", lambda i, j: f"h{i}{j}")
        for i, matrix in enumerate(matrices)
    }
    layout = ParameterLayout(blocks, frozenset(blocks))
    out = []
    for key, block in blocks.items():
        root = rng.standard_normal((3, 3)) * np.array([[0.2], [1.0], [2.0]])
        sums = Regression((root @ root.T)[None], np.zeros((1, 3, 1)), np.zeros((1, 1, 1)), np.array([n]))
        index, places = layout.index[key], layout.places[key]
        out.append(CovarianceTerm(block, index, sums, layout.recognised[key], places))
    return layout, out


@pytest.mark.parametrize("matrices", [(SUMS,), (COMMON,), (SUMS, COMMON)])
def test_every_start_leads_to_the_numerical_maximum(matrices: tuple) -> None:
    layout, terms = terms_of(*matrices)

    def minus(params: np.ndarray) -> float:
        total = 0.0
        for key, term in zip(layout.blocks, terms, strict=True):
            cov = layout.matrices(params)[key]
            if np.linalg.eigvalsh(cov)[0] <= 0.0:
                return 1e10
            total += 7.0 * np.linalg.slogdet(cov)[1] + np.trace(np.linalg.solve(cov, term.regression.ee[0]))
        return 0.5 * total

    options = {"xatol": 1e-9, "fatol": 1e-13}
    found = scipy.optimize.minimize(minus, np.ones(2), method="Nelder-Mead", options=options)
    for start in np.exp(np.random.default_rng(4).uniform(-6.0, 6.0, (20, 2))):
        params = update_covariance(terms, start)
        assert_allclose(sum(term.objective(params) for term in terms), -found.fun, rtol=1e-10)
        assert_allclose(params, found.x, rtol=1e-4)
