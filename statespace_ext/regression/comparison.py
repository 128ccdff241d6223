"""Comparison of covariance structures of the same dynamic regression, and of their nesting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from ..exceptions import SpecificationError
from ..numerics.linear_algebra import Array
from .declaration import obs_kind, state_kinds

if TYPE_CHECKING:
    from .dynamic_regression import DynamicRegression
    from .results import DynamicRegressionResults


def compare(*results: Any) -> pd.DataFrame:
    """
    Compare fits of the same dynamic regression with different covariance structures or dynamics.

    Parameters
    ----------
    *results : DynamicRegressionResults
        At least two fits with the same data, regressors and start. Exact diffuse likelihoods with different
        regressors cannot be compared, because they are likelihoods of different contrasts of the data.

    Returns
    -------
    DataFrame
        One row for each fit, named by the structures of V and W and sorted by decreasing log-likelihood. The
        columns are:

        - ``llf``, ``n_params`` (free parameters), ``aic``, ``aicc``, ``bic``, ``hqic``; the criteria count
          exact-diffuse states as parameters too;
        - ``against``: the largest of the other models that nest this one, by number of parameters;
        - ``lr``, ``df``: likelihood ratio against that model and difference of the number of parameters;
        - ``pvalue``: upper tail of the chi-squared distribution if this fit lies in the interior of the
          larger model's parameter space. It is NaN on the boundary (a singular W), and ``note`` explains why.

    Raises
    ------
    SpecificationError
        If the fits are not of dynamic regressions, or differ in endog, exog or start.

    Notes
    -----
    On the boundary the ratio does not have a chi-squared distribution (Self & Liang 1987, JASA 82, 605-610).
    For W = 0, `constancy_test` simulates the distribution.
    """
    if len(results) < 2:
        raise SpecificationError("A comparison needs at least two fits", got=f"{len(results)}")
    for number, res in enumerate(results):
        model = getattr(res, "model", res)
        if not hasattr(model, "coefficients") or model is res:
            raise SpecificationError(
                "A comparison needs fits of dynamic regressions",
                got=f"{type(model).__name__} (fit {number + 1})",
            )
        if number:
            _require_same(results[0], res, number + 1)
    names = _labels(list(results))
    rows = [_row(i, list(results), names) for i in range(len(results))]
    table = pd.DataFrame(rows, index=pd.Index(names, name="model"))
    return table.sort_values("llf", ascending=False, kind="stable")


def _require_same(first: DynamicRegressionResults, other: DynamicRegressionResults, number: int) -> None:
    """Raise if the likelihood of a fit cannot be compared with that of the first fit."""
    a, b = first.model, other.model
    checks = {
        "endog": _equal(a.endog, b.endog),
        "names of the series": a.coefficients.endog == b.coefficients.endog,
        "names of the regressors": a.coefficients.regressors == b.coefficients.regressors,
        "exog": _equal(a.exog, b.exog),
        "constraints": all(map(_equal, a.coefficients.solution, b.coefficients.solution)),
        "initialization": _same_start(first, other),
        "number of exact-diffuse periods": int(first.nobs_diffuse) == int(other.nobs_diffuse),
        "periods left out of the log-likelihood": int(first.loglikelihood_burn)
        == int(other.loglikelihood_burn),
    }
    different = [name for name, same in checks.items() if not same]
    if different:
        raise SpecificationError(
            "The log-likelihoods of the fits cannot be compared",
            got=f"fit {number} differs from fit 1 in {', '.join(different)}",
            expected="the same data, regressors and start",
        )


def _equal(a: Any, b: Any) -> bool:
    return np.shape(a) == np.shape(b) and bool(np.array_equal(a, b, equal_nan=True))


def _same_start(a: DynamicRegressionResults, b: DynamicRegressionResults) -> bool:
    """Return whether the levels of two models have the same initial distribution."""
    levels = slice(0, a.model.coefficients.n_levels)
    own = [res.filter_results.model for res in (a, b)]
    first, second = (ssm.initialization(model=ssm) for ssm in own)
    return all(
        _equal(one[(levels,) * one.ndim], two[(levels,) * two.ndim])
        for one, two in zip(first, second, strict=True)
    )


def _row(i: int, results: list[DynamicRegressionResults], names: list[str]) -> dict[str, Any]:
    """Return the row for one fit."""
    res = results[i]
    notes = [] if res.converged else ["not converged"]
    against, lr, df, pvalue = "", np.nan, np.nan, np.nan
    larger = [j for j, other in enumerate(results) if _nests(other, res)]
    if larger:
        best = max(larger, key=lambda j: _n_params(results[j]))
        against, lr = names[best], 2.0 * (float(results[best].llf) - float(res.llf))
        df = float(_n_params(results[best]) - _n_params(res))
        edge = _edge(res, results[best])
        if edge:
            notes.append(edge)
        else:
            pvalue = float(stats.chi2.sf(max(lr, 0.0), df))
            if _singular(results[best]):
                notes.append("rough p-value: the larger fit has a singular W")
    return {
        "llf": float(res.llf),
        "n_params": _n_params(res),
        **{name: float(getattr(res, name)) for name in ("aic", "aicc", "bic", "hqic")},
        "against": against,
        "lr": lr,
        "df": df,
        "pvalue": pvalue,
        "note": "; ".join(notes),
    }


def _n_params(res: DynamicRegressionResults) -> int:
    return len(np.asarray(res.params)) - len(res._fixed)


def _nests(large: DynamicRegressionResults, small: DynamicRegressionResults) -> bool:
    """Return whether a model nests a smaller one; False (unknown) if parameters are fixed."""
    bigger = _n_params(large) > _n_params(small) and not (large._fixed or small._fixed)
    return bigger and is_nested(small.model, large.model)


def _edge(small: DynamicRegressionResults, large: DynamicRegressionResults) -> str:
    """Explain why a fit is on the boundary of a larger model; return "" if it is in the interior."""
    rank, sizes = small.state_cov_rank, large.model.coefficients.group_sizes
    moving = list(sizes)
    still = [name for name in moving if name not in rank]
    if still:
        return f"on the edge of the larger model: no W of {', '.join(still)}; use test_constancy"
    singular = [name for name in moving if rank[name] < sizes[name]]
    if singular or _singular(small):
        return f"on the edge of the larger model: singular W of {', '.join(singular or moving)}"
    missing = _other_factors(small.model, large.model)
    return f"on the edge of the larger model: loadings of {', '.join(missing)} are zero" if missing else ""


def _other_factors(small: DynamicRegression, large: DynamicRegression) -> list[str]:
    """Return the blocks that have more factors in the large model than in the small one."""
    own, kinds = ({"V": obs_kind(model), **state_kinds(model)} for model in (small, large))
    return [name for name, kind in kinds.items() if kind.startswith("factor") and own.get(name) != kind]


def _singular(res: DynamicRegressionResults) -> bool:
    """Return whether V is singular, or W of all time-varying coefficients together."""
    ranks, c = res.state_cov_rank, res.model.coefficients
    if res.boundary or any(rank < c.group_sizes.get(name, c.p) for name, rank in ranks.items()):
        return True
    W: Array = np.asarray(res.model.matrices(np.asarray(res.params))["state_cov"])
    scale = np.sqrt(np.diag(W))
    return bool(np.min(scale) <= 0 or np.linalg.eigvalsh(W / scale[:, None] / scale)[0] < 1e-7)


def _labels(results: list[DynamicRegressionResults]) -> list[str]:
    """Return distinct names for the fits."""
    several = len({tuple(res.model.coefficients.dynamics) for res in results}) > 1
    obs = [obs_kind(res.model) for res in results]
    plain = [f"W {_state_label(res.model, several)}" for res in results]
    if len(set(obs)) > 1:
        plain = [f"V {V}, {W}" for V, W in zip(obs, plain, strict=True)]
    return [
        f"{name} [{plain[: i + 1].count(name)}]" if plain.count(name) > 1 else name
        for i, name in enumerate(plain)
    ]


def _state_label(model: DynamicRegression, with_dynamics: bool) -> str:
    """Return the name of the structure of W, by regressor if these differ; optionally with the dynamics."""
    c, W = model.coefficients, state_kinds(model)
    text = ", ".join(f"{name} {kind}" for name, kind in W.items())
    if len(set(W.values())) == 1:
        text = next(iter(W.values()))
    if not with_dynamics:
        return text
    marks = {"ar1": " (ar1)", "local_linear": " (trend)"}
    moving = [c.labels[j] + marks.get(c.dynamics[j], "") for j in c.moving]
    return f"{text} on {', '.join(moving)}" if moving else "none (static)"


def is_nested(small: DynamicRegression, large: DynamicRegression) -> bool:
    """
    Return whether every (V, W) of one regression is also a (V, W) of another.

    A random (V, W) of the smaller model decides: if parameters of the larger model reach it, they reach all
    others with probability one. The answer is exact for structures that are affine in their parameters. A
    "factor:r" structure counts as containing the same structure and diagonal matrices. A "proportional"
    structure counts as containing the same structure and multiples of V. Other cases of nesting are not
    detected: the function then returns False, as it does for every `CovarianceFunction`. Regressions with
    "ar1" coefficients on different regressors are never nested.
    """
    c, layout = large.coefficients, large.layout
    if small.coefficients.autoregressive != c.autoregressive or small.layout.curved or layout.curved:
        return False
    at = small._blocks(np.random.default_rng(0).uniform(0.5, 1.5, len(small.layout)))
    wanted = {"obs_cov": at["obs_cov"], "state_cov": _by_level(small, at["state_cov"])}
    affine = {key: np.ones(target.shape, dtype=bool) for key, target in wanted.items()}
    own = {"V": obs_kind(small), **state_kinds(small)}
    places = {"V": np.arange(c.p), **{each.label: each.levels for each in c.noise}}
    for name, kind in {"V": obs_kind(large), **state_kinds(large)}.items():
        if kind.startswith(("factor", "proportional")):
            key, rows = "obs_cov" if name == "V" else "state_cov", np.ix_(places[name], places[name])
            affine[key][rows] = False
            if not _contains_block(kind, own.get(name, "zero"), wanted[key][rows], at["obs_cov"]):
                return False
    return _reaches(large, wanted, affine)


def _contains_block(kind: str, own: str, block: Array, obs_cov: Array) -> bool:
    """Return whether a "factor:r" or "proportional" structure contains a random matrix of another."""
    if kind == "proportional":
        share = np.vdot(block, obs_cov) / np.vdot(obs_cov, obs_cov)
        return bool(np.allclose(block, share * obs_cov))
    few = own.startswith("factor") and int(own.split(":")[1]) <= int(kind.split(":")[1])
    return few or not np.any(block[~np.eye(len(block), dtype=bool)])


def _reaches(model: DynamicRegression, wanted: dict[str, Array], affine: dict[str, Array]) -> bool:
    """Return whether the marked elements of (V, W) are an affine function of some parameters."""
    layout, every = model.layout, np.arange(len(model.layout))
    slopes, away, sizes = [], [], []
    for key, target in wanted.items():
        block = layout.blocks[key]
        fixed, moved = block.fixed, layout.derivative(key, every).dense(len(every), block.shape)
        if key == "state_cov":
            fixed, moved = _by_level(model, fixed), _by_level(model, moved)
        away.append((target - fixed)[affine[key]])
        slopes.append(moved[:, affine[key]])
        sizes.append(np.max(np.abs([target, fixed, *moved]), axis=0)[affine[key]])
    size = np.concatenate(sizes)
    size[size == 0.0] = 1.0
    D, goal = np.concatenate(slopes, axis=1).T / size[:, None], np.concatenate(away) / size
    return bool(np.allclose(D @ np.linalg.lstsq(D, goal, rcond=None)[0], goal, rtol=0.0, atol=1e-9))


def _by_level(model: DynamicRegression, state_cov: Array) -> Array:
    """Return W, or matrices of its shape, by level: with zeros for constant coefficients."""
    c = model.coefficients
    out = np.zeros((*state_cov.shape[:-2], c.n_levels, c.n_levels))
    if c.noise:
        rows = np.concatenate([each.levels for each in c.noise])
        out[..., rows[:, None], rows] = state_cov
    return out
