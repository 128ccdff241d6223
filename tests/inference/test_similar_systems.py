"""Flat directions from the system matrices: against those from the moments of the data, and the score."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from walk_subjects import SUBJECTS, N

import statespace_ext as sse
from statespace_ext.inference.identification import _along, identify_by_system
from statespace_ext.inference.similar_systems import flat_by_system

Y = SUBJECTS["LGSSM"].y.iloc[:N]
LGSSM: dict[str, dict[str, Any]] = {
    "rotations": {"k_factors": 2},
    "scales": {"k_factors": 1},
    "triangular": {"k_factors": 2, "identification": "triangular"},
    "unit": {"k_factors": 2, "identification": "unit"},
    "two lags": {"k_factors": 1, "lags": 2},
    "two lags, unit": {"k_factors": 1, "lags": 2, "identification": "unit"},
    "a mean too many": {"k_factors": 1, "identification": "unit", "state_intercept": "free"},
    "full obs_cov": {"k_factors": 2, "identification": "unit", "obs_cov": "unstructured"},
    "estimated start": {"k_factors": 1, "initialization": "estimated"},
    "diffuse": {
        "k_factors": 1,
        "design": [[1], [1], [1]],
        "initialization": "diffuse",
        "obs_intercept": "free",
    },
}


@pytest.mark.parametrize("name", LGSSM)
def test_as_from_the_moments_of_the_data(name: str) -> None:
    model = sse.LGSSM(Y, **LGSSM[name])
    params = np.asarray(model.start_params)
    want, found = model.identification(params), identify_by_system(model, params, {})
    assert found.n_flat == want.n_flat and set(found.names) == set(want.names)


PANEL = {1.0: "1y", 2.0: "2y", 5.0: "5y", 10.0: "10y"}


def atsm(k: int, identification: str, maturities: list[float], **options: Any) -> sse.ATSM:
    rng, tau = np.random.default_rng(8), np.array(list(PANEL))
    state = np.zeros((120, 3))
    for t in range(1, 120):
        state[t] = 0.96 * state[t - 1] + [0.004, 0.003, 0.003] * rng.standard_normal(3)
    shapes = np.stack([np.ones_like(tau), np.exp(-0.5 * tau), tau * np.exp(-0.5 * tau)])
    y = 0.05 + 0.003 * np.log(tau) + state @ shapes + 2e-4 * rng.standard_normal((120, 4))
    frame = pd.DataFrame(y, columns=list(PANEL.values()))[[PANEL[tau] for tau in maturities]]
    return sse.ATSM(frame, maturities, k_factors=k, identification=identification, dt=1 / 12, **options)


FEW = [
    (2, "jsz", [1.0, 5.0], {}),
    (2, "dai-singleton", [1.0, 5.0], {}),
    (3, "jsz", [1.0, 2.0, 10.0], {}),
    (3, "afns", [1.0, 2.0, 10.0], {}),
    (3, "dns", [1.0, 2.0, 10.0], {}),
    (2, "jsz", [1.0, 5.0], {"initialization": "estimated"}),
    (2, "jsz", [1.0, 5.0], {"initialization": "diffuse"}),
]


@pytest.mark.parametrize(("k", "identification", "maturities", "options"), FEW)
def test_as_many_maturities_as_factors(
    k: int, identification: str, maturities: list[float], options: dict[str, Any]
) -> None:
    """The likelihood is flat: its derivative along the directions is zero, at no maximum either."""
    model = atsm(k, identification, maturities, **options)
    params = np.asarray(model.start_params)
    found = model.identification(params)
    dynamics = {"jsz": {"k_inf"}, "afns": {"decay"}, "dns": {"decay"}, "dai-singleton": {"delta_0"}}
    assert dynamics[identification] <= set(found.names)
    assert "add maturities" in found.message
    free = np.arange(len(params))
    rows, steps = flat_by_system(model, params, free, np.maximum(np.abs(params), 1e-3))
    score = model.score(params)
    for row in rows * steps:
        assert abs(score @ row) < 1e-6 * np.linalg.norm(score * row) + 1e-9 * np.linalg.norm(score * steps)
    moved = rows[0] * steps
    llf = [model.loglike(params + share * moved) for share in (1e-4, -1e-4)]
    assert_allclose(llf, model.loglike(params), rtol=1e-7)


@pytest.mark.parametrize("identification", ["jsz", "dai-singleton", "afns", "dns"])
@pytest.mark.parametrize("options", [{}, {"obs_cov": "scalar"}, {"state_cov": "diagonal"}])
def test_more_maturities_than_factors(identification: str, options: dict[str, Any]) -> None:
    k = 3 if identification in ("afns", "dns") else 2
    if identification == "dai-singleton" and "state_cov" in options:
        return
    model = atsm(k, identification, [1.0, 2.0, 5.0, 10.0][: 4 if k == 3 else 3], **options)
    assert model.identification(np.asarray(model.start_params)).n_flat == 0


@pytest.mark.filterwarnings("ignore:The fit did not converge")
def test_fit_warns() -> None:
    model = atsm(2, "jsz", [1.0, 5.0])
    with pytest.warns(sse.IdentificationWarning, match="k_inf.*add maturities"):
        res = model.fit(method="lbfgs", maxiter=3)
    assert np.isnan(res.bse["k_inf"]) and np.isfinite(res.bse["obs_var.1y"])
    assert res.df_model == len(res.params) - 3


@pytest.mark.parametrize("subject", [name for name in SUBJECTS if not name.startswith("Mixed")])
def test_the_models_of_the_walk_are_identified(subject: str) -> None:
    s = SUBJECTS[subject]
    assert identify_by_system(s.model(), s.params, {}).n_flat == 0


def test_a_variance_at_zero_is_identified() -> None:
    model = sse.LGSSM(Y, 2, identification="triangular")
    params = np.asarray(model.start_params)
    params[-1] = 0.0
    assert identify_by_system(model, params, {}).n_flat == model.identification(params).n_flat == 0


SMALL = (1e-3, 1e-6, 1e-9, 1e-12)
"""What a parameter is multiplied by: tiny, and not zero."""


def shrunk(model: Any, params: np.ndarray, name: str) -> list[np.ndarray]:
    """Return parameters with one of them ever smaller."""
    out = [params.copy() for _ in SMALL]
    for share, each in zip(SMALL, out, strict=True):
        each[model.param_names.index(name)] *= share
    return out


@pytest.mark.parametrize(
    ("k", "identification", "maturities", "name", "flat"),
    [
        (2, "jsz", [1.0, 5.0], "k_inf", 3),
        (2, "jsz", [1.0, 5.0], "root_Q.1", 3),
        (2, "dai-singleton", [1.0, 5.0], "delta_0", 3),  # the same model as "jsz"
        (2, "jsz", [1.0, 2.0, 5.0], "k_inf", 0),
    ],
)
def test_a_tiny_parameter_of_the_term_structure(
    k: int, identification: str, maturities: list[float], name: str, flat: int
) -> None:
    """A step as small as the parameter would change the matrices by no more than rounding."""
    model = atsm(k, identification, maturities)
    params = np.asarray(model.start_params)
    for at in shrunk(model, params, name):
        assert model.identification(at).n_flat == flat


@pytest.mark.parametrize("name", ["loading.f1->a", "state_var.f1", "obs_var.a"])
def test_a_tiny_parameter_of_a_factor_model(name: str) -> None:
    model = sse.LGSSM(Y, **LGSSM["scales"])
    params = np.asarray(model.start_params)
    for at in shrunk(model, params, name):
        found = identify_by_system(model, at, {})
        assert found.n_flat == model.identification(at).n_flat == 1
        assert {"loading.f1->b", "state_var.f1"} <= set(found.names)


def test_a_tiny_parameter_of_a_regression() -> None:
    subject = SUBJECTS["CAPM"]
    model, params = subject.model(), np.asarray(subject.params)
    for name in model.param_names[:1] + model.param_names[-1:]:
        for at in shrunk(model, params, name):
            assert model.identification(at).n_flat == identify_by_system(model, at, {}).n_flat == 0


@pytest.mark.parametrize("small", [1.0, *SMALL, 1e-15])
def test_directions_in_small_units_stand_beside_those_in_large_ones(small: float) -> None:
    """Two flat directions, given as any two combinations of them: in a and b, and in c and d alone."""
    layout = sse.LGSSM(Y, 1).layout
    own = np.array([[0.6, 0.8, 0.0, 0.0], [0.0, 0.0, 0.6, -0.8]])
    mixed = np.linalg.qr(np.random.default_rng(0).standard_normal((2, 2)))[0] @ own
    scale = np.array([1.0, 2.0, small, small])
    found = _along(layout, np.arange(4), mixed, scale, reasons=False)
    assert found.n_flat == 2 and found.names == layout.names[:4]
    moved = found.flat.T @ np.diag(1.0 / scale)
    moved = moved / np.linalg.norm(moved, axis=1)[:, None]
    want = np.array([[0.6, 0.8, 0.0, 0.0], [0.0, 0.0, 0.6, -0.8]])
    assert_allclose(np.abs(moved @ want.T) @ [1.0, 1.0], [1.0, 1.0], atol=1e-6)


def test_matrices_that_vary_take_no_pass_of_the_smoother(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their parameters count as identified, whatever the step sizes, which need the smoother."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(60)
    model = sse.CAPM(x[:, None] * [1.0, 0.7] + rng.standard_normal((60, 2)), x)
    monkeypatch.setattr(type(model), "difference_steps", lambda *_: pytest.fail("a pass of the smoother"))
    found = identify_by_system(model, np.asarray(model.start_params), {})
    assert found.n_flat == 0 and found.message == "" and len(found.free) == len(model.param_names)
