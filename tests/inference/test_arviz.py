"""Bootstrap draws as data of ArviZ, against its summary and against pandas."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import statespace_ext as sse
from statespace_ext.inference.bootstrap import Bootstrap

NAMES = ["loading.f1->b", "obs_var.a"]


def found() -> Bootstrap:
    draws = pd.DataFrame(np.random.default_rng(0).normal(size=(50, 2)), columns=NAMES)
    draws.iloc[3] = np.nan  # a fit that failed
    return Bootstrap(draws, draws.mean(), 0.0, np.zeros(50), ["obs_var.a"], {3: "failed"}, "parametric")


def test_draws_are_in_a_group_named_bootstrap() -> None:
    pytest.importorskip("arviz_base", reason="ArviZ is not installed")
    bootstrap = found()
    data = bootstrap.to_arviz()
    group = data["bootstrap"]
    assert list(data.children) == ["bootstrap"] and sorted(group.data_vars) == sorted(NAMES)
    assert dict(group.sizes) == {"chain": 1, "draw": 49}
    for name in NAMES:
        assert_array_equal(group[name].values[0], bootstrap.params[name].dropna())
    assert_array_equal(group["draw"].values, [i for i in range(50) if i != 3])
    assert group.attrs["method"] == "parametric" and group.attrs["failed"] == 1


def test_the_summary_of_arviz_has_the_standard_errors() -> None:
    arviz = pytest.importorskip("arviz", reason="ArviZ is not installed")
    bootstrap = found()
    table = arviz.summary(bootstrap.to_arviz(), group="bootstrap", kind="stats", round_to="none")
    assert_allclose(table.loc[NAMES, "sd"].astype(float), bootstrap.bse, rtol=1e-6)
    assert_allclose(table.loc[NAMES, "mean"].astype(float), bootstrap.params.mean(), atol=1e-9)


def test_a_missing_arviz_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "arviz_base", None)
    with pytest.raises(sse.UnsupportedError, match=r"ArviZ, which is not installed.*\[arviz\]"):
        found().to_arviz()
