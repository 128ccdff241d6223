"""
Normalisations, which map parameter blocks to the Q-dynamics and the short rate.

The likelihood does not change under rotations of the factors, so a normalisation must rule these out. Each
class here names the factors, defines the blocks of its Q-parameters, maps them to `Pricing`, transforms
derivatives back, and finds start values: Q from the cross-section of yields, and P from a regression of the
implied factors. The model and the fit use only the interface of `Normalisation`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.optimize

from ..fit.start_values import fill_missing
from ..numerics.bond_pricing import loadings
from ..numerics.differences import central_differences, jacobian
from ..numerics.linear_algebra import NOT_HERE, Array, symmetrize
from ..numerics.ornstein_uhlenbeck import continuous
from ..params.affine import AffineMatrix, affine_matrix
from ..params.covariance import structure_of
from .dynamics import Pricing, Values, prices_of_risk, risk_neutral_to_physical

if TYPE_CHECKING:
    from .atsm import ATSM


_LEAST_ROOT, _LARGEST_ROOT = 0.02, 20.0
"""Bounds of the annual P-roots of start values."""
_LEAST_ERROR = 1e-5
_SURVEY = 0.1
"""Error share of the variance of a survey at the start of a search."""
_WEIGHT = 100.0
"""Weight of P-roots that are too small, relative to the distance of K_P from its target."""


_MEETING = (
    'Two Q-roots are equal, as where the likelihood rises towards complex ones: see identification="{}".'
)


Start = tuple[Mapping[str, Any], Array | None]
"""Blocks of the Q-parameters, and the corresponding factors (nobs, k)."""


@dataclass(frozen=True)
class CrossSection:
    """
    The data from which start values are computed.

    Attributes
    ----------
    yields : ndarray, (nobs, p)
        Yields, with gaps filled.
    maturities : ndarray, (p,)
        Maturities in years.
    factors : ndarray, (nobs, k), or None
        Observed factors.
    step : float
        Mean number of years between dates.
    weights : ndarray, (k, p)
        Portfolio weights of the user, or by default those of principal components of the yields.
    convexity : float
        Multiplier of Sigma Sigma' in the convexity term.
    macro : ndarray, (nobs, m)
        Macro factors, with gaps filled.
    period : float or None
        Length of a period of discrete time; None in continuous time.
    """

    yields: Array
    maturities: Array
    factors: Array | None
    step: float
    weights: Array
    convexity: float
    macro: Array
    period: float | None

    def loadings(self, q: Pricing, cov: Array) -> tuple[Array, Array]:
        """Return intercepts (p,) and slopes (p, k) of the yields, given Sigma Sigma'."""
        k, cov = len(q.K), cov * self.convexity
        return loadings(q.K, q.kappa, cov[:k, :k], q.delta_0, q.delta_1, self.maturities, self.period)

    def autoregression(self, X: Array) -> tuple[Array, Array, Array]:
        """Return K, kappa and cov from a VAR(1) of factors, with bounded roots."""
        transition, intercept, omega = autoregressed(X)
        scale, dt = np.sqrt(np.diag(omega)), self.step
        try:
            K, _, cov = continuous(transition, intercept, omega, dt, self.period)
            if np.min(np.linalg.eigvalsh(cov / scale[:, None] / scale * dt)) < 1e-3:
                cov = omega / dt
        except NOT_HERE:
            K, cov = (np.eye(len(scale)) - transition) / dt, omega / dt
        K = bounded_roots(K, self.period)
        return K, K @ X.mean(axis=0), symmetrize(cov)

    def regression(self) -> tuple[Array, Array]:
        """Return intercepts (p,) and slopes (p, k) of the yields on the observed factors."""
        design = np.column_stack([np.ones(len(self.yields)), np.asarray(self.factors)])
        coefficients = np.linalg.lstsq(design, self.yields, rcond=None)[0]
        return coefficients[0], coefficients[1:].T


def autoregressed(X: Array) -> tuple[Array, Array, Array]:
    """Return transition, intercept and covariance of the residuals of a VAR(1), by least squares."""
    before, after = np.column_stack([X[:-1], np.ones(len(X) - 1)]), X[1:]
    fit = np.linalg.lstsq(before, after, rcond=None)[0]
    residual = after - before @ fit
    return fit[:-1].T, fit[-1], residual.T @ residual / len(after)


