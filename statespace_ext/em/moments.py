"""The result of an E-step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..numerics.linear_algebra import Array
from .regression import Regression


@dataclass(frozen=True)
class Moments:
    """
    What the M-step needs of the smoother.

    Attributes
    ----------
    llf : float
        Log-likelihood at the parameters of the E-step.
    observation : Regression
        e = y_t - Z_t x_t - d_t over t = 1..n, on b = (x_t, 1, exog_t); a missing y_t is integrated out.
    state : Regression
        e = the noise R^+ (x_{t+1} - T_t x_t - c_t) over t = 1..n-1, on b = (x_t, 1, state_exog_t).
    initial_mean, initial_cov : ndarray
        Mean (k,) and covariance (k, k) of x_1 given the data.
    initial_score, initial_information : ndarray
        r_0 and N_0: derivative of the log-likelihood by a_1, and minus its second derivative.
    """

    llf: float
    observation: Regression
    state: Regression
    initial_mean: Array
    initial_cov: Array
    initial_score: Array
    initial_information: Array


Expectation = Callable[[Array], Moments]
"""An E-step: from a parameter vector to moments."""
