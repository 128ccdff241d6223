r"""
Computation and simulation of the likelihood ratio of W = 0, from independent contrasts or from repeated fits.

If one regressor has random-walk coefficients, the data can be transformed to independent rows.

Let the rows of Y be either complete or missing, and let the start be diffuse. The columns of U span the
orthogonal complement of the regressors. They are rotated so that :math:`U' D K D U` is diagonal with
eigenvalues :math:`\lambda_i`, where :math:`D = diag(x_j)` and :math:`K_{st} = \min(s, t) - 1`. The rows of
:math:`Z = U'Y` are independent,

.. math:: z_i \sim N(0, V + \lambda_i W), \qquad i = 1, \ldots, n - m,

and their likelihood equals the exact diffuse one up to a constant. If W = q V and V is unstructured, V can be
concentrated out, which leaves one dimension (Crainiceanu & Ruppert 2004, JRSS B 66, 165-185, section 3, for
p = 1):

.. math:: LR(q) = (n - m) (\log|S(0)| - \log|S(q)|) - p \sum_i \log(1 + q \lambda_i),
    \quad S(q) = \sum_i z_i z_i' / (1 + q \lambda_i).
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.linalg
import scipy.optimize

from ..engine.system_score import SystemScore
from ..fit.objective import FitResult
from ..inference.many import model_on
from ..numerics.common_regressors import CommonRegressors, RegressorAxes
from ..numerics.differences import jacobian
from ..numerics.linear_algebra import Array
from ..params.layout import ParameterLayout
from .declaration import obs_kind, state_kinds
from .estimation import decomposed, factor_analysis_steps

if TYPE_CHECKING:
    from .dynamic_regression import DynamicRegression

SMALL, MODERATE = 1.0, 30.0
"""Sizes of W at the starts of a maximisation, as multiples of V over the largest eigenvalue."""
_OFF_ZERO = 0.05
"""Smallest specific variance at a start, as a share. At zero the gradient by its square root vanishes."""
CONVERGED = 1e-3
"""Largest scaled score that counts as converged."""
LONGEST = 4000
"""Number of periods up to which the eigenvalue decomposition of the contrasts is computed."""
OPTIONS = {"maxiter": 500, "maxfun": 5000, "maxcor": 20, "ftol": 1e-13, "gtol": 1e-5}
"""Options of L-BFGS-B."""


def common_regression(model: DynamicRegression) -> tuple[Array, Array, list[int]] | None:
    """
    Return series, regressors and moving columns of the regression without constraints that a model is.

    If all series have the same regressors and constraints, b = b_0 + N g gives Y - X b_0 = (X N) g + eps.
    Otherwise the result is None.
    """
    c = model.coefficients
    if c.alike is None:
        return None
    moving = [place for place, j in enumerate(c.free[:: c.p] // c.p) if c.dynamics[j] != "static"]
    return model.endog - c.intercept(model.exog).T, model.exog @ c.alike, moving


_CLOSED = {
    "unstructured": {"unstructured", "proportional"},
    "diagonal": {"unstructured", "diagonal", "factor", "proportional"},
    "equicorrelated": {"unstructured", "equicorrelated", "proportional"},
    "scalar": {"unstructured", "diagonal", "equicorrelated", "scalar", "factor", "proportional", "patterned"},
}
"""Structures of W that A W A' preserves for each A with A A' = V, by structure of V."""


def change_of_basis_preserves(model: DynamicRegression) -> bool:
    """
    Return whether a change of basis of the series that turns any V into I preserves W and the regression.

    If so, the distribution of the likelihood ratio of W = 0 does not depend on parameters. The change of
    basis is a matrix A with V = A A' from the group that preserves the structure of V: all matrices, diagonal
    matrices, matrices that treat all series alike, or multiples of I. A fixed V contains no unknowns.
    Coefficients that series share, and regressors that differ by series, allow fewer changes of basis.
    """
    c, obs = model.coefficients, obs_kind(model)
    if obs == "fixed":
        return True
    kinds = {kind.split(":")[0] for kind in state_kinds(model).values()}
    preserved = c.alike is not None or obs == "scalar" or (obs == "diagonal" and c.separate.all())
    return bool(preserved) and obs in _CLOSED and kinds <= _CLOSED[obs] | {"zero"}


class ProfileRatio:
    """
    Likelihood ratios of W = 0 against W = q V, from the profile likelihood of q.

    Parameters
    ----------
    axes : RegressorAxes
        The contrasts.
    obs : {"unstructured", "diagonal", "scalar"}
        Structure of V.
    p : int
        Number of series.
    """

    def __init__(self, axes: RegressorAxes, obs: str, p: int) -> None:
        self.eigenvalues, self.obs, self.p = axes.sizes, obs, p
        largest = self.eigenvalues[-1]
        positive = self.eigenvalues[self.eigenvalues > 1e-12 * largest]
        self.grid = np.geomspace(1e-3 / largest, 1e4 / positive[0], 80)

    def ratio(self, rows: Array) -> tuple[float, bool]:
        """Return the likelihood ratio at the best q, and True for convergence."""
        products, n = self._products(rows), len(rows)
        base = np.linalg.slogdet(products.sum(axis=0))[1].sum()

        def at(q: Any) -> Any:
            """Return the ratio at one or several values of q."""
            weights = 1.0 / (1.0 + np.multiply.outer(q, self.eigenvalues))
            log_det = np.linalg.slogdet(np.tensordot(weights, products, 1))[1].sum(axis=-1)
            return n * (base - log_det) + self.p * np.sum(np.log(weights), axis=-1)

        values = at(self.grid)
        best = int(np.argmax(values))
        low = 0.0 if best == 0 else self.grid[best - 1]
        high = self.grid[min(best + 1, len(self.grid) - 1)]
        inner = scipy.optimize.minimize_scalar(
            lambda q: -at(q), bounds=(low, high), method="bounded", options={"xatol": 1e-7 * high}
        )
        return max(0.0, float(values[best]), -float(inner.fun)), True

    def _products(self, rows: Array) -> Array:
        """Return the matrices (n, blocks, size, size) whose sums are the diagonal blocks of V."""
        if self.obs == "unstructured":
            return np.einsum("ni,nj->nij", rows, rows)[:, None]
        squares = rows[:, :, None, None] ** 2
        if self.obs == "scalar":
            squares = np.repeat(squares.sum(axis=1, keepdims=True), self.p, axis=1)
        return squares


def null_params(layout: ParameterLayout, target: Array) -> Array | None:
    """Return the best parameters with W = 0 for a mean residual matrix, or None without a closed form."""
    block, params = layout.blocks["obs_cov"], np.zeros(len(layout))
    if layout.blocks["obs_loading"].shape[1]:
        return None
    if not block.is_fixed:
        structure = layout.recognised["obs_cov"]
        closed = structure.estimate(target)
        if closed is None:
            return None
        params[layout.positions(structure.param_names)] = closed
    return params


def null_start(layout: ParameterLayout, target: Array) -> Array:
    """Return parameters with W = 0 and a V close to a mean residual matrix."""
    rank = layout.blocks["obs_loading"].shape[1]
    if not rank:
        return np.asarray(layout.project({"obs_cov": np.diag(np.diag(target))}, np.zeros(len(layout))))
    values, vectors = np.linalg.eigh(target)
    loading = vectors[:, -rank:] * np.sqrt(0.5 * values[-rank:])
    loading, specific = factor_analysis_steps(target, loading, np.diag(target - loading @ loading.T))
    matrices = {"obs_cov": np.diag(np.maximum(specific, _OFF_ZERO * np.diag(target))), "obs_loading": loading}
    return np.asarray(layout.project(matrices, np.zeros(len(layout))))


def start_params(model: DynamicRegression, null: Array, largest: Array, size: float) -> Array:
    """
    Return start parameters: the V of ``null``, and each W as a share of diag(V) over the largest eigenvalue.

    Parameters
    ----------
    model : DynamicRegression
        The model.
    null : ndarray
        Parameters that contain V.
    largest : ndarray
        Largest eigenvalue of the contrasts, common or by disturbance.
    size : float
        The share.
    """
    layout, c = model.layout, model.coefficients
    variances = np.diag(model.matrices(null)["obs_cov"])
    if layout.blocks["obs_loading"].shape[1]:
        specific = np.diag(layout.matrices(null)["obs_cov"])
        off_zero = np.diag(np.maximum(specific, _OFF_ZERO * variances))
        null = layout.project({"obs_cov": off_zero}, null)
    shares = np.broadcast_to(size / largest, c.noisy.shape)
    steps = shares * variances[c.noisy % c.p]
    places = [c.noise_places(place) for place in model.proportional]
    proportion = np.diag([shares[rows[0]] for rows in places])
    for rows in places:
        steps[rows] = 0.0
    block = layout.blocks["state_loading"]
    loading = np.zeros(block.shape)
    loading[block.rows, block.columns] = 0.5 * np.sqrt(steps[block.rows])
    matrices = {"state_cov": np.diag(steps), "state_loading": loading, "proportion": proportion}
    return np.asarray(layout.project(matrices, null))


def ratio_of(model: DynamicRegression) -> ContrastedRatio | FittedRatio:
    """
    Return the fastest exact computation of the likelihood ratio of a model.

    Independent contrasts are used if one regressor has time-varying coefficients, all series have the same
    regressors and constraints, the start is exact diffuse and each row is complete or missing. If also
    W = q V or there is one series, the profile likelihood of q is used. All other models are fitted by the
    Kalman filter.
    """
    missing = np.isnan(model.endog)
    whole = bool(np.all(missing.all(axis=1) == missing.any(axis=1)))
    diffuse = model.current_initialization == "diffuse"
    pivotal = diffuse and whole and change_of_basis_preserves(model)
    common = common_regression(model)
    if diffuse and whole and common is not None and len(common[2]) == 1 and model.nobs <= LONGEST:
        (endog, exog, moving), seen = common, np.flatnonzero(~missing.any(axis=1))
        axes = decomposed(np.ascontiguousarray(exog[seen]), moving[0], seen)
        if axes is not None:
            return ContrastedRatio(model, pivotal, axes, seen, endog)
    return FittedRatio(model, pivotal)


class ContrastedRatio:
    """
    Likelihood ratio of W = 0 from independent contrasts.

    If W = q V, it uses the profile likelihood of q. Other structures are maximised by L-BFGS-B. Samples are
    drawn with the V of the null fit.

    Parameters
    ----------
    model : DynamicRegression
        The model.
    pivotal : bool
        Whether the distribution does not depend on V.
    axes : RegressorAxes
        The contrasts.
    seen : ndarray of int
        The periods with data.
    endog : ndarray, (nobs, p)
        The series of the regression without constraints.
    """

    def __init__(
        self, model: DynamicRegression, pivotal: bool, axes: RegressorAxes, seen: Array, endog: Array
    ) -> None:
        self.model, self.layout, self.pivotal = model, model.layout, pivotal
        self.axes, self._seen = axes, seen
        self.rows = self.sample_of(endog)
        self._obs = np.concatenate([self.layout.block_params(key) for key in ("obs_cov", "obs_loading")])
        first = null_start(self.layout, self.rows.T @ self.rows / len(self.rows))
        self._scale = self._scales(self.layout.unconstrain(self._start(first, SMALL)))
        # both roots give the distribution; the symmetric one is a change of basis that treats series alike
        root = scipy.linalg.sqrtm if pivotal else np.linalg.cholesky
        self._factor = root(model.matrices(self.null(self.rows)[1])["obs_cov"])
        obs, state = obs_kind(model), list(state_kinds(model).values())
        multiple = state == ["proportional"] or (model.k_endog == 1 and state == ["scalar"])
        profiled = multiple and obs in ("unstructured", "diagonal", "scalar")
        self._profile = ProfileRatio(axes, obs, model.k_endog) if profiled else None

    def sample_of(self, endog: Array) -> Array:
        """Return the rows of data with the regressors and the missing periods of the model."""
        return np.asarray(self.axes.vectors.T @ endog[self._seen])

    def draw(self, rng: np.random.Generator) -> Array:
        """Return simulated rows."""
        return rng.standard_normal(self.rows.shape) @ self._factor.T

    def ratio(self, sample: Array, also: Array | None = None) -> tuple[float, bool]:
        """
        Return the likelihood ratio of a sample and whether a maximum was found.

        ``also`` contains the parameters of one additional start.
        """
        if self._profile is not None:
            return self._profile.ratio(sample)
        value_null, null, found_null = self.null(sample)
        starts = [self.layout.unconstrain(self._start(null, size)) for size in (SMALL, MODERATE)]
        tries = [self._maximise(sample, z, np.arange(len(z))) for z in starts]
        if also is not None:
            tries.append((self.value_and_score(also, sample)[0], also, False))
        best = max(value for value, *_ in tries)
        done = any(found for value, _, found in tries if value > best - 1e-6 * (1.0 + abs(best)))
        return max(0.0, 2.0 * (best - value_null)), found_null and done

    def observed(self, params: Array | None) -> tuple[float, float, bool]:
        """Return both log-likelihoods of the data."""
        (value, found), null = self.ratio(self.rows, params), self.null(self.rows)[0]
        return null + 0.5 * value, null, found

    def null(self, rows: Array) -> tuple[float, Array, bool]:
        """Return the log-likelihood with W = 0, the parameters and whether a maximum was found."""
        target = rows.T @ rows / len(rows)
        params = null_params(self.layout, target)
        if params is not None:
            return self.value_and_score(params, rows)[0], params, True
        first = self.layout.unconstrain(null_start(self.layout, target))
        return self._maximise(rows, first, self._obs)

    def value_and_score(self, params: Array, rows: Array) -> tuple[float, Array]:
        """Return the log-likelihood of the rows and its gradient by parameter."""
        at, most = self.model.matrices(params), self.axes.sizes[-1]
        V, W = at["obs_cov"], at["state_cov"]
        found = CommonRegressors(self.axes, rows, most).score(V + most * W, W)
        if found is None:
            raise np.linalg.LinAlgError("The covariance of a row is singular")
        value, by = found
        by["state_cov"] += most * by["obs_cov"]
        blocks = self.model.score_by_block(SystemScore(value, by), params)
        return value, self.layout.gradient(blocks, params)

    def _start(self, null: Array, size: float) -> Array:
        """Return parameters with the V of ``null``, and a W that is a share of the diagonal of V."""
        return start_params(self.model, null, self.axes.sizes[-1:], size)

    def _scales(self, z: Array) -> Array:
        """Return one over the square root of the expected information, by unconstrained parameter."""

        def both(z: Array) -> Array:
            """Return V and W at unconstrained parameters."""
            at = self.model.matrices(self.layout.constrain(z))
            return np.stack([at["obs_cov"], at["state_cov"]])

        found = CommonRegressors(self.axes, self.rows).diagonalised(*both(z))
        if found is None:
            raise np.linalg.LinAlgError("V is singular")
        A, shares, _ = found
        inverse = 1.0 / (1.0 + np.multiply.outer(self.axes.sizes, shares))
        pairs = [(inverse * self.axes.sizes[:, None] ** k).T @ inverse for k in range(3)]
        steps = 1e-5 * np.maximum(np.abs(z), 1e-3 * np.max(np.abs(z)))
        dV, dW = A @ np.moveaxis(jacobian(both, z, steps), -1, 1) @ A.T
        information = 0.5 * (pairs[0] * dV**2 + 2.0 * pairs[1] * dV * dW + pairs[2] * dW**2).sum(axis=(1, 2))
        return 1.0 / np.sqrt(np.where(information > 0.0, information, 1.0))

    def _maximise(self, rows: Array, start: Array, places: Array) -> tuple[float, Array, bool]:
        """Maximise over some unconstrained parameters; return value, parameters and convergence."""
        scale, last = self._scale[places], [np.inf]

        def objective(w: Array) -> tuple[float, Array]:
            """Return minus the log-likelihood and its gradient, or a large value if it does not exist."""
            z = start.copy()
            z[places] += scale * w
            try:
                value, gradient = self.value_and_score(self.layout.constrain(z), rows)
            except (np.linalg.LinAlgError, ValueError):
                wall = last[0] if np.isfinite(last[0]) else 0.0
                return wall + 10.0 + abs(wall), np.zeros(len(w))
            last[0] = -value
            return -value, -self.layout.vjp(z, gradient)[places] * scale

        out = scipy.optimize.minimize(  # type: ignore[call-overload]
            objective, np.zeros(len(places)), jac=True, method="L-BFGS-B", options=OPTIONS
        )
        z = start.copy()
        z[places] += scale * out.x
        return -float(out.fun), self.layout.constrain(z), bool(np.max(np.abs(out.jac)) < CONVERGED)


class FittedRatio:
    """Likelihood ratio from fits of the model to each sample, from two starts."""

    def __init__(self, model: DynamicRegression, pivotal: bool) -> None:
        self.model, self.pivotal = model, pivotal
        c, periods = model.coefficients, len(model.endog)
        self._seen = ~np.isnan(model.endog)
        rows = model._design[:, c.noise_rows][..., self._seen.any(axis=1)]
        # the size of the largest eigenvalue of the contrasts, by disturbance
        self._largest = np.mean(rows**2, axis=2).sum(axis=0) * (periods / np.pi) ** 2
        keys = ("state_cov", "state_loading", "proportion")
        self._constant = {name: 0.0 for key in keys for name in model.layout.blocks[key].param_names}
        self._null = _maximum(model, None, self._constant)
        self._factor = np.linalg.cholesky(np.asarray(model.matrices(self._null.params)["obs_cov"]))
        self._mean = model._intercept.T
        if model.current_initialization != "diffuse":  # the likelihoods depend on the coefficients
            states = np.asarray(model.smooth(self._null.params, cov_type="none").smoothed_state)[:, -1]
            self._mean = self._mean + np.einsum("ikt,k->ti", model._design, states)

    def sample_of(self, endog: Array) -> Array:
        """Return the data themselves."""
        return endog

    def draw(self, rng: np.random.Generator) -> Array:
        """Return simulated data with the missing values of the observed data."""
        noise = rng.standard_normal(self._seen.shape) @ self._factor.T
        return np.where(self._seen, self._mean + noise, np.nan)

    def ratio(self, sample: Array) -> tuple[float, bool]:
        """Return the likelihood ratio of a sample and whether the fits converged."""
        model = model_on(self.model, sample)
        llf, llf_null, converged = self._fit(model, _maximum(model, None, self._constant), None)
        return 2.0 * (llf - llf_null), converged

    def observed(self, params: Array | None) -> tuple[float, float, bool]:
        """Return both log-likelihoods of the data."""
        return self._fit(self.model, self._null, params)

    def _fit(
        self, model: DynamicRegression, null: FitResult, params: Array | None
    ) -> tuple[float, float, bool]:
        """Return the highest log-likelihood of a few starts, that with W = 0, and whether both converged."""
        starts = [start_params(model, null.params, self._largest, size) for size in (SMALL, MODERATE)]
        starts += [] if params is None else [params]
        found = [_maximum(model, start, {}) for start in starts]
        best = max(each.llf for each in found)
        done = any(each.converged for each in found if each.llf > best - 1e-6 * (1.0 + abs(best)))
        return max(best, null.llf), null.llf, done and null.converged


def _maximum(model: DynamicRegression, start: Array | None, fixed: dict[str, float]) -> FitResult:
    """Return a fit without its warnings; failures are counted instead."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.maximum(start, fixed)