def cross_section(model: ATSM) -> CrossSection:
    """Return the data from which the start values of a model are computed."""
    panel, m = model.panel, model.panel.n_observed
    y = model.endog if model.initialization_kind != "conditional" else model.endog[1:]
    return CrossSection(
        fill_missing(y[:, m:]), panel.maturities, y[:, : panel.n_seen] if panel.factor_names else None,
        float(np.mean(panel.steps)), panel.weights, model.convexity,
        fill_missing(y[:, : len(panel.macro_names)]), panel.period,
    )  # fmt: skip


def candidates(model: ATSM) -> list[Array]:
    """Return full start vectors, beginning with the best cross-sectional fit."""
    sample = cross_section(model)
    return [assembled(model, *start, sample) for start in model.norm.starts(sample)]


def least_squares_factors(y: Array, B: Array) -> Array:
    """Return the factors (nobs, k) that fit the yields best at each date."""
    return np.linalg.lstsq(B, y.T, rcond=None)[0].T


def bounded_roots(K: Array, period: float | None = None) -> Array:
    """Move the real parts of the eigenvalues of a matrix inside the bounds of start values."""
    eigenvalues, vectors = np.linalg.eig(K)
    largest = _LARGEST_ROOT if period is None else min(_LARGEST_ROOT, 1.0 / period)
    if np.all(eigenvalues.real > _LEAST_ROOT) and np.all(eigenvalues.real < largest):
        return K
    inside = np.clip(eigenvalues.real, _LEAST_ROOT, largest) + 1j * eigenvalues.imag
    return np.asarray(np.real(vectors @ np.diag(inside) @ np.linalg.inv(vectors)))


def assembled(
    model: ATSM, given: Mapping[str, Any], X: Array | None, sample: CrossSection, least: Array | None = None
) -> Array:
    """Return the full start vector: Q as given, P from the factors, and H from the residuals."""
    layout, y = model.layout, sample.yields
    values: Values = {key: np.asarray(value, dtype=float) for key, value in given.items()}
    if X is None:
        X = sample.factors
    if X is None:
        none = np.zeros((model.k_states, model.k_states))
        A, B = sample.loadings(model.norm.pricing({**values, "state_cov": none}), none)
        X = least_squares_factors(y - A, B)
    states = np.column_stack([X, sample.macro])
    K, _, cov = sample.autoregression(states)
    cov = in_structure(layout.blocks["state_cov"], values.get("state_cov", cov))
    values["state_cov"] = cov
    pricing = model.norm.pricing(values)
    values.update(physical(model, K, states.mean(axis=0), cov, pricing))
    A, B = sample.loadings(pricing, cov)
    errors = y - A - X @ B.T
    least = np.full(len(y.T), (_LEAST_ERROR * model.panel.scale) ** 2) if least is None else least
    variance = np.maximum(np.mean(errors**2, axis=0), least)
    values["obs_cov"] = in_structure(layout.blocks["obs_cov"], np.diag(variance))
    if "survey_cov" in layout.blocks:
        panel = model.panel
        seen = model.endog[:, panel.n_seen : panel.n_observed]
        values["survey_cov"] = np.diag(_SURVEY * np.nanvar(seen, axis=0) + (_LEAST_ERROR * panel.scale) ** 2)
    if not layout.blocks["initial_state"].is_fixed:
        values["initial_state"] = states[:1].T
    return np.asarray(layout.project(values, np.zeros(len(layout))))


def in_structure(block: AffineMatrix, target: Array) -> Array:
    """Return the covariance matrix with a given structure that is nearest to a target."""
    structure = structure_of(block)
    estimate = structure.estimate(target)
    if estimate is None:
        return np.where(block.free_elements, np.diag(np.diag(target)), block.fixed)
    return np.asarray(block.values(dict(zip(structure.param_names, estimate, strict=True))))


def physical(model: ATSM, K: Array, mean: Array, cov: Array, pricing: Pricing) -> Values:
    """Return the P-blocks under the restrictions of the layout."""
    blocks = model.layout.blocks
    if "K_P" in blocks:
        block = blocks["K_P"]
        free = block.free_elements
        K = np.where(free, K, block.fixed)
        if np.min(np.linalg.eigvals(K).real) < 0.5 * _LEAST_ROOT:  # the bound itself is rounded
            K = np.where(free, np.diag(np.maximum(np.diag(K), 2.0 * _LEAST_ROOT)), block.fixed)
        return {"K_P": K, "kappa_P": (K @ mean)[:, None]}
    k = len(pricing.K)
    lambda_1 = stable_prices(blocks["lambda_1"], pricing, cov, K, _LEAST_ROOT)
    K = np.concatenate([risk_neutral_to_physical(pricing, cov[:k, :k], np.zeros(k), lambda_1)[0], K[k:]])
    kappa = K @ mean
    out = {"lambda_0": prices_of_risk(pricing, cov, K, kappa)[0][:, None], "lambda_1": lambda_1}
    return {**out, "K_macro": K[k:], "kappa_macro": kappa[k:, None]} if len(K) > k else out


