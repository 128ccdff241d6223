"""Flat directions of the likelihood: known counts, dense moments, and the information at a maximum."""

from __future__ import annotations

import time
import tracemalloc
import warnings

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.testing import assert_allclose
from oracle import joint, richardson_gradient
from systems import dense_system, draw_params, examples, sampled

from statespace_ext.inference import identification
from statespace_ext.inference.identification import (
    Identification,
    _by_moments,
    _general_position,
    orthonormal,
)
from statespace_ext.inference.information import observed_information
from statespace_ext.inference.realization import flat_directions
from statespace_ext.lgssm.model import LGSSM

NAN = np.nan
TRIANGULAR = {"identification": "triangular"}
X = np.random.default_rng(70).standard_normal((30, 2))
LEVEL = {"design": [[1], [1], [1]], "transition": "identity"}
ORIGIN = {"initialization": "known", "initial_state": "zero", "initial_state_cov": "identity"}
UNIT = {"identification": "unit"}
WHITE = {"design": "free", "transition": "zero", "state_cov": "identity"}

KNOWN_COUNTS = {
    # name: (flat directions, series, factors, specification)
    "one factor": (1, 3, 1, {}),
    "two factors": (4, 3, 2, {}),
    "three factors": (9, 4, 3, {}),
    "two factors, two lags": (4, 3, 2, {"lags": 2}),
    "two factors, full obs_cov": (4, 4, 2, {"obs_cov": "unstructured"}),
    "triangular": (0, 3, 2, TRIANGULAR),
    "triangular, two lags": (0, 3, 2, TRIANGULAR | {"lags": 2}),
    "unit": (0, 3, 2, {"identification": "unit"}),
    "unit innovations": (1, 3, 2, {"state_cov": "identity"}),
    "unit innovations, three factors": (3, 4, 3, {"state_cov": "identity"}),
    "diagonal innovations": (2, 3, 2, {"design": [[NAN, 0], [NAN] * 2, [NAN] * 2], "state_cov": "diagonal"}),
    "design fixed": (0, 3, 2, {"design": [[1, 0], [0, 1], [1, -1]]}),
    "two intercepts": (2, 3, 2, TRIANGULAR | {"state_intercept": "free"}),
    "intercept and mean": (2, 3, 2, TRIANGULAR | {"state_mean": "free"}),
    "three means": (4, 3, 2, TRIANGULAR | {"state_mean": "free", "state_intercept": "free"}),
    "mean of the states alone": (0, 3, 2, TRIANGULAR | {"state_mean": "free", "obs_intercept": "zero"}),
    "two intercepts and rotations": (6, 3, 2, {"state_intercept": "free"}),
    "regressors": (0, 3, 2, TRIANGULAR | {"exog": X}),
    "regressors of the states": (0, 3, 2, TRIANGULAR | {"state_exog": X}),
    "regressors of both": (0, 3, 2, TRIANGULAR | {"exog": X[:, :1], "state_exog": X[:, 1:]}),
    "ARMA(1, 1)": (1, 1, 1, {}),
    "ARMA(2, 2)": (5, 1, 2, {}),
    "ARMA(2, 2), lags": (1, 1, 1, {"lags": 2}),
    "white factor, three series": (0, 3, 1, WHITE),
    "white factor, two series": (1, 2, 1, WHITE),
    "white factor, scale free": (1, 3, 1, WHITE | {"state_cov": "diagonal"}),
    "known start, variance one": (1, 3, 2, ORIGIN),
    "estimated start": (4, 3, 2, {"initialization": "estimated"}),
    "estimated start with variance": (4, 3, 2, {"initialization": "estimated", "initial_state_cov": "free"}),
    "estimated start, triangular": (0, 3, 2, TRIANGULAR | {"initialization": "estimated"}),
    "diffuse level, intercepts": (1, 3, 1, LEVEL | {"initialization": "diffuse"}),
    "diffuse level, one series": (1, 1, 1, LEVEL | {"design": [[1]], "initialization": "diffuse"}),
    "diffuse level, one intercept less": (
        0, 3, 1, LEVEL | {"initialization": "diffuse", "obs_intercept": [0, NAN, NAN]},
    ),
    "diffuse level, drift": (1, 3, 1, LEVEL | {"initialization": "diffuse", "state_intercept": "free"}),
    "approximate diffuse level": (1, 3, 1, LEVEL | {"initialization": "approximate_diffuse"}),
    "estimated level, intercepts": (1, 3, 1, LEVEL | {"initialization": "estimated"}),
    "sum in an intercept": (1, 3, 1, UNIT | {"obs_intercept": [["a + b"], ["c"], ["d"]]}),
    "sum in a loading": (1, 3, 1, {"design": [[1], ["a + b"], ["2*a + 2*b"]]}),
    "sum in obs_cov": (1, 2, 1, UNIT | {"obs_cov": [["a + b", 0], [0, "c"]]}),
    "a sum and a difference": (0, 3, 1, UNIT | {"obs_intercept": [["a + b"], ["a - b"], ["d"]]}),
}  # fmt: skip


