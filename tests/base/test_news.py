"""News and revisions beside a full covariance of the noise, against two dense conditional expectations."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from typing import Any

import numpy as np
import oracle
import pandas as pd
import pytest
from edge_data import BUILD
from incomplete import EXOG, FULL, MODELS, N, P, Plain, dense, dense_states, evaluated, lgssm, sample
from numpy.testing import assert_allclose
from statsmodels.tsa.statespace.mlemodel import MLEResults

import statespace_ext as sse

TIGHT = {"rtol": 0.0, "atol": 1e-10}
DETAILS = "revisions_details_start" in inspect.signature(MLEResults.news).parameters
"""Whether statsmodels can group revisions; before 0.14.2 all have details."""


def cells(y: pd.DataFrame, **values: float) -> pd.DataFrame:
    """Return the data with other cells: a23=1.0 is column a, row 23."""
    out = y.copy()
    for name, value in values.items():
        out.loc[out.index[int(name[1:])], name[0]] = value
    return out


def release(kind: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the data before and after a release."""
    y, nan = cells(sample(), a23=np.nan, b23=1.2, c23=0.3), np.nan
    if kind == "a cell":
        return cells(y, b23=nan), y
    if kind == "new rows":
        return y.iloc[: N - 3], cells(y, a22=0.4, b22=nan)
    if kind == "cells of all ages":
        return cells(y, b23=nan, a20=nan, b20=nan, c20=0.1, b9=nan), cells(
            y, a20=-1.0, b20=nan, c20=0.1, b9=2.0
        )
    if kind == "revisions":
        return cells(y, c23=0.8, a20=nan, b20=1.0, c20=0.5), cells(
            y, a20=nan, b20=0.6, c20=0.5, a0=3.0, b8=1.0
        )
    if kind == "all":
        before = cells(y, a0=nan, b23=nan, c23=0.8, a20=nan, b20=1.0, c20=0.5)
        return before, cells(y, b1=1.0, a20=0.9, b20=0.6, c20=nan if kind == "" else 0.2, b8=1.0)
    raise AssertionError(kind)


KINDS = ("a cell", "new rows", "cells of all ages", "revisions", "all")
every_model = pytest.mark.parametrize("name", MODELS)
PAIRS = [("LGSSM", kind) for kind in KINDS[:-1]] + [(name, KINDS[-1]) for name in MODELS]
PAIRS += [(name, "new rows") for name in ("a user's", "exog", "CAPM")]
every_pair = pytest.mark.parametrize(("name", "kind"), PAIRS)


def news_of(after: Any, before: Any, start: int = 0, end: int = N - 1, **options: Any) -> Any:
    if not DETAILS:
        options.pop("revisions_details_start", None)
    elif "revisions_details_start" not in options:
        options["revisions_details_start"] = True
    return after.news(before, start=start, end=end, comparison_type="previous", **options)


@every_pair
def test_predictions_and_impacts(name: str, kind: str) -> None:
    old, new = release(kind)
    before, after = evaluated(name, old), evaluated(name, new)
    known = old.reindex(new.index)
    system, params = after.model, np.asarray(after._results.params)
    first, last = (dense(system, params, each.to_numpy())[0] for each in (known, new))
    found = news_of(after, before)
    was, is_ = known.notna().to_numpy(), new.notna().to_numpy()
    prev, post = found.prev_impacted_forecasts.to_numpy(), found.post_impacted_forecasts.to_numpy()
    assert_allclose(prev[~was], first[~was], **TIGHT)
    assert_allclose(post[~is_], last[~is_], **TIGHT)
    total = found.total_impacts.to_numpy()
    assert_allclose(total[~was & ~is_], (last - first)[~was & ~is_], **TIGHT)
    assert_allclose(total, expected_totals(system, params, known.to_numpy(), new.to_numpy()), **TIGHT)
    assert_allclose(number(found.update_impacts) + number(found.revision_impacts), total, **TIGHT)


def number(table: pd.DataFrame) -> pd.DataFrame:
    """Return impacts, zero where there are none."""
    return table.astype(float).fillna(0.0)


