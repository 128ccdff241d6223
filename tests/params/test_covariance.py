"""Covariance structures: what is recognised, the transform, the estimate."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from oracle import richardson_gradient
from systems import examples

import statespace_ext as sse
from statespace_ext.params import covariance as covariance_module
from statespace_ext.params.affine import AffineMatrix, Pattern
from statespace_ext.params.covariance import (
    Chordal,
    CommonVariance,
    Equicorrelated,
    General,
    Multiple,
    Unstructured,
    precision_of,
    semidefinite_cholesky,
    sparse_cholesky,
    structure_of,
)
from statespace_ext.params.parse import parse_covariance

NAN = np.nan


def pattern(size: int, *edges: tuple[int, int]) -> np.ndarray:
    """Return a covariance matrix with free variances, and free covariances of the pairs given."""
    out = np.diag(np.full(size, NAN))
    for i, j in edges:
        out[i, j] = out[j, i] = NAN
    return out


BLOCKS = np.array([[NAN, 0, NAN], [0, NAN, 0], [NAN, 0, NAN]])
SPECIFICATIONS = {
    "unstructured": (3, "unstructured", Unstructured),
    "unstructured, two": (2, "unstructured", Unstructured),
    "blocks": (3, BLOCKS, Unstructured),
    "block and zero": (3, [[NAN, NAN, 0], [NAN, NAN, 0], [0, 0, 0]], Unstructured),
    "block and fixed": (3, [[NAN, NAN, 0], [NAN, NAN, 0], [0, 0, 2]], Unstructured),
    "one": (1, "unstructured", CommonVariance),
    "diagonal": (3, "diagonal", CommonVariance),
    "scalar": (3, "scalar", CommonVariance),
    "grouped": (3, [["v", 0, 0], [0, "w", 0], [0, 0, "v"]], CommonVariance),
    "multiples": (3, [["v", 0, 0], [0, "2*v", 0], [0, 0, "w"]], CommonVariance),
    "diagonal, one fixed": (3, np.diag([NAN, 2, NAN]), CommonVariance),
    "diagonal, one zero": (3, np.diag([NAN, 0, NAN]), CommonVariance),
    "equicorrelated": (3, "equicorrelated", Equicorrelated),
    "equicorrelated, two": (2, "equicorrelated", Equicorrelated),
    "equicorrelated, four": (4, "equicorrelated", Equicorrelated),
    "equicorrelated and zero": (
        4,
        [["v", "c", 0, "c"], ["c", "v", 0, "c"], [0] * 4, ["c", "c", 0, "v"]],
        Equicorrelated,
    ),
    "equicorrelated, by strings": (2, [["v", "c"], ["c", "v"]], Equicorrelated),
    "band": (3, [[NAN, NAN, 0], [NAN, NAN, NAN], [0, NAN, NAN]], Chordal),
    "chain out of order": (4, pattern(4, (0, 2), (1, 2), (1, 3)), Chordal),
    "star": (4, pattern(4, (0, 1), (0, 2), (0, 3)), Chordal),
    "one zero of four": (4, pattern(4, (0, 1), (0, 2), (1, 2), (1, 3), (2, 3)), Chordal),
    "two triangles and a row": (
        6,
        pattern(6, (0, 4), (0, 2), (2, 4), (2, 5), (4, 5)),
        Chordal,
    ),
    "cycle": (4, pattern(4, (0, 1), (1, 2), (2, 3), (0, 3)), General),
    "fixed variance": (2, [[1, NAN], [NAN, NAN]], General),
    "fixed covariance": (2, [[NAN, 0.2], [0.2, NAN]], General),
    "common variance, fixed covariance": (2, [["v", 0.2], [0.2, "v"]], General),
    "sums": (3, [["v", 0, 0], [0, "v + w", 0], [0, 0, "w"]], General),
    "shared covariance": (3, [["a", "c", "c"], ["c", "b", 0], ["c", 0, "d"]], General),
    "scaled": (2, [["v", "0.5*v"], ["0.5*v", "v"]], Multiple),
    "offset": (2, [["1 + v", 0], [0, "v"]], General),
    "variance is covariance": (2, [["v", "v"], ["v", "w"]], General),
    "two equal variances": (2, [["v", "c"], ["c", "v"]], Equicorrelated),
    "common variance, two covariances": (3, [["v", "c", "d"], ["c", "v", "c"], ["d", "c", "v"]], General),
}


def matrix_of(name: str) -> AffineMatrix:
    size, value, _ = SPECIFICATIONS[name]
    return parse_covariance(
        value, size, "obs_cov", lambda i, j: f"var.{i}" if i == j else f"cov.{max(i, j)}.{min(i, j)}"
    )


def covariance(matrix: AffineMatrix, params: np.ndarray) -> np.ndarray:
    return matrix.values(dict(zip(matrix.param_names, params, strict=True)))


def random_params(matrix: AffineMatrix, rng: np.random.Generator) -> np.ndarray:
    """Parameters of a positive definite matrix: variances large beside covariances."""
    on_diagonal = {
        name for name, i, j in zip(matrix.names, matrix.rows, matrix.columns, strict=True) if i == j
    }
    while True:
        bounds = [(0.5, 3.0) if name in on_diagonal else (-0.6, 0.6) for name in matrix.param_names]
        params = rng.uniform(*np.array(bounds).T)
        if np.linalg.eigvalsh(covariance(matrix, params))[0] > -1e-12:
            return params


@pytest.mark.parametrize("name", SPECIFICATIONS)
def test_the_structure_is_recognised(name: str) -> None:
    structure = structure_of(matrix_of(name))
    assert type(structure) is SPECIFICATIONS[name][2]
    assert structure.param_names == matrix_of(name).param_names


# -- the transform ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", SPECIFICATIONS)
def test_round_trip(name: str, seed: int) -> None:
    matrix = matrix_of(name)
    structure, params = structure_of(matrix), random_params(matrix, np.random.default_rng(seed))
    assert_allclose(structure.constrain(structure.unconstrain(params)), params, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", SPECIFICATIONS)
def test_jacobian(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = matrix_of(name)
    structure = structure_of(matrix)
    for z in (
        structure.unconstrain(random_params(matrix, rng)),
        rng.standard_normal(len(matrix.param_names)),
    ):
        want = richardson_gradient(structure.constrain, z, step=np.full(z.shape, 0.01))
        assert_allclose(structure.jacobian(z), want, rtol=1e-9, atol=1e-9)
        if isinstance(structure, Chordal):
            slope = rng.standard_normal(len(z))
            assert_allclose(structure.vjp(z, slope), structure.jacobian(z).T @ slope, rtol=1e-13, atol=1e-13)


def test_covariances_between_free_variances_are_reached_through_correlations() -> None:
    """Of the general structure: those of a row with a fixed variance are left as they are."""
    value = pattern(4, (0, 1), (1, 2), (2, 3), (0, 3))
    value[3, 3] = 2.0
    matrix = parse_covariance(value, 4, "obs_cov", lambda i, j: f"{max(i, j)}{min(i, j)}")
    params = random_params(matrix, np.random.default_rng(0))
    at = dict(zip(matrix.param_names, params, strict=True))
    z = dict(zip(matrix.param_names, structure_of(matrix).unconstrain(params), strict=True))
    for name in ("10", "21"):
        first, second = (at[2 * row] for row in name)
        assert_allclose(z[name], at[name] / np.sqrt(first * second), rtol=1e-14)
    assert (z["30"], z["32"]) == (at["30"], at["32"])


@examples(50)
@given(
    st.sampled_from([name for name, (_, _, kind) in SPECIFICATIONS.items() if kind is not General]),
    st.integers(0, 999),
)
def test_any_unconstrained_vector_is_a_covariance(name: str, seed: int) -> None:
    matrix = matrix_of(name)
    z = 3 * np.random.default_rng(seed).standard_normal(len(matrix.param_names))
    cov = covariance(matrix, structure_of(matrix).constrain(z))
    assert np.linalg.eigvalsh(cov)[0] > -1e-12 * np.abs(cov).max()


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_singular_matrices_survive_the_round_trip(rank: int) -> None:
    rng = np.random.default_rng(rank)
    for name in ("unstructured", "blocks"):
        matrix = matrix_of(name)
        structure = structure_of(matrix)
        factor = rng.standard_normal((3, rank))
        cov = factor @ factor.T * np.where(np.isnan(BLOCKS), 1, 0 if name == "blocks" else 1)
        lower = {
            text: cov[i, j] for text, i, j in zip(matrix.names, matrix.rows, matrix.columns, strict=True)
        }
        params = np.array([lower[text] for text in matrix.param_names])
        assert_allclose(structure.constrain(structure.unconstrain(params)), params, atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", [name for name, (_, _, kind) in SPECIFICATIONS.items() if kind is Chordal])
def test_singular_matrices_with_zeros_survive_the_round_trip(name: str, seed: int) -> None:
    """A sum of v v', each v zero outside of one clique, is in the pattern; it may have any rank."""
    rng = np.random.default_rng(seed)
    matrix = matrix_of(name)
    structure, size = structure_of(matrix), matrix.shape[0]
    assert isinstance(structure, Chordal)
    cov = np.zeros((size, size))
    for number in rng.choice(size, size=seed, replace=False):
        v = np.zeros(size)
        clique = structure.cliques[number]
        v[clique] = rng.standard_normal(len(clique))
        cov += np.outer(v, v)
    params = np.zeros(len(matrix.param_names))
    params[[matrix.param_names.index(text) for text in matrix.names]] = cov[matrix.rows, matrix.columns]
    assert_allclose(covariance(matrix, params), cov, rtol=1e-15)
    assert_allclose(structure.constrain(structure.unconstrain(params)), params, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("diagonal", [0.0, 1.0, 0.0]),
        ("scalar", [0.0]),
        ("equicorrelated", [1.0, 1.0]),  # perfect correlation
        ("equicorrelated", [1.0, -0.5]),  # the smallest
        ("equicorrelated", [0.0, 0.0]),
        ("equicorrelated, by strings", [2.0, -2.0]),
        ("band", [0.0, 0.0, 1.0, 0.3, 1.0]),
        ("band", [0.0, 0.0, 0.0, 0.0, 0.0]),
    ],
)
def test_boundaries_survive_the_round_trip(name: str, params: list) -> None:
    structure = structure_of(matrix_of(name))
    z = structure.unconstrain(np.array(params))
    assert np.all(np.isfinite(z))
    assert_allclose(structure.constrain(z), params, atol=1e-12)


