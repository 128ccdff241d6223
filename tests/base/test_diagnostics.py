"""`plot_diagnostics` for all series, with missing values, by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from small_subjects import SMALL, with_errors
from statsmodels.tsa.stattools import acf

import statespace_ext as sse

plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def _closed() -> Any:
    yield
    plt.close("all")


@pytest.mark.parametrize("name", SMALL)
def test_four_panels_a_series(name: str) -> None:
    """Residuals, and correlograms that leave out what is missing: those of statsmodels are NaN there."""
    res = with_errors(name)
    names = np.atleast_1d(res.model.endog_names).tolist()
    fig = res.plot_diagnostics(lags=4)
    assert len(fig.axes) == 4 * len(names)
    for i, series in enumerate(names):
        top, _, _, correlogram = fig.axes[4 * i : 4 * i + 4]
        assert top.get_title() == f'Standardized residual for "{series}"'
        residuals = res.residuals()[series].iloc[max(res.nobs_diffuse, res.loglikelihood_burn) :]
        assert_allclose(top.lines[0].get_ydata(), residuals.dropna())
        found = correlogram.lines[-1].get_ydata()
        assert_allclose(found, acf(residuals, nlags=4, missing="conservative"))
        assert np.isfinite(found).all()


def test_chosen_series() -> None:
    res = with_errors("CAPM")
    for variable, expected in (
        (1, ["q"]),
        ("p", ["p"]),
        (-1, ["q"]),
        (["q", 0], ["q", "p"]),
        (None, ["p", "q"]),
    ):
        titles = [axis.get_title() for axis in res.plot_diagnostics(variable, lags=3).axes[::4]]
        assert titles == [f'Standardized residual for "{name}"' for name in expected]
    fig = plt.figure()
    assert res.plot_diagnostics("p", 3, fig) is fig and len(fig.axes) == 4
    given = plt.figure(figsize=(6, 9))
    assert res.plot_diagnostics(fig=given) is given and len(given.axes) == 8
    short = res.plot_diagnostics(0, truncate_endog_names=1, acf_kwargs={"alpha": None})
    assert short.axes[0].get_title() == 'Standardized residual for "p"'


def test_the_name_of_a_single_series() -> None:
    """statsmodels shows its first letter."""
    y = SMALL["LGSSM"].y["a"].rename("a series with a long name")
    model = sse.LGSSM(y, 1, identification="triangular")
    res = model.smooth(model.start_params)
    assert '"a series with a long ..."' in res.plot_diagnostics().axes[0].get_title()
    whole = res.plot_diagnostics(truncate_endog_names=40).axes[0].get_title()
    assert whole == 'Standardized residual for "a series with a long name"'


@pytest.mark.parametrize("wrong", ["z", 2, -3, 1.0, True, [], ["p", "z"], object()])
def test_unknown_series(wrong: Any) -> None:
    with pytest.raises(sse.SpecificationError, match="variable is unknown"):
        with_errors("CAPM").plot_diagnostics(wrong)


def test_other_bad_input() -> None:
    res = with_errors("LGSSM")
    for options in ({"lags": 500}, {"acf_kwargs": 3}, {"figsize": 3}):
        with pytest.raises(sse.SpecificationError):
            res.plot_diagnostics(**options)
