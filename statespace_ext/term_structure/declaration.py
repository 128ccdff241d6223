"""From the arguments of `ATSM` to the layout of its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..exceptions import SpecificationError
from ..numerics.linear_algebra import Array
from ..params.affine import AffineMatrix, affine_matrix
from ..params.layout import ParameterLayout
from ..params.parse import covariance_namer, parse_covariance, parse_matrix
from .identification import DaiSingleton, NelsonSiegel, Normalisation, Observed, Portfolios

IDENTIFICATIONS = ("jsz", "dai-singleton", "afns", "dns")
P_DYNAMICS = ("unrestricted", "diagonal", "triangular")
STATE_COVS = ("unstructured", "diagonal")
OBS_COVS = ("diagonal", "scalar", "exact-portfolios")
STARTS = ("stationary", "diffuse", "estimated")
COVARIANCES = frozenset({"obs_cov", "state_cov"})


def check_choice(value: Any, name: str, choices: tuple[str, ...]) -> None:
    """Refuse a string that is none of the choices."""
    if not isinstance(value, str) or value not in choices:
        raise SpecificationError(f"{name} is unknown", got=repr(value), expected=f"one of {choices}")


def normalisation(
    identification: str,
    k_factors: int,
    weights: Array,
    tau: Array,
    convexity: float,
    observed: list[str] | None,
) -> Normalisation:
    """
    Return the normalisation of an identification.

    Raises
    ------
    SpecificationError
        If it does not go with the number of factors, or with factors that are observed.
    """
    check_choice(identification, "identification", IDENTIFICATIONS)
    if identification in ("afns", "dns"):
        if k_factors != 3:
            raise SpecificationError(
                f'identification="{identification}" has three factors', got=f"k_factors={k_factors}"
            )
        return NelsonSiegel(identification == "afns")
    if observed is not None and identification == "dai-singleton":
        raise SpecificationError(
            'identification="dai-singleton" is for latent factors',
            got="factors",
            remedy='Leave identification at "jsz": with factors observed all Q-parameters are free.',
        )
    if observed is not None:
        return Observed(observed)
    if identification == "dai-singleton":
        return DaiSingleton(k_factors)
    return Portfolios(weights, tau, convexity, [f"P{i + 1}" for i in range(k_factors)])


def build_layout(
    given: Mapping[str, Any], norm: Normalisation, labels: list[str], W: Array
) -> ParameterLayout:
    """
    Return the layout of all blocks: Q-parameters, P-dynamics or prices of risk, covariances, start.

    Raises
    ------
    SpecificationError
        If an argument is unknown, or contradicts another.
    """
    k, factors = len(norm.factors), norm.factors
    fixed_sigma = given["identification"] == "dai-singleton"
    check_contradictions(given, norm)
    blocks = dict(norm.blocks())
    if given["risk_prices"] is None:
        blocks["K_P"] = _physical(given["p_dynamics"], factors)
        blocks["kappa_P"] = parse_matrix("free", (k, 1), "kappa_P", lambda i, j: f"kappa_P.{factors[i]}")
    else:
        blocks.update(_risk_prices(given["risk_prices"], factors))
    blocks["state_cov"] = (
        affine_matrix(np.eye(k), [])
        if fixed_sigma
        else parse_covariance(given["state_cov"], k, "state_cov", covariance_namer("state", factors))
    )
    blocks["obs_cov"] = _measurement(given["obs_cov"], labels, W)
    start = "free" if given["initialization"] == "estimated" else "zero"
    blocks["initial_state"] = parse_matrix(
        start, (k, 1), "initial_state", lambda i, j: f"initial_state.{factors[i]}"
    )
    return ParameterLayout(blocks, COVARIANCES)


def _physical(value: Any, factors: list[str]) -> AffineMatrix:
    k = len(factors)
    if isinstance(value, str):
        check_choice(value, "p_dynamics", P_DYNAMICS)
        masks = {"unrestricted": np.ones((k, k)), "diagonal": np.eye(k), "triangular": np.tri(k)}
        value = np.where(masks[value] > 0, np.nan, 0.0)
    return parse_matrix(value, (k, k), "p_dynamics", lambda i, j: f"K_P.{factors[i]}.{factors[j]}")


def _risk_prices(value: Any, factors: list[str]) -> dict[str, AffineMatrix]:
    k = len(factors)
    if not isinstance(value, Mapping) or set(value) - {"lambda_0", "lambda_1"} or not value:
        raise SpecificationError(
            "risk_prices is not understood",
            got=repr(value)[:80],
            expected='a dict with "lambda_0", "lambda_1" or both: arrays with NaN for a free element',
        )
    return {
        "lambda_0": parse_matrix(
            value.get("lambda_0", "free"), (k, 1), "lambda_0", lambda i, j: f"lambda_0.{factors[i]}"
        ),
        "lambda_1": parse_matrix(
            value.get("lambda_1", "free"),
            (k, k),
            "lambda_1",
            lambda i, j: f"lambda_1.{factors[i]}.{factors[j]}",
        ),
    }


def _measurement(value: Any, labels: list[str], W: Array) -> AffineMatrix:
    check_choice(value, "obs_cov", OBS_COVS)
    namer = covariance_namer("obs", labels)
    if value != "exact-portfolios":
        return parse_covariance(value, len(labels), "obs_cov", namer)
    if len(labels) <= len(W):
        raise SpecificationError(
            'obs_cov="exact-portfolios" needs more maturities than factors',
            got=f"{len(labels)} maturities, {len(W)} factors",
        )
    off = np.eye(len(labels)) - W.T @ np.linalg.solve(W @ W.T, W)
    elements = [(i, j, "obs_var", float(off[i, j])) for j in range(len(off)) for i in range(j, len(off))]
    return affine_matrix(np.zeros_like(off), elements, symmetric=True)


def check_contradictions(given: Mapping[str, Any], norm: Normalisation) -> None:
    """Refuse arguments that contradict each other."""
    identification, start, prices = given["identification"], given["initialization"], given["risk_prices"]
    check_choice(start, "initialization", STARTS)
    plain = isinstance(given["state_cov"], str) and given["state_cov"] == "unstructured"
    if isinstance(given["state_cov"], str):
        check_choice(given["state_cov"], "state_cov", STATE_COVS)
    unrestricted = isinstance(given["p_dynamics"], str) and given["p_dynamics"] == "unrestricted"
    exact = isinstance(given["obs_cov"], str) and given["obs_cov"] == "exact-portfolios"
    faults = [
        (identification == "dai-singleton" and not plain, "sets state_cov itself (Sigma = I)", "state_cov"),
        (identification == "dai-singleton" and start == "diffuse", "scales the factors by delta_1, so that "
         "a diffuse likelihood has no maximum", "initialization"),
        (prices is not None and not norm.arbitrage_free, "has no prices of risk", "risk_prices"),
        (given["portfolio_weights"] is not None and not isinstance(norm, Portfolios)
         and not exact, "has no portfolios", "portfolio_weights"),
        (given["factors"] is not None and exact, "has observed factors, not portfolios", "obs_cov"),
        (exact and start == "diffuse" and not isinstance(norm, Portfolios), "and portfolios without error "
         "leave nothing diffuse: the first factors are known given the parameters", "initialization"),
        (exact and start == "estimated", "and portfolios without error leave nothing to estimate: the first "
         "factors are known given the parameters", "initialization"),
    ]  # fmt: skip
    for wrong, why, key in faults:
        if wrong:
            raise SpecificationError(
                f'identification="{identification}" {why}',
                got=f"{key}={given[key]!r}",
                remedy=f"Leave {key} at its default, or choose another identification.",
            )
    if prices is not None and not unrestricted:
        raise SpecificationError(
            "risk_prices and p_dynamics both restrict the P-dynamics",
            got=f"p_dynamics={given['p_dynamics']!r}",
            remedy='Leave p_dynamics at "unrestricted": K_P = K_Q - Sigma lambda_1.',
        )
