"""
The M-step for system matrices that are arbitrary smooth functions of the parameters.

The expected log-likelihood of the complete data at new matrices is a function of the sums of the E-step,

    -1/2 [n log|H| + tr(H^{-1} E sum e e')] - 1/2 sum_g [n_g log|W_g| + tr(W_g^{-1} E sum u u')]
    -1/2 [log|P_1| + tr(P_1^{-1} E (x_1 - a_1)(x_1 - a_1)')],

with the residuals e and u at the new coefficients. It needs no filter pass. A gradient method finds all
parameters except those of H. It starts at the parameters of the E-step, and its result is kept only if it
increases the function. H follows in closed form. The log-likelihood therefore cannot decrease.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import scipy.optimize

from ..em.m_step import by_group, precisions, update_covariance
from ..em.moments import Moments, Regression
from ..em.updates import LinearGaussianUpdates, NamedUpdate
from ..engine.system import System
from ..engine.system_score import SystemScore
from ..numerics.linear_algebra import NOT_HERE, Array, gaussian_objective

if TYPE_CHECKING:
    from .atsm import ATSM

_ITERATIONS = 30
_STEP, _LEAST_SIZE = 1e-6, 1e-4


@dataclass(frozen=True)
class NumericalUpdates(LinearGaussianUpdates):
    """
    EM updates for a model whose M-step has a closed form only for obs_cov and an unknown first state.

    Attributes
    ----------
    layout : ParameterLayout
        Layout of the free parameters.
    structure : StateStructure
        Structure of the states, all of which have noise.
    model : ATSM
        The model.
    """

    model: ATSM
    initial_state = LinearGaussianUpdates.initial_state_newton

    def cycles(self) -> list[list[NamedUpdate]]:
        """Return the updates; those in one group share an E-step."""
        main: list[NamedUpdate] = [("dynamics", self.dynamics)]
        if not self.layout.blocks["obs_cov"].is_fixed:
            main.append(("obs_cov", self.obs_cov))
        if self.layout.blocks["initial_state"].is_fixed:
            return [main]
        return [[("initial_state", self.initial_state)], main]

    def unsupported_reason(self) -> str | None:
        """Return the reason why EM cannot estimate this specification, or None if it can."""
        block = self.layout.blocks["obs_cov"]
        if len(self.model.panel.horizons):
            return "surveys measure expectations, which have no part in its M-step"
        if np.any((block.rows != block.columns) & (block.coefs != 0)):
            return "some portfolios are priced without error, so that obs_cov is singular"
        return None

    def dynamics(self, params: Array, moments: Moments) -> tuple[Array, Moments]:
        """Update all parameters except those of obs_cov, by L-BFGS on the expected log-likelihood."""
        expected = ExpectedLoglike(self, params, moments)
        moving = np.ones(len(params), bool)
        for key in ("obs_cov", "initial_state"):
            moving[self.layout.index[key]] = False
        z = self.layout.unconstrain(params)
        scale = self._scale(expected, params)[moving]
        value, _ = expected.value_and_gradient(params)

        def objective(w: Array) -> tuple[float, Array]:
            at = np.array(z)
            at[moving] += scale * w
            trial = self.layout.constrain(at)
            try:
                new, gradient = expected.value_and_gradient(trial)
            except NOT_HERE:
                return 1e10 + abs(value), np.zeros(len(w))
            return value - new, -self.layout.vjp(at, gradient)[moving] * scale

        options = {"maxiter": _ITERATIONS, "maxcor": 20, "ftol": 1e-13, "gtol": 1e-8}
        found = scipy.optimize.minimize(  # type: ignore[call-overload]
            objective, np.zeros(len(scale)), jac=True, method="L-BFGS-B", options=options
        )
        if not found.fun < 0:
            return params, moments
        out = np.array(z)
        out[moving] += scale * found.x
        new = self.layout.constrain(out)
        new[~moving] = params[~moving]
        return new, replace(
            moments, observation=expected.observation(self.model.system_at(self.layout.matrices(new)))
        )

    def obs_cov(self, params: Array, moments: Moments) -> tuple[Array, Moments]:
        """Update H = E sum eps eps' / n within its structure; observed factors have no noise."""
        yields = self.of_yields(moments.observation)
        return update_covariance([self._term("obs_cov", yields)], params), moments

    def of_yields(self, observation: Regression) -> Regression:
        """Return the sums of the yields alone, without those of observed factors."""
        return observation.rows(np.arange(self.model.panel.n_observed, observation.ee.shape[1]))

    def information(self, params: Array, moments: Moments) -> Array:
        """Return the diagonal of the complete-data information; zero where it is not known."""
        expected = ExpectedLoglike(self, params, moments)
        out, here = np.zeros(len(params)), expected.value_and_gradient(params)[1]
        for i, step in enumerate(_STEP * self._sizes(params)):
            move = np.zeros(len(params))
            move[i] = step
            try:
                ahead = expected.value_and_gradient(params + move)[1][i]
            except NOT_HERE:
                continue
            out[i] = max((here[i] - ahead) / step, 0.0)
        index, rows = self.layout.index["initial_state"], self.layout.blocks["initial_state"].rows
        out[index] = np.diag(moments.initial_information)[rows]
        return out

    def _sizes(self, params: Array) -> Array:
        """Return the size of each parameter; for a covariance, the product of standard deviations."""
        out = np.maximum(np.abs(params), _LEAST_SIZE)
        at = self.layout.matrices(params)
        for key in self.layout.covariances & set(at):
            block, deviations = self.layout.blocks[key], np.sqrt(np.diag(at[key]))
            out[self.layout.index[key]] = deviations[block.rows] * deviations[block.columns]
        return np.where(out > 0, out, _LEAST_SIZE)

    def _scale(self, expected: ExpectedLoglike, params: Array) -> Array:
        """Return one over the square root of the information, by unconstrained parameter."""
        information = self.information(params, expected.moments)
        z = self.layout.unconstrain(params)
        out = np.array(information)
        for transform in self.layout.transforms:
            places = self.layout.positions(transform.param_names)
            jacobian = transform.jacobian(z[places])
            out[places] = np.einsum("ij,i,ij->j", jacobian, information[places], jacobian)
        return np.where(out > 0, 1.0 / np.sqrt(np.where(out > 0, out, 1.0)), np.maximum(np.abs(z), 1e-3))


