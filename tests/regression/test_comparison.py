"""Comparison of covariance structures: which contain which, and what their likelihood ratios are worth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from capm import BETA_MOVES, BOTH_MOVE, simulated
from numpy.testing import assert_allclose
from scipy import stats

import statespace_ext as sse
from statespace_ext.regression.comparison import compare, is_nested
from statespace_ext.regression.declaration import covariance_kind, obs_kind, state_kinds

NAN = np.nan
Y, X = simulated(np.random.default_rng(21), 70, 3, move=0.5)
BAND = [["a", "b", 0], ["b", "c", 0], [0, 0, "d"]]
GROUPS = [["a", 0, 0], [0, "a", 0], [0, 0, "b"]]


def model_of(W: Any = "unstructured", V: Any = "unstructured", **options: Any) -> Any:
    return sse.DynamicRegression(Y, X, **{"dynamics": BETA_MOVES, "obs_cov": V, "state_cov": W, **options})


def fitted(W: Any = "unstructured", V: Any = "unstructured", **options: Any) -> Any:
    return model_of(W, V, **options).fit(method="lbfgs", cov_type="none")


# -- names -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        *(
            (name, name)
            for name in ("unstructured", "diagonal", "scalar", "equicorrelated", "factor:1", "zero")
        ),
        (np.full((3, 3), NAN), "unstructured"),
        (np.where(np.eye(3), NAN, 0.0), "diagonal"),
        ([["a", 0, 0], [0, "a", 0], [0, 0, "a"]], "scalar"),
        ([["a", "b", "b"], ["b", "a", "b"], ["b", "b", "a"]], "equicorrelated"),
        (BAND, "patterned"),
        (GROUPS, "patterned"),
        ([["a", 0, 0], [0, "2*a", 0], [0, 0, "a"]], "patterned"),
        ([["a", 0, 0], [0, "2*b", 0], [0, 0, "c"]], "diagonal"),
        ([["2*a", 0, 0], [0, "2*a", 0], [0, 0, "2*a"]], "scalar"),
        (np.where(np.eye(3), NAN, 0.1), "patterned"),
        (np.eye(3), "fixed"),
    ],
)
def test_structures_are_recognised_however_they_are_written(spec: Any, kind: str) -> None:
    model = model_of(spec, spec)
    assert obs_kind(model) == kind
    assert state_kinds(model) == {"MKT": kind}


def test_structures_by_regressor() -> None:
    W = {"const": "proportional", "MKT": "factor:1"}
    assert state_kinds(model_of(W, dynamics=BOTH_MOVE)) == W
    assert state_kinds(model_of("joint", dynamics=BOTH_MOVE)) == {"const+MKT": "unstructured"}
    one = sse.DynamicRegression(Y["A1"], X, dynamics=BETA_MOVES)
    assert covariance_kind(one.layout.blocks["state_cov"]) == "scalar"


# -- which contain which -----------------------------------------------------------------------------------

CHAIN = {
    "zero": {"proportional", "scalar", "equicorrelated", "diagonal", "factor:1", "unstructured"},
    "scalar": {"equicorrelated", "diagonal", "factor:1", "unstructured"},
    "equicorrelated": {"unstructured"},
    "diagonal": {"factor:1", "unstructured"},
    "proportional": {"unstructured"},
    "factor:1": {"unstructured"},
    "unstructured": set(),
}


@pytest.mark.parametrize("small", CHAIN)
@pytest.mark.parametrize("large", CHAIN)
def test_structures_of_the_coefficients(small: str, large: str) -> None:
    assert is_nested(model_of(small), model_of(large)) == (small == large or large in CHAIN[small])


@pytest.mark.parametrize("small", [kind for kind in CHAIN if kind not in ("zero", "proportional")])
@pytest.mark.parametrize("large", [kind for kind in CHAIN if kind not in ("zero", "proportional")])
def test_structures_of_the_observations(small: str, large: str) -> None:
    assert is_nested(model_of("scalar", small), model_of("scalar", large)) == (
        small == large or large in CHAIN[small]
    )


def test_proportional_depends_on_the_observations() -> None:
    for V, inside in (
        ("unstructured", {"unstructured"}),
        ("diagonal", {"diagonal", "unstructured", "factor:1"}),
        ("scalar", {"scalar", "equicorrelated", "diagonal", "unstructured", "factor:1"}),
        ("equicorrelated", {"equicorrelated", "unstructured"}),
    ):
        for W in CHAIN:
            if W not in ("zero", "proportional"):
                assert is_nested(model_of("proportional", V), model_of(W)) == (W in inside)
    assert is_nested(model_of("scalar", "scalar"), model_of("proportional", "scalar"))
    assert is_nested(model_of("scalar", "scalar"), model_of("proportional"))
    assert not is_nested(model_of("scalar", "diagonal"), model_of("proportional", "diagonal"))
    assert is_nested(model_of("proportional", "diagonal"), model_of("proportional"))
    assert is_nested(model_of("proportional", "factor:1"), model_of("unstructured"))


def test_patterns_and_fixed_elements() -> None:
    assert is_nested(model_of("diagonal"), model_of(BAND))
    assert not is_nested(model_of("equicorrelated"), model_of(BAND))
    assert is_nested(model_of("scalar"), model_of(GROUPS)) and is_nested(
        model_of(GROUPS), model_of("diagonal")
    )
    assert is_nested(model_of(0.3 * np.eye(3)), model_of("scalar"))
    assert not is_nested(model_of(np.diag([1.0, 2, 3])), model_of("scalar"))
    assert not is_nested(model_of("scalar"), model_of(0.3 * np.eye(3)))
    assert not is_nested(model_of("zero"), model_of(0.3 * np.eye(3)))


@pytest.mark.parametrize("size", [1e-20, 1e-10, 1.0])
def test_small_variances_are_not_zero(size: float) -> None:
    """Innovations of alphas of daily returns have variances of 1e-10."""
    assert not is_nested(model_of(size * np.eye(3)), model_of(9.0 * size * np.eye(3)))
    assert not is_nested(model_of("zero"), model_of(size * np.eye(3)))
    assert is_nested(model_of(size * np.eye(3)), model_of(size * np.eye(3)))
    assert is_nested(model_of(size * np.eye(3)), model_of("diagonal"))


def test_dynamics() -> None:
    static = sse.DynamicRegression(Y, X)
    one, both = model_of("diagonal"), model_of("diagonal", dynamics=BOTH_MOVE)
    joint = model_of("joint", dynamics=BOTH_MOVE)
    assert is_nested(static, one) and is_nested(one, both) and is_nested(both, joint)
    assert is_nested(static, model_of("proportional"))
    assert not is_nested(both, one) and not is_nested(joint, both) and not is_nested(one, static)
    assert not is_nested(model_of(dynamics={"const": "random_walk"}), one)
    factors = model_of("factor:1", dynamics=BOTH_MOVE)
    assert is_nested(one, factors) and not is_nested(model_of("unstructured"), factors)
    ar1 = model_of("diagonal", dynamics={"MKT": "ar1"})
    assert is_nested(ar1, model_of(dynamics={"MKT": "ar1"}))
    assert not is_nested(one, ar1) and not is_nested(ar1, one)
    shared = {
        "const": [["a", 0, 0], [0, "a", 0], [0, 0, "a"]],
        "MKT": [["a", 0, 0], [0, "a", 0], [0, 0, "a"]],
    }
    shared_model = model_of(shared, dynamics=BOTH_MOVE)
    free = model_of("scalar", dynamics=BOTH_MOVE)
    assert is_nested(shared_model, free) and not is_nested(free, shared_model)


@pytest.mark.parametrize(("small", "large"), [("diagonal", "unstructured"), ("proportional", "unstructured")])
def test_what_is_contained_can_be_written(small: str, large: str) -> None:
    """Any (V, W) of the small model has parameters in the large one, with the same likelihood."""
    a, b = model_of(small), model_of(large)
    params = a.start_params
    at = a.matrices(params)
    assert_allclose(
        b.loglike(b.params_from_matrices({k: at[k] for k in ("obs_cov", "state_cov")})), a.loglike(params)
    )


# -- the table ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fits() -> dict[str, Any]:
    out = {W: fitted(W) for W in ("unstructured", "diagonal", "scalar", "proportional")}
    return out | {"static": sse.DynamicRegression(Y, X).fit()}


def test_values(fits: dict[str, Any]) -> None:
    table = compare(*fits.values())
    assert table.index.name == "model" and table["llf"].is_monotonic_decreasing
    row = table.loc["W scalar on MKT"]
    res = fits["scalar"]
    assert_allclose([row["llf"], row["aic"], row["bic"], row["hqic"]], [res.llf, res.aic, res.bic, res.hqic])
    assert row["n_params"] == 7 == len(res.params)
    assert row["against"] == "W unstructured on MKT"
    lr = 2 * (fits["unstructured"].llf - res.llf)
    assert_allclose([row["lr"], row["df"]], [lr, 12 - 7])
    assert_allclose(row["pvalue"], stats.chi2.sf(lr, 5))
    best = table.loc["W unstructured on MKT"]
    assert best["against"] == "" and np.isnan(best["lr"]) and np.isnan(best["pvalue"])


def test_the_edge_has_no_pvalue(fits: dict[str, Any]) -> None:
    table = compare(fits["static"], fits["diagonal"], fits["proportional"])
    row = table.loc["W none (static)"]
    assert row["against"] == "W diagonal on MKT" and row["lr"] > 0 and np.isnan(row["pvalue"])
    assert "test_constancy" in row["note"]
    zero = fitted(np.diag([NAN, 0.0, 0.0]))
    row = compare(zero, fits["unstructured"]).loc["W patterned"]
    assert np.isnan(row["pvalue"]) and "singular W of MKT" in row["note"]
    row = compare(fitted("factor:1"), fits["diagonal"]).loc["W diagonal"]
    assert np.isnan(row["pvalue"]) and "loadings of MKT are zero" in row["note"]


def test_a_singular_fit_of_the_larger_model() -> None:
    """The p-value is there, with a word of warning; nothing where the fits do not contain each other."""
    calm, x = simulated(np.random.default_rng(2), 70, 2, move=0.02)
    fits = [
        sse.DynamicRegression(calm, x, dynamics=BETA_MOVES, state_cov=W).fit(method="lbfgs", cov_type="none")
        for W in ("unstructured", "proportional", "diagonal")
    ]
    table = compare(*fits)
    assert fits[0].state_cov_rank["MKT"] < 2
    row = table.loc["W proportional"]
    assert np.isfinite(row["pvalue"]) != ("edge" in row["note"])
    assert "singular W" in row["note"]
    pair = compare(fits[1], fits[2])
    assert (pair["against"] == "").all() and pair["pvalue"].isna().all()


def test_labels() -> None:
    a, b = fitted("scalar", "diagonal"), fitted("scalar", "scalar")
    assert list(compare(a, b).index) == ["V diagonal, W scalar", "V scalar, W scalar"]
    assert list(compare(a, a).index) == ["W scalar [1]", "W scalar [2]"]
    both = fitted({"const": "scalar", "MKT": "diagonal"}, "diagonal", dynamics=BOTH_MOVE)
    assert "W const scalar, MKT diagonal on const, MKT" in compare(both, fitted("scalar", "diagonal")).index


def test_as_a_method(fits: dict[str, Any]) -> None:
    table = fits["scalar"].compare(fits["unstructured"])
    assert list(table.index) == ["W unstructured", "W scalar"]


def test_an_unfinished_fit_is_marked() -> None:
    model = model_of("diagonal")
    table = compare(model.smooth(model.start_params), fitted("unstructured"))
    assert table.loc["W diagonal", "note"].startswith("not converged")


def test_parameters_held_fixed() -> None:
    model = model_of("scalar")
    with model.fix_params({"state_var.MKT": 0.2}):
        res = model.fit(method="lbfgs", cov_type="none")
    table = compare(res, fitted("diagonal"))
    assert table.loc["W scalar", "n_params"] == 6
    assert table.loc["W scalar", "against"] == ""


def test_refusals(fits: dict[str, Any]) -> None:
    res = fits["scalar"]

    def other(y: Any = Y, x: Any = X, **options: Any) -> Any:
        options = {"dynamics": BETA_MOVES, "state_cov": "scalar", **options}
        model = sse.DynamicRegression(y, x, **options)
        return model.smooth(model.start_params)

    known = {"initialization": "known", "initial_state": np.zeros(6), "initial_state_cov": np.eye(6)}
    moved = known | {"initial_state": np.ones(6)}
    for wrong, what in (
        (other(Y + 1), "endog"),
        (other(Y.iloc[1:], X.iloc[1:]), "endog, exog"),
        (other(Y.rename(columns={"A1": "B"})), "names of the series"),
        (other(x=X * [1, 2]), "exog"),
        (other(x=X[["MKT"]]), "exog"),
        (other(x=X.rename(columns={"const": "c"})), "names of the regressors"),
        (other(initialization="approximate_diffuse"), "initialization"),
        (other(**known), "initialization"),
    ):
        with pytest.raises(sse.SpecificationError, match=f"differs from fit 1 in .*{what}"):
            compare(res, wrong)
    with pytest.raises(sse.SpecificationError, match="initialization"):
        compare(other(**known), other(**moved))
    assert len(compare(other(**known), other(**known))) == 2
    with pytest.raises(sse.SpecificationError, match="two fits"):
        compare(res)
    factor = sse.LGSSM(Y, 1)
    with pytest.raises(sse.SpecificationError, match="dynamic regressions"):
        compare(res, factor.smooth(factor.start_params))
