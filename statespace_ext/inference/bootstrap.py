"""Bootstrap of the estimates: samples, standard errors, bias, confidence intervals and AICb."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from ..display import Displayed
from ..engine.arguments import names_among, one_of, probability, whole_number
from ..engine.system import MATRICES
from ..exceptions import DataError, SpecificationError, UnsupportedError
from ..numerics.incomplete_rows import at
from ..numerics.linear_algebra import Array, quiet, rotate_system
from ..plots import BAND, CONSTANT, LINE, Size, entries, legend_above, panel_grid
from .many import (
    FAILURES,
    Failure,
    attempt,
    data_of,
    model_of,
    model_on,
    report_failures,
    run_simulations,
    spawn,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MEANS = ("obs_intercept", "design", "state_intercept", "transition")
_COVARIANCES = ("obs_cov", "state_cov")


def diffuse_states(model: Any) -> np.ndarray:
    """Return which states have a diffuse start, exactly or approximately."""
    user, vague = model.user_initialization, ("diffuse", "approximate_diffuse")
    if user is None and hasattr(model, "starts"):
        return np.isin(model.starts, vague)
    if model.current_initialization == "custom":
        return np.diag(user(model=model.ssm)[1]) > 0
    out = np.full(model.k_states, model.current_initialization in vague)
    if user is None and hasattr(model, "structure"):
        out[model.structure.stationary] = False
    return out


class Parametric:
    """
    Samples simulated from the model at a parameter vector, with the missing values of the data.

    The likelihood does not depend on a diffuse initial state, and hardly on an approximately diffuse one.
    Samples start from its smoothed value.

    Parameters
    ----------
    model : StateSpaceModel
        The model.
    params : ndarray
        A full parameter vector.
    """

    def __init__(self, model: Any, params: Array) -> None:
        self.like = data_of(model)
        with model.preserved(), quiet():
            model.update(params, transformed=True, includes_fixed=True)
            self.at = {name: np.array(getattr(model.ssm, name)) for name in MATRICES}
            mean, _, cov = (np.array(part) for part in model.ssm.initialization(model=model.ssm))
            unknown = diffuse_states(model)
            if unknown.any():
                res = model.smooth(params, includes_fixed=True, cov_type="none")
                mean, cov = (
                    np.where(unknown, res.smoothed_state[:, 0], mean),
                    np.where(unknown[:, None] | unknown, 0.0, cov),
                )
        self.mean, self.spread = mean, symmetric_square_root(cov[:, :, None])[:, :, 0]
        self.obs_factor, self.state_factor = (symmetric_square_root(self.at[key]) for key in _COVARIANCES)

    def draw(self, rng: np.random.Generator) -> Array:
        """Return a sample."""
        return self.path(rng)[0]

    def path(self, rng: np.random.Generator) -> tuple[Array, Array]:
        """Return a sample (n, p) and its states (n, k)."""
        n, p = self.like.shape
        state = self.mean + self.spread @ rng.standard_normal(len(self.mean))
        out, states = np.empty((n, p)), np.empty((n, len(state)))
        for t in range(n):
            states[t] = state
            d, Z, c, T, R = (at(self.at[key], t) for key in (*_MEANS, "selection"))
            H, Q = at(self.obs_factor, t), at(self.state_factor, t)
            out[t] = d + Z @ state + H @ rng.standard_normal(p)
            state = c + T @ state + R @ (Q @ rng.standard_normal(len(Q)))
        return np.where(np.isnan(self.like), np.nan, out), states


class Innovations:
    """
    The bootstrap of Stoffer & Wall (1991), which resamples standardised forecast errors with replacement.

        e_t = F_t^{-1/2} (y_t - d_t - Z_t a_t),   centred;   e*_t drawn from e_1..e_n
        y*_t = d_t + Z_t a*_t + F_t^{1/2} e*_t,   a*_{t+1} = c_t + T_t a*_t + K_t F_t^{1/2} e*_t,   a*_1 = a_1

    Parameters
    ----------
    model : StateSpaceModel
        The model.
    params : ndarray
        A full parameter vector.

    Raises
    ------
    DataError
        If data are missing.
    SpecificationError
        If the initial state is diffuse. The first forecast errors then have infinite variance.
    """

    def __init__(self, model: Any, params: Array) -> None:
        y = np.asarray(model.endog)
        if np.isnan(y).any():
            raise DataError(
                "The innovations bootstrap needs complete data",
                got=f"{int(np.isnan(y).sum())} missing values",
                remedy='Use method="parametric".',
            )
        if diffuse_states(model).any():
            raise SpecificationError(
                "The innovations bootstrap needs a proper distribution of the first state",
                got="a diffuse start",
                remedy='Use method="parametric".',
            )
        with model.preserved(), quiet():
            model.update(params, transformed=True, includes_fixed=True)
            self.at = {name: np.array(getattr(model.ssm, name)) for name in MATRICES}
            found = model.ssm.filter()
        self.start = np.array(found.predicted_state[:, 0])
        self.gain = np.array(found.kalman_gain)
        self.square_roots = symmetric_square_root(found.forecasts_error_cov)
        errors = np.array(
            [np.linalg.pinv(self.square_roots[:, :, t]) @ found.forecasts_error[:, t] for t in range(len(y))]
        )
        self.errors = errors - errors.mean(axis=0)

    def draw(self, rng: np.random.Generator) -> Array:
        """Return a sample."""
        return self.rebuilt(self.errors[rng.integers(0, len(self.errors), size=len(self.errors))])

    def rebuilt(self, errors: Array) -> Array:
        """Return the sample with given standardised errors."""
        state, out = self.start, np.empty_like(errors)
        for t, e in enumerate(errors):
            v = self.square_roots[:, :, t] @ e
            d, Z, c, T = (at(self.at[key], t) for key in _MEANS)
            out[t] = d + Z @ state + v
            state = c + T @ state + self.gain[:, :, t] @ v
        return out


def symmetric_square_root(covs: Array) -> Array:
    """Return the symmetric square roots of covariance matrices (p, p, n), which may be singular."""
    values, vectors = np.linalg.eigh(np.moveaxis(covs, 2, 0))
    half = vectors * np.sqrt(np.clip(values, 0.0, None))[:, None, :]
    return np.moveaxis(half @ np.swapaxes(vectors, 1, 2), 0, 2)


_METHODS: dict[str, type[Parametric | Innovations]] = {"parametric": Parametric, "innovations": Innovations}
_FEWEST = 2
_MOST_PANELS = 12
_TINY = 1e-300


@dataclass(frozen=True, repr=False)
class Bootstrap(Displayed):
    """
    Estimates from samples of the fitted model.

    Attributes
    ----------
    params : DataFrame
        One row per sample, with factors aligned to the estimates. A row is NaN if the fit failed.
    estimates : Series
        The estimates.
    llf : float
        Log-likelihood of the data at the estimates.
    llf_at_data : ndarray
        Log-likelihood of the data at each row of ``params``.
    boundary : list of str
        Parameters at a boundary, at the estimates or in any sample. Their distribution is not normal, and
        they have percentile intervals.
    failures : dict of int to str
        The error message of each failed sample.
    method : str
        "parametric" or "innovations".
    """

    params: pd.DataFrame
    estimates: pd.Series
    llf: float
    llf_at_data: Array
    boundary: list[str]
    failures: dict[int, str]
    method: str

    @property
    def bse(self) -> pd.Series:
        """The standard deviations of the estimates over the samples."""
        return self.params.std(ddof=1)

    @property
    def bias(self) -> pd.Series:
        """The mean over the samples minus the estimates."""
        return self.params.mean() - self.estimates

    @property
    def aicb(self) -> float:
        """
        AICb of Cavanaugh & Shumway (1997), which estimates the penalty 2k of AIC.

        -2 log L(params | Y) + 2 mean_b [-2 log L(params*_b | Y) / L(params | Y)]
        """
        return float(-2.0 * self.llf + 2.0 * np.nanmean(-2.0 * (self.llf_at_data - self.llf)))

    def conf_int(self, alpha: float = 0.05, method: str = "basic") -> pd.DataFrame:
        """
        Return confidence intervals with coverage 1 - alpha.

        Parameters
        ----------
        alpha : float
            One minus the coverage probability.
        method : {"basic", "percentile"}
            "basic" intervals are twice the estimate minus the quantiles. "percentile" intervals are the
            quantiles. Parameters at a boundary always have percentile intervals.

        Returns
        -------
        DataFrame
            Columns "lower", "upper" and "at_boundary".
        """
        one_of(method, ("basic", "percentile"), "method")
        alpha = probability(alpha, "alpha")
        low, high = (self.params.quantile(q) for q in (alpha / 2.0, 1.0 - alpha / 2.0))
        edge = pd.Series(self.params.columns.isin(self.boundary), index=self.params.columns)
        plain = edge | (method == "percentile")
        lower = low.where(plain, 2.0 * self.estimates - high)
        upper = high.where(plain, 2.0 * self.estimates - low)
        return pd.DataFrame({"lower": lower, "upper": upper, "at_boundary": edge})

    def summary(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return a table of estimates, bias, standard errors and confidence intervals."""
        table = pd.DataFrame({"estimate": self.estimates, "bias": self.bias, "se": self.bse})
        return table.join(self.conf_int(alpha))

    def to_arviz(self) -> Any:
        """
        Return the estimates of the samples as data of ArviZ, for its plots and summaries.

        Returns
        -------
        DataTree
            The group "bootstrap" has a variable for each parameter, with the dimensions "chain" (of one) and
            "draw". Samples whose fit failed are left out; "draw" has the numbers of the others.

        Raises
        ------
        UnsupportedError
            If ArviZ is not installed.
        """
        try:
            from arviz_base import from_dict
        except ImportError as error:
            raise UnsupportedError(
                "`to_arviz` needs ArviZ, which is not installed",
                remedy='Install it: pip install "statespace-ext[arviz]".',
            ) from error
        draws = self.params.dropna()
        return from_dict(
            {"bootstrap": {str(name): values.to_numpy()[None] for name, values in draws.items()}},
            sample_dims=["chain", "draw"],
            coords={"draw": draws.index.to_numpy()},
            attrs={"bootstrap": {"method": self.method, "failed": len(self.failures)}},
        )

    def plot(
        self,
        params: str | Sequence[str] | None = None,
        fig: Figure | None = None,
        figsize: Size | None = None,
        *,
        alpha: float = 0.05,
        method: str = "basic",
    ) -> Figure:
        """
        Plot histograms of the estimates over the samples, with the estimate and its interval.

        Parameters
        ----------
        params : str or sequence of str, optional
            Names of the parameters. By default the first twelve.
        fig : matplotlib.figure.Figure, optional
            Figure to draw in.
        figsize : (float, float), optional
            Size of a new figure.
        alpha, method : optional
            As in `conf_int`.

        Returns
        -------
        matplotlib.figure.Figure
        """
        everything = list(self.params.columns)
        names = everything[:_MOST_PANELS] if params is None else names_among(params, everything, "params")
        intervals = self.conf_int(alpha, method)[["lower", "upper"]]
        fig, axes = panel_grid(fig, figsize, len(names), (2.9, 2.1), most=4)
        for axis, name in zip(axes.ravel(), names, strict=False):
            values = self.params[name].dropna().to_numpy()
            bins = min(40, max(8, int(2 * len(values) ** (1 / 3))))
            axis.hist(values, bins=bins, color=BAND, alpha=0.6, label="estimates from samples")
            axis.axvline(self.estimates[name], color=LINE, linewidth=1.4, label="estimate from the data")
            for i, end in enumerate(intervals.loc[name]):
                label = "_nolegend_" if i else f"{100 * (1 - alpha):g} % interval"
                axis.axvline(end, color=CONSTANT, linewidth=1.0, linestyle="--", label=label)
            axis.set_title(str(name), fontsize="small", loc="left")
            axis.set_yticks([])
            axis.tick_params(labelsize="small")
            axis.spines[["top", "right", "left"]].set_visible(False)
        legend_above(fig, *entries(axes), 3 if len(names) > 1 else 1)
        return fig


