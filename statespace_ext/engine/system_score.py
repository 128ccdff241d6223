"""
The exact score from one smoother pass, by system matrix.

With r_t and N_t the smoother's adjoints (r_n = 0), P_t the predicted covariance, F_t = Z P_t Z' + H,
K_t = T P_t Z' F_t^{-1}, L_t = T - K_t Z and u_t = F_t^{-1} v_t - K_t' r_t (Koopman & Shephard 1992, in
the form that inverts neither H nor Q):

    dT_t = r_t xhat_t' - N_t L_t P_t                          dc_t = r_t     dQ_t = 1/2 R' (r_t r_t' - N_t) R
    dZ_t = u_t xhat_t' - (F_t^{-1} Z - K_t' N_t L_t) P_t      dd_t = u_t
    dH_t = 1/2 (u_t u_t' - F_t^{-1} - K_t' N_t K_t)           dR_t = (r_t r_t' - N_t) R Q

and at the start da_1 = r_0, dP_1 = 1/2 (r_0 r_0' - N_0). In the first rows of an exact-diffuse start P_t is
infinite; the same quantities are then those given what is diffuse, plus what its uncertainty adds
(`numerics.diffuse_start`).

With constant matrices and complete data the sums of the fast E-step replace the pass (Fisher's identity,
for a nonsingular H): with e_t = y_t - Z x_t - d_t,

    dZ = H^{-1} E sum e_t x_t', dd_t = H^{-1} E e_t, dH = 1/2 (H^{-1} E sum e_t e_t' H^{-1} - n H^{-1}),

and with adjoints, for any Q,

    dT = sum (r_t xhat_t' - N_t M_t P_t), dc_t = r_t, dW = 1/2 sum (r_t r_t' - N_t).

If H is nearly singular, these sums lose digits. The formulas above do not, and they need no loop over time
either: P_t and N_t settle after a few periods, from the start and from the end, and a_t and r_t are linear
recursions.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.linalg.lapack import dtrtri

from ..em.regressions import observation_equation
from ..numerics.diffuse_start import SmoothedRows
from ..numerics.linear_algebra import Array, symmetrize
from ..numerics.matrix_equations import relative_to, stationary_chain
from ..numerics.recursions import LinearRecursion, by_period
from .collapsing import FEWEST, collapsed_rows, collapses
from .expectation import (
    coefficient_scores,
    constant_steady_state,
    missing_sums,
    sums_suffice,
    unsupported_reason,
)
from .smoother import Filtered, Smoothed, Smoother, over_time
from .system import MATRICES, System

_COEFFICIENTS = frozenset({"design", "obs_intercept", "obs_cov"})
_LARGE = 1e6
"""Mean square of a series over its variance in H from which e_t loses more digits than the smoother."""
_LARGE_OF_MANY = 1e9
"""The same where a pass over all series is dear; up to here ten digits of the score are left."""


def has_small_noise(smoother: Smoother, system: System) -> bool:
    """Return whether the noise of a series is so small that the score from its residuals loses digits."""
    e = smoother.filled - np.atleast_2d(system.obs_intercept.T)
    if smoother.incomplete:
        e *= smoother.seen
    count = smoother.seen.sum(axis=0)
    variances = np.ravel(np.diagonal(system.obs_cov))[: len(count)]
    large = _LARGE if len(count) < FEWEST else _LARGE_OF_MANY
    return bool(np.any(np.einsum("ti,ti->i", e, e) > large * count * variances))


def steady_score(smoother: Smoother, system: System, needed: frozenset[str]) -> SystemScore | None:
    """Return the score, or None if it is not valid or digits would be lost."""
    if has_small_noise(smoother, system):
        return None
    found = constant_steady_state(smoother, system)
    if found is None:
        return None
    out: dict[str, Array] = {}
    states, sums, n = found.states, found.sums, len(smoother.endog)
    if needed & _COEFFICIENTS:
        equation = observation_equation(sums.ee, sums.eb, sums.bb, n, states.cov_sum, system.design)
        residuals = None if sums_suffice(system) else found.residual(slice(None))
        out = coefficient_scores(system, equation, residuals, found.precision)
    cov_sum, lag_sum = states.adjoint_sums()
    noise, R, k = sums.rr - cov_sum, system.selection, system.k_states
    out["transition"] = sums.rs[:, :k] - lag_sum
    out["state_intercept"] = np.concatenate([states.adjoint[1:], np.zeros((1, k))]).T
    out["state_cov"], out["selection"] = 0.5 * R.T @ noise @ R, noise @ R @ system.state_cov
    by_matrix = {name: out[name] for name in needed}
    return _with_start(system, found.llf, by_matrix, states.adjoint[0], states.first_adjoint_cov)


_SETTLED = 1e-14
"""Change of P_t or N_t, relative to the roots of its diagonal elements, below which it has settled."""
_MOST_UNSETTLED = 60
"""Largest number of periods before P_t, or N_t, has settled. With more, a pass over time is as fast."""
_LARGEST_PRECISION = 1e8
"""
Largest element of F_t^{-1}, for forecast errors of variance one. The error of the score grows with it, as the
error of a pass does.
"""


def settled_score(smoother: Smoother, system: System, needed: frozenset[str]) -> SystemScore | None:
    """Return the score for any H; None if matrices vary, data are missing, or P_t or N_t do not settle."""
    if unsupported_reason(smoother, system) is not None:
        return None
    n, k, Z = len(smoother.endog), system.k_states, system.design
    try:
        P, K, L, whiten, log_det = _settling(system, n)
        loadings = whiten @ Z
        N = _settled_adjoints(np.swapaxes(loadings, 1, 2) @ loadings, L, n)
    except np.linalg.LinAlgError:
        return None
    y = smoother.endog - np.atleast_2d(system.obs_intercept.T)
    inputs = by_period(y, np.swapaxes(K, 1, 2)) + np.atleast_2d(system.state_intercept.T)
    recursion = LinearRecursion(L, n)
    predicted = recursion.forward(np.concatenate([system.initial_state[None], inputs[:-1]]))
    errors = by_period(y - predicted @ Z.T, np.swapaxes(whiten, 1, 2))
    llf = -0.5 * float(y.size * np.log(2.0 * np.pi) + log_det + np.vdot(errors, errors))
    r = np.concatenate([recursion.backward(by_period(errors, loadings)), np.zeros((1, k))])
    xhat = predicted + by_period(r[:-1], P)
    u = by_period(errors, whiten) - by_period(r[1:], K)
    first, N = N[0], N[1:]
    count = np.ones(len(P))
    count[-1] = n - len(P) + 1
    Kt, NLP, back = np.swapaxes(K, 1, 2), N @ L @ P, np.swapaxes(whiten, 1, 2)
    out = {
        "design": u.T @ xhat - np.tensordot(count, back @ (loadings @ P), 1) + _chain(Kt, NLP, True)[0],
        "obs_intercept": u.T,
        "obs_cov": 0.5 * (u.T @ u - np.tensordot(count, back @ whiten, 1) - _chain(Kt, N @ K, True)[0]),
        "transition": r[1:].T @ xhat - NLP.sum(axis=0),
        "state_intercept": r[1:].T,
        **_state_noise(system, r[1:], N, needed),
    }
    return _with_start(system, llf, {name: out[name] for name in needed}, r[0], first)


def _settling(system: System, n: int) -> tuple[Array, Array, Array, Array, float]:
    """
    Return P_t, K_t, L_t and F_t^{-1/2} until they are constant, and the sum of log|F_t| over n periods.

    Raises
    ------
    LinAlgError
        If they are not constant after `_MOST_UNSETTLED` periods, or an F_t is nearly singular.
    """
    Z, T, H = system.design, system.transition, system.obs_cov
    W, P = system.selection @ system.state_cov @ system.selection.T, system.initial_state_cov
    parts: list[tuple[Array, ...]] = []
    for _ in range(min(_MOST_UNSETTLED, n)):
        F = Z @ P @ Z.T + H
        whiten = dtrtri(np.linalg.cholesky(F), lower=1)[0]
        if not np.max(np.linalg.norm(whiten, axis=0) ** 2 * F.diagonal()) < _LARGEST_PRECISION:
            raise np.linalg.LinAlgError("a forecast covariance is nearly singular")
        loadings = whiten @ Z
        gain, left = T @ P @ loadings.T @ whiten, T - T @ P @ (loadings.T @ loadings)
        parts.append((P, gain, left, whiten))
        following = symmetrize(left @ P @ left.T + gain @ H @ gain.T) + W  # keeps digits
        if np.all(np.abs(following - P) <= relative_to(P, _SETTLED)):
            P, K, L, whiten = (np.array(part) for part in zip(*parts, strict=True))
            dets = -2.0 * np.log(np.diagonal(whiten, axis1=1, axis2=2)).sum(axis=1)
            return P, K, L, whiten, float(dets.sum() + (n - len(parts)) * dets[-1])
        P = following
    raise np.linalg.LinAlgError("the forecast covariances do not settle")


def _settled_adjoints(information: Array, L: Array, n: int) -> Array:
    """
    Return N_0, N_1, ..., one for each of the first values of L_t, where the last is the sum of all later N_t.

    ``information`` is Z' F_t^{-1} Z.

    Raises
    ------
    LinAlgError
        If N_t does not settle.
    """
    first = len(L) - 1
    N, total = np.zeros_like(L[0]), np.zeros_like(L[0])
    for left in range(n - first, 0, -1):  # the number of periods with the last L_t that are still to come
        total = total + N
        following = symmetrize(information[-1] + L[-1].T @ N @ L[-1])
        if np.all(np.abs(following - N) <= relative_to(following, _SETTLED)):
            total, N = total + (left - 1) * following, following
            break
        if n - first - left > _MOST_UNSETTLED:
            raise np.linalg.LinAlgError("the adjoints do not settle")
        N = following
    out = [total]
    for t in range(first - 1, -1, -1):
        out.append(N)
        N = symmetrize(information[t] + L[t].T @ N @ L[t])
    return np.array([N, *out[::-1]])


ALL = frozenset(MATRICES)
_SMALL = 1000
"""Number of observations up to which a loop over time is not slower than what goes without."""


@dataclass(frozen=True)
class SystemScore:
    """
    Derivatives of the log-likelihood by element of the system matrices.

    A matrix that is constant over time has the sum of the derivatives over time (intercepts: by period
    always, unless the sum of a constant one is known alone); one that varies has them on a last axis. A
    symmetric matrix has the derivative tr(G dM), so a free covariance collects G_ij and G_ji.

    Attributes
    ----------
    llf : float
        The log-likelihood.
    by_matrix : dict of ndarray
        Derivatives by matrix, for the matrices asked for.
    initial_state, initial_state_cov : ndarray
        Derivatives by a_1 and P_1; not to be used with a stationary start, whose part is in ``by_matrix``.
    start_intercept : ndarray
        Derivative by a constant c through the mean of a stationary start, zero for another start.

    Derivatives by the start are empty if nothing depends on it.
    """

    llf: float
    by_matrix: dict[str, Array]
    initial_state: Array = field(default_factory=lambda: np.zeros(0))
    initial_state_cov: Array = field(default_factory=lambda: np.zeros(0))
    start_intercept: Array = field(default_factory=lambda: np.zeros(0))


def system_score(smoother: Smoother, system: System, needed: frozenset[str] = ALL) -> SystemScore:
    """
    Return the score by system matrix: from the fast E-step where it is exact, else one pass of the smoother.

    Parameters
    ----------
    smoother : Smoother
        Holds the data.
    system : System
        The matrices.
    needed : frozenset of str
        The matrices whose derivatives are wanted.
    """
    series = smoother.endog.shape[1]
    if smoother.endog.size > _SMALL:
        found = steady_score(smoother, system, needed)
        if found is None and series < FEWEST:
            found = settled_score(smoother, system, needed)
        if found is None and collapses(series, system):
            found = _collapsed_pass(smoother, system, needed)
        if found is not None:
            return found
    return _one_pass(smoother, system, needed)


def _collapsed_pass(smoother: Smoother, system: System, needed: frozenset[str]) -> SystemScore | None:
    """Return the score from one pass over collapsed rows, or None if ``obs_cov`` is singular or small."""
    found = None if has_small_noise(smoother, system) else collapsed_rows(smoother, system)
    if found is None:
        return None
    short = Smoother(found.endog, *system.selection.shape)
    along = short.smooth_along(found.system, lag_cov=False)
    of_states = _one_pass(short, found.system, needed - _COEFFICIENTS, along)
    by_matrix = of_states.by_matrix
    if needed & _COEFFICIENTS:
        sums = missing_sums(smoother, system, along[1], found.precision)
        out = coefficient_scores(system, *sums, found.precision)
        by_matrix = {**by_matrix, **{name: out[name] for name in needed & _COEFFICIENTS}}
    return replace(of_states, llf=of_states.llf - float(found.constant.sum()), by_matrix=by_matrix)


def _one_pass(
    smoother: Smoother,
    given: System,
    needed: frozenset[str],
    along: tuple[SmoothedRows | None, Smoothed, Filtered] | None = None,
) -> SystemScore:
    """Return the score from one pass, or from what a pass along its axes returned."""
    early, later, filtered = smoother.smooth_along(given, lag_cov=False) if along is None else along
    system, axes = filtered.system, filtered.axes
    begun: Smoothed | SmoothedRows = later
    r, N = np.array(later.adjoint.T), later.adjoint_cov.transpose(2, 0, 1)
    terms: dict[str, Array] = {}
    if needed & (_COEFFICIENTS | {"transition"}):
        terms = _later_periods(smoother, system, later, filtered, needed)
    if early is not None:
        begun, known = early, early.score(needed)
        terms = {name: np.concatenate([known[name], term]) for name, term in terms.items()}
        r, N = np.concatenate([early.adjoint.T, r]), np.concatenate([early.adjoint_cov.transpose(2, 0, 1), N])
    out = {name: _as_given(term, getattr(system, name)) for name, term in terms.items()}
    if "state_intercept" in needed:
        out["state_intercept"] = r.T
    out.update(_state_noise(system, r, N, needed))
    first = begun.first_adjoint, begun.first_adjoint_cov
    if axes is not None:
        out = {name: axes.score(name, value) for name, value in out.items()}
        first = axes.forward.T @ first[0], axes.forward.T @ first[1] @ axes.forward
    return _with_start(given, later.llf, out, *first)


def _with_start(system: System, llf: float, out: dict[str, Array], r0: Array, N0: Array) -> SystemScore:
    """Return the score with the derivatives by the start, put into the matrices of a stationary one."""
    k = system.k_states
    by_start = 0.5 * (np.outer(r0, r0) - N0)
    start_intercept = np.zeros(k)
    keep = system.stationary_states
    if len(keep):
        inner = np.ix_(keep, keep) if len(keep) < k else (slice(None), slice(None))
        by_T, by_W = np.zeros((k, k)), np.zeros((k, k))
        by_T[inner], start_intercept[keep], by_W[inner] = stationary_chain(
            system.transition[inner],
            system.initial_state[keep],
            system.initial_state_cov[inner],
            r0[keep],
            by_start[inner],
        )
        R, Q = system.selection, system.state_cov
        extra = {"transition": by_T, "state_cov": R.T @ by_W @ R, "selection": 2.0 * by_W @ R @ Q}
        out.update({name: out[name] + extra[name] for name in extra if name in out})
    return SystemScore(llf, out, np.array(r0), by_start, start_intercept)


def _state_noise(system: System, r: Array, N: Array, needed: frozenset[str]) -> dict[str, Array]:
    """Return the derivatives by Q and R."""
    if not needed & {"state_cov", "selection"}:
        return {}
    whole = system.selection.ndim == system.state_cov.ndim == 2
    R, Q = over_time(system.selection, slice(None)), over_time(system.state_cov, slice(None))
    by_noise = (_moment(r, r, whole) - _each(N, whole)) @ R
    terms = {"state_cov": 0.5 * np.swapaxes(R, 1, 2) @ by_noise, "selection": by_noise @ Q}
    return {name: _as_given(terms[name], getattr(system, name)) for name in needed & terms.keys()}


def _as_given(term: Array, matrix: Array) -> Array:
    """Return derivatives, time first, as a matrix is stored: summed if it is constant, else time last."""
    if term.ndim == 2:  # of an intercept, always by period
        return term.T
    return np.moveaxis(term, 0, 2) if matrix.ndim == 3 else term.sum(axis=0)


def summed(derivative: Array) -> Array:
    """Return the derivative by a constant element: summed where it is by period."""
    return derivative.sum(axis=2) if derivative.ndim == 3 else derivative


def _led(transition: Array, matrix: Array) -> Array:
    """Return T_t M_t, without the product where T is the identity (random walks)."""
    if len(transition) == 1 and np.array_equal(transition[0], np.eye(transition.shape[1])):
        return matrix
    return transition @ matrix


def _moment(left: Array, right: Array, whole: bool) -> Array:
    """Return a_t b_t' by period or, as one, their sum over time."""
    return (left.T @ right)[None] if whole else left[:, :, None] * right[:, None, :]