def expected_totals(model: Any, params: Any, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """
    Return the changes of predictions of all cells by dense expectations of states and of noise.

    Those of a cell are of d + Z x + B e_o: o is what else its row has after, if the cell is missing after,
    and what it had before, if the cell is new. B is zero for a cell that is observed in both.
    """
    system = model.system(params)
    x = [dense_states(model, params, each) for each in (before, after)]
    out = np.zeros(before.shape)
    for t in range(len(before)):
        m = oracle.at({name: getattr(system, name) for name in ("design", "obs_intercept", "obs_cov")}, t)
        Z, d, H = m["design"], m["obs_intercept"], m["obs_cov"]
        was, is_ = ~np.isnan(before[t]), ~np.isnan(after[t])
        means = []
        for state, y, seen in ((x[0][t], before[t], was), (x[1][t], after[t], is_)):
            signal, mean = d + Z @ state, d + Z @ state
            for i in np.flatnonzero(~was):
                o = np.flatnonzero(seen if not is_[i] else was)
                mean[i] += H[i, o] @ np.linalg.pinv(H[np.ix_(o, o)]) @ (y[o] - signal[o])
            means.append(mean)
        out[t] = means[1] - means[0]
    return out


@every_pair
def test_the_details_add_up(name: str, kind: str) -> None:
    old, new = release(kind)
    after, before = evaluated(name, new), evaluated(name, old)
    starts: tuple[Any, ...] = (True, False, 9, -10) if name == "LGSSM" else (9,)
    for start in starts if DETAILS else (True,):
        found = news_of(after, before, N - 5, revisions_details_start=start, tolerance=-1.0)
        updates, revisions = number(found.update_impacts), number(found.revision_impacts)
        if len(found.news):
            for table in (found.details_by_impact, found.details_by_update):
                total = table["impact"].groupby(level=["impact date", "impacted variable"]).sum().unstack()
                assert_allclose(total.loc[updates.index, updates.columns], updates, **TIGHT)
            by_weight = (found.weights.to_numpy() * found.news.to_numpy()[:, None]).sum(axis=0)
            assert_allclose(by_weight.reshape(updates.shape), updates, **TIGHT)
        if len(found.revisions_iloc):
            table = found.revision_details_by_impact
            level = ["impact date", "impacted variable"]
            total = table["impact"].groupby(level=level).sum().unstack()
            assert_allclose(total.loc[revisions.index, revisions.columns], revisions, **TIGHT)
            table = found.revision_details_by_update
            assert_allclose(
                table["impact"].groupby(level=level).sum().unstack().loc[revisions.index, revisions.columns],
                revisions,
                **TIGHT,
            )
        if DETAILS and start is True:
            assert_allclose(found.revision_grouped_impacts, 0.0, **TIGHT)
            if len(found.revisions_iloc):
                assert_allclose(found.revision_detailed_impacts, revisions, **TIGHT)
        assert_allclose(updates + revisions, found.total_impacts, **TIGHT)


@every_pair
def test_the_news(name: str, kind: str) -> None:
    """A surprise is what a cell is, less its expectation given the earlier cells at their revised values."""
    old, new = release(kind)
    after, before = evaluated(name, new), evaluated(name, old)
    found = news_of(after, before)
    known = new.where(old.reindex(new.index).notna())
    mean, _ = dense(after.model, np.asarray(after._results.params), known.to_numpy())
    new_cells = np.argwhere((new.notna() & known.isna()).to_numpy())
    assert len(found.news) == len(new_cells)
    expected = [new.iloc[t, i] - mean[t, i] for t, i in new_cells]
    assert_allclose(found.news, expected, **TIGHT)
    assert_allclose(found.update_forecasts, [mean[t, i] for t, i in new_cells], **TIGHT)
    assert_allclose(found.update_realized, [new.iloc[t, i] for t, i in new_cells], **TIGHT)


@every_model
def test_the_weights_are_derivatives(name: str) -> None:
    old, new = release("all")
    after, before = evaluated(name, new), evaluated(name, old)
    found = news_of(after, before)
    params, missing = np.asarray(after._results.params), new.isna().to_numpy()
    base, known = dense(after.model, params, new.to_numpy())[0], new.where(old.notna())
    middle, absent = dense(after.model, params, known.to_numpy())[0], known.isna().to_numpy()
    for table, data, mean, where in (
        (found.weights, new, base, missing),
        (found.revision_weights, known, middle, absent),
    ):
        for date, variable in table.index:
            moved = data.copy()
            moved.loc[date, variable] += 1.0
            change = dense(after.model, params, moved.to_numpy())[0] - mean
            weights = table.loc[(date, variable)].to_numpy().reshape(N, P)
            assert_allclose(weights[where], change[where], rtol=0.0, atol=1e-9)


@pytest.mark.parametrize("name", ["LGSSM", "two lags", "diffuse", "a user's"])
def test_impacts_after_the_sample(name: str) -> None:
    old, new = release("all")
    after, before = evaluated(name, new), evaluated(name, old)
    found = news_of(after, before, start=N - 1, end=N + 2, tolerance=-1.0)
    longer = MODELS[name](new.reindex(pd.period_range(new.index[0], periods=N + 3, freq="M")))
    first, last = (dense(longer, [], each.to_numpy(), N + 3)[0] for each in (old, new))
    assert_allclose(found.total_impacts.iloc[1:], (last - first)[N:], **TIGHT)
    assert_allclose(found.update_impacts + found.revision_impacts, found.total_impacts, **TIGHT)
    total = found.details_by_impact["impact"].groupby(level=[0, 1]).sum().unstack()
    assert_allclose(total, found.update_impacts, **TIGHT)


@pytest.mark.parametrize("name", ["exog", "DynamicRegression"])
def test_impacts_after_the_sample_with_regressors(name: str) -> None:
    old, new = release("all")
    after, before = evaluated(name, new), evaluated(name, old)
    index = pd.period_range(new.index[-1] + 1, periods=2, freq="M")
    rows = EXOG[N : N + 2] if name == "exog" else np.column_stack([np.ones(2), EXOG[N : N + 2, 0]])
    exog = pd.DataFrame(rows, index=index, columns=after.model.exog_names)
    found = news_of(after, before, start=N - 1, end=N + 1, exog=exog)
    longer = MODELS[name](new.reindex(new.index.append(index)))
    params = np.asarray(after._results.params)
    first, last = (
        dense(longer, params, each.reindex(longer.data.row_labels).to_numpy())[0] for each in (old, new)
    )
    assert_allclose(found.total_impacts.iloc[1:], (last - first)[N:], **TIGHT)
    assert_allclose(found.update_impacts + found.revision_impacts, found.total_impacts, **TIGHT)


def test_appended_and_extended_results_and_data() -> None:
    old, new = release("new rows")
    before = evaluated("LGSSM", old)
    params, expected = [], evaluated("LGSSM", new)
    total = expected_totals(expected.model, params, old.reindex(new.index).to_numpy(), new.to_numpy())
    appended = before.append(new.iloc[N - 3 :])
    assert_allclose(news_of(appended, before).total_impacts, total, **TIGHT)
    options = {"revisions_details_start": True} if DETAILS else {}
    by_data = before.news(new, start=0, end=N - 1, comparison_type="updated", **options)
    assert_allclose(by_data.total_impacts, total, **TIGHT)
    backwards = expected.news(old, start=0, end=N - 1, comparison_type="previous", **options)
    assert_allclose(backwards.total_impacts, total, **TIGHT)
    # results that begin at row 10, from the distribution of its state given the rows before
    first = evaluated("LGSSM", old.iloc[:10])
    parts = [first.extend(each.iloc[10:]) for each in (old, new)]
    found = news_of(parts[1], parts[0], start=0, end=N - 11)
    assert_allclose(found.total_impacts, total[10:], **TIGHT)


def test_after_a_fit_and_other_uses_of_the_model() -> None:
    """News are of the results, whatever the models were used for since."""
    y = sample(5, 60)
    before = sse.LGSSM(y, 1, obs_cov="unstructured", state_cov="identity").fit(cov_type="none")
    new = y.copy()
    new.iloc[-1, 0] = 0.7
    after = before.apply(new)
    for res in (before, after):
        res.model.update(0.9 * np.asarray(res.params))
    found = news_of(after, before, start=50, end=59)
    total = expected_totals(after.model, np.asarray(after.params), y.to_numpy(), new.to_numpy())
    assert_allclose(found.total_impacts, total[50:], **TIGHT)
    assert_allclose(found.update_impacts, found.total_impacts, **TIGHT)


def test_chosen_states() -> None:
    """The impact through a state is its loading times its change; the noise has no part in it."""
    old, new = release("a cell")
    before, after = evaluated("LGSSM", old), evaluated("LGSSM", new)
    found = news_of(after, before, state_index=[1])
    change = [dense_states(after.model, [], each.to_numpy()) for each in (old, new)]
    expected = np.outer((change[1] - change[0])[:, 1], after.matrices["design"].iloc[:, 1])
    assert_allclose(found.update_impacts, expected, **TIGHT)


# -- beside statsmodels ------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", [{}, {"initialization": "diffuse"}], ids=["stationary", "diffuse"])
@pytest.mark.parametrize("kind", ["a cell", "cells of all ages", "one new row", "revised"])
def test_a_diagonal_covariance_is_as_in_statsmodels(kind: str, spec: dict[str, Any]) -> None:
    if kind == "one new row":
        old, new = sample().iloc[:-1], sample()
    elif kind == "revised":
        old, new = sample(), cells(sample(), a20=1.0, b20=0.5, c21=1.0)
        old = cells(old, a20=0.5, b20=0.2, c21=0.4)
    else:
        old, new = release(kind)
    found, theirs = beside(old, new, obs_cov=np.diag(np.diag(FULL)), **spec)
    for name, value in vars(theirs).items():
        ours = getattr(found, name)
        if isinstance(value, (pd.Series, pd.DataFrame)):
            pd.testing.assert_index_equal(ours.index, value.index)
            for a, b in zip(ours.to_numpy().ravel(), value.to_numpy().ravel(), strict=True):
                assert a == pytest.approx(b, abs=1e-9, nan_ok=True) if isinstance(b, float) else a == b, name
        elif isinstance(value, int):
            assert ours == value, name
    text = [re.sub(r"\d\d:\d\d:\d\d", "", str(each.summary())) for each in (found, theirs)]
    assert text[0].replace("LGSSM", "Plain") == text[1]


@pytest.mark.parametrize("rows", [1, 2])
def test_whole_rows_are_as_in_statsmodels(rows: int) -> None:
    """Where no row is observed in part, the full covariance has no say in what is missing."""
    y = sample().ffill().bfill()
    found, theirs = beside(y.iloc[:-rows], y)
    for name in ("total_impacts", "update_impacts", "weights", "news", "post_impacted_forecasts"):
        assert_allclose(getattr(found, name), getattr(theirs, name), rtol=0.0, atol=1e-9)


def beside(old: pd.DataFrame, new: pd.DataFrame, **spec: Any) -> tuple[Any, Any]:
    """Return our news and those of a plain model with the same matrices."""
    models = [lgssm(each, **spec) for each in (old, new)]
    ours = [model.smooth([]) for model in models]
    plain = [
        Plain(each, model.system(np.zeros(0))).smooth([])
        for each, model in zip((old, new), models, strict=True)
    ]
    return news_of(*ours[::-1], start=N - 6, end=N + 1), news_of(*plain[::-1], start=N - 6, end=N + 1)


def test_a_part_of_the_periods() -> None:
    """The impacts on some periods do not depend on which others are asked for."""
    old, new = release("all")
    before, after = evaluated("CAPM", old), evaluated("CAPM", new)
    whole, part = news_of(after, before), news_of(after, before, 2, 4)
    for name in ("total_impacts", "update_impacts", "revision_impacts"):
        assert_allclose(getattr(part, name), getattr(whole, name).iloc[2:5], **TIGHT)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda res: pickle.loads(pickle.dumps(res))])
