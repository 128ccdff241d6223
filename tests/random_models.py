"""Random models of every class, with a sample and parameters, as Hypothesis strategies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st
from systems import draw_params
from yields import random_panel

import statespace_ext as sse
from statespace_ext.engine.system import MATRICES

NAMES = list("abcdef")
TAU = np.array([0.5, 1.0, 2.0, 5.0, 10.0])
ALWAYS_UNIT = {"design": np.array([[1.0, 0.0], [0.0, 1.0], [0.5, -0.5], [0.3, 0.8]])}


@dataclass(frozen=True)
class Case:
    """A model, what it was built from, and parameters."""

    kind: type
    endog: pd.DataFrame
    inputs: dict[str, pd.DataFrame]
    spec: dict[str, Any]
    params: np.ndarray

    @property
    def model(self) -> Any:
        return self.kind(self.endog, **self.inputs, **self.spec)

    def changed(self, **what: Any) -> Case:
        return replace(self, **what)

    def rows(self, rows: slice) -> Case:
        return replace(
            self, endog=self.endog.iloc[rows], inputs={k: v.iloc[rows] for k, v in self.inputs.items()}
        )

    def llf(self) -> float:
        return self.model.loglike(self.params)

    @property
    def is_diffuse(self) -> bool:
        return self.model.system(self.params).diffuse


def dense_form(model: Any, params: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return the oracle's form of a system, and which initial states are diffuse."""
    system = model.system(params)
    flat = np.full(system.k_states, system.diffuse)
    if system.initialization_type != "stationary":
        flat[system.stationary_states] = False
    return {name: getattr(system, name) for name in (*MATRICES, "initial_state", "initial_state_cov")}, flat


def with_gaps(rng: np.random.Generator, y: np.ndarray, share: float) -> np.ndarray:
    """Return data with missing values, the first rows and the last one complete."""
    gaps = rng.random(y.shape) < share
    gaps[:4], gaps[-1] = False, False
    return np.where(gaps, np.nan, y)


def frame(values: np.ndarray, names: list[str]) -> pd.DataFrame:
    return pd.DataFrame(values, columns=names[: values.shape[1]])


@st.composite
def lgssm_cases(draw: Any, free: bool = False) -> Case:
    """Draw an LGSSM; ``free``: only models whose factors can be rotated."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, p, k = draw(st.integers(8, 20)), draw(st.integers(1, 4)), draw(st.integers(1, 3))
    starts = ["stationary", "known", "estimated"] + ([] if free else ["diffuse"])
    start = draw(st.sampled_from(starts))
    spec: dict[str, Any] = {"k_factors": k, "initialization": start}
    spec |= draw(st.sampled_from([{}, {"lags": 2}, {"state_mean": "free"}, {"state_intercept": "free"}]))
    spec["obs_cov"] = draw(st.sampled_from(["diagonal", "unstructured", "scalar", "equicorrelated"]))
    inputs = {}
    for name in draw(st.sampled_from([[], ["exog"], ["state_exog"], ["exog", "state_exog"]])):
        inputs[name] = frame(rng.standard_normal((n, 1)), [name[0]])
    if start == "known":
        size = k * spec.get("lags", 1)
        root = rng.standard_normal((size, size))
        spec |= {"initial_state": rng.standard_normal(size), "initial_state_cov": root @ root.T / size}
    if start == "diffuse":
        p, k = max(p, 2), 2
        spec |= {"k_factors": 2, "design": ALWAYS_UNIT["design"][:p], "lags": 1}
        spec |= {"obs_intercept": "zero", "transition": "diagonal"}
        inputs.pop("exog", None)
    share = draw(st.sampled_from([0.0, 0.2]))
    y = frame(with_gaps(rng, rng.standard_normal((n, p)), share), NAMES)
    model = sse.LGSSM(y, **inputs, **spec)
    return Case(sse.LGSSM, y, inputs, spec, draw_params(rng, model))


def regression_params(rng: np.random.Generator, model: Any) -> np.ndarray:
    """Return random parameters of a dynamic regression, by what their names say they are."""
    ranges = {"ar1": (-0.8, 0.8), "obs_var": (0.5, 1.5), "state_var": (0.1, 0.5), "proportion": (0.05, 0.5)}
    ranges |= {
        "obs_cov": (-0.1, 0.2),
        "state_cov": (-0.02, 0.04),
        "obs_corr": (0.0, 0.4),
        "state_corr": (0.0, 0.3),
    }
    values = [rng.uniform(*ranges.get(name.split(".")[0], (-1.0, 1.0))) for name in model.layout.names]
    return np.array(values)


DYNAMICS = ("static", "random_walk", "ar1", "local_linear")


@st.composite
def regression_cases(draw: Any, capm: bool = False, plain: bool = False) -> Case:
    """Draw a regression; a plain one has a state for each coefficient, or two for an "ar1" one."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, p = draw(st.integers(10, 20)), draw(st.integers(1, 3))
    dynamics = draw(st.lists(st.sampled_from(DYNAMICS[:3] if plain else DYNAMICS), min_size=2, max_size=2))
    obs_cov = draw(st.sampled_from(["diagonal", "unstructured", "scalar", "equicorrelated"]))
    spec: dict[str, Any] = {"obs_cov": obs_cov}
    moving = [kind for kind in dynamics if kind != "static"]
    if moving:
        spec["state_cov"] = draw(st.sampled_from(["diagonal", "unstructured", "proportional", "joint"]))
    tied = not (capm or plain) and len(set(dynamics)) == 1 and draw(st.booleans())
    if tied:
        spec["constraints"] = "MKT + 2*other = 0"
    if draw(st.booleans()):
        size = p * sum(1 + (kind == "local_linear") for kind in dynamics[: 1 if tied else 2])
        spec |= {"initialization": "known", "initial_state": rng.standard_normal(size)}
        spec |= {"initial_state_cov": np.diag(rng.uniform(0.5, 2.0, size))}
    share = draw(st.sampled_from([0.0, 0.2]))
    y = frame(with_gaps(rng, rng.standard_normal((n, p)), share), NAMES)
    market = frame(rng.standard_normal((n, 1)), ["MKT"])
    if capm:
        kind, inputs = sse.CAPM, {"market": market}
        spec |= {"alpha": dynamics[0], "beta": dynamics[1]}
    else:
        kind, inputs = sse.DynamicRegression, {"exog": market.assign(other=rng.standard_normal(n))}
        spec |= {"dynamics": dict(zip(["MKT", "other"], dynamics, strict=True))}
    return Case(kind, y, inputs, spec, regression_params(rng, kind(y, **inputs, **spec)))


