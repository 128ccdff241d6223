"""The methods of `ATSM.fit`."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd
import scipy.optimize

from ..em.regressions import Moments, Regression, by_group, precisions, update_covariance
from ..em.updates import LinearGaussianUpdates, NamedUpdate
from ..engine.arguments import one_of
from ..engine.system import System
from ..engine.system_score import SystemScore
from ..exceptions import EstimationError, UnsupportedError
from ..fit.fit import INTERRUPTED, best_so_far, estimate
from ..fit.objective import FitResult, scale_from
from ..fit.problem import EstimationProblem, FitRequest, check_request
from ..fit.search import after, verdict_at
from ..fit.start_values import fill_missing
from ..numerics.linear_algebra import NOT_HERE, Array, gaussian_objective
from ..numerics.ornstein_uhlenbeck import continuous, discretise
from .dynamics import Values
from .maximal import DaiSingleton, Portfolios
from .normalisation import assembled, autoregressed, cross_section
from .panel import is_word

if TYPE_CHECKING:
    from .atsm import ATSM

OWN = ("mle", "two-step", "jsz")
METHODS = ("auto", *OWN, "em", "lbfgs", "bfgs", "newton", "cg", "nm", "powell")
_MAXITER_EM = 500
"""Maximum number of EM iterations. Each M-step is a search; EM is slow if measurement errors are small."""


def estimate_term_structure(model: ATSM, request: FitRequest) -> FitResult:
    """
    Run a fit by one of the methods.

    Raises
    ------
    SpecificationError, UnsupportedError
        If the method is unknown or does not support the model.
    """
    one_of(request.method, METHODS, "method")
    check_request(replace(request, method="auto") if request.method in OWN else request)
    if request.method == "em" and request.maxiter is None:
        request = replace(request, maxiter=_MAXITER_EM)
    problem = model.problem()
    try:
        out = _estimate(model, problem, request)
    except KeyboardInterrupt:
        out = best_so_far(problem, request)
    if problem.layout is not model.layout and len(problem.layout) < len(model.layout):
        return out  # with fixed parameters, factors cannot be reordered
    return replace(out, params=model.normalised(out.params))


def _estimate(model: ATSM, problem: EstimationProblem, request: FitRequest) -> FitResult:
    """Run a fit; the methods of the model differ in their starts."""
    method, start_params, first = request.method, request.start_params, None
    if start_params is None and method != "auto":
        start_params = concentrated_starts(model)[0] if method == "jsz" else model.start_params
    elif start_params is None and _has_twin(model):
        with suppress(np.linalg.LinAlgError):  # a singular state_cov of the portfolios has no such form
            return _by_portfolios(model, problem, request)
        start_params = model.start_params
    elif start_params is None:
        first = model.ranked_starts(problem)[0]
    if method == "two-step" and start_params is not None:
        return _two_step(problem, start_params, request)
    common = "auto" if method in OWN else method
    found = estimate(problem, replace(request, method=common, start_params=start_params), first)
    return replace(found, method=method)


def _has_twin(model: ATSM) -> bool:
    """Return whether a Dai-Singleton model is a rotation of a Joslin-Singleton-Zhu model."""
    free = is_word(model._given["p_dynamics"], "unrestricted") and model._given["risk_prices"] is None
    plain = not model._has_fixed_params and model.user_initialization is None
    return bool(model.norm.twin) and free and plain


def _by_portfolios(model: ATSM, problem: EstimationProblem, request: FitRequest) -> FitResult:
    """
    Fit the Dai-Singleton normalisation by fitting the model for portfolios and rotating the result.

    With latent factors the likelihood has long curved ridges; with portfolios it does not.
    """
    twin = model.clone(model.panel.endog, identification=model.norm.twin, portfolio_weights=None)
    found = estimate_term_structure(twin, request)
    start_params = rotated(model, twin, found.params)
    if found.status == INTERRUPTED:
        return replace(found, params=start_params)
    # from the maximum itself: zero variances of this start are not replaced
    request = replace(request, start_params=start_params, n_starts=1)
    out = estimate(problem, request, problem.reduced(start_params))
    reached = [out.llf if llf == max(found.starts) else llf for llf in found.starts]
    return replace(after(out, found), starts=reached, seconds=found.seconds + out.seconds)


def rotated(model: ATSM, twin: ATSM, params: Array) -> Array:
    """Return the parameters of a Dai-Singleton model at those of its twin, whose factors are portfolios."""
    at = twin.layout.matrices(params)
    both = twin.dynamics_at(at)
    values, turn, centre = cast(DaiSingleton, model.norm).form(both.pricing, both.cov)
    values["K_P"] = turn @ both.K_P @ np.linalg.inv(turn)
    values["kappa_P"] = (turn @ (both.kappa_P - both.K_P @ centre))[:, None]
    values["obs_cov"] = at["obs_cov"]
    values["initial_state"] = (turn @ (at["initial_state"][:, 0] - centre))[:, None]
    return np.asarray(model.layout.project(values, np.zeros(len(model.layout))))


def _two_step(problem: EstimationProblem, params: Array, request: FitRequest) -> FitResult:
    """Return least-squares estimates with their likelihood."""
    free = problem.reduced(params)
    llf, at = problem.value(free), verdict_at(problem, free)
    status = "least squares in two steps, not maximum likelihood"
    return FitResult(
        problem.full(free), llf, request.method, bool(np.isfinite(llf)), status, at.score_norm, at.gain,
        starts=[llf],
    )  # fmt: skip


_WALL = 1e10
_SAME = 0.01
"""Difference of the log-likelihood below which two searches have found the same maximum."""


def concentrated_starts(model: ATSM) -> list[Array]:
    """
    Return the full parameter vectors at maxima of the concentrated likelihood, the highest first.

    Raises
    ------
    UnsupportedError
        If the model does not have unrestricted P-dynamics and exact portfolios, or the data are incomplete or
        irregular.
    EstimationError
        If no continuous-time process has the estimated regression of the portfolios.
    """
    require_concentrated(model)
    objective = Concentrated(model)
    found: list[tuple[float, Array]] = []
    keys = [key for key in model.norm.blocks() if key != model.norm.drift]
    for candidate, _ in model.norm.starts(cross_section(model)):
        value, at = objective.maximum(np.concatenate([candidate[key].ravel() for key in keys]))
        if not any(abs(value - other) < _SAME for other, _ in found):
            found.append((value, np.asarray(model.layout.project(at, np.zeros(len(model.layout))))))
    return [params for _, params in sorted(found, key=lambda item: item[0])]


def warm_starts(model: ATSM) -> list[Array]:
    """
    Return start values from the maxima for portfolios without errors, given the first date.

    If the yields have errors, the maxima are computed from data with filled gaps and the error variances are
    added. The list is empty if the model has no macro factors and a different start, or if the likelihood
    cannot be concentrated.
    """
    conditional = model.initialization_kind == "conditional"
    if len(model.panel.horizons) or not (
        conditional or model.panel.macro_names and isinstance(model.norm, Portfolios)
    ):
        return []
    with suppress(EstimationError, UnsupportedError):
        return concentrated_starts(model) if conditional else _with_errors(model)
    return []


def _with_errors(model: ATSM) -> list[Array]:
    """Return the full parameter vectors with error variances, given a model of portfolios without errors."""
    data = fill_missing(model.endog)
    frame = pd.DataFrame(data, index=model.calendar.labels, columns=np.atleast_1d(model.endog_names))
    twin = model.clone(frame, obs_cov="exact-portfolios", initialization=None)
    m = model.panel.n_observed
    sample = replace(cross_section(model), yields=data[:, m:], macro=data[:, :m])
    keys, factors = (*model.norm.blocks(), "state_cov"), sample.yields @ twin.panel.weights.T
    found = map(twin.layout.matrices, concentrated_starts(twin))
    return [assembled(model, {key: at[key] for key in keys}, factors, sample) for at in found]


def require_concentrated(model: ATSM) -> None:
    """Raise if the likelihood of a model cannot be concentrated."""
    given = model._given
    faults = [
        (not isinstance(model.norm, Portfolios), "another identification", 'identification="jsz"'),
        (given["obs_cov"] != "exact-portfolios", "another obs_cov", 'obs_cov="exact-portfolios"'),
        (given["risk_prices"] is not None, "risk_prices", "none"),
        (not is_word(given["p_dynamics"], "unrestricted"), "another p_dynamics", "unrestricted P-dynamics"),
        (not is_word(given["state_cov"], "unstructured"), "another state_cov", 'state_cov="unstructured"'),
        (bool(model._has_fixed_params), "fixed parameters", "none"),
        (bool(np.isnan(_without_first(model)).any()), "missing yields", "complete data"),
        (model.panel.steps.ndim > 0, "irregular dates", "regular dates"),
        (len(model.panel.horizons) > 0, "surveys", "none"),
    ]
    for wrong, got, expected in faults:
        if wrong:
            raise UnsupportedError(
                'method="jsz" cannot estimate this model', got=got, expected=expected,
                remedy='Use method="auto".',
            )  # fmt: skip


def _without_first(model: ATSM) -> Array:
    """Return the data that enter the likelihood, without the first date if it is conditioned on."""
    return np.asarray(model.endog[1:] if model.initialization_kind == "conditional" else model.endog)


def known_states(model: ATSM) -> tuple[Array, Array]:
    """Return portfolios and macro factors of all dates, and the yields that enter the likelihood."""
    data, m = _without_first(model), model.panel.n_observed
    y = data[:, m:]
    states = np.column_stack([y @ model.panel.weights.T, data[:, :m]])
    if model.initialization_kind == "conditional":
        states = np.vstack([np.asarray(model.first_portfolios), states])
    return states, y


def score_given_first(model: ATSM, system: System) -> tuple[SystemScore, tuple[float, float]]:
    """
    Return score and log-likelihood for portfolios without errors and macro factors, given the first date.

    All states are observed, so the likelihood is that of a regression of states on lagged states and that of
    the errors. With N orthonormal and W N' = 0,

        llP = sum_{t>1} log N(x_t; c + T x_{t-1}, Q),    llQ = sum_{t>1} log N(N e_t; 0, s^2 I),

    and the log-likelihood of the yields is llP + llQ + (n - 1) log|W W'| / 2. The function returns both parts
    too.
    """
    x, y = known_states(model)
    W, (n, p), m = model.panel.weights, y.shape, model.panel.n_observed
    now, k, size = x[1:], len(W), x.shape[1]
    before = np.column_stack([x[:-1], np.ones(n)])
    moves = now - before @ np.column_stack([system.transition, system.state_intercept]).T
    ee, eb, bb = (each[None] for each in (moves.T @ moves, moves.T @ before, before.T @ before))
    sums = Regression(ee, eb, bb, np.full(1, n))
    llP, by_Q, by_T = gaussian(system.state_cov[None], sums)
    e = y - system.obs_intercept[m:] - now @ system.design[m:].T
    variance = float(np.trace(system.obs_cov)) / (p - k)
    llP -= 0.5 * n * size * np.log(2.0 * np.pi)
    llQ = -0.5 * (float(np.sum(e**2)) / variance + n * (p - k) * np.log(2.0 * np.pi * variance))
    by_H = 0.5 * (e.T @ e / variance**2 - n * np.eye(p) / variance)
    above = [(m, 0), (0, 0)]
    by = {
        "design": np.pad(e.T @ now / variance, above),
        "obs_intercept": np.pad(e.sum(axis=0)[:, None] / variance, above),
        "obs_cov": np.pad(by_H, (m, 0)),
        "transition": by_T[0, :, :size],
        "state_intercept": by_T[0, :, size:],
        "state_cov": by_Q[0],
    }
    llf = llP + llQ + 0.5 * n * np.linalg.slogdet(W @ W.T)[1]
    return SystemScore(float(llf), by), (llP, llQ)


class Concentrated:
    """
    Minus the concentrated likelihood of portfolios priced without error, by Q-roots and annual covariance.

    Given these arguments, all other parameters have a closed form (Joslin, Singleton & Zhu 2011). The
    P-dynamics are the regression of Z_{t+1} on Z_t, where Z contains the portfolios and macro factors. k_inf
    is a least-squares coefficient of the mean yields. The variance of the errors is the mean square of the
    residuals. The covariance of macro factors given portfolios is that of the regression. The objective

        -(n - 1)/2 [log|Omega| + tr(Omega^{-1} Omega_hat)] - m (p - k)/2 log(sum of squared errors)

    has k + k (k + 1)/2 parameters, where m is the number of dates whose errors enter. It is conditional on
    Z_1. In discrete time its maximum is that of the likelihood. In continuous time the maxima differ
    slightly: convexity depends on the annual covariance, the regression on the covariance of a step, and K_P
    enters the relation between them. A few steps on the likelihood then find its maximum.

    Parameters
    ----------
    model : ATSM
        A model that `require_concentrated` accepts.
    """

    def __init__(self, model: ATSM) -> None:
        panel, self.norm = model.panel, cast(Portfolios, model.norm)
        self.dt, self.period = float(panel.steps), panel.period
        self.obs_cov = model.layout.blocks["obs_cov"]
        states, self.y = known_states(model)
        self.P = states[-len(self.y) :, : panel.k_factors]
        self.cells = len(self.y) * (self.y.shape[1] - panel.k_factors)
        transition, intercept, self.omega = autoregressed(states)
        self.n = len(states) - 1
        try:
            self.K, self.kappa, cov = continuous(transition, intercept, self.omega, self.dt, self.period)
            self.chol = np.linalg.cholesky(cov)
        except NOT_HERE as error:
            raise EstimationError(
                "No continuous-time process has the estimated regression of the portfolios",
                got=error,
                remedy='Use method="auto", or time="discrete".',
            ) from error

    def maximum(self, roots: Array) -> tuple[float, Values]:
        """Minimise from given Q-roots; return the value and all blocks at the minimum."""
        k = len(roots)
        lower = np.tril_indices(k)
        scale = np.concatenate([0.1 + np.abs(roots), np.full(len(lower[0]), 0.1)])

        def _at(w: Array) -> tuple[Array, Array]:
            turn = np.eye(k)
            turn[lower] += scale[k:] * w[k:]
            own = self.chol[:k, :k] @ turn
            return roots + scale[:k] * w[:k], own @ own.T

        first = np.zeros(len(scale))
        fit = scipy.optimize.minimize(  # type: ignore[call-overload]
            lambda w: self(*_at(w)), first, method="BFGS", options={"gtol": 1e-4, "maxiter": 100}
        )
        at, squares = self._fitted(*_at(fit.x))
        at["obs_cov"] = self.obs_cov.values(dict.fromkeys(self.obs_cov.names, squares / self.cells))
        return float(fit.fun), {**at, "K_P": self.K, "kappa_P": self.kappa[:, None]}

    def _fitted(self, roots: Array, cov: Array) -> tuple[Values, float]:
        """Return the blocks that price bonds, and the sum of squared errors of the yields."""
        k, chol = len(cov), np.array(self.chol)
        chol[:k, :k] = np.linalg.cholesky(cov)
        # the regression of macro factors on portfolios is that of the data
        chol[k:, :k] = np.linalg.solve(self.chol[:k, :k].T, self.chol[k:, :k].T).T @ chol[:k, :k]
        at: Values = {**self.norm.from_roots(roots), "state_cov": chol @ chol.T}
        at[self.norm.drift] = self.norm.mean_fit(at, self.y, self.P)
        A, B = self.norm.yields_on_portfolios(at)
        return at, float(np.sum((self.y - A - self.P @ B.T) ** 2))

    def __call__(self, roots: Array, cov: Array) -> float:
        """Return the value, or a large constant where it does not exist."""
        try:
            at, squares = self._fitted(roots, cov)
            omega = discretise(self.K, self.kappa, at["state_cov"], self.dt, self.period).cov
            sign, logdet = np.linalg.slogdet(omega)
            trace = float(np.trace(np.linalg.solve(omega, self.omega)))
        except NOT_HERE:
            return _WALL
        value = 0.5 * self.n * (logdet + trace) + 0.5 * self.cells * np.log(squares)
        return float(value) if sign > 0 and np.isfinite(value) else _WALL


_ITERATIONS = 30
_STEP, _LEAST_SIZE = 1e-6, 1e-4


@dataclass(frozen=True)
class NumericalUpdates(LinearGaussianUpdates):
    """
    EM updates for system matrices that are arbitrary smooth functions of the parameters.

    obs_cov and an unknown first state have closed forms. A gradient method finds all other parameters. It
    starts at those of the E-step, and its result is kept only if it increases `ExpectedLoglike`, so that the
    log-likelihood cannot decrease.

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
        if not moving.any():
            return params, moments
        z = self.layout.unconstrain(params)
        least = np.maximum(np.abs(z), 1e-3)
        scale = scale_from(self.layout, params, self.information(params, moments), least)[moving]
        value, _ = expected.value_and_gradient(params)

        def _objective(w: Array) -> tuple[float, Array]:
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
            _objective, np.zeros(len(scale)), jac=True, method="L-BFGS-B", options=options
        )
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
        noise = set(self.layout.index["obs_cov"].tolist())
        for i, step in enumerate(_STEP * self._sizes(params)):
            at = np.array(params)
            at[i] += step
            with suppress(*NOT_HERE):
                ahead = expected.gradient_of_noise(at) if i in noise else expected.value_and_gradient(at)[1]
                out[i] = max((here[i] - ahead[i]) / step, 0.0)
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


