"""Estimation of a dynamic regression: start values, the smoother of common regressors, and EM updates."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from typing import Any

import numpy as np

from ..base.fitting import R
from ..base.model import StateSpaceModel
from ..em.regressions import Moments, Regression, update_covariance
from ..em.updates import LinearGaussianUpdates, NamedUpdate
from ..engine.smoother import Smoother
from ..engine.system import System
from ..engine.validation import check_regressors, check_residuals, check_series
from ..exceptions import DataError
from ..fit.problem import EstimationProblem
from ..fit.start_values import covariance_near
from ..numerics.common_regressors import CommonRegressors, RegressorAxes
from ..numerics.linear_algebra import Array, lower_triangular_rotation
from ..params.affine import IntArray
from ..params.covariance import Chordal, Unstructured, precision_of
from ..params.layout import ParameterLayout
from .deviations import Deviations, DeviationScores
from .obs_scale import unscaled

# -- start values -----------------------------------------------------------------------------------------

_SIZES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
_LARGE, _MANY = 100.0, 28
"""Size of a W that is much too large, and the number of parameters from which it is tried (seven series)."""
_AR1 = (0.5, 0.9, 0.98)
_LARGE_AR1, _AR1_FROM_LARGE = 10.0, (0.0, 0.3, 0.6, 0.9)


def _trials(
    problem: EstimationProblem,
    residual_cov: Array,
    unit: Array,
    sizes: tuple[float, ...],
    phis: tuple[float, ...],
) -> list[Array]:
    """Return one start for each size of W and each autoregressive coefficient."""
    layout = problem.layout
    variances, shares = np.diag(residual_cov), layout.block_params("proportion")
    params = covariance_near(problem, "obs_cov", np.zeros(len(layout)), residual_cov, 0.1 * variances)
    params = _with_factors(problem, "obs", params, residual_cov)
    trials = []
    for size, phi in itertools.product(sizes, phis):
        steps = size * unit
        trial = covariance_near(problem, "state_cov", params, np.diag(steps), steps)
        trial = _with_factors(problem, "state", trial, np.diag(steps) + np.sqrt(np.outer(steps, steps)))
        trial[layout.block_params("transition")] = phi
        trial[shares] = np.mean(steps) / (np.mean(variances) or 1.0)  # residuals may be zero
        trials.append(trial)
    return trials


def _with_factors(problem: EstimationProblem, key: str, params: Array, cov: Array) -> Array:
    """Return parameters whose factors explain half of a covariance matrix; the rest is specific variance."""
    block = problem.layout.blocks[f"{key}_loading"]
    if block.is_fixed:
        return params
    loading, half = np.zeros(block.shape), 0.5 * np.diag(cov)
    for column in range(block.shape[1]):
        rows = np.sort(block.rows[block.columns == column])
        values, vectors = np.linalg.eigh(cov[np.ix_(rows, rows)])
        leading = vectors[:, -1] * np.sign(vectors[:, -1].sum() or 1.0)
        loading[rows, column] = np.sqrt(0.5 * values[-1]) * leading / (1.0 + column)
    return problem.layout.project({f"{key}_loading": loading, f"{key}_cov": np.diag(half)}, params)


def least_squares(endog: Array, regressors: Array, scale: Array | None = None) -> tuple[Array, Array]:
    """
    Return the residual covariance and the squared standard errors (m, p), for each series on its rows.

    Parameters
    ----------
    endog : ndarray, (n, p)
        Series; NaN marks a missing value.
    regressors : ndarray, (p, n, m)
        Regressors by series. Those of zeros do not count.
    scale : ndarray, (n, p), optional
        Residuals are divided by it for the covariance.
    """
    seen = ~np.isnan(endog)
    X = regressors * seen.T[:, :, None]
    inverse = np.linalg.pinv(np.swapaxes(X, 1, 2) @ X)
    residuals = series_by_series(endog, regressors)[1]
    freedom = np.maximum(seen.sum(axis=0) - X.any(axis=1).sum(axis=1), 1)
    squared = np.nansum(residuals**2, axis=0) / freedom * np.diagonal(inverse, axis1=1, axis2=2).T
    filled = np.nan_to_num(residuals if scale is None else residuals / scale)
    count = np.maximum(seen.T.astype(float) @ seen, 1.0)
    cov = filled.T @ filled / count
    values = np.linalg.eigvalsh(cov)
    if values[0] <= 1e-8 * values[-1]:
        cov = 0.5 * (cov + np.diag(np.diag(cov)))
    return cov, squared


_PHI = np.array([-0.999, -0.95, -0.8, -0.5, -0.2, 0.2, 0.5, 0.8, 0.95, 0.999])
_SIZE = np.array([0.01, 0.1, 1.0, 10.0, 100.0])
_WITHIN = 6.0
"""A local maximum is ignored if it is lower than the maximum by more than this, other parameters equal."""


def _moved(
    problem: EstimationProblem, params: Array, place: int, rows: IntArray, phi: float, variances: Array
) -> Array:
    """Return parameters with a new coefficient and stationary variances of its rows, without correlations."""
    at = problem.layout.matrices(params)
    cov, loading = at["state_cov"], at["state_loading"]
    cov[rows, :] = cov[:, rows] = loading[rows] = 0.0
    cov[rows, rows] = variances * (1.0 - phi**2)
    out = problem.layout.project({"state_cov": cov, "state_loading": loading}, params)
    out[place] = phi
    return out


def series_by_series(endog: Array, regressors: Array) -> tuple[Array, Array]:
    """
    Return least-squares coefficients (m, p) and residuals (n, p), for each series on its observed rows.

    Parameters
    ----------
    endog : ndarray, (n, p)
        Series; NaN marks a missing value.
    regressors : ndarray, (n, m) or (p, n, m)
        Regressors, common or by series.
    """
    coefficients = np.empty((regressors.shape[-1], endog.shape[1]))
    residuals = np.full(endog.shape, np.nan)
    for i in range(endog.shape[1]):
        seen, X = ~np.isnan(endog[:, i]), regressors if regressors.ndim == 2 else regressors[i]
        coefficients[:, i] = np.linalg.lstsq(X[seen], endog[seen, i], rcond=None)[0]
        residuals[seen, i] = endog[seen, i] - X[seen] @ coefficients[:, i]
    return coefficients, residuals


# -- the smoother -----------------------------------------------------------------------------------------


_ROWS, _ROWS_PER_SERIES, _MOST_ROWS = 800, 100, 3000
"""Periods up to which the decomposition saves a fit more time than it takes: base, per series and maximum."""
_KEPT_ROWS, _KEPT = 1000, 4
"""Periods up to which decompositions are cached for models with the same regressors, and the cache size."""


def decomposed(exog: Array, moving: int, periods: Array) -> RegressorAxes | None:
    """Return the axes of the regressors, or None if these are linearly dependent."""
    find = _decomposed if len(exog) <= _KEPT_ROWS else _decomposed.__wrapped__
    return find(exog.tobytes(), exog.shape, moving, periods.tobytes())


@lru_cache(maxsize=_KEPT)
def _decomposed(exog: bytes, shape: tuple[int, int], moving: int, periods: bytes) -> RegressorAxes | None:
    rows = np.frombuffer(exog).reshape(shape)
    try:
        return RegressorAxes(rows, moving, np.frombuffer(periods, dtype=np.intp))
    except np.linalg.LinAlgError:
        return None


class RegressionSmoother(Smoother):
    """
    A smoother of the coefficients of a dynamic regression.

    It uses the log-likelihood of `CommonRegressors` if one coefficient is a random walk, the others are
    constant, the start is exact diffuse and no row is partly missing. If the coefficients are constants and
    stationary deviations, it uses that of `Deviations`.

    Parameters
    ----------
    walk : int or None
        The regressor whose coefficients are random walks, if all other coefficients are constant.
    scale : ndarray, (nobs, p), or None
        Multipliers of the standard deviations of the noise.
    deviations : Deviations or None
        The likelihood with the deviations as the only states.
    *given
        The arguments of `Smoother`.
    """

    def __init__(
        self, *given: Any, walk: int | None, scale: Array | None = None, deviations: Deviations | None = None
    ) -> None:
        super().__init__(*given)
        self._walk, self.scale = walk if scale is None else None, scale
        self.deviations = deviations

    def moments(self, system: System) -> Moments:
        """Return the moments of the E-step, scaled so that the noise covariance is V in every period."""
        found = super().moments(system)
        return replace(found, observation=unscaled(found.observation, self.scale))

    @cached_property
    def common(self) -> CommonRegressors | None:
        """The decomposed series, or None if the likelihood has no such form or a filter pass is faster."""
        empty = self.missing.all(axis=1)
        if self._walk is None or np.any(self.missing[~empty]):
            return None
        periods, p = np.flatnonzero(~empty), self.endog.shape[1]
        if len(periods) > min(_ROWS + _ROWS_PER_SERIES * p, _MOST_ROWS):
            return None
        axes = decomposed(np.ascontiguousarray(self.exog[periods]), self._walk, periods)
        return None if axes is None else CommonRegressors(axes, axes.vectors.T @ self.endog[periods])

    def loglike(self, system: System) -> float:
        """Return the log-likelihood."""
        found = None
        if system.initialization_type == "diffuse" and self.common is not None:
            found = self.common.loglike(system.obs_cov, system.state_cov)
        elif system.initialization_type == "custom" and self.deviations is not None:
            phi = system.transition.diagonal()[-len(system.state_cov) :]
            found = self.deviations.loglike(system.obs_cov, system.state_cov, phi)
        return super().loglike(system) if found is None else found


# -- updates of structures that are not affine ------------------------------------------------------------

_STEPS = 20


def factor_analysis_steps(
    target: Array, loading: Array, specific: Array, steps: int = _STEPS
) -> tuple[Array, Array]:
    """
    Return loadings and specific variances that increase -log|S| - tr(S^{-1} target), S = G G' + diag(u).

    The function takes EM steps of factor analysis (Rubin & Thayer 1982), each of which increases the
    objective. It rotates the loadings to lower triangular form, which leaves S unchanged.

    Parameters
    ----------
    target : ndarray, (p, p)
        The mean residual matrix.
    loading : ndarray, (p, r)
        The loadings G.
    specific : ndarray, (p,)
        The specific variances u, which must be positive.
    steps : int
        Number of steps.
    """
    for _ in range(steps):
        weight = np.linalg.solve(loading @ loading.T + np.diag(specific), loading).T
        cross = target @ weight.T
        second = np.eye(loading.shape[1]) - weight @ loading + weight @ cross
        loading = np.linalg.solve(second, cross.T).T
        specific = np.maximum(np.diag(target - loading @ cross.T), 0.0)
        if np.min(specific) <= 1e-14 * np.max(np.diag(target)):
            break
    return loading @ lower_triangular_rotation(loading), specific


@dataclass(frozen=True)
class FactorUpdates(LinearGaussianUpdates):
    """Updates of V = diag + G G', and of W in the same form by regressor."""

    def cycles(self) -> list[list[NamedUpdate]]:
        """Return the updates."""
        first = partial(self.factors, "obs") if self._has("obs_loading") else self.obs_cov
        second = partial(self.factors, "state") if self._has("state_loading") else self.state_cov
        named: list[NamedUpdate] = [("obs_cov", first), ("state_cov", second)]
        return [[(name, update) for name, update in named if self._free(name)]]

    def unsupported_reason(self) -> str | None:
        """Return the reason why EM cannot estimate this specification, or None if it can."""
        if not self.layout.blocks["transition"].is_fixed:
            return '"factor:r" with "ar1" coefficients'
        if self.layout.blocks["proportion"].shape[0]:
            return '"factor:r" beside "proportional"'
        for key in ("obs", "state"):
            block = self.layout.blocks[f"{key}_loading"]
            if block.shape[1] and np.any(block.fixed):
                return f"a fixed loading of {key}_cov"
        loading, cov = self.layout.blocks["state_loading"], self.layout.blocks["state_cov"]
        loaded = np.unique(loading.rows)
        if self._has("state_loading") and set(cov.rows.tolist()) - set(loaded.tolist()):
            return '"factor:r" for some moving regressors only'
        return None

    def _has(self, key: str) -> bool:
        return self.layout.blocks[key].shape[1] > 0

    def factors(self, key: str, params: Array, moments: Moments) -> tuple[Array, Moments]:
        """Update G and the diagonal part of V ("obs"), or of W ("state"), one regressor after the other."""
        mean = (moments.observation if key == "obs" else moments.state).mean
        block, p = self.layout.blocks[f"{key}_loading"], self.layout.blocks["obs_cov"].shape[0]
        for first in range(0, block.shape[0], p):
            at, rows = self.layout.matrices(params), np.arange(first, first + p)
            own = np.unique(block.columns[np.isin(block.rows, rows)])
            loading, specific = at[f"{key}_loading"], at[f"{key}_cov"]
            loading[np.ix_(rows, own)], specific[rows, rows] = factor_analysis_steps(
                mean[np.ix_(rows, rows)], loading[np.ix_(rows, own)], np.diag(specific)[rows]
            )
            params = self.layout.project({f"{key}_loading": loading, f"{key}_cov": specific}, params)
        return params, moments


