r"""
The observed information of a linear Gaussian model with constant matrices, in one pass.

The score is that of the expected complete-data log-likelihood (Fisher's identity), a function of the matrices
and of the smoothed moments. Its derivative along a parameter needs the derivatives of those moments. With
J_t = Z_o' H_oo^{-1} Z_o, F_t = (P_t^{-1} + J_t)^{-1}, K_t = I - F_t J_t and M_t = (I + P_t J_t)^{-1},

.. math::

    dF = M dP M' - F dJ F, \quad dP_{t+1} = T dF T' + dT F T' + T F dT' + dW,

    dN_{t-1} = dJ K + J dK + d(TK)' N TK + (TK)' dN TK + (TK)' N d(TK),

    dV = dP - dP N P - P N dP - P dN P.

Smoothed means need no derivative of a covariance: along a parameter, dxhat is the smoothed mean of the same
system with the inputs dT xhat_t + dc_t + dW r_t of the state equation, the linear term
dh_t - dJ_t xhat_t + dT' r_t of the log-density, and the first state da_1 + dP_1 r_0.

With complete rows a covariance sees a parameter only through (dJ, dT, dW, dP_1). Those directions are
carried, regardless of the number of series. With missing cells and a diagonal H every parameter has its own.

The second part is the average of the observed and the expected information about variances.

Let y ~ N(X delta, Sigma) with a flat prior of delta. Let Sigma be affine in the parameters, with derivatives
S_i, and let P = Sigma^{-1} - Sigma^{-1} X (X' Sigma^{-1} X)^{-1} X' Sigma^{-1}. The observed information is
y' P S_i P S_j P y - tr(P S_i P S_j) / 2 and the expected one is tr(P S_i P S_j) / 2. Their average has no
trace (Gilmour, Thompson & Cullis 1995):

    1/2 w_i' P w_j,     w_i = S_i P y.

In a state-space form, u = P y are the smoothing errors and r_t the adjoints of the states. Then

    w_it = dH_i u_t + Z_t s_it,     s_i,t+1 = T s_it + dW_i r_t,     s_i1 = 0,

and one filter whitens all w_i together. For n periods, p series, k states and m parameters, this takes about
n m p (2 k + p) + n p m^2 / 2 multiplications and one pass of the filter.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse
from scipy.linalg.lapack import dpotrf, dtrtri

from ..numerics.linear_algebra import Array
from ..numerics.matrix_equations import stationary_covariance
from ..params.affine import Elements
from .regressions import padded
from .smoothed_point import SmoothedPoint

_CHUNK = 2**22
"""Number of elements of an array over periods, parameters and states."""


def second_order_information(system: SmoothedPoint) -> Array | None:
    """
    Return minus the second derivatives of the log-likelihood by ``system.index``.

    None is returned where a covariance is singular, matrices vary over time, or rows are incomplete beside a
    covariance of the observations that is not diagonal.
    """
    if not system.is_supported():
        return None
    m = len(system.index)
    out = np.zeros((m, m))
    step = max(1, _CHUNK // (system.n * system.s * (1 if system.complete else system.s)))
    for first in range(0, m, step):
        last = min(first + step, m)
        out[:, first:last] = _Columns(system, first, last).scores()
    out *= -1.0
    for row in range(m):  # in the memory of the matrix, which may be most of what there is
        out[row, row:] = out[row:, row] = 0.5 * (out[row, row:] + out[row:, row])
    return out


class _Columns:
    """Derivatives of all scores along the parameters first <= place < last."""

    def __init__(self, system: SmoothedPoint, first: int, last: int) -> None:
        self.system, self.m = system, last - first
        self.own = {key: each.between(first, last) for key, each in system.elements.items()}
        k, s, m = system.k, system.s, self.m
        shapes = {key: block.shape for key, block in system.layout.blocks.items()}
        dense = {
            key: self.own[key].dense(m, shapes[key])
            for key in ("transition", "state_cov", "state_intercept", "state_mean", "state_coef",
                        "initial_state", "initial_state_cov")
        }  # fmt: skip
        self.dA, self.dQ, self.dG = dense["transition"], dense["state_cov"], dense["state_coef"]
        self.dmean = dense["state_mean"][:, :, 0]
        self.dlevel = -self.dA.reshape(m, k, -1, k).sum(axis=2)
        self.dc = dense["state_intercept"][:, :, 0] + self.dlevel @ system.mean + self.dmean @ system.level.T
        self.dT, self.dW = np.zeros((m, s, s)), padded(self.dQ, s)
        self.dT[:, :k] = self.dA
        self.da1, self.dP1 = dense["initial_state"][:, :, 0], dense["initial_state_cov"]
        if system.stationary:
            moved = self.dT @ system.initial_moments[0]
            moved[:, :k] += self.dc
            self.da1 = np.linalg.solve(np.eye(s) - system.T, moved.T).T
            self.dP1 = system.first_covariances(self.dT, self.dW)
        self.coefs = system.coefs.between(first, last)
        self.covs = self._covariances()
        self.dx, self.dr0 = self._means()

    # -- moments ---------------------------------------------------------------------------------------

    def _covariances(self) -> dict[str, Array]:
        system, k, p = self.system, self.system.k, self.system.p
        loadings, design, noise = system.loadings, self.own["design"], self.own["obs_cov"]
        unit = np.eye(k)[design.columns] * design.values[:, None]
        side = unit[:, :, None] * loadings[design.rows][:, None, :]
        square = loadings[noise.rows][:, :, None] * loadings[noise.columns][:, None, :]
        change = np.concatenate([side + np.swapaxes(side, 1, 2), -noise.values[:, None, None] * square])
        params = np.concatenate([design.params, noise.params])
        if system.complete:
            dJ = np.zeros((self.m, k, k))
            np.add.at(dJ, params, change)
            weights = system.coordinates(dJ, self.dA, self.dQ, self.dP1)
            return {
                key: np.einsum("md,...dij->...mij", weights, value, optimize=True)
                for key, value in system.basis.items()
            }
        # one direction for each pair of a parameter and a series, and one for what else the parameter moves
        rows = np.concatenate([design.rows, noise.rows])
        keys = np.concatenate([params * (p + 1) + rows, np.arange(self.m) * (p + 1) + p])
        pairs, place = np.unique(keys, return_inverse=True)
        dJ, dT, dW, dP = np.zeros((4, len(pairs), system.s, system.s))
        np.add.at(dJ[:, :k, :k], place[: len(rows)], change)
        dT[place[len(rows) :]], dW[place[len(rows) :]], dP[place[len(rows) :]] = self.dT, self.dW, self.dP1
        mask = np.column_stack([system.seen, np.zeros(system.n)])[:, pairs % (p + 1)]
        found = system.covariances(dJ, mask, dT, dW, dP)
        first = np.searchsorted(pairs // (p + 1), np.arange(self.m))
        out = {key: np.add.reduceat(value, first, axis=value.ndim - 3) for key, value in found.items()}
        out["V"] = np.tensordot(system.seen.T.astype(float), out["V"], 1)
        return out

    def _means(self) -> tuple[Array, Array]:
        """Return dxhat (n, m, s) and dr_0 (m, s)."""
        system, k, n, m = self.system, self.system.k, self.system.n, self.m
        x, r, r0 = system.states
        linear, inputs = np.zeros((2, n, m, system.s))
        weighted = system.weighted(system.residuals.T).T
        loadings, b = system.loadings, system.regressors
        for i, column, place, value in self.coefs:
            shown = b[:, column] if system.complete else b[:, column] * system.seen[:, i]
            linear[:, place, :k] -= value * np.multiply.outer(shown, loadings[i])
            if column < k:
                linear[:, place, column] += value * weighted[:, i]
        for i, j, place, value in self.own["obs_cov"]:
            linear[:, place, :k] -= value * np.multiply.outer(weighted[:, j], loadings[i])
        moving = np.unique(np.concatenate([self.own[key].params for key in (
            "transition", "state_cov", "state_intercept", "state_mean", "state_coef")]))  # fmt: skip
        if len(moving):
            top = r[:, :k]
            linear[:, moving] += np.einsum("ta,jab->tjb", top, self.dA[moving])
            inputs[:, moving, :k] = (
                np.einsum("tb,jab->tja", x, self.dA[moving]) + self.dc[moving]
                + np.einsum("tq,jaq->tja", system.state_exog, self.dG[moving])
                + np.einsum("tb,jab->tja", top, self.dQ[moving])
            )  # fmt: skip
        mean, _, first = system.smoothed(linear, inputs, self.da1 + self.dP1 @ r0)
        return mean, first

    # -- scores ----------------------------------------------------------------------------------------

    def scores(self) -> Array:
        """Return the derivatives of the scores by all parameters, (all, m)."""
        m_all = len(self.system.index)
        out = np.zeros((m_all, self.m))
        self._observation(out)
        self._state(out)
        return out

    def _observation(self, out: Array) -> None:
        system, k = self.system, self.system.k
        flat = self.dx[:, :, :k]
        weighted = system.weighted(system.residuals.T)  # (p, n)
        shown = (weighted @ flat.reshape(system.n, -1)).reshape(system.p, self.m, k)
        dV = self.covs["V"]  # (p or 1, m, k, k)
        if system.complete:
            moved = np.tensordot(flat, system.regressors, (0, 0))[None]  # (1, m, k, r)
        else:
            products = flat[:, :, :, None] * system.regressors[:, None, None, :]
            moved = np.tensordot(system.seen.T.astype(float), products, 1)
        moved = moved.copy()
        moved[..., :k] += dV
        dcoef = -np.einsum("ia,ijab->ijb", system.loadings, moved)
        dcoef[:, :, :k] += shown
        self._own_coefficients(dcoef)
        _add(out, system.coefs, dcoef[system.coefs.rows, :, system.coefs.columns])
        noise = system.elements["obs_cov"]
        if system.diagonal:
            _add(out, noise, self._diagonal_noise(shown, dV)[noise.rows])
        else:
            _add(out, noise, self._full_noise(shown, dV)[noise.rows, noise.columns])

    def _own_coefficients(self, dcoef: Array) -> None:
        """Add what the coefficients and H themselves change in the score by the coefficients."""
        system, noise = self.system, self.own["obs_cov"]
        products = np.broadcast_to(system.seen_products, (system.p, *system.seen_products.shape[1:]))
        for each, moved in (
            (self.coefs, products[self.coefs.rows, self.coefs.columns]),
            (noise, system.coef_score[noise.columns]),
        ):
            if system.diagonal:
                weights = each.values * system.precision[each.rows]
                np.add.at(dcoef, (each.rows, each.params), -weights[:, None] * moved)
            else:
                weights = each.values * system.precision[:, each.rows]
                np.add.at(dcoef.swapaxes(0, 1), each.params, -weights.T[:, :, None] * moved[:, None])

    def _diagonal_noise(self, shown: Array, dV: Array) -> Array:
        """Return the derivatives of 1/2 (E sum e^2 / h^2 - n / h), (p, m)."""
        system = self.system
        Z, h = system.loadings, system.precision
        out = -np.einsum("ia,ija->ij", Z, shown) + 0.5 * np.einsum("ia,ijab,ib->ij", Z, dV, Z)
        coefs, noise = self.coefs, self.own["obs_cov"]
        moved = coefs.values * h[coefs.rows] * system.coef_score[coefs.rows, coefs.columns]
        np.add.at(out, (coefs.rows, coefs.params), -moved)
        count = np.count_nonzero(system.seen, axis=0)
        second = 0.5 * count * h**2 - system.squares * h**3
        np.add.at(out, (noise.rows, noise.params), noise.values * second[noise.rows])
        return out

    def _full_noise(self, shown: Array, dV: Array) -> Array:
        """Return the derivatives of 1/2 (H^{-1} E sum e e' H^{-1} - n H^{-1}), (p, p, m)."""
        system = self.system
        Z, precision = system.loadings, system.precision
        side = -np.einsum("la,ija->lij", Z, shown)
        out = 0.5 * (side + np.swapaxes(side, 0, 1) + np.einsum("la,jab,ib->lij", Z, dV[0], Z))
        score = system.coef_score
        for i, column, j, value in self.coefs:
            side = np.outer(precision[:, i], score[:, column])
            out[:, :, j] -= 0.5 * value * (side + side.T)
        whole = precision @ system.squares @ precision
        for i, other, j, value in self.own["obs_cov"]:
            change = np.outer(precision[:, i], whole[other]) + np.outer(whole[:, i], precision[other])
            out[:, :, j] -= 0.5 * value * (change - system.n * np.outer(precision[:, i], precision[other]))
        return out

    def _state(self, out: Array) -> None:
        """Add the derivatives of the scores by the state equation and by the first state."""
        system, k, s = self.system, self.system.k, self.system.s
        eb, bb, ee = system.state_sums
        A, inverse = system.A, np.linalg.inv(system.W)
        b, eta = system.state_regressors, system.disturbances
        ahead, now = self.dx[1:, :, :k], self.dx[:-1]
        dC = np.concatenate([self.dA, self.dc[:, :, None], self.dG], axis=2)
        before, after, lag = self.covs["before"], self.covs["after"][:, :k, :k], self.covs["lag"][:, :k]
        deb = np.einsum("tja,tb->jab", ahead, b) - A @ np.einsum("tja,tb->jab", now, b) - dC @ bb
        now_eta = np.einsum("ta,tjb->jab", eta, now)
        deb[:, :, :s] += now_eta + lag - A @ before
        moved = np.einsum("tja,tb->jab", ahead, eta) - A @ np.swapaxes(now_eta, 1, 2) - lag @ A.T - dC @ eb.T
        dee = moved + np.swapaxes(moved, 1, 2) + after + A @ before @ A.T
        score = inverse @ eb
        dscore = inverse @ (deb - self.dQ @ score)
        side = inverse @ self.dQ @ inverse @ ee @ inverse
        dnoise = 0.5 * (inverse @ dee @ inverse - side - np.swapaxes(side, 1, 2)
                        + (system.n - 1) * inverse @ self.dQ @ inverse)  # fmt: skip
        by_c, by_G = score[:, s], dscore[:, :, s + 1 :]
        dby_T, dby_c = dscore[:, :, :s], dscore[:, :, s]
        dr0 = self.dr0
        r0 = system.states[2]
        side = dr0[:, :, None] * r0
        dGamma = 0.5 * (side + np.swapaxes(side, 1, 2) - self.covs["initial"])
        if system.stationary:
            g, Lambda = system.initial_adjoint
            T, (a1, P1) = system.T, system.initial_moments
            dg = np.linalg.solve(np.eye(s) - T.T, (dr0 + np.swapaxes(self.dT, 1, 2) @ g).T).T
            side = np.swapaxes(self.dT, 1, 2) @ (Lambda @ T)
            dLambda = stationary_covariance(T, dGamma + side + np.swapaxes(side, 1, 2), adjoint=True)
            dnoise = dnoise + dLambda[:, :k, :k]
            dby_T = dby_T + (
                2 * (dLambda @ (T @ P1) + Lambda @ self.dT @ P1 + (Lambda @ T) @ self.dP1)
                + dg[:, :, None] * a1 + g[:, None] * self.da1[:, None, :]
            )[:, :k]  # fmt: skip
            by_c, dby_c = by_c + g[:k], dby_c + dg[:, :k]
        else:
            _add(out, system.elements["initial_state"], dr0.T[system.elements["initial_state"].rows])
            each = system.elements["initial_state_cov"]
            _add(out, each, np.moveaxis(dGamma, 0, 2)[each.rows, each.columns])
        shift = dby_c[:, :, None] * system.mean + by_c[:, None] * self.dmean[:, None, :]
        by_block = {
            "transition": dby_T - np.tile(shift, system.lags),
            "state_cov": dnoise,
            "state_intercept": dby_c[:, :, None],
            "state_mean": (dby_c @ system.level + np.swapaxes(self.dlevel, 1, 2) @ by_c)[:, :, None],
            "state_coef": by_G,
        }
        for key, change in by_block.items():
            each = system.elements[key]
            _add(out, each, np.moveaxis(change, 0, 2)[each.rows, each.columns])


def _add(out: Array, each: Elements, change: Array) -> None:
    """Add derivatives by element (elements, m) to those by parameter (all, m)."""
    if len(each.params):
        gather = scipy.sparse.csr_matrix(
            (each.values, (each.params, np.arange(len(each.params)))), shape=(len(out), len(each.params))
        )
        out += gather @ change


_AT_ONCE = 2**22
"""Largest number of elements of the derivatives that are stored at once."""


class AverageInformation:
    """
    A pass of the filter, and what the average information needs of it.

    Parameters
    ----------
    endog : ndarray, (n, p)
        Series less their intercepts; NaN marks a missing value.
    design : ndarray, (n, p, k)
        Z.
    obs_cov : ndarray, (p, p)
        H.
    transition, noise : ndarray, (k, k)
        T and the covariance W of the disturbances of the states.
    mean, cov : ndarray
        Mean and finite covariance of the first state.
    directions : ndarray, (k, d)
        Diffuse directions of the first state.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the covariance of a row given the rows before it and delta is singular.
    """

    def __init__(
        self,
        endog: Array,
        design: Array,
        obs_cov: Array,
        transition: Array,
        noise: Array,
        mean: Array,
        cov: Array,
        directions: Array,
    ) -> None:
        n, p, k = design.shape
        seen = ~np.isnan(endog)
        self._seen, self._design = seen, design * seen[:, :, None]
        self._T = None if np.array_equal(transition, np.eye(k)) else transition
        wide = 1 + directions.shape[1]
        states = np.column_stack([mean, -directions])
        # the diffuse directions have a covariance of the size of the data, which does not change P: with it a
        # singular H leaves the first rows a regular covariance
        size = np.sum((self._design @ directions) ** 2, axis=(0, 1))
        squares = np.nansum(endog**2) / np.where(size > 0.0, size, 1.0)
        cov = cov + (directions * squares) @ directions.T
        self._whiten, self._gain = np.empty((n, p, p)), np.empty((n, p, k))
        errors = np.zeros((n, p, wide))
        errors[:, :, 0] = np.where(seen, endog, 0.0)
        for t, (Z, here) in enumerate(zip(self._design, seen, strict=True)):
            ZP = Z @ cov
            F = ZP @ Z.T + np.where(np.outer(here, here), obs_cov, np.eye(p))
            factor, failed = dpotrf(F, lower=1, clean=1)
            if failed:
                raise np.linalg.LinAlgError("The covariance of a row is singular")
            whiten = dtrtri(factor, lower=1)[0]
            errors[t] = whiten @ (errors[t] - Z @ states)
            gain = whiten @ ZP
            states = self._ahead(states + gain.T @ errors[t])
            cov = cov - gain.T @ gain
            cov = (cov if self._T is None else self._T @ cov @ self._T.T) + noise
            self._whiten[t], self._gain[t] = whiten, gain
        self._diffuse = np.linalg.qr(errors[:, :, 1:].reshape(n * p, wide - 1))[0]
        ours = errors[:, :, 0].ravel()
        self._adjoints((ours - self._diffuse @ (self._diffuse.T @ ours)).reshape(n, p))

    def _ahead(self, states: Array) -> Array:
        return states if self._T is None else self._T @ states

    def _adjoints(self, errors: Array) -> None:
        """Set the smoothing errors u_t and the adjoints r_t from the whitened errors."""
        n, _, k = self._design.shape
        self._u, self._r, r = np.empty(errors.shape), np.zeros((n, k)), np.zeros(k)
        for t in range(n - 1, -1, -1):
            self._r[t] = r
            moved = r if self._T is None else self._T.T @ r
            self._u[t] = self._whiten[t].T @ (errors[t] - self._gain[t] @ moved)
            r = self._design[t].T @ self._u[t] + moved

    def by(self, obs_cov: Elements, noise: Elements, m: int) -> Array:
        """
        Return the average information about m parameters.

        Parameters
        ----------
        obs_cov, noise : Elements
            Derivatives of H and W.
        m : int
            Number of parameters.
        """
        n, p, k = self._design.shape
        states, products, along = np.zeros((k, m)), np.zeros((m, m)), np.zeros((self._diffuse.shape[1], m))
        length = max(1, _AT_ONCE // max(1, (p + k) * m))
        for first in range(0, n, length):
            part = slice(first, min(first + length, n))
            errors = _products(obs_cov, self._u[part], p, m) * self._seen[part, :, None]
            steps = _products(noise, self._r[part], k, m)
            for t, step in enumerate(steps):
                error = errors[t] = self._whiten[first + t] @ (errors[t] + self._design[first + t] @ states)
                states = self._ahead(states - self._gain[first + t].T @ error) + step
            flat = errors.reshape(-1, m)
            products += flat.T @ flat
            along += self._diffuse[part.start * p : part.stop * p].T @ flat
        return np.asarray(0.5 * (products - along.T @ along))


def _products(derivatives: Elements, vectors: Array, size: int, m: int) -> Array:
    """Return the products of the derivatives of a matrix by m parameters with vectors, (n, size, m)."""
    out = np.zeros((len(vectors), size, m))
    for i, j, q, value in derivatives:
        out[:, i, q] += value * vectors[:, j]
    return out
