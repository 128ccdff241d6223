"""
The dynamics under P and Q, and the implied rates as affine functions of the factors.

Yields, forward rates, expected short rates and risk-neutral yields all have the form A + B x. If x ~ N(m, V),
a rate is N(A + B m, B V B'), so one class computes all rates and their differences, the premia.

The last part corrects estimated autoregressions for their bias (Pope 1990; Kilian 1998; Bauer, Rudebusch & Wu
2012).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from ..display import Displayed
from ..engine.arguments import one_of, positive_integer, random_generator
from ..exceptions import DataError, ParameterError, SpecificationError
from ..numerics.bond_pricing import forward_loadings, loadings
from ..numerics.linear_algebra import Array, spectral_radius, symmetrize
from ..numerics.matrix_equations import stationary_moments
from ..numerics.ornstein_uhlenbeck import Discretisation, discretise, whole_periods
from ..params.covariance import semidefinite_cholesky

Values = dict[str, Array]
"""Blocks of parameters by name."""
SINGULAR = 1e-10
"""Ratio of the smallest to the largest singular value below which a matrix counts as singular."""


@dataclass(frozen=True, repr=False)
class Pricing(Displayed):
    """
    The Q-dynamics dX = (kappa - K X) dt + Sigma dW and the short rate r = delta_0 + delta_1'X.

    If the object is a gradient, each attribute contains the derivative by that quantity.

    Attributes
    ----------
    K : ndarray, (k, k)
    kappa : ndarray, (k,)
    delta_0 : float
    delta_1 : ndarray, (k,)
    """

    K: Array
    kappa: Array
    delta_0: float
    delta_1: Array


@dataclass(frozen=True)
class Dynamics:
    """
    The dynamics under both measures: K_P, kappa_P, cov = Sigma Sigma', and `Pricing`.

    The first states are the factors that price bonds. The other states are macro factors, which only have
    P-dynamics.

    Attributes
    ----------
    K_P : ndarray, (n, n)
    kappa_P : ndarray, (n,)
    cov : ndarray, (n, n)
    pricing : Pricing
        Q-dynamics of the first k <= n states.
    period : float or None
        Length of a period of discrete time; None in continuous time.
    """

    K_P: Array
    kappa_P: Array  # noqa: N815 - notation of the papers
    cov: Array
    pricing: Pricing
    period: float | None = None


def padded(matrix: Array, columns: int) -> Array:
    """Add zeros to a vector or matrix for the states that do not enter it."""
    missing = columns - matrix.shape[-1]
    return np.pad(matrix, [(0, 0)] * (matrix.ndim - 1) + [(0, missing)]) if missing else matrix


def require_no_aliasing(K: Array, dt: float) -> None:
    """
    Raise for dynamics that rotate by half a turn or more within a step.

    exp(-K dt) is equal for eigenvalues whose imaginary parts differ by 2 pi / dt. Data at intervals of dt
    years therefore cannot distinguish a process from faster ones, apart from the information on Sigma in
    prices. Only the slowest process is admitted.
    """
    turns = float(np.max(np.abs(np.linalg.eigvals(K).imag)))
    if not turns * dt < np.pi:
        raise ParameterError(
            "The P-dynamics rotate by half a turn or more between dates",
            got=f"an eigenvalue of K_P with imaginary part {turns:.4g}",
            expected=f"less than pi / dt = {np.pi / dt:.4g}",
        )


def risk_neutral_to_physical(
    pricing: Pricing, cov: Array, lambda_0: Array, lambda_1: Array
) -> tuple[Array, Array]:
    """
    Return K_P = K_Q - Sigma lambda_1 and kappa_P = kappa_Q + Sigma lambda_0 of the factors that price bonds.

    Sigma is the Cholesky factor of their covariance. lambda_1 has a column for each state. K_Q is zero in the
    columns of states that do not price bonds.
    """
    chol = semidefinite_cholesky(cov)
    return padded(pricing.K, lambda_1.shape[1]) - chol @ lambda_1, pricing.kappa + chol @ lambda_0


def risk_neutral_to_physical_vjp(
    cov: Array, lambda_0: Array, lambda_1: Array, by_K: Array, by_kappa: Array
) -> tuple[Array, Array, Array]:
    """Return the derivatives by cov, lambda_0 and lambda_1 (those by K_Q and kappa_Q are the same)."""
    chol = semidefinite_cholesky(cov)
    by_chol = np.outer(by_kappa, lambda_0) - by_K @ lambda_1.T
    return cholesky_vjp(chol, by_chol), chol.T @ by_kappa, -chol.T @ by_K


def cholesky_vjp(chol: Array, by_chol: Array) -> Array:
    """Return G with dL = tr(G d cov), given the derivatives by the Cholesky factor of cov."""
    inner = np.tril(chol.T @ np.tril(by_chol))
    inner[np.diag_indices_from(inner)] *= 0.5
    half = scipy.linalg.solve_triangular(chol, inner, lower=True, trans="T")
    return symmetrize(scipy.linalg.solve_triangular(chol, half.T, lower=True, trans="T").T)


def prices_of_risk(pricing: Pricing, cov: Array, K_P: Array, kappa_P: Array) -> tuple[Array, Array]:
    """
    Return lambda_0 = Sigma^{-1}(kappa_P - kappa_Q) and lambda_1 = Sigma^{-1}(K_Q - K_P).

    Lambda_t = lambda_0 + lambda_1 X_t is the price of risk in dW_Q = dW_P + Lambda dt (Duffee 2002). It has a
    row for each of the k factors that price bonds, and lambda_1 has a column for each of the n states.
    """
    k, n = len(pricing.K), len(K_P)
    chol = semidefinite_cholesky(cov[:k, :k])
    both = np.column_stack([kappa_P[:k] - pricing.kappa, padded(pricing.K, n) - K_P[:k]])
    solved = scipy.linalg.solve_triangular(chol, both, lower=True)
    return solved[:, 0], solved[:, 1:]


@dataclass(frozen=True)
class Affine:
    """
    Rates that are affine in the factors.

    Attributes
    ----------
    intercept : ndarray, (m,)
    slope : ndarray, (m, k)
    """

    intercept: Array
    slope: Array

    def __sub__(self, other: Affine) -> Affine:
        """Return the difference."""
        return Affine(self.intercept - other.intercept, self.slope - other.slope)

    def __mul__(self, factor: Array) -> Affine:
        """Return each rate multiplied by its factor (m,)."""
        return Affine(self.intercept * factor, self.slope * factor[:, None])

    def mean(self, states: Array) -> Array:
        """Return the rates (n, m) at states (n, k)."""
        return self.intercept + states @ self.slope.T

    def variance(self, covs: Array) -> Array:
        """Return the variances (n, m) for covariances of the states (n, k, k)."""
        return np.einsum("mi,nij,mj->nm", self.slope, covs, self.slope)


@dataclass(frozen=True)
class Curves:
    """
    The curves of a model.

    Attributes
    ----------
    dynamics : Dynamics
        Dynamics under both measures.
    convexity : float
        Multiplier of cov in the convexity term. It is one over the size of one (100 percent) in the units of
        the yields, or zero.
    """

    dynamics: Dynamics
    convexity: float

    def _priced(self, of: Callable[..., tuple[Array, Array]], tau: Array) -> Affine:
        """Return rates priced under Q."""
        at, q, k = self.dynamics, self.dynamics.pricing, len(self.dynamics.pricing.K)
        cov = at.cov[:k, :k] * self.convexity
        intercept, slope = of(q.K, q.kappa, cov, q.delta_0, q.delta_1, tau, at.period)
        return Affine(intercept, padded(slope, len(at.cov)))

    def _expected(self, of: Callable[..., tuple[Array, Array]], tau: Array, risk_neutral: bool) -> Affine:
        """Return rates that are priced with the drift under P, with convexity if they are risk-neutral."""
        at, q, convexity = self.dynamics, self.dynamics.pricing, self.convexity if risk_neutral else 0.0
        delta_1 = padded(q.delta_1, len(at.cov))
        return Affine(*of(at.K_P, at.kappa_P, at.cov * convexity, q.delta_0, delta_1, tau, at.period))

    def yields(self, tau: Array) -> Affine:
        """Return zero-coupon yields."""
        return self._priced(loadings, tau)

    def forwards(self, tau: Array) -> Affine:
        """Return instantaneous forward rates."""
        return self._priced(forward_loadings, tau)

    def risk_neutral_yields(self, tau: Array) -> Affine:
        """Return the yields if the price of risk were zero, priced with (K_P, kappa_P)."""
        return self._expected(loadings, tau, True)

    def average_short_rate(self, horizon: Array) -> Affine:
        """Return (1/h) int_0^h E_t[r_{t+s}] ds under P."""
        return self._expected(loadings, horizon, False)

    def short_rate_ahead(self, horizon: Array) -> Affine:
        """Return E_t[r_{t+h}] under P."""
        return self._expected(forward_loadings, horizon, False)

    def term_premium(self, tau: Array, risk_neutral: bool) -> Affine:
        """Return yields minus the average expected short rate, or minus risk-neutral yields."""
        return self.yields(tau) - self._expected(loadings, tau, risk_neutral)

    def forward_premium(self, tau: Array, risk_neutral: bool, tenor: float | None = None) -> Affine:
        """Return forward rates minus the expected short rate, or minus risk-neutral forward rates."""
        if tenor is not None:
            near = self.term_premium(tau, risk_neutral) * (tau / tenor)
            return self.term_premium(tau + tenor, risk_neutral) * ((tau + tenor) / tenor) - near
        return self.forwards(tau) - self._expected(forward_loadings, tau, risk_neutral)

    def ahead(self, horizon: Array) -> Discretisation:
        """Return the exact P-distribution of the factors after horizons (h,), stacked."""
        at = self.dynamics
        return discretise(at.K_P, at.kappa_P, at.cov, horizon, at.period)

    def states_ahead(self, mean: Array, cov: Array, horizon: Array) -> tuple[Array, Array]:
        """Return means (h, k) and covariances (h, k, k) of the factors, given their distribution now."""
        step = self.ahead(horizon)
        Phi = step.transition
        return Phi @ mean + step.intercept, Phi @ cov @ np.swapaxes(Phi, 1, 2) + step.cov

    def yields_ahead(self, tau: Array, h: Array) -> Affine:
        """Return E_t[y_{t+h}(tau)] as functions of the factors at t, horizon by horizon (h m,)."""
        rates, step = self.yields(tau), self.ahead(h)
        slope = np.einsum("mi,hij->hmj", rates.slope, step.transition)
        return Affine(rates.mean(step.intercept).ravel(), slope.reshape(-1, slope.shape[2]))

    def expected_excess_returns(self, tau: Array, h: float) -> Affine:
        """Return annual expected log returns of bonds over h years, minus that of the h-year bond."""
        own, later = self.yields(tau) * (tau / h), self.yields_ahead(tau - h, np.array([h]))
        return own - later * ((tau - h) / h) - self.yields(np.array([h]))

    def sharpe_ratios(self, tau: Array, h: float, scale: float) -> Affine:
        """Return (E[rx] + Var[rx] / 2) / sd[rx] of log excess returns over h years, divided by sqrt(h)."""
        slope = self.yields(tau - h).slope * ((tau - h) / scale)[:, None]
        sd = np.sqrt(np.einsum("mi,ij,mj->m", slope, self.ahead(np.array([h])).cov[0], slope))
        mean = self.expected_excess_returns(tau, h) * np.full(len(tau), h / scale)
        return Affine(mean.intercept + 0.5 * sd**2, mean.slope) * (1.0 / (sd * np.sqrt(h)))

    def price_of_risk(self) -> Affine:
        """Return lambda_0 + lambda_1 x; NaN if Sigma is singular."""
        found = structural_matrices(self.dynamics, True)
        return Affine(found["lambda_0"], found["lambda_1"])

    def short_rate(self) -> Affine:
        """Return r = delta_0 + delta_1'x."""
        q = self.dynamics.pricing
        return Affine(np.array([q.delta_0]), padded(np.asarray(q.delta_1), len(self.dynamics.cov))[None])