@dataclass(frozen=True)
class ProportionalUpdates(LinearGaussianUpdates):
    """
    Updates of V and q_j for coefficients that are random walks or constants.

    The expected log-likelihood of eps ~ N(0, V) and eta_j ~ N(0, q_j V) is maximised in turn over V and over
    q_j. The update of V is that of its structure, with the sums of eta_j scaled by 1 / q_j. The update of q_j
    is tr(V^{-1} E eta eta') / (p n).
    """

    def cycles(self) -> list[list[NamedUpdate]]:
        """Return the updates."""
        return [[("obs_cov and proportion", self.obs_cov_and_proportion)]]

    def unsupported_reason(self) -> str | None:
        """Return the reason why EM cannot estimate this specification, or None if it can."""
        if len(self.structure.stationary):
            return 'state_cov="proportional" with "ar1" coefficients'
        blocks = self.layout.blocks
        if blocks["proportion"].shape[0] * blocks["obs_cov"].shape[0] != blocks["state_cov"].shape[0]:
            return "state_cov is proportional to obs_cov for some regressors only"
        return None

    def obs_cov_and_proportion(self, params: Array, moments: Moments) -> tuple[Array, Moments]:
        """Update V, then q_j."""
        observation, state, p = moments.observation, moments.state, self.layout.blocks["obs_cov"].shape[0]
        q = np.diag(self.layout.matrices(params)["proportion"])
        scaled, count = observation.ee[0], float(observation.n[0])
        noise = [state.ee[0][j * p : (j + 1) * p, j * p : (j + 1) * p] for j in range(len(q))]
        for share, ee in zip(q, noise, strict=True):
            if share > 0:
                scaled, count = scaled + ee / share, count + float(state.n[0])
        pooled = Regression(scaled[None], observation.eb, observation.bb, np.array([count]))
        if self._free("obs_cov"):
            params = update_covariance([self._term("obs_cov", pooled)], params)
        precision = precision_of(self.layout.matrices(params)["obs_cov"])
        shares = np.array([max(np.sum(precision * ee), 0.0) / (p * float(state.n[0])) for ee in noise])
        block, out = self.layout.blocks["proportion"], np.array(params)
        out[self.layout.index["proportion"]] = shares[block.rows]
        return out, moments


