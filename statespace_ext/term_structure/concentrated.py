"""
The likelihood of Joslin, Singleton & Zhu (2011) with portfolios priced without error, concentrated.

Given the Q-roots and the covariance of the portfolios, everything else has a closed form: the P-dynamics are
the regression of P_{t+1} on P_t; k_inf is a least-squares coefficient of the mean yields; the variance of the
errors is the mean square of what is left. What is concentrated out of

    -(n - 1)/2 [log|Omega| + tr(Omega^{-1} Omega_hat)] - n (p - k)/2 log(sum of squared errors)

leaves k + k (k + 1)/2 parameters. P_1 is conditioned on, as with ``initialization="diffuse"``. In discrete
time that is the maximum. Here the covariance a year, which prices convexity, and that of a step, which the
regression has, differ by K_P, so that the maximum is a little beside it: steps on the likelihood find it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.optimize

from ..exceptions import EstimationError, UnsupportedError
from ..numerics.bond_pricing import loadings
from ..numerics.linear_algebra import NOT_HERE, Array
from ..numerics.ornstein_uhlenbeck import continuous, discretise
from .declaration import is_word
from .dynamics import Values
from .normalisation import Portfolios
from .starts import cross_section

_WALL = 1e10


def concentrated_start(model: Any) -> Array:
    """
    Return the full parameter vector at the maximum of the concentrated likelihood.

    Raises
    ------
    UnsupportedError
        If the model is not that of unrestricted P-dynamics and exact portfolios on complete, regular data.
    EstimationError
        If the regression of the portfolios is not that of a continuous-time process.
    """
    require_concentrated(model)
    norm, y, dt = model.norm, model.endog, float(model.panel.steps)
    objective = Concentrated(norm, y, dt)
    k = len(norm.weights)
    lower = np.tril_indices(k)
    best: tuple[float, Array] = (np.inf, np.zeros(0))
    for candidate, _ in norm.starts(cross_section(model)):
        first = np.concatenate([candidate["roots_Q"][:, 0], np.linalg.cholesky(objective.cov)[lower]])
        scale = np.concatenate(
            [0.1 + first[:k], np.repeat(np.sqrt(np.mean(np.diag(objective.cov))), len(lower[0]))]
        )

        def value(w: Array, first: Array = first, scale: Array = scale) -> float:
            z = first + scale * w
            root = np.zeros((k, k))
            root[lower] = z[k:]
            return objective(z[:k], root @ root.T)

        fit = scipy.optimize.minimize(
            value,
            np.zeros(len(first)),
            method="L-BFGS-B",
            jac="3-point",
            options={"maxiter": 300, "ftol": 1e-14, "gtol": 1e-6},
        )
        if fit.fun < best[0]:
            best = (float(fit.fun), first + scale * fit.x)
    root = np.zeros((k, k))
    root[lower] = best[1][k:]
    at = objective.values(best[1][:k], root @ root.T)
    return np.asarray(model.layout.project(at, np.zeros(len(model.layout))))


def require_concentrated(model: Any) -> None:
    """Refuse a model whose likelihood cannot be concentrated."""
    given = model._given
    faults = [
        (not isinstance(model.norm, Portfolios), "identification", 'identification="jsz"'),
        (given["obs_cov"] != "exact-portfolios", "obs_cov", 'obs_cov="exact-portfolios"'),
        (given["risk_prices"] is not None, "risk_prices", "none"),
        (not is_word(given["p_dynamics"], "unrestricted"), "p_dynamics", "unrestricted P-dynamics"),
        (not is_word(given["state_cov"], "unstructured"), "state_cov", 'state_cov="unstructured"'),
        (bool(model._has_fixed_params), "fixed parameters", "none"),
        (bool(np.isnan(model.endog).any()), "yields", "complete data"),
        (model.panel.steps.ndim > 0, "dt", "regular dates"),
    ]  # fmt: skip
    for wrong, what, expected in faults:
        if wrong:
            raise UnsupportedError(
                'method="jsz" does not serve this model',
                got=f"another {what}" if what != "yields" else "missing yields",
                expected=expected,
                remedy='Use method="auto".',
            )


class Concentrated:
    """Minus the concentrated log-likelihood, without its constant, by Q-roots and covariance a year."""

    def __init__(self, norm: Portfolios, y: Array, dt: float) -> None:
        self.norm, self.y, self.dt = norm, y, dt
        self.P = y @ norm.weights.T
        before, after = np.column_stack([self.P[:-1], np.ones(len(y) - 1)]), self.P[1:]
        fit = np.linalg.lstsq(before, after, rcond=None)[0]
        residual = after - before @ fit
        self.omega = residual.T @ residual / len(residual)
        try:
            self.K, self.kappa, self.cov = continuous(fit[:-1].T, fit[-1], self.omega, dt)
            np.linalg.cholesky(self.cov)
        except NOT_HERE as error:
            raise EstimationError(
                "The regression of the portfolios is not that of a continuous-time process",
                got=error,
                remedy='Use method="auto".',
            ) from error

    def values(self, roots: Array, cov: Array) -> Values:
        """Return all blocks at the maximum given roots and covariance."""
        at: Values = {"roots_Q": roots[:, None], "state_cov": cov}
        at["k_inf"] = self.norm.mean_fit(at, self.y, self.P)
        errors = self._errors(at)
        p, k = self.y.shape[1], len(roots)
        W = self.norm.weights
        off = np.eye(p) - W.T @ np.linalg.solve(W @ W.T, W)
        at["obs_cov"] = off * np.sum(errors**2) / (len(errors) * (p - k))
        return {**at, "K_P": self.K, "kappa_P": self.kappa[:, None]}

    def _errors(self, at: Values) -> Array:
        q = self.norm.pricing(at)
        cov = at["state_cov"] * self.norm.convexity
        A, B = loadings(q.K, q.kappa, cov, q.delta_0, q.delta_1, self.norm.tau)
        return np.asarray(self.y - A - self.P @ B.T)

    def __call__(self, roots: Array, cov: Array) -> float:
        """Return the value, a wall where it does not exist."""
        try:
            at: Values = {"roots_Q": roots[:, None], "state_cov": cov}
            at["k_inf"] = self.norm.mean_fit(at, self.y, self.P)
            errors = self._errors(at)
            omega = discretise(self.K, self.kappa, cov, self.dt).cov
            sign, logdet = np.linalg.slogdet(omega)
            trace = float(np.trace(np.linalg.solve(omega, self.omega)))
        except NOT_HERE:
            return _WALL
        n, (p, k) = len(self.y), (self.y.shape[1], len(roots))
        value = 0.5 * (n - 1) * (logdet + trace) + 0.5 * n * (p - k) * np.log(np.sum(errors**2))
        return float(value) if sign > 0 and np.isfinite(value) else _WALL