def long_run_mean(K: Array, kappa: Array) -> Array:
    """Return theta with K theta = kappa; NaN if K is singular up to rounding."""
    sizes = np.linalg.svd(K, compute_uv=False)
    return np.linalg.solve(K, kappa) if sizes[-1] > SINGULAR * sizes[0] else np.full(len(K), np.nan)


def structural_matrices(dynamics: Dynamics, prices: bool) -> dict[str, Array]:
    """
    Return K, kappa and theta under P and Q, Sigma, lambda_0, lambda_1, delta_0, delta_1.

    theta is NaN if K is singular. The prices of risk are NaN if the model has none or Sigma is singular.
    Sigma is NaN if Sigma Sigma' is not positive semidefinite, which can happen one step away from a singular
    matrix.

    Parameters
    ----------
    dynamics : Dynamics
    prices : bool
        Whether the model has prices of risk.
    """
    at, q, k = dynamics, dynamics.pricing, len(dynamics.pricing.K)
    try:
        chol = semidefinite_cholesky(symmetrize(at.cov))
    except np.linalg.LinAlgError:
        chol = np.full(at.cov.shape, np.nan)
    lambda_0, lambda_1 = np.full(k, np.nan), np.full((k, len(chol)), np.nan)
    if prices and np.all(np.diag(chol)[:k] ** 2 > SINGULAR * np.diag(at.cov)[:k]):
        lambda_0, lambda_1 = prices_of_risk(q, at.cov, at.K_P, at.kappa_P)
    return {
        "K_P": at.K_P,
        "kappa_P": at.kappa_P,
        "theta_P": long_run_mean(at.K_P, at.kappa_P),
        "K_Q": q.K,
        "kappa_Q": q.kappa,
        "theta_Q": long_run_mean(q.K, q.kappa),
        "Sigma": chol,
        "lambda_0": lambda_0,
        "lambda_1": lambda_1,
        "delta_0": np.array([q.delta_0]),
        "delta_1": np.asarray(q.delta_1),
    }


