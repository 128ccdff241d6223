"""Start values: Q from the cross-section, P from a regression on the factors that it implies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
import scipy.optimize

from ..fit.start_values import fill_missing
from ..numerics.bond_pricing import loadings
from ..numerics.linear_algebra import NOT_HERE, Array, symmetrize
from ..numerics.ornstein_uhlenbeck import continuous
from ..params.affine import AffineMatrix
from ..params.cholesky import semidefinite_cholesky
from ..params.covariance import structure_of
from .dynamics import Pricing, prices_of_risk
from .identification import DaiSingleton, NelsonSiegel, Portfolios, Values, dai_singleton_form

_WEIGHT = 100.0


def stable_prices(block: AffineMatrix, pricing: Pricing, cov: Array, K: Array, least: float) -> Array:
    """
    Return lambda_1 under its restrictions with K_P = K_Q - Sigma lambda_1 near K, and stable if it can be.

    Parameters
    ----------
    block : AffineMatrix
        lambda_1: what is free and what is fixed.
    pricing : Pricing
        Q-dynamics.
    cov : ndarray, (k, k)
        Sigma Sigma'.
    K : ndarray, (k, k)
        The K_P that is wanted.
    least : float
        Smallest real part of a root.
    """
    root, names = semidefinite_cholesky(cov), list(block.param_names)

    def prices(x: Array) -> Array:
        return block.values(dict(zip(names, x.tolist(), strict=True)))

    def distance(x: Array) -> Array:
        return np.asarray(pricing.K - root @ prices(x) - K)

    if not names:
        return prices(np.zeros(0))
    base = distance(np.zeros(len(names)))
    jacobian = np.column_stack([(distance(unit) - base).ravel() for unit in np.eye(len(names))])
    nearest = np.linalg.lstsq(jacobian, -base.ravel(), rcond=None)[0]
    size = float(np.linalg.norm(K)) + least

    def loss(x: Array) -> float:
        away = distance(x)
        short = np.maximum(0.0, 2.0 * least - np.linalg.eigvals(away + K).real) / least
        return float(np.sum((away / size) ** 2) + _WEIGHT * np.sum(short**2))

    if np.min(np.linalg.eigvals(distance(nearest) + K).real) >= least:
        return prices(nearest)
    scale = np.maximum(np.abs(nearest), 0.1 * size / np.sqrt(np.max(np.diag(cov))))
    simplex = nearest + np.vstack([np.zeros(len(names)), 0.2 * np.diag(scale)])
    options: Any = {"maxiter": 4000, "maxfev": 4000, "initial_simplex": simplex, "xatol": 1e-8, "fatol": 1e-8}
    return prices(scipy.optimize.minimize(loss, nearest, method="Nelder-Mead", options=options).x)


_LEAST_ROOT, _LARGEST_ROOT = 0.02, 20.0
"""P-roots a year that start values keep to."""
_ROOTS = ((0.01, 0.3, 1.0), (0.02, 0.5, 2.5), (0.05, 0.6, 0.7), (0.002, 0.1, 0.5), (0.03, 1.0, 6.0))
_DECAYS = np.exp(np.linspace(np.log(0.08), np.log(4.0), 40))
_FAST_ROOT = 30.0
_LEAST_ERROR = 1e-5
_NO_SLOPE = 1e-10
"""Derivative of the yields' means by k_inf, relative to maturity, that is rounding."""


@dataclass(frozen=True)
class Candidate:
    """Blocks of Q-parameters, and the factors (nobs, k) that go with them."""

    values: Values
    factors: Array


def candidates(model: Any) -> list[Array]:
    """Return full start vectors, that of the best cross-sectional fit first."""
    panel = model.panel
    m = panel.n_observed
    y = fill_missing(model.endog[:, m:])
    steps = float(np.mean(panel.steps))
    norm = model.norm
    if isinstance(norm, NelsonSiegel) and not m:
        found = nelson_siegel(norm, y, panel.maturities)
    elif isinstance(norm, Portfolios):
        found = portfolios(norm, y, steps)
    elif isinstance(norm, DaiSingleton):
        W = panel.weights
        latent = Portfolios(W, panel.maturities, model.convexity, [f"P{i + 1}" for i in range(len(W))])
        found = [rotated(latent, start, y, steps) for start in portfolios(latent, y, steps)]
    else:
        X = model.endog[:, :m]
        found = [Candidate(observed(norm, X, y, panel.maturities, steps), X)]
    return [assembled(model, start, y, steps) for start in found]


