"""`tidy`, `glance` and `summary`, of every model: beside statsmodels, a parser, and maketables."""

from __future__ import annotations

import html.parser
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import statespace_ext as sse

N = 80
NAMES = ["real_cons", "R&D <total>", "10% #1"]  # what HTML and LaTeX would trip over
TIDY = ["matrix", "term", "estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high", "status"]


def data() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    factor = np.convolve(rng.standard_normal(N + 20), 0.8 ** np.arange(20), mode="full")[20 : N + 20]
    y = np.outer(factor, [1.0, 0.7, 0.5]) + rng.standard_normal((N, 3))
    y[5:9, 1] = np.nan
    return pd.DataFrame(y, index=pd.period_range("2001-01", periods=N, freq="M"), columns=NAMES)


def fitted(name: str) -> Any:
    endog = data()
    market = pd.Series(np.random.default_rng(4).standard_normal(N), index=endog.index, name="MKT")
    if name == "LGSSM":
        return sse.LGSSM(endog, k_factors=1, identification="unit").fit()
    if name == "CAPM":
        return sse.CAPM(endog, market, obs_cov="diagonal", state_cov="scalar").fit()
    if name == "DynamicRegression":
        return sse.DynamicRegression(endog, market, dynamics={"MKT": "random_walk"}, state_cov="scalar").fit()
    return sse.ATSM(0.05 + 0.002 * endog, [1.0, 3.0, 7.0], k_factors=1).fit(method="mle")


@pytest.fixture(scope="module", params=["LGSSM", "DynamicRegression", "CAPM", "ATSM"])
def res(request: pytest.FixtureRequest) -> Any:
    return fitted(request.param)


def test_tidy_has_the_figures_of_statsmodels(res: Any) -> None:
    table = res.tidy(alpha=0.1)
    assert list(table.columns) == TIDY
    rows = table[table["matrix"] != "coefficients"].set_index("term").loc[res.model.param_names]
    assert_allclose(rows["estimate"], res.params)
    assert_allclose(rows["std_error"], res.bse)
    with np.errstate(invalid="ignore"):
        assert_allclose(rows["statistic"], res.tvalues)
        assert_allclose(rows["p_value"], res.pvalues, atol=1e-15)
    assert_allclose(rows[["conf_low", "conf_high"]], res.conf_int(alpha=0.1))
    assert set(rows["status"]) <= {"free", "boundary"}
    assert list(rows.index[rows["status"] == "boundary"]) == res.boundary
    for key, part in rows.groupby("matrix"):
        assert set(part.index) <= set(res.model.layout.blocks[key].names)


def test_tidy_has_constant_coefficients() -> None:
    res = fitted("CAPM")
    rows = res.tidy().query("matrix == 'coefficients'").set_index("term")
    assert list(rows.index) == [f"alpha.{name}" for name in NAMES]
    assert_allclose(rows["estimate"], res.alpha.estimate)
    assert_allclose(rows["std_error"], res.alpha.se)
    assert set(rows["status"]) == {"coefficient"}
    bare = res.model.fit(low_memory=True)  # which keeps no states
    assert "coefficients" not in set(bare.tidy()["matrix"])


def test_tidy_marks_what_is_fixed() -> None:
    model = sse.LGSSM(data(), k_factors=1, identification="unit")
    with model.fix_params({"L1.f1->f1": 0.8}):
        res = model.fit()
    rows = res.tidy().set_index("term")
    assert rows.index[rows["status"] == "fixed"].tolist() == ["L1.f1->f1"]
    assert rows.loc["L1.f1->f1", "estimate"] == 0.8 and np.isnan(rows.loc["L1.f1->f1", "std_error"])
    assert "L1.f1->f1 (fixed)" in res.summary().as_text()
    assert res.glance()["n_params"].item() == len(model.param_names) - 1


@pytest.mark.parametrize("alpha", [0.0, 1.0, -1.0, 5.0])
def test_alpha_is_a_probability(alpha: float) -> None:
    model = sse.LGSSM(data(), k_factors=1, identification="unit")
    res = model.smooth(model.start_params)
    for use in (res.tidy, res.summary):
        with pytest.raises(sse.SpecificationError, match="alpha must be between 0 and 1"):
            use(alpha)