def mean_reversion(K: Array, step: float | None = None) -> Array:
    """
    Return one row for each eigenvalue of K: real part, imaginary part, half-life and period.

    The slowest comes first. The half-life log(2) / Re is infinite at a unit root and NaN for an explosive
    process. The period 2 pi / |Im| of a cycle is NaN for a real root. In discrete time with steps h, both use
    -log(1 - h z) / h in place of an eigenvalue z, because the root of the transition is 1 - h z.
    """
    eigenvalues = np.linalg.eigvals(K)
    speed = eigenvalues.real if step is None else -np.abs(1.0 - step * eigenvalues)
    eigenvalues = eigenvalues[np.lexsort((eigenvalues.imag, speed))]
    size = max(float(np.max(np.abs(eigenvalues))), 1.0)
    real = np.where(np.abs(eigenvalues.real) < SINGULAR * size, 0.0, eigenvalues.real)
    with np.errstate(divide="ignore", invalid="ignore"):
        decay = real + 1j * eigenvalues.imag
        decay = decay if step is None else -np.log(1.0 - step * decay) / step
        half = np.where(decay.real < 0, np.nan, np.log(2.0) / np.abs(decay.real))
        period = np.where(decay.imag == 0, np.nan, 2.0 * np.pi / np.abs(decay.imag))
    return np.column_stack([real, eigenvalues.imag, half, period])


