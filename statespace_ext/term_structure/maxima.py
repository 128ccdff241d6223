"""Starts that may lead to other maxima: a factor that reverts fast, and maturities priced without error."""

from __future__ import annotations

from itertools import combinations
from math import comb
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.optimize

from ..fit.problem import EstimationProblem
from ..numerics.differences import jacobian
from ..numerics.linear_algebra import NOT_HERE, Array
from .dynamics import Values
from .normalisation import CrossSection, assembled, cross_section, in_structure, physical

if TYPE_CHECKING:
    from .atsm import ATSM

_FAST_ROOT = 30.0
_ZERO, _EXACT = 1e-7, 1e-10
"""Variances of pricing errors relative to those of the yields: upper bound of zero, and value for zero."""
_IMPROVED = 2
"""Number of candidates of which some maturities may be priced without error."""
_SETS = 3000
"""Largest number of sets of maturities that are compared; of more maturities, evenly spread ones are used."""
_CHOSEN, _BEHIND = 4, 120.0
"""Number of sets that are tried at a maximum, and how much lower their log-likelihood there may be."""
_LEAST_SIZE, _SHORT, _WALL = 0.01, 1e-3, 1e10


def variants(model: ATSM, base: list[Array]) -> list[Array]:
    """
    Return starts that may lead to other maxima: the candidates, also with one factor that reverts fast.

    Likelihoods of term structure models have several maxima, because a factor may follow persistent or
    short-lived movements of the curve. This does not apply to the first factor, the level.
    """
    out = list(base)
    for params in base[:2]:
        out += [_fast(model, params, j) for j in range(1, model.k_factors)]
    return out


def _fast(model: ATSM, params: Array, j: int) -> Array:
    """Return parameters with a factor j that reverts within a month or two and keeps its variance."""
    layout = model.layout
    at = layout.matrices(params)
    both = model.dynamics_at(at)
    K, cov = np.array(both.K_P), np.array(both.cov)
    mean = np.linalg.lstsq(K, both.kappa_P, rcond=None)[0]
    speed = _FAST_ROOT / np.sqrt(max(K[j, j], 1e-3) / _FAST_ROOT + 1.0)
    if both.period is not None:
        speed = -np.expm1(-speed * both.period) / both.period
    if not layout.blocks["state_cov"].is_fixed:
        cov[j] *= np.sqrt(speed / max(K[j, j], 1e-3))
        cov[:, j] *= np.sqrt(speed / max(K[j, j], 1e-3))
    K[j, j] = speed
    at = {**at, "state_cov": cov}
    at.update(physical(model, K, mean, cov, model.norm.pricing(at)))
    return layout.project(at, params)


class ExactYields:
    """
    The log-likelihood of each set of k maturities whose yields have no error, given slopes on k factors.

    The yields of a set are then the factors. Their P-dynamics are a regression. The errors of the other
    yields have the variances about their means, each its own. Only second moments of the yields enter.

    Parameters
    ----------
    y : ndarray, (n, p)
        Yields.
    centre : ndarray, (p,), optional
        Intercepts of the yields, if they are known. By default errors have mean zero.
    """

    def __init__(self, y: Array, centre: Array | None = None) -> None:
        self.n, self.p = y.shape
        self.joint = np.cov(np.column_stack([y[:-1], y[1:]]), rowvar=False, bias=True)
        away = y.mean(axis=0) - (y.mean(axis=0) if centre is None else centre)
        self.cov = np.cov(y, rowvar=False, bias=True) + np.outer(away, away)

    def loglike(self, B: Array, sets: Array) -> Array:
        """Return the values for slopes (p, k), in any rotation of the factors, and sets (m, k)."""
        rows, columns = sets[:, :, None], sets[:, None, :]
        moved, between = self.joint[rows + self.p, columns], self.cov[rows, columns]
        past = np.linalg.solve(self.joint[rows, columns], np.swapaxes(moved, 1, 2))
        moves = np.linalg.slogdet(self.joint[rows + self.p, columns + self.p] - moved @ past)[1]
        all_slopes = np.broadcast_to(B.T, (len(sets), *B.T.shape))
        slopes = np.linalg.solve(np.swapaxes(B[sets], 1, 2), all_slopes)  # (m, k, p)
        own = np.sum((between @ slopes - 2.0 * self.cov[sets]) * slopes, axis=1)
        sizes = np.diag(self.cov)
        errors = np.maximum(sizes + own, _EXACT**2 * sizes)
        np.put_along_axis(errors, sets, 1.0, axis=1)
        out = moves + np.sum(np.log(errors), axis=1) + self.p * (1.0 + np.log(2.0 * np.pi))
        return np.where(np.isfinite(out), -0.5 * self.n * out, -np.inf)