def variants(model: Any, base: list[Array]) -> list[Array]:
    """
    Return starts that lead to other maxima: the candidates, and each with one factor that reverts fast.

    Likelihoods of term structure models have several maxima: a factor may follow the persistent moves of the
    curve, or its short-lived ones. The first factor, the level, does not.
    """
    out = list(base)
    for params in base[:2]:
        out += [fast for j in range(1, model.k_factors) for fast in _fast(model, params, j)]
    return out


def _fast(model: Any, params: Array, j: int) -> list[Array]:
    """Return parameters with a P-root of factor j that reverts within a month or two, its variance kept."""
    layout = model.layout
    at = layout.matrices(params)
    both = model.dynamics_at(at)
    K, cov = np.array(both.K_P), np.array(both.cov)
    mean = np.linalg.lstsq(K, both.kappa_P, rcond=None)[0]
    root = _FAST_ROOT / np.sqrt(max(K[j, j], 1e-3) / _FAST_ROOT + 1.0)
    if not layout.blocks["state_cov"].is_fixed:
        cov[j] *= np.sqrt(root / max(K[j, j], 1e-3))
        cov[:, j] *= np.sqrt(root / max(K[j, j], 1e-3))
    K[j, j] = root
    at = {**at, "state_cov": cov}
    at.update(_physical(model, K, mean, cov, model.norm.pricing(at)))
    return [layout.project(at, params)]


# -- the cross-section -------------------------------------------------------------------------------------


def nelson_siegel(norm: NelsonSiegel, y: Array, tau: Array) -> list[Candidate]:
    """Return the decay rates at which least squares fits best: the local minima, the best first."""

    def error(log_decay: float) -> float:
        return float(np.sum(_residuals(y, _ns_loadings(norm, np.exp(log_decay), tau))[1] ** 2))

    grid = np.log(_DECAYS)
    values = np.array([error(at) for at in grid])
    inner = [i for i in range(1, len(grid) - 1) if values[i] <= min(values[i - 1], values[i + 1])]
    places = sorted(inner or [int(np.argmin(values[1:-1])) + 1], key=lambda i: values[i])
    out = []
    for i in places:
        bounds = (grid[i - 1], grid[i + 1])
        decay = float(np.exp(scipy.optimize.minimize_scalar(error, bounds=bounds, method="bounded").x))
        X = _residuals(y, _ns_loadings(norm, decay, tau))[0]
        out.append(Candidate({"decay": np.array([[decay]])}, X))
    return out


def _ns_loadings(norm: NelsonSiegel, decay: float, tau: Array) -> Array:
    q = norm.pricing({"decay": np.array([[decay]])})
    return loadings(q.K, q.kappa, np.zeros((3, 3)), q.delta_0, q.delta_1, tau)[1]


def _residuals(y: Array, B: Array) -> tuple[Array, Array]:
    X = np.linalg.lstsq(B, y.T, rcond=None)[0].T
    return X, y - X @ B.T


