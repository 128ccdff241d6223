"""One private smoother, and the E-step made of what it returns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from statsmodels.tsa.statespace.kalman_smoother import (
    SMOOTHER_STATE,
    SMOOTHER_STATE_AUTOCOV,
    SMOOTHER_STATE_COV,
    KalmanSmoother,
)

from ..em.regressions import Moments, Regression, observation_equation, padded, state_equation
from ..numerics.diffuse_start import FirstRows, SmoothedRows
from ..numerics.linear_algebra import Array, by_diagonal, diagonal_matrix, symmetrize
from .collapsing import FEWEST, collapsed_rows, collapses
from .compat import without_absolute_tolerances
from .exact_start import LEAST_KEPT, Axes, Start, after, begun, kept_share, rows_needed, start_of
from .filters import choose_recursions
from .system import System, require_density, write


@dataclass(frozen=True)
class Filtered:
    """
    What the filter left of one smoother pass.

    Attributes
    ----------
    system : System
        The matrices, in the coordinates of the states that were used.
    axes : Axes or None
        These coordinates, where they are not those of the model.
    predicted, predicted_cov : ndarray
        a_t (k, n) and P_t (k, k, n).
    gain, forecast_cov : ndarray or None
        K_t (k, p, n) and F_t (p, p, n); None if a row is incomplete, or the filter took the series
        one by one, so that they are not those of y_t.
    """

    system: System
    predicted: Array
    predicted_cov: Array
    gain: Array | None = None
    forecast_cov: Array | None = None
    axes: Axes | None = None


@dataclass(frozen=True)
class Smoothed:
    """
    Output of one smoother pass, time last.

    The arrays may be views of the smoother's memory: the next pass writes over them.

    Attributes
    ----------
    llf : float
        Log-likelihood.
    mean, cov, lag_cov : ndarray
        E[x_t|Y] (k, n), Var[x_t|Y] (k, k, n) and Cov(x_{t+1}, x_t|Y) (k, k, n - 1), or (k, k, 0).
    adjoint, adjoint_cov : ndarray
        r_t (k, n) and N_t (k, k, n).
    first_adjoint, first_adjoint_cov : ndarray
        r_0 (k,) and N_0 (k, k).
    """

    llf: float
    mean: Array
    cov: Array
    lag_cov: Array
    adjoint: Array
    adjoint_cov: Array
    first_adjoint: Array
    first_adjoint_cov: Array

    def moments(self, llf: float, observation: Regression, state: Regression) -> Moments:
        """Return the moments of an E-step, given its log-likelihood and the sums of its two regressions."""
        return Moments(
            llf,
            observation,
            state,
            initial_mean=np.array(self.mean[:, 0]),
            initial_cov=symmetrize(self.cov[:, :, 0]),
            initial_score=np.array(self.first_adjoint),
            initial_information=symmetrize(self.first_adjoint_cov),
        )

    def along(self, axes: Axes | None) -> Smoothed:
        """Return the output for x, given that for S x."""
        if axes is None:
            return self
        S, back = axes.forward, axes.back
        return Smoothed(
            self.llf,
            back @ self.mean,
            _turned(back, self.cov),
            _turned(back, self.lag_cov),
            S.T @ self.adjoint,
            _turned(S.T, self.adjoint_cov),
            S.T @ self.first_adjoint,
            S.T @ self.first_adjoint_cov @ S,
        )


def _turned(left: Array, covs: Array) -> Array:
    """Return L V_t L', time last."""
    return np.moveaxis(left @ np.moveaxis(covs, 2, 0) @ left.T, 0, 2)


_WORSE = 10.0
"""
Growth of the inflation, since the number of first rows was chosen, at which it is chosen anew. Axes are
chosen anew at a decrease too: those of a nearly singular distribution lose all digits of another.
"""


def without_uncertainty(states: Array) -> Smoothed:
    """Return the output as if states (k, n) were observed."""
    k, n = states.shape
    zero, zeros = np.zeros((k, n)), np.zeros((k, k, n))
    return Smoothed(0.0, states, zeros, zeros[:, :, 1:], zero, zeros, np.zeros(k), np.zeros((k, k)))


