"""
Which of statsmodels' filters gives the right likelihood for the matrices and data at hand, and why not.

A pass of such a filter needs care too: fast starts and likelihoods, compiled objects, output that is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import Any

import numpy as np
import scipy.linalg
from statsmodels.tsa.statespace.kalman_filter import (
    FILTER_CHANDRASEKHAR,
    FILTER_COLLAPSED,
    FILTER_UNIVARIATE,
    INVERT_UNIVARIATE,
    SOLVE_CHOLESKY,
    TIMING_INIT_FILTERED,
    KalmanFilter,
)
from statsmodels.tsa.statespace.kalman_smoother import (
    SMOOTHER_DISTURBANCE_COV,
    SMOOTHER_STATE,
    SMOOTHER_STATE_AUTOCOV,
    SMOOTHER_STATE_COV,
    KalmanSmoother,
    SmootherResults,
)

from ..exceptions import EstimationError, ParameterError, UnsupportedError
from ..numerics.diffuse_start import SingularRowsError
from ..numerics.linear_algebra import NOT_HERE, STABILITY_LIMIT, Array, at_period, quiet
from ..numerics.matrix_equations import stationarity_error, stationary_moments
from ..numerics.recursions import chandrasekhar_loglike
from .compat import require_factorable, univariate_is_wrong
from .exact_start import filter_error
from .system import MATRICES, has_part, stationary_radius

_ROUNDING = 1e-8
"""Share of the largest moment up to which a filtered moment at t = n passes for zero."""


def chandrasekhar_pass(ssm: KalmanFilter, mean: Array, cov: Array) -> float:
    """Return the log-likelihood by the recursions, from a_1 and P_1, where they are valid."""
    names = ("design", "obs_intercept", "obs_cov", "transition", "state_intercept")
    given: Any = (*(np.asarray(ssm[name]) for name in names), mean, cov, ssm.tolerance)
    by_period = chandrasekhar_loglike(ssm.endog.T, *given)
    return float(np.sum(by_period[ssm.loglikelihood_burn :]))


def follows_matrices(ssm: KalmanFilter) -> bool:
    """Return whether compiled objects hold the memory into which statsmodels writes new matrices."""
    return all(
        np.shares_memory(ssm._representations[prefix]["transition"], compiled.transition)
        for prefix, compiled in ssm._statespaces.items()
    )


@contextmanager
def without_skips(ssm: KalmanFilter) -> Iterator[None]:
    """
    Have the filter factorise the forecast variance of a single series too.

    statsmodels skips a single series with a forecast variance below 1e-12, regardless of the units: the
    log-likelihood at a variance near zero would be 0.
    """
    own = ssm.inversion_method
    ssm.inversion_method = own & ~INVERT_UNIVARIATE or SOLVE_CHOLESKY
    try:
        yield
    finally:
        ssm.inversion_method = own


def has_skipped(ssm: KalmanFilter) -> bool:
    """Return whether the last pass for a log-likelihood may have skipped an observation (`without_skips`)."""
    if ssm.k_endog > 1 or not ssm.inversion_method & INVERT_UNIVARIATE:
        return False
    compiled = ssm._kalman_filters[ssm.prefix]
    terms = np.asarray(compiled.loglikelihood)
    if len(terms) < ssm.nobs:  # their sum alone is kept
        return True
    first = max(ssm.loglikelihood_burn, compiled.nobs_diffuse)
    seen = np.asarray(ssm._statespaces[ssm.prefix].nmissing) == 0
    return not np.all(terms[first:][seen[first:]])


def _known_at_the_end(
    ssm: KalmanSmoother, results: SmootherResults, requested: int
) -> dict[str, tuple[Array, Array]]:
    """Return by name what requested output is at t = n, and the path that tells its size."""
    out = {}
    if requested & SMOOTHER_DISTURBANCE_COV:
        out["smoothed_state_disturbance_cov"] = ssm.state_cov[..., -1], ssm.state_cov
    if hasattr(results, "filtered_state"):  # the compiled filter has lost them by now
        means, covs = results.filtered_state, results.filtered_state_cov
        path = results.predicted_state_cov  # filtered ones of series without noise are rounding throughout
        if requested & SMOOTHER_STATE:
            out["smoothed_state"] = means[..., -1], means
        if requested & SMOOTHER_STATE_COV:
            out["smoothed_state_cov"] = covs[..., -1], path
        if requested & SMOOTHER_STATE_AUTOCOV and results.nobs_diffuse < ssm.nobs:
            out["smoothed_state_autocov"] = ssm.transition[..., -1] @ covs[..., -1], path
    return out


def require_smoothed(ssm: KalmanSmoother, results: SmootherResults, requested: int) -> None:
    """
    Reject smoothed output that was requested and is zero where it cannot be.

    statsmodels leaves zeros, without an error, where the smoother meets another filter method than that of
    the filter pass. At t = n the output is known: E[x_n|Y] and Var[x_n|Y] are the filtered ones,
    Cov(x_{n+1}, x_n|Y) is T_n Var[x_n|Y] and Var[eta_n|Y] is Q_n.

    Parameters
    ----------
    ssm : KalmanSmoother
        The representation, after its smoother pass.
    results : SmootherResults
        What the pass returned.
    requested : int
        The ``smoother_output`` of the pass.

    Raises
    ------
    EstimationError
        If an output is zero at t = n, and its value there is not.
    """
    smoother = ssm._kalman_smoother
    missing = [
        name
        for name, (value, path) in _known_at_the_end(ssm, results, requested).items()
        if np.max(np.abs(value)) > _ROUNDING * np.nanmax(np.abs(path), initial=0.0)
        and not np.any(np.asarray(getattr(smoother, name))[..., -1])
    ]
    if missing:
        raise EstimationError(
            "The smoother of statsmodels returned zeros",
            got=f"{', '.join(missing)} zero at the last period",
            expected="the filter method of the filter pass in the smoother",
            remedy="Set `ssm.filter_method` before `smooth`, and not between a filter and its smoother.",
        )


FLAGS = {
    "conventional": 0,
    "univariate": FILTER_UNIVARIATE,
    "collapsed": FILTER_COLLAPSED,
    "univariate collapsed": FILTER_UNIVARIATE | FILTER_COLLAPSED,
    "chandrasekhar": FILTER_CHANDRASEKHAR,
}
"""The filters, and what each adds to ``filter_method``."""

_NOT_STATIONARY = 1e-10
"""Largest error of P = T P T' + R Q R', relative to P, that passes for rounding."""
_MOST_DECREASE = 1e6
"""Chandrasekhar's rounding errors keep the size of the first forecast variance."""
_SMALLEST_VARIANCE = 1e-9
"""The univariate filter of statsmodels skips forecast variances below 1e-10, regardless of the units."""
_DIAGONAL = 1e-9
"""Elements of obs_cov below it are zero for statsmodels' univariate filter."""
_ILL_CONDITIONED = 1e10
_LARGEST_ERROR = 1e-6
"""Largest error of the log-likelihood over the first rows of an exact-diffuse start."""