def bootstrap(
    res: Any, n_boot: int = 199, method: str = "parametric", rng: object = None, n_jobs: int | None = None
) -> Bootstrap:
    """
    Simulate samples from the fitted model, and fit the model to each sample.

    Parameters
    ----------
    n_boot : int
        Number of samples.
    method : {"parametric", "innovations"}
        "parametric" simulates normal samples with the missing values of the data. "innovations" resamples
        standardised forecast errors with replacement (Stoffer & Wall 1991). It needs complete data and an
        initial state that is not diffuse.
    rng : numpy.random.Generator or int, optional
        Random number generator or seed. The samples do not depend on the number of processes.
    n_jobs : int, optional
        As in `fit_many`.

    Returns
    -------
    Bootstrap

    Raises
    ------
    SpecificationError, DataError
        If the method is unknown, or is not valid for the model or the data.
    EstimationError
        If fewer than two fits succeed. Otherwise a warning reports the number of failed fits.

    Notes
    -----
    If rotations, permutations or sign changes of factors leave the likelihood unchanged, the factors of each
    sample are first rotated towards those of the estimates.
    """
    one_of(method, _METHODS, "method")
    n_boot = whole_number(n_boot, "n_boot", _FEWEST)
    res = getattr(res, "_results", res)
    model, params = model_of(res), np.asarray(res.params, dtype=float)
    sampler = _METHODS[method](model, params)
    one = partial(attempt, partial(_refitted, model, sampler, params, res._fixed))
    found = run_simulations(one, spawn(rng, n_boot), n_jobs)
    failures = {i: outcome for i, outcome in enumerate(found) if isinstance(outcome, Failure)}
    report_failures(list(failures.values()), n_boot, "fits to samples")
    names = list(model.param_names)
    nothing: _Refitted = (np.full(len(names), np.nan), np.nan, [])
    rows = [nothing if isinstance(outcome, Failure) else outcome for outcome in found]
    estimates, llf_at_data, edges = zip(*rows, strict=True)
    boundary = set(res.boundary).union(*edges)
    return Bootstrap(
        pd.DataFrame(estimates, columns=names),
        pd.Series(params, index=names),
        float(model.loglike(params, includes_fixed=True)),
        np.array(llf_at_data),
        [name for name in names if name in boundary],
        {i: str(failure) for i, failure in failures.items()},
        method,
    )


