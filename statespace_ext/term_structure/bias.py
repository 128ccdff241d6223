"""Bias correction of estimated autoregressions (Pope 1990; Kilian 1998; Bauer, Rudebusch & Wu 2012)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..display import Displayed
from ..engine.arguments import one_of, positive_integer, random_generator
from ..exceptions import DataError
from ..numerics.linear_algebra import Array, spectral_radius
from ..numerics.matrix_equations import stationary_moments

METHODS = ("analytic", "bootstrap")
_PERIODS_PER_FACTOR = 10
"""Minimum number of periods per factor. The bias formula is the first term of a series in their inverse."""
_SHRINK = 0.01
"""Decrease of the share of the correction in each step of Kilian's (1998) shrinkage."""


@dataclass(frozen=True, repr=False)
class BiasCorrection(Displayed):
    """
    A transition matrix after bias correction.

    Attributes
    ----------
    transition : ndarray, (k, k)
        Phi - share * bias.
    bias : ndarray, (k, k)
        Estimate of E[Phi-hat] - Phi.
    share : float
        Share of the bias that is subtracted. It is below one if the full correction would leave the unit
        circle.
    before, after : float
        Modulus of the slowest root before and after the correction.
    method : str
        "analytic" or "bootstrap".
    """

    transition: Array
    bias: Array
    share: float
    before: float
    after: float
    method: str

    @property
    def line(self) -> str:
        """Line of the summary about the correction."""
        how = {"analytic": "Pope 1990", "bootstrap": "bootstrap"}[self.method]
        text = (
            f"P-dynamics corrected for the bias of least squares ({how}): slowest root of a period "
            f"{self.before:.4f} before, {self.after:.4f} after"
        )
        if not self.share:
            return f"{text}; a root outside the unit circle has no correction."
        shrunk = f", {100 * self.share:.3g} % of the correction (Kilian 1998)" if self.share < 1.0 else ""
        return f"{text}{shrunk}. Standard errors are those of the estimates before the correction."


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
    roots = np.linalg.eigvals(Phi)
    inner = inner + sum(root * np.linalg.inv(identity - root * turned) for root in roots)
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
    known, count = one_of(method, METHODS, "method"), positive_integer(n_boot, "n_boot")
    least = _PERIODS_PER_FACTOR * (len(Phi) + 1)
    if nobs < least:
        raise DataError(
            "There are too few periods for a bias correction",
            got=f"{nobs} periods, {len(Phi)} factors",
            expected=f"at least {least} periods",
            remedy="Use a longer sample, or fewer factors.",
        )
    before = spectral_radius(Phi)
    if not before < 1.0:
        return BiasCorrection(Phi, np.zeros_like(Phi), 0.0, before, before, known)
    if known == "analytic":
        bias = analytic_bias(Phi, cov, nobs - 1)
    else:
        bias = bootstrap_bias(Phi, cov, nobs - 1, count, rng)
    share = factor = 1.0
    while not spectral_radius(Phi - share * bias) < 1.0:
        share, factor = share * factor, factor - _SHRINK
    out = Phi - share * bias
    return BiasCorrection(out, bias, share, before, spectral_radius(out), known)