def _chain(left: Array, right: Array, whole: bool) -> Array:
    """Return A_t B_t by period or, as one, their sum over time, which is one product."""
    if not whole:
        return left @ right
    flat = left.transpose(1, 0, 2).reshape(left.shape[1], -1)
    return np.asarray(flat @ right.reshape(-1, right.shape[2]))[None]


def _each(matrices: Array, whole: bool) -> Array:
    return matrices.sum(axis=0, keepdims=True) if whole else matrices


def _later_periods(
    smoother: Smoother, system: System, smoothed: Smoothed, filtered: Filtered, needed: frozenset[str]
) -> dict[str, Array]:
    """
    Return derivatives of the rows after the first ones of a diffuse start, time first.

    Those by a constant matrix have one element over time, their sum.
    """
    r, N = np.array(smoothed.adjoint.T), smoothed.adjoint_cov.transpose(2, 0, 1)
    index = slice(len(smoother.endog) - len(r), None)
    inverse, scaled, K, ZP, weighted = _gains(smoother, system, filtered, index)
    Kt, xhat = np.swapaxes(K, 1, 2), smoothed.mean.T
    u = np.squeeze(scaled - Kt @ r[:, :, None], 2)
    KN = Kt @ N if needed & {"obs_cov", "design"} else K
    LP = K
    if needed & {"design", "transition"}:
        P = filtered.predicted_cov.transpose(2, 0, 1)
        LP = _led(over_time(system.transition, index), P) - K @ ZP
    out: dict[str, Array] = {"obs_intercept": u} if "obs_intercept" in needed else {}
    if "obs_cov" in needed:
        whole = system.obs_cov.ndim == 2
        out["obs_cov"] = 0.5 * (_moment(u, u, whole) - _each(inverse, whole) - _chain(KN, K, whole))
    if "design" in needed:
        whole = system.design.ndim == 2
        out["design"] = _moment(u, xhat, whole) - _each(weighted, whole) + _chain(KN, LP, whole)
    if "transition" in needed:
        whole = system.transition.ndim == 2
        out["transition"] = _moment(r, xhat, whole) - _chain(N, LP, whole)
    return out