def test_copies(copied: Any) -> None:
    old, new = release("all")
    results = [evaluated("DynamicRegression", each) for each in (new, old)]
    found, expected = news_of(*map(copied, results)), news_of(*results)
    assert_allclose(found.total_impacts, expected.total_impacts, **TIGHT)
    assert_allclose(copied(results[0]).impute().se, results[0].impute().se, **TIGHT)


def test_yields() -> None:
    """The noise of the term structure model is diagonal: impacts are those on A + B x."""
    build, data = BUILD["ATSM"]
    y = pd.DataFrame(data(), columns=list("abc"))
    before = y.copy()
    before.iloc[-1, :2] = before.iloc[-3, 0] = np.nan
    model = build(y)
    res = model.smooth(model.start_params)
    parts = [res.apply(before), res]
    found = news_of(*parts[::-1], start=56, end=61)
    ahead = [each.get_prediction(56, 61, information_set="smoothed").predicted_mean for each in parts]
    assert_allclose(found.total_impacts, ahead[1] - ahead[0], rtol=0.0, atol=1e-12)
    assert_allclose(found.update_impacts, found.total_impacts, rtol=0.0, atol=1e-12)


def test_a_cell_that_is_withdrawn() -> None:
    """It has no revision, but the change of predictions is right."""
    old, new = release("all")
    new = cells(new, c20=np.nan)
    before, after = evaluated("LGSSM", old), evaluated("LGSSM", new)
    found = news_of(after, before)
    first, last = (dense(after.model, [], each.to_numpy())[0] for each in (old, new))
    gone = (old.isna() & new.isna()).to_numpy()
    assert_allclose(found.total_impacts.to_numpy()[gone], (last - first)[gone], **TIGHT)
    assert_allclose(found.update_impacts + found.revision_impacts, found.total_impacts, **TIGHT)


