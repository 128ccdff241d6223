"""Repeated work and many fits: seeds, processes, failures, and records with checkpoints."""

from __future__ import annotations

import hashlib
import inspect
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, fields, is_dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from pandas.util import hash_pandas_object
from statsmodels.tools.sm_exceptions import ConvergenceWarning as StatsmodelsConvergenceWarning
from statsmodels.tsa.statespace.initialization import Initialization
from statsmodels.tsa.statespace.mlemodel import MLEModel

from ..engine.arguments import check_jobs, one_of, options_of, random_generator, stream
from ..exceptions import EstimationError, SpecificationError, StateSpaceError, UnsupportedError, warn
from ..numerics.linear_algebra import Array
from .records import FitRecord, append_line, checkpoint_path, coefficient_frames, opened, record_line

T = TypeVar("T")
_CHUNKS = 32
_FEWEST = 2
FAILURES: tuple[type[Exception], ...] = (StateSpaceError, np.linalg.LinAlgError)
"""Exceptions of a single fit that do not stop the other fits. Any other exception is a bug."""


@dataclass(frozen=True)
class Failure:
    """
    A call that raised an exception.

    Attributes
    ----------
    cause : Exception
        The exception.
    """

    cause: Exception

    def __str__(self) -> str:
        return f"{type(self.cause).__name__}: {self.cause}"


def attempt(
    function: Callable[..., T], *args: Any, catch: tuple[type[Exception], ...] = FAILURES
) -> T | Failure:
    """
    Call a function and return its value or a `Failure`.

    Parameters
    ----------
    function : callable
        The function.
    *args
        Arguments of the function.
    catch : tuple of exception types
        Exceptions that count as failures. Others are raised.
    """
    try:
        return function(*args)
    except catch as raised:
        return Failure(raised)


def report_failures(failures: Sequence[Failure | str], total: int, what: str) -> None:
    """
    Issue a warning with the number of failures.

    Parameters
    ----------
    failures : sequence of Failure or str
        The failures, in the order of the calls.
    total : int
        Number of calls.
    what : str
        Description of the calls, in the plural.

    Raises
    ------
    EstimationError
        If fewer than two of several calls succeeded, or a single call failed. Its cause is the first failure.
    """
    if not failures:
        return
    first = failures[0]
    if total - len(failures) < min(_FEWEST, total):
        raise EstimationError(
            f"Too few {what} succeeded",
            got=f"{total - len(failures)} of {total}; the first failure was {first}",
            expected=f"at least {min(_FEWEST, total)}",
        ) from (first.cause if isinstance(first, Failure) else None)
    warn(f"{len(failures)} of {total} {what} failed and are left out; the first failure was {first}")


def successes(outcomes: Sequence[T | Failure], what: str) -> list[T]:
    """Report the failures by `report_failures`, and return the other outcomes."""
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    report_failures(failures, len(outcomes), what)
    return [outcome for outcome in outcomes if not isinstance(outcome, Failure)]


def spawn(rng: object, count: int) -> list[np.random.SeedSequence]:
    """
    Return independent seeds.

    Parameters
    ----------
    rng : numpy.random.Generator, int or None
        Source of the seeds. The same integer, or a Generator in the same state, gives the same seeds.
    count : int
        Number of seeds.
    """
    return np.random.SeedSequence(_words(rng)).spawn(count)


def _words(rng: object) -> list[int]:
    """Return the entropy of seeds."""
    return [int(word) for word in random_generator(rng).integers(0, 2**32, size=4)]


def run_simulations(
    one: Callable[[np.random.Generator], T], seeds: list[np.random.SeedSequence], n_jobs: int | None = None
) -> list[T]:
    """
    Call a function with one random generator per seed, and return the results in the order of the seeds.

    Parameters
    ----------
    one : callable
        Function of a generator. It must be picklable if there are several processes.
    seeds : list of SeedSequence
        Seeds from `spawn`.
    n_jobs : int, optional
        As in `stream`.
    """
    size = len(seeds) // _CHUNKS + 1
    chunks = ((one, seeds[first : first + size]) for first in range(0, len(seeds), size))
    return list(chain.from_iterable(stream(_simulated, chunks, n_jobs, ordered=True)))


def _simulated(one: Callable[[np.random.Generator], T], seeds: list[np.random.SeedSequence]) -> list[T]:
    return [one(np.random.default_rng(seed)) for seed in seeds]