_OFF = 0.02
"""Largest difference of a maturity of `ACM` from a whole number of periods, in periods."""


def periods_of(tau: Array, dt: float) -> Array:
    """
    Return maturities or horizons of `ACM` in years as numbers of periods.

    Raises
    ------
    SpecificationError
        If a value is not a whole number of periods.
    """
    try:
        return whole_periods(tau, dt, _OFF)
    except ParameterError as error:
        raise SpecificationError(str(error)) from error


@dataclass(frozen=True)
class PeriodCurves(Curves):
    """
    The curves of a model in discrete time whose bond returns have errors (Adrian, Crump & Moench 2013).

    The recursions of log prices A_n + B_n'X are equations 25 to 28 of that paper. The variance s^2 of the
    return errors is added to that of the return, B_n'S B_n, from the second period on.

    Attributes
    ----------
    dynamics, convexity
        As in `Curves`.
    return_var : float
        The variance s^2 of log returns over one period.
    dt : float
        Length of a period in years.
    """

    return_var: float
    dt: float

    def _whole(self, tau: Array) -> Array:
        """Return times without the rounding errors of maturities such as 0.083 years."""
        return periods_of(tau, self.dt) * self.dt

    def _priced(self, of: Callable[..., tuple[Array, Array]], tau: Array) -> Affine:
        return self._with_errors(super()._priced(of, self._whole(tau)), of, tau)

    def _expected(self, of: Callable[..., tuple[Array, Array]], tau: Array, risk_neutral: bool) -> Affine:
        out = super()._expected(of, self._whole(tau), risk_neutral)
        return self._with_errors(out, of, tau) if risk_neutral else out

    def _with_errors(self, rates: Affine, of: Callable[..., tuple[Array, Array]], tau: Array) -> Affine:
        """Subtract the convexity of the return errors."""
        n = periods_of(tau, self.dt)
        share = (n - 1) / n if of is loadings else 1.0
        size = 0.5 * self.return_var / (self.dt * self.convexity)
        return Affine(rates.intercept - size * share, rates.slope)

    def ahead(self, horizon: Array) -> Discretisation:
        """Return the stacked P-distributions of the factors after horizons (h,)."""
        return super().ahead(self._whole(horizon))


