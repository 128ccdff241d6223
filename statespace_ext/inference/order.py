"""Information criteria, and selection of the numbers of factors and lags."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from statsmodels.tools import eval_measures

from ..display import Displayed
from ..engine.arguments import one_of, whole_number
from ..exceptions import SpecificationError, shown
from ..numerics.linear_algebra import Array, quiet
from .bootstrap import bootstrap, diffuse_states
from .many import (
    Failure,
    attempt,
    data_of,
    failed_record,
    fits_by_name,
    model_on,
    report_records,
    require_model,
    spawn,
)
from .records import FitRecord

_Models = dict[tuple[int, ...], Any]
_Records = dict[tuple[int, ...], FitRecord]
"""Models and records of fits by the values of a candidate."""
CRITERIA = ("aic", "aicc", "bic", "hqic", "aicb")
_SAME = 1e-4


@dataclass(frozen=True, repr=False)
class OrderSelection(Displayed):
    """
    Candidate models and their information criteria.

    Attributes
    ----------
    table : DataFrame
        One row per candidate, indexed by ``k_factors`` and ``lags``. Columns: "llf", "n_params" (identified
        parameters plus exact-diffuse states), "aic", "aicc", "bic", "hqic", "aicb" (if requested),
        "converged" and "status".
    ic : str
        The criterion that selects.
    models, records : dict
        The candidates that could be built, and the fits (`FitRecord`) of all candidates, by their values.
    """

    table: pd.DataFrame
    ic: str
    models: _Models
    records: _Records

    @property
    def selected(self) -> dict[str, Any]:
        """The values of the candidate with the lowest criterion."""
        best = self.table.index.tolist()[int(np.nanargmin(self.table[self.ic]))]
        values = best if isinstance(best, tuple) else (best,)
        return {str(name): value for name, value in zip(self.table.index.names, values, strict=True)}

    @cached_property
    def best(self) -> Any:
        """The results of the selected candidate, fitted again from its estimates."""
        key = tuple(self.selected.values())
        return self.models[key].fit(list(self.records[key].params.values()), method="lbfgs")

    def __str__(self) -> str:
        chosen = ", ".join(f"{name} = {value}" for name, value in self.selected.items())
        table = self.table.to_string(float_format=lambda value: f"{value:.2f}")
        return f"{table}\nlowest {self.ic}: {chosen}"


def select_order(
    model: Any,
    k_factors: Iterable[int] | None = None,
    lags: Iterable[int] | None = None,
    *,
    ic: str = "aicc",
    fit_options: Mapping[str, Any] | None = None,
    n_boot: int = 0,
    rng: object = None,
    n_jobs: int | None = None,
    checkpoint: str | Path | None = None,
) -> OrderSelection:
    r"""
    Fit every combination of numbers of factors and lags, and compare them by an information criterion.

    .. math::

        AIC = -2\ell + 2m, \quad AICc = -2\ell + 2m\,\frac{N}{N - m - 1}, \quad
        BIC = -2\ell + m\log n, \quad HQIC = -2\ell + 2m\log\log n

    with m identified parameters, N observed values and n periods with at least one observed value. All
    candidates use the same observations.

    Parameters
    ----------
    model : model or callable
        A model, which is rebuilt with other values of ``k_factors`` and ``lags``. For an `ATSM`, the rebuilt
        models have principal components as portfolios. Alternatively, a function of the given ones of
        ``k_factors`` and ``lags`` that returns a model.
    k_factors, lags : iterable of int, optional
        The values to try. An omitted argument keeps the value of the model.
    ic : {"aic", "aicc", "bic", "hqic", "aicb"}
        The criterion that selects.
    fit_options : mapping, optional
        Arguments of `fit`, as in `fit_many`.
    n_boot : int
        Number of bootstrap samples for AICb (Cavanaugh & Shumway 1997). With zero, AICb is not computed.
    rng, n_jobs, checkpoint : optional
        As in `fit_many`.

    Returns
    -------
    OrderSelection

    Raises
    ------
    SpecificationError
        If there are no candidates, the criterion is unknown, the likelihoods are not comparable, or no
        candidate has a fit.
    EstimationError
        If fewer than two fits succeed although several candidates could be built.

    Notes
    -----
    If a candidate cannot be built, for example with more factors than series, its row is NaN and ``status``
    has the error. The same holds for a fit that fails, and a warning reports the number of such fits. If the
    log-likelihood of a candidate is below that of a smaller candidate that it contains, its fit did not reach
    the global maximum. ``status`` then says so; pass ``fit_options={"n_starts": ...}``. In small samples of
    state-space models, BIC tends to select too few factors and AIC too many.

    Examples
    --------
    >>> import numpy as np, statespace_ext as sse
    >>> y = np.random.default_rng(0).normal(size=(80, 1)).cumsum(axis=0) @ [[1.0, 0.8]]
    >>> y += np.random.default_rng(1).normal(size=y.shape)
    >>> order = sse.select_order(sse.LGSSM(y, 1, identification="triangular"), lags=[1, 2], ic="bic")
    >>> order.selected
    {'lags': 1}
    """
    n_boot = _samples(n_boot, ic)
    values = _tried(k_factors=k_factors, lags=lags)
    models, records = _candidates(model, values)
    _require_comparable(models, values)
    named = {_label(values, key): one for key, one in models.items()}
    done = fits_by_name(named, fit_options, rng=rng, n_jobs=n_jobs, checkpoint=checkpoint)
    records = {key: done.get(record.name, record) for key, record in records.items()}
    errors = [record.error for record in records.values()]
    if all(errors):
        raise SpecificationError("No candidate could be fitted", got=shown(errors))
    report_records([records[key] for key in models], "fits of candidates")
    rows = [_row(models.get(key), record) for key, record in records.items()]
    if not callable(model):
        _note_local_maxima(list(records), rows)
    index = pd.MultiIndex.from_tuples(list(records), names=list(values))
    table = pd.DataFrame(rows, index=index if len(values) > 1 else index.get_level_values(0))
    if n_boot:
        table.insert(6, "aicb", _aicb(models, records, n_boot, rng, n_jobs))
    return OrderSelection(table, ic, models, records)


def _samples(n_boot: int, ic: str) -> int:
    """Return the number of bootstrap samples; reject one sample, and zero if the criterion is AICb."""
    n_boot = whole_number(n_boot, "n_boot", 0)
    if n_boot == 1:
        raise SpecificationError("n_boot must not be 1", got=n_boot, expected="0, 2, 3, ...")
    if one_of(ic, CRITERIA, "ic") == "aicb" and not n_boot:
        raise SpecificationError('ic="aicb" needs a bootstrap', got="n_boot=0", remedy="Pass n_boot.")
    return n_boot


def _tried(**given: object) -> dict[str, list[int]]:
    """Return the values to try, by name."""
    values = {}
    for name, value in given.items():
        if value is None:
            continue
        if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
            raise SpecificationError(
                f"{name} must be a list of numbers", got=repr(value), expected="[1, 2, ...]"
            )
        values[name] = [whole_number(one, name, 0) for one in value]
    if not values or not all(values.values()):
        raise SpecificationError("The selection needs candidates", expected="k_factors, lags, or both")
    return values


def _label(values: Mapping[str, object], key: tuple[int, ...]) -> str:
    return ", ".join(f"{name}={value}" for name, value in zip(values, key, strict=True))


def _candidates(model: Any, values: dict[str, list[int]]) -> tuple[_Models, _Records]:
    """Return the models that can be built, and an initial record of failure for each combination."""
    make: Callable[..., Any] = model if callable(model) else _rebuilder(require_model(model), list(values))

    def build(key: tuple[int, ...]) -> Any:
        """Return the model of a candidate."""
        return require_model(make(**dict(zip(values, key, strict=True))))

    models, records = {}, {}
    for key in itertools.product(*values.values()):
        built = attempt(build, key)  # there may be too many factors for the series
        error = str(built) if isinstance(built, Failure) else ""
        if not error:
            models[key] = built
        records[key] = replace(failed_record(error), name=_label(values, key))
    return models, records


def _require_comparable(models: _Models, values: dict[str, list[int]]) -> None:
    """Raise an error if the likelihoods of the candidates are not comparable."""
    first = next(iter(models.values()), cast(Any, None))
    for key, other in models.items():
        if not np.array_equal(first.endog, other.endog, equal_nan=True):
            raise SpecificationError(
                "The candidates have different observations", got=_label(values, key), expected="one endog"
            )
        before, diffuse = (int(diffuse_states(one).sum()) for one in (first, other))
        if diffuse != before:
            raise SpecificationError(
                "Likelihoods with different numbers of diffuse states cannot be compared",
                got=f"{diffuse} for {_label(values, key)}, {before} before",
                remedy='Use initialization="stationary".',
            )


def _rebuilder(model: Any, names: list[str]) -> Callable[..., Any]:
    """Return a function that rebuilds a model with other values."""
    unknown = [name for name in names if name not in model._given]
    if unknown:
        raise SpecificationError(
            f"{type(model).__name__} has no {shown(unknown)}",
            remedy="Leave it out, or give a function that returns a model.",
        )
    anew = {"portfolio_weights": None} if "portfolio_weights" in model._given and "k_factors" in names else {}
    return lambda **changed: model_on(model, data_of(model), **{**anew, **changed})


def _row(model: Any, record: FitRecord) -> dict[str, Any]:
    """Return the criteria of a fit."""
    found = dict.fromkeys(CRITERIA[:4], np.nan)
    if not record.error:
        seen = ~np.isnan(model.endog[int(model.ssm.loglikelihood_burn) :])
        found = criteria(record.llf, record.df_model, *observed(seen))
    return {
        "llf": record.llf,
        "n_params": record.df_model,
        **found,
        "converged": record.converged,
        "status": record.error or ("" if record.converged else "did not converge"),
    }


def _note_local_maxima(keys: list[tuple[int, ...]], rows: list[dict[str, Any]]) -> None:
    """Add a note to candidates whose likelihood is below that of a smaller model that they contain."""
    for key, row in zip(keys, rows, strict=True):
        inside = [
            other for other, small in zip(keys, rows, strict=True)
            if other != key and all(a <= b for a, b in zip(other, key, strict=True))
            and small["llf"] > row["llf"] + _SAME
        ]  # fmt: skip
        if inside:
            row["status"] = "; ".join(
                filter(None, [row["status"], f"below {shown(inside)}: not its maximum"])
            )


def _aicb(models: _Models, records: _Records, n_boot: int, rng: object, n_jobs: int | None) -> list[float]:
    """Return AICb by candidate, with NaN for failed fits."""
    out = []
    for (key, record), seed in zip(records.items(), spawn(rng, len(records)), strict=True):
        if record.error:
            out.append(np.nan)
            continue
        res = models[key].smooth(list(record.params.values()), cov_type="none")
        out.append(bootstrap(res, n_boot, rng=np.random.default_rng(seed), n_jobs=n_jobs).aicb)
    return out


def observed(seen: Array) -> tuple[int, int]:
    """Return the number of observed values, and of periods with such a value, from a mask (nobs, p)."""
    return int(seen.sum()), int(seen.any(axis=1).sum())


def criteria(llf: float, n_params: int, values: int, periods: int) -> dict[str, float]:
    r"""
    Return AIC, AICc, BIC and HQIC.

    .. math::

        AIC = -2\ell + 2m, \quad AICc = -2\ell + 2m\,\frac{N}{N - m - 1}, \quad
        BIC = -2\ell + m\log n, \quad HQIC = -2\ell + 2m\log\log n

    with m parameters, N observed values and n periods with at least one observed value. AICc is infinite if
    N <= m + 1.

    Parameters
    ----------
    llf : float
        Log-likelihood.
    n_params, values, periods : int
        m, N and n.
    """
    counts = {"aic": periods, "aicc": values, "bic": periods, "hqic": periods}
    with quiet():  # log log 1
        return {
            name: float(getattr(eval_measures, name)(llf, np.float64(n), n_params))
            for name, n in counts.items()
        }