# -- what has no right answer ------------------------------------------------------------------------------


def test_results_at_other_parameters() -> None:
    old, new = release("a cell")
    before, after = lgssm(old, obs_cov=2 * FULL).smooth([]), evaluated("LGSSM", new)
    with pytest.raises(sse.SpecificationError, match="same parameters.*obs_cov"):
        news_of(after, before)


def test_data_that_begin_later() -> None:
    """The cells of the two data sets are not those of the same periods."""
    known = {"initialization": "known", "initial_state": [0.0, 0.0], "initial_state_cov": np.eye(2)}
    before, after = (lgssm(each, **known).smooth([]) for each in (sample().iloc[3:], sample()))
    with pytest.raises(sse.SpecificationError, match="begin at the same period.*2001-04 and 2001-01"):
        news_of(after, before)


def test_states_that_were_not_smoothed() -> None:
    y = sample()
    res = sse.LGSSM(y, 1, identification="unit").fit(low_memory=True, cov_type="none")
    with pytest.raises(sse.SpecificationError, match="smooth"):
        res.news(cells(y, a23=0.1), start=N - 1, end=N - 1, comparison_type="updated")


def test_regressors_of_periods_that_nobody_knows() -> None:
    old, new = release("a cell")
    before, after = evaluated("DynamicRegression", old), evaluated("DynamicRegression", new)
    with pytest.raises(sse.StateSpaceError, match="exog"):
        news_of(after, before, start=N - 1, end=N + 1)
    raw = after._results._news_previous_results
    with pytest.raises(sse.SpecificationError, match="matrices of periods after the data.*design"):
        raw(before._results, N - 1, N + 2)


@pytest.mark.parametrize("wrong", ["A", ["a", "z"], 3])
def test_an_unknown_impacted_variable(wrong: object) -> None:
    before, after = release("a cell")
    with pytest.raises(
        sse.SpecificationError, match="impacted_variable are unknown: got .*; expected a, b, c"
    ):
        evaluated("LGSSM", after).news(before, impacted_variable=wrong, comparison_type="previous")


def test_starts_that_differ() -> None:
    known = {"initialization": "known", "initial_state_cov": np.eye(2)}
    starts = [[0.0, 0.0], [0.0, 1.0]]
    before, after = (lgssm(sample(), initial_state=start, **known).smooth([]) for start in starts)
    with pytest.raises(sse.SpecificationError, match="initial distribution: got different initial_state[.]"):
        news_of(after, before)


def test_results_with_different_numbers_of_states() -> None:
    models = (sse.LGSSM(sample(), k) for k in (2, 3))
    before, after = (model.smooth(model.start_params) for model in models)
    with pytest.raises(sse.SpecificationError, match="same parameters.*design.*transition.*initial_state"):
        news_of(after, before)