# -- the estimate ----------------------------------------------------------------------------------------


def objective(cov: np.ndarray, target: np.ndarray) -> float:
    noisy = np.diag(cov) != 0
    cov, target = cov[np.ix_(noisy, noisy)], target[np.ix_(noisy, noisy)]
    return -np.linalg.slogdet(cov)[1] - np.trace(np.linalg.solve(cov, target))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "name", [name for name, (_, _, kind) in SPECIFICATIONS.items() if kind not in (General, Chordal)]
)
def test_the_estimate_is_the_maximiser(name: str, seed: int) -> None:
    """No slope, and no random neighbour is higher."""
    rng = np.random.default_rng(seed)
    matrix = matrix_of(name)
    structure, size = structure_of(matrix), matrix.shape[0]
    draws = rng.standard_normal((30, size)) @ rng.standard_normal((size, size))
    target = draws.T @ draws / 30
    estimate = structure.estimate(target)

    def value(params: np.ndarray) -> float:
        return objective(covariance(matrix, params), target)

    slope = richardson_gradient(value, estimate, step=np.full(estimate.shape, 1e-3 * np.abs(estimate).max()))
    assert np.abs(slope * np.abs(estimate).max()).max() < 1e-7
    z = structure.unconstrain(estimate)
    for _ in range(20):
        other = structure.constrain(z + 0.1 * rng.standard_normal(len(z)))
        assert value(other) < value(estimate)


