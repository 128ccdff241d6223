r"""
The likelihood of regressions whose coefficients are constants plus stationary deviations.

With y_t = X_t b + Z_t d_t + eps_t, eps_t ~ N(0, H_t), d_{t+1} = diag(phi) d_t + eta_t, eta_t ~ N(0, W), a
stationary d_1 and a flat prior of b, the data given b have a covariance S whose Kalman filter has the q
states d_t alone. Its gains turn y and the columns of X into whitened errors e and E, by one triangular banded
system for all columns. With E = Q R,

    log L = -1/2 [N log 2 pi + log|S| + 2 log|R| + e'(I - Q Q')e],

which is the log-likelihood with an exact-diffuse start of b, and for each parameter

    d log L = 1/2 sum_c c' dS c - 1/2 tr(S^{-1} dS)

with c = S^{-1/2}' [(I - Q Q')e, Q], from one smoother pass with the q states. The average information
1/2 u'S_i P S_j u, u = P y, takes the whitened columns S_i u, by the same banded system.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

import numpy as np
from scipy.linalg.lapack import dtbtrs
from scipy.signal import lfilter
from statsmodels.tsa.statespace.initialization import Initialization
from statsmodels.tsa.statespace.kalman_smoother import SMOOTHER_DISTURBANCE_COV

from ..engine.representation import Mixin
from ..engine.smoother import Smoother
from ..engine.system import System, write
from ..engine.system_score import SystemScore
from ..fit.problem import EstimationProblem
from ..numerics.linear_algebra import STABILITY_LIMIT, Array
from ..numerics.recursions import unit_band
from ..params.affine import Elements
from ..params.layout import ParameterLayout
from .coefficients import Coefficients
from .obs_scale import scaled_cov

_LEAST_PIVOT = 1e-10
"""Least pivot of a forecast covariance, as a share of its diagonal, at which the score keeps its digits."""
_LEAST_RANK = 1e-6
"""The same for the columns of the whitened regressors."""


@dataclass(frozen=True)
class _Pass:
    """
    One pass of the filter, time first.

    Attributes
    ----------
    llf : float
        The log-likelihood.
    start, cov : ndarray
        P_1 (q, q) and P_t (n, q, q).
    whiten, gain : ndarray
        F_t^{-1/2} (n, p, p) and K_t (n, q, p).
    steps : ndarray
        M_t = diag(phi) - K_t Z_t, (n, q, q).
    states : ndarray, (n, q, c + 1)
        Predicted states of the columns of X and of y.
    rotation : ndarray, (c + 1, c + 1)
        The matrix from the whitened columns to [Q, (I - Q Q')e].
    errors : ndarray, (n, p, c + 1)
        [Q, (I - Q Q')e].
    """

    llf: float
    start: Array
    cov: Array
    whiten: Array
    gain: Array
    steps: Array
    states: Array
    rotation: Array
    errors: Array


class Deviations:
    """
    The likelihood of one data set as a function of H, W and phi.

    Parameters
    ----------
    endog : ndarray, (n, p)
        Series less known intercepts; NaN marks a missing value.
    constant, moving : ndarray, (p, c, n), (p, q, n)
        X_t and Z_t.
    scale : ndarray, (n, p), optional
        Multipliers of the standard deviations of the noise.
    """

    def __init__(self, endog: Array, constant: Array, moving: Array, scale: Array | None = None) -> None:
        (n, p), q = endog.shape, moving.shape[1]
        missing = np.isnan(endog)
        self._n, self._q, self._count = n, q, int(np.sum(~missing))
        self._scale = np.ones((n, p)) if scale is None else scale
        self._seen = (~missing).astype(float)
        self._both = (~missing)[:, :, None] & (~missing)[:, None, :]
        columns = np.concatenate([np.moveaxis(constant, 2, 0), endog[:, :, None]], axis=2)
        self._columns = np.where(missing[:, :, None], 0.0, columns)
        self._design = np.where(missing[:, :, None], 0.0, np.moveaxis(moving, 2, 0))
        self._ssm = Smoother(endog, q, q)._smoother(0, True)
        zero, one = np.zeros((q, q)), np.eye(q)
        nothing = np.zeros(p), np.eye(p), zero, np.zeros(q), one, zero
        write(
            self._ssm,
            System(
                moving, *nothing, initialization_type="known", initial_state=zero[0], initial_state_cov=zero
            ),
        )

    def loglike(self, obs_cov: Array, state_cov: Array, phi: Array) -> float | None:
        """Return the log-likelihood, or None if it needs a pass with all states."""
        found = self._pass(obs_cov, state_cov, phi)
        return None if found is None else found.llf

    def loglikes(self, covs: Array, state_covs: Array, phis: Array) -> Array:
        """
        Return the log-likelihoods at several points, from one loop over time for all of them.

        Parameters
        ----------
        covs, state_covs, phis : ndarray, (b, p, p), (b, q, q), (b, q)
            V, W and phi of each point.

        Raises
        ------
        numpy.linalg.LinAlgError
            If a point has a singular row.

        Notes
        -----
        The normal equations of the constants lose more digits than `loglike`.
        """
        shares = phis[:, :, None] * phis[:, None, :]
        P, wide = state_covs / (1.0 - shares), self._columns.shape[2]
        states, total = np.zeros((len(P), self._q, wide)), np.zeros(len(P))
        sums = np.zeros((len(P), wide, wide))
        for t, (Z, columns) in enumerate(zip(self._design, self._columns, strict=True)):
            half = Z @ P
            noise = covs * np.where(self._both[t], np.multiply.outer(self._scale[t], self._scale[t]), 0.0)
            factor = np.linalg.cholesky(half @ Z.T + noise + np.diag(1.0 - self._seen[t]))
            right = np.concatenate([half, columns - Z @ states], axis=2)
            gain, errors = np.split(np.linalg.inv(factor) @ right, [self._q], axis=2)
            back = np.swapaxes(gain, 1, 2)
            total += 2.0 * np.log(np.einsum("bii->bi", factor)).sum(axis=1)
            sums += np.swapaxes(errors, 1, 2) @ errors
            states = phis[:, :, None] * (states + back @ errors)
            P = shares * (P - back @ gain) + state_covs
        by_constants, cross = sums[:, :-1, :-1], sums[:, :-1, -1:]
        explained = (np.swapaxes(cross, 1, 2) @ np.linalg.solve(by_constants, cross))[:, 0, 0]
        total += np.linalg.slogdet(by_constants)[1] + sums[:, -1, -1] - explained
        return np.asarray(-0.5 * (self._count * np.log(2.0 * np.pi) + total))

    def score(
        self, obs_cov: Array, state_cov: Array, phi: Array
    ) -> tuple[float, dict[str, Array], Array] | None:
        """
        Return the log-likelihood and its derivatives by matrix and by phi.

        The derivative by H is the sum over time if H is constant. The result is None if the derivatives need
        a pass with all states.
        """
        found = self._pass(obs_cov, state_cov, phi)
        if found is None:
            return None
        adjoint_cov = np.asarray(self._ssm._smooth(SMOOTHER_DISTURBANCE_COV).scaled_smoothed_estimator_cov)
        N = adjoint_cov.transpose(2, 0, 1)
        adjoint, r, u = self._backward(found, found.errors)
        back, NK = np.swapaxes(found.gain, 1, 2), N[1:] @ found.gain
        by_start = 0.5 * (adjoint[0] @ adjoint[0].T - N[0]) / (1.0 - np.multiply.outer(phi, phi))
        by_noise = 0.5 * (np.tensordot(r, r, ((0, 2), (0, 2))) - N[1:].sum(axis=0)) + by_start
        ahead = found.states @ found.rotation + found.cov @ adjoint
        by_phi = np.einsum("tic,tic->i", r, ahead)
        by_phi -= np.einsum("tij,tij->i", N[1:] @ found.steps, found.cov)
        by_phi += 2.0 * (by_start * found.start) @ phi
        known = found.whiten * self._seen[:, None, :]
        by_errors = u @ np.swapaxes(u, 1, 2) - np.swapaxes(known, 1, 2) @ known - back @ NK
        by_errors = 0.5 * (by_errors.sum(axis=0) if obs_cov.ndim == 2 else np.moveaxis(by_errors, 0, 2))
        return found.llf, {"obs_cov": by_errors, "state_cov": by_noise}, by_phi

    def information(
        self, obs_cov: Array, state_cov: Array, phi: Array, by_cov: tuple[Array, Array], by_phi: Elements
    ) -> Array:
        """
        Return the average of the observed and the expected information.

        Parameters
        ----------
        obs_cov, state_cov, phi : ndarray
            H, W and phi.
        by_cov : tuple of ndarray, (m, p, p) and (m, q, q)
            Derivatives of V and W by m parameters. V has the multipliers of H.
        by_phi : Elements
            Derivatives of phi.

        Raises
        ------
        numpy.linalg.LinAlgError
            If a matrix is too close to a singular one.
        """
        found = self._pass(obs_cov, state_cov, phi)
        if found is None:
            raise np.linalg.LinAlgError("The covariance of a row is singular")
        adjoint, r, u = (each[:, :, 0] for each in self._backward(found, found.errors[:, :, -1:]))
        stationary = 1.0 - np.multiply.outer(phi, phi)
        errors = _products(by_cov[0], self._scale * u) * (self._scale * self._seen)[:, :, None]
        # what the derivatives of the covariance of the states add to d_{t+1} and to d_1
        noise, first = _products(by_cov[1], r), _products(by_cov[1] / stationary, adjoint[:1])[0]
        states = (found.states @ found.rotation[:, -1:])[:, :, 0] + (found.cov @ adjoint[:, :, None])[:, :, 0]
        for i, param, value in zip(by_phi.rows, by_phi.params, by_phi.values, strict=True):
            delayed = lfilter([1.0], [1.0, -phi[i]], adjoint[::-1, i])[::-1]  # sum of phi^s r_{t+s}
            later = np.concatenate([delayed[2:], np.zeros(2)])
            noise[:, i, param] += value * states[:, i]
            noise[:, :, param] += value * np.multiply.outer(later, state_cov[:, i])
            slope = found.start[i] * phi / stationary[i]
            first[:, param] += value * (found.start[:, i] * delayed[1] + slope * adjoint[0, i])
            first[i, param] += value * (slope @ adjoint[0])
        moves = np.concatenate([first[None], noise[:-1] - found.gain[:-1] @ errors[:-1]])
        errors = found.whiten @ (errors + self._design @ self._solved(found.steps, moves, "N"))
        flat = errors.reshape(-1, errors.shape[2])
        along = found.errors[:, :, :-1].reshape(len(flat), -1).T @ flat
        return np.asarray(0.5 * (flat.T @ flat - along.T @ along))

    def _backward(self, found: _Pass, errors: Array) -> tuple[Array, Array, Array]:
        """Return the adjoints r_{t-1} and r_t, and the smoothing errors u_t, of whitened columns."""
        smoothed = np.swapaxes(found.whiten, 1, 2) @ errors
        adjoint = self._solved(found.steps, np.swapaxes(self._design, 1, 2) @ smoothed, "T")
        r = np.concatenate([adjoint[1:], np.zeros((1, *adjoint.shape[1:]))])
        return adjoint, r, smoothed - np.swapaxes(found.gain, 1, 2) @ r

    def _pass(self, obs_cov: Array, state_cov: Array, phi: Array) -> _Pass | None:
        """Run the filter; return None if digits would be lost."""
        if self._columns[:, :, 0].size < self._columns.shape[2] or not np.max(np.abs(phi)) < STABILITY_LIMIT:
            return None
        start = state_cov / (1.0 - np.multiply.outer(phi, phi))
        try:
            cov = self._predicted_cov(obs_cov, state_cov, phi, start)
            half = self._design @ cov
            F = half @ np.swapaxes(self._design, 1, 2)
            F += np.where(self._both, obs_cov if obs_cov.ndim == 2 else np.moveaxis(obs_cov, 2, 0), 0.0)
            diagonal = np.einsum("tii->ti", F)
            diagonal += 1.0 - self._seen
            factor = np.linalg.cholesky(F)
        except (np.linalg.LinAlgError, ArithmeticError):
            return None
        pivots = np.einsum("tii->ti", factor)
        if not np.all(pivots**2 > _LEAST_PIVOT * diagonal):
            return None
        whiten = np.linalg.inv(factor)
        gain = phi[:, None] * np.swapaxes(half, 1, 2) @ np.swapaxes(whiten, 1, 2) @ whiten
        steps = np.diag(phi) - gain @ self._design
        moves = np.zeros((self._n, self._q, self._columns.shape[2]))
        np.matmul(gain[:-1], self._columns[:-1], out=moves[1:])
        states = self._solved(steps, moves, "N")
        errors = whiten @ (self._columns - self._design @ states)
        Q, R = np.linalg.qr(errors.reshape(-1, errors.shape[2]))
        sizes, size = np.abs(np.diagonal(R))[:-1], R[-1, -1]
        if not np.all(sizes > _LEAST_RANK * np.linalg.norm(R[:, :-1], axis=0)):
            return None  # the constants are collinear
        Q[:, -1] *= size
        R[-1, -1] = 1.0
        llf = self._count * np.log(2.0 * np.pi) + 2.0 * np.sum(np.log(pivots)) + 2.0 * np.sum(np.log(sizes))
        rotation, left = np.linalg.inv(R), Q.reshape(errors.shape)
        return _Pass(-0.5 * float(llf + size**2), start, cov, whiten, gain, steps, states, rotation, left)

    def _predicted_cov(self, obs_cov: Array, state_cov: Array, phi: Array, start: Array) -> Array:
        """Return P_t, time first."""
        ssm = self._ssm
        ssm["obs_cov"] = np.asfortranarray(obs_cov)
        ssm["transition"], ssm["state_cov"] = np.diag(phi), state_cov
        ssm.initialization = Initialization(self._q, "known", stationary_cov=start)
        return np.asarray(ssm._filter().predicted_state_cov)[:, :, :-1].transpose(2, 0, 1)

    def _solved(self, steps: Array, right: Array, trans: str) -> Array:
        """Solve a_{t+1} = u_{t+1} + M_t a_t, or its transpose, for several columns."""
        band = unit_band(steps, self._n)
        flat = dtbtrs(band, right.reshape(self._n * self._q, -1), uplo="L", trans=trans, diag="U")[0]
        return np.asarray(flat).reshape(right.shape)


def _products(slopes: Array, vectors: Array) -> Array:
    """Return the products of m matrices with vectors (n, size), (n, size, m)."""
    return np.moveaxis(vectors @ np.swapaxes(slopes, 1, 2), 0, 2)


class DeviationScores(Mixin):
    """
    Mixin of regressions that evaluates them by their deviations alone where these have all the noise.

    The levels must have an exact-diffuse start.
    """

    layout: ParameterLayout
    coefficients: Coefficients
    obs_scale: Array | None
    proportional: list[int]
    initialization_kind: str
    _design: Array
    _intercept: Array

    @property
    def _deviations(self) -> Deviations | None:
        """The likelihood by the deviations, unless the user set another initialization."""
        found: Deviations | None = self.private_smoother.deviations
        return found if self.user_initialization is None else None

    def _new_deviations(self) -> Deviations | None:
        """Return the likelihood by the deviations, or None if there are others than stationary ones."""
        c, diffuse = self.coefficients, self.initialization_kind == "diffuse"
        if not diffuse or not c.autoregressive or c.moving != c.autoregressive:
            return None
        constant, moving = np.split(self._design, [c.n_levels], axis=1)
        return Deviations(self.endog - self._intercept.T, constant, moving, self.obs_scale)

    def _moves(self, params: Array) -> tuple[Array, Array, Array]:
        """Return V, W and the autoregressive coefficients."""
        at, rows = self._blocks(params), self.coefficients.noise_rows
        return at["obs_cov"], at["state_cov"], at["transition"][np.arange(len(rows)), rows]

    def _deviation_score(self, params: Array) -> SystemScore | None:
        """Return the score by system matrix, or None if it needs a pass with all states."""
        deviations, rows = self._deviations, self.coefficients.noise_rows
        if deviations is None:
            return None
        V, W, phi = self._moves(params)
        found = deviations.score(scaled_cov(V, self.obs_scale), W, phi)
        if found is None:
            return None
        llf, by_matrix, by_phi = found
        by_transition = np.zeros((self.coefficients.k_states,) * 2)
        by_transition[rows, rows] = by_phi
        return SystemScore(llf, by_matrix | {"transition": by_transition})

    def _deviation_information(self, params: Array) -> Array:
        """
        Return the average of the observed and the expected information at a full parameter vector.

        The second derivatives of W and V by loadings are included, times the score.

        Raises
        ------
        numpy.linalg.LinAlgError
            If a matrix is too close to a singular one.
        """
        deviations, (V, W, phi) = cast(Deviations, self._deviations), self._moves(params)
        by_phi = self.layout.derivative("transition", np.arange(len(self.layout)))
        found = deviations.information(scaled_cov(V, self.obs_scale), W, phi, self._slopes(params), by_phi)
        return found - self._curvature(params)

    def _slopes(self, params: Array) -> tuple[Array, Array]:
        """Return the derivatives of V and W by all parameters, (m, p, p) and (m, q, q)."""
        at = self._blocks(params)
        dV, dW = (self._derivative(f"{key}_cov") for key in ("obs", "state"))
        for key, slopes in (("obs", dV), ("state", dW)):
            by_loading = self._derivative(f"{key}_loading") @ at[f"{key}_loading"].T
            slopes += by_loading + np.swapaxes(by_loading, 1, 2)
        by_share = self._derivative("proportion")
        for i, place in enumerate(self.proportional):
            rows = self.coefficients.noise_places(place)
            dW[:, rows[:, None], rows] = (
                at["proportion"][i, i] * dV + by_share[:, i, i, None, None] * at["obs_cov"]
            )
        return dV, dW

    def _derivative(self, key: str) -> Array:
        """Return the derivative of a block by all parameters, (m, rows, columns)."""
        m = len(self.layout)
        return self.layout.derivative(key, np.arange(m)).dense(m, self.layout.blocks[key].shape)

    def _curvature(self, params: Array) -> Array:
        """Return the second derivatives of V and W by loadings, times the score."""
        out = np.zeros((len(self.layout),) * 2)
        score = self._deviation_score(params) if self.has_factors else None
        if score is None:
            return out
        by = self.score_by_block(score, params)
        for key in ("obs", "state"):
            slopes, by_loading = by[f"{key}_cov"], self._derivative(f"{key}_loading")
            out += np.einsum("iab,ac,jcb->ij", by_loading, slopes + slopes.T, by_loading, optimize=True)
        return out

    def _values(self, problem: EstimationProblem, points: Sequence[Array]) -> Array:
        """Return the log-likelihoods at several points, minus infinity where it does not exist."""
        deviations, found = self._deviations, None
        if deviations is not None:
            moves = [self._moves(problem.full(point)) for point in points]
            with suppress(np.linalg.LinAlgError):
                found = deviations.loglikes(*(np.array(each) for each in zip(*moves, strict=True)))
        if found is None:
            return np.array([problem.value(point) for point in points])
        exist = np.isfinite(found) & np.array([problem.feasible(point) for point in points])
        return np.where(exist, found, -np.inf)
