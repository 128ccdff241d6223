"""The flat parameter vector; counts of parameters against ranks and by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from oracle import richardson_gradient

import statespace_ext as sse
from statespace_ext.exceptions import ParameterError, SpecificationError
from statespace_ext.params.affine import affine_matrix
from statespace_ext.params.layout import (
    ParameterLayout,
    UnitInterval,
    coefficients_by_series,
    most_identified,
    own_columns,
    without_noise,
)
from statespace_ext.params.parse import parse_covariance, parse_matrix

NAN = np.nan
COVARIANCES = frozenset({"H", "Q"})


def cov_name(stem: str):
    return lambda i, j: f"{stem}.{max(i, j)}.{min(i, j)}"


def layout_of(H: object = "diagonal", Q: object = "unstructured", **options) -> ParameterLayout:
    """Shared and combined parameters, a transition over time, a fixed block, two covariances."""
    over_time = np.random.default_rng(0).standard_normal((2, 2, 5))
    over_time[0, 1] = NAN
    blocks = {
        "Z": parse_matrix(
            [["a", "2*b"], ["b - a + 1", 0.5], ["c", "a"]], (3, 2), "Z", lambda i, j: f"z.{i}.{j}"
        ),
        "T": parse_matrix(over_time, (2, 2), "T", lambda i, j: f"t.{i}.{j}", 5),
        "c": parse_matrix(["c", 0.3], (2, 1), "c", lambda i, j: f"c.{i}"),
        "fixed": affine_matrix(np.eye(2), []),
        "H": parse_covariance(H, 3, "H", cov_name("h")),
        "Q": parse_covariance(Q, 2, "Q", cov_name("q")),
    }
    return ParameterLayout(blocks, COVARIANCES, **options)


def params_of(layout: ParameterLayout) -> np.ndarray:
    rng = np.random.default_rng(1)
    variances = {"h.0.0", "h.1.1", "h.2.2", "q.0.0", "q.1.1", "v"}
    return np.array(
        [2 + rng.random() if name in variances else 0.5 * rng.standard_normal() for name in layout.names]
    )


def test_names_positions_and_matrices() -> None:
    layout = layout_of()
    assert layout.names == ["a", "b", "c", "t.0.1", "h.0.0", "h.1.1", "h.2.2", "q.0.0", "q.1.0", "q.1.1"]
    assert len(layout) == 10
    assert_array_equal(layout.positions(["c", "a"]), [2, 0])
    assert_array_equal(layout.block_params("c"), [2])
    params = np.arange(10.0)
    at = layout.matrices(params)
    assert_array_equal(at["Z"], [[0, 2], [2, 0.5], [2, 0]])
    assert_array_equal(at["T"][0, 1], np.full(5, 3.0))
    assert_array_equal(at["c"], [[2], [0.3]])
    assert_array_equal(at["H"], np.diag([4.0, 5, 6]))
    assert_array_equal(at["Q"], [[7, 8], [8, 9]])
    assert_array_equal(at["fixed"], np.eye(2))


def test_matrices_are_new_arrays() -> None:
    layout = layout_of()
    params = params_of(layout)
    first = layout.matrices(params)
    for value in first.values():
        value[:] = 9.0
    again = layout.matrices(params)
    assert_array_equal(again["fixed"], np.eye(2))
    assert_array_equal(again["Q"][0, 0], params[7])
    assert_array_equal(params, params_of(layout))


def weights(layout: ParameterLayout) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    return {key: rng.standard_normal(block.fixed.shape) for key, block in layout.blocks.items()}


def weighted(layout: ParameterLayout, params: np.ndarray) -> float:
    """A smooth function of the matrices, whose gradient by element is easy."""
    at = layout.matrices(params)
    return sum(float(np.sum(weight * np.sin(at[key]))) for key, weight in weights(layout).items())


def by_element(layout: ParameterLayout, params: np.ndarray) -> dict[str, np.ndarray]:
    at = layout.matrices(params)
    return {key: weight * np.cos(at[key]) for key, weight in weights(layout).items()}


@pytest.mark.parametrize("H", ["diagonal", "scalar", "unstructured", "equicorrelated"])
def test_gradient(H: str) -> None:
    """Shared, combined and symmetric elements, and those over time, are summed up."""
    layout = layout_of(H)
    params = params_of(layout)
    want = richardson_gradient(lambda at: weighted(layout, at), params)
    assert_allclose(layout.gradient(by_element(layout, params)), want, rtol=1e-8, atol=1e-10)


def test_gradient_of_some_blocks() -> None:
    layout = layout_of()
    gradient = layout.gradient({"c": np.array([[3.0], [5.0]])})
    assert_array_equal(gradient, [0, 0, 3, *[0] * 7])


@pytest.mark.parametrize(
    ("H", "Q"),
    [
        ("diagonal", "unstructured"),
        ("equicorrelated", "diagonal"),
        ([["v", 0, 0], [0, "v", 0], [0, 0, 1]], [["v", 0], [0, "w"]]),  # shared by two matrices
        ([["v", 0, 0], [0, "v", 0], [0, 0, 1]], [["v", "u"], ["u", "w"]]),
        ([[NAN, NAN, 0], [NAN, NAN, NAN], [0, NAN, NAN]], "zero"),
    ],
)
def test_transform(H: object, Q: object) -> None:
    """constrain(unconstrain(params)) is params, and vjp the gradient through it."""
    layout = layout_of(H, Q, bounded=frozenset({"t.0.1"}))
    params = params_of(layout)
    params[layout.names.index("t.0.1")] = 0.7
    if "w" in layout.names:
        params[layout.positions(["w"])] = 1.5
    z = layout.unconstrain(params)
    assert_allclose(layout.constrain(z), params, rtol=1e-12)
    gradient = layout.gradient(by_element(layout, params))
    want = richardson_gradient(lambda at: weighted(layout, layout.constrain(at)), z)
    assert_allclose(layout.vjp(z, gradient), want, rtol=1e-7, atol=1e-9)


def test_coefficients_are_not_transformed() -> None:
    layout = layout_of()
    params = params_of(layout)
    assert_array_equal(layout.unconstrain(params)[:4], params[:4])


def test_bounded_parameters_stay_inside() -> None:
    layout = layout_of(bounded=frozenset({"t.0.1", "a"}))
    z = np.full(len(layout), 50.0)
    assert np.all(np.abs(layout.constrain(z)[[0, 3]]) < 1)
    assert layout.fix({"a": 0.3}).bounded == {"t.0.1"}


# -- parameters held fixed -------------------------------------------------------------------------------


@pytest.mark.parametrize("held", [["a"], ["b", "c"], ["q.1.0"], ["h.0.0", "t.0.1"], [], "all"])
def test_fix_changes_no_matrix(held: list | str) -> None:
    layout = layout_of()
    params = params_of(layout)
    held = layout.names if held == "all" else held
    values = dict(zip(layout.names, params, strict=True))
    fixed = layout.fix({name: values[name] for name in held})
    assert fixed.names == [name for name in layout.names if name not in held]
    free = np.array([values[name] for name in fixed.names])
    before, after = layout.matrices(params), fixed.matrices(free)
    for key in before:
        assert_allclose(after[key], before[key], rtol=1e-14)
    kept = layout.positions(fixed.names)
    whole = layout.gradient(by_element(layout, params))
    assert_allclose(fixed.gradient(by_element(layout, params)), whole[kept])
    assert len(layout) == 10


def test_fix_refuses_unknown_names() -> None:
    with pytest.raises(ParameterError, match="Unknown parameter: got z"):
        layout_of().fix({"z": 1.0})


# -- vectors ---------------------------------------------------------------------------------------------


def test_vectors() -> None:
    layout = layout_of()
    params = params_of(layout)
    named = dict(zip(layout.names, params, strict=True))
    backwards = dict(reversed(named.items()))
    for given in (
        params,
        params.tolist(),
        tuple(params),
        pd.Series(named),
        named,
        backwards,
        pd.Series(backwards),
    ):
        assert_array_equal(layout.vector(given), params)


def test_a_vector_is_a_copy() -> None:
    layout = layout_of()
    params = params_of(layout)
    layout.vector(params)[:] = 0
    assert_array_equal(params, params_of(layout))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p[:-1], ["wrong shape", "(9,)", "(10,)"]),
        (lambda p: np.append(p, 1.0), ["wrong shape", "(11,)"]),
        (lambda p: p[None], ["wrong shape", "(1, 10)"]),
        (lambda p: 3.0, ["wrong shape"]),
        (lambda p: np.where(np.arange(10) == 1, NAN, p), ["not finite", "got b"]),
        (lambda p: np.where(np.arange(10) == 4, np.inf, p), ["not finite", "got h.0.0"]),
        (lambda p: ["x"] * 10, ["must be real numbers"]),
        (lambda p: p + 1j, ["must be real numbers"]),
        (lambda p: {"a": 1.0}, ["do not match", "missing: b"]),
        (lambda p: dict.fromkeys([*layout_of().names, "zz"], 1.0), ["do not match", "unknown: zz"]),
        (lambda p: pd.Series(p), ["do not match"]),
        (lambda p: None, []),
    ],
)
@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")
def test_bad_vectors_are_refused(change, words: list) -> None:
    layout = layout_of()
    with pytest.raises(ParameterError) as caught:
        layout.vector(change(params_of(layout)))
    for word in words:
        assert word in str(caught.value)


# -- project ---------------------------------------------------------------------------------------------


def test_project_recovers_parameters() -> None:
    layout = layout_of()
    params = params_of(layout)
    at = layout.matrices(params)
    given = {key: at[key] for key in ("Z", "H", "Q", "c")} | {"T": at["T"].mean(axis=2)}
    assert_allclose(layout.project(given, np.zeros(10)), params, rtol=1e-10)


def test_project_is_least_squares_and_leaves_the_rest() -> None:
    layout = layout_of()
    params = params_of(layout)
    rng = np.random.default_rng(3)
    target = rng.standard_normal((3, 2))
    found = layout.project({"Z": target}, params)
    assert_array_equal(found[3:], params[3:])

    def distance(first: np.ndarray) -> float:
        return float(np.sum((layout.matrices(np.concatenate([first, params[3:]]))["Z"] - target) ** 2))

    assert np.abs(richardson_gradient(distance, found[:3])).max() < 1e-8


def test_project_of_a_fixed_block_changes_nothing() -> None:
    layout = layout_of()
    params = params_of(layout)
    assert_array_equal(layout.project({"fixed": np.ones((2, 2))}, params), params)


# -- roles -----------------------------------------------------------------------------------------------


def test_a_name_is_a_coefficient_or_a_covariance() -> None:
    with pytest.raises(SpecificationError, match="coefficient in one matrix.*a"):
        layout_of(H=[["a", 0, 0], [0, 1, 0], [0, 0, 1]])


def test_shared_covariances_have_a_transform_only_where_it_is_one() -> None:
    assert set(layout_of().structures) == {"H", "Q"}
    scalars = layout_of([["v", 0, 0], [0, "v", 0], [0, 0, 1]], [["v", 0], [0, "w"]])
    assert set(scalars.structures) == {"H", "Q"}
    mixed = layout_of([["v", 0, 0], [0, "v", 0], [0, 0, 1]], [["v", "u"], ["u", "w"]])
    assert set(mixed.structures) == set()


def test_project_goes_on_after_a_fixed_block() -> None:
    layout = layout_of()
    params = params_of(layout)
    matrices = layout.matrices(params)
    found = layout.project({"fixed": matrices["fixed"], "H": matrices["H"]}, np.zeros(len(layout)))
    places = layout.block_params("H")
    assert_allclose(found[places], params[places])


def test_round_trip_and_jacobian() -> None:
    bounds = UnitInterval(["a", "b", "c"])
    params = np.array([-0.999, 0.0, 0.5])
    z = bounds.unconstrain(params)
    assert_allclose(bounds.constrain(z), params, rtol=1e-12)
    assert_allclose(bounds.jacobian(z[1:]), richardson_gradient(bounds.constrain, z[1:]), atol=1e-9)


def test_any_number_is_inside() -> None:
    bounds = UnitInterval(["a"])
    for z in (-1e6, -1.0, 0.0, 3.0, 1e6):
        assert abs(bounds.constrain(np.array([z]))[0]) < 1.0


def test_the_edges_have_a_finite_image() -> None:
    bounds = UnitInterval(["a", "b", "c"])
    z = bounds.unconstrain(np.array([-1.0, 1.0, 1.5]))
    assert np.all(np.isfinite(z))
    assert_allclose(bounds.constrain(z), [-1, 1, 1], atol=1e-10)


def model_of(p: int, k: int, **spec: Any) -> sse.LGSSM:
    y = np.random.default_rng(0).standard_normal((30, p))
    free = {"state_cov": "unstructured", "initialization": "known", "initial_state": np.zeros(k)}
    return sse.LGSSM(y, k, **{**free, "initial_state_cov": np.zeros((k, k)), **spec})


def autocovariances(model: sse.LGSSM, params: np.ndarray) -> np.ndarray:
    """Return the mean and enough autocovariances of y to say all that the data can say."""
    system = model.system(params)
    Z, T = system.design, system.transition
    cov = np.eye(len(T))
    for _ in range(400):
        cov = T @ cov @ T.T + system.selection @ system.state_cov @ system.selection.T
    parts = [system.obs_intercept, (Z @ cov @ Z.T + system.obs_cov)[np.tril_indices(len(Z))]]
    parts += [(Z @ np.linalg.matrix_power(T, lag) @ cov @ Z.T).ravel() for lag in range(1, 2 * len(T) + 2)]
    return np.concatenate(parts)


@pytest.mark.parametrize(("p", "k"), [(1, 1), (2, 1), (3, 1), (3, 2)])
def test_no_more_are_identified_than_the_autocovariances_tell_apart(p: int, k: int) -> None:
    model = model_of(p, k, obs_cov="unstructured")
    rng = np.random.default_rng(1)
    layout = model.layout
    params = rng.uniform(0.5, 1.0, len(layout))
    at = {
        "transition": np.diag([0.8, -0.4][:k]),
        "design": rng.standard_normal((p, k)),
        "obs_cov": np.eye(p) + 0.2,
        "state_cov": np.eye(k),
    }
    params = layout.project(at, params)
    jacobian = richardson_gradient(
        lambda x: autocovariances(model, x), params, step=np.full(len(params), 1e-3)
    )
    rank = np.linalg.matrix_rank(np.atleast_2d(jacobian), tol=1e-6)
    bound = 2 * k * p + p * (p + 1) // 2 + p
    assert most_identified(layout, k) == min(bound, len(layout))
    assert rank <= most_identified(layout, k)
    assert p > 1 or rank == bound  # noises of states and series are not correlated: a bound for p > 1
    assert rank < len(layout)


def test_what_comes_on_top_and_what_is_no_bound() -> None:
    exog = np.random.default_rng(2).standard_normal((30, 2))
    plain, more = model_of(2, 1), model_of(2, 1, exog=exog)
    assert most_identified(more.layout, 1) == most_identified(plain.layout, 1) + 4
    loadings = np.random.default_rng(3).standard_normal((2, 1, 30))
    loadings[0, 0] = np.nan
    varying = model_of(2, 1, design=loadings)
    assert most_identified(varying.layout, 1) == len(varying.layout)


def test_coefficients_of_each_series_alone() -> None:
    model = model_of(3, 1, design=[["a"], ["b"], ["a"]], obs_cov=np.diag([np.nan, 1.0, np.nan]))
    assert coefficients_by_series(model.layout) == [
        1,
        0,
        1,
    ]  # intercepts: "a" is of two series, 2 has no noise


def test_columns_of_a_row() -> None:
    block = affine_matrix(
        np.zeros((2, 3)), [(0, 0, "a", 1.0), (0, 2, "b", 1.0), (1, 1, "a", 1.0), (1, 2, "c", 1)]
    )
    assert own_columns(block, 0).tolist() == [2] and own_columns(block, 1).tolist() == [2]


def test_rows_without_noise() -> None:
    free = [(1, 1, "v", 1.0)]
    assert without_noise(affine_matrix(np.diag([0.0, 0.0, 2.0, 0.0]), free)).tolist() == [0, 3]
    over_time = np.zeros((3, 3, 4))
    over_time[2, 2, 1] = 1.0
    assert without_noise(affine_matrix(over_time, free)).tolist() == [0]


@pytest.mark.parametrize("seed", range(20))
def test_project_is_the_dense_least_squares(seed: int) -> None:
    """Shared parameters, weights, and elements that are sums of parameters."""
    rng = np.random.default_rng(seed)
    shape, count = (4, 3), 30 if seed % 2 else 8
    places = [divmod(int(place), 3) for place in rng.integers(0, 12, count)]
    names = [f"p{number}" for number in rng.integers(0, 6, count)]
    pairs = {(*place, name): rng.normal() for place, name in zip(places, names, strict=True)}
    elements = [(i, j, name, float(coef)) for (i, j, name), coef in pairs.items()]
    layout = ParameterLayout({"M": affine_matrix(rng.normal(size=shape), elements)}, frozenset())
    target = rng.normal(size=shape)
    jacobian = np.zeros((12, len(layout)))
    for i, j, name, coef in elements:
        jacobian[3 * i + j, layout.names.index(name)] = coef
    if np.linalg.matrix_rank(jacobian) < len(layout):
        return
    fixed = layout.blocks["M"].fixed
    expected = np.linalg.lstsq(jacobian, (target - fixed).ravel(), rcond=None)[0]
    assert_allclose(layout.project({"M": target}, np.zeros(len(layout))), expected, rtol=1e-9, atol=1e-12)


def test_projection_on_free_elements_over_time() -> None:
    value = np.array([["a", 1.0], ["b", 0.0]], dtype=object)[..., None].repeat(4, 2)
    value[0, 1, 2:], value[1, 1] = "a + b", ["c", "2*c", "c", "2*c"]
    layout = ParameterLayout({"Z": parse_matrix(value, (2, 2), "Z", lambda i, j: "", 4)}, frozenset())
    params = np.array([0.7, -0.3, 1.2])
    assert_allclose(layout.project({"Z": layout.matrix("Z", params)}, np.zeros(3)), params, rtol=1e-12)
    both = layout.project({"Z": np.zeros((2, 2))}, np.ones(3))  # one target of all periods
    assert_allclose(both, [0.0, 0.0, 0.0], atol=1e-12)
    assert layout.groups == {}


def test_gradient_by_period_is_that_of_free_elements_over_time() -> None:
    value = np.array([["a", 1.0], ["b", 0.0]], dtype=object)[..., None].repeat(4, 2)
    value[0, 1, 2:], value[1, 1] = "a + b", ["c", "2*c", "c", "2*c"]
    layout = ParameterLayout({"Z": parse_matrix(value, (2, 2), "Z", lambda i, j: "", 4)}, frozenset())
    weights, params = np.random.default_rng(1).normal(size=(2, 2, 4)), np.array([0.7, -0.3, 1.2])
    wanted = richardson_gradient(lambda at: float(np.sum(weights * layout.matrix("Z", at))), params)
    assert_allclose(layout.gradient({"Z": weights}, params), wanted, rtol=1e-9)