@pytest.mark.parametrize(
    "name", [name for name, (_, _, kind) in SPECIFICATIONS.items() if kind in (General, Chordal)]
)
def test_no_closed_form_is_claimed_where_there_is_none(name: str) -> None:
    assert structure_of(matrix_of(name)).estimate(np.eye(matrix_of(name).shape[0])) is None


def test_the_structure_of_a_matrix_with_a_parameter_held_fixed() -> None:
    """A fixed covariance is not an unstructured matrix any more: its Cholesky factor would be wrong."""
    free = matrix_of("unstructured")
    assert type(structure_of(free.fix({"cov.1.0": 0.0}))) is Chordal
    assert type(structure_of(free.fix({"cov.1.0": 0.3}))) is General
    assert type(structure_of(free.fix({"var.0": 1.0}))) is General
    held = {"cov.1.0": 0.0, "cov.2.0": 0.0}
    assert structure_of(free.fix(held)).param_names == ["var.0", "var.1", "cov.2.1", "var.2"]
    assert type(structure_of(free.fix(held))) is Unstructured
    assert type(structure_of(matrix_of("diagonal").fix({"var.1": 2.0}))) is CommonVariance
    assert type(structure_of(matrix_of("equicorrelated").fix({"cov": 0.0}))) is CommonVariance
    assert type(structure_of(matrix_of("equicorrelated").fix({"cov": 0.1}))) is General