class ExpectedLoglike:
    """
    The expected log-likelihood of the complete data, given the sums of an E-step.

    Parameters
    ----------
    updates : NumericalUpdates
        The model and the layout of its free parameters.
    params : ndarray
        Free parameters at the E-step.
    moments : Moments
        Sums of the E-step.
    """

    def __init__(self, updates: NumericalUpdates, params: Array, moments: Moments) -> None:
        self.updates, self.moments = updates, moments
        self._base = updates.model.system_at(updates.layout.matrices(params))

    def observation(self, system: System) -> Regression:
        """Return the sums of the observation residuals at new matrices."""
        intercept = system.obs_intercept - self._base.obs_intercept
        change = np.column_stack([system.design - self._base.design, intercept])
        return self.moments.observation.shifted(change)

    def state(self, system: System) -> Regression:
        """Return the sums of the state residuals at new matrices, in one group or one for each period."""
        T, c = system.transition - self._base.transition, system.state_intercept - self._base.state_intercept
        if T.ndim == 2:
            return self.moments.state.shifted(np.column_stack([T, c]))
        change = np.concatenate([T, c[:, None, :]], axis=1)[:, :, :-1]
        return self.moments.state.shifted(np.moveaxis(change, 2, 0))

    def value_and_gradient(self, params: Array) -> tuple[float, Array]:
        """Return the value and its gradient by free parameter."""
        updates = self.updates
        at = updates.layout.matrices(params)
        system = updates.model.system_at(at)
        m, k = updates.model.panel.n_observed, system.k_states
        state = self.state(system)
        value, by_H, by_Z = gaussian(
            system.obs_cov[m:, m:][None], updates.of_yields(self.observation(system))
        )
        more, by_W, by_T = gaussian(by_group(system.state_cov)[: len(state.n)], state)
        first, by_mean, by_cov = self._initial(system)
        above = np.zeros((m, k + 1))  # derivatives by rows without noise, which are not used
        by_Z = np.concatenate([above, by_Z[0]])
        by_matrix = {
            "design": by_Z[:, :k],
            "obs_intercept": by_Z[:, k:],
            "obs_cov": np.pad(by_H[0], (m, 0)) if m else by_H[0],
            "transition": _like(system.transition, by_T[:, :, :k]),
            "state_intercept": _like(system.state_intercept[:, None], by_T[:, :, k:]).reshape(k, -1),
            "state_cov": _like(system.state_cov, by_W),
        }
        score = SystemScore(value + more + first, by_matrix, by_mean, by_cov, np.zeros(k))
        return score.llf, updates.layout.gradient(updates.model.score_at(score, at))

    def _initial(self, system: System) -> tuple[float, Array, Array]:
        """Return the term of the initial state, and its derivatives by a_1 and P_1."""
        k = system.k_states
        if system.start == "diffuse" or not np.any(system.initial_state_cov):
            return 0.0, np.zeros(k), np.zeros((k, k))
        gap = (self.moments.initial_mean - system.initial_state)[:, None]
        second = self.moments.initial_cov + gap @ gap.T
        start = Regression(second[None], gap[None], np.ones((1, 1, 1)), np.ones(1))
        value, by_cov, by_mean = gaussian(system.initial_state_cov[None], start)
        return value, by_mean[0, :, 0], by_cov[0]


def gaussian(covs: Array, sums: Regression) -> tuple[float, Array, Array]:
    """Return -1/2 sum_g [n log|S| + tr(S^{-1} ee)], and its derivatives by each S and each coefficient."""
    value = sum(
        gaussian_objective(cov, ee, float(n)) for cov, ee, n in zip(covs, sums.ee, sums.n, strict=True)
    )
    precision = precisions(np.moveaxis(covs, 0, 2))
    by_cov = 0.5 * (precision @ sums.ee @ precision - sums.n[:, None, None] * precision)
    return float(value), by_cov, precision @ sums.eb


def _like(matrix: Array, by_group_first: Array) -> Array:
    """Convert derivatives by group to those of a matrix; the last period of a varying matrix gets zeros."""
    if matrix.ndim == 2:
        return by_group_first.sum(axis=0)
    moved = np.moveaxis(by_group_first, 0, 2)
    return np.concatenate([moved, np.zeros((*moved.shape[:2], matrix.shape[2] - moved.shape[2]))], axis=2)
