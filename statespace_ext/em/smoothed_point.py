"""A linear Gaussian model with constant matrices at one point: smoothed moments and scores."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..numerics.linear_algebra import Array, companion, is_diagonal, is_positive_definite, symmetrize
from ..numerics.matrix_equations import stationary_covariance, stationary_moments
from ..params.affine import Elements, IntArray, side_by_side
from ..params.layout import ParameterLayout
from .regressions import padded, state_equation
from .updates import OBSERVATION

_NEARLY_SINGULAR = 1e-9
"""Smallest eigenvalue of a covariance, relative to the diagonal, for which its inverse is used."""
_CANCELS = 1e6
"""Prior over smoothed variance of a state up to which its square leaves digits of the state equation."""
_LEFT = 3e-2
"""Share of the noise of an observation that the states leave: its fourth power costs up to six digits."""
_CONVERGED = 4e-15
"""Change over a period, relative to the largest element, of what no longer changes."""


@dataclass(eq=False)
class SmoothedPoint:
    """
    Matrices, smoothed moments and scores by matrix of a model with constant matrices at one point.

    Attributes
    ----------
    layout : ParameterLayout
        Blocks of the model.
    at : dict of str to ndarray
        The blocks at the point.
    index : ndarray of int
        The parameters to differentiate by.
    lags : int
        Lags of the factors; the state has k * lags elements.
    stationary : bool
        Whether the start is stationary; else it is "initial_state" and "initial_state_cov".
    endog, exog, state_exog : ndarray, (nobs, p), (nobs, r) and (nobs, q)
        Data; NaN marks a missing value.
    Z, A, T : ndarray
        Loadings of the newest lag (p, k), top rows of the transition (k, s), and the transition (s, s).
    mean : ndarray, (k,)
        Mean of the factors, mu in c = (I - sum A) mu + the intercept.
    elements : dict of str to Elements
        Derivatives of the blocks.
    coefs : Elements
        Derivatives of the coefficients on (x_t, 1, exog_t) of the observation equation.
    """

    layout: ParameterLayout
    at: dict[str, Array]
    index: IntArray
    lags: int
    stationary: bool
    endog: Array
    exog: Array
    state_exog: Array

    def __post_init__(self) -> None:
        layout, at = self.layout, self.at
        self.n, self.p = self.endog.shape
        self.Z, self.A, self.mean = at["design"], at["transition"], at["state_mean"][:, 0]
        self.k, self.T = len(self.A), companion(self.A)
        self.s = self.k * self.lags
        place = np.full(len(layout), -1)
        place[self.index] = np.arange(len(self.index))
        self.elements = {key: layout.derivative(key, place) for key in layout.blocks}
        whole = side_by_side([layout.blocks[key] for key in OBSERVATION])
        params = place[layout.positions(list(whole.names))]
        free = params >= 0
        self.coefs = Elements(whole.rows[free], whole.columns[free], params[free], whole.coefs[free])
        self.seen = ~np.isnan(self.endog)
        self.complete = bool(self.seen.all())
        obs_cov = layout.blocks["obs_cov"]
        self.H, self.W = at["obs_cov"], at["state_cov"]
        self.diagonal = bool(np.all(obs_cov.rows == obs_cov.columns)) and is_diagonal(self.H)

    def is_supported(self) -> bool:
        """Return whether the formulas hold here."""
        varying = any(block.time_varying for block in self.layout.blocks.values())
        if varying or not (self.complete or self.diagonal):
            return False
        usable = np.all(np.diag(self.H) > 0) if self.diagonal else _is_regular(self.H)
        return bool(usable) and _is_regular(self.W) and self._keeps_digits()

    def _keeps_digits(self) -> bool:
        """
        Return whether no small difference of large numbers enters.

        These are V_t = P_t - P_t N P_t, (I + P_t J_t)^{-1}, and 1 - z V_t z' / h, the share of its noise that
        the states leave an observation.
        """
        try:
            P, V = self.paths["P"], self.paths["V"]
        except np.linalg.LinAlgError:  # an observation without noise leaves a direction no variance
            return False
        prior, smoothed = (np.diagonal(each, axis1=1, axis2=2) for each in (P, V))
        if not (
            np.all(prior <= _CANCELS * smoothed)
            and np.all(np.sum(P * self.information, axis=(1, 2)) <= _CANCELS)
        ):
            return False
        taken = np.einsum("ik,tkl,il->ti", self.loadings, V[:, : self.k, : self.k], self.loadings)
        taken /= self.precision if self.diagonal else np.diag(self.precision)
        return bool(np.all(taken[self.seen] <= 1.0 - _LEFT))

    # -- the system ------------------------------------------------------------------------------------

    @cached_property
    def level(self) -> Array:
        """I - sum A."""
        return np.eye(self.k) - self.A.reshape(self.k, -1, self.k).sum(axis=1)

    @cached_property
    def c(self) -> Array:
        """Intercept of the state, (s,)."""
        out = np.zeros(self.s)
        out[: self.k] = self.at["state_intercept"][:, 0] + self.level @ self.mean
        return out

    @cached_property
    def initial_moments(self) -> tuple[Array, Array]:
        """a_1 and P_1."""
        if self.stationary:
            return stationary_moments(self.T, self.c, padded(self.W, self.s))
        return self.at["initial_state"][:, 0], self.at["initial_state_cov"]

    @cached_property
    def precision(self) -> Array:
        """H^{-1}, its diagonal alone where H is diagonal."""
        return 1.0 / np.diag(self.H) if self.diagonal else np.linalg.inv(self.H)

    def weighted(self, rows: Array) -> Array:
        """Return H^{-1} M for M of p rows."""
        if self.diagonal:
            return self.precision.reshape(-1, *[1] * (rows.ndim - 1)) * rows
        return np.tensordot(self.precision, rows, 1)

    @cached_property
    def loadings(self) -> Array:
        """H^{-1} Z."""
        return self.weighted(self.Z)

    @cached_property
    def information(self) -> Array:
        """J_t, (n or 1, s, s)."""
        each = self.Z[:, :, None] * self.loadings[:, None, :]
        pattern = np.ones((1, self.p)) if self.complete else self.seen.astype(float)
        return padded(np.tensordot(pattern, each, 1), self.s)

    # -- filter and smoother ---------------------------------------------------------------------------

    @cached_property
    def paths(self) -> dict[str, Array]:
        """P_t, M_t, F_t, T K_t and V_t, and N_t from N_0 on (of x_1)."""
        n, s, T = self.n, self.s, self.T
        out = {name: np.empty((n, s, s)) for name in ("P", "M", "F", "TK", "V")}
        P, W = self.initial_moments[1], padded(self.W, s)
        converged = n
        for t in range(n):
            J = self._information(t)
            out["P"][t] = P
            out["M"][t] = np.linalg.inv(np.eye(s) + P @ J)
            F = symmetrize(out["M"][t] @ P)
            out["F"][t], out["TK"][t] = F, T @ out["M"][t]
            following = symmetrize(T @ F @ T.T + W)
            if self.complete and _converged(following, P, P):
                converged = t
                for name in ("P", "M", "F", "TK"):
                    out[name][t:] = out[name][t]
                break
            P = following
        self._backward(out, converged)
        return out

    def _backward(self, out: dict[str, Array], converged: int) -> None:
        """Fill in N_t and V_t, given the rest, which is constant from a period on."""
        out["N"] = N = np.zeros((self.n + 1, self.s, self.s))
        t = self.n - 1
        while t >= 0:
            F, TK, later = out["F"][t], out["TK"][t], N[t + 1]
            before = symmetrize(self._information(t) @ out["M"][t] + TK.T @ later @ TK)
            first = converged if t > converged and _converged(before, later, before) else t
            N[first + 1 : t + 1], N[first] = later, before
            out["V"][first : t + 1] = symmetrize(F - F @ (self.T.T @ later @ self.T) @ F)
            t = first - 1

    def smoothed(self, linear: Array, inputs: Array, first: Array) -> tuple[Array, Array, Array]:
        """
        Return smoothed means, adjoints of x_{t+1} and r_0 of systems with these covariances.

        Parameters
        ----------
        linear : ndarray, (n, m, s)
            Linear term h_t of the log-density of the observations.
        inputs : ndarray, (n, m, s)
            Input of x_{t+1}.
        first : ndarray, (m, s)
            Mean of x_1.
        """
        n, T, by = self.n, self.T, self.paths
        news, mean = np.empty_like(linear), np.empty_like(linear)
        a = first
        for t in range(n):
            news[t] = linear[t] - a @ self._information(t)
            mean[t] = a + news[t] @ by["F"][t]
            a = mean[t] @ T.T + inputs[t]
        adjoint = np.empty_like(linear)
        r = np.zeros_like(first)
        for t in range(n - 1, -1, -1):
            adjoint[t] = r
            mean[t] += r @ (T @ by["F"][t])
            r = news[t] @ by["M"][t] + r @ by["TK"][t]
        return mean, adjoint, r

    @cached_property
    def y(self) -> Array:
        """Observations less their intercepts, zero where missing, (n, p)."""
        level = self.at["obs_intercept"][:, 0] + self.exog @ self.at["obs_coef"].T
        return np.where(self.seen, self.endog - level, 0.0)

    @cached_property
    def states(self) -> tuple[Array, Array, Array]:
        """Smoothed means (n, s), adjoints of x_{t+1} (n, s) and r_0 (s,)."""
        n, k = self.n, self.k
        linear, inputs = np.zeros((n, 1, self.s)), np.tile(self.c, (n, 1, 1))
        linear[:, 0, :k] = self.y @ self.loadings
        inputs[:, 0, :k] += self.state_exog @ self.at["state_coef"].T
        mean, adjoint, first = self.smoothed(linear, inputs, self.initial_moments[0][None])
        return mean[:, 0], adjoint[:, 0], first[0]

    @cached_property
    def residuals(self) -> Array:
        """e_t = y_t - d_t - Z xhat_t, zero where missing, (n, p)."""
        return np.where(self.seen, self.y - self.states[0][:, : self.k] @ self.Z.T, 0.0)

    @cached_property
    def regressors(self) -> Array:
        """(xhat_t, 1, exog_t) of the observation equation, (n, r)."""
        return np.column_stack([self.states[0][:, : self.k], np.ones(self.n), self.exog])

    @cached_property
    def state_regressors(self) -> Array:
        """(xhat_t, 1, state_exog_t) of the state equation, (n - 1, s + 1 + q)."""
        return np.column_stack([self.states[0], np.ones(self.n), self.state_exog])[:-1]

    @cached_property
    def disturbances(self) -> Array:
        """Smoothed disturbances of the state equation, (n - 1, k)."""
        coefs = np.column_stack([self.A, self.c[: self.k], self.at["state_coef"]])
        return self.states[0][1:, : self.k] - self.state_regressors @ coefs.T

    # -- derivatives of the covariances ----------------------------------------------------------------

    def covariances(self, dJ: Array, mask: Array | None, dT: Array, dW: Array, dP: Array) -> dict[str, Array]:
        """
        Return derivatives of the covariances along D directions.

        Parameters
        ----------
        dJ : ndarray, (D, s, s)
            Derivative of J_t, times ``mask`` (n, D) where that is given.
        dT, dW, dP : ndarray, (D, s, s)
            Derivatives of T, R Q R' and P_1.

        Returns
        -------
        dict
            "V" by period (n, D, k, k), or its sum (1, D, k, k) without a mask; sums over t < n "before",
            over t > 1 "after" and "lag" of Cov(x_{t+1}, x_t|Y); "initial" is dN_0.
        """
        n, k, T, by = self.n, self.k, self.T, self.paths
        forward, converged = self._forward(dJ, mask, dT, dW, dP)
        V = np.zeros((1 if mask is None else n, len(dJ), k, k))
        before, after, lag, dN = np.zeros((4, *dJ.shape))
        t, identity = n - 1, np.eye(self.s)
        after_U = after_dU = np.zeros((self.s, self.s))  # I - P N of the next period, and its derivative
        while t >= 0:
            J, change = self._information(t), _change(dJ, mask, t)
            F, M, TK, N, N_before = by["F"][t], by["M"][t], by["TK"][t], by["N"][t + 1], by["N"][t]
            dP, dF = forward[:, t]
            B, side = J @ M, np.swapaxes(dT, 1, 2) @ (N @ T)
            A, dA = T.T @ N @ T, side + np.swapaxes(side, 1, 2) + T.T @ dN @ T
            dM = -(M @ dP @ B + F @ change @ M)
            side = np.swapaxes(dT @ M + T @ dM, 1, 2) @ (N @ TK)
            new = symmetrize(M.T @ change @ M - B @ dP @ B) + side + np.swapaxes(side, 1, 2)
            dN_after, dN = dN, new + TK.T @ dN @ TK
            side = dF @ (A @ F)
            dV = dF - side - np.swapaxes(side, 1, 2) - F @ dA @ F
            rests = converged < t < n - 1 and np.array_equal(N, N_before) and _converged(dN, dN_after, N)
            count = t - converged if rests else 1  # periods that have the same terms
            V[min(t, len(V) - 1)] += count * dV[:, :k, :k]
            if t < n - 1:
                before += count * dV
                lag += count * (after_U @ (dT @ F + T @ dF) + after_dU @ (T @ F))
            if t > 0:
                after += count * dV
            after_U = M - F @ A @ M
            after_dU = (identity - F @ A) @ dM - (dF @ A + F @ dA) @ M
            t -= count
        return {"V": V, "before": before, "after": after, "lag": lag, "initial": dN}

    def _forward(self, dJ: Array, mask: Array | None, dT: Array, dW: Array, dP: Array) -> tuple[Array, int]:
        """Return the derivatives of P_t and of F_t, (2, n, D, s, s), and from when on they are constant."""
        T, by = self.T, self.paths
        out = np.empty((2, self.n, *dP.shape))
        for t in range(self.n):
            P, F, M, change = by["P"][t], by["F"][t], by["M"][t], _change(dJ, mask, t)
            out[0, t] = dP
            out[1, t] = M @ dP @ M.T - F @ change @ F
            side = dT @ (F @ T.T)
            following = T @ out[1, t] @ T.T + side + np.swapaxes(side, 1, 2) + dW
            if mask is None and np.array_equal(P, by["P"][-1]) and _converged(following, dP, P):
                out[:, t:] = out[:, t, None]
                return out, t
            dP = following
        return out, self.n

    def _information(self, t: int) -> Array:
        """Return J_t."""
        return self.information[t if len(self.information) > 1 else 0]

    @cached_property
    def basis(self) -> dict[str, Array]:
        """Derivatives of the covariances along a basis of (dJ, dT, dW, dP_1), for complete rows."""
        k, s = self.k, self.s
        (a, b), (i, j) = np.tril_indices(k), self._free_first
        last = np.cumsum([len(a), len(a), k * s, len(i)])
        dJ, dT, dW, dP = np.zeros((4, last[-1], s, s))
        by_J, by_W, by_T, by_P = np.split(np.arange(last[-1]), last[:-1])
        dJ[by_J, a, b] = dJ[by_J, b, a] = 1.0
        dW[by_W, a, b] = dW[by_W, b, a] = 1.0
        dT[by_T, :k] = np.eye(k * s).reshape(k * s, k, s)
        dP[by_P, i, j] = dP[by_P, j, i] = 1.0
        return self.covariances(dJ, None, dT, dW, dP + self.first_covariances(dT, dW))

    @property
    def _free_first(self) -> tuple[IntArray, IntArray]:
        """Rows and columns of a free P_1; none if it is not free."""
        return np.tril_indices(self.s if len(self.elements["initial_state_cov"].params) else 0)

    def coordinates(self, dJ: Array, dA: Array, dW: Array, dP: Array) -> Array:
        """Return directions (m, .) in the basis of `basis`, from derivatives of J, A, Q and a free P_1."""
        (a, b), (i, j) = np.tril_indices(self.k), self._free_first
        return np.concatenate([dJ[:, a, b], dW[:, a, b], dA.reshape(len(dA), -1), dP[:, i, j]], axis=1)

    def first_covariances(self, dT: Array, dW: Array) -> Array:
        """Return the derivatives of a stationary P_1, zero for another start."""
        if not self.stationary:
            return np.zeros_like(dT)
        side = dT @ (self.initial_moments[1] @ self.T.T)
        return stationary_covariance(self.T, side + np.swapaxes(side, 1, 2) + dW)

    # -- sums and scores by matrix at the point --------------------------------------------------------

    @cached_property
    def seen_covs(self) -> Array:
        """Sum of V_t over the rows in which a series is seen, (p, k, k), or (1, k, k) for complete rows."""
        V = self.paths["V"][:, : self.k, : self.k]
        return V.sum(axis=0)[None] if self.complete else np.tensordot(self.seen.T.astype(float), V, 1)

    @cached_property
    def seen_products(self) -> Array:
        """E sum b b' over the rows in which a series is seen, (p or 1, r, r)."""
        b = self.regressors
        if self.complete:
            out = (b.T @ b)[None]
        else:
            out = np.tensordot(self.seen.T.astype(float), b[:, :, None] * b[:, None, :], 1)
        out[:, : self.k, : self.k] += self.seen_covs
        return out

    @cached_property
    def cross(self) -> Array:
        """E sum e b', (p, r)."""
        out = self.residuals.T @ self.regressors
        out[:, : self.k] -= np.einsum("ia,iab->ib", self.Z, self.seen_covs)
        return out

    @cached_property
    def coef_score(self) -> Array:
        """Derivative by the coefficients of the observation equation, (p, r)."""
        return self.weighted(self.cross)

    @cached_property
    def squares(self) -> Array:
        """E sum e e', (p, p), its diagonal alone where H is diagonal."""
        if self.diagonal:
            by_states = np.einsum("ia,iab,ib->i", self.Z, self.seen_covs, self.Z)
            return np.sum(self.residuals**2, axis=0) + by_states
        return self.residuals.T @ self.residuals + self.Z @ self.seen_covs[0] @ self.Z.T

    @cached_property
    def state_sums(self) -> tuple[Array, Array, Array]:
        """E sum of eta b', of b b' and of eta eta' of the state equation."""
        T, F, M, N, V = self.T, *(self.paths[name] for name in ("F", "M", "N", "V"))
        lag = ((M[1:] - F[1:] @ T.T @ N[2:] @ T @ M[1:]) @ T @ F[:-1]).sum(axis=0)
        b, eta = self.state_regressors, self.disturbances
        covs = V[:-1].sum(axis=0), V[1:].sum(axis=0), lag
        sums = state_equation(eta.T @ eta, eta.T @ b, b.T @ b, len(b), *covs, T, np.eye(self.k, self.s))
        return sums.eb[0], sums.bb[0], sums.ee[0]

    @cached_property
    def initial_adjoint(self) -> tuple[Array, Array]:
        """Derivatives by the mean and the covariance of a stationary start, pulled back to c and W."""
        r = self.states[2]
        Gamma = 0.5 * (np.outer(r, r) - self.paths["N"][0])
        g = np.linalg.solve(np.eye(self.s) - self.T.T, r)
        return g, stationary_covariance(self.T, Gamma, adjoint=True)


def _change(dJ: Array, mask: Array | None, t: int) -> Array:
    """Return the derivative of J_t."""
    return dJ if mask is None else dJ * mask[t][:, None, None]


def _converged(following: Array, value: Array, cov: Array) -> bool:
    """Return whether matrices, in units of the variances of another one, are the same as a period before."""
    size = np.sqrt(np.abs(cov.diagonal()))
    size = np.where(size > 0.0, size, 1.0)
    now, change = (np.abs(each / size[:, None] / size) for each in (following, following - value))
    return bool(np.all(change.max(axis=(-2, -1)) <= _CONVERGED * now.max(axis=(-2, -1))))


def _is_regular(cov: Array) -> bool:
    """Return whether a covariance is positive definite, and not nearly singular."""
    size = np.diag(cov)
    if not np.all(size > 0):
        return False
    weight = 1.0 / np.sqrt(size)
    correlation = cov * weight[:, None] * weight
    return is_positive_definite(correlation - _NEARLY_SINGULAR * np.eye(len(cov)))