def identification_of(name: str, seed: int = 71) -> tuple[LGSSM, Identification]:
    _, p, k, spec = KNOWN_COUNTS[name]
    model, params = sampled(np.random.default_rng(seed), 30, p, k, root=0.8, **spec)
    return model, model.identification(params)


@pytest.mark.parametrize("name", KNOWN_COUNTS)
def test_known_counts(name: str) -> None:
    for seed in (71, 72):
        _, found = identification_of(name, seed)
        assert found.n_flat == KNOWN_COUNTS[name][0]
        assert bool(found.message) == bool(found.n_flat)
        assert bool(found.names) == bool(found.n_flat)


def test_names_are_those_that_can_be_moved() -> None:
    model, found = identification_of("two factors")
    assert set(found.names) == {name for name in model.param_names if not name.startswith("obs_")}
    model, found = identification_of("two intercepts")
    assert set(found.names) == {name for name in model.param_names if "intercept" in name}
    _, found = identification_of("diffuse level, intercepts")
    assert set(found.names) == {"obs_intercept.y1", "obs_intercept.y2", "obs_intercept.y3"}


def test_the_message_says_why() -> None:
    assert "rotated or rescaled" in identification_of("two factors")[1].message
    assert "4 directions" in identification_of("two factors")[1].message
    assert "mean stands beside a free intercept" in identification_of("diffuse level, intercepts")[1].message
    assert "1 direction " in identification_of("one factor")[1].message


def test_fixed_parameters_pin_directions_down() -> None:
    model, params = sampled(np.random.default_rng(73), 30, 3, 2)
    values = dict(zip(model.param_names, params, strict=True))
    pins = ["loading.f1->y1", "loading.f2->y1", "loading.f1->y2", "loading.f2->y2"]
    for count in range(5):
        held = {name: values[name] for name in pins[:count]}
        found = model.identification(params, held)
        assert found.n_flat == 4 - count
        assert len(found.free) == len(params) - count
        with model.fix_params(held):
            assert model.identification(params).n_flat == 4 - count


def test_everything_fixed() -> None:
    model, params = sampled(np.random.default_rng(74), 30, 2, 1)
    found = model.identification(params, dict(zip(model.param_names, params, strict=True)))
    assert found.n_flat == 0
    assert len(found.free) == 0


