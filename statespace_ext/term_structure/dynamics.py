"""The two measures of one set of factors, and the prices of risk between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from ..exceptions import ParameterError
from ..numerics.linear_algebra import Array, symmetrize
from ..params.cholesky import semidefinite_cholesky


@dataclass(frozen=True)
class Pricing:
    """
    The Q-dynamics dX = (kappa - K X) dt + Sigma dW and the short rate r = delta_0 + delta_1'X.

    As a gradient, each attribute is the derivative by it.
    """

    K: Array
    kappa: Array
    delta_0: float
    delta_1: Array


@dataclass(frozen=True)
class Dynamics:
    """The dynamics under both measures: K_P, kappa_P, cov = Sigma Sigma', and `Pricing`."""

    K_P: Array
    kappa_P: Array  # noqa: N815 - as the papers have it
    cov: Array
    pricing: Pricing


def require_no_aliasing(K: Array, dt: float) -> None:
    """
    Refuse dynamics that turn half round or more within a step.

    exp(-K dt) is the same for eigenvalues whose imaginary parts differ by 2 pi / dt: observed every dt years,
    a process cannot be told from faster ones, up to what the prices say of Sigma. Only the slowest is
    admitted.
    """
    turns = float(np.max(np.abs(np.linalg.eigvals(K).imag)))
    if not turns * dt < np.pi:
        raise ParameterError(
            "The P-dynamics turn half round or more between dates",
            got=f"an eigenvalue of K_P with imaginary part {turns:.4g}",
            expected=f"less than pi / dt = {np.pi / dt:.4g}",
        )


def risk_neutral_to_physical(
    pricing: Pricing, cov: Array, lambda_0: Array, lambda_1: Array
) -> tuple[Array, Array]:
    """Return K_P = K_Q - Sigma lambda_1 and kappa_P = kappa_Q + Sigma lambda_0, Sigma the Cholesky factor."""
    root = semidefinite_cholesky(cov)
    return pricing.K - root @ lambda_1, pricing.kappa + root @ lambda_0


def risk_neutral_to_physical_pullback(
    cov: Array, lambda_0: Array, lambda_1: Array, by_K: Array, by_kappa: Array
) -> tuple[Array, Array, Array]:
    """Return the derivatives by cov, lambda_0 and lambda_1 (those by K_Q and kappa_Q are the same)."""
    root = semidefinite_cholesky(cov)
    by_root = np.outer(by_kappa, lambda_0) - by_K @ lambda_1.T
    return cholesky_pullback(root, by_root), root.T @ by_kappa, -root.T @ by_K


def cholesky_pullback(root: Array, by_root: Array) -> Array:
    """Return G with dL = tr(G d cov), given the derivatives by the lower triangular root of cov."""
    inner = np.tril(root.T @ np.tril(by_root))
    inner[np.diag_indices_from(inner)] *= 0.5
    half = scipy.linalg.solve_triangular(root, inner, lower=True, trans="T")
    return symmetrize(scipy.linalg.solve_triangular(root, half.T, lower=True, trans="T").T)


def prices_of_risk(pricing: Pricing, cov: Array, K_P: Array, kappa_P: Array) -> tuple[Array, Array]:
    """
    Return lambda_0 = Sigma^{-1}(kappa_P - kappa_Q) and lambda_1 = Sigma^{-1}(K_Q - K_P).

    Lambda_t = lambda_0 + lambda_1 X_t is the price of risk of dW_Q = dW_P + Lambda dt (Duffee 2002).
    """
    root = semidefinite_cholesky(cov)
    both = np.column_stack([kappa_P - pricing.kappa, pricing.K - K_P])
    solved = scipy.linalg.solve_triangular(root, both, lower=True)
    return solved[:, 0], solved[:, 1:]
