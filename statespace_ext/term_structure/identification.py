"""
The normalisations: from the blocks of parameters to the Q-dynamics and the short rate, and back.

The likelihood is flat along rotations of the factors unless some are ruled out. Each class here names
the factors, gives the blocks of its Q-parameters, maps them to `Pricing`, and pulls derivatives back.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from ..numerics.bond_pricing import loadings, loadings_pullback
from ..numerics.linear_algebra import Array, symmetrize
from ..params.affine import AffineMatrix, affine_matrix
from .dynamics import Pricing

Values = dict[str, Array]
"""Blocks by name."""


class Normalisation(Protocol):
    """What the model asks of a normalisation."""

    factors: list[str]
    arbitrage_free: bool

    def blocks(self) -> dict[str, AffineMatrix]:
        """Return the blocks of the Q-parameters."""

    def pricing(self, at: Values) -> Pricing:
        """Return the Q-dynamics at the values of all blocks."""

    def pull_back(self, at: Values, by: Pricing) -> Values:
        """Return derivatives by block (by "state_cov" too, where it matters), given those by `Pricing`."""

    def normalised(self, at: Values) -> Values:
        """Return the blocks at the representative of all equal models that the normalisation names."""


def _column(names: list[str]) -> AffineMatrix:
    return affine_matrix(np.zeros((len(names), 1)), [(i, 0, name, 1.0) for i, name in enumerate(names)])


class NelsonSiegel:
    """
    Level, slope and curvature: K_Q = [[0, 0, 0], [0, l, -l], [0, 0, l]], kappa_Q = 0, r = level + slope.

    With the yield adjustment for convexity: arbitrage-free (Christensen, Diebold & Rudebusch 2011); without:
    the dynamic Nelson-Siegel model (Diebold & Li 2006), which has no prices of risk.
    """

    factors = ["level", "slope", "curvature"]
    _UNIT = np.array([[0.0, 0.0, 0.0], [0.0, 1.0, -1.0], [0.0, 0.0, 1.0]])

    def __init__(self, arbitrage_free: bool) -> None:
        self.arbitrage_free = arbitrage_free

    def blocks(self) -> dict[str, AffineMatrix]:
        """Return the block of the decay rate."""
        return {"decay": _column(["decay"])}

    def pricing(self, at: Values) -> Pricing:
        """Return the Q-dynamics."""
        return Pricing(at["decay"][0, 0] * self._UNIT, np.zeros(3), 0.0, np.array([1.0, 1.0, 0.0]))

    def pull_back(self, at: Values, by: Pricing) -> Values:
        """Return the derivative by the decay rate."""
        return {"decay": np.array([[np.sum(by.K * self._UNIT)]])}

    def normalised(self, at: Values) -> Values:
        """Return the blocks as they are."""
        return at


class Portfolios:
    """
    Joslin, Singleton & Zhu (2011): the factors are portfolios W y of yields, priced without error.

    In latent factors x, with r = x_1 and dx = (k_inf e_1 - K x) dt + ... under Q, K has the Q-roots on its
    diagonal and -1 above it. For distinct roots this is a rotation of the authors' diagonal form, k_inf the
    same; it stays smooth where roots meet. The portfolios P = A_W + B_W x have

        K_Q = B_W K B_W^{-1},     kappa_Q = k_inf B_W e_1 + K_Q A_W,
        delta_1 = B_W^{-T} e_1,   delta_0 = -delta_1' A_W.

    Parameters
    ----------
    weights : ndarray, (k, p)
        W.
    tau : ndarray, (p,)
        Maturities in years.
    convexity : float
        The convexity term uses cov times this (one over the size of one in the units of the yields).
    factors : list of str
        Names of the portfolios.
    """

    arbitrage_free = True

    def __init__(self, weights: Array, tau: Array, convexity: float, factors: list[str]) -> None:
        self.weights, self.tau, self.convexity, self.factors = weights, tau, convexity, factors
        self._first = np.eye(len(weights))[0]
        self._superdiagonal = -np.eye(len(weights), k=1)

    def blocks(self) -> dict[str, AffineMatrix]:
        """Return the blocks of the Q-roots and of k_inf."""
        roots = [f"root_Q.{i + 1}" for i in range(len(self.weights))]
        return {"roots_Q": _column(roots), "k_inf": _column(["k_inf"])}

    def _latent(self, at: Values) -> tuple[Array, Array]:
        K = np.diag(at["roots_Q"][:, 0]) + self._superdiagonal
        return K, at["k_inf"][0, 0] * self._first

    def _portfolio(self, at: Values) -> tuple[Array, Array, Array, Array, Array]:
        """Return K and kappa of x, B_W, its inverse, and the covariance of x in the convexity term."""
        K, kappa = self._latent(at)
        zero = np.zeros_like(K)
        B = self.weights @ loadings(K, kappa, zero, 0.0, self._first, self.tau)[1]
        inverse = np.linalg.inv(B)
        return K, kappa, B, inverse, inverse @ at["state_cov"] @ inverse.T * self.convexity

    def pricing(self, at: Values) -> Pricing:
        """Return the Q-dynamics of the portfolios."""
        K, kappa, B, inverse, cov = self._portfolio(at)
        A = self.weights @ loadings(K, kappa, cov, 0.0, self._first, self.tau)[0]
        K_Q, delta_1 = B @ K @ inverse, inverse.T @ self._first
        return Pricing(K_Q, B @ kappa + K_Q @ A, float(-delta_1 @ A), delta_1)

    def pull_back(self, at: Values, by: Pricing) -> Values:
        """Return the derivatives by the roots, k_inf and state_cov."""
        K, kappa, B, inverse, cov = self._portfolio(at)
        A = self.weights @ loadings(K, kappa, cov, 0.0, self._first, self.tau)[0]
        K_Q, delta_1 = B @ K @ inverse, inverse.T @ self._first
        by_delta = by.delta_1 - A * by.delta_0
        by_A = K_Q.T @ by.kappa - delta_1 * by.delta_0
        by_K_Q = by.K + np.outer(by.kappa, A)
        by_inverse = np.outer(self._first, by_delta) + (B @ K).T @ by_K_Q
        by_B = by_K_Q @ (K @ inverse).T + np.outer(by.kappa, kappa)
        none = np.zeros((len(self.tau), len(K)))
        first = loadings_pullback(K, kappa, cov, 0.0, self._first, self.tau, self.weights.T @ by_A, none)
        by_cov = self.convexity * symmetrize(first[2])
        by_inverse = by_inverse + 2.0 * by_cov @ inverse @ at["state_cov"]
        by_B = by_B - inverse.T @ by_inverse @ inverse.T
        second = loadings_pullback(
            K, kappa, cov, 0.0, self._first, self.tau, np.zeros(len(self.tau)), self.weights.T @ by_B
        )
        by_K = B.T @ by_K_Q @ inverse.T + first[0] + second[0]
        by_kappa = B.T @ by.kappa + first[1]
        return {
            "roots_Q": np.diag(by_K)[:, None],
            "k_inf": by_kappa[:1, None],
            "state_cov": inverse.T @ by_cov @ inverse,
        }

    def normalised(self, at: Values) -> Values:
        """Return the roots in increasing order; the long-run Q-mean of r, k_inf / root_Q.1, stays."""
        roots = np.sort(at["roots_Q"], axis=0)
        first, before = roots[0, 0], at["roots_Q"][0, 0]
        k_inf = at["k_inf"] if first == before else at["k_inf"] * first / before
        return {**at, "roots_Q": roots, "k_inf": k_inf}


class DaiSingleton:
    """
    The maximal A_0(N) model of Dai & Singleton (2000): Sigma = I, K_Q lower triangular, kappa_Q = 0.

    The diagonal of K_Q increases and delta_1 >= 0; delta_0, delta_1 and the P-dynamics are free.
    """

    arbitrage_free = True

    def __init__(self, k_factors: int) -> None:
        self.factors = [f"f{i + 1}" for i in range(k_factors)]

    def blocks(self) -> dict[str, AffineMatrix]:
        """Return the blocks of K_Q, delta_0 and delta_1."""
        k, names = len(self.factors), self.factors
        lower = [(i, j, f"K_Q.{names[i]}.{names[j]}", 1.0) for i in range(k) for j in range(i + 1)]
        return {
            "K_Q": affine_matrix(np.zeros((k, k)), lower),
            "delta_0": _column(["delta_0"]),
            "delta_1": _column([f"delta_1.{name}" for name in names]),
        }

    def pricing(self, at: Values) -> Pricing:
        """Return the Q-dynamics."""
        K = at["K_Q"]
        return Pricing(K, np.zeros(len(K)), at["delta_0"][0, 0], at["delta_1"][:, 0])

    def pull_back(self, at: Values, by: Pricing) -> Values:
        """Return the derivatives by K_Q, delta_0 and delta_1."""
        return {"K_Q": by.K, "delta_0": np.array([[by.delta_0]]), "delta_1": by.delta_1[:, None]}

    def normalised(self, at: Values) -> Values:
        """Return the blocks after the orthogonal rotation that sorts the Q-roots and the signs."""
        roots, vectors = np.linalg.eig(at["K_Q"].T)
        order = np.argsort(roots)
        gaps = np.diff(roots[order])
        rotation = np.eye(len(roots))
        if np.any(order != np.arange(len(order))) and np.all(gaps > 1e-8 * np.max(np.abs(roots))):
            rotation = np.linalg.qr(np.real(vectors[:, order]))[0].T
        delta = rotation @ at["delta_1"]
        rotation = rotation * np.where(delta < 0, -1.0, 1.0)
        out = {**at, "K_Q": np.tril(rotation @ at["K_Q"] @ rotation.T), "delta_1": rotation @ at["delta_1"]}
        for key in ("K_P", "lambda_1"):
            if key in at:
                out[key] = rotation @ at[key] @ rotation.T
        for key in ("kappa_P", "lambda_0"):
            if key in at:
                out[key] = rotation @ at[key]
        return out


def dai_singleton_form(pricing: Pricing, cov: Array) -> tuple[Values, Array, Array]:
    """
    Return the Q-parameters of the same model in the normalisation of Dai & Singleton.

    The factors are Z = O Sigma^{-1} (X - c), with c the long-run mean of X under Q and O the rotation after
    which K_Q is lower triangular, its diagonal increasing. Real Q-roots, and no unit root, are supposed.

    Parameters
    ----------
    pricing : Pricing
        Q-dynamics and short rate of X.
    cov : ndarray, (k, k)
        Sigma Sigma', positive definite.

    Returns
    -------
    values : dict
        "K_Q", "delta_0" and "delta_1".
    turn : ndarray, (k, k)
        O Sigma^{-1}.
    centre : ndarray, (k,)
        c.
    """
    root = np.linalg.cholesky(cov)
    inner = np.linalg.solve(root, pricing.K @ root)
    roots, vectors = np.linalg.eig(inner.T)  # its Schur form, in the order of the roots
    rotation = np.linalg.qr(np.real(vectors[:, np.argsort(roots.real)]))[0].T
    delta_1 = rotation @ root.T @ pricing.delta_1
    rotation = rotation * np.where(delta_1 < 0, -1.0, 1.0)[:, None]
    centre = np.linalg.lstsq(pricing.K, pricing.kappa, rcond=None)[0]
    values = {
        "K_Q": np.tril(rotation @ inner @ rotation.T),
        "delta_0": np.array([[pricing.delta_0 + pricing.delta_1 @ centre]]),
        "delta_1": np.abs(delta_1)[:, None],
    }
    return values, np.linalg.solve(root.T, rotation.T).T, centre


class Observed:
    """Factors that are observed: nothing can be rotated, so K_Q, kappa_Q, delta_0 and delta_1 are free."""

    arbitrage_free = True

    def __init__(self, factors: list[str]) -> None:
        self.factors = factors

    def blocks(self) -> dict[str, AffineMatrix]:
        """Return the blocks of K_Q, kappa_Q, delta_0 and delta_1."""
        k, names = len(self.factors), self.factors
        every = [(i, j, f"K_Q.{names[i]}.{names[j]}", 1.0) for i in range(k) for j in range(k)]
        return {
            "K_Q": affine_matrix(np.zeros((k, k)), every),
            "kappa_Q": _column([f"kappa_Q.{name}" for name in names]),
            "delta_0": _column(["delta_0"]),
            "delta_1": _column([f"delta_1.{name}" for name in names]),
        }

    def pricing(self, at: Values) -> Pricing:
        """Return the Q-dynamics."""
        return Pricing(at["K_Q"], at["kappa_Q"][:, 0], at["delta_0"][0, 0], at["delta_1"][:, 0])

    def pull_back(self, at: Values, by: Pricing) -> Values:
        """Return the derivatives by K_Q, kappa_Q, delta_0 and delta_1."""
        return {
            "K_Q": by.K,
            "kappa_Q": by.kappa[:, None],
            "delta_0": np.array([[by.delta_0]]),
            "delta_1": by.delta_1[:, None],
        }

    def normalised(self, at: Values) -> Values:
        """Return the blocks as they are."""
        return at