def stable_prices(block: AffineMatrix, pricing: Pricing, cov: Array, K: Array, least: float) -> Array:
    """
    Return restricted lambda_1 for which K_P = K_Q - Sigma lambda_1 is near K, and stable if possible.

    Parameters
    ----------
    block : AffineMatrix
        The block lambda_1 with its free and fixed elements.
    pricing : Pricing
        Q-dynamics.
    cov : ndarray, (n, n)
        Sigma Sigma'.
    K : ndarray, (n, n)
        Target of K_P. Its rows of macro factors are kept.
    least : float
        Smallest real part of a root.
    """
    k, names = len(pricing.K), list(block.param_names)
    own, zero = cov[:k, :k], np.zeros(k)

    def _prices(x: Array) -> Array:
        return block.values(dict(zip(names, x.tolist(), strict=True)))

    def _distance(x: Array) -> Array:
        away = np.zeros(K.shape)
        away[:k] = risk_neutral_to_physical(pricing, own, zero, _prices(x))[0] - K[:k]
        return away

    if not names:
        return _prices(np.zeros(0))
    zeros = np.zeros(len(names))
    slopes = jacobian(_distance, zeros, zeros + 1.0, order=1).reshape(-1, len(names))  # affine
    nearest = np.linalg.lstsq(slopes, -_distance(zeros).ravel(), rcond=None)[0]
    size = float(np.linalg.norm(K)) + least

    def _loss(x: Array) -> float:
        away = _distance(x)
        short = np.maximum(0.0, 2.0 * least - np.linalg.eigvals(away + K).real) / least
        return float(np.sum((away / size) ** 2) + _WEIGHT * np.sum(short**2))

    if np.min(np.linalg.eigvals(_distance(nearest) + K).real) >= 0.5 * least:  # the bound itself is rounded
        return _prices(nearest)
    scale = np.maximum(np.abs(nearest), 0.1 * size / np.sqrt(np.max(np.diag(cov))))
    simplex = nearest + np.vstack([zeros, 0.2 * np.diag(scale)])
    options: Any = {"maxiter": 4000, "maxfev": 4000, "initial_simplex": simplex, "xatol": 1e-8, "fatol": 1e-8}
    return _prices(scipy.optimize.minimize(_loss, nearest, method="Nelder-Mead", options=options).x)


_DECAYS = np.exp(np.linspace(np.log(0.08), np.log(4.0), 40))


