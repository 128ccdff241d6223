"""What a session and a notebook show: a short line, and tables, for every class that a user receives."""

from __future__ import annotations

import re
from dataclasses import is_dataclass
from functools import cache
from html import escape
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import numpy as np
import pandas as pd
import pytest
from small_subjects import SMALL

import statespace_ext as sse
from statespace_ext.display import Displayed

PAGE = Path(__file__).parents[1] / "docs" / "api.md"


class Tags(HTMLParser):
    """Fails where a tag is not closed in its order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def looks_well(shown: Any) -> str:
    """Check the line and the HTML of an object, and return the HTML."""
    assert "\n" not in repr(shown) and len(repr(shown)) < 600
    html = shown._repr_html_()
    parser = Tags()
    parser.feed(html)
    assert parser.open == [] and "<p><b>" in html
    return html


@cache
def regression() -> Any:
    rng = np.random.default_rng(0)
    index = pd.period_range("2000-01", periods=40, freq="M")
    market = pd.Series(rng.standard_normal(40), index, name="MKT")
    y = pd.DataFrame(market.to_numpy()[:, None] + rng.standard_normal((40, 2)), index, ["<a>", "b"])
    return sse.CAPM(y, market, beta="static").fit()


@pytest.mark.parametrize("name", SMALL)
def test_models_and_results(name: str) -> None:
    subject = SMALL[name]
    model = subject.model()
    assert all(key in looks_well(model) for key in model.layout.blocks)
    html = looks_well(model.smooth(subject.params))
    assert all(escape(term) in html for term in model.param_names[:2])


def test_text_of_the_user_is_escaped() -> None:
    for shown in (regression(), regression().model, regression().portfolio({"<a>": 1.0})):
        assert "<a>" not in looks_well(shown)


def test_large_results_compute_no_standard_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    y = np.random.default_rng(0).standard_normal((30, 20))
    model = sse.LGSSM(y, 1, identification="triangular")
    res = model.smooth(model.start_params)
    monkeypatch.setattr(
        type(res._results), "tidy", lambda *args, **kwargs: pytest.fail("errors were computed")
    )
    assert len(res.params) > 50 and "obs_var.y20" in looks_well(res)


RETURNED: dict[str, Any] = {
    "Coefficient": lambda: regression().beta,
    "Portfolio": lambda: regression().portfolio({"b": 1.0}),
    "CoefficientTest": lambda: regression().test_coefficients("MKT.b = 1"),
    "WaldTest": lambda: regression().test_alpha()["wald"],
    "Identification": lambda: regression().identification,
    "Imputed": lambda: regression().impute(),
    "ImpulseResponses": lambda: regression().irf(2, "alpha.b"),
    "Bootstrap": lambda: regression().bootstrap(2, rng=0),
    "FilterReport": lambda: sse.filter_report(regression().model),
    "ExactScore": lambda: sse.exact_score(regression().model, regression().params),
    "Components": lambda: sse.components.trend("smooth") + sse.components.arma(1),
    "YieldPanel": lambda: sse.datasets.load_yields(),
    "Simulated": lambda: sse.datasets.simulate_lgssm(),
    "FitRecord": lambda: next(iter(sse.fit_many({"one": regression().model}))),
}


@pytest.mark.parametrize("name", RETURNED)
def test_returned_objects(name: str) -> None:
    shown = RETURNED[name]()
    assert type(shown).__name__ == name
    looks_well(shown)


def test_every_record_on_the_api_page_is_displayed() -> None:
    modules = [import_module(each.name) for each in walk_packages(sse.__path__, "statespace_ext.")]
    listed = set(re.findall(r"^   (?:\w+\.)?([A-Z]\w+)$", PAGE.read_text("utf-8"), re.MULTILINE))
    records = {
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and is_dataclass(value) and value.__name__ in listed
    }
    assert len(records) > 10
    arguments = {sse.Regimes}  # not returned by a method
    assert [each.__name__ for each in records - arguments if not issubclass(each, Displayed)] == []