def fit_many(
    models: Mapping[str, Any] | Iterable[tuple[str, Any]],
    fit_options: Mapping[str, Any] | None = None,
    *,
    fixed: Mapping[str, float] | None = None,
    rng: object = None,
    n_jobs: int | None = None,
    checkpoint: str | Path | None = None,
    keep: str | None = None,
) -> Iterator[FitRecord]:
    """
    Fit many models and yield each outcome as it arrives.

    The models may be of this package or other state-space models of statsmodels.

    A fit that raises an error does not stop the others; its record holds the message. Each fit has its own
    random generator, so results do not depend on the number of processes.

    Parameters
    ----------
    models : mapping, or iterable of (name, model)
        The models, under different names. An iterable is consumed as the fits proceed.
    fit_options : mapping, optional
        Arguments of `fit`.
    fixed : mapping, optional
        Values by name of parameters that are fixed in every model, as with `fix_params`.
    rng : numpy.random.Generator or int, optional
        Generator or seed for random start values.
    n_jobs : int, optional
        Number of joblib processes. None uses the setting of `joblib.parallel_config`, or one process. Inside
        ``joblib.parallel_config(backend="dask")``, the same call runs on a cluster.
    checkpoint : path, optional
        A file of JSON lines to which each record is added. If it exists, its fits (of the same name,
        specification and data) are yielded first and not repeated. Reading the file does not execute code.
    keep : {None, "coefficients"}
        What the records keep beside the parameters. "coefficients" keeps the time-varying and constant
        coefficients of regressions, without the model.

    Yields
    ------
    FitRecord

    Raises
    ------
    SpecificationError
        If two models have the same name, the file is not a checkpoint of the same options, or a model has
        no coefficients to keep.
    """
    yield from _repeated_fits(models, fit_options, fixed, rng, n_jobs, checkpoint, keep, (Exception,))


def _repeated_fits(
    models: Any,
    fit_options: Any,
    fixed: Any = None,
    rng: object = None,
    n_jobs: int | None = None,
    checkpoint: object = None,
    keep: str | None = None,
    catch: tuple[type[Exception], ...] = FAILURES,
) -> Iterator[FitRecord]:
    """Yield the records of `fit_many`; only some exceptions are recorded, and others are raised."""
    check_jobs(n_jobs)
    options, held = options_of(fit_options, "fit_options"), options_of(fixed, "fixed")
    kept_by_name = {} if keep is None else {"keep": one_of(keep, ("coefficients",), "keep")}
    words = _words(rng)
    done: dict[str, FitRecord] = {}
    pairs = models.items() if isinstance(models, Mapping) else models
    if not isinstance(pairs, Iterable):
        raise SpecificationError(
            "models must be a mapping or a sequence", got=repr(models), expected="models by name"
        )
    path = checkpoint_path(checkpoint)
    if path is not None:
        words, done = opened(path, {**options, "fixed": held, **kept_by_name}, words, rng is not None)
    kept: list[FitRecord] = []

    def tasks() -> Iterator[tuple[Any, ...]]:
        """Yield the arguments of the fits that no checkpoint has."""
        names: set[str] = set()
        for place, pair in enumerate(pairs):
            name, model = _named(pair, keep)
            if name in names:
                raise SpecificationError("Two models have the same name", got=repr(name))
            names.add(name)
            mark = fingerprint(model)
            if name in done and done[name].fingerprint in (mark, fingerprint(model, exact=True)):
                kept.append(done[name])
            else:
                yield name, mark, catch, model, options, held, np.random.SeedSequence([*words, place]), keep

    for record in stream(_fit_one, tasks(), n_jobs):
        if path is not None:
            append_line(path, record_line(record))
        while kept:
            yield kept.pop(0)
        yield record
    yield from kept


def fits_by_name(models: Any, fit_options: Mapping[str, Any] | None, **options: Any) -> dict[Any, FitRecord]:
    """Return the records of `fit_many` by name; an exception that is a bug is raised."""
    return {record.name: record for record in _repeated_fits(models, fit_options, **options)}