def _sets(p: int, k: int) -> Array:
    """Return the sets of k of p maturities, or of as many as give a limited number of sets."""
    most = p
    while comb(most, k) > _SETS:
        most -= 1
    places = np.unique(np.round(np.linspace(0, p - 1, most)).astype(int))
    return np.array(list(combinations(places, k)))


def errors_may_vanish(model: ATSM) -> bool:
    """Return whether a maximum may have as many maturities without errors as there are latent factors."""
    layout, panel = model.layout, model.panel
    own, initial = layout.blocks["obs_cov"], layout.blocks["initial_state"]
    plain = not panel.n_observed and initial.is_fixed and model.nobs > 3 * model.k_factors
    apart = np.all(own.rows == own.columns) and len(set(layout.index["obs_cov"])) == len(panel.maturities)
    return bool(plain and apart and len(panel.maturities) > model.k_factors)


def without_error(
    model: ATSM, params: Array, behind: float = 0.0, known: set[tuple[int, ...]] | None = None
) -> list[Array]:
    """
    Return starts at which k maturities are priced without error, the best first.

    The likelihood may have a maximum for each set of such maturities, and a search does not move from one set
    to another. Given the slopes of the yields, the likelihoods of all sets are compared at once.

    Parameters
    ----------
    model : ATSM
        A model for which `errors_may_vanish`.
    params : ndarray
        Full parameters, from whose Q-dynamics the slopes are.
    behind : float
        How much lower than that of the best set the likelihood of further sets may be.
    known : set of tuple of int, optional
        Sets to leave out, if ``params`` are a maximum: its own and those that were tried before. The function
        adds the sets of the starts that it returns.
    """
    sample = cross_section(model)
    exact, sets = ExactYields(sample.yields), _sets(len(sample.maturities), model.k_factors)
    try:
        at = model.layout.matrices(params)
        A, B = sample.loadings(model.norm.pricing(at), at["state_cov"])
        values = (exact if known is None else ExactYields(sample.yields, A)).loglike(B, sets)
        order = [i for i in np.argsort(-values)[:_CHOSEN] if values[i] >= np.max(values) - behind]
        if known is not None:
            order = [i for i in order if tuple(sets[i].tolist()) not in known]
            known.update(tuple(sets[i].tolist()) for i in order)
        return [_priced_exactly(model, params, sets[i], sample, exact) for i in order]
    except NOT_HERE:
        return []


def _priced_exactly(
    model: ATSM, params: Array, chosen: Array, sample: CrossSection, exact: ExactYields
) -> Array:
    """Return a start at which a set of maturities has no errors, with the best Q-dynamics for this set."""
    layout, norm, y = model.layout, model.norm, sample.yields
    index = np.concatenate([layout.index[key] for key in norm.blocks() if key != norm.drift])
    size = np.maximum(np.abs(params[index]), _LEAST_SIZE)

    def _blocks(w: Array) -> Values:
        near = np.array(params)
        near[index] = w * size
        return layout.matrices(near)

    def _loss(w: Array) -> float:
        try:
            return -float(exact.loglike(norm.slopes(_blocks(w), sample), chosen[None])[0]) / len(y)
        except NOT_HERE:
            return _WALL

    def _factors(at: Values) -> Array:
        A, B = sample.loadings(norm.pricing(at), at["state_cov"])
        return np.linalg.solve(B[chosen], (y[:, chosen] - A[chosen]).T).T

    options: Any = {"gtol": 1e-3, "maxiter": 30}
    at = _blocks(scipy.optimize.minimize(_loss, params[index] / size, method="BFGS", options=options).x)
    cov = in_structure(layout.blocks["state_cov"], sample.autoregression(_factors(at))[2])
    at = _mean_fitted(model, {**at, "state_cov": cov}, chosen, sample)
    given = {key: at[key] for key in (*norm.blocks(), "state_cov")}
    return assembled(model, given, _factors(at), sample, _EXACT * np.var(y, axis=0))