@st.composite
def atsm_cases(draw: Any, identifications: tuple[str, ...] = ("jsz", "dai-singleton", "afns")) -> Case:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, identification = draw(st.integers(10, 16)), draw(st.sampled_from(identifications))
    k = 3 if identification == "afns" else draw(st.integers(1, 2))
    tau = TAU[: draw(st.integers(k + 1, 5))]
    y = random_panel(rng, n, tau, k).reset_index(drop=True)
    y[:] = with_gaps(rng, y.to_numpy(), draw(st.sampled_from([0.0, 0.2])))
    spec = {"maturities": tau, "k_factors": k, "identification": identification}
    spec |= {"initialization": draw(st.sampled_from(["stationary", "estimated"]))}
    spec |= {"dt": draw(st.sampled_from([1 / 12, 0.25])) * (1.0 + draw(st.booleans()) * rng.random(n - 1))}
    if identification == "jsz":
        spec |= {"portfolio_weights": np.linalg.qr(rng.standard_normal((len(tau), k)))[0].T}
    model = sse.ATSM(y, **spec)
    layout = model.layout
    z = layout.unconstrain(atsm_params(model))
    return Case(sse.ATSM, y, {}, spec, layout.constrain(z + 0.05 * np.abs(z) * rng.uniform(-1, 1, len(z))))


def atsm_params(model: Any) -> np.ndarray:
    """Return plain stable parameters of a term structure model, whatever the data."""
    layout, k = model.layout, model.k_factors
    mean_reversion = np.diag(np.linspace(0.3, 0.9, k)) + 0.05 * np.tri(k, k=-1)
    values = {
        "roots_Q": np.linspace(0.1, 0.8, k)[:, None],
        "k_inf": [[0.01]],
        "decay": [[0.5]],
        "K_Q": mean_reversion,
        "K_P": mean_reversion + 0.1,
        "kappa_P": np.full((k, 1), 0.01),
        "delta_0": [[0.05]],
        "delta_1": np.full((k, 1), 0.01),
        "state_cov": 1e-4 * (np.eye(k) + 0.2),
        "obs_cov": 1e-5 * np.eye(model.k_endog),
        "initial_state": np.full((k, 1), 0.03),
    }
    return layout.project(
        {key: np.asarray(values[key]) for key, block in layout.blocks.items() if block.names},
        np.zeros(len(layout)),
    )


CASES: dict[str, Callable[..., st.SearchStrategy[Case]]] = {
    "LGSSM": lgssm_cases,
    "DynamicRegression": regression_cases,
    "CAPM": lambda: regression_cases(capm=True),
    "ATSM": atsm_cases,
}