def test_glance_is_one_row(res: Any) -> None:
    row = res.glance()
    assert len(row) == 1
    row = row.iloc[0]
    assert row["model"] == type(res.model).__name__
    assert row["nobs"] == N and row["n_series"] == 3
    assert row["missing"] == pytest.approx(4 / (3 * N))
    assert (row["log_lik"], row["aic"], row["bic"], row["hqic"]) == (res.llf, res.aic, res.bic, res.hqic)
    assert row["aic"] == pytest.approx(-2.0 * res.llf + 2.0 * res.df_model)
    assert row["converged"] and row["iterations"] == res.mle_retvals["iterations"]
    assert row["n_boundary"] == len(res.boundary)
    unfitted = res.model.smooth(res.params).glance().iloc[0]
    assert unfitted["converged"] is None and unfitted["method"] is None
    assert unfitted["log_lik"] == pytest.approx(res.llf)
    assert len(pd.concat([res.glance(), res.glance()])) == 2


# -- the summary -------------------------------------------------------------------------------------------


class Cells(html.parser.HTMLParser):
    """Text of the cells of the tables of a page; refuses tags that are not those of a table."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.inside = False

    def handle_starttag(self, tag: str, attrs: object) -> None:
        assert tag in {"table", "caption", "tr", "th", "td", "br"}, tag
        self.inside = tag in {"th", "td"}
        if self.inside:
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.cells[-1] += data


def test_summary_in_html(res: Any) -> None:
    parser = Cells()
    parser.feed(res.summary().as_html())
    cells = [cell.strip() for cell in parser.cells]
    if type(res.model).__name__ != "ATSM":  # whose summary has the matrices instead
        assert set(res.tidy()["term"]) <= set(cells)
    assert str(NAMES) in cells
    assert "&lt;total&gt;" in res.summary()._repr_html_()


def test_making_html_leaves_the_text_as_it_was(res: Any) -> None:
    summary = res.summary()
    text = summary.as_text()
    summary.as_html(), summary.as_latex()
    assert summary.as_text() == text == str(summary)


def test_summary_in_latex_escapes_names_and_lines(res: Any, tmp_path: Path) -> None:
    latex = res.summary().as_latex()
    body = latex.replace(r"\_", "").replace(r"\%", "").replace(r"\#", "")
    assert "_" not in body and "#" not in body
    lines = latex.split("\\raggedright\n")[-1]
    assert not re.search(r"(?<!\\)[&%#_]", lines)
    assert "Sample: 3 series, 80 periods" in lines
    compiler = shutil.which("pdflatex")
    if compiler:
        preamble = r"\documentclass{article}\usepackage{booktabs,longtable}\begin{document}"
        document = preamble + latex + r"\end{document}"
        (tmp_path / "a.tex").write_text(document, encoding="utf-8")
        subprocess.run([compiler, "-halt-on-error", "a.tex"], cwd=tmp_path, check=True, capture_output=True)


def test_summary_has_a_block_for_each_matrix() -> None:
    text = fitted("LGSSM").summary().as_text()
    titles = ("Loadings (design)", "Intercepts of the observations", "Transition", "Covariance of the obs")
    places = [text.index(title) for title in (*titles, "Covariance of the states")]
    assert places == sorted(places)
    assert text.index("Loadings (design)") < text.index("loading.f1->10% #1") < text.index("Intercepts of")
    assert text.index("Transition") < text.index("L1.f1->f1") < text.index("Covariance of the obs")
    for number in ("estimate", "std_error"):
        assert f"{fitted('LGSSM').tidy()[number][0]:#.4g}" in text


def test_summary_says_sample_filter_convergence_and_boundary() -> None:
    res = fitted("CAPM")
    text = res.summary().as_text()
    sample = "Sample: 3 series, 80 periods from 2001-01 to 2007-08, 1.7 % missing. "
    assert sample + "Filter: conventional, exact diffuse start over 2 periods." in text
    assert res.status_lines()[0].startswith("Converged: method auto")
    assert all(line in text for line in res.status_lines())
    model = sse.LGSSM(data(), k_factors=1, identification="unit")
    model.ssm.filter_univariate = True
    assert "Filter: univariate.\n" in model.smooth(model.start_params).summary().as_text() + "\n"


# -- maketables --------------------------------------------------------------------------------------------


def test_maketables_renders_results(res: Any) -> None:
    maketables = pytest.importorskip("maketables", reason="maketables is not installed")
    table = maketables.ETable([res, res.model.smooth(res.params)], type="df")
    rows = table.df
    found = dict(zip(rows.index.get_level_values(-1), rows.iloc[:, 0], strict=True))
    for name, value in res.params.items():
        assert found[name].replace("*", "").startswith(f"{value:.3f}"), name
    assert str(found["Observations"]) == str(N)
    assert "Observations" in table.make(type="tex")