_Refitted = tuple[Array, float, list[str]]
"""The aligned estimates of one sample, their likelihood for the data, and the parameters at boundaries."""


def _refitted(
    model: Any,
    sampler: Parametric | Innovations,
    params: Array,
    fixed: dict[str, float],
    rng: np.random.Generator,
) -> _Refitted:
    """Fit the model to a sample."""
    clone = model_on(model, sampler.draw(rng))
    with warnings.catch_warnings(), clone.fix_params(fixed) if fixed else nullcontext():
        warnings.simplefilter("ignore")
        res = clone.fit(params, includes_fixed=True, method="lbfgs", cov_type="none")
        found, edge = np.asarray(res.params, dtype=float), list(res.boundary)
    found = aligned(clone, found, params)
    return found, float(model.loglike(found, includes_fixed=True)), edge


def aligned(model: Any, params: Array, target: Array) -> Array:
    """
    Rotate the factors so that the loadings are closest to a target, and return the parameters.

    The candidates are a nonsingular matrix, an orthogonal matrix, a permutation with signs, and signs. The
    first candidate that keeps the restrictions and the log-likelihood of the model is used. Without such a
    candidate, or if matrices vary over time, the parameters are returned unchanged.
    """
    needed = {"design", "transition", "state_cov", "state_intercept"}
    layout = model.layout
    movable = needed <= set(layout.blocks) and not layout.blocks["design"].is_fixed
    if not movable or any(layout.blocks[key].time_varying for key in needed):
        return params
    at = layout.matrices(params)
    before = model.loglike(params, includes_fixed=True)
    turning = {key: at[key] for key in (*needed, "state_mean") if key in at}
    for G in _rotations(at["design"], layout.matrix("design", target)):
        try:
            found = model.params_from_matrices({**at, **rotate_system(turning, G, model.lags)})
            after = model.loglike(found, includes_fixed=True)
        except FAILURES:
            continue
        if abs(after - before) <= 1e-8 * (1.0 + abs(before)):
            return found
    return params


def _rotations(loadings: Array, goal: Array) -> Iterator[Array]:
    """Yield matrices that bring the loadings closest to a goal, from the most general to the least."""
    left, _, right = np.linalg.svd(loadings.T @ goal)
    signs = np.diag(np.where(np.sum(loadings * goal, axis=0) < 0, -1.0, 1.0))
    likeness = loadings.T @ goal / np.maximum(np.linalg.norm(loadings, axis=0)[:, None], _TINY)
    old, new = linear_sum_assignment(-np.abs(likeness))
    exchange = np.zeros_like(signs)
    exchange[old, new] = np.where(likeness[old, new] < 0, -1.0, 1.0)
    for G in (np.linalg.lstsq(loadings, goal, rcond=None)[0], left @ right, exchange, signs):
        if np.linalg.matrix_rank(G) == len(G):
            yield G