# -- helpers ---------------------------------------------------------------------------------------------


def test_precision_of() -> None:
    full = np.array([[2.0, 0.5], [0.5, 1.0]])
    assert_allclose(precision_of(full), np.linalg.inv(full))
    padded = np.zeros((3, 3))
    padded[np.ix_([0, 2], [0, 2])] = full
    found = precision_of(padded)
    assert_allclose(found[np.ix_([0, 2], [0, 2])], np.linalg.inv(full))
    assert_array_equal(found[1], 0)
    assert_array_equal(precision_of(np.zeros((2, 2))), np.zeros((2, 2)))


@pytest.mark.parametrize("rank", [0, 1, 2, 3, 4])
def test_semidefinite_cholesky(rank: int) -> None:
    factor = np.random.default_rng(rank).standard_normal((4, rank))
    cov = factor @ factor.T
    lower = semidefinite_cholesky(cov)
    assert_allclose(lower @ lower.T, cov, atol=1e-12)
    assert_array_equal(lower, np.tril(lower))
    assert np.all(np.diag(lower) >= 0)


@pytest.mark.parametrize("function", [semidefinite_cholesky, sparse_cholesky])
def test_semidefinite_cholesky_of_an_indefinite_matrix(function: Callable[[np.ndarray], np.ndarray]) -> None:
    with pytest.raises(np.linalg.LinAlgError):
        function(np.array([[1.0, 2.0], [2.0, 1.0]]))


@pytest.mark.parametrize("name", ["cycle", "fixed variance", "fixed covariance", "shared covariance"])
def test_variances_of_a_general_matrix_are_squares(name: str) -> None:
    """Whatever the optimiser tries, a variance with a parameter of its own is not negative."""
    matrix = matrix_of(name)
    structure = structure_of(matrix)
    free = matrix.rows == matrix.columns
    variances = [structure.param_names.index(matrix.names[place]) for place in np.flatnonzero(free)]
    tried = np.full(len(structure.param_names), -1.5)
    assert_allclose(structure.constrain(tried)[variances], 2.25)


def test_equicorrelated_parameters_in_the_other_order() -> None:
    matrix = matrix_of("equicorrelated")
    order = np.argsort(matrix.rows == matrix.columns, kind="stable")  # the covariance comes first
    turned = AffineMatrix(
        matrix.fixed, matrix.rows[order], matrix.columns[order],
        tuple(matrix.names[i] for i in order), matrix.coefs[order],
    )  # fmt: skip
    structure, plain = structure_of(turned), structure_of(matrix)
    assert structure.param_names == plain.param_names[::-1]
    z = np.array([1.4, 0.6])
    assert_allclose(structure.constrain(z), plain.constrain(z)[::-1])
    assert_allclose(structure.unconstrain(structure.constrain(z)), z)
    assert_allclose(structure.jacobian(z), plain.jacobian(z)[::-1])
    target = np.cov(np.random.default_rng(0).standard_normal((3, 9)))
    assert_allclose(structure.estimate(target), plain.estimate(target)[::-1])