class ExpectedLoglike:
    """
    The expected log-likelihood of the complete data, given the sums of an E-step.

    At new matrices it is a function of these sums,

        -1/2 [n log|H| + tr(H^{-1} E sum e e')] - 1/2 sum_g [n_g log|W_g| + tr(W_g^{-1} E sum u u')]
        -1/2 [log|P_1| + tr(P_1^{-1} E (x_1 - a_1)(x_1 - a_1)')],

    with the residuals e and u at the new coefficients. It needs no filter pass.

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

    def gradient_of_noise(self, params: Array) -> Array:
        """Return the gradient by parameters of obs_cov, if the other parameters are those of the E-step."""
        layout, sums = self.updates.layout, self.updates.of_yields(self.moments.observation)
        return layout.gradient({"obs_cov": gaussian(layout.matrix("obs_cov", params)[None], sums)[1][0]})

    def _initial(self, system: System) -> tuple[float, Array, Array]:
        """Return the term of the initial state, and its derivatives by a_1 and P_1."""
        k = system.k_states
        if system.initialization_type == "diffuse" or not np.any(system.initial_state_cov):
            return 0.0, np.zeros(k), np.zeros((k, k))
        gap = (self.moments.initial_mean - system.initial_state)[:, None]
        second = self.moments.initial_cov + gap @ gap.T
        initial = Regression(second[None], gap[None], np.ones((1, 1, 1)), np.ones(1))
        value, by_cov, by_mean = gaussian(system.initial_state_cov[None], initial)
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
