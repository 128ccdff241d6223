"""The starts of a fit: which of them end at the maximum at hand, and which go on."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from capm import structured_cases
from edge_data import BUILD, factor_series, lgssm
from numpy.testing import assert_allclose, assert_array_equal
from walk_subjects import SUBJECTS

import statespace_ext as sse
from statespace_ext.fit.fit import _leads_to, begun, spread
from statespace_ext.fit.objective import FitResult, Objective
from statespace_ext.fit.problem import EstimationProblem, FitRequest
from statespace_ext.fit.search import Search, maximise

STORED = Path(__file__).resolve().parents[1] / "reference" / "structured_random_starts.json"


@pytest.mark.parametrize(
    ("name", "above"), [("W with one zero, first half", 0.36), ("W with one zero, second half", 0.0)]
)
def test_a_start_that_comes_near_a_lower_maximum_does_not_end_there(
    name: str, above: float, shared_data: Path
) -> None:
    """The best of 20 random starts is above the maximum of the first start, or equal to it."""
    data, options = structured_cases(shared_data)[name]
    model = sse.DynamicRegression(*data, **options)
    res, best = model.fit(cov_type="none"), json.loads(STORED.read_text())["best_llf"][name]
    assert res.llf > best - 1e-4
    assert best - model.fit(model.start_params, cov_type="none").llf == pytest.approx(above, abs=0.01)


@pytest.mark.parametrize("method", ["auto", "em", "nm", "newton"])
@pytest.mark.parametrize("name", ["LGSSM", "CAPM", "ATSM"])
def test_a_fit_without_free_parameters_is_at_the_fixed_ones(name: str, method: str) -> None:
    model, params = SUBJECTS[name].model(), SUBJECTS[name].params
    llf = model.loglike(params)
    with model.fix_params(dict(zip(model.param_names, params, strict=True))):
        res = model.fit(method=method, cov_type="none")
    assert res.converged and res.mle_retvals["score_norm"] == 0.0
    assert_array_equal(res.params, params)
    assert_allclose(res.llf, llf, rtol=1e-12)


def leads_to_zero(llf: Callable[[float], float], at: float, close: float) -> bool:
    """Return whether a point counts as on the slope of the maximum at zero, for a function of one number."""
    slope = (llf(at + 1e-6) - llf(at - 1e-6)) / 2e-6
    same = SimpleNamespace(constrain=lambda z: z, unconstrain=lambda params: params)
    model: Any = SimpleNamespace(mirrored=lambda problem, params, near: params)
    problem: Any = SimpleNamespace(model=model, layout=same, value=lambda params: llf(float(params[0])))
    objective: Any = SimpleNamespace(
        evaluate=lambda w: (-llf(at), np.array([-slope])),
        params=lambda w: w,
        unconstrained=lambda w: w,
        scale=np.ones(1),
        slope=lambda way, gradient: -float(gradient @ way),
    )
    maximum = FitResult(np.zeros(1), llf(0.0), "auto", True, "converged")
    return _leads_to(problem, objective, maximum, 0.1, close, np.array([at]))


def test_a_start_close_below_the_maximum_ends_if_the_line_between_them_is_concave() -> None:
    def quartic(x: float) -> float:
        return -(x**4)

    def with_a_dip(x: float) -> float:
        return -0.5 * x**2 + 0.4 * np.cos(6.0 * x)

    assert leads_to_zero(quartic, 0.9, 1.0)
    assert not leads_to_zero(quartic, 0.9, 0.0)  # it is no parabola
    assert not leads_to_zero(quartic, 1.1, 1.0)  # it is lower by more
    assert not leads_to_zero(with_a_dip, 0.95, 1.0)
    assert not leads_to_zero(lambda x: -np.sqrt(abs(x)), 0.5, 1.0)  # convex


def factor_model(seed: int, p: int, k: int) -> sse.LGSSM:
    rng = np.random.default_rng(seed)
    f = np.zeros((120, k))
    for t in range(1, 120):
        f[t] = 0.8 * f[t - 1] + rng.standard_normal(k)
    y = f @ rng.standard_normal((p, k)).T + 0.7 * rng.standard_normal((120, p))
    return sse.LGSSM(y, k, identification="triangular")


def wandering(seed: int, p: int, **options: str) -> sse.CAPM:
    rng = np.random.default_rng(seed)
    market = rng.standard_normal(120)
    y = market[:, None] * (1.0 + np.cumsum(0.1 * rng.standard_normal((120, p)), axis=0))
    return sse.CAPM(y + 0.6 * rng.standard_normal((120, p)), market, **options)


MODELS = {
    "one factor": lambda: factor_model(1, 4, 1),
    "two factors": lambda: factor_model(2, 6, 2),
    "random walk": lambda: wandering(3, 6, beta="random_walk"),
    "diagonal W": lambda: wandering(3, 6, beta="random_walk", state_cov="diagonal"),
}


@pytest.mark.parametrize("name", MODELS)
def test_starts_that_agree_take_few_scores(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A default fit takes at most 1.5 times the scores of a fit from its first start, where that is best."""
    calls, inner = [], EstimationProblem.value_and_score

    def counted(problem: EstimationProblem, params: np.ndarray) -> object:
        calls.append(params)
        return inner(problem, params)

    monkeypatch.setattr(EstimationProblem, "value_and_score", counted)
    model = MODELS[name]()
    one = maximise(model.problem(), FitRequest(), model.start_params, 2000)
    alone = len(calls)
    calls.clear()
    res = model.fit(cov_type="none")
    assert res.llf == pytest.approx(one.llf, abs=1e-5)
    assert len(calls) <= 1.5 * alone