class Circulant(General):
    """Four rows in a circle: products of such matrices are such, so that averages are the estimate."""

    @classmethod
    def of(cls, pattern: Pattern) -> Circulant | None:
        names = np.zeros(pattern.matrix.shape, dtype=object)
        names[pattern.matrix.rows, pattern.matrix.columns] = pattern.matrix.names
        turned = np.roll(np.roll(names, 1, axis=0), 1, axis=1)
        return cls(pattern.matrix) if pattern.plain and len(names) == 4 and np.all(names == turned) else None

    def __init__(self, matrix: AffineMatrix) -> None:
        super().__init__(matrix)
        self._matrix = matrix

    def estimate(self, target: np.ndarray) -> np.ndarray:
        found = target[self._matrix.rows, self._matrix.columns]
        names = np.array(self._matrix.names)
        return np.array([found[names == name].mean() for name in self.param_names])


def test_a_structure_is_added_in_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """EM with its closed form reaches where Fisher scoring of the general structure does."""
    circle = [list("vcdc"), list("cvcd"), list("dcvc"), list("cdcv")]
    y = np.random.default_rng(0).standard_normal((60, 4)) + np.random.default_rng(1).standard_normal((60, 1))

    start = sse.LGSSM(y, 1, obs_cov=circle, state_cov="identity").start_params

    def fitted() -> tuple[str, np.ndarray]:
        model = sse.LGSSM(y, 1, obs_cov=circle, state_cov="identity")
        params = model.fit(start, method="em", maxiter=10, tolerance=0.0, return_params=True)
        return type(model.layout.structures["obs_cov"]).__name__, params

    name, general = fitted()
    assert name == "General"
    monkeypatch.setattr(covariance_module, "STRUCTURES", [*covariance_module.STRUCTURES, Circulant.of])
    name, own = fitted()
    assert name == "Circulant"
    assert_allclose(own, general, rtol=1e-7, atol=1e-8)


FULL, OTHER = [["a", "b"], ["b", "c"]], [["d", "e"], ["e", "f"]]
OVER_TIME = {
    "unshared": ([FULL, OTHER], Unstructured),
    "unshared, one diagonal": ([FULL, [["d", 0], [0, "e"]]], Unstructured),
    "scales of one": ([FULL, [["3*a", "3*b"], ["3*b", "3*c"]]], Unstructured),
    "variances": ([[["a", 0], [0, "b"]], [["c", 0], [0, "b"]]], CommonVariance),
    "multiples": ([[["a", 0], [0, "b"]], [["2*a", 0], [0, "b"]]], CommonVariance),
    "shared": ([FULL, [["a", 0], [0, "d"]]], General),
}


@pytest.mark.parametrize("case", OVER_TIME)
def test_structures_of_regimes(case: str) -> None:
    """The transform gives covariance matrices in all regimes, and any of them."""
    patterns, kind = OVER_TIME[case]
    value = sse.Regimes([0, 1, 1, 0], dict(enumerate(patterns)))
    matrix = parse_covariance(value, 2, "obs_cov", lambda i, j: "", 4)
    structure = structure_of(matrix)
    assert type(structure) is kind
    assert set(structure.param_names) == set(matrix.param_names)
    z = np.random.default_rng(2).normal(size=len(structure.param_names))
    values = dict(zip(structure.param_names, structure.constrain(z), strict=True))
    if kind is not General:
        assert np.all(np.linalg.eigvalsh(np.moveaxis(matrix.values(values), 2, 0)) > -1e-12)
    again = structure.constrain(structure.unconstrain(structure.constrain(z)))
    assert_allclose(again, structure.constrain(z), rtol=1e-9)
