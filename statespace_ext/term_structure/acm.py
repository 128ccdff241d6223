"""Term structure model estimated by three regressions (Adrian, Crump & Moench 2013)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import scipy.linalg
from scipy.interpolate import CubicSpline

from ..engine.calendars import Calendar, calendar_of
from ..engine.validation import check_same_columns, endog_frame, read_dates
from ..exceptions import DataError, SpecificationError, warn
from ..numerics.differences import jacobian, step_sizes
from ..numerics.linear_algebra import Array, symmetrize
from .acm_results import ACMResults
from .declaration import explained
from .dynamics import Dynamics, PeriodCurves, Pricing, Values, periods_of
from .panel import Panel, parse_panel, parts_of, principal_directions
from .rates import years

_FACTOR_STEP, _RETURN_STEP = 0.25, 0.5
"""Default spacing in years of the maturities of the principal components and of the excess returns."""


@explained
class ACM:
    r"""
    Gaussian affine term structure model, estimated by three regressions (Adrian, Crump & Moench 2013).

    .. math::

        X_{t+1} &= \Phi X_t + v_{t+1}, \qquad v \sim N(0, S) \\
        rx_{t+1} &= a + \beta' v_{t+1} + c X_t + e_{t+1}, \qquad Var(e) = s^2 \\
        \lambda_1 &= (\beta\beta')^{-1}\beta c, \qquad
        \lambda_0 = (\beta\beta')^{-1}\beta \left(a + \tfrac12 [\beta_i' S \beta_i + s^2]_i\right)

    X contains standardised principal components of the yields. rx contains excess log returns over one
    period, relative to the one-period rate. A cubic spline interpolates the yields between the given
    maturities. The model has no likelihood.

    Parameters
    ----------
    yields : array_like, (nobs, p), or `datasets.YieldPanel`
        Continuously compounded zero-coupon yields, with one column for each maturity. They must be complete
        and have regular dates.
    maturities : array_like, (p,), optional
        Maturities in years, one for each column. By default they come from the panel or from the labels of
        the columns. The shortest must be at most one period.
    k_factors : int
        Number of principal components (5).
    dt : "infer" or float
        Length of a period in years, as in `ATSM`. It must be one number.
    units : {"decimal", "percent"}, optional
        Units of the yields.
    factor_maturities : array_like, optional
        Maturities in years of the yields for the principal components. By default one for each quarter up to
        the longest maturity.
    return_maturities : array_like, optional
        Maturities in years of the bonds for the return regressions, at least two periods. By default one for
        each half year up to the longest maturity.
    dates, freq : optional
        Labels of the periods and their frequency, as in `ATSM`.

    Raises
    ------
    SpecificationError
        If arguments are invalid.
    DataError
        If yields are missing, there are too few, or the shortest maturity is longer than one period.
    UnsupportedError
        If dates are irregular.

    Notes
    -----
    The estimates depend strongly on the sample. The Federal Reserve Bank of New York publishes a 10-year
    premium that uses yields from 1961 until today. The same regressions on 1990 to 2018 alone give a premium
    that differs from it by 58 basis points on average.

    References
    ----------
    Adrian, T., Crump, R. K. & Moench, E. (2013), Pricing the term structure with linear regressions, Journal
    of Financial Economics 110, 110-138.

    Examples
    --------
    >>> import statespace_ext as sse
    >>> data = sse.datasets.simulate_atsm(300, maturities=[1 / 12, 0.5, 1, 2, 3, 5, 7, 10], rng=0)
    >>> res = sse.ACM(data.endog, [1 / 12, 0.5, 1, 2, 3, 5, 7, 10], k_factors=3, dt=1 / 12).fit()
    >>> res.term_premium(10).estimate.shape
    (300, 1)
    """

    def __init__(
        self,
        yields: Any,
        maturities: Any = None,
        k_factors: int = 5,
        *,
        dt: Any = "infer",
        units: str | None = None,
        factor_maturities: Any = None,
        return_maturities: Any = None,
        dates: Any = None,
        freq: Any = None,
    ) -> None:
        yields, maturities, units = parts_of(yields, maturities, units)
        self._given: dict[str, Any] = {
            "maturities": maturities, "k_factors": k_factors, "dt": dt, "units": units,
            "factor_maturities": factor_maturities, "return_maturities": return_maturities, "freq": freq,
        }  # fmt: skip
        dates = read_dates(dates)
        self.panel: Panel = parse_panel(yields, dates, self._given)
        frame: Any = endog_frame(self.panel.endog)
        self.endog: Array = np.asarray(frame, dtype=float).reshape(-1, len(self.panel.labels))
        self.nobs, self.k_factors = len(self.endog), self.panel.k_factors
        labels = getattr(frame, "index", None) if dates is None else pd.Index(dates)
        self.calendar: Calendar = calendar_of(labels, self.nobs, freq, "yields")
        self._check_sample()
        self.dt = float(self.panel.steps)
        self.panel = replace(self.panel, period=self.dt)
        self.last_period, self._spline = self._interpolated()
        self.factor_periods = self._periods(factor_maturities, "factor_maturities", _FACTOR_STEP, 1)
        self.return_periods = self._periods(return_maturities, "return_maturities", _RETURN_STEP, 2)

    def __repr__(self) -> str:
        return f"<ACM(k_factors={self.k_factors}): {len(self.panel.labels)} series, {self.nobs} periods>"

    @property
    def factor_names(self) -> list[str]:
        """Names of the factors."""
        return [f"PC{i + 1}" for i in range(self.k_factors)]

    @property
    def _elements(self) -> dict[str, list[str]]:
        """Names of the elements of each matrix, in the order of the parameters."""
        f = self.factor_names
        square = [f"{row}.{column}" for row in f for column in f]
        lower = [f"{f[i]}.{f[j]}" for i in range(len(f)) for j in range(i + 1)]
        return {
            "Phi": square, "state_cov": lower, "lambda_0": f, "lambda_1": square, "return_var": [""],
            "delta_0": [""], "delta_1": f,
        }  # fmt: skip

    @property
    def param_names(self) -> list[str]:
        """Names of the parameters."""
        return [f"{key}.{name}".rstrip(".") for key, part in self._elements.items() for name in part]

    def _check_sample(self) -> None:
        """Raise for irregular dates, missing yields and samples that are too short."""
        self.panel.require_regular(
            "The regressions need periods of equal length", "Take the yields of month ends, or use `ATSM`."
        )
        missing = np.argwhere(np.isnan(self.endog))
        if len(missing):
            row, column = missing[0]
            raise DataError(
                "The regressions need complete yields",
                got=f"{len(missing)} missing, first {self.panel.labels[column]!r} at "
                f"{self.calendar.labels[row]}",
                remedy="Leave out the maturity or the dates, or use `ATSM`, which takes missing yields.",
            )
        least = 2 * self.k_factors + 3
        if self.nobs < least:
            raise DataError(
                "The sample is too short for the regressions",
                got=f"{self.nobs} periods, {self.k_factors} factors",
                expected=f"at least {least} periods",
            )

    def _interpolated(self) -> tuple[int, CubicSpline]:
        """Return the last whole period of the curve, and the spline of its yields."""
        order = np.argsort(self.panel.maturities)
        tau = self.panel.maturities[order] / self.dt
        if not tau[0] < 1.0 + 1e-2:
            raise DataError(
                "The one-period rate is not among the yields",
                got=f"a shortest maturity of {tau[0] * self.dt:.4g} years",
                expected=f"at most one period, {self.dt:.4g} years",
                remedy="Add the yield of one period: an extrapolated one would be in every excess return.",
            )
        spline = CubicSpline(tau, self.endog[:, order] / self.panel.scale, axis=1)
        return int(np.floor(tau[-1] + 1e-2)), spline

    def _periods(self, given: object, name: str, step: float, least: int) -> Array:
        """Return maturities in periods; by default one for every ``step`` years."""
        last = self.last_period
        if given is None:
            each = max(1, round(step / self.dt))
            found = np.arange(each, last + 1, each)
            found = found[found >= least]
        else:
            found = np.unique(periods_of(years(given, name, self), self.dt))
        if len(found) < self.k_factors or found[0] < least or found[-1] > last:
            raise SpecificationError(
                f"{name} cannot be used",
                got=f"{len(found)} maturities"
                + (f", {found[0]} to {found[-1]} periods" if len(found) else ""),
                expected=f"at least {self.k_factors} (k_factors), {least} to {last} periods long",
            )
        return found

    def curve(self, periods: Array) -> Array:
        """Return decimal yields at whole periods (nobs, m) from the spline."""
        return np.asarray(self._spline(periods))

    def clone(self, yields: Any, **kwargs: Any) -> ACM:
        """
        Return the same model for other yields.

        Parameters
        ----------
        yields : array_like, (nobs, p)
            Yields with the columns of the model.
        **kwargs
            Arguments of the constructor to change.
        """
        check_same_columns(yields, list(self.panel.labels), "The new yields")
        return ACM(yields, **{**self._given, **kwargs})

    def followed_by(self, yields: Any) -> ACM:
        """
        Return the model for the sample extended by yields of later periods.

        Parameters
        ----------
        yields : array_like, (m, p)
            Yields with the columns of the model.

        Raises
        ------
        DataError
            If columns or dates do not continue those of the sample.
        """
        check_same_columns(yields, list(self.panel.labels), "The new yields")
        new = np.asarray(endog_frame(yields), dtype=float).reshape(-1, self.endog.shape[1])
        labels = self.calendar.following(len(new), yields, name="yields")
        index = self.calendar.labels.append(labels)
        both = pd.DataFrame(np.vstack([self.endog, new]), index=index, columns=self.panel.labels)
        return self.clone(both if self.calendar.given else both.to_numpy())

    def components(self) -> tuple[Array, Array]:
        """Return the means (m,) of the yields and the weights (m, k) of the standardised components."""
        values = self.curve(self.factor_periods)
        centre = values.mean(axis=0)
        centred, k = values - centre, self.k_factors
        sizes, directions = principal_directions(centred, k)
        if not sizes[k - 1] > 1e-10 * sizes[0]:
            raise DataError(
                "The yields have fewer principal components than factors",
                got=f"{int(np.sum(sizes > 1e-10 * sizes[0]))} components, {k} factors",
                remedy="Pass a smaller k_factors, or more maturities.",
            )
        return centre, directions.T / (centred @ directions.T).std(axis=0)

    def factors(self, components: tuple[Array, Array]) -> Array:
        """Return the principal components (nobs, k) for given means and weights."""
        centre, weights = components
        return np.asarray((self.curve(self.factor_periods) - centre) @ weights)

    def fit(self) -> ACMResults:
        """
        Estimate the three regressions.

        Returns
        -------
        ACMResults
            The results have asymptotic standard errors. These assume homoscedastic errors that are
            independent over time. The errors of the returns may be correlated across maturities. The factors
            are treated as observed.

        Warns
        -----
        UserWarning
            If a root under Q is explosive, so that long yields explode, or the pricing errors are large.
        """
        components = self.components()
        X = self.factors(components)
        short, n = self.curve(np.array([1]))[:, 0] * self.dt, self.return_periods
        after, before = -self.curve(n - 1) * ((n - 1) * self.dt), -self.curve(n) * (n * self.dt)
        estimates, covs = _regressions(X, after[1:] - before[:-1] - short[:-1, None], short)
        sizes = {key: part.size for key, part in estimates.items()}

        def _params_of(vector: Array) -> Array:
            return _structural(_parts(vector, sizes), self.k_factors)

        vector = np.concatenate([part.ravel() for part in estimates.values()])
        steps = np.concatenate([step_sizes(part.ravel(), 1e-4) for part in estimates.values()])
        slopes = jacobian(_params_of, vector, steps)
        cov = slopes @ scipy.linalg.block_diag(*covs) @ slopes.T
        params = _params_of(vector)
        out = ACMResults(self, params, symmetrize(cov), components)
        for line in out._doubts():
            warn(line)
        return out

    def matrices(self, params: object) -> Values:
        """Return Phi, state_cov, lambda_0, lambda_1, return_var, delta_0 and delta_1 at given parameters."""
        k = self.k_factors
        sizes = {key: len(part) for key, part in self._elements.items()}
        at = _parts(np.asarray(params, dtype=float), sizes)
        square = {key: at[key].reshape(k, k) for key in ("Phi", "lambda_1")}
        return {**at, **square, "state_cov": _symmetric(at["state_cov"], k)}

    def curves(self, params: object) -> PeriodCurves:
        """Return the curves at given parameters."""
        at, dt, size = self.matrices(params), self.dt, self.panel.scale / self.dt
        away = (np.eye(self.k_factors) - at["Phi"]) / dt
        pricing = Pricing(
            away + at["lambda_1"] / dt, -at["lambda_0"] / dt, float(at["delta_0"][0]) * size,
            at["delta_1"] * size,
        )  # fmt: skip
        both = Dynamics(away, np.zeros(self.k_factors), at["state_cov"] / dt, pricing, dt)
        return PeriodCurves(both, 1.0 / self.panel.scale, float(at["return_var"][0]), dt)


# -- the regressions ---------------------------------------------------------------------------------------
#
# The estimates are Phi, the lower triangle of S, (a, beta', g) by column of rx, s^2 and delta. With
# g = c - beta'Phi the second regression is on (1, X_{t+1}, X_t). It then has no generated regressors, and the
# blocks are asymptotically independent.


def _regressions(X: Array, rx: Array, short: Array) -> tuple[Values, list[Array]]:
    """Return the estimates by block, and the covariance of each of these independent blocks."""
    k, n, m = X.shape[1], len(rx), rx.shape[1]
    before, after = X[:-1], X[1:]
    gram = np.linalg.inv(before.T @ before)
    Phi = (gram @ before.T @ after).T
    v = after - before @ Phi.T
    S = v.T @ v / n
    Z = np.column_stack([np.ones(n), after, before])
    C = np.linalg.lstsq(Z, rx, rcond=None)[0]
    e = rx - Z @ C
    omega = e.T @ e / n
    ones = np.column_stack([np.ones(len(X)), X])
    delta = np.linalg.lstsq(ones, short, rcond=None)[0]
    rest = short - ones @ delta
    i, j = np.tril_indices(k)
    variance = np.array([np.trace(omega) / m])
    return {"Phi": Phi, "state_cov": S[i, j], "returns": C, "return_var": variance, "delta": delta}, [
        np.kron(S, gram),
        (S[np.ix_(i, i)] * S[np.ix_(j, j)] + S[np.ix_(i, j)] * S[np.ix_(j, i)]) / n,
        np.kron(np.linalg.inv(Z.T @ Z), omega),
        np.array([[2.0 * np.sum(omega**2) / (n * m**2)]]),
        np.linalg.inv(ones.T @ ones) * (rest @ rest / len(rest)),
    ]


def _parts(vector: Array, sizes: Mapping[str, int]) -> Values:
    """Split a vector into parts by name."""
    return dict(zip(sizes, np.split(vector, np.cumsum(list(sizes.values()))[:-1]), strict=True))


def _symmetric(lower: Array, k: int) -> Array:
    """Return a symmetric matrix (k, k) from its lower triangle."""
    out = np.zeros((k, k))
    out[np.tril_indices(k)] = lower
    return out + np.tril(out, -1).T


def _structural(at: Values, k: int) -> Array:
    """Return the parameters of `ACM` from the estimates of the regressions."""
    Phi, C, S = at["Phi"].reshape(k, k), at["returns"].reshape(2 * k + 1, -1), _symmetric(at["state_cov"], k)
    a, beta, c = C[0], C[1 : k + 1], C[k + 1 :].T + C[1 : k + 1].T @ Phi
    curved = np.einsum("im,ij,jm->m", beta, S, beta) + at["return_var"]
    prices = np.linalg.solve(beta @ beta.T, beta @ np.column_stack([a + 0.5 * curved, c]))
    return np.concatenate(
        [at["Phi"], at["state_cov"], prices[:, 0], prices[:, 1:].ravel(), at["return_var"], at["delta"]]
    )
