"""The Ornstein-Uhlenbeck process dX = (kappa - K X) dt + Sigma dW: between dates, for ever, and back."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from ..exceptions import ParameterError
from .affine_flow import AffineFlow
from .linear_algebra import Array, is_positive_semidefinite, symmetrize

NEGATIVE_AXIS = 1e-7
"""Angle to the negative real axis, in radians, within which an eigenvalue is on it (to rounding)."""


@dataclass(frozen=True)
class Discretisation:
    """
    The exact distribution of the next state: X_{t+dt} | X_t ~ N(c + Phi X_t, Omega).

    With several steps, each array has them as its first axis.

    Attributes
    ----------
    transition : ndarray, (k, k)
        Phi = e^{-K dt}.
    intercept : ndarray, (k,)
        c = int_0^dt e^{-K s} ds kappa.
    cov : ndarray, (k, k)
        Omega = int_0^dt e^{-K s} Sigma Sigma' e^{-K's} ds.
    """

    transition: Array
    intercept: Array
    cov: Array


def discretise(K: Array, kappa: Array, cov: Array, dt: float | Array) -> Discretisation:
    """
    Return the exact discretisation of dX = (kappa - K X) dt + Sigma dW.

    Parameters
    ----------
    K : ndarray, (k, k)
        Any matrix: singular, defective, with complex roots, unstable or stiff.
    kappa : ndarray, (k,)
        Drift at X = 0.
    cov : ndarray, (k, k)
        Sigma Sigma'.
    dt : float or ndarray, (m,)
        One step, or several: then the results are stacked along a first axis.

    Returns
    -------
    Discretisation

    Raises
    ------
    ParameterError
        If a step is not positive, or a step or K is not finite.
    """
    out = _of_flow(_flow(K, kappa, cov, dt))
    if np.ndim(dt):
        return out
    return Discretisation(out.transition[0], out.intercept[0], out.cov[0])


def discretise_pullback(
    K: Array,
    kappa: Array,
    cov: Array,
    dt: float | Array,
    bar_transition: Array,
    bar_intercept: Array,
    bar_cov: Array,
) -> tuple[Array, Array, Array]:
    """
    Return the gradient by (K, kappa, Sigma Sigma') of a function of the discretisation.

        dL = sum(bar_transition * dPhi) + bar_intercept' dc + tr(bar_cov dOmega)
           = sum(bar_K * dK) + bar_kappa' dkappa + tr(bar_cov d(Sigma Sigma'))

    Parameters
    ----------
    K, kappa, cov, dt
        As in `discretise`.
    bar_transition, bar_intercept, bar_cov : ndarray
        The gradient by Phi, c and Omega (symmetric), with a first axis where ``dt`` has one.

    Returns
    -------
    bar_K : ndarray, (k, k)
    bar_kappa : ndarray, (k,)
    bar_cov : ndarray, (k, k)
        Symmetric. All are sums over the steps.
    """
    k = len(K)
    flow = _flow(K, kappa, cov, dt)
    bar_increment, bar_integral = np.zeros_like(flow.increment), np.zeros_like(flow.integral)
    bar_increment[:, :k, :k], bar_increment[:, :k, k] = bar_transition, bar_intercept
    bar_integral[:, :k, :k] = bar_cov
    bar_generator, bar_source = flow.pullback(bar_increment, bar_integral)
    return -bar_generator[:k, :k], bar_generator[:k, k], bar_source[:k, :k]


def stationary_moments(K: Array, kappa: Array, cov: Array) -> tuple[Array, Array]:
    """
    Return the mean and covariance of the stationary distribution.

        mean = K^{-1} kappa,    K P + P K' = Sigma Sigma'

    Parameters
    ----------
    K : ndarray, (k, k)
        All eigenvalues have positive real parts.
    kappa : ndarray, (k,)
        Drift at X = 0.
    cov : ndarray, (k, k)
        Sigma Sigma'.

    Returns
    -------
    mean : ndarray, (k,)
    P : ndarray, (k, k)

    Raises
    ------
    ParameterError
        If an eigenvalue of K has no positive real part.
    """
    smallest = float(np.min(np.linalg.eigvals(K).real))
    if not smallest > 0:
        raise ParameterError(
            "The process has no stationary distribution: an eigenvalue of K has no positive real part",
            got=smallest,
            expected="all real parts above 0",
            remedy="Use a start other than the stationary one, or parameters at which the process reverts.",
        )
    return np.linalg.solve(K, kappa), symmetrize(scipy.linalg.solve_continuous_lyapunov(K, cov))


def continuous(Phi: Array, c: Array, Omega: Array, dt: float) -> tuple[Array, Array, Array]:
    """
    Return (K, kappa, Sigma Sigma') of the process whose discretisation is (Phi, c, Omega).

        K = -log(Phi) / dt
        c = int_0^dt e^{-K s} ds kappa,    Omega = int_0^dt e^{-K s} Sigma Sigma' e^{-K's} ds

    with the principal matrix logarithm: |Im(eigenvalue of K)| dt < pi. A process that turns by half a circle
    or more within a step has the transition of a slower one, which is what comes back. An eigenvalue of K has
    as many digits as e^{-K dt} has of it: of one with K dt = 30, about three.

    Parameters
    ----------
    Phi : ndarray, (k, k)
        Transition over a step.
    c : ndarray, (k,)
        Its intercept.
    Omega : ndarray, (k, k)
        Its covariance.
    dt : float
        The step.

    Returns
    -------
    K : ndarray, (k, k)
    kappa : ndarray, (k,)
    cov : ndarray, (k, k)
        Sigma Sigma'.

    Raises
    ------
    ParameterError
        If no real process has this discretisation (Phi is singular or has a negative eigenvalue, or
        Sigma Sigma' would not be positive semidefinite), if the logarithm is not determined, or if the step
        is not positive.
    """
    if not 0 < dt < np.inf:
        raise ParameterError("The step is not a positive number", got=dt, expected="a finite step above 0")
    K = -_real_logarithm(Phi) / dt
    k = len(K)
    kappa = np.linalg.solve(_integral(K, dt), c)
    both = np.kron(K, np.eye(k)) + np.kron(np.eye(k), K)
    cov = symmetrize(np.linalg.solve(_integral(both, dt), Omega.ravel()).reshape(k, k))
    if not is_positive_semidefinite(cov, 1e-8):
        raise ParameterError(
            "No continuous-time process has this covariance over a step: Sigma Sigma' would have a negative "
            "eigenvalue",
            got=float(np.linalg.eigvalsh(cov)[0]),
            expected="a positive semidefinite Sigma Sigma'",
            remedy="Estimate the continuous-time parameters themselves.",
        )
    return K, kappa, cov


def _flow(K: Array, kappa: Array, cov: Array, dt: float | Array) -> AffineFlow:
    """Return the flow of u = (X, 1): increments [[Phi - I, c], [0, 0]], integrals [[Omega, 0], [0, 0]]."""
    k = len(K)
    generator = np.zeros((k + 1, k + 1), dtype=np.result_type(K, kappa, float))
    generator[:k, :k], generator[:k, k] = -K, kappa
    source = np.zeros((k + 1, k + 1), dtype=np.result_type(cov, float))
    source[:k, :k] = cov
    return AffineFlow(generator, source, np.atleast_1d(np.asarray(dt, dtype=float)))


def _of_flow(flow: AffineFlow) -> Discretisation:
    k = flow.increment.shape[-1] - 1
    return Discretisation(
        flow.increment[:, :k, :k] + np.eye(k), flow.increment[:, :k, k], flow.integral[:, :k, :k]
    )


def _integral(K: Array, dt: float) -> Array:
    """Return int_0^dt e^{-K s} ds, column by column: the intercepts of unit drifts."""
    size = len(K)
    generator = np.zeros((2 * size, 2 * size))
    generator[:size, :size], generator[:size, size:] = -K * dt, np.eye(size) * dt
    return scipy.linalg.expm(generator)[:size, size:]


def _real_logarithm(Phi: Array) -> Array:
    """Return the principal logarithm, or say why there is none that is real."""
    values = np.linalg.eigvals(Phi)
    modulus = np.abs(values)
    if not modulus.min() > len(Phi) * np.finfo(float).eps * np.linalg.norm(Phi, 2):
        raise ParameterError(
            "The transition matrix is singular to rounding, so that it has no logarithm",
            got=f"an eigenvalue of modulus {modulus.min():.3g}",
            expected="a nonsingular matrix",
            remedy="Use a shorter step, or estimate the continuous-time parameters themselves.",
        )
    if np.any(np.pi - np.abs(np.angle(values)) < NEGATIVE_AXIS):
        worst = values[np.argmax(np.abs(np.angle(values)))]
        raise ParameterError(
            "The transition matrix has no principal real logarithm: an eigenvalue is negative. If it is "
            "simple, no real logarithm exists; if it is repeated, one may, but it is not determined",
            got=f"{worst.real:.6g}",
            expected="no eigenvalue on the negative real axis",
            remedy="Use a shorter step, or estimate the continuous-time parameters themselves.",
        )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "logm result may be inaccurate")  # what counts is checked here
        logarithm = np.real(scipy.linalg.logm(Phi))
    error = np.linalg.norm(scipy.linalg.expm(logarithm) - Phi, 1) / np.linalg.norm(Phi, 1)
    if not error < 1e-8:
        raise ParameterError(
            "The logarithm of the transition matrix could not be computed",
            got=f"exp(log(Phi)) differs from Phi by {error:.3g}, relative to it",
            expected="a well-conditioned matrix",
            remedy="Estimate the continuous-time parameters themselves.",
        )
    return logarithm