# -- the estimation of a model ----------------------------------------------------------------------

_COLLINEAR = 1e14
"""Condition number of the cross products of scaled regressors from which they are linearly dependent."""


class RegressionEstimation(DeviationScores, StateSpaceModel[R]):
    """Base class of dynamic regressions: start values, EM updates and checks of the sample."""

    _regressors_are: str

    def updates(self, layout: ParameterLayout) -> LinearGaussianUpdates:
        """Return the EM updates for a layout of the free parameters."""
        if self.has_factors:
            return FactorUpdates(layout, self.initialized_structure)
        kind = ProportionalUpdates if self.proportional else LinearGaussianUpdates
        return kind(layout, self.initialized_structure)

    @property
    def has_factors(self) -> bool:
        """Whether V or W has the form "factor:r"."""
        return any(self.layout.blocks[f"{key}_loading"].shape[1] for key in ("obs", "state"))

    def _least_squares(self) -> tuple[Array, Array]:
        """Return the residual covariance of least squares and a unit of the variance of each disturbance."""
        c = self.coefficients
        cov, squared = least_squares(self.endog, c.by_series(self.exog), self.obs_scale)
        return cov, squared.ravel()[c.noisy] * c.noise_sizes(self.nobs)

    def default_start(self, problem: EstimationProblem) -> Array:
        """
        Return start values of the free parameters.

        V is the residual covariance of least squares. Each W is diagonal and a multiple of the squared
        standard errors of the coefficients. The function tries a few multiples and keeps the one with the
        highest log-likelihood.
        """
        phis = _AR1 if len(problem.layout.block_params("transition")) else (0.0,)
        trials = _trials(problem, *self._least_squares(), _SIZES, phis)
        return trials[int(np.argmax(self._values(problem, trials)))]

    def other_starts(self, problem: EstimationProblem) -> list[Array]:
        """
        Return start values with a large W if the likelihood tends to have several maxima.

        This happens with autoregressive coefficients, with a W that has zeros, and with many series;
        otherwise the list is empty. From a W that is too large, an optimizer can still reach more of the
        maxima at which W is not singular. (The barrier method already starts from a large W.)
        """
        phis: tuple[float, ...] = (0.0,)
        structure = problem.layout.structures.get("state_cov")
        if len(problem.layout.block_params("transition")):
            size, phis = _LARGE_AR1, _AR1_FROM_LARGE
        elif not isinstance(structure, Unstructured):
            size = _SIZES[-1] if isinstance(structure, Chordal) else 0.0
        else:
            size = _LARGE if len(structure.param_names) >= _MANY else 0.0
        return _trials(problem, *self._least_squares(), (size,), phis) if size else []

    def other_local_maxima(self, problem: EstimationProblem, params: Array) -> list[Array]:
        """
        Return points from which a gradient method may reach a higher maximum, by decreasing likelihood.

        For b_t = phi b_{t-1} + e_t with Var(e_t) = w, the likelihood tends to have several maxima over phi
        and the stationary variance w / (1 - phi^2), because noise, slow movement and alternation may each
        explain a series. The points are the local maxima on a grid of these two numbers, for each coefficient
        in turn. The e_t of the coefficient is taken as uncorrelated with the others, because a correlation
        that suits one phi can hide another. All other parameters are held constant.

        Parameters
        ----------
        problem : EstimationProblem
            The estimation problem. The model has a diagonal "transition" with the same rows as "state_cov".
        params : ndarray
            Free parameters at a maximum.
        """
        layout, found, unit = problem.layout, [], self._least_squares()[1]
        lowest = problem.value(params) - _WITHIN
        size = _SIZE if len(layout.block_params("state_cov")) else np.ones(1)
        for place in layout.block_params("transition"):
            rows = layout.blocks["transition"].rows[layout.index["transition"] == place]
            points = [
                _moved(problem, params, place, rows, phi, variance * unit[rows])
                for phi, variance in itertools.product(_PHI, size)
            ]
            at = self._values(problem, points).reshape(len(_PHI), len(size))
            for i, j in itertools.product(range(len(_PHI)), range(len(size))):
                around = at[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2]
                if at[i, j] == around.max() and at[i, j] > lowest:
                    found.append((at[i, j], points[i * len(size) + j]))
        return [point for _, point in sorted(found, key=lambda pair: -pair[0])]

    def variance_sizes(self, params: Array) -> dict[str, Array]:
        """Return, by covariance block, the size that each variance would have if it explained the data."""
        out, c = super().variance_sizes(params), self.coefficients
        least = np.finfo(float).tiny
        squares = np.maximum(np.mean(c.by_series(self.exog) ** 2, axis=1), least).T.ravel()[c.noisy]
        out["state_cov"] = out["obs_cov"][c.noisy % c.p] / squares * c.noise_sizes(self.nobs)
        if self.obs_scale is not None:
            out["obs_cov"] = np.nanvar(self.endog / self.obs_scale, axis=0)
        first = [c.noise_places(place)[0] for place in self.proportional]
        out["proportion"] = 1.0 / squares[np.array(first, dtype=np.intp)]
        return out

    def check_sample(self) -> None:
        """Raise `DataError` where the sample cannot support the model."""
        c, X = self.coefficients, self.coefficients.by_series(self.exog)
        counts = c.present.reshape(-1, c.p).sum(axis=0).tolist()
        m = max(counts)
        check_series(self.endog, c.endog, m, enough=m + 1)
        self._check_rank(X)
        seen = ~np.isnan(self.endog)
        short = [name for name, n, most in zip(c.endog, seen.sum(axis=0), counts, strict=True) if n <= most]
        if short:
            raise DataError(
                f"Series {short} have too few observations",
                expected=f"more than {m}, the number of regressors",
            )
        free_cov = len(self.layout.block_params("obs_cov"))
        if free_cov > c.p and seen.any(axis=1).sum() - m < c.p:
            raise DataError(
                "There are too many assets for the sample",
                got=f"{c.p} series, {int(seen.any(axis=1).sum())} periods, {m} regressors",
                expected="at least as many periods less regressors as series",
                remedy='Use obs_cov="diagonal" or fewer series.',
            )
        joint = free_cov == c.p * (c.p + 1) // 2
        if c.columns is None:
            check_residuals(self.endog, self.exog, c.endog, joint=joint)
        else:
            for i, name in enumerate(c.endog):
                check_residuals(self.endog[:, [i]], X[i], [name], joint=False)

    def _check_rank(self, regressors: Array) -> None:
        """Raise `DataError` if the regressors, with the constraints, do not determine the coefficients."""
        c = self.coefficients
        if c.is_plain:
            check_regressors(self.exog, self._regressors_are, False)
        elif c.constraints is None:
            for name, rows in zip(c.endog, regressors, strict=True):
                check_regressors(rows[:, rows.any(axis=0)], f"exog[{name!r}]", False)
        else:
            levels = self._design[:, : len(c.free)]
            scale = np.sqrt(np.sum(levels**2, axis=(0, 2)))
            gram = np.einsum("ikt,ilt->kl", levels, levels) / np.outer(scale, scale)
            if not np.linalg.cond(gram) < _COLLINEAR:
                raise DataError(
                    f"{self._regressors_are} is collinear, also with the constraints",
                    expected="data that determine every coefficient",
                    remedy="Drop a column, or add a constraint.",
                )
