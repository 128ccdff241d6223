"""A search: what it shows while it runs, and what Ctrl-C leaves."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import statespace_ext as sse
from statespace_ext import datasets
from statespace_ext.fit.problem import EstimationProblem


@pytest.fixture(autouse=True)
def _interruptible() -> Iterator[None]:
    """A process that a shell starts in the background ignores SIGINT: not here."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def lgssm(**options: Any) -> sse.LGSSM:
    return sse.LGSSM(
        datasets.simulate_lgssm(100, rng=1).endog, k_factors=1, lags=2, identification="unit", **options
    )


def capm() -> sse.CAPM:
    data = datasets.simulate_capm(120, rng=1)
    return sse.CAPM(data.endog, data.exog)


def atsm(**options: Any) -> sse.ATSM:
    data = datasets.simulate_atsm(80, maturities=(0.5, 2.0, 5.0, 10.0), rng=1)
    return sse.ATSM(data.endog, [0.5, 2.0, 5.0, 10.0], k_factors=2, **options)


def after(count: int) -> Callable[[Any], None]:
    """Return a callback that sends the process an interrupt, as Ctrl-C does, at one of the iterations."""
    calls = []

    def callback(_: Any) -> None:
        calls.append(1)
        if len(calls) == count:
            signal.raise_signal(signal.SIGINT)

    return callback


FITS: dict[str, tuple[Callable[[], Any], dict[str, Any], int]] = {
    "EM": (lgssm, {"method": "em"}, 5),
    "EM before the gradient method": (lgssm, {"method": "auto"}, 3),
    "L-BFGS": (lgssm, {"method": "lbfgs"}, 4),
    "Newton": (lgssm, {"method": "newton"}, 2),
    "Nelder-Mead": (lgssm, {"method": "nm"}, 3),
    "with a barrier": (lambda: lgssm(obs_cov=np.diag([np.nan] * 4)), {"method": "lbfgs"}, 3),
    "several starts": (lgssm, {"n_starts": 3, "rng": 0, "method": "lbfgs"}, 40),
    "CAPM": (capm, {}, 4),
    "ATSM": (atsm, {}, 20),
    "ATSM, by portfolios": (lambda: atsm(identification="dai-singleton"), {}, 10),
    "ATSM, EM": (atsm, {"method": "em"}, 2),
}


@pytest.mark.parametrize(("build", "options", "count"), FITS.values(), ids=FITS.keys())
def test_an_interrupt_returns_the_best_so_far(build: Any, options: dict[str, Any], count: int) -> None:
    model = build()
    seen: list[float] = []
    interrupt = after(count)

    def callback(params: Any) -> None:
        if "dai-singleton" not in str(model):  # which goes by way of other parameters
            seen.append(model.loglike(params))
        interrupt(params)

    with pytest.warns(sse.ConvergenceWarning, match="interrupted: the best parameters so far"):
        res = model.fit(callback=callback, **options)
    assert not res.converged and res.mle_retvals["task"] == "interrupted: the best parameters so far"
    assert f"NOT CONVERGED: method {options.get('method', 'auto')}" in res.summary().as_text()
    assert "interrupted" in res.summary().as_text()
    assert np.isfinite(res.llf) and res.llf == pytest.approx(model.loglike(res.params))
    assert res.llf >= max(seen[:-1], default=-np.inf) - 1e-8 * abs(
        res.llf
    )  # the last are those that EM would look at next
    fresh = build()
    fresh.update(res.params)
    for name in ("design", "transition", "obs_cov", "state_cov"):  # a fit leaves the model at its estimates
        assert_array_equal(model.ssm[name], fresh.ssm[name])


def test_an_interrupted_fit_can_go_on() -> None:
    model = lgssm()
    with pytest.warns(sse.ConvergenceWarning):
        res = model.fit(callback=after(5))
    again, whole = model.fit(res.params), model.fit()
    assert again.converged and again.llf > res.llf
    assert_allclose(again.llf, whole.llf, rtol=1e-8)


def test_an_interrupted_em_has_the_trace_of_the_way() -> None:
    model = lgssm()
    with pytest.warns(sse.ConvergenceWarning):
        res = model.fit(method="em", callback=after(5))
    with pytest.warns(sse.ConvergenceWarning):
        short = model.fit(method="em", maxiter=4)
    assert_allclose(res.em_trace["llf"], short.em_trace["llf"])
    assert_allclose(res.em_trace["change"], short.em_trace["change"])
    assert_allclose(res.params, short.params)


def test_fixed_parameters_stay_fixed() -> None:
    model = lgssm()
    with model.fix_params({"L1.f1->f1": 0.4}), pytest.warns(sse.ConvergenceWarning):
        res = model.fit(callback=after(3))
    assert res.params["L1.f1->f1"] == 0.4


def test_an_interrupt_before_anything_is_known_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> Any:
        raise KeyboardInterrupt

    model = lgssm()
    monkeypatch.setattr(sse.LGSSM, "default_start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit()


def test_the_problem_remembers_the_best() -> None:
    model = lgssm()
    problem, start = EstimationProblem(model, {}), model.start_params
    assert problem.best is None and problem.path == []
    values = [problem.value(factor * start) for factor in (1.1, 1.0, 1.2)]
    assert problem.best is not None and problem.best[0] == max(values)
    assert_array_equal(problem.best[1], (1.1, 1.0, 1.2)[int(np.argmax(values))] * start)
    assert problem.path == [values[0], values[1]] if values[1] > values[0] else [values[0]]
    problem.value(-start)
    assert problem.best[0] == max(values)


# -- what is shown -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"method": "em"}, {"n_starts": 2, "rng": 0}])
def test_a_fit_is_silent(options: dict[str, Any], capfd: pytest.CaptureFixture[str]) -> None:
    lgssm().fit(**options)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("build", [lgssm, capm])
def test_a_bar_on_request_shows_the_log_likelihood(build: Any, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    res = build().fit(progress=True)
    shown = capfd.readouterr()
    assert shown.out == "" and "fit: 100%" in shown.err
    values = [float(value) for value in re.findall(r"llf=(-?[\d.e+]+)", shown.err)]
    assert values and values[-1] <= res.llf + 1e-3 * abs(res.llf)
    assert_allclose(values[-1], res.llf, rtol=1e-2)


def test_lines_on_request(capfd: pytest.CaptureFixture[str]) -> None:
    res = lgssm().fit(method="em", disp=True)
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == len(res.em_trace)
    assert lines[-1].startswith("Iteration") and lines[-1].endswith(f"log-likelihood = {res.llf:.8g}")


def test_the_bar_is_closed_by_an_interrupt(capfd: pytest.CaptureFixture[str]) -> None:
    tqdm = pytest.importorskip("tqdm")
    with pytest.warns(sse.ConvergenceWarning):
        lgssm().fit(progress=True, callback=after(3))
    assert "llf=" in capfd.readouterr().err
    assert not [bar for bar in tqdm.tqdm._instances if bar.desc == "fit"]


def test_a_bar_without_tqdm_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tqdm", "tqdm.auto"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(sse.UnsupportedError, match=r"needs tqdm\. Install it: .*\[progress\]"):
        lgssm().fit(progress=True)
