"""The delta method on results, against closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from edge_data import BUILD
from numpy.testing import assert_allclose
from scipy.stats import norm

import statespace_ext as sse


@pytest.fixture(scope="module")
def res() -> Any:
    """An AR(1) seen with noise."""
    rng = np.random.default_rng(0)
    x = np.zeros(400)
    for t in range(1, 400):
        x[t] = 0.8 * x[t - 1] + rng.standard_normal()
    y = pd.Series(1.0 + x + 0.5 * rng.standard_normal(400), name="y")
    return sse.LGSSM(y, 1, design=[[1.0]]).fit()


def test_half_life_against_the_closed_form(res: Any) -> None:
    name = "L1.f1->f1"
    table = res.delta_method(lambda params: np.log(0.5) / np.log(params[name]))
    phi, se = res.params[name], res.bse[name]
    assert_allclose(table.loc[0, "estimate"], np.log(0.5) / np.log(phi), rtol=1e-12)
    assert_allclose(table.loc[0, "std_error"], np.log(2.0) / (phi * np.log(phi) ** 2) * se, rtol=1e-6)
    row = table.loc[0]
    assert_allclose(row["conf_high"] - row["estimate"], norm.ppf(0.975) * row["std_error"])
    assert_allclose(row["p_value"], 2.0 * norm.sf(row["estimate"] / row["std_error"]))


def test_linear_functions_have_the_variance_of_the_sum(res: Any) -> None:
    weights = np.random.default_rng(1).standard_normal((3, len(res.params)))
    labels = ["a", "b", "c"]
    table = res.delta_method(lambda params: pd.Series(weights @ params, index=labels), alpha=0.1)
    assert table.index.tolist() == labels
    assert_allclose(table["estimate"], weights @ res.params)
    assert_allclose(table["std_error"], np.sqrt(np.diag(weights @ res.cov_params() @ weights.T)), rtol=1e-6)


def test_matrices_of_the_model(res: Any) -> None:
    """The variance of the series, phi^0 q / (1 - phi^2) + h, as a matrix of one element."""

    def variance(params: pd.Series) -> np.ndarray:
        at = res.model.matrices(params)
        return at["state_cov"] / (1.0 - at["transition"] ** 2) + at["obs_cov"]

    phi, q, h = (res.params[name] for name in ("L1.f1->f1", "state_var.f1", "obs_var.y"))
    gradient = pd.Series(0.0, index=res.params.index)
    gradient["L1.f1->f1"], gradient["obs_var.y"] = 2.0 * phi * q / (1.0 - phi**2) ** 2, 1.0
    gradient["state_var.f1"] = 1.0 / (1.0 - phi**2)
    table = res.delta_method(variance)
    assert_allclose(table.loc[0, "estimate"], q / (1.0 - phi**2) + h)
    assert_allclose(table.loc[0, "std_error"], np.sqrt(gradient @ res.cov_params() @ gradient), rtol=1e-6)


def test_fixed_parameters_are_known(res: Any) -> None:
    model = res.model.clone(res.model.endog)
    with model.fix_params({"obs_var.y": 0.25}):
        fixed = model.fit()
    table = fixed.delta_method(
        lambda params: [params["obs_var.y"], params["L1.f1->f1"] + params["obs_var.y"]]
    )
    assert np.isnan(table.loc[0, "std_error"])
    place = model.param_names.index("L1.f1->f1")
    assert_allclose(table.loc[1, "std_error"], np.asarray(fixed.bse)[place], rtol=1e-6)


@pytest.mark.filterwarnings("ignore::statespace_ext.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kind", ["CAPM", "ATSM"])
def test_other_models(kind: str) -> None:
    build, sample = BUILD[kind]
    res = build(sample()).fit(maxiter=3)
    name = res.model.param_names[0]
    table = res.delta_method(lambda params: params[name])
    want = [np.asarray(res.params)[0], np.asarray(res.bse)[0]]
    assert_allclose(table.loc[0, ["estimate", "std_error"]], want, rtol=1e-6)


@pytest.mark.parametrize("returned", [np.nan, "text", [[1.0], [2.0, 3.0]], None, np.inf])
def test_what_is_no_number(res: Any, returned: object) -> None:
    with pytest.raises(sse.SpecificationError, match="must return finite numbers"):
        res.delta_method(lambda _: returned)


def test_no_function(res: Any) -> None:
    with pytest.raises(sse.SpecificationError, match="function must be callable: got 'L1'"):
        res.delta_method("L1")