def portfolios(norm: Portfolios, y: Array, dt: float) -> list[Candidate]:
    """Return the roots at which yields given the portfolios are fitted best, from several starts."""
    k = len(norm.weights)
    P = y @ norm.weights.T
    cov = autoregression(P, dt)[2]
    centred, X = y - y.mean(axis=0), P - P.mean(axis=0)

    def errors(roots: Array) -> Array:
        B = portfolio_loadings(norm, roots)
        return (centred - X @ B.T).ravel() if B is not None else np.full(centred.size, 1e3 * np.std(y))

    found: list[tuple[float, Array]] = []
    for start in _ROOTS:
        first = np.resize(np.array(start), k) * (1.0 + np.arange(k) // 3)
        fit = scipy.optimize.least_squares(errors, first, x_scale=0.1 + first, max_nfev=60)
        roots = np.sort(fit.x)
        if not any(np.allclose(roots, other, rtol=0.02, atol=1e-3) for _, other in found):
            found.append((float(fit.cost), roots))
    found.sort(key=lambda item: item[0])
    out = []
    for cost, roots in found:
        if cost < 4.0 * found[0][0]:
            at = {"roots_Q": roots[:, None], "k_inf": np.zeros((1, 1)), "state_cov": cov}
            out.append(Candidate({"roots_Q": at["roots_Q"], "k_inf": mean_fit(norm, at, y, P)}, P))
    return out


def portfolio_loadings(norm: Portfolios, roots: Array) -> Array | None:
    """Return B of the yields on the portfolios, None where it does not exist."""
    k = len(roots)
    K, first = np.diag(roots) - np.eye(k, k=1), np.eye(k)[0]
    if np.min(roots) < -1.0 or np.max(roots) > _LARGEST_ROOT:
        return None
    B = loadings(K, np.zeros(k), np.zeros((k, k)), 0.0, first, norm.tau)[1]
    try:
        return np.asarray(B @ np.linalg.inv(norm.weights @ B))
    except np.linalg.LinAlgError:
        return None


def mean_fit(norm: Portfolios, at: Values, y: Array, P: Array) -> Array:
    """Return the k_inf that fits the mean yields best: A is affine in it."""

    def intercept(k_inf: float) -> Array:
        q = norm.pricing({**at, "k_inf": np.array([[k_inf]])})
        cov = at["state_cov"] * norm.convexity
        A, B = loadings(q.K, q.kappa, cov, q.delta_0, q.delta_1, norm.tau)
        return np.asarray(y.mean(axis=0) - A - B @ P.mean(axis=0))

    unit = float(np.std(y)) + float(np.abs(y.mean()))
    base = intercept(0.0)
    slope = (intercept(unit) - base) / unit
    size = float(slope @ slope)
    if size <= (_NO_SLOPE * float(np.max(norm.tau))) ** 2:  # as many maturities as factors: all are fitted
        return np.zeros((1, 1))
    return np.array([[-float(slope @ base) / size]])


def rotated(norm: Portfolios, start: Candidate, y: Array, dt: float) -> Candidate:
    """Return a candidate for portfolios as one of the normalisation of Dai & Singleton."""
    cov = autoregression(start.factors, dt)[2]
    values, turn, centre = dai_singleton_form(norm.pricing({**start.values, "state_cov": cov}), cov)
    return Candidate(values, (start.factors - centre) @ turn.T)


def observed(norm: Any, X: Array, y: Array, tau: Array, dt: float) -> Values:
    """Return Q-parameters for factors that are observed: least squares of yields on them, then a fit of B."""
    k = X.shape[1]
    design = np.column_stack([np.ones(len(X)), X])
    coefficients = np.linalg.lstsq(design, y, rcond=None)[0]
    A, B = coefficients[0], coefficients[1:].T
    if isinstance(norm, NelsonSiegel):
        fit = scipy.optimize.minimize_scalar(
            lambda at: float(np.sum((_ns_loadings(norm, np.exp(at), tau) - B) ** 2)),
            bounds=(np.log(0.05), np.log(5.0)), method="bounded",
        )  # fmt: skip
        return {"decay": np.array([[float(np.exp(fit.x))]])}
    K = autoregression(X, dt)[0]
    size = np.std(X, axis=0)
    zero = np.zeros((k, k))

    def errors(z: Array) -> Array:
        fitted = loadings(z[: k * k].reshape(k, k), np.zeros(k), zero, 0.0, z[k * k :], tau)[1]
        return np.nan_to_num((fitted - B) * size, nan=1e3, posinf=1e3, neginf=-1e3).ravel()

    first = np.concatenate([K.ravel(), B[np.argmin(tau)]])
    z = scipy.optimize.least_squares(errors, first, x_scale=np.abs(first) + 0.05, max_nfev=200).x
    K_Q, delta_1 = z[: k * k].reshape(k, k), z[k * k :]
    columns = [loadings(K_Q, unit, zero, 0.0, delta_1, tau)[0] for unit in np.eye(k)]
    solved = np.linalg.lstsq(np.column_stack([np.ones(len(tau)), *columns]), A, rcond=None)[0]
    return {
        "K_Q": K_Q,
        "kappa_Q": solved[1:, None],
        "delta_0": solved[:1, None],
        "delta_1": delta_1[:, None],
    }


# -- the time series ---------------------------------------------------------------------------------------


def autoregression(X: Array, dt: float) -> tuple[Array, Array, Array]:
    """Return K, kappa and cov of factors observed every dt years: a VAR(1), its roots kept inside bounds."""
    before, after = X[:-1], X[1:]
    fit = np.linalg.lstsq(np.column_stack([before, np.ones(len(before))]), after, rcond=None)[0]
    residual = after - before @ fit[:-1] - fit[-1]
    omega = residual.T @ residual / len(residual)
    scale = np.sqrt(np.diag(omega))
    try:
        K, _, cov = continuous(fit[:-1].T, fit[-1], omega, dt)
        if np.min(np.linalg.eigvalsh(cov / scale[:, None] / scale * dt)) < 1e-3:
            cov = omega / dt
    except NOT_HERE:
        K, cov = (np.eye(len(scale)) - fit[:-1].T) / dt, omega / dt
    return bounded_roots(K), bounded_roots(K) @ X.mean(axis=0), symmetrize(cov)


def bounded_roots(K: Array) -> Array:
    """Return a matrix with the real parts of its eigenvalues inside the bounds of start values."""
    roots, vectors = np.linalg.eig(K)
    if np.all(roots.real > _LEAST_ROOT) and np.all(roots.real < _LARGEST_ROOT):
        return K
    inside = np.clip(roots.real, _LEAST_ROOT, _LARGEST_ROOT) + 1j * roots.imag
    return np.asarray(np.real(vectors @ np.diag(inside) @ np.linalg.inv(vectors)))


def assembled(model: Any, start: Candidate, y: Array, dt: float) -> Array:
    """Return the full start vector of a candidate: Q as it is, P from its factors, H from its residuals."""
    layout, X = model.layout, start.factors
    K, _, cov = autoregression(X, dt)
    values: Values = dict(start.values)
    if not layout.blocks["state_cov"].is_fixed:
        cov = _in_structure(layout.blocks["state_cov"], cov)
        values["state_cov"] = cov
    else:
        cov = layout.blocks["state_cov"].fixed
    pricing = model.norm.pricing({**values, "state_cov": cov})
    values.update(_physical(model, K, X.mean(axis=0), cov, pricing))
    B = loadings(pricing.K, pricing.kappa, cov * model.convexity, pricing.delta_0, pricing.delta_1,
                 model.panel.maturities)  # fmt: skip
    errors = y - B[0] - X @ B[1].T
    variance = np.maximum(np.mean(errors**2, axis=0), (_LEAST_ERROR * model.panel.scale) ** 2)
    values["obs_cov"] = _in_structure(layout.blocks["obs_cov"], np.diag(variance))
    if not layout.blocks["initial_state"].is_fixed:
        values["initial_state"] = X[:1].T
    return np.asarray(layout.project(values, np.zeros(len(layout))))


def _in_structure(block: Any, target: Array) -> Array:
    """Return the covariance matrix of a structure nearest to a target."""
    structure = structure_of(block)
    estimate = structure.estimate(target)
    if estimate is None:
        free = np.zeros(block.shape, bool)
        free[block.rows, block.columns] = True
        return np.where(free, np.diag(np.diag(target)), block.fixed)
    places = {name: value for name, value in zip(structure.param_names, estimate, strict=True)}
    return np.asarray(block.values(places))


def _physical(model: Any, K: Array, mean: Array, cov: Array, pricing: Pricing) -> Values:
    """Return the P-blocks, with the restrictions of the layout."""
    blocks = model.layout.blocks
    if "K_P" in blocks:
        block = blocks["K_P"]
        free = np.zeros(block.shape, bool)
        free[block.rows, block.columns] = True
        K = np.where(free, K, block.fixed)
        if np.min(np.linalg.eigvals(K).real) < _LEAST_ROOT:
            K = np.where(free, np.diag(np.maximum(np.diag(K), 2.0 * _LEAST_ROOT)), block.fixed)
        return {"K_P": K, "kappa_P": (K @ mean)[:, None]}
    lambda_1 = stable_prices(blocks["lambda_1"], pricing, cov, K, _LEAST_ROOT)
    K = pricing.K - semidefinite_cholesky(cov) @ lambda_1
    return {"lambda_0": prices_of_risk(pricing, cov, K, K @ mean)[0][:, None], "lambda_1": lambda_1}


_ZERO, _EXACT = 1e-7, 1e-10
"""Variances of pricing errors, as shares of those of the yields: taken to be zero, and put for zero."""


def exchanges(model: Any, problem: Any, params: Array) -> list[Array]:
    """
    Return starts at which a maturity priced without error gives way to one of its neighbours.

    The likelihood rises without a slope towards a variance of zero for as many maturities as there are
    factors, and has a maximum for each choice of them. A search does not leave one for another. (Where the
    first state is free too it rises without bound, and there is no choice to make.)

    Parameters
    ----------
    model : ATSM
        The model.
    problem : EstimationProblem
        The problem.
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
    order = np.argsort(model.panel.maturities[block.rows], kind="stable")
    typical = float(np.median(params[places][~zero]))
    out = []
    for rank, i in enumerate(order):
        near = order[max(rank - 1, 0) : rank + 2]
        for j in near[~zero[near]] if zero[i] else ():
            trial = np.array(params)
            trial[places[i]], trial[places[j]] = typical, _EXACT * sizes[j]
            out.append(trial)
    return out