_PERIODS_PER_FACTOR = 10
"""Minimum number of periods per factor. The bias formula is the first term of a series in their inverse."""
_SHRINK = 0.01
"""Decrease of the share of the correction in each step of Kilian's (1998) shrinkage."""


@dataclass(frozen=True)
class BiasCorrection:
    """
    A transition matrix after bias correction.

    Attributes
    ----------
    transition : ndarray, (k, k)
        Phi - share * bias.
    share : float
        Share of the bias that is subtracted. It is below one if the full correction would leave the unit
        circle, and zero if Phi itself is outside.
    line : str
        Line of the summary about the correction.
    """

    transition: Array
    share: float
    line: str


def analytic_bias(Phi: Array, cov: Array, periods: int) -> Array:
    r"""
    Return the bias of the least-squares estimate of Phi in X_{t+1} = c + Phi X_t + v.

    .. math::

        E[\hat\Phi] - \Phi = -\frac{S}{n}\Big[(I - \Phi')^{-1} + \Phi'(I - \Phi'^2)^{-1}
        + \sum_i \lambda_i (I - \lambda_i\Phi')^{-1}\Big]\Gamma^{-1} + O(n^{-3/2})

    where lambda are the roots of Phi and Gamma is the variance of X (Pope 1990).

    Parameters
    ----------
    Phi, cov : ndarray, (k, k)
        The transition Phi, with roots inside the unit circle, and the covariance S of v.
    periods : int
        Number n of transitions.
    """
    identity, turned = np.eye(len(Phi)), Phi.T
    gamma = stationary_moments(Phi, np.zeros(len(Phi)), cov)[1]
    inner = np.linalg.inv(identity - turned) + turned @ np.linalg.inv(identity - turned @ turned)
    inner = inner + sum(z * np.linalg.inv(identity - z * turned) for z in np.linalg.eigvals(Phi))
    return -(cov @ inner.real @ np.linalg.inv(gamma)) / periods


