"""A normalisation is one object: one that the package does not have goes through all that a model does."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from oracle import richardson_gradient
from yields import random_panel

import statespace_ext as sse
from statespace_ext.inference.many import fingerprint
from statespace_ext.term_structure.dynamics import Values
from statespace_ext.term_structure.normalisation import CrossSection, Normalisation

TAU = np.array([0.25, 1.0, 3.0, 7.0, 10.0])


class LevelSlopeCurvature(sse.Normalisation):
    """Nelson and Siegel's factors, by the half-life of the slope in place of its decay."""

    factors = ["L", "S", "C"]

    def __init__(self, first: float = 1.5) -> None:
        self.first = first

    def blocks(self) -> dict[str, Any]:
        return {"half_life": [["half_life"]]}

    def pricing(self, at: Values) -> sse.Pricing:
        decay = np.log(2.0) / at["half_life"][0, 0]
        K = decay * np.array([[0.0, 0.0, 0.0], [0.0, 1.0, -1.0], [0.0, 0.0, 1.0]])
        return sse.Pricing(K, np.zeros(3), 0.0, np.array([1.0, 1.0, 0.0]))

    def starts(self, sample: CrossSection) -> list[Any]:
        return [({"half_life": [[self.first * times]]}, None) for times in (1.0, 3.0)]


class UnitNoise(sse.Normalisation):
    """One factor whose Sigma is one, as in the normalisation of Dai and Singleton."""

    factors = ["f1"]
    latent = scaled = True

    def blocks(self) -> dict[str, Any]:
        return {**dict.fromkeys(("K_Q", "delta_0", "delta_1"), [[np.nan]]), "state_cov": [[1.0]]}

    def pricing(self, at: Values) -> sse.Pricing:
        return sse.Pricing(at["K_Q"], np.zeros(1), at["delta_0"][0, 0], at["delta_1"][:, 0])

    def starts(self, sample: CrossSection) -> list[Any]:
        size = np.std(np.diff(sample.yields.mean(axis=1))) / np.sqrt(sample.step)
        values = {"K_Q": [[0.1]], "delta_0": [[sample.yields.mean()]], "delta_1": [[size]]}
        return [(values, None)]


def yields(n: int = 60, k: int = 3) -> Any:
    return random_panel(np.random.default_rng(3), n, TAU, k=k)


def curves(n: int = 120) -> pd.DataFrame:
    """Return yields of three autoregressive factors with the loadings of Nelson and Siegel, and noise."""
    rng, index = np.random.default_rng(5), pd.period_range("2000-01", periods=150, freq="M")
    X = np.zeros((len(index), 3))
    for t in range(1, len(X)):
        X[t] = [0.97, 0.95, 0.9] * X[t - 1] + [0.003, 0.004, 0.007] * rng.standard_normal(3)
    slope = (1.0 - np.exp(-0.5 * TAU)) / (0.5 * TAU)
    design = np.column_stack([np.ones(5), slope, slope - np.exp(-0.5 * TAU)])
    noise = 0.0008 * rng.standard_normal((len(X), 5))
    return pd.DataFrame([0.06, -0.02, -0.01] @ design.T + X @ design.T + noise, index, TAU.astype(str))[:n]


def same_params(model: sse.ATSM, params: np.ndarray) -> np.ndarray:
    """Return parameters of the built-in model as those of the one of this page, in the order of both."""
    out = np.array(params)
    out[0] = np.log(2.0) / params[0]
    assert model.param_names[0] == "half_life"
    return out


BUILT_IN: dict[str, dict[str, Any]] = {
    "jsz": {},
    "dai-singleton": {"identification": "dai-singleton"},
    "dai-singleton-pairs": {"identification": "dai-singleton-pairs"},
    "afns": {"identification": "afns"},
    "observed": {"factors": np.asarray(yields())[:, [0, 2, 4]] * 1.1},
}