class Normalisation:
    """
    Base class of normalisations, which identify the factors of an `ATSM`.

    Pass an instance of a subclass as ``identification=``. A subclass sets ``factors`` and defines `blocks`,
    `pricing` and `starts`. The other methods have defaults. Do not store data in an instance, because a model
    shares it with its clones and bootstrap samples.

    Attributes
    ----------
    factors : list of str
        Names of the factors.
    arbitrage_free : bool
        Whether yields include the convexity term and the model has prices of risk.
    latent : bool
        Whether the factors are always latent, so that ``factors=`` is not allowed.
    portfolios : bool
        Whether the factors are portfolios of the yields.
    scaled : bool
        Whether the size of the factors is a parameter of the short rate. A diffuse likelihood then has no
        maximum.

    Examples
    --------
    This normalisation defines a Vasicek model whose factor is the short rate:

    >>> import numpy as np, statespace_ext as sse
    >>> class Vasicek(sse.Normalisation):
    ...     factors = ["r"]
    ...
    ...     def blocks(self):
    ...         return {"reversion_Q": [[np.nan]], "drift_Q": [[np.nan]]}
    ...
    ...     def pricing(self, at):
    ...         return sse.Pricing(at["reversion_Q"], at["drift_Q"][:, 0], 0.0, np.ones(1))
    ...
    ...     def starts(self, sample):
    ...         mean = sample.yields.mean()
    ...         return [({"reversion_Q": [[k]], "drift_Q": [[k * mean]]}, None) for k in (0.05, 0.5)]
    >>> rng = np.random.default_rng(0)
    >>> level = 0.05 + 0.005 * rng.normal(size=100).cumsum()
    >>> yields = level[:, None] + 0.001 * rng.normal(size=(100, 4))
    >>> model = sse.ATSM(yields, [0.5, 2, 5, 10], k_factors=1, dt=1 / 12, identification=Vasicek())
    >>> model.param_names[:3]
    ['reversion_Q', 'drift_Q', 'K_P.r.r']
    """

    factors: list[str]
    arbitrage_free = True
    latent = False
    portfolios = False
    scaled = False
    drift = ""
    """The block that moves all mean yields, where it is free."""
    real = ""
    """The same normalisation with real roots, whose parameters by name a model takes too."""
    twin = ""
    """The same model with portfolios as factors, which a default fit estimates in its place."""
    beyond = ""
    """The same normalisation with complex roots, with which a fit goes on where `roots_meet`."""

    def __repr__(self) -> str:
        own = ", ".join(f"{key}={value!r}" for key, value in vars(self).items())
        return f"{type(self).__name__}({own})"

    def blocks(self) -> Mapping[str, Any]:
        """
        Return the two-dimensional blocks of the Q-parameters by name.

        A block is an array or nested list. A number is a fixed element. NaN is a free element, whose name
        consists of the block and the labels. A string is a linear expression in named parameters. A block
        "state_cov" sets Sigma Sigma'.
        """
        raise NotImplementedError

    def pricing(self, at: Values) -> Pricing:
        """Return the Q-dynamics and the short rate, given the values of all blocks (arrays by name)."""
        raise NotImplementedError

    def starts(self, sample: CrossSection) -> list[Start]:
        """
        Return start values, the best first, as pairs of Q-parameter blocks and the corresponding factors.

        Factors (nobs, k) may be None. They are then computed from the yields by least squares at each date.
        The start values of the other parameters follow from the factors.
        """
        raise NotImplementedError

    def vjp(self, at: Values, by: Pricing) -> Values:
        """
        Return derivatives by block, given those by `Pricing`.

        They include "state_cov" if `pricing` depends on it. The default uses differences of `pricing`. A
        subclass may define a formula.
        """
        out = {}
        for key in {**self.blocks(), "state_cov": None}:

            def _along(flat: Array, key: str = key) -> float:
                block = flat.reshape(at[key].shape)
                q = self.pricing({**at, key: symmetrize(block) if key == "state_cov" else block})
                return float(
                    np.sum(by.K * q.K) + by.kappa @ q.kappa + by.delta_0 * q.delta_0 + by.delta_1 @ q.delta_1
                )

            out[key] = central_differences(_along, at[key].ravel()).reshape(at[key].shape)
        return out

    def normalised(self, at: Values) -> Values:
        """Return all blocks of the equivalent model that has the standard order and signs."""
        return at

    def slopes(self, at: Values, sample: CrossSection) -> Array:
        """Return the slopes (p, k) of the yields on the factors, in any rotation."""
        return sample.loadings(self.pricing(at), np.zeros((len(self.factors),) * 2))[1]

    def derived(self, at: Values) -> dict[str, float]:
        """Return functions of the blocks that `summary` shows in addition to the parameters, by name."""
        return {}

    def remarks(self, at: Values) -> list[str]:
        """Return the lines of the summary about the values of all blocks."""
        return [_MEETING.format(self.beyond)] if self.roots_meet(at) else []

    def roots_meet(self, at: Values) -> bool:
        """Return whether real Q-roots are equal where complex ones may have a higher likelihood."""
        return False


def column(names: list[str]) -> AffineMatrix:
    """Return a block (n, 1) of free parameters."""
    return affine_matrix(np.zeros((len(names), 1)), [(i, 0, name, 1.0) for i, name in enumerate(names)])