def bootstrap_bias(Phi: Array, cov: Array, periods: int, n_boot: int, rng: object) -> Array:
    """Return the mean error of least squares (with a constant) in samples from the autoregression."""
    generator, k = random_generator(rng), len(Phi)
    gamma = stationary_moments(Phi, np.zeros(len(Phi)), cov)[1]
    paths = np.empty((periods + 1, n_boot, k))
    paths[0] = generator.multivariate_normal(np.zeros(k), gamma, n_boot)
    shocks = generator.multivariate_normal(np.zeros(k), cov, (periods, n_boot))
    for t in range(periods):
        paths[t + 1] = paths[t] @ Phi.T + shocks[t]
    before, after = (part - part.mean(axis=0) for part in (paths[:-1], paths[1:]))
    gram, cross = np.einsum("tbi,tbj->bij", before, before), np.einsum("tbi,tbj->bij", before, after)
    return np.asarray(np.linalg.solve(gram, cross).mean(axis=0).T - Phi)


def bias_corrected(
    Phi: Array, cov: Array, nobs: int, method: object, n_boot: object = 1000, rng: object = None
) -> BiasCorrection:
    """
    Correct the transition of a first-order autoregression for bias.

    If Phi minus the bias leaves the unit circle, the bias is shrunk until it does not (Kilian 1998). If Phi
    itself is outside the unit circle, it is not corrected.

    Parameters
    ----------
    Phi, cov : ndarray, (k, k)
        Estimates of the transition and of the covariance of the shocks.
    nobs : int
        Number of periods.
    method : {"analytic", "bootstrap"}
        Whether to use `analytic_bias` or `bootstrap_bias`.
    n_boot : int
        Number of bootstrap samples.
    rng : numpy.random.Generator or int, optional
        Random number generator or seed.

    Raises
    ------
    DataError
        If there are too few periods.
    """
    known, count = one_of(method, ("analytic", "bootstrap"), "method"), positive_integer(n_boot, "n_boot")
    least = _PERIODS_PER_FACTOR * (len(Phi) + 1)
    if nobs < least:
        raise DataError(
            "There are too few periods for a bias correction",
            got=f"{nobs} periods, {len(Phi)} factors",
            expected=f"at least {least} periods",
            remedy="Use a longer sample, or fewer factors.",
        )
    before = spectral_radius(Phi)
    bias, share, factor = np.zeros_like(Phi), float(before < 1.0), 1.0
    if share and known == "analytic":
        bias = analytic_bias(Phi, cov, nobs - 1)
    elif share:
        bias = bootstrap_bias(Phi, cov, nobs - 1, count, rng)
    while share and not spectral_radius(Phi - share * bias) < 1.0:
        share, factor = share * factor, factor - _SHRINK
    out = Phi - share * bias
    how = {"analytic": "Pope 1990", "bootstrap": "bootstrap"}[known]
    line = (
        f"P-dynamics corrected for the bias of least squares ({how}): slowest root of a period "
        f"{before:.4f} before, {spectral_radius(out):.4f} after"
    )
    shrunk = f", {100 * share:.3g} % of the correction (Kilian 1998)" if share < 1.0 else ""
    end = f"{shrunk}. Standard errors are those of the estimates before the correction."
    return BiasCorrection(
        out, share, line + (end if share else "; a root outside the unit circle has no correction.")
    )
