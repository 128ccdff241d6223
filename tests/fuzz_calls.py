"""What the fuzz run calls, and with what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from edge_data import ELSEWHERE, SAME, SHIFTED

import statespace_ext as sse

DATA = {name: make for name, make in {**SAME, **SHIFTED, **ELSEWHERE}.items() if name != "pyarrow"}
PLAIN = {"plain": np.asarray, "short": lambda y: y[:20], "gap": DATA["gap"]}
SLOW_DATA = {"units of 1e-8", "outlier", "different units", "units of 1e-6"}
HOSTILE: list[Any] = [
    None,
    True,
    -1,
    0,
    1,
    2,
    7,
    1.5,
    -0.0,
    float("nan"),
    float("inf"),
    10**12,
    "",
    "free",
    "zero",
    "diagonal",
    "unstructured",
    "scalar",
    "nonsense",
    "auto",
    [],
    [[]],
    {},
    [np.nan],
    [[1.0]],
    np.eye(2),
    np.eye(3),
    np.zeros((0, 0)),
    np.ones(3),
    np.full((3, 1), np.nan),
    [["a", "b"], ["b", "c"]],
    {"a": 1},
    object(),
    b"bytes",
    1j,
    slice(None),
    np.float32(1),
    (1, 2),
    "2001-01",
    pd.Timestamp("2001"),
    pd.Series([1.0, 2.0]),
    pd.DataFrame({"x": [1.0]}),
    lambda: None,
    "__import__('os')",
    "a+*b",
]

SPECS = {
    "LGSSM": "k_factors lags exog state_exog obs_intercept state_intercept design transition obs_cov "
    "state_cov initialization initial_state initial_state_cov state_mean obs_coef state_coef identification "
    "dates freq",
    "DynamicRegression": "dynamics obs_cov state_cov initialization initial_state initial_state_cov "
    "obs_scale constraints",
    "CAPM": "risk_free alpha beta obs_cov state_cov initialization initial_state_cov constraints",
    "ATSM": "maturities k_factors identification p_dynamics state_cov obs_cov dt units risk_prices factors "
    "initialization portfolio_weights",
}
"""Arguments of the constructors."""

FIT = "start_params cov_type method maxiter tolerance n_starts rng estep cov_kwds unknown"

METHODS = {
    "predict": "start end dynamic exog",
    "forecast": "steps exog",
    "get_forecast": "steps",
    "simulate": "nsimulations rng anchor",
    "append": "endog exog",
    "extend": "endog exog",
    "apply": "endog exog",
    "cov_params_of": "cov_type",
    "bse_of": "params cov_type",
    "summary": "alpha",
    "conf_int": "alpha",
    "tidy": "alpha",
    "glance": "",
    "impulse_responses": "steps impulse orthogonalized",
    "impute": "",
    "residuals": "kind standardize",
    "outliers": "threshold",
    "augment": "",
    "test_serial_correlation": "method df_adjust lags",
    "rotate": "method",
    "correlations": "which",
    "test_alpha": "n_sim rng n_jobs",
    "plot_factors": "fig figsize alpha",
    "plot_coefficients": "regressors fig figsize alpha filtered",
    "portfolio": "weights",
    "fit_measures": "",
    "plot_loadings": "maturities extrapolate fig figsize",
    "plot_fit": "fig figsize",
    "plot_term_premium": "maturity definition param_uncertainty extrapolate alpha fig figsize",
    "plot_curve": "date maturities param_uncertainty extrapolate alpha fig figsize",
    "yield_curve": "maturities date information_set param_uncertainty extrapolate",
    "forward_curve": "maturities date information_set param_uncertainty extrapolate",
    "expected_short_rate": "horizon date average information_set param_uncertainty extrapolate",
    "risk_neutral_yields": "maturities date information_set param_uncertainty extrapolate",
    "term_premium": "maturity definition date information_set param_uncertainty extrapolate",
    "forward_premium": "maturity definition date tenor information_set param_uncertainty extrapolate",
    "zero_prices": "maturities date extrapolate",
    "forecast_yields": "steps horizons dates maturities param_uncertainty extrapolate",
    "curve_responses": "horizons maturities impulse extrapolate",
    "pricing_error_summary": "by",
    "expected_excess_returns": "maturities holding_period date information_set param_uncertainty extrapolate",
    "sharpe_ratios": "maturities holding_period date information_set param_uncertainty extrapolate",
    "price_of_risk": "date information_set param_uncertainty",
    "short_rate_parameters": "",
    "bias_corrected": "method n_boot rng",
}
"""Methods of results, and their arguments."""

AGAIN = {
    "bootstrap": "n_boot method rng n_jobs",
    "profile": "param grid level n_jobs",
    "rolling": "window step expanding fit_options rng n_jobs checkpoint",
    "rolling_evaluation": "window horizon steps maturities benchmark refit_every expanding fit_options",
    "test_constancy": "n_sim rng n_jobs per_series",
    "test_coefficients": "hypotheses date n_sim rng n_jobs",
    "compare": "others",
}
"""Methods of results that fit again, and their arguments."""

FUNCTIONS = {
    "select_order": "model k_factors lags ic fit_options n_boot rng n_jobs checkpoint",
    "rolling_fit": "model_or_results window step expanding fit_options rng n_jobs checkpoint",
    "fit_many": "models fit_options fixed rng n_jobs checkpoint",
    "filter_report": "model params",
    "use_fastest_filter": "model params",
    "use_chandrasekhar": "model params",
    "exact_score": "model params transformed includes_fixed",
}
"""Functions of the package, and their arguments."""

RESULTS = {kind: getattr(sse, f"{kind}Results") for kind in SPECS}


def methods_of(kind: str, names: dict[str, str]) -> list[str]:
    """Return those that the results of a class have."""
    return [name for name in names if hasattr(RESULTS[kind], name)]


def needed(name: str, model: Any) -> dict[str, Any]:
    """Return right values of the arguments that have no default, and of those that bound the work."""
    few, one = {"maxiter": 2}, model.endog[:1]
    window = {"window": model.nobs - 1, "fit_options": few}
    first: dict[str, Any] = {
        "simulate": {"nsimulations": 3},
        "cov_params_of": {"cov_type": "oim"},
        "bse_of": {"params": list(model.param_names[:1])},
        "append": {"endog": one},
        "extend": {"endog": one},
        "apply": {"endog": model.endog},
        "expected_short_rate": {"horizon": 1.0},
        "curve_responses": {"horizons": [1.0]},
        "bootstrap": {"n_boot": 2},
        "profile": {"param": model.param_names[-1]},
        "rolling": window,
        "rolling_evaluation": {
            **window,
            "window": model.nobs - 3,
            **({"steps": 1} if hasattr(model, "panel") else {}),
        },
        "expected_excess_returns": {"maturities": 2.0},
        "sharpe_ratios": {"maturities": 2.0},
        "test_alpha": {"n_sim": 2},
        "portfolio": {"weights": {str(np.atleast_1d(model.endog_names)[0]): 1.0}},
        "test_constancy": {"n_sim": 19},
        "test_coefficients": {"hypotheses": f"{model.state_names[0]} = 0", "n_sim": 2},
        "rolling_fit": {"model_or_results": model, **window},
        "select_order": {"model": model, "k_factors": [1], "fit_options": few},
        "fit_many": {"models": {"a": model}, "fit_options": few},
        "exact_score": {"model": model, "params": model.start_params},
    }
    if name in first:
        return first[name]
    if name in FUNCTIONS:
        return {"model": model}
    wanted = METHODS[name].split() if name in METHODS else []
    values = {"maturity": 2.0, "maturities": [1.0, 2.0]}
    return {key: value for key, value in values.items() if key in wanted}


CALLS: dict[str, Callable[..., Any]] = {
    "fit_many": lambda **given: list(sse.fit_many(**given)),
    "compare": lambda res, others=None: res.compare(*([] if others is None else [others])),
}
"""How to call what is not called by its name alone."""
