"""Specifications of LGSSM for the M-step, and one M-step by hand."""

from __future__ import annotations

import numpy as np
from systems import draw_params, sampled

from statespace_ext.em.regressions import Moments
from statespace_ext.fit.problem import EstimationProblem
from statespace_ext.lgssm.model import LGSSM

NAN = np.nan
rng = np.random.default_rng(30)
N = 10
X, U = rng.standard_normal((N, 2)), rng.standard_normal((N, 1))
DESIGN = np.array([[1.0, 0.0], [0.5, 1.0], [-0.3, 0.7]])
BAND = [[NAN, NAN, 0], [NAN, NAN, NAN], [0, NAN, NAN]]
SUMS = [["v", 0, 0], [0, "v + w", 0], [0, 0, "w"]]
KNOWN = {"initialization": "known", "initial_state": [0.5, 0], "initial_state_cov": [[1, 0.2], [0.2, 0.5]]}


SPECIFICATIONS: dict[str, dict] = {
    "known": KNOWN,
    "known, full obs_cov": KNOWN | {"obs_cov": "unstructured"},
    "known, full obs_cov, restricted": KNOWN | {
        "obs_cov": "unstructured", "design": [["a", 0], ["b", 1.0], ["a + 2*b", "1 - b"]],
        "transition": [["g", "h"], [0, "g - h"]],
    },
    "known, intercepts, regressors": KNOWN | {"exog": X, "state_exog": U, "state_intercept": "free"},
    "known, mean": KNOWN | {"state_mean": "free", "obs_intercept": "zero"},
    "known, scalar": KNOWN | {"obs_cov": "scalar", "state_cov": "scalar"},
    "known, equicorrelated": KNOWN | {"obs_cov": "equicorrelated", "state_cov": "equicorrelated"},
    "known, zero pattern": KNOWN | {"obs_cov": BAND},
    "known, fixed variance": KNOWN | {"obs_cov": [[1, NAN, NAN], [NAN, NAN, NAN], [NAN, NAN, NAN]]},
    "known, sums": KNOWN | {"obs_cov": SUMS},
    "known, shared covariances": KNOWN | {
        "obs_cov": [["v", 0, 0], [0, "2*v", 0], [0, 0, 1]], "state_cov": [["v", 0], [0, "v + w"]],
    },
    "known, zero rows": KNOWN | {"obs_cov": np.diag([NAN, NAN, 0]), "design": [[NAN] * 2, [NAN] * 2, [1, 0]],
                                 "obs_intercept": [NAN, NAN, 0]},
    "known, varying covariances": KNOWN | {
        "obs_cov": np.stack([np.diag([1 + 0.1 * t, 1, 2]) for t in range(N)], axis=-1),
        "state_cov": np.stack([np.diag([1, 0.5 + 0.1 * t]) for t in range(N)], axis=-1),
        "design": [["a", 0], ["b", 1.0], ["a + 2*b", "1 - b"]],
    },
    "known, varying covariances, free elements": KNOWN | {
        "obs_cov": np.stack([np.diag([1 + 0.1 * t, NAN, NAN]) for t in range(N)], axis=-1),
        "state_cov": np.stack([np.diag([NAN, 0.5 + 0.1 * t]) for t in range(N)], axis=-1),
    },
    "known, varying intercepts": KNOWN | {
        "obs_intercept": rng.standard_normal((3, N)), "state_intercept": rng.standard_normal((2, N)),
    },
    "stationary": {},
    "stationary, restricted": {"transition": [["g", "h"], [0, "g - h"]], "state_cov": "diagonal"},
    "stationary, mean": {"state_mean": "free"},
    "stationary, fixed mean": {"state_mean": [1.0, -2.0]},
    "stationary, intercept": {"state_intercept": "free", "obs_intercept": "zero"},
    "stationary, two lags": {"lags": 2, "transition": ["diagonal", "free"]},
    "stationary, regressors": {"exog": X, "state_exog": U},
    "estimated": {"initialization": "estimated", "initial_state_cov": "free"},
    "estimated, two lags": {"initialization": "estimated", "initial_state_cov": "diagonal", "lags": 2},
    "estimated, mean shared": {
        "initialization": "estimated", "initial_state": ["m", "2*m"], "initial_state_cov": "free",
    },
    "diffuse": {"design": DESIGN, "initialization": "diffuse"},
    "diffuse, full obs_cov, strings": {
        "design": DESIGN, "initialization": "diffuse", "transition": [["g", 0], ["1 - g", "g"]],
        "obs_cov": BAND,
    },
    "approximate diffuse": {"initialization": "approximate_diffuse"},
}  # fmt: skip


BLOCKS = {
    "observation coefficients": ("design", "obs_intercept", "obs_coef"),
    "state coefficients": ("transition", "state_intercept", "state_coef", "state_mean"),
    "obs_cov and state_cov": ("obs_cov", "state_cov"),
}


def case(name: str, missing: float = 0.3, seed: int = 31, n: int = N) -> tuple[LGSSM, np.ndarray]:
    """A model of a specification, and parameters that are not those of its sample."""
    model, _ = sampled(np.random.default_rng(seed), n, 3, 2, missing=missing, **SPECIFICATIONS[name])
    return model, draw_params(np.random.default_rng(seed + 1), model)


def updates_of(problem: EstimationProblem) -> list:
    return [update for cycle in problem.updates.cycles() for update in cycle]


def maximised(
    problem: EstimationProblem, params: np.ndarray, moments: Moments, rounds: int = 1
) -> np.ndarray:
    """The parameters after one M-step, or after many that share one E-step."""
    for _ in range(rounds):
        for _, update in updates_of(problem):
            params, moments = update(params, moments)
    return params


def places(model: LGSSM, name: str) -> np.ndarray:
    """The parameters that an update may change."""
    keys = BLOCKS.get(name, (name,))
    return np.unique(np.concatenate([model.layout.index[key] for key in keys]))