def test_a_problem_that_is_too_large_is_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the moments, whose cost is that of the squared number of series."""
    monkeypatch.setattr(identification, "_LARGEST_PROBLEM", 10.0)
    _, found = identification_of("diffuse level, intercepts")
    assert found.n_flat == 0 and "not checked" in found.message
    assert identification_of("one factor")[1].n_flat == 1


@pytest.mark.filterwarnings("error")
def test_a_model_without_parameters() -> None:
    one = [[1.0]]
    model = LGSSM(
        X[:, :1], 1, design=one, obs_intercept="zero", obs_cov=one, transition="zero", state_cov=one
    )
    assert model.param_names == []
    assert model.identification([]).n_flat == 0


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_units_of_the_data_do_not_matter(scale: float) -> None:
    model, params = sampled(np.random.default_rng(75), 30, 3, 2)
    at = model.matrices(params)
    for key, power in (("design", 1), ("obs_intercept", 1), ("obs_cov", 2)):
        at[key] = at[key] * scale**power
    assert model.identification(model.params_from_matrices(at)).n_flat == 4


def test_a_special_point_does_not_mislead() -> None:
    """Zero loadings, a zero transition or no noise: there the rank is lower than near by."""
    model, params = sampled(np.random.default_rng(76), 30, 3, 2, **TRIANGULAR)
    for key in ("design", "transition", "obs_cov"):
        special = params.copy()
        special[model.layout.index[key]] = 0.0
        assert model.identification(special).n_flat == 0, key


def test_matrices_that_vary_late_in_the_sample_identify() -> None:
    """A break in the design at t = 20 identifies what a constant one does not."""
    n = 30
    state_cov = np.where(np.arange(n) < 20, 1.0, 4.0) * np.eye(2)[:, :, None]
    model, params = sampled(
        np.random.default_rng(77), n, 3, 2, state_cov=state_cov, initialization="estimated"
    )
    assert model.identification(params).n_flat == 1  # both covariances are scalar: a rotation is left
    state_cov[1, 1, 20:] = 9.0
    model, params = sampled(
        np.random.default_rng(77), n, 3, 2, state_cov=state_cov, initialization="estimated"
    )
    assert model.identification(params).n_flat == 0


# -- two ways to count ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KNOWN_COUNTS)
def test_the_realization_finds_the_directions_of_the_moments(name: str) -> None:
    """
    Where the model is minimal, has constant matrices and a proper start.

    Elsewhere it declines, also if elements identify nothing but a sum of parameters.
    """
    _, p, k, spec = KNOWN_COUNTS[name]
    model, params = sampled(np.random.default_rng(71), 30, p, k, root=0.8, **spec)
    free = np.arange(len(params))
    point = _general_position(model, params, free)
    found = flat_directions(model, point, free)
    declines = name.startswith(("white factor", "diffuse", "approximate", "sum"))
    assert (found is None) == declines
    if found is not None:
        bases = [orthonormal((null * units).T) for null, units in (found, _by_moments(model, point, free))]
        assert_allclose(bases[0] @ bases[0].T, bases[1] @ bases[1].T, atol=1e-7)


@pytest.mark.parametrize("apart", [1e-2, 1e-3, 1e-4, 5e-5])
def test_loadings_that_are_nearly_the_same_sum(apart: float) -> None:
    """The scale of the factor is free, whether the data tell the parameters of the sums apart or not."""
    loadings = np.array([["a + b"], [f"a + {1 + apart} * b"], ["a + b"]], dtype=object)
    model, params = sampled(np.random.default_rng(71), 30, 3, 1, root=0.8, design=loadings)
    found = model.identification(params)
    assert found.n_flat == 1
    assert set(found.names) == {"a", "b", "state_var.f1"}


def test_a_direction_of_zeros_spans_nothing() -> None:
    columns = np.array([[0.0, 3e-200], [0.0, 4e-200]])
    assert_allclose(np.abs(orthonormal(columns)), [[0.6], [0.8]])


def test_a_mean_of_a_factor_that_series_see_through_another_one() -> None:
    """The moments of y stay the same along every direction, checked by the dense oracle."""
    spec = {"lags": 2, "obs_cov": "equicorrelated", "state_cov": "identity", "state_mean": "free"}
    model, _ = sampled(np.random.default_rng(942), 20, 2, 2, design=[[0, NAN], [0, NAN]], **spec)
    params = draw_params(np.random.default_rng(942), model, root=0.8)
    assert model.identification(params).n_flat == 4 == flat_by_dense_moments(model, params, 10)


@pytest.mark.parametrize("obs_cov", ["diagonal", "unstructured", "scalar", "identity"])
def test_many_series_take_memory_in_proportion_to_their_parameters(obs_cov: str) -> None:
    p = 150 if obs_cov == "unstructured" else 600
    model = LGSSM(np.random.default_rng(9).standard_normal((40, p)), 2, obs_cov=obs_cov)
    params = model.start_params
    tracemalloc.start()
    assert model.identification(params).n_flat == 4
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5000 * len(params)


# -- against the moments of the data ---------------------------------------------------------------------


def flat_by_dense_moments(model: LGSSM, params: np.ndarray, n: int) -> int:
    """Parameters less the rank of the derivative of the mean and covariance of y_1..y_n, by the oracle."""

    def moments(at: np.ndarray) -> np.ndarray:
        system, _ = dense_system(model.system(at))
        everything = joint(system, n)
        y = slice(n * model.k_states, None)
        return np.concatenate([everything.mean[y], (everything.factor[y] @ everything.factor[y].T).ravel()])

    jacobian = richardson_gradient(moments, params)
    size = np.linalg.norm(jacobian, axis=0)
    jacobian = jacobian / np.where(
        size > 1e-9, size, 1.0
    )  # rounding of a parameter without effect stays rounding
    values = np.linalg.svd(jacobian, compute_uv=False)
    assert not np.any((values < 1e-5) & (values > 1e-8)), "no clear gap"
    return int(np.sum(values <= 1e-8)) + max(len(params) - len(values), 0)


@examples(25)
@given(
    seed=st.integers(0, 10_000),
    p=st.integers(1, 3),
    k=st.integers(1, 2),
    lags=st.integers(1, 2),
    obs_cov=st.sampled_from(["diagonal", "unstructured", "scalar", "identity"]),
    state_cov=st.sampled_from(["unstructured", "diagonal", "identity", "scalar"]),
    transition=st.sampled_from(["free", "diagonal"]),
    mean=st.sampled_from(
        [{}, {"state_mean": "free"}, {"state_intercept": "free"}, {"obs_intercept": "zero"}]
    ),
    start=st.sampled_from(["stationary", "estimated"]),
)
def test_counts_are_those_of_the_dense_moments(
    seed, p, k, lags, obs_cov, state_cov, transition, mean, start
) -> None:
    spec = {"lags": lags, "obs_cov": obs_cov, "state_cov": state_cov, "transition": transition, **mean}
    model, _ = sampled(np.random.default_rng(seed), 20, p, k, initialization=start, **spec)
    params = draw_params(np.random.default_rng(seed), model, root=0.8)
    n = 2 * model.k_states + 2
    assert model.identification(params).n_flat == flat_by_dense_moments(model, params, n)


# -- against the information at a maximum ----------------------------------------------------------------


INTERIOR = {  # samples whose maximum is inside the parameter space
    "one factor": 92,
    "two factors": 97,
    "unit innovations": 94,
    "triangular": 90,
    "two intercepts": 94,
    "diffuse level, intercepts": 90,
    "design fixed": 90,
}


@pytest.mark.parametrize("name", INTERIOR)
def test_zero_eigenvalues_of_the_information(name: str) -> None:
    """As many as there are flat directions, at the maximum; and no more."""
    count, p, k, spec = KNOWN_COUNTS[name]
    model, params = sampled(np.random.default_rng(INTERIOR[name]), 150, p, k, missing=0.1, root=0.8, **spec)
    optimum = model.fit(params, return_params=True)
    assert all(
        np.linalg.eigvalsh(model.matrices(optimum)[key]).min() > 0.05 for key in ("obs_cov", "state_cov")
    )
    information = observed_information(model, optimum)
    scale = 1 / np.sqrt(np.diag(information))
    values = np.linalg.eigvalsh(information * scale[:, None] * scale)
    assert np.sum(np.abs(values) < 1e-5) == count
    assert np.all(values[count:] > 1e-3)
    assert model.identification(optimum).n_flat == count


def test_a_warning_and_the_summary_name_what_is_not_identified() -> None:
    model, params = sampled(np.random.default_rng(92), 100, 3, 1, root=0.8)
    with pytest.warns(UserWarning, match="flat along 1 direction"):
        res = model.fit(params)
    assert "flat along 1 direction" in str(res.summary())
    assert res.df_model == len(params) - 1
    moved = res.identification.names
    assert np.all(np.isnan(res.bse[[model.param_names.index(name) for name in moved]]))
    others = [i for i, name in enumerate(model.param_names) if name not in moved]
    assert np.all(res.bse[others] > 0)


def test_standard_errors_of_what_is_identified_do_not_depend_on_the_rest() -> None:
    """The same model, rotated freely and in two normalisations."""
    y = sampled(np.random.default_rng(92), 100, 3, 1, missing=0.1, root=0.8)[0].endog
    fits = []
    for spec in ({}, TRIANGULAR, {"identification": "unit"}):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fits.append(LGSSM(y, 1, **spec).fit())
    names = [name for name in fits[0].model.param_names if name.startswith(("obs_", "L1"))]
    kept = [name for name in names if not np.isnan(fits[0].bse[fits[0].model.param_names.index(name)])]
    assert len(kept) == 7  # three intercepts, three variances, the autoregressive coefficient
    for fit in fits[1:]:
        for name in kept:
            places = [f.model.param_names.index(name) for f in (fits[0], fit)]
            assert_allclose(fit.params[places[1]], fits[0].params[places[0]], rtol=1e-4, atol=1e-5)
            assert_allclose(fit.bse[places[1]], fits[0].bse[places[0]], rtol=1e-3)


@pytest.mark.parametrize(("spec", "flat"), [(TRIANGULAR, 0), ({}, 4)], ids=["triangular", "free"])
def test_many_lags_are_counted_in_seconds(spec: dict, flat: int) -> None:
    model = LGSSM(np.random.default_rng(8).standard_normal((200, 4)), 2, lags=40, **spec)
    transition = np.hstack([0.5 * np.eye(2), np.zeros((2, 78))])
    design = [[1.0, 0.0], [0.5, 1.0], [0.3, 0.2], [0.1, 0.8]]
    params = model.layout.project(
        {"transition": transition, "obs_cov": np.eye(4), "state_cov": np.eye(2), "design": np.array(design)},
        np.zeros(len(model.layout)),
    )
    before = time.process_time()
    assert model.identification(params, {}).n_flat == flat
    assert time.process_time() - before < 5.0  # by the 6,400 x 6,400 system of P_1 alone it took 13
