"""
The M-step: one named update for each block of a linear Gaussian state-space model.

    y_t     = d + Z x_t + D exog_t + eps_t,              eps_t ~ N(0, H)
    x_{t+1} = c + (I - sum A_l) mu + A_1 x_t + ... + A_L x_{t-L+1} + G state_exog_t + eta_t,   eta_t ~ N(0, Q)

Each update maps (params, moments) to the same pair at the new parameters, so that the next one uses the
residuals at the new coefficients (expectation conditional maximisation). The fixed part of the state equation
determines which states have noise, which are identities, and which start from their stationary distribution.
The initial state is free, known or stationary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ..numerics.linear_algebra import (
    Array,
    at_period,
    companion,
    gaussian_objective,
    identity,
    is_stable,
    one_minus_sum,
    scaled_solve,
    solve_and_log_det,
)
from ..numerics.matrix_equations import stationary_chain, stationary_moments
from ..params.affine import AffineMatrix, Elements, IntArray, side_by_side
from ..params.layout import ParameterLayout
from .regressions import (
    CovarianceTerm,
    Moments,
    Regression,
    StackedCoefficients,
    by_group,
    closed_form,
    halved,
    precisions,
    repeated,
    scoring_step,
    update_covariance,
)


@dataclass(frozen=True)
class StateStructure:
    """
    The fixed part of a state equation x_{t+1} = T x_t + c + R eta_t, where R selects rows.

    Attributes
    ----------
    base : ndarray, (k, k)
        T with its fixed rows. The block "transition" replaces the rows that have noise.
    noise_rows : ndarray of int, (q,)
        The state that each disturbance enters.
    stationary : ndarray of int
        The states that start from their stationary distribution. They must not depend on other states.
    """

    base: Array
    noise_rows: IntArray
    stationary: IntArray

    @property
    def selection(self) -> Array:
        """The selection matrix R, (k, q)."""
        return np.eye(len(self.base))[:, self.noise_rows]

    def transition(self, rows: Array) -> Array:
        """Return T, given the rows that have noise, (q, k) or (q, k, nobs)."""
        base = self.base if rows.ndim == 2 else np.repeat(self.base[:, :, None], rows.shape[2], axis=2)
        out = np.array(base)
        out[self.noise_rows] = rows
        return out

    @cached_property
    def _entry(self) -> tuple[Array, Array]:
        """Rows of R and of the identity for the states with a stationary start."""
        return self.selection[self.stationary], np.eye(len(self.base))[self.stationary]

    @cached_property
    def _whole(self) -> bool:
        """Whether all states have noise and a stationary start, in the order of the states."""
        every = np.arange(len(self.base))
        return np.array_equal(self.noise_rows, every) and np.array_equal(self.stationary, every)

    def stationary_equation(self, rows: Array, intercept: Array, cov: Array) -> tuple[Array, Array, Array]:
        """Return T, c and R Q R' of the states with a stationary start."""
        if self._whole:
            return rows, intercept, cov
        keep, (entry, _) = self.stationary, self._entry
        return self.transition(rows)[keep[:, None], keep], entry @ intercept, entry @ cov @ entry.T

    def rows_of(self, by_transition: Array, by_intercept: Array, by_cov: Array) -> tuple[Array, Array, Array]:
        """Return derivatives by the rows that have noise, given those by `stationary_equation`."""
        if self._whole:
            return by_transition, by_intercept, by_cov
        entry, kept = self._entry
        return entry.T @ by_transition @ kept, by_intercept @ entry, entry.T @ by_cov @ entry


def companion_structure(k: int, lags: int, stationary: IntArray) -> StateStructure:
    """Return the structure of k factors with lags in companion form."""
    return StateStructure(companion(np.zeros((k, k * lags))), np.arange(k), stationary)


@dataclass(frozen=True)
class StationaryTerm:
    """
    E log N(x_1; a_1, P_1) with a_1 = (I - T)^{-1} c and P_1 = T P_1 T' + W, as a function of T, c, W.

    Attributes
    ----------
    mean, cov : ndarray
        Mean and covariance of x_1 given the data.
    """

    mean: Array
    cov: Array

    def value(self, transition: Array, intercept: Array, selected_cov: Array) -> float:
        """Return the term without its constant, or minus infinity if T is not stable."""
        if not is_stable(transition):
            return -np.inf
        a1, P1 = stationary_moments(transition, intercept, selected_cov)
        return gaussian_objective(P1, self._second_moment(a1))

    def _second_moment(self, a1: Array) -> Array:
        gap = self.mean - a1
        return self.cov + gap[:, None] * gap

    def value_and_gradient(
        self, transition: Array, intercept: Array, selected_cov: Array
    ) -> tuple[float, tuple[Array, Array, Array]]:
        """Return the term and its derivatives by T, c and W, where T is stable."""
        a1, P1 = stationary_moments(transition, intercept, selected_cov)
        second = self._second_moment(a1)
        precision, log_det = solve_and_log_det(P1, identity(len(P1)))
        by_cov = 0.5 * (precision @ second @ precision - precision)
        gradient = stationary_chain(transition, a1, P1, precision @ (self.mean - a1), by_cov)
        return -0.5 * (log_det + float(np.vdot(precision, second))), gradient