@pytest.mark.parametrize("name", BUILT_IN)
def test_derivatives_by_default_are_those_of_the_formula(name: str) -> None:
    model = sse.ATSM(yields(), TAU, **BUILT_IN[name])
    at, rng = model.matrices(model.start_params), np.random.default_rng(1)
    by = sse.Pricing(
        rng.standard_normal((3, 3)), rng.standard_normal(3), rng.standard_normal(), rng.standard_normal(3)
    )
    ours, numerical = model.norm.vjp(at, by), Normalisation.vjp(model.norm, at, by)
    assert set(ours) <= set(numerical)
    for key, value in ours.items():
        size = np.max(np.abs(numerical[key]))
        assert_allclose(value, numerical[key], rtol=1e-6, atol=1e-7 * size, err_msg=key)
    assert all(not np.any(numerical[key]) for key in set(numerical) - set(ours))


def test_the_likelihood_is_that_of_the_same_model_of_the_package() -> None:
    theirs = sse.ATSM(yields(), TAU, identification="afns")
    ours = sse.ATSM(yields(), TAU, identification=LevelSlopeCurvature())
    params = theirs.start_params
    moved = same_params(ours, params)
    assert_allclose(ours.loglike(moved), theirs.loglike(params), rtol=1e-10)
    assert ours.factor_names == ["L", "S", "C"]
    score = ours.score(moved)
    step = 1e-4 * np.maximum(np.abs(moved), 1e-5)
    assert_allclose(
        score * step, richardson_gradient(ours.loglike, moved, step=step) * step, rtol=1e-5, atol=1e-7
    )


@pytest.fixture(scope="module")
def fitted() -> Any:
    return sse.ATSM(curves(), TAU, identification=LevelSlopeCurvature(), p_dynamics="diagonal").fit()


def test_it_is_fitted_from_its_own_start_values(fitted: Any) -> None:
    theirs = sse.ATSM(curves(), TAU, identification="afns", p_dynamics="diagonal").fit(cov_type="none")
    assert fitted.converged
    assert_allclose(fitted.llf, theirs.llf, atol=1e-4)
    assert_allclose(np.log(2.0) / fitted.params["half_life"], theirs.params["decay"], rtol=1e-3)
    assert np.all(fitted.bse > 0)
    text = str(fitted.summary())
    assert "half_life" in text and "K_P.L.L" in text and "Prices of risk" in text
    assert "LevelSlopeCurvature(first=1.5)" in repr(fitted.model)


def test_what_the_base_does_for_every_model(fitted: Any) -> None:
    model, params = fitted.model, np.asarray(fitted.params)
    clone = model.clone(curves(150))
    assert isinstance(clone.norm, LevelSlopeCurvature) and clone.nobs == 150
    assert_allclose(fitted.append(curves(150)[120:]).llf, clone.loglike(params), rtol=1e-9)
    assert_allclose(
        fitted.extend(curves(150)[120:]).llf, clone.loglike(params) - model.loglike(params), rtol=1e-6
    )
    again = pickle.loads(pickle.dumps(fitted))
    assert again.model.loglike(params) == model.loglike(params)
    assert fingerprint(again.model) == fingerprint(model)
    other = model.clone(curves(), identification=LevelSlopeCurvature(2.0))
    assert fingerprint(other) != fingerprint(model)
    assert set(model.matrices(params)) == set(model.layout.blocks)
    table = fitted.delta_method(lambda at: np.log(2.0) / model.matrices(at)["half_life"])
    K_Q = fitted.matrices_table().loc[("K_Q", "S", "S")]
    assert_allclose(table[["estimate", "std_error"]].to_numpy()[0], K_Q, rtol=1e-6)