def _gains(
    smoother: Smoother, system: System, filtered: Filtered, index: slice
) -> tuple[Array, Array, Array, Array, Array]:
    """Return F_t^{-1}, F_t^{-1} v_t, K_t, Z_t P_t and F_t^{-1} Z_t P_t, zero for missing elements."""
    P = filtered.predicted_cov.transpose(2, 0, 1)
    Z, T = over_time(system.design, index), over_time(system.transition, index)
    forecast = np.squeeze(Z @ filtered.predicted.T[:, :, None], 2)
    v = (smoother.endog - np.atleast_2d(system.obs_intercept.T))[index] - forecast
    if filtered.gain is not None and filtered.forecast_cov is not None:
        inverse = np.linalg.inv(filtered.forecast_cov.transpose(2, 0, 1))
        ZP = Z @ P
        return inverse, inverse @ v[:, :, None], filtered.gain.transpose(2, 0, 1), ZP, inverse @ ZP
    missing = smoother.missing[index]
    v, Z = np.where(missing, 0.0, v), Z * ~missing[:, :, None]
    ZP = Z @ P
    inverse, scaled, weighted = _solved(ZP, Z, over_time(system.obs_cov, index), v[:, :, None], missing)
    return inverse, scaled, _led(T, np.swapaxes(weighted, 1, 2)), ZP, weighted


def _solved(ZP: Array, Z: Array, H: Array, v: Array, missing: Array) -> tuple[Array, Array, Array]:
    """
    Return F_t^{-1}, F_t^{-1} v_t and F_t^{-1} Z_t P_t, zero in rows of missing elements, as those of Z_t are.

    Products with the inverse would lose the digits of a large P_t twice.
    """
    seen = ~missing
    both = seen[:, :, None] & seen[:, None, :]
    F = ZP @ np.swapaxes(Z, 1, 2) + np.where(both, H, 0.0)
    diagonal = np.arange(F.shape[1])
    F[:, diagonal, diagonal] += missing
    p = len(diagonal)
    right = np.concatenate([np.broadcast_to(np.eye(p), F.shape), v, ZP], axis=2)
    out = np.linalg.solve(F, right)
    return np.where(both, out[:, :, :p], 0.0), out[:, :, p : p + 1], out[:, :, p + 1 :]
