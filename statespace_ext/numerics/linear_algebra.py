"""Small dense linear algebra: symmetric matrices, stability, rotations."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, cast

import numpy as np
import scipy.linalg
from numpy.typing import DTypeLike, NDArray
from scipy.linalg.blas import dgemm
from scipy.linalg.lapack import dgesv, dposv

Array = NDArray[Any]
"""An array of floats, unless the docstring says integers or booleans."""

STABILITY_LIMIT = 1.0 - 1e-10
"""Largest modulus of an eigenvalue for which a stationary start is accepted (the limit of statsmodels)."""


_FEW = 32
"""Number of columns up to which a product is faster as any product than as one with itself."""

NOT_HERE = (np.linalg.LinAlgError, ValueError, ArithmeticError)
"""What numpy, scipy and statsmodels raise where there is no likelihood: no inverse, no stationary start."""


def quiet() -> np.errstate:
    """Return a context in which overflow gives infinity and 0/0 NaN, for a caller that checks for them."""
    return np.errstate(over="ignore", invalid="ignore", divide="ignore")


class _Diagonal(np.lib.mixins.NDArrayOperatorsMixin):
    """Diagonal matrices (..., p, p) of which only the diagonals are stored; see `diagonal_matrix`."""

    def __init__(self, entries: Array) -> None:
        self._entries = entries
        self.shape, self.ndim = (*entries.shape, entries.shape[-1]), entries.ndim + 1

    @property
    def T(self) -> _Diagonal:
        """The matrix itself."""
        return self

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
        """Return the diagonals, as `numpy.ndarray.diagonal` does."""
        if offset == 0 and {axis1 % self.ndim, axis2 % self.ndim} == {self.ndim - 2, self.ndim - 1}:
            return self._entries
        return self.__array__().diagonal(offset, axis1, axis2)

    def sum(self, axis: int | None = None, **kwargs: Any) -> _Diagonal | Array:
        """Return the sum over an axis, which is diagonal over the first of three."""
        if axis == 0 and self.ndim == 3:
            return _Diagonal(self._entries.sum(axis=0))
        return self.__array__().sum(axis=axis, **kwargs)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> _Diagonal | Array:
        if key is None or self.ndim == 3 and isinstance(key, (int, np.integer)):
            return _Diagonal(self._entries[key])
        if isinstance(key, tuple) and len(key) == 2 and self.ndim == 2:
            rows, columns = key
            if all(isinstance(each, np.ndarray) and each.ndim == 1 for each in key):
                return np.where(rows == columns, self._entries[rows], 0.0)
        return self.__array__()[key]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        p = self.shape[-1]
        out = np.zeros(self.shape, dtype=dtype or self._entries.dtype)
        out[..., np.arange(p), np.arange(p)] = self._entries
        return out

    def __getattr__(self, name: str) -> object:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.__array__(), name)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: object) -> object:
        if method == "__call__" and not kwargs:
            entries = [each._entries if isinstance(each, _Diagonal) else each for each in inputs]
            if ufunc is np.matmul:
                return _matmul(inputs, entries)
            if _keeps_zeros(ufunc, inputs):
                return _Diagonal(ufunc(*entries))
        return getattr(ufunc, method)(*map(_dense, inputs), **kwargs)

    def __array_function__(
        self, func: Callable[..., object], types: object, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> object:
        if func is np.diag and self.ndim == 2 and not kwargs and len(args) == 1:
            return self._entries
        if func is np.diagonal:
            return self.diagonal(*args[1:], **kwargs)
        return func(*map(_dense, args), **{name: _dense(value) for name, value in kwargs.items()})


_OF_ELEMENTS = (np.negative, np.square, np.multiply, np.add, np.subtract)
_BY_NUMBERS = (np.multiply, np.true_divide)
"""Functions of one or two diagonal matrices, or of one and a number, that keep zeros."""


def _keeps_zeros(ufunc: np.ufunc, inputs: tuple[object, ...]) -> bool:
    """Return whether a function of diagonal matrices and numbers has a diagonal matrix as its value."""
    if all(isinstance(each, _Diagonal) for each in inputs):
        return ufunc in _OF_ELEMENTS
    last, first = (isinstance(each, (int, float, np.number)) for each in (inputs[-1], inputs[0]))
    return last and ufunc in _BY_NUMBERS or first and ufunc is np.multiply


def _matmul(inputs: tuple[object, ...], entries: list[Array]) -> _Diagonal | Array:
    """Return the product of two matrices, of which one or both are diagonal."""
    left, right = (isinstance(each, _Diagonal) for each in inputs)
    if left and right:
        return _Diagonal(entries[0] * entries[1])
    if left:
        return entries[0] * entries[1] if entries[1].ndim == 1 else entries[0][..., None] * entries[1]
    return entries[0] * (entries[1] if entries[0].ndim == 1 else entries[1][..., None, :])


def _dense(value: object) -> object:
    """Return an array in place of a matrix stored by its diagonal, also within a list."""
    if isinstance(value, (list, tuple)):
        return type(value)(_dense(each) for each in value)
    return value.__array__() if isinstance(value, _Diagonal) else value


def diagonal_matrix(entries: Array) -> Array:
    """
    Return diagonal matrices that store their diagonals (..., p) alone.

    Sums, products with numbers and matrix products keep that form or use it. numpy converts it to an array
    for anything else, so that no caller needs to know.
    """
    return cast(Array, _Diagonal(entries))


def by_diagonal(matrix: Array) -> bool:
    """Return whether a matrix is one of `diagonal_matrix`."""
    return isinstance(matrix, _Diagonal)


def trace_of_product(left: Array, right: Array) -> float:
    """Return tr(A B) of symmetric matrices."""
    if by_diagonal(left):
        return float(left.diagonal() @ right.diagonal())
    return float(np.vdot(left, right))


def symmetrize(matrix: Array) -> Array:
    """Return ``(M + M') / 2`` over the last two axes."""
    if by_diagonal(matrix):
        return matrix
    total = matrix + (matrix.T if matrix.ndim == 2 else matrix.swapaxes(-1, -2))
    total *= 0.5
    return total


@lru_cache(maxsize=32)
def identity(k: int) -> Array:
    """Return the identity matrix, which is not to be written into."""
    out = np.eye(k)
    out.flags.writeable = False
    return out


def typical(matrix: Array) -> Array:
    """
    Return a constant matrix, or the size of each element over time, with the sign of its mean.

    The size is the root mean square over the last axis. A single period may have zeros.
    """
    if matrix.ndim == 2:
        return matrix
    return np.asarray(np.sqrt(np.mean(matrix**2, axis=2)) * np.where(matrix.mean(axis=2) < 0, -1.0, 1.0))


def spectral_radius(transition: Array) -> float:
    """Return the largest modulus of an eigenvalue, infinity where an element is not finite."""
    return _radius(np.array(transition, dtype=float).tobytes(), len(transition))


@lru_cache(maxsize=8)
def _radius(elements: bytes, k: int) -> float:
    """Return `spectral_radius`, which an M-step and the E-step after it need of the same matrix."""
    transition = np.frombuffer(elements).reshape(k, k)
    if not np.isfinite(transition).all():
        return np.inf
    return float(np.max(np.abs(np.linalg.eigvals(transition)), initial=0.0))


_SQUARINGS = 8
"""Number of squarings up to which the norm of a power costs less than the eigenvalues."""
_DIVERGED = 1e100
"""Squared norm of a power of a matrix above which the next one may overflow."""


def is_stable(transition: Array) -> bool:
    """
    Return whether the spectral radius is below `STABILITY_LIMIT`.

    It is if a power of T has a small norm. Otherwise the eigenvalues decide.
    """
    return _has_small_power(np.array(transition, dtype=float).tobytes(), len(transition)) or (
        spectral_radius(transition) < STABILITY_LIMIT
    )


@lru_cache(maxsize=8)
def _has_small_power(elements: bytes, k: int) -> bool:
    """Return whether the norm of a power of T is below 1/2; an M-step asks it of the same matrix."""
    power = np.frombuffer(elements).reshape(k, k)
    for _ in range(_SQUARINGS):
        size = np.vdot(power, power)
        if size < 0.25 or not size < _DIVERGED:
            return bool(size < 0.25)
        power = power @ power
    return False


def is_positive_definite(matrix: Array) -> bool:
    """Return whether a Cholesky factor of the symmetric matrix exists."""
    try:
        np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return False
    return True


def is_diagonal(matrix: Array) -> bool:
    """Return whether all elements beside the diagonal are zero."""
    return by_diagonal(matrix) or np.count_nonzero(matrix) == np.count_nonzero(matrix.diagonal())


def product(square: Array, right: Array) -> Array:
    """Return M X, by rows where M is diagonal."""
    return square.diagonal()[:, None] * right if is_diagonal(square) else square @ right


def diagonal_like(matrix: Array, entries: Array) -> Array:
    """Return the diagonal matrix with given entries, stored as ``matrix`` is."""
    return diagonal_matrix(entries) if by_diagonal(matrix) else np.diag(entries)


def is_positive_semidefinite(matrix: Array, tolerance: float = 1e-10) -> bool:
    """Return whether no eigenvalue is negative beyond ``tolerance`` relative to the largest."""
    if 0 in matrix.shape:
        return True
    if not np.all(np.isfinite(matrix.diagonal() if by_diagonal(matrix) else matrix)):
        return False
    eigenvalues = np.sort(matrix.diagonal()) if is_diagonal(matrix) else np.linalg.eigvalsh(matrix)
    return bool(eigenvalues[0] >= -tolerance * max(abs(eigenvalues[-1]), np.finfo(float).tiny))


def gaussian_objective(cov: Array, second_moment: Array, n: float = 1.0) -> float:
    """Return -1/2 [n log|cov| + tr(cov^{-1} M)], minus infinity where cov is not positive definite."""
    if 0 in cov.shape:
        return 0.0
    if by_diagonal(cov):
        variances = cov.diagonal()
        if not np.all(variances > 0.0) or not np.isfinite(variances).all():
            return -np.inf
        return float(-0.5 * (n * np.log(variances).sum() + np.sum(second_moment.diagonal() / variances)))
    factor, solved, failed = dposv(cov, second_moment, lower=1)
    log_det = -np.inf if failed else 2.0 * sum(math.log(pivot) for pivot in factor.diagonal().tolist())
    if not math.isfinite(log_det):
        return -np.inf
    return -0.5 * (n * log_det + sum(solved.diagonal().tolist()))


def gram(rows: Array) -> Array:
    """Return X'X; for a few columns in half the time of ``X.T @ X``, which calls another routine of BLAS."""
    if rows.shape[1] > _FEW or not rows.flags.c_contiguous:
        return np.asarray(rows.T @ rows)
    return np.asarray(dgemm(1.0, rows.T, rows.T, trans_b=True))


def solve(matrix: Array, rhs: Array) -> Array:
    """Return M^{-1} B for one square matrix and two-dimensional B: `numpy.linalg.solve` with fewer checks."""
    _, _, solution, failed = dgesv(matrix, rhs)
    if failed:
        raise np.linalg.LinAlgError("Singular matrix")
    return np.asarray(solution)


def solve_and_log_det(matrix: Array, rhs: Array) -> tuple[Array, float]:
    """Return M^{-1} B and the logarithm of the absolute determinant of M."""
    factors, _, solution, failed = dgesv(matrix, rhs)
    if failed:
        raise np.linalg.LinAlgError("Singular matrix")
    return solution, sum(math.log(abs(pivot)) for pivot in factors.diagonal().tolist())


def scaled_solve(matrix: Array, rhs: Array) -> Array:
    """
    Solve a symmetric positive semidefinite system after scaling its diagonal to one.

    Directions without information (to rounding) are left where they are: the minimum-norm
    solution in the scaled coordinates is returned.
    """
    scale = np.array([1.0 / math.sqrt(each) if each > 0.0 else 0.0 for each in matrix.diagonal().tolist()])
    scaled = matrix * (scale[:, None] * scale)
    right = (rhs.T * scale).T
    if len(scaled) and right.size:
        factor, solution, failed = dposv(scaled, right, lower=1)
        if not failed and min(factor.diagonal().tolist()) > 1e-7:
            return np.asarray((solution.T * scale).T)
    solution = scipy.linalg.lstsq(scaled, right, cond=1e-13)[0]
    return np.asarray((solution.T * scale).T)


def at_period(matrix: Array, t: int = 0) -> Array:
    """Return a matrix at a period, by default the first; one without an axis over time is unchanged."""
    return matrix if matrix.ndim == 2 else matrix[:, :, t]


def square_root(cov: Array) -> Array:
    """Return S with S S' = cov for a positive semidefinite matrix, over leading axes."""
    values, vectors = np.linalg.eigh(cov)
    return np.asarray(vectors * np.sqrt(np.clip(values, 0.0, None))[..., None, :])


def companion(transition: Array) -> Array:
    """
    Return the companion matrix of x_t = A_1 x_{t-1} + ... + A_L x_{t-L}.

    Parameters
    ----------
    transition : ndarray, (k, k * L) or (k, k * L, nobs)
        The blocks A_1, ..., A_L side by side.
    """
    k, width = transition.shape[:2]
    if width == k:
        return transition
    out = np.zeros((width, width, *transition.shape[2:]))
    out[:k] = transition
    shift = np.eye(width - k)
    out[k:, : width - k] = shift if transition.ndim == 2 else shift[:, :, None]
    return out


def one_minus_sum(transition: Array) -> Array:
    """Return I - A_1 - ... - A_L, given the blocks side by side; of the first period if they vary."""
    k = len(transition)
    return identity(k) - at_period(transition).reshape(k, -1, k).sum(axis=1)


def lower_triangular_rotation(loadings: Array) -> Array:
    """
    Return the orthogonal G for which ``loadings @ G`` has a lower triangular top block.

    The diagonal of the top block of ``loadings @ G`` is non-negative.

    Parameters
    ----------
    loadings : ndarray, (p, k)
        Loadings, with p >= k.
    """
    k = loadings.shape[1]
    orthogonal, upper = np.linalg.qr(loadings[:k].T)
    signs = np.where(np.diag(upper) < 0, -1.0, 1.0)
    return np.asarray(orthogonal * signs)


def rotate_system(matrices: dict[str, Array], rotation: Array, lags: int) -> dict[str, Array]:
    """
    Return the system matrices of the states G^{-1} x in place of x.

    Parameters
    ----------
    matrices : dict of ndarray
        design (p, k), transition (k, k * lags), state_cov (k, k); if present, also state_intercept,
        state_mean, state_coef and initial_state (k * lags), with a row for each state. Others are unchanged.
    rotation : ndarray, (k, k)
        G, nonsingular: x = G f, where f are the new states.
    lags : int
        Number of lags of the transition.
    """
    inverse = np.linalg.inv(rotation)
    out = dict(matrices)
    out["design"] = matrices["design"] @ rotation
    out["transition"] = inverse @ matrices["transition"] @ np.kron(np.eye(lags), rotation)
    out["state_cov"] = inverse @ matrices["state_cov"] @ inverse.T
    for key in {"state_intercept", "state_mean", "state_coef"} & set(matrices):
        out[key] = inverse @ matrices[key]
    if "initial_state" in matrices:
        out["initial_state"] = np.kron(np.eye(lags), inverse) @ matrices["initial_state"]
    return out