class Smoother:
    """
    A smoother of its own for one data set: using it touches no model and no earlier result.

    Parameters
    ----------
    endog : ndarray, (nobs, k_endog)
        Observations; NaN marks a missing value.
    k_states, k_posdef : int
        Number of states and of state disturbances.
    exog, state_exog : ndarray, optional
        Regressors (nobs, r) of the observation and the state equation, appended to (x_t, 1).
    given_start : bool, default False
        Whether the first state is known, and not estimated: series without noise are then refused where its
        distribution leaves them certain.
    """

    def __init__(
        self,
        endog: Array,
        k_states: int,
        k_posdef: int,
        exog: Array | None = None,
        state_exog: Array | None = None,
        given_start: bool = False,
    ) -> None:
        self._given_start = given_start
        self.endog = np.array(endog, dtype=float, order="C")
        self.missing = np.isnan(self.endog)
        self.incomplete = bool(self.missing.any())
        self.exog = np.zeros((len(endog), 0)) if exog is None else exog
        self.state_exog = np.zeros((len(endog), 0)) if state_exog is None else state_exog
        self._k_states, self._k_posdef = k_states, k_posdef
        self._ssm: dict[tuple[int, bool], KalmanSmoother] = {}
        self._chosen: dict[bytes, tuple[int, float, Axes | None]] = {}

    @cached_property
    def seen(self) -> Array:
        """One for each observed element, zero for a missing one, as floats (nobs, k_endog)."""
        return np.asarray((~self.missing).astype(float))

    @cached_property
    def filled(self) -> Array:
        """The observations, zero where they are missing."""
        return np.where(self.missing, 0.0, self.endog) if self.incomplete else self.endog

    @cached_property
    def patterns(self) -> tuple[Array, Array]:
        """The distinct patterns of missing elements, and which of them each period has."""
        found, place = np.unique(self.missing, axis=0, return_inverse=True)
        return found, np.ravel(place)

    def _smoother(self, first: int, keep: bool) -> KalmanSmoother:
        """Return a smoother of the rows from ``first`` on; one that keeps no output is another object."""
        key = (first, keep)
        if key not in self._ssm:
            ssm = KalmanSmoother(self.endog.shape[1], self._k_states, self._k_posdef)
            without_absolute_tolerances(ssm)
            if not keep:
                choose_recursions(ssm)
            ssm.bind(self.endog[first:].T.copy(order="F"))
            self._ssm[key] = ssm
        return self._ssm[key]

    def loglike(self, system: System) -> float:
        """Return the log-likelihood, by collapsed rows or the Chandrasekhar recursions where they pay."""
        require_density(self.missing, system, self.patterns[0], self._given_start)
        if system.diffuse:
            rows, system, _ = self.begin(system)
            if len(rows.steps) == len(self.endog):
                return rows.llf
            return rows.llf + float(self._later(rows, system, False).loglike())
        p = self.endog.shape[1]
        if p >= FEWEST and collapses(p, system):
            found = collapsed_rows(self, system)
            if found is not None:
                short = Smoother(found.endog, self._k_states, self._k_posdef)
                return short.loglike(found.system) - float(found.constant.sum())
        ssm = self._smoother(0, False)
        write(ssm, system, solved=True)
        return float(ssm.loglike())

    def begin(self, system: System) -> tuple[FirstRows, System, Axes | None]:
        """
        Return the first rows of an exact-diffuse start, and the system along the axes that are used.

        Raises
        ------
        UnsupportedError
            If the whole sample determines a diffuse direction by less than doubles carry.
        """
        start = self.start_of(system)
        key = start[1].tobytes()
        if key in self._chosen:
            count, most, axes = self._chosen[key]
            along = system if axes is None else axes.system(system)
            rows = begun(self.endog, self.missing, along, start, count, axes)
            inflation = rows.solution.inflation
            if inflation <= most and (axes is None or inflation * _WORSE**2 >= most):
                return rows, along, axes
        return self._choose(system, start, key)

    def _choose(self, system: System, start: Start, key: bytes) -> tuple[FirstRows, System, Axes | None]:
        """Choose the number of first rows: the later ones must leave digits of Var(x_{m+1}|y_1..y_m)."""
        n, count = len(self.endog), 1
        while True:
            count = rows_needed(self.endog, self.missing, system, start, count)
            rows, along = begun(self.endog, self.missing, system, start, count), system
            axes = Axes.of(rows)
            if axes is not None:
                along = axes.system(system)
                rows = begun(self.endog, self.missing, along, start, count, axes)
            if count == n:
                break
            run = self._later(rows, along, True)._filter()
            if kept_share(along, count, np.asarray(run.predicted_state_cov)[:, :, : n - count]) > LEAST_KEPT:
                break
            count = min(count + 1 + count // 2, n)
        self._chosen[key] = count, _WORSE * rows.solution.inflation, axes
        return rows, along, axes

    def _later(self, rows: FirstRows, system: System, keep: bool) -> KalmanSmoother:
        """Return a smoother set to the rows after the first."""
        count = len(rows.steps)
        ssm = self._smoother(count, keep)
        write(ssm, after(system, count, *rows.next_state))
        return ssm

    def smooth(self, system: System, *, lag_cov: bool = True) -> Smoothed:
        """
        Run the smoother.

        Parameters
        ----------
        system : System
            The matrices.
        lag_cov : bool
            Whether Cov(x_{t+1}, x_t|Y) is needed.

        Notes
        -----
        The filter and the smoother are read where they stand: the results objects of statsmodels copy every
        array twice.
        """
        return self._whole(system, lag_cov)[0]

    def _whole(self, system: System, lag_cov: bool) -> tuple[Smoothed, Filtered]:
        """Return the output for all rows, and what the filter left."""
        first, later, filtered = self.smooth_along(system, lag_cov=lag_cov)
        smoothed = later if first is None else _joined(first, later)
        return smoothed.along(filtered.axes), filtered

    def states(self, system: System) -> tuple[Array, Array, int]:
        """
        Return E[x_t|Y] (k, n), P_t (k, k, n), and the number of first rows of an exact-diffuse start.

        P_t is zero in those rows.
        """
        smoothed, filtered = self._whole(system, False)
        axes, covs = filtered.axes, filtered.predicted_cov
        covs = covs if axes is None else _turned(axes.back, covs)
        count = len(self.endog) - covs.shape[2]
        return np.array(smoothed.mean), np.pad(covs, ((0, 0), (0, 0), (count, 0))), count

    def smooth_along(
        self, system: System, *, lag_cov: bool = True
    ) -> tuple[SmoothedRows | None, Smoothed, Filtered]:
        """
        Run the smoother in coordinates that keep digits.

        Returns
        -------
        first : SmoothedRows or None
            The first rows of an exact-diffuse start.
        later : Smoothed
            The rows after them; ``llf`` is that of all rows.
        filtered : Filtered
            What the filter left of these, with the coordinates.
        """
        require_density(self.missing, system, self.patterns[0], self._given_start)
        if not system.diffuse:
            ssm = self._smoother(0, True)
            write(ssm, system, solved=True)
            return None, *self._smooth(ssm, system, lag_cov)
        rows, system, axes = self.begin(system)
        if len(rows.steps) == len(self.endog):
            later = without_uncertainty(np.zeros((system.k_states, 0)))
            filtered = Filtered(system, later.mean, later.cov)
        else:
            later, filtered = self._smooth(self._later(rows, system, True), system, lag_cov)
        first = SmoothedRows(rows, later.first_adjoint, later.first_adjoint_cov)
        return first, replace(later, llf=rows.llf + later.llf), replace(filtered, axes=axes)

    def _smooth(self, ssm: KalmanSmoother, system: System, lag_cov: bool) -> tuple[Smoothed, Filtered]:
        """Run a smoother whose start is proper."""
        run = ssm._filter()
        output = SMOOTHER_STATE | SMOOTHER_STATE_COV
        back = ssm._smooth(output | SMOOTHER_STATE_AUTOCOV if lag_cov else output)
        n = int(ssm.nobs)
        cov = np.asarray(back.smoothed_state_cov)
        adjoint = np.asarray(back.scaled_smoothed_estimator)
        adjoint_cov = np.asarray(back.scaled_smoothed_estimator_cov)
        whole = not self.incomplete and not np.any(run.univariate_filter)
        smoothed = Smoothed(
            llf=float(np.sum(np.asarray(run.loglikelihood))),
            mean=np.asarray(back.smoothed_state)[:, :n],
            cov=cov[:, :, :n],
            lag_cov=np.asarray(back.smoothed_state_autocov)[:, :, : n - 1] if lag_cov else cov[:, :, :0],
            adjoint=adjoint[:, 1:],
            adjoint_cov=adjoint_cov[:, :, 1:],
            first_adjoint=adjoint[:, 0],
            first_adjoint_cov=adjoint_cov[:, :, 0],
        )
        return smoothed, Filtered(
            system,
            predicted=np.asarray(run.predicted_state)[:, :n],
            predicted_cov=np.asarray(run.predicted_state_cov)[:, :, :n],
            gain=np.asarray(run.kalman_gain) if whole else None,
            forecast_cov=np.asarray(run.forecast_error_cov) if whole else None,
        )

    def start_of(self, system: System) -> Start:
        """Return a_1, D and the finite part of P_1."""
        if system.initialization_type == "diffuse":
            k = system.k_states
            return np.zeros(k), np.eye(k), np.zeros((k, k))
        ssm = self._smoother(0, False)
        write(ssm, system)
        return start_of(ssm)

    def moments(self, system: System) -> Moments:
        """Return the E-step at the matrices of ``system``."""
        smoothed = self.smooth(system)
        observation = observation_sums(self.endog, self.exog, system, smoothed)
        return smoothed.moments(smoothed.llf, observation, state_sums(self.state_exog, system, smoothed))


def _joined(first: SmoothedRows, later: Smoothed) -> Smoothed:
    """Return the first rows of an exact-diffuse start with those after them."""
    mean, cov, lag_cov, adjoint, adjoint_cov = (
        np.concatenate([getattr(first, name), getattr(later, name)], axis=-1)
        for name in ("mean", "cov", "lag_cov", "adjoint", "adjoint_cov")
    )
    lag_cov, initial = lag_cov[:, :, : mean.shape[1] - 1], (first.first_adjoint, first.first_adjoint_cov)
    return Smoothed(later.llf, mean, cov, lag_cov, adjoint, adjoint_cov, *initial)


def over_time(matrix: Array, index: Array | slice) -> Array:
    """Return the slices of a matrix at some periods, time first; a constant one has length one."""
    return matrix[None] if matrix.ndim == 2 else np.moveaxis(matrix[:, :, index], 2, 0)


def left_inverse(selection: Array) -> Array:
    """Return R^+."""
    orthonormal = np.array_equal(selection.T @ selection, np.eye(selection.shape[1]))
    return selection.T if orthonormal else np.linalg.pinv(selection)


def _regressors(mean: Array, exog: Array) -> Array:
    return np.concatenate([mean, np.ones((1, mean.shape[1])), exog.T], axis=0)


def _gather(parts: list[Regression], grouped: bool, groups: Array | None, lean: bool = False) -> Regression:
    """
    Join sums by period: added up, or by group.

    If the covariance matrix changes over time, each period is a group of its own unless groups are given.
    With ``lean``, the sums of e e' are stored by their diagonals.
    """
    sums = [np.concatenate([getattr(part, name) for part in parts]) for name in ("ee", "eb", "bb", "n")]
    first = None
    if groups is not None:
        _, first, place = np.unique(groups[: len(sums[3])], return_index=True, return_inverse=True)
        sums = [_by_group(array, np.ravel(place), len(first)) for array in sums]
    elif not grouped:
        sums = [array.sum(axis=0, keepdims=True) for array in sums]
    ee, eb, bb, n = sums
    if lean:
        ee = diagonal_matrix(np.diagonal(ee, axis1=1, axis2=2).copy())
    return Regression(symmetrize(ee), eb, symmetrize(bb), n, first)


def _by_group(array: Array, place: Array, count: int) -> Array:
    """Add up an array over its first axis by group."""
    out = np.zeros((count, *array.shape[1:]))
    np.add.at(out, place, array)
    return out


def observation_sums(endog: Array, exog: Array, system: System, smoothed: Smoothed) -> Regression:
    """
    Return the sums of e = y_t - d_t - Z_t x_t over the periods with data.

    Missing elements of a row that has others are integrated out; a row without any says nothing and does
    not count (to count it as one more latent y_t would only slow EM down).
    """
    b = _regressors(smoothed.mean, exog)
    Z = system.design
    fitted = Z @ smoothed.mean if Z.ndim == 2 else np.einsum("ikt,kt->it", Z, smoothed.mean)
    e = (endog - np.atleast_2d(system.obs_intercept.T)).T - fitted
    missing = np.isnan(endog)
    groups = system.observation_groups
    grouped = system.obs_cov.ndim == 3 or groups is not None
    seen = ~missing.all(axis=1)
    by_period = (missing.any(axis=1) & seen) | (Z.ndim == 3) | grouped
    parts = []
    together, apart = np.flatnonzero(~by_period & seen), np.flatnonzero(by_period & (seen | grouped))
    if len(together):
        whole = len(together) == len(endog)
        cov = smoothed.cov.sum(axis=2) if whole else smoothed.cov[:, :, together].sum(axis=2)
        e0, b0 = e[:, together], b[:, together]
        parts.append(observation_equation(e0 @ e0.T, e0 @ b0.T, b0 @ b0.T, e0.shape[1], cov, Z))
    if len(apart) or not parts:
        parts.append(_observation_by_period(e, b, missing, system, smoothed.cov, apart))
    return _gather(parts, grouped, groups, by_diagonal(system.obs_cov))


def _observation_by_period(
    e: Array, b: Array, missing: Array, system: System, state_cov: Array, index: Array
) -> Regression:
    k = system.k_states
    project, remainder = imputation(missing[index], system.obs_cov, index)
    e0 = np.where(missing[index], 0.0, e.T[index])[:, :, None]
    mean = project @ e0
    loading = project @ over_time(system.design, index)
    cov = np.moveaxis(state_cov[:, :, index], 2, 0)
    b0 = b.T[index][:, :, None]
    weighted = loading @ cov
    eb = mean @ np.swapaxes(b0, 1, 2)
    eb[:, :, :k] -= weighted
    seen = (~missing[index].all(axis=1)).astype(float)
    counts = seen[:, None, None]
    return Regression(
        counts * (mean @ np.swapaxes(mean, 1, 2) + weighted @ np.swapaxes(loading, 1, 2) + remainder),
        counts * eb,
        counts * (b0 @ np.swapaxes(b0, 1, 2) + padded(cov, len(b))),
        seen,
    )


_ILL_CONDITIONED = 1e13
"""Largest condition of an observed block of H that is inverted; beyond it the pseudo-inverse serves."""


def imputation(missing: Array, obs_cov: Array, index: Array) -> tuple[Array, Array]:
    """
    Return J_t and Omega_t: given the states, e_t has mean J_t e_t^o and covariance Omega_t.

    J_t has the identity on the observed rows and H_mo H_oo^{-1} on the missing ones (columns of missing
    elements are zero); Omega_t = H_mm - H_mo H_oo^{-1} H_om on the missing rows, zero elsewhere.
    """
    patterns, place, covs = missing, np.arange(len(missing)), over_time(obs_cov, index)
    if obs_cov.ndim == 2:
        patterns, place = np.unique(missing, axis=0, return_inverse=True)
    seen = ~patterns
    both = seen[:, :, None] & seen[:, None, :]
    identity = np.eye(patterns.shape[1])
    block = np.where(both, covs, 0.0) + identity * patterns[:, None, :]
    try:
        solved = np.linalg.inv(block)
        largest = np.max(np.abs(solved), axis=(1, 2)) * np.max(np.abs(block), axis=(1, 2))
        if not np.all(largest < _ILL_CONDITIONED):
            raise np.linalg.LinAlgError
    except np.linalg.LinAlgError:
        solved = np.linalg.pinv(block, hermitian=True)
    cross = covs * seen[:, None, :]
    project = np.where(seen[:, :, None], identity, cross @ np.where(both, solved, 0.0))
    remainder = np.where(
        patterns[:, :, None] & patterns[:, None, :], covs - project @ np.swapaxes(cross, 1, 2), 0.0
    )
    return project[np.ravel(place)], remainder[np.ravel(place)]


def state_sums(state_exog: Array, system: System, smoothed: Smoothed) -> Regression:
    """Return the sums of e = R^+ (x_{t+1} - c_t - T_t x_t) over t = 1..n-1."""
    n, k = smoothed.mean.shape[1] - 1, system.k_states
    left = left_inverse(system.selection)
    T, c, groups = system.transition, system.state_intercept, system.state_groups
    c = c[:, :-1] if c.ndim == 2 else c[:, None]
    start, end = smoothed.mean[:, :-1], smoothed.mean[:, 1:]
    fitted = T @ start if T.ndim == 2 else np.einsum("ikt,kt->it", T[:, :, :-1], start)
    e = left @ (end - c - fitted)
    b = _regressors(start, state_exog[:-1])
    if T.ndim == 2 and system.state_cov.ndim == 2 and groups is None:
        cov_from, cov_to = smoothed.cov[:, :, :-1].sum(axis=2), smoothed.cov[:, :, 1:].sum(axis=2)
        lag = smoothed.lag_cov.sum(axis=2)
        return state_equation(e @ e.T, e @ b.T, b @ b.T, n, cov_from, cov_to, lag, T, left)
    covs, lag = np.moveaxis(smoothed.cov, 2, 0), np.moveaxis(smoothed.lag_cov, 2, 0)
    cov_from, cov_to, Tt = covs[:-1], covs[1:], over_time(T, np.arange(n))
    cross = lag @ np.swapaxes(Tt, 1, 2)
    noise = cov_to - cross - np.swapaxes(cross, 1, 2) + Tt @ cov_from @ np.swapaxes(Tt, 1, 2)
    e0, b0 = e.T[:, :, None], b.T[:, :, None]
    eb = e0 @ np.swapaxes(b0, 1, 2)
    eb[:, :, :k] += left @ (lag - Tt @ cov_from)
    part = Regression(
        e0 @ np.swapaxes(e0, 1, 2) + left @ noise @ left.T,
        eb,
        b0 @ np.swapaxes(b0, 1, 2) + padded(cov_from, len(b)),
        np.ones(n),
    )
    return _gather([part], system.state_cov.ndim == 3, groups)
