"""
The M-step where system matrices are smooth functions of the parameters, whatever these are.

The expected log-likelihood of the complete data at new matrices is a function of the sums of the E-step,

    -1/2 [n log|H| + tr(H^{-1} E sum e e')] - 1/2 sum_g [n_g log|W_g| + tr(W_g^{-1} E sum u u')]
    -1/2 [log|P_1| + tr(P_1^{-1} E (x_1 - a_1)(x_1 - a_1)')],

with the residuals e and u at the new coefficients. It has no filter pass in it. All parameters but those of
H are found together by a gradient method, which starts where the E-step was and is kept only if it rises;
H follows in closed form. So the log-likelihood cannot fall.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import scipy.optimize

from ..em.covariances import CovarianceTerm, by_group, update_covariance
from ..em.moments import Moments
from ..em.updates import NamedUpdate, newton_initial_mean
from ..numerics.linear_algebra import NOT_HERE, Array, gaussian_objective
from ..params.covariance import precision_of
from ..params.layout import ParameterLayout

_ITERATIONS = 30
_STEP, _LEAST_SIZE = 1e-5, 1e-4


class Matrices(Protocol):
    """System matrices, as `System` has them."""

    design: Array
    obs_intercept: Array
    obs_cov: Array
    transition: Array
    state_intercept: Array
    state_cov: Array
    start: str
    initial_state: Array
    initial_state_cov: Array


@dataclass(frozen=True)
class ElementScore:
    """Derivatives by element of the system matrices, as `SystemScore` has them."""

    by_matrix: dict[str, Array]
    initial_state: Array
    initial_state_cov: Array


class SmoothModel(Protocol):
    """A model whose matrices are functions of its parameters."""

    def system_at(self, at: dict[str, Array]) -> Any:
        """Return the system matrices at the values of all blocks."""

    def score_at(self, score: Any, at: dict[str, Array]) -> dict[str, Array]:
        """Return derivatives by element of each block, given those by system matrix."""


class NumericalUpdates:
    """
    The updates of EM of a model whose M-step has no closed form.

    Parameters
    ----------
    model : SmoothModel
        The model.
    layout : ParameterLayout
        Layout of its free parameters, with the blocks "obs_cov" and "initial_state".
    n_observed : int
        Leading rows of the observations that are states, observed without error.
    """

    def __init__(self, model: SmoothModel, layout: ParameterLayout, n_observed: int = 0) -> None:
        self.model, self.layout, self.n_observed = model, layout, n_observed

    def cycles(self) -> list[list[NamedUpdate]]:
        """Return the updates, grouped by the E-step that they share."""
        main: list[NamedUpdate] = [("dynamics", self.dynamics)]
        if not self.layout.blocks["obs_cov"].is_fixed:
            main.append(("obs_cov", self.obs_cov))
        if self.layout.blocks["initial_state"].is_fixed:
            return [main]
        return [[("initial_state", self.initial_state)], main]

    def obstacle(self) -> str | None:
        """Say why EM cannot estimate this specification, None where it can."""
        block = self.layout.blocks["obs_cov"]
        if np.any((block.rows != block.columns) & (block.coefs != 0)):
            return "some portfolios are priced without error, so that obs_cov is singular"
        return None

    def dynamics(self, params: Array, moments: Moments) -> tuple[Array, Moments]:
        """All parameters but those of obs_cov, by L-BFGS on the expected log-likelihood."""
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
            return value - new, -self.layout.pull_back(at, gradient)[moving] * scale

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
        """H = E sum eps eps' / n, in its structure."""
        inner = moments.observation.rows(np.arange(self.n_observed, moments.observation.ee.shape[1]))
        layout, key = self.layout, "obs_cov"
        term = CovarianceTerm(
            layout.blocks[key], layout.index[key], inner, layout.recognised[key], layout.places[key]
        )
        return update_covariance([term], params), moments

    def initial_state(self, params: Array, moments: Moments) -> tuple[Array, Moments]:
        """a_1 += N_0^+ r_0: x_1 an unknown constant."""
        out = np.array(params)
        places, rows = self.layout.index["initial_state"], self.layout.blocks["initial_state"].rows
        jacobian = np.eye(len(moments.initial_mean))[:, rows]
        out[places] += newton_initial_mean(jacobian, moments.initial_score, moments.initial_information)
        return out, moments

    def information(self, params: Array, moments: Moments) -> Array:
        """Return the diagonal of the complete-data information, zero where nothing is known of it."""
        expected = ExpectedLoglike(self, params, moments)
        out = np.zeros(len(params))
        for i, size in enumerate(self._sizes(params)):
            step = _STEP * size
            move = np.zeros(len(params))
            move[i] = step
            try:
                ahead, behind = (
                    expected.value_and_gradient(params + sign * move)[1][i] for sign in (1.0, -1.0)
                )
            except NOT_HERE:
                continue
            out[i] = max(-(ahead - behind) / (2.0 * step), 0.0)
        index, rows = self.layout.index["initial_state"], self.layout.blocks["initial_state"].rows
        out[index] = np.diag(moments.initial_information)[rows]
        return out

    def _sizes(self, params: Array) -> Array:
        """Return the size of each parameter; that of a covariance is the product of standard deviations."""
        out = np.maximum(np.abs(params), _LEAST_SIZE)
        at = self.layout.matrices(params)
        for key in self.layout.covariances & set(at):
            block, deviations = self.layout.blocks[key], np.sqrt(np.diag(at[key]))
            out[self.layout.index[key]] = deviations[block.rows] * deviations[block.columns]
        return np.where(out > 0, out, _LEAST_SIZE)

    def _scale(self, expected: ExpectedLoglike, params: Array) -> Array:
        """Return a scale by unconstrained parameter: one over the root of its information."""
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
        Free parameters of the E-step.
    moments : Moments
        Its sums.
    """

    def __init__(self, updates: NumericalUpdates, params: Array, moments: Moments) -> None:
        self.updates, self.moments = updates, moments
        self._base = updates.model.system_at(updates.layout.matrices(params))

    def observation(self, system: Matrices) -> Any:
        """Return the sums of the observation residuals at other matrices."""
        intercept = system.obs_intercept - self._base.obs_intercept
        return self.moments.observation.shifted(
            np.column_stack([system.design - self._base.design, intercept])
        )

    def state(self, system: Matrices) -> Any:
        """Return the sums of the state residuals at other matrices, one group or one a period."""
        T, c = system.transition - self._base.transition, system.state_intercept - self._base.state_intercept
        if T.ndim == 2:
            return self.moments.state.shifted(np.column_stack([T, c]))
        change = np.concatenate([T, c[:, None, :]], axis=1)[:, :, :-1]
        return self.moments.state.shifted(np.moveaxis(change, 2, 0))

    def value_and_gradient(self, params: Array) -> tuple[float, Array]:
        """Return the value and its gradient by free parameter."""
        at = self.updates.layout.matrices(params)
        system = self.updates.model.system_at(at)
        m, k = self.updates.n_observed, len(system.initial_state)
        observation = self.observation(system).rows(np.arange(m, len(system.obs_cov)))
        state = self.state(system)
        value, by_H, precision = _gaussian(system.obs_cov[m:, m:][None], observation)
        coefficients = precision[0] @ observation.eb[0]
        p = len(system.obs_cov)
        by: dict[str, Array] = {"design": np.zeros((p, k)), "obs_intercept": np.zeros((p, 1))}
        by["obs_cov"] = np.zeros((p, p))
        by["design"][m:], by["obs_intercept"][m:, 0] = coefficients[:, :k], coefficients[:, k]
        by["obs_cov"][m:, m:] = by_H[0]
        groups = by_group(system.state_cov)[: len(state.n)]
        more, by_W, precision = _gaussian(groups, state)
        coefficients = precision @ state.eb
        by["transition"] = _like(system.transition, coefficients[:, :, :k])
        by["state_cov"] = _like(system.state_cov, by_W)
        by["state_intercept"] = _like(system.state_intercept[:, None], coefficients[:, :, k:])[:, 0]
        if by["state_intercept"].ndim == 1:
            by["state_intercept"] = by["state_intercept"][:, None]
        first, by_mean, by_cov = self._initial(system)
        score = ElementScore(by, by_mean, by_cov)
        gradient = self.updates.layout.gradient(self.updates.model.score_at(score, at))
        return value + more + first, gradient

    def _initial(self, system: Matrices) -> tuple[float, Array, Array]:
        """Return the term of the initial state, and its derivatives by a_1 and P_1."""
        k = len(system.initial_state)
        if system.start == "diffuse" or not np.any(system.initial_state_cov):
            return 0.0, np.zeros(k), np.zeros((k, k))
        gap = self.moments.initial_mean - system.initial_state
        second = self.moments.initial_cov + np.outer(gap, gap)
        precision = np.linalg.inv(system.initial_state_cov)
        value = gaussian_objective(system.initial_state_cov, second)
        return value, precision @ gap, 0.5 * (precision @ second @ precision - precision)


def _gaussian(covs: Array, sums: Any) -> tuple[float, Array, Array]:
    """Return -1/2 sum_g [n log|S| + tr(S^{-1} ee)], its derivative by each S, and the inverses."""
    value = sum(
        gaussian_objective(cov, ee, float(n)) for cov, ee, n in zip(covs, sums.ee, sums.n, strict=True)
    )
    precision = np.stack([precision_of(cov) for cov in covs])
    derivative = 0.5 * (precision @ sums.ee @ precision - sums.n[:, None, None] * precision)
    return float(value), derivative, precision


def _like(matrix: Array, by_group_first: Array) -> Array:
    """Return derivatives by group as those of a matrix, with zeros for the last period where it varies."""
    if matrix.ndim == 2:
        return by_group_first.sum(axis=0)
    moved = np.moveaxis(by_group_first, 0, 2)
    return np.concatenate([moved, np.zeros((*moved.shape[:2], matrix.shape[2] - moved.shape[2]))], axis=2)