class Conditions:
    """
    The conditions of each filter at the matrices that a representation holds now (their real parts).

    Parameters
    ----------
    ssm : KalmanFilter
        The representation, with data.
    """

    def __init__(self, ssm: KalmanFilter) -> None:
        self.ssm = ssm
        self.missing = np.isnan(np.asarray(ssm.endog.T, dtype=ssm.dtype))
        self.varying = [name for name in MATRICES if getattr(ssm, name).shape[-1] > 1]

    def reasons(self, method: str) -> list[str]:
        """Return why a filter is wrong here, or not available; nothing where it is valid."""
        own: Callable[[], Iterable[str]] = getattr(self, "_" + method.replace(" ", "_"), tuple)
        with quiet():
            if method == "chandrasekhar":
                return [*own()]
            return [*self._stationarity(), *self._diffuse_start(method), *own()]

    # -- what the conditions look at -------------------------------------------------------------------

    def _first(self, name: str) -> Array:
        return np.real(getattr(self.ssm, name)[..., 0])

    @cached_property
    def _selected_cov(self) -> Array:
        selection = self._first("selection")
        return selection @ self._first("state_cov") @ selection.T

    @cached_property
    def _least_forecast_cov(self) -> Array:
        """Z R Q R' Z' + H, below every forecast covariance from t = 2 on."""
        Z = self._first("design")
        return Z @ self._selected_cov @ Z.T + self._first("obs_cov")

    @property
    def _off_diagonal(self) -> Array:
        H = np.real(self.ssm["obs_cov"])
        return H[~np.eye(len(H), dtype=bool)]

    @property
    def _diffuse(self) -> bool:
        return has_part(self.ssm.initialization, "diffuse")

    # -- one method per filter -------------------------------------------------------------------------

    def _stationarity(self) -> Iterator[str]:
        radius = stationary_radius(self.ssm)
        if not radius < STABILITY_LIMIT:
            yield f"there is no stationary start: the transition has a root of modulus {radius:.6g}"

    def _diffuse_start(self, method: str) -> Iterator[str]:
        """Compare the first rows of an exact-diffuse start with least squares."""
        if not self._diffuse:
            return
        if self.ssm.filter_timing == TIMING_INIT_FILTERED:
            yield "statsmodels has no exact-diffuse start for filtered values (timing)"
            return
        univariate = bool(FLAGS[method] & FILTER_UNIVARIATE)
        try:
            require_factorable(np.real(self.ssm["obs_cov"]))
            error = filter_error(self.ssm, univariate)
        except SingularRowsError:
            if not univariate:  # which skips an observation without variance
                yield "the observations before determine a series exactly: its forecast variance is zero"
            return
        except (ParameterError, UnsupportedError, *NOT_HERE) as reason:
            yield str(reason)
            return
        if not error < _LARGEST_ERROR:
            yield (
                "statsmodels' exact-diffuse recursions lose digits here: the log-likelihood of the first "
                f"rows is off by {error:.2g} (small units, first rows that nearly repeat, missing cells "
                "beside a full obs_cov before statsmodels 0.15)"
            )

    def _univariate(self) -> Iterator[str]:
        off_diagonal = np.abs(self._off_diagonal)
        if np.any(off_diagonal) and np.max(off_diagonal) < _DIAGONAL:
            yield (
                f"obs_cov has covariances up to {np.max(off_diagonal):.2g}, which statsmodels' univariate "
                f"filter takes for zero (below {_DIAGONAL:g})"
            )
        if not {"design", "obs_cov", "selection", "state_cov"} & set(self.varying):
            cov = self._least_forecast_cov
            smallest = float(np.linalg.eigvalsh(cov)[0]) if np.all(np.isfinite(cov)) else np.nan
            if not smallest > _SMALLEST_VARIANCE:
                yield (
                    f"a forecast variance may be as small as {max(smallest, 0.0):.2g}, and statsmodels' "
                    f"univariate filter skips an observation where it is below 1e-10"
                )
        partly_missing = np.any(self.missing.any(axis=1) & ~self.missing.all(axis=1))
        if partly_missing and np.any(off_diagonal) and univariate_is_wrong():
            yield "rows are partly missing beside a full obs_cov, before statsmodels 0.15"

    def _collapsed(self) -> Iterator[str]:
        ssm = self.ssm
        if ssm.k_endog <= ssm.k_states:
            yield f"{ssm.k_endog} series are not more than {ssm.k_states} states"
            return
        if "obs_intercept" in self.varying or np.any(ssm["obs_intercept"]):
            yield "there is an observation intercept"
        if ssm.filter_concentrated:
            yield "the scale is concentrated out of the likelihood"
        if self._diffuse and np.any(self._off_diagonal):
            yield "the start is exact diffuse beside a full obs_cov"
        worst = max((_collapse_condition(*each) for each in self._collapses()), default=1.0)
        if not worst < _ILL_CONDITIONED:
            yield f"obs_cov or Z' obs_cov^-1 Z has no accurate inverse (condition {worst:.2g})"

    def _univariate_collapsed(self) -> Iterator[str]:
        yield from self._univariate()
        yield from self._collapsed()
        if np.any(self._off_diagonal) and self.missing.any():
            yield "values are missing beside a full obs_cov: smoothed moments would be wrong"

    def _chandrasekhar(self) -> Iterator[str]:
        varying = [name for name in self.varying if not name.endswith("intercept")]
        if varying:
            yield f"{', '.join(varying)} varies over time"
        if self.missing.any():
            yield f"{int(self.missing.sum())} values are missing"
        if self.ssm.filter_timing == TIMING_INIT_FILTERED:
            yield "the filter starts from filtered values (timing)"
        if varying:
            return
        wrong = list(self._initial_cov())
        yield from wrong
        if wrong:
            return
        Z, cov = self._first("design"), self.moments[1]
        decrease = _largest_decrease(Z @ cov @ Z.T + self._first("obs_cov"), self._least_forecast_cov)
        if not decrease < _MOST_DECREASE:
            yield f"the forecast variances may fall by a factor of {decrease:.2g} after the first period"

    @cached_property
    def moments(self) -> tuple[Array, Array]:
        """a_1 and the finite part of P_1."""
        if self.ssm.initialization.initialization_type == "stationary":
            return stationary_moments(
                self._first("transition"), self._first("state_intercept"), self._selected_cov
            )
        mean, _, cov = self.ssm.initialization(model=self.ssm)
        return np.real(mean), np.real(cov)

    def _initial_cov(self) -> Iterator[str]:
        """Explain why P_1 is not the covariance of the stationary distribution."""
        if self.ssm.initialization is None:
            yield "the model has no initial distribution"
            return
        if self._diffuse:
            yield "the start is diffuse, not stationary"
            return
        try:
            cov = self.moments[1]
        except NOT_HERE as error:
            yield f"there is no stationary start: {error}"
            return
        distance = stationarity_error(cov, self._first("transition"), self._selected_cov)
        if not distance <= _NOT_STATIONARY:
            yield (
                "the initial covariance is not that of the stationary distribution "
                f"(T P T' + R Q R' - P is {distance:.2g} of P)"
            )

    def _collapses(self) -> Iterator[tuple[Array, Array]]:
        """Yield (Z, H) of the observed rows for each collapse that the filter makes."""
        design, obs_cov = (np.real(self.ssm[name]) for name in ("design", "obs_cov"))
        varying = {"design", "obs_cov"} & set(self.varying)
        for t, missing in enumerate(self.missing if varying else np.unique(self.missing, axis=0)):
            if np.sum(~missing) > self.ssm.k_states:
                Z, H = at_period(design, t), at_period(obs_cov, t)
                yield Z[~missing], H[np.ix_(~missing, ~missing)]


def _collapse_condition(Z: Array, H: Array) -> float:
    """Return the larger condition number of H and of Z' H^{-1} Z, infinity where there is no inverse."""
    with suppress(*NOT_HERE):  # not finite, or singular
        values = scipy.linalg.eigvalsh(H)
        if values[0] > 0.0:
            return float(max(values[-1] / values[0], np.linalg.cond(Z.T @ np.linalg.solve(H, Z))))
    return np.inf


def _largest_decrease(first: Array, least: Array) -> float:
    """Return the largest eigenvalue of least^{-1} first."""
    with suppress(*NOT_HERE):  # not finite, or least is singular
        return float(scipy.linalg.eigh(first, least, eigvals_only=True)[-1])
    return np.inf
