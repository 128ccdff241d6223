"""The subjects of the walk through every public name: a small model of every class, a plain one beside it."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import statsmodels.api as sm
from statsmodels.tsa.statespace.mlemodel import MLEModel

import statespace_ext as sse
from statespace_ext.engine.compat import without_absolute_tolerances
from statespace_ext.engine.system import write

N, H = 24, 4
INDEX = pd.period_range("2001-01", periods=N + H, freq="M")
_PLAIN_ROUNDING = 64.0
"""Factor of the bound on the rounding of a plain smoother, which counts one operation of many."""
_APPROXIMATE = 1e5
"""Variance from which a first state is approximately diffuse."""


def docs_model() -> type:
    """Return the model of docs/add_a_model.md."""
    page = (Path(__file__).parents[1] / "docs" / "add_a_model.md").read_text()
    space: dict[str, Any] = {"__name__": __name__}
    exec(re.search(r"```python\n(import numpy.*?)```", page, re.S)[1], space)  # type: ignore[index]
    return space["SmoothTrends"]


SmoothTrends = docs_model()


class MixedSARIMAX(sse.ExactScoreMixin, sm.tsa.SARIMAX):
    pass


class MixedTrend(sse.ExactScoreMixin, sm.tsa.UnobservedComponents):
    pass


class Plain(MLEModel):
    """A plain `MLEModel` whose matrices are those of a model of the package."""

    def __init__(self, source: Any) -> None:
        self.source = source
        data = source.data
        super().__init__(data.orig_endog, source.k_states, exog=data.orig_exog, k_posdef=source.ssm.k_posdef)
        without_absolute_tolerances(self.ssm)

    param_names = property(lambda self: self.source.param_names)
    state_names = property(lambda self: self.source.state_names)
    start_params = property(lambda self: self.source.start_params)

    def update(self, params: Any, **kwargs: Any) -> Any:
        params = super().update(params, **kwargs)
        kept = self.ssm.initialization is not getattr(self, "_start", None)
        write(self.ssm, self.source.system(np.asarray(params)), start=not kept)
        if not kept:
            self._start = self.ssm.initialization
        return params

    def smooth(self, params: Any, *args: Any, cov_type: str = "none", **kwargs: Any) -> Any:
        return super().smooth(params, *args, cov_type=cov_type, **kwargs)

    def filter(self, params: Any, *args: Any, cov_type: str = "none", **kwargs: Any) -> Any:
        return super().filter(params, *args, cov_type=cov_type, **kwargs)

    def clone(self, endog: Any, exog: Any = None, **kwargs: Any) -> Plain:
        return Plain(self.source.clone(endog, **({} if exog is None else {"exog": exog}), **kwargs))

    def _get_extension_time_varying_matrices(self, *args: Any, **kwargs: Any) -> Any:
        return self.source._get_extension_time_varying_matrices(*args, **kwargs)


@dataclass(frozen=True)
class Subject:
    name: str
    build: Callable[[pd.DataFrame, Any], Any]
    beside: Callable[[pd.DataFrame, Any], Any]
    y: Any
    x: pd.DataFrame | None = None
    fit: tuple[tuple[str, Any], ...] = (("maxiter", 1),)

    def model(self, plain: bool = False, periods: int = N) -> Any:
        make = self.beside if plain else self.build
        return make(self.y.iloc[:periods], None if self.x is None else self.x.iloc[:periods])

    @cached_property
    def params(self) -> np.ndarray:
        """Return parameters near the default start values, whatever these are."""
        return self._moved(0.05)

    @cached_property
    def other(self) -> np.ndarray:
        return self._moved(-0.2)

    @cached_property
    def rounding(self) -> float:
        """
        Return the relative error that rounding leaves in smoothed covariances of the plain model.

        Its smoother subtracts P N P from P. After an exact-diffuse start whose first rows nearly repeat P is
        large, so that eps |P|^2 |N| is not small beside what is left. Ours has no such difference. Against 50
        digits, the error of the plain model was up to 57 times eps |P|^2 |N|, and that of ours 3e-16.
        """
        with quietly():
            longer = self.model(plain=True).clone(self.longer(), **self.longer_regressors())
            res = longer.smooth(self.params).smoother_results
        if not res.nobs_diffuse:
            return 0.0
        P, N, V = (
            np.abs(value).max(axis=(0, 1))
            for value in (
                res.predicted_state_cov[..., :-1],
                res.scaled_smoothed_estimator_cov,
                res.smoothed_state_cov,
            )
        )
        return float(_PLAIN_ROUNDING * np.finfo(float).eps * np.max(P**2 * N) / np.max(V))

    @cached_property
    def wrong_in_plain(self) -> set[str]:
        """
        Return names whose answers are wrong in statsmodels for the start of this model.

        Its draws are wrong after a variance of zero (tests/engine/test_draws.py). Its steps for derivatives
        by period lose digits if the first state has a large variance (tests/engine/test_arguments.py).
        """
        model = self.model()
        with quietly():
            ssm = model.smooth(self.params, cov_type="none").model.ssm
        variances = np.real(np.diag(ssm.initialization(model=ssm)[2]))
        names = {"simulation_smoother"} if variances.any() and not variances.all() else set()
        large = np.max(variances, initial=0.0) >= _APPROXIMATE
        return names | ({"score_obs", "opg_information_matrix"} if large else set())

    def _moved(self, share: float) -> np.ndarray:
        model = self.model()
        start = np.asarray(model.start_params, dtype=float)
        bounded = model.layout.bounded if hasattr(model, "layout") else []
        start = np.where([name in bounded for name in model.param_names], np.clip(start, -0.7, 0.7), start)
        return start * (1.0 + share * np.cos(np.arange(len(start))))

    def more(self) -> Any:
        return self.y.iloc[N:]

    def longer(self) -> Any:
        return self.y

    def future(self, periods: int) -> dict[str, Any]:
        return {} if self.x is None else {"exog": self.x.iloc[N : N + periods]}

    def more_regressors(self) -> dict[str, Any]:
        return self.future(H)

    def longer_regressors(self) -> dict[str, Any]:
        return {} if self.x is None else {"exog": self.x}


def _series(p: int, seed: int, names: str) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    factor = np.zeros(N + H)
    for t in range(1, N + H):
        factor[t] = 0.7 * factor[t - 1] + rng.standard_normal()
    y = np.outer(factor, np.linspace(1.0, 0.5, p)) + 0.6 * rng.standard_normal((N + H, p))
    return pd.DataFrame(y, index=INDEX, columns=list(names[:p]))


def subjects() -> dict[str, Subject]:
    """Return a small model of every class, with missing values where the filters allow them."""
    gaps = _series(3, 1, "abc")
    gaps.iloc[5, 1] = gaps.iloc[9, [0, 2]] = gaps.iloc[20] = np.nan
    rng = np.random.default_rng(2)
    market = pd.DataFrame({"MKT": rng.standard_normal(N + H)}, index=INDEX)
    returns = _series(2, 3, "pq") + market.to_numpy() * np.cumsum(
        0.1 * rng.standard_normal((N + H, 2)) + 0.3, axis=0
    )
    both = market.assign(const=1.0)[["const", "MKT"]]
    yields = 0.05 + 0.002 * _series(4, 4, "wxyz")
    yields = pd.DataFrame(
        yields.to_numpy() + 0.001 * np.arange(4), index=INDEX, columns=["1y", "2y", "5y", "10y"]
    )
    one = _series(1, 5, "y")["y"]
    holes = one.copy()
    holes.iloc[[6, 7]] = np.nan
    arma = {"order": (1, 0, 1)}

    def ours(name: str, build: Callable[..., Any], y: Any, x: Any = None, **options: Any) -> Subject:
        return Subject(name, build, lambda y, x: Plain(build(y, x)), y, x, **options)

    found = [
        ours("LGSSM", lambda y, x: sse.LGSSM(y, 2, identification="triangular"), gaps),
        ours(
            "LGSSM with regressors",
            lambda y, x: sse.LGSSM(y, 1, exog=x, obs_cov="unstructured", identification="triangular"),
            _series(2, 6, "ab"),
            market,
        ),
        ours(
            "DynamicRegression",
            lambda y, x: sse.DynamicRegression(
                y, x, dynamics={"MKT": "ar1"}, obs_cov="diagonal", state_cov="diagonal"
            ),
            returns,
            both,
        ),
        ours(
            "CAPM",
            lambda y, x: sse.CAPM(y, x[["MKT"]], obs_cov="diagonal", state_cov="diagonal"),
            returns,
            both,
        ),
        ours(
            "ATSM",
            lambda y, x: sse.ATSM(y, maturities=[1.0, 2.0, 5.0, 10.0], k_factors=2, dt=1 / 12),
            yields,
            fit=(("maxiter", 1), ("method", "lbfgs")),
        ),
        ours("SmoothTrends", lambda y, x: SmoothTrends(y), gaps),
        Subject(
            "MixedSARIMAX",
            lambda y, x: MixedSARIMAX(y, exog=x, **arma),
            lambda y, x: sm.tsa.SARIMAX(y, exog=x, **arma),
            holes,
            market,
            fit=(("maxiter", 1), ("disp", False)),
        ),
        Subject(
            "MixedTrend",
            lambda y, x: MixedTrend(y, "local linear trend", autoregressive=1),
            lambda y, x: sm.tsa.UnobservedComponents(y, "local linear trend", autoregressive=1),
            holes,
            fit=(("maxiter", 1), ("disp", False)),
        ),
    ]
    return {each.name: each for each in found}


SUBJECTS = subjects()


@contextmanager
def quietly() -> Any:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