def _mean_fitted(model: ATSM, at: Values, chosen: Array, sample: CrossSection) -> Values:
    """
    Return blocks with the drift and the covariance that fit mean yields, given yields without errors.

    The errors of the other yields may be so small that convexity determines the covariance together with the
    moves of the factors. The step minimises the squares of the mean errors, in standard deviations, plus
    |E|^2 / 2, the loss of likelihood of the moves for the covariance root (I + E) root'.
    """
    norm, y, block = model.norm, sample.yields, model.layout.blocks["state_cov"]
    chol, k = np.linalg.cholesky(at["state_cov"]), model.k_factors
    full = len(set(block.names)) == k * (k + 1) // 2
    free = [] if block.is_fixed else [(i, j) for i in range(k) for j in range(i + 1) if full or i == j]
    unit = np.std(y) + np.abs(np.mean(y))

    def _moved(x: Array) -> Values:
        E = np.zeros((k, k))
        E[tuple(np.array(free, dtype=int).reshape(-1, 2).T)] = x[1:]
        out = {**at, "state_cov": in_structure(block, chol @ (np.eye(k) + E + np.tril(E, -1).T) @ chol.T)}
        return {**out, norm.drift: at[norm.drift] + x[0] * unit} if norm.drift else out

    def _gaps(x: Array) -> Array:
        now = _moved(x)
        A, B = sample.loadings(norm.pricing(now), now["state_cov"])
        slopes = np.linalg.solve(B[chosen].T, B.T).T
        errors = y - A - (y[:, chosen] - A[chosen]) @ slopes.T
        return np.delete(errors.mean(axis=0) / (np.std(errors, axis=0) + _EXACT * np.std(y, axis=0)), chosen)

    zero = np.zeros(1 + len(free))
    slopes = jacobian(_gaps, zero, np.full(len(zero), _SHORT), order=1)
    weights = np.sqrt([0.0, *(0.5 if i == j else 1.0 for i, j in free)])
    design = np.vstack([slopes, np.diag(weights)])
    return _moved(np.linalg.lstsq(design, np.concatenate([-_gaps(zero), zero]), rcond=None)[0])


def ranked_starts(model: ATSM, problem: EstimationProblem, base: list[Array], warm: bool) -> list[Array]:
    """
    Return all start values, reduced to free parameters, the highest likelihood first.

    Starts at which some maturities are priced without error stand for those with similar Q-dynamics and a
    lower likelihood. Starts that are lower than the best by more than one for each yield are left out.

    Parameters
    ----------
    model : ATSM
        The model.
    problem : EstimationProblem
        The estimation problem.
    base : list of ndarray
        Full start values.
    warm : bool
        Whether these are maxima for exact portfolios, which need no variants.
    """

    def _level(start: Array) -> float:
        return problem.value(problem.reduced(start))

    starts = base if warm else variants(model, base)
    if not warm and errors_may_vanish(model):
        some = len(base[:_IMPROVED])
        better = [max([start, *without_error(model, start)], key=_level) for start in starts[:some]]
        starts = [*better, *starts[some:]]
    levels = np.array([_level(start) for start in starts])
    least = np.max(levels) - model.endog.size
    order = [i for i in np.argsort(-levels, kind="stable") if levels[i] >= least]
    return [problem.reduced(starts[i]) for i in order or range(len(starts))]


def exchanges(model: ATSM, problem: EstimationProblem, params: Array) -> list[Array]:
    """
    Return starts at which a neighbour replaces a maturity that is priced without error.

    The likelihood may have maxima at zero variance for as many maturities as there are factors, with one
    maximum for each choice of maturities. A search does not move from one choice to another. (If the first
    state is free too, the likelihood is unbounded and there is no choice to make.)

    Parameters
    ----------
    model : ATSM
        The model.
    problem : EstimationProblem
        The estimation problem.
    params : ndarray
        Free parameters at a maximum.
    """
    layout = problem.layout
    block, places = layout.blocks["obs_cov"], layout.index["obs_cov"]
    unbounded = not layout.blocks["initial_state"].is_fixed
    if unbounded or len(set(places)) < 2 or np.any(block.rows != block.columns):
        return []
    sizes = model.variance_sizes(problem.full(params))["obs_cov"][block.rows]
    zero = params[places] < _ZERO * sizes
    if not zero.any() or zero.all():
        return []
    if np.sum(zero) == model.k_factors and errors_may_vanish(model):
        tried = problem.memory.setdefault("priced without error", set())
        tried.add(tuple(np.unique(block.rows[zero]).tolist()))
        others = without_error(model, problem.full(params), _BEHIND, tried)
        return [problem.reduced(other) for other in others]
    order = np.argsort(model.panel.maturities[block.rows], kind="stable")
    typical = float(np.median(params[places][~zero]))
    neighbours = np.eye(len(order), k=1, dtype=bool) | np.eye(len(order), k=-1, dtype=bool)
    swaps = order[np.argwhere(neighbours & zero[order][:, None] & ~zero[order])]
    out = np.tile(params, (len(swaps), 1))
    for trial, (i, j) in zip(out, swaps, strict=True):
        trial[places[i]], trial[places[j]] = typical, _EXACT * sizes[j]
    return list(out)