def applied(function: Callable[..., T], records: list[FitRecord], *beside: Sequence[Any]) -> list[T | None]:
    """
    Apply a function to the records of fits, with further arguments per record; None without a fit.

    If a call fails, its error is stored in the record.
    """
    out: list[T | None] = []
    for place, (record, *more) in enumerate(zip(records, *beside, strict=True)):
        found = None if record.error else attempt(function, record, *more)
        if isinstance(found, Failure):
            records[place], found = replace(record, error=str(found)), None
        out.append(found)
    return out


def of_parameters(records: Iterable[FitRecord], names: list[str]) -> list[FitRecord]:
    """Return the records, with an error if a fit changed the model to one with other parameters."""
    fault = EstimationError(
        "The fit went on with other parameters, which those of other windows do not compare with",
        remedy="Declare the model that the default fit of the whole sample returns (`res.model`).",
    )
    return [
        one
        if one.error or list(one.params) == names
        else replace(one, params={}, bse={}, error=str(Failure(fault)))
        for one in records
    ]


def outcome_of(record: FitRecord) -> dict[str, Any]:
    """Return the columns of a table of fits for one record."""
    return {name: getattr(record, name) for name in ("nobs", "llf", "converged", "error")}


def _named(pair: object, keep: str | None) -> tuple[Any, Any]:
    """Return a name, which is a string or an integer, and a model with the output to keep."""
    name, model = pair if isinstance(pair, tuple) and len(pair) == 2 else (None, pair)
    if not isinstance(name, (str, int, np.integer)) or not isinstance(model, MLEModel):
        raise SpecificationError("Each entry of models must be a model with a name", got=repr(pair))
    if keep and not hasattr(model, "coefficients"):
        raise SpecificationError(
            f"keep={keep!r} is for dynamic regressions",
            got=f"{type(model).__name__} {name!r}",
            remedy="Leave keep out.",
        )
    return int(name) if isinstance(name, np.integer) else name, model


def fingerprint(model: Any, exact: bool = False) -> str:
    """
    Return a hash of the class, the parameters, the specification, the data and the start of a model.

    Arguments that the model computes from its data are rounded, since their last digits differ between
    machines. Version 0.1 hashed all digits: ``exact=True`` gives its hash.
    """
    digest = hashlib.sha256(repr((type(model).__name__, list(model.param_names))).encode())
    ours = is_ours(model)
    _absorb(digest, model.hashed_arguments(exact) if ours else model._get_init_kwds())
    for value in (model._index, model.endog, model.exog, model.state_exog if ours else None):
        _absorb(digest, value)
    if ours and model.user_initialization is not None:
        _absorb(digest, model.user_initialization)
    return digest.hexdigest()


def _absorb(digest: Any, value: object) -> None:
    """Add a value to a hash: arrays and labels by their contents, and other values by their repr."""
    value = _content(value)
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        digest.update(repr((value.dtype.str, value.shape)).encode() + value.tobytes())
    elif isinstance(value, (list, tuple, np.ndarray)):
        digest.update(repr(len(value)).encode())
        for item in value:
            _absorb(digest, item)
    else:
        digest.update(repr(value).encode())


def _content(value: object) -> object:
    """Return the contents of a table, an index, a mapping or an initialization as arrays and lists."""
    if isinstance(value, (pd.Series, pd.DataFrame)):
        return [*value.axes, value.to_numpy()]
    if isinstance(value, pd.Index):
        return hash_pandas_object(value, index=False).to_numpy()
    if isinstance(value, Mapping):
        return list(value.items())
    if is_dataclass(value):
        return [getattr(value, each.name) for each in fields(value)]
    if isinstance(value, Initialization):
        names = "initialization_type approximate_diffuse_variance constant stationary_cov blocks"
        return [getattr(value, name) for name in names.split()]
    return value


def _fit_one(name: str, mark: str, catch: tuple[type[Exception], ...], model: Any, *args: Any) -> FitRecord:
    """Return the record of a fit or of its failure; further arguments are as in `_fitted`."""
    began = time.process_time()
    found = attempt(_fitted, model, *args, catch=catch)
    outcome = failed_record(str(found), int(model.nobs)) if isinstance(found, Failure) else found
    return replace(outcome, name=name, seconds=time.process_time() - began, fingerprint=mark)


def failed_record(error: str, nobs: int = 0) -> FitRecord:
    """Return the record of a model without a fit, which lacks its name."""
    return FitRecord("", {}, {}, np.nan, np.nan, np.nan, nobs, 0, False, error, 0.0, "")