def test_second_derivatives_are_for_searches_that_need_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take a score for each parameter. A fit that converges without them does not compute them."""
    turned: list[int] = []
    inner = Objective.whiten
    monkeypatch.setattr(Objective, "whiten", lambda self, *order: turned.append(1) or inner(self, *order))
    model = factor_model(1, 4, 1)
    res = model.fit(cov_type="none")
    assert res.converged and not turned
    again = model.fit(res.params * 1.001, cov_type="none")  # near a maximum they come first
    assert turned and again.llf == pytest.approx(res.llf, abs=1e-6)


@pytest.mark.parametrize("method", ["auto", "newton"])
def test_a_search_whose_rounds_take_no_iteration_ends(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each round of a method that cannot step is followed by Newton steps that gain a little, for ever."""
    rounds: list[int] = []

    def round_without_iterations(self: Search, steps: int, stops: object = None) -> None:
        rounds.append(steps)
        assert len(rounds) < 50, "the search does not end"
        self.objective.value_here -= 1e-3

    monkeypatch.setattr(Search, "round", round_without_iterations)
    monkeypatch.setattr(Search, "judge", lambda self, inverse, goes_on: False)
    y = np.random.default_rng(0).standard_normal((60, 2)).cumsum(axis=0)
    with pytest.warns(sse.ConvergenceWarning):
        sse.LGSSM(y, 1, identification="triangular").fit(method=method, cov_type="none")


# -- starts in worker processes: the same fit, computed elsewhere -------------------------------------------


@pytest.fixture
def parallel() -> Any:
    pytest.importorskip("joblib", reason="the extra 'parallel' is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of joblib: no semaphores, in some containers
        yield


@pytest.mark.usefixtures("parallel")
def test_elsewhere_and_in_order() -> None:
    problem = lgssm(factor_series()).problem()

    def pid_and(item: int) -> tuple[int, int, int]:
        return os.getpid(), item, len(problem.layout)

    found = [*spread(pid_and, range(6), 2)]
    assert [item for _, item, _ in found] == [*range(6)]
    assert os.getpid() not in {pid for pid, _, _ in found}
    assert {size for _, _, size in found} == {len(problem.layout)}
    for n_jobs, count in ((1, 6), (2, 1)):
        assert {pid for pid, _, _ in spread(pid_and, range(count), n_jobs)} == {os.getpid()}


@pytest.mark.usefixtures("parallel")
@pytest.mark.parametrize("kind", ["LGSSM", "CAPM", "ATSM"])
def test_processes_do_not_change_the_fit(kind: str) -> None:
    build, sample = BUILD[kind]
    options = {"n_starts": 3, "rng": 1, "cov_type": "none"}
    one, two = (build(sample()).fit(n_jobs=jobs, **options)._results for jobs in (1, 2))
    assert_allclose(
        two.params, one.params, rtol=1e-7, atol=1e-9
    )  # rounding differs where memory is laid out anew
    assert_allclose(two.llf, one.llf, rtol=1e-11)
    assert len(two._fit.starts) == len(one._fit.starts) >= 3
    assert_allclose(two._fit.starts, one._fit.starts, rtol=1e-9)


@pytest.mark.usefixtures("parallel")
def test_what_is_held_fixed_is_held_there_too() -> None:
    model = lgssm(factor_series())
    with model.fix_params({"obs_var.y1": 0.3}):
        res = model.fit(n_starts=2, rng=0, n_jobs=2, cov_type="none")
    assert res.params[model.param_names.index("obs_var.y1")] == 0.3
    assert np.isfinite(res.llf)


@pytest.mark.usefixtures("parallel")
def test_what_cannot_be_had_from_other_processes(capsys: pytest.CaptureFixture[str]) -> None:
    model = lgssm(factor_series())
    with pytest.raises(sse.SpecificationError, match="callback"):
        model.fit(n_starts=2, n_jobs=2, callback=print)
    for bad in (0, 1.5, "two", True):
        with pytest.raises(sse.SpecificationError, match="n_jobs"):
            model.fit(n_jobs=bad)
    model.fit(n_starts=2, rng=0, n_jobs=2, disp=True, cov_type="none")
    assert capsys.readouterr().out == ""


def test_a_proposed_start_without_a_likelihood_is_passed_over() -> None:
    """It is not turned into a start that has one, and its value at no covariance is not the best so far."""
    model = lgssm(factor_series(), obs_cov="unstructured")
    problem = model.problem()
    start = problem.reduced(model.start_params)
    start[problem.layout.block_params("obs_cov")[0]] = -0.5
    assert begun(problem, [], start) is None
    assert problem.best is None


@pytest.mark.parametrize("maxiter", [2, 2.0, np.float32(2.0), np.int8(2)])
def test_whole_numbers_of_any_type_limit_the_iterations(maxiter: Any) -> None:
    res = lgssm(factor_series()).fit(maxiter=maxiter, disp=False, cov_type="none", tolerance=0)
    assert res.mle_retvals["iterations"] == 2