class NelsonSiegel(Normalisation):
    """
    Level, slope and curvature: K_Q = [[0, 0, 0], [0, l, -l], [0, 0, l]], kappa_Q = 0, r = level + slope.

    With the yield adjustment for convexity the model is arbitrage-free (Christensen, Diebold & Rudebusch
    2011). Without it this is the dynamic Nelson-Siegel model (Diebold & Li 2006), which has no prices of
    risk.
    """

    factors = ["level", "slope", "curvature"]
    _UNIT = np.array([[0.0, 0.0, 0.0], [0.0, 1.0, -1.0], [0.0, 0.0, 1.0]])

    def __init__(self, arbitrage_free: bool) -> None:
        self.arbitrage_free = arbitrage_free

    def blocks(self) -> dict[str, AffineMatrix]:
        """Return the block of the decay rate."""
        return {"decay": column(["decay"])}

    def pricing(self, at: Values) -> Pricing:
        """Return the Q-dynamics."""
        return Pricing(at["decay"][0, 0] * self._UNIT, np.zeros(3), 0.0, np.array([1.0, 1.0, 0.0]))

    def vjp(self, at: Values, by: Pricing) -> Values:
        """Return the derivative by the decay rate."""
        return {"decay": np.array([[np.sum(by.K * self._UNIT)]])}

    def starts(self, sample: CrossSection) -> list[Start]:
        """Return the decay rates at local minima of the least-squares criterion, the best first."""
        y, observed = sample.yields, sample.factors is not None
        regressed = sample.regression()[1] if observed else None

        def _error(log_decay: float) -> float:
            B = self.slopes({"decay": np.array([[np.exp(log_decay)]])}, sample)
            away = B - regressed if observed else y - least_squares_factors(y, B) @ B.T
            return float(np.sum(away**2))

        grid = np.log(_DECAYS)
        values = np.array([_error(at) for at in grid])
        inner = [i for i in range(1, len(grid) - 1) if values[i] <= min(values[i - 1], values[i + 1])]
        places = sorted(inner or [int(np.argmin(values[1:-1])) + 1], key=lambda i: values[i])
        out: list[Start] = []
        for i in places:
            bounds = grid[i - 1], grid[i + 1]
            found = scipy.optimize.minimize_scalar(_error, bounds=bounds, method="bounded").x
            out.append(({"decay": np.array([[float(np.exp(found))]])}, None))
        return out


class Direct(Normalisation):
    """Base class of normalisations whose parameters are elements of K_Q, kappa_Q, delta_0 and delta_1."""

    def __init__(self, factors: list[str]) -> None:
        self.factors = factors

    def blocks(self) -> dict[str, AffineMatrix]:
        """Return the blocks of K_Q, kappa_Q, delta_0 and delta_1."""
        k, names = len(self.factors), self.factors
        every = [(i, j, f"K_Q.{names[i]}.{names[j]}", 1.0) for i in range(k) for j in range(k)]
        return {
            "K_Q": affine_matrix(np.zeros((k, k)), every),
            "kappa_Q": column([f"kappa_Q.{name}" for name in names]),
            "delta_0": column(["delta_0"]),
            "delta_1": column([f"delta_1.{name}" for name in names]),
        }

    def pricing(self, at: Values) -> Pricing:
        """Return the Q-dynamics."""
        return Pricing(at["K_Q"], at["kappa_Q"][:, 0], at["delta_0"][0, 0], at["delta_1"][:, 0])

    def vjp(self, at: Values, by: Pricing) -> Values:
        """Return the derivatives by K_Q, kappa_Q, delta_0 and delta_1."""
        return {
            "K_Q": by.K,
            "kappa_Q": by.kappa[:, None],
            "delta_0": np.array([[by.delta_0]]),
            "delta_1": by.delta_1[:, None],
        }


class Observed(Direct):
    """Observed factors, which cannot be rotated, so that K_Q, kappa_Q, delta_0 and delta_1 are free."""

    def starts(self, sample: CrossSection) -> list[Start]:
        """Return start values from a regression of the yields on the factors and a fit of its slopes."""
        X, k = np.asarray(sample.factors), len(self.factors)
        A, B = sample.regression()
        K, size, zero = sample.autoregression(X)[0], np.std(X, axis=0), np.zeros((k, k))

        def _priced(z: Array, kappa: Array) -> tuple[Array, Array]:
            return sample.loadings(Pricing(z[: k * k].reshape(k, k), kappa, 0.0, z[k * k :]), zero)

        def _errors(z: Array) -> Array:
            away = (_priced(z, zero[0])[1] - B) * size
            return np.nan_to_num(away, nan=1e3, posinf=1e3, neginf=-1e3).ravel()

        first = np.concatenate([K.ravel(), B[np.argmin(sample.maturities)]])
        z = scipy.optimize.least_squares(_errors, first, x_scale=np.abs(first) + 0.05, max_nfev=200).x
        design = np.column_stack([np.ones(len(A)), *(_priced(z, unit)[0] for unit in np.eye(k))])
        solved = np.linalg.lstsq(design, A, rcond=None)[0][:, None]
        blocks = {"K_Q": z[: k * k].reshape(k, k), "delta_1": z[k * k :, None]}
        return [({**blocks, "kappa_Q": solved[1:], "delta_0": solved[:1]}, None)]
