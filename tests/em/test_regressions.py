"""Expected sums against sums over data; the M-step against a dense kron, and scoring steps of covariances."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
from numpy.testing import assert_allclose, assert_array_equal

from statespace_ext.em.regressions import (
    CovarianceTerm,
    Regression,
    StackedCoefficients,
    scoring_step,
    update_covariance,
)
from statespace_ext.params.affine import Elements
from statespace_ext.params.layout import ParameterLayout
from statespace_ext.params.parse import parse_matrix

NAN = np.nan
P, K = 3, 2
FULL = np.array([[1.0, 0.4, 0.1], [0.4, 2.0, -0.3], [0.1, -0.3, 0.5]])
CASES = {
    # name: (design, intercept, precision)
    "free": ("free", "free", FULL),
    "free, no intercept": ("free", "zero", FULL),
    "rows alike": ([[NAN, 1]] * 3, "free", FULL),
    "rows differ": ([[NAN, 1], [NAN, NAN], [0, NAN]], "free", FULL),
    "rows differ, diagonal": ([[NAN, 1], [NAN, NAN], [0, NAN]], "free", np.diag([1.0, 2, 3])),
    "a row is fixed": ([[NAN, NAN], [1, 0], [NAN, NAN]], [NAN, 0, NAN], FULL),
    "shared": ([["a", "b"], ["b", "a"], ["a", 0]], "zero", FULL),
    "combined": ([["a", "2*b"], ["a + b", 1], ["1 - a", "a"]], ["a", "c", NAN], FULL),
    "scaled": ([["2*a", 0], [0, 1], [0, 0]], "zero", np.diag([1.0, 2, 3])),
    "without noise in a row": ([[NAN, NAN], [NAN, NAN], [1, 0]], [NAN, NAN, 0], np.diag([1.0, 2, 0])),
}


def stacked(design: object, intercept: object) -> tuple[StackedCoefficients, int]:
    blocks = {
        "Z": parse_matrix(design, (P, K), "Z", lambda i, j: f"z{i}{j}"),
        "d": parse_matrix(intercept, (P, 1), "d", lambda i, j: f"d{i}"),
    }
    layout = ParameterLayout(blocks, frozenset())
    elements = [
        Elements(block.rows, block.columns + first, layout.index[key], block.coefs)
        for (key, block), first in zip(blocks.items(), (0, K), strict=True)
    ]
    return StackedCoefficients(elements, (P, K + 1), len(layout)), len(layout)


def random_regression(groups: int) -> Regression:
    rng = np.random.default_rng(groups)
    errors, regressors = rng.standard_normal((groups, 9, P)), rng.standard_normal((groups, 9, K + 1))
    moved = [np.swapaxes(array, 1, 2) for array in (errors, regressors)]
    return Regression(moved[0] @ errors, moved[0] @ regressors, moved[1] @ regressors, np.full(groups, 9.0))


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("case", CASES)
def test_the_step_is_generalised_least_squares(case: str, groups: int) -> None:
    design, intercept, precision = CASES[case]
    coefficients, size = stacked(design, intercept)
    regression = random_regression(groups)
    precisions = np.stack([precision * (1 + g) for g in range(groups)])
    D = np.stack([coefficients.change(e).ravel(order="F") for e in np.eye(size)], axis=1)
    left = sum(D.T @ np.kron(bb, pi) @ D for bb, pi in zip(regression.bb, precisions, strict=True))
    right = sum(D.T @ (pi @ eb).ravel(order="F") for eb, pi in zip(regression.eb, precisions, strict=True))
    assert_allclose(
        coefficients.step(regression, precisions), np.linalg.solve(left, right), rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("case", CASES)
def test_the_precision_matters_unless_all_rows_are_alike(case: str) -> None:
    design, intercept, _ = CASES[case]
    alike = case in ("free", "free, no intercept", "rows alike")
    assert stacked(design, intercept)[0].weighted(random_regression(1)) is not alike
    assert stacked(design, intercept)[0].weighted(random_regression(4))


def test_the_fast_way_is_taken_where_it_is_right() -> None:
    assert stacked("free", "free")[0].row_groups is not None
    assert stacked([["2*a", 0], [0, 1], [0, 0]], "zero")[0].row_groups is None
    assert stacked([["a", "a"], [0, 1], [0, 0]], "zero")[0].row_groups is None


def test_directions_without_information_are_left() -> None:
    """A regressor that is zero throughout: its coefficient stays, the others move."""
    coefficients, _ = stacked("free", "zero")
    regression = random_regression(1)
    keep = np.array([1.0, 0.0, 1.0])
    regression = Regression(
        regression.ee, regression.eb * keep, regression.bb * np.outer(keep, keep), regression.n
    )
    change = coefficients.change(coefficients.step(regression, FULL[None]))
    assert_allclose(change[:, 1], 0)
    assert np.all(change[:, 0] != 0)


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
    for key in blocks:
        root = rng.standard_normal((3, 3)) * np.array([[0.2], [1.0], [2.0]])
        sums = Regression((root @ root.T)[None], np.zeros((1, 3, 1)), np.zeros((1, 1, 1)), np.array([n]))
        out.append(CovarianceTerm(layout, key, sums))
    return layout, out


def test_a_row_without_noise_is_left_out_of_the_objective() -> None:
    _, (term,) = terms_of([["v + w", "v", 0], ["v", "v + 2*w", 0], [0, 0, 0]])
    found = update_covariance([term], np.array([1.0, 1.0]))
    assert_allclose(scoring_step([term], found), 0.0, atol=1e-6)
    for move in 0.001 * np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]):
        assert np.isfinite(term.objective(found + move)) and term.objective(found + move) < term.objective(
            found
        )


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


_RNG = np.random.default_rng(90)
ERRORS, REGRESSORS = _RNG.standard_normal((12, 2)), _RNG.standard_normal((12, 3))


def sums(errors: np.ndarray, regressors: np.ndarray, grouped: bool = False) -> Regression:
    """The sums of data that are known, in one group or one by period."""
    parts = [
        np.einsum("ti,tj->tij", a, b)
        for a, b in ((errors, errors), (errors, regressors), (regressors, regressors))
    ]
    if grouped:
        return Regression(*parts, np.ones(len(errors)))
    return Regression(*(part.sum(axis=0, keepdims=True) for part in parts), np.array([float(len(errors))]))


def assert_same(found: Regression, want: Regression) -> None:
    for name in ("ee", "eb", "bb", "n"):
        assert_allclose(getattr(found, name), getattr(want, name), atol=1e-12)


@pytest.mark.parametrize("grouped", [False, True])
def test_shifted(grouped: bool) -> None:
    change = _RNG.standard_normal((2, 3))
    start = sums(ERRORS, REGRESSORS, grouped)
    assert_same(start.shifted(change), sums(ERRORS - REGRESSORS @ change.T, REGRESSORS, grouped))
    assert_same(start.shifted(change).shifted(-change), start)
    assert_array_equal(start.ee, sums(ERRORS, REGRESSORS, grouped).ee)


@pytest.mark.parametrize("grouped", [False, True])
def test_rows(grouped: bool) -> None:
    start = sums(ERRORS, REGRESSORS, grouped)
    assert_same(start.rows(np.array([1])), sums(ERRORS[:, [1]], REGRESSORS, grouped))


def test_mean() -> None:
    for grouped in (False, True):
        assert_allclose(sums(ERRORS, REGRESSORS, grouped).mean, ERRORS.T @ ERRORS / 12)