def test_forecasts_and_premia_are_those_of_the_same_model_of_the_package(fitted: Any) -> None:
    theirs = sse.ATSM(curves(), TAU, identification="afns", p_dynamics="diagonal")
    moved = np.asarray(fitted.params).copy()
    moved[0] = np.log(2.0) / moved[0]
    res = theirs.smooth(moved)
    for ours, want in (
        tuple(each.forecast_yields(3, param_uncertainty=False) for each in (fitted, res)),
        tuple(each.term_premium(10.0, param_uncertainty=False) for each in (fitted, res)),
    ):
        assert_allclose(ours.estimate, want.estimate, rtol=1e-8)
        assert_allclose(ours.se, want.se, rtol=1e-8)
    wide, given = (
        fitted.term_premium(10.0, date="2009-12", param_uncertainty=each) for each in (True, False)
    )
    assert np.all(wide.se > given.se)


def test_bootstrap_and_windows(fitted: Any) -> None:
    drawn = fitted.bootstrap(2, rng=1)
    assert drawn.params.shape == (2, len(fitted.params)) and np.all(np.isfinite(drawn.params))
    rolling = fitted.rolling(110, step=10)
    assert np.all(np.isfinite(rolling.params["half_life"]))


def test_em_takes_it() -> None:
    res = sse.ATSM(yields(), TAU, identification=LevelSlopeCurvature()).fit(
        method="em", maxiter=3, tolerance=0.0, cov_type="none"
    )
    assert np.all(np.diff(res.em_trace["llf"]) > 0)


class Named(LevelSlopeCurvature):
    def blocks(self) -> dict[str, Any]:
        half = {"half_life": [["1 + half_life"]], "column": np.full((3, 1), np.nan)}
        return {**half, "square": np.where(np.eye(3) > 0, np.nan, 2.0), "pair": [[np.nan, np.nan]]}


def test_names_of_free_elements() -> None:
    model = sse.ATSM(yields(), TAU, identification=Named())
    wanted = ["half_life", *(f"column.{name}" for name in "LSC"), *(f"square.{n}.{n}" for n in "LSC")]
    assert model.param_names[:9] == [*wanted, "pair.1", "pair.2"]
    at = model.matrices(np.arange(len(model.param_names)) / 100.0)
    assert_allclose(at["half_life"], [[1.0]])
    assert_allclose(at["square"], np.diag([0.04, 0.05, 0.06]) + 2.0 * (1.0 - np.eye(3)))


def test_one_that_sets_sigma() -> None:
    ours = sse.ATSM(yields(k=1), TAU, 1, identification=UnitNoise())
    theirs = sse.ATSM(yields(k=1), TAU, 1, identification="dai-singleton")
    params = theirs.start_params
    assert_allclose(ours.loglike(params), theirs.loglike(params), rtol=1e-12)
    assert np.isfinite(ours.loglike(ours.start_params))
    for options in (
        {"state_cov": "diagonal"},
        {"initialization": "diffuse"},
        {"factors": 1.1 * np.asarray(yields())[:, :1]},
    ):
        with pytest.raises(sse.SpecificationError, match=r"identification=UnitNoise\(\)"):
            sse.ATSM(yields(k=1), TAU, 1, identification=UnitNoise(), **options)


class Taken(LevelSlopeCurvature):
    def blocks(self) -> dict[str, Any]:
        return {"K_P": [["half_life"]]}


class Flat(LevelSlopeCurvature):
    def blocks(self) -> dict[str, Any]:
        return {"half_life": ["half_life"]}


@pytest.mark.parametrize(
    ("identification", "message"),
    [
        (LevelSlopeCurvature, "identification is unknown: got <class"),
        (np.eye(3), "identification is unknown"),
        (Taken(), "must not have the name of a block of the model: got K_P"),
        (Flat(), "half_life of a normalisation must be a matrix"),
        (UnitNoise(), r"has 1 factors: got k_factors=3"),
    ],
)
def test_what_is_no_normalisation(identification: Any, message: str) -> None:
    with pytest.raises(sse.SpecificationError, match=message):
        sse.ATSM(yields(), TAU, identification=identification)
