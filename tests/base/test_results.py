"""The declared types are those of the values, for one series and for several."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import statespace_ext as sse
from statespace_ext.base.results import Inherited

NAMES = {"pd.Series[float]": pd.Series, "pd.DataFrame": pd.DataFrame, "Array": np.ndarray, "None": type(None)}
BUILT_IN = {"float": float, "int": int, "str": str, "dict[str, Any]": dict}


def kinds(annotation: str) -> tuple[type, ...]:
    """Return the classes that an annotation names."""
    return tuple((NAMES | BUILT_IN)[each.strip()] for each in annotation.split("|"))


@pytest.fixture(scope="module", params=[1, 2])
def res(request: pytest.FixtureRequest) -> Any:
    y = pd.DataFrame(np.random.default_rng(0).normal(size=(40, 2)), columns=["a", "b"]).cumsum()
    model = sse.LGSSM(y["a"] if request.param == 1 else y, k_factors=1, identification="unit")
    return model.fit()


@pytest.mark.parametrize("name", Inherited.__annotations__)
def test_attributes_have_the_declared_types(res: Any, name: str) -> None:
    assert isinstance(getattr(res, name), kinds(Inherited.__annotations__[name]))


def test_predictions_have_the_declared_types(res: Any) -> None:
    kind = pd.Series if res.model.k_endog == 1 else pd.DataFrame
    for value in (res.forecast(2), res.predict(0, 3), res.fittedvalues, res.resid):
        assert isinstance(value, kind)
    assert isinstance(res.conf_int(), pd.DataFrame)