Update = Callable[[Array, Moments], tuple[Array, Moments]]
NamedUpdate = tuple[str, Update]

OBSERVATION = ("design", "obs_intercept", "obs_coef")
STATE = ("transition", "state_intercept", "state_coef", "state_mean")


@dataclass(frozen=True)
class LinearGaussianUpdates:
    """
    The updates of a model from the layout of its parameters.

    Attributes
    ----------
    layout : ParameterLayout
        Blocks "design" (p, k), "obs_intercept" (p, 1), "obs_coef" (p, r), "transition" (k, k * lags),
        "state_intercept" (k, 1), "state_mean" (k, 1), "state_coef" (k, s), "obs_cov", "state_cov",
        "initial_state" (k * lags, 1), "initial_state_cov".
    structure : StateStructure
        The fixed part of the state equation. "transition" contains the rows of T that have noise.
    """

    layout: ParameterLayout
    structure: StateStructure

    @property
    def lags(self) -> int:
        """Number of lags, if the states are factors and their lags."""
        rows, columns = self.layout.blocks["transition"].shape
        return columns // rows

    @cached_property
    def k_states(self) -> int:
        """Number of states."""
        return self.layout.blocks["transition"].shape[1]

    def cycles(self) -> list[list[NamedUpdate]]:
        """Return the updates, grouped by the E-step that they share."""
        own = not self._shared_covariances
        main: list[tuple[str, Update, bool]] = [
            ("observation coefficients", self.observation_coefficients, self._free(*OBSERVATION)),
            ("state coefficients", self.state_coefficients, self._free(*STATE)),
            ("obs_cov and state_cov", self.shared_covariances, not own),
            ("obs_cov", self.obs_cov, own and self._free("obs_cov")),
            ("state_cov", self.state_cov, own and self._free("state_cov")),
            ("initial_state", self.initial_state, self._free("initial_state") and not self._newton_start),
            ("initial_state_cov", self.initial_state_cov, self._free("initial_state_cov")),
        ]
        cycles: list[list[NamedUpdate]] = [
            [("initial_state", self.initial_state_newton)] if self._newton_start else [],
            [(name, update) for name, update, used in main if used],
        ]
        return [cycle for cycle in cycles if cycle]

    def unsupported_reason(self) -> str | None:
        """Return why EM cannot estimate this specification, or None if it can."""
        blocks = self.layout.blocks
        covs = dict.fromkeys(OBSERVATION, "obs_cov") | dict.fromkeys(STATE, "state_cov")
        for key, cov in covs.items():
            if np.any(~_noisy_rows(blocks[cov])[blocks[key].rows] & _acts(blocks[key])):
                return f"{key} has free elements in a row where {cov} is fixed at zero, which EM cannot move"
        moving = next((key for key in STATE if blocks[key].moves), None)
        if moving is not None and (self._stationary or self._with_mean):
            why = "under a stationary start" if self._stationary else "beside a mean of the states"
            return f"{moving} has free elements that vary over time, {why}"
        return self._shared_by_equations()

    def _shared_by_equations(self) -> str | None:
        """Return a message if two updates share parameters, or None."""
        if self._shared_covariances and self._stationary:
            return "obs_cov and state_cov share parameters under a stationary start"
        groups = [self._names(*OBSERVATION), self._names(*STATE), self._names("initial_state")]
        shared = next((first & second for first, second in combinations(groups, 2) if first & second), None)
        if shared is not None:
            return f"parameters {sorted(shared)} are shared by two equations"
        if self._names("initial_state_cov") & (self._names("obs_cov") | self._names("state_cov")):
            return "initial_state_cov shares parameters with another covariance matrix"
        return None

    def _names(self, *keys: str) -> set[str]:
        return {name for key in keys for name in self.layout.blocks[key].names}

    def _free(self, *keys: str) -> bool:
        return any(not self.layout.blocks[key].is_fixed for key in keys)

    @property
    def _shared_covariances(self) -> bool:
        return bool(self._names("obs_cov") & self._names("state_cov"))

    @property
    def _newton_start(self) -> bool:
        """Whether a free element of a_1 has no variance, so that E[x_1|Y] is the element itself."""
        if not self._free("initial_state"):
            return False
        cov = self.layout.blocks["initial_state_cov"]
        random = np.diag(cov.fixed) > 0
        random[cov.rows[cov.rows == cov.columns]] = True
        return bool(np.any(~random[self.layout.blocks["initial_state"].rows]))

    # -- observation equation ------------------------------------------------------------------------

    def observation_coefficients(self, params: Array, moments: Moments) -> tuple[Array, Moments]:
        """Z, d, D: regression of y_t on (x_t, 1, exog_t)."""
        params, shifted = self._regressed(OBSERVATION, "obs_cov", params, moments.observation)
        return params, replace(moments, observation=shifted)

    def obs_cov(self, params: Array, moments: Moments) -> tuple[Array, Moments]:
        """H = E sum eps eps' / n, in its structure."""
        return update_covariance([self._term("obs_cov", moments.observation)], params), moments

    # -- state equation ------------------------------------------------------------------------------

    def state_coefficients(self, params: Array, moments: Moments) -> tuple[Array, Moments]:
        """
        A_1..A_L, c, G, mu: regression of x_{t+1} on (x_t, 1, state_exog_t).

        With a stationary start the distribution of x_1 depends on these parameters too. The step of the
        regression is then corrected by the gradient of that term, and halved until the expected
        log-likelihood rises and the transition is stable.
        """
        regression, k_states = moments.state, self.k_states
        if not self._stationary and not self._with_mean:
            params, shifted = self._regressed(STATE[:3], "state_cov", params, regression)
            return params, replace(moments, state=shifted)
        precision = self._precisions("state_cov", params, regression)
        base, term = self._state_matrix(params), self._stationary_term(moments)
        cov, initial, extra = self.layout.matrix("state_cov", params), 0.0, np.zeros_like(base)
        if term is not None:
            initial, (by_transition, by_intercept, _) = self._initial_term(term, base, cov)
            extra[:, :k_states], extra[:, k_states] = by_transition, by_intercept

        def objective(trial: Array) -> float:
            """Return the expected log-likelihood of the states, without its constant."""
            matrix = self._state_matrix(trial)
            value = -0.5 * float(np.vdot(precision, regression.shifted(matrix - base).ee))
            return value if term is None else value + term.value(*self._stationary_equation(matrix, cov))

        value = initial - 0.5 * float(np.vdot(precision, regression.ee))
        stacked = self._stacked(STATE[:3], regression)
        if self._with_mean:
            elements = [*self._elements(STATE[:3], regression), *self._mean_elements(params)]
            stacked = StackedCoefficients(elements, regression.eb.shape[1:], len(self.layout))
        eb = np.array(regression.eb)
        eb[0] += by_group(cov)[0] @ extra
        params, _ = halved(objective, params, stacked.step(replace(regression, eb=eb), precision), value)
        return params, replace(moments, state=regression.shifted(self._state_matrix(params) - base))

    def _initial_term(
        self, term: StationaryTerm, matrix: Array, cov: Array
    ) -> tuple[float, tuple[Array, Array, Array]]:
        """Return a stationary start's term, and its derivatives by the rows of A, c and Q."""
        value, gradient = term.value_and_gradient(*self._stationary_equation(matrix, cov))
        return value, self.structure.rows_of(*gradient)

    def state_cov(self, params: Array, moments: Moments) -> tuple[Array, Moments]:
        """Q = E sum eta eta' / (n - 1), in its structure; halved as above with a stationary start."""
        covariance = self._term("state_cov", moments.state)
        term = self._stationary_term(moments)
        if term is None:
            return update_covariance([covariance], params), moments

        matrix = self._state_matrix(params)
        initial, (_, _, extra) = self._initial_term(term, matrix, self.layout.matrix("state_cov", params))

        def objective(trial: Array) -> float:
            """Return the expected log-likelihood of the states, without its constant."""
            cov = self.layout.matrix("state_cov", trial)
            return covariance.objective(trial) + term.value(*self._stationary_equation(matrix, cov))

        # the additional gradient adds 2 Sigma extra Sigma to the sums, for which there may be a closed form
        (sigma,) = covariance.at(params)
        target = closed_form(covariance, params, 2.0 * (sigma @ extra @ sigma))
        step = scoring_step([covariance], params, [extra]) if target is None else target - params
        return halved(objective, params, step, covariance.objective(params) + initial)[0], moments

    def shared_covariances(self, params: Array, moments: Moments) -> tuple[Array, Moments]:
        """H and Q with parameters in common."""
        terms = [self._term("obs_cov", moments.observation), self._term("state_cov", moments.state)]
        return update_covariance(terms, params), moments

    # -- initial state -------------------------------------------------------------------------------

    def initial_state(self, params: Array, moments: Moments) -> tuple[Array, Moments]:
        """a_1 = E[x_1|Y], weighted by P_1 if elements are shared."""
        regression = self._initial_regression(params, moments)
        return self._regressed(("initial_state",), "initial_state_cov", params, regression)[0], moments

    def initial_state_cov(self, params: Array, moments: Moments) -> tuple[Array, Moments]:
        """P_1 = V_1 + (E[x_1|Y] - a_1)(.)', in its structure."""
        term = self._term("initial_state_cov", self._initial_regression(params, moments))
        return update_covariance([term], params), moments

    def initial_state_newton(self, params: Array, moments: Moments) -> tuple[Array, Moments]:
        """
        a_1 += (D' N_0 D)^+ D' r_0, the maximum of a likelihood that is quadratic in a_1.

        It is used if x_1 is an unknown constant (P_1 = 0), which a_1 = E[x_1|Y] never changes.
        """
        block, index = self.layout.blocks["initial_state"], self.layout.index["initial_state"]
        places = np.unique(index)
        jacobian = np.zeros((block.shape[0], len(places)))
        np.add.at(jacobian, (block.rows, np.searchsorted(places, index)), block.coefs)
        out = np.array(params)
        information = jacobian.T @ moments.initial_information @ jacobian
        out[places] += scaled_solve(information, jacobian.T @ moments.initial_score)
        return out, moments

    def _initial_regression(self, params: Array, moments: Moments) -> Regression:
        gap = (moments.initial_mean - self.layout.matrix("initial_state", params)[:, 0])[:, None]
        ee = moments.initial_cov + gap @ gap.T
        return Regression(ee[None], gap[None], np.ones((1, 1, 1)), np.ones(1))

    # -- information ---------------------------------------------------------------------------------

    def information(self, params: Array, moments: Moments) -> Array:
        """Return the diagonal of the complete-data information; zero where it is not known."""
        out = np.zeros(len(self.layout))
        for keys, cov, regression in (
            (OBSERVATION, "obs_cov", moments.observation),
            (STATE[:3], "state_cov", moments.state),
        ):
            precision = self._precisions(cov, params, regression)
            variances = np.diagonal(precision, axis1=1, axis2=2)
            stacked = self._stacked(keys, regression)
            squares = np.diagonal(regression.bb, axis1=1, axis2=2)
            weight = variances[:, stacked.rows] * squares[:, stacked.columns]
            out += np.bincount(stacked.index, _squared(stacked.coefs, weight), minlength=len(out))
            block, index = self._term(cov, regression).tangent(params)
            weight = regression.n[:, None] * variances[:, block.rows] * variances[:, block.columns]
            out += np.bincount(index, 0.5 * _squared(block.coefs, weight), minlength=len(out))
            if cov == "state_cov" and self._free("state_mean"):
                level = one_minus_sum(self._state_matrix(params)[:, : self.k_states])
                mean = self.layout.blocks["state_mean"]
                weight = np.einsum("g,gij->ij", regression.n, precision)
                weight = mean.coefs**2 * np.diag(level.T @ weight @ level)[mean.rows]
                out += np.bincount(self.layout.index["state_mean"], weights=weight, minlength=len(out))
        block = self.layout.blocks["initial_state"]
        weight = block.coefs**2 * np.diag(moments.initial_information)[block.rows]
        return out + np.bincount(self.layout.index["initial_state"], weights=weight, minlength=len(out))

    # -- shared pieces -------------------------------------------------------------------------------

    def _regressed(
        self, keys: tuple[str, ...], cov: str, params: Array, regression: Regression
    ) -> tuple[Array, Regression]:
        """Return the parameters at the generalised least squares of an equation, and its sums there."""
        stacked = self._stacked(keys, regression)
        precision = self._precisions(cov, params, regression) if stacked.weighted(regression) else None
        step = stacked.step(regression, precision)
        return params + step, regression.shifted(stacked.change(step))

    def _stacked(self, keys: tuple[str, ...], regression: Regression) -> StackedCoefficients:
        periods = b"" if regression.periods is None else regression.periods.tobytes()
        known = keys, regression.eb.shape[1:], periods
        if known not in self._stacks:
            elements = self._elements(keys, regression)
            self._stacks[known] = StackedCoefficients(elements, regression.eb.shape[1:], len(self.layout))
        return self._stacks[known]

    def _elements(self, keys: tuple[str, ...], regression: Regression) -> list[Elements]:
        """Return the elements of blocks that stand side by side: of the states, a constant, regressors."""
        blocks = [regression.of_groups(self.layout.blocks[key]) for key in keys]
        return [
            Elements(block.rows, block.columns + column, self.layout.index[key], block.coefs)
            for key, block, column in zip(keys, blocks, (0, self.k_states, self.k_states + 1), strict=False)
        ]

    @cached_property
    def _stacks(self) -> dict[tuple[tuple[str, ...], tuple[int, ...], bytes], StackedCoefficients]:
        return {}

    def _precisions(self, key: str, params: Array, regression: Regression) -> Array:
        """Return the inverse of a covariance matrix by group."""
        matrix = regression.of_groups(self.layout.blocks[key])
        return repeated(precisions(matrix.at(params[self.layout.index[key]])), len(regression.n))

    def _term(self, key: str, regression: Regression) -> CovarianceTerm:
        return CovarianceTerm(self.layout, key, regression)

    @property
    def _stationary(self) -> bool:
        return len(self.structure.stationary) > 0

    @cached_property
    def _with_mean(self) -> bool:
        """Whether the intercept has a part (I - sum A) mu."""
        return self._free("state_mean") or bool(np.any(self.layout.blocks["state_mean"].fixed))

    def _stationary_term(self, moments: Moments) -> StationaryTerm | None:
        if not self._stationary:
            return None
        keep = self.structure.stationary
        return StationaryTerm(moments.initial_mean[keep], moments.initial_cov[keep[:, None], keep])

    def _state_matrix(self, params: Array) -> Array:
        """[A_1..A_L | c + (I - sum A) mu | G], time-varying parts at their first period."""
        block, index = self._state_block
        out = block.at(params[index])
        if self._with_mean:
            mean = at_period(self.layout.matrix("state_mean", params))[:, 0]
            out[:, self.k_states] += one_minus_sum(out[:, : self.k_states]) @ mean
        return out

    @cached_property
    def _state_block(self) -> tuple[AffineMatrix, IntArray]:
        """[A_1..A_L | c | G] as one matrix, and the positions of its parameters."""
        block = side_by_side([self.layout.blocks[key].at_period(0) for key in STATE[:3]])
        return block, self.layout.positions(list(block.names))

    def _mean_elements(self, params: Array) -> list[Elements]:
        """Return the derivative of (I - sum A) mu, in the column of the intercept, by A and by mu."""
        index, transition = self.layout.index, self.layout.blocks["transition"]
        block, (k, k_states) = self.layout.blocks["state_mean"], transition.shape
        mean = self.layout.matrix("state_mean", params)[:, 0]
        by_A = -transition.coefs * mean[transition.columns % k]
        level = one_minus_sum(self._state_matrix(params)[:, :k_states])
        by_mean = (block.coefs * level[:, block.rows]).T.ravel()
        rows, places = np.tile(np.arange(k), len(block.rows)), np.repeat(index["state_mean"], k)
        return [
            Elements(transition.rows, np.full(by_A.size, k_states), index["transition"], by_A),
            Elements(rows, np.full(by_mean.size, k_states), places, by_mean),
        ]

    def _stationary_equation(self, matrix: Array, cov: Array) -> tuple[Array, Array, Array]:
        """Return `StateStructure.stationary_equation` of `_state_matrix` and Q."""
        transition = matrix[:, : self.k_states]
        intercept = matrix[:, self.k_states]
        return self.structure.stationary_equation(transition, intercept, cov)


def _noisy_rows(cov: AffineMatrix) -> NDArray[np.bool_]:
    """Tell which rows have a variance that is free or not zero, (rows, periods) or (rows, 1)."""
    out = np.atleast_2d(np.diagonal(cov.fixed)).T != 0
    np.logical_or.at(out, cov.rows, _acts(cov))
    return np.asarray(out)


def _acts(block: AffineMatrix) -> NDArray[np.bool_]:
    """Tell in which periods the elements of a block are free, (elements, periods) or (elements, 1)."""
    return (block.coefs if block.moves else block.coefs[:, None]) != 0


def _squared(coefs: Array, weight: Array) -> Array:
    """Return the sum over groups of squared coefficients times weights, (groups, elements)."""
    return np.asarray(np.einsum("ge,ge->e", np.broadcast_to(coefs.T**2, weight.shape), weight))