def _fitted(
    model: Any,
    options: dict[str, Any],
    fixed: dict[str, float],
    seed: np.random.SeedSequence,
    keep: str | None,
) -> FitRecord:
    """Return the record of a fit, which lacks its name, its time and its fingerprint."""
    own: dict[str, Any] = {"rng": np.random.default_rng(seed)}
    if not is_ours(model):
        own = {"disp": False} if "disp" in inspect.signature(model.fit).parameters else {}
    with warnings.catch_warnings(record=True) as shown, model.fix_params(fixed) if fixed else nullcontext():
        warnings.simplefilter("always")  # the record contains the convergence status
        res = model.fit(**{**own, **options})
        frames = coefficient_frames(res) if keep else None
    names = list(res.model.param_names)
    params = dict(zip(names, np.asarray(res.params, dtype=float).tolist(), strict=True))
    errors = np.full(len(params), np.nan)
    with suppress(KeyError):  # from `bse` after statsmodels' own EM
        errors = np.asarray(res.bse, dtype=float)
    bse = dict(zip(names, errors.tolist(), strict=True))
    values = (float(res.llf), float(res.aic), float(res.bic), int(res.nobs), int(res.df_model))
    if is_ours(model):
        converged = res.converged
    else:  # not every optimiser of statsmodels returns the status, but each issues a warning
        converged = not any(issubclass(each.category, StatsmodelsConvergenceWarning) for each in shown)
    return FitRecord("", params, bse, *values, bool(converged), "", 0.0, "", frames)


def report_records(records: Iterable[FitRecord], what: str) -> None:
    """Issue a warning with the number of failed fits, or raise an error as `report_failures`."""
    every = list(records)
    report_failures([one.error for one in every if one.error], len(every), what)


def model_on(model: Any, endog: Array, rows: slice = slice(None), **changed: Any) -> Any:
    """
    Return the model for other data on some of its periods, with its current initialization.

    Parameters
    ----------
    model : StateSpaceModel
        The model.
    endog : ndarray, (periods, p)
        The data.
    rows : slice
        The periods of the data.
    **changed
        Constructor arguments to change.

    Raises
    ------
    UnsupportedError
        If an initialization was set on ``ssm`` and the new model has a different number of states.
    """
    return _copy(model, endog, rows, model.user_initialization, changed)


def data_of(model: Any) -> Array:
    """Return the original series (nobs, p). ``endog`` lacks the first date if the likelihood is given it."""
    return np.asarray(model.data.endog, dtype=float).reshape(model.nobs, -1)


def model_of(results: Any) -> Any:
    """Return the model of results, or a copy if an initialization was set on ``ssm``."""
    results = getattr(results, "_results", results)
    model, start = require_model(results.model), results.user_initialization
    if start is None and model.user_initialization is None:
        return model
    return _copy(model, data_of(model), slice(None), start, {})


def _copy(
    model: Any, endog: Array, rows: slice, start: Initialization | None, changed: dict[str, Any]
) -> Any:
    """Return the model for other data, with an initialization on ``ssm`` if there is one."""
    index, names = model._index[rows], model.regressor_names
    data = pd.DataFrame(endog, index=index, columns=list(np.atleast_1d(model.endog_names)))
    given = model.arguments_of_periods(rows)
    for name in ("exog", "state_exog"):
        value = getattr(model, name, None)
        if value is not None and names.get(name):
            given[name] = pd.DataFrame(np.asarray(value)[rows], index=index, columns=names[name])
    out = model.clone(data, given.pop("exog", None), **{**given, **changed})
    if start is None:
        return out
    if start.k_states != out.k_states:
        raise UnsupportedError(
            "The start that was set on `ssm` has another number of states than the model",
            got=f"{start.k_states} states, for a model of {out.k_states}",
            remedy="Declare the start in the constructor.",
        )
    out.ssm.initialization = start
    return out


def is_ours(model: Any) -> bool:
    """Return whether a model belongs to this package, rather than to statsmodels."""
    return hasattr(model, "hashed_arguments")


def require_model(model: Any) -> Any:
    """
    Return a model after a check that it belongs to this package.

    Raises
    ------
    SpecificationError
        If it does not belong to this package.
    """
    if not is_ours(model):
        raise SpecificationError(
            "model must be a model of this package",
            got=repr(model),
            expected="an LGSSM, a DynamicRegression, ...",
        )
    return model
