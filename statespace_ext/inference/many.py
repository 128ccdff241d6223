"""Repeated work and many fits: seeds, processes, failures; records that are streamed and can be resumed."""

from __future__ import annotations

import hashlib
import inspect
import json
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from pandas.util import hash_pandas_object
from statsmodels.tools.sm_exceptions import ConvergenceWarning as StatsmodelsConvergenceWarning
from statsmodels.tsa.statespace.initialization import Initialization
from statsmodels.tsa.statespace.mlemodel import MLEModel

from ..display import Displayed
from ..engine.arguments import options_of, random_generator
from ..engine.parallel import check_jobs, stream
from ..exceptions import EstimationError, SpecificationError, StateSpaceError, UnsupportedError, warn
from ..numerics.linear_algebra import Array

T = TypeVar("T")
_CHUNKS = 32
_FEWEST = 2
FAILURES: tuple[type[Exception], ...] = (StateSpaceError, np.linalg.LinAlgError)
"""What one of many fits may raise without stopping the others; anything else is a fault of the code."""


@dataclass(frozen=True)
class Failure:
    """
    What a call raised.

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
    Return what a function returns, or its failure.

    Parameters
    ----------
    function : callable
        The function.
    *args
        Its arguments.
    catch : tuple of exception types
        Those that count as failures; others are raised.
    """
    try:
        return function(*args)
    except catch as raised:
        return Failure(raised)


def report_failures(failures: Sequence[Failure | str], total: int, what: str) -> None:
    """
    Warn of failures with their count.

    Parameters
    ----------
    failures : sequence of Failure or str
        The failures, in the order of the calls.
    total : int
        Number of calls.
    what : str
        What the calls were, in the plural.

    Raises
    ------
    EstimationError
        If fewer than two calls succeeded, of two or more, or the only one failed; its cause is the first
        failure.
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
    """Return the outcomes without failures, after `report_failures` for these."""
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    report_failures(failures, len(outcomes), what)
    return [outcome for outcome in outcomes if not isinstance(outcome, Failure)]


def spawn(rng: object, count: int) -> list[np.random.SeedSequence]:
    """
    Return independent seeds.

    Parameters
    ----------
    rng : numpy.random.Generator, int or None
        Source: the same integer (or a Generator in the same state) gives the same seeds.
    count : int
        Their number.
    """
    words = random_generator(rng).integers(0, 2**32, size=4)
    return np.random.SeedSequence([int(word) for word in words]).spawn(count)


def run_simulations(
    one: Callable[[np.random.Generator], T], seeds: list[np.random.SeedSequence], n_jobs: int | None = None
) -> list[T]:
    """
    Return a function's results at one random generator for each seed, in their order.

    Parameters
    ----------
    one : callable
        From a generator to a result; it can be pickled if there are several processes.
    seeds : list of SeedSequence
        Of `spawn`.
    n_jobs : int, optional
        As in `stream`.
    """
    count = max(1, min(len(seeds), _CHUNKS))
    chunks = ((place, one, seeds[place::count]) for place in range(count))
    parts = dict(stream(_simulated, chunks, n_jobs))
    return [parts[i % count][i // count] for i in range(len(seeds))]


def _simulated(
    place: int, one: Callable[[np.random.Generator], T], seeds: list[np.random.SeedSequence]
) -> tuple[int, list[T]]:
    return place, [one(np.random.default_rng(seed)) for seed in seeds]


@dataclass(frozen=True, repr=False)
class FitRecord(Displayed):
    """
    Outcome of one fit of `fit_many`.

    Attributes
    ----------
    name : str
        Name of the model.
    params, bse : dict of str to float
        Estimates and standard errors; empty if the fit failed. Standard errors that are not available are
        NaN.
    llf, aic, bic : float
        Log-likelihood and information criteria; NaN if the fit failed.
    nobs, df_model : int
        Number of periods, and number of identified free parameters plus exact-diffuse states.
    converged : bool
        Whether the fit met its criteria.
    error : str
        The error message; empty if the fit succeeded.
    seconds : float
        Process time of the fit.
    fingerprint : str
        Hash of the class, the specification and the data of the model.
    """

    name: str
    params: dict[str, float]
    bse: dict[str, float]
    llf: float
    aic: float
    bic: float
    nobs: int
    df_model: int
    converged: bool
    error: str
    seconds: float
    fingerprint: str


def fit_many(
    models: Mapping[str, Any] | Iterable[tuple[str, Any]],
    fit_options: Mapping[str, Any] | None = None,
    *,
    fixed: Mapping[str, float] | None = None,
    rng: object = None,
    n_jobs: int | None = None,
    checkpoint: str | Path | None = None,
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

    Yields
    ------
    FitRecord

    Raises
    ------
    SpecificationError
        If two models have the same name, or the file is not a checkpoint of the same options.
    """
    yield from repeated_fits(
        models, fit_options, fixed=fixed, rng=rng, n_jobs=n_jobs, checkpoint=checkpoint, catch=(Exception,)
    )


def repeated_fits(
    models: Mapping[str, Any] | Iterable[tuple[str, Any]],
    fit_options: Mapping[str, Any] | None = None,
    *,
    fixed: Mapping[str, float] | None = None,
    rng: object = None,
    n_jobs: int | None = None,
    checkpoint: str | Path | None = None,
    catch: tuple[type[Exception], ...] = FAILURES,
) -> Iterator[FitRecord]:
    """Yield the records of `fit_many`; only some exceptions are recorded, and others are raised."""
    check_jobs(n_jobs)
    options, held = options_of(fit_options, "fit_options"), options_of(fixed, "fixed")
    words = [int(word) for word in random_generator(rng).integers(0, 2**32, size=4)]
    done: dict[str, FitRecord] = {}
    pairs = models.items() if isinstance(models, Mapping) else models
    if not isinstance(pairs, Iterable):
        raise SpecificationError(
            "models must be a mapping or a sequence", got=repr(models), expected="models by name"
        )
    path = _path(checkpoint)
    if path is not None:
        words, done = _opened(path, {**options, "fixed": held}, words, rng is not None)
    kept: list[FitRecord] = []

    def tasks() -> Iterator[tuple[Any, ...]]:
        names: set[str] = set()
        for place, pair in enumerate(pairs):
            name, model = _named(pair)
            if name in names:
                raise SpecificationError("Two models have one name", got=repr(name))
            names.add(name)
            mark = fingerprint(model)
            if name in done and done[name].fingerprint in (mark, fingerprint(model, exact=True)):
                kept.append(done[name])
            else:
                yield name, model, options, held, np.random.SeedSequence([*words, place]), mark, catch

    yielded = 0
    for record in stream(_fit_one, tasks(), n_jobs):
        if path is not None:
            _append(path, asdict(record))
        while yielded < len(kept):
            yield kept[yielded]
            yielded += 1
        yield record
    yield from kept[yielded:]


def fits_by_name(models: Any, fit_options: Mapping[str, Any] | None, **options: Any) -> dict[Any, FitRecord]:
    """Return the records of `repeated_fits` by name."""
    return {record.name: record for record in repeated_fits(models, fit_options, **options)}


def applied(function: Callable[..., T], records: list[FitRecord], *beside: Sequence[Any]) -> list[T | None]:
    """
    Return a function's values at the records of fits, and at what stands beside each; None without a fit.

    A record has the error of a call that fails from then on.
    """
    out: list[T | None] = []
    for place, (record, *more) in enumerate(zip(records, *beside, strict=True)):
        found = None if record.error else attempt(function, record, *more)
        if isinstance(found, Failure):
            records[place], found = replace(record, error=str(found)), None
        out.append(found)
    return out


def of_parameters(records: Iterable[FitRecord], names: list[str]) -> list[FitRecord]:
    """Return records with an error where a fit ended in a model with other parameters."""
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
    """Return what a table of fits says of one."""
    return {name: getattr(record, name) for name in ("nobs", "llf", "converged", "error")}


def _named(pair: Any) -> tuple[Any, Any]:
    """Return a name, text or an integer, and a model."""
    name, model = pair if isinstance(pair, tuple) and len(pair) == 2 else (None, pair)
    if not isinstance(name, (str, int, np.integer)) or not isinstance(model, MLEModel):
        raise SpecificationError("Each entry of models must be a model with a name", got=repr(pair))
    return int(name) if isinstance(name, np.integer) else name, model


def _path(checkpoint: object) -> Path | None:
    """Return the path of the checkpoint; refuse folders, and values that do not name a file."""
    if checkpoint is None:
        return None
    if not isinstance(checkpoint, (str, Path)) or not str(checkpoint) or Path(checkpoint).is_dir():
        raise SpecificationError("checkpoint must name a file", got=repr(checkpoint))
    return Path(checkpoint)


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


def _absorb(digest: Any, value: Any) -> None:
    """Add a value to a hash: arrays and labels by what is in them, the rest as it is written."""
    value = _content(value)
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        digest.update(repr((value.dtype.str, value.shape)).encode() + value.tobytes())
    elif isinstance(value, (list, tuple, np.ndarray)):
        digest.update(repr(len(value)).encode())
        for item in value:
            _absorb(digest, item)
    else:
        digest.update(repr(value).encode())


def _content(value: Any) -> Any:
    """Return what a table, an index, a mapping or an initialization holds, in arrays and lists."""
    if isinstance(value, (pd.Series, pd.DataFrame)):
        return [*value.axes, value.to_numpy()]
    if isinstance(value, pd.Index):
        return hash_pandas_object(value, index=False).to_numpy()
    if isinstance(value, Mapping):
        return list(value.items())
    if isinstance(value, Initialization):
        names = (
            "initialization_type",
            "approximate_diffuse_variance",
            "constant",
            "stationary_cov",
            "blocks",
        )
        return [getattr(value, name) for name in names]
    return value


def _fit_one(
    name: str,
    model: Any,
    options: dict[str, Any],
    fixed: dict[str, float],
    seed: np.random.SeedSequence,
    mark: str,
    catch: tuple[type[Exception], ...],
) -> FitRecord:
    began = time.process_time()
    found = attempt(_fitted, model, options, fixed, seed, catch=catch)
    error = str(found) if isinstance(found, Failure) else ""
    if isinstance(found, Failure):
        found = ({}, {}, np.nan, np.nan, np.nan, int(model.nobs), 0, False)
    return FitRecord(name, *found, error, time.process_time() - began, mark)


_Fitted = tuple[dict[str, float], dict[str, float], float, float, float, int, int, bool]
"""What a `FitRecord` has of a fit: params, bse, llf, aic, bic, nobs, df_model, converged."""


def _fitted(
    model: Any, options: dict[str, Any], fixed: dict[str, float], seed: np.random.SeedSequence
) -> _Fitted:
    own: dict[str, Any] = {"rng": np.random.default_rng(seed)}
    if not is_ours(model):
        own = {"disp": False} if "disp" in inspect.signature(model.fit).parameters else {}
    with warnings.catch_warnings(record=True) as shown, model.fix_params(fixed) if fixed else nullcontext():
        warnings.simplefilter("always")  # whether it converged is in the record
        res = model.fit(**{**own, **options})
    names = list(res.model.param_names)
    params = dict(zip(names, np.asarray(res.params, dtype=float).tolist(), strict=True))
    bse = dict(zip(names, _standard_errors(res).tolist(), strict=True))
    values = (float(res.llf), float(res.aic), float(res.bic), int(res.nobs), int(res.df_model))
    if is_ours(model):
        converged = res.converged
    else:  # not every optimiser of statsmodels says so, but each warns
        converged = not any(issubclass(each.category, StatsmodelsConvergenceWarning) for each in shown)
    return params, bse, *values, bool(converged)


def _standard_errors(res: Any) -> Array:
    """Return the standard errors; NaN after statsmodels' own EM, where its `bse` raises a KeyError."""
    try:
        return np.asarray(res.bse, dtype=float)
    except KeyError:
        return np.full(len(res.params), np.nan)


def report_records(records: Iterable[FitRecord], what: str) -> None:
    """Warn of the fits that failed with their count, or raise as `report_failures`."""
    every = list(records)
    report_failures([one.error for one in every if one.error], len(every), what)


def _opened(
    path: Path, options: dict[str, Any], words: list[int], seeded: bool
) -> tuple[list[int], dict[str, FitRecord]]:
    """Return the seed and the records of a checkpoint; start it where it does not exist."""
    header = {"fit_options": repr(sorted(options.items())), "seed": words}
    lines = _read(path) if path.exists() else []
    if not lines:
        _append(path, header)
        return words, {}
    first = lines[0]
    if first.get("fit_options") != header["fit_options"] or (seeded and first.get("seed") != words):
        raise SpecificationError(
            "The checkpoint is of a run with other options or another seed",
            got=f"{path}: {first}",
            expected=str(header),
            remedy="Give the same fit_options and rng, or another file.",
        )
    return first["seed"], {line["name"]: FitRecord(**line) for line in lines[1:]}


_RECORD = {field.name for field in fields(FitRecord)}
_REQUIRED = {field.name for field in fields(FitRecord) if field.default is MISSING}
"""What each record of a checkpoint has. A field that a later version adds has a default."""


def _read(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a checkpoint as data; drop one that was being written when the run stopped."""
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    lines = _lines(whole)
    if lines is None or not (whole or _HEADER.startswith(content[: len(_HEADER)])):
        raise SpecificationError(
            "The file is not a checkpoint of fit_many",
            got=str(path),
            expected="lines of JSON: the options and the seed, then a record each",
            remedy="Name a file that does not exist yet.",
        )
    if whole != content:
        path.write_bytes(whole)
    return lines


def _lines(content: bytes) -> list[dict[str, Any]] | None:
    """Return lines of JSON, None where they are not a header and records."""
    try:
        lines = [json.loads(line) for line in content.decode("utf-8").splitlines()]
        keys = [line.keys() for line in lines]
    except (ValueError, AttributeError):
        return None
    right = all(_REQUIRED <= key <= _RECORD for key in keys[1:]) and all("seed" in key for key in keys[:1])
    return lines if right else None


_HEADER = b'{"fit_options": '
"""How a checkpoint begins."""


def _append(path: Path, record: dict[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def model_on(model: Any, endog: Array, rows: slice = slice(None), **changed: Any) -> Any:
    """
    Return the model for other data of some of its periods, with the start that it has now.

    Parameters
    ----------
    model : StateSpaceModel
        The model.
    endog : ndarray, (periods, p)
        The data.
    rows : slice
        Their periods.
    **changed
        Arguments of the constructor to change.

    Raises
    ------
    UnsupportedError
        If a start was set on ``ssm`` and the other model has another number of states.
    """
    return _with_start(_copy(model, endog, rows, changed), model.user_initialization)


def data_of(model: Any) -> Array:
    """Return the series as given (nobs, p): a likelihood given the first date hides that in ``endog``."""
    return np.asarray(model.data.endog, dtype=float).reshape(model.nobs, -1)


def model_of(results: Any) -> Any:
    """Return the model of results, a copy of it where it has another start now than their pass had."""
    results = getattr(results, "_results", results)
    model, start = require_model(results.model), results.user_initialization
    if start is None and model.user_initialization is None:
        return model
    return _with_start(_copy(model, data_of(model), slice(None), {}), start)


def _with_start(model: Any, start: Any) -> Any:
    """Return the model, with a start that was set on ``ssm`` where there is one."""
    if start is None:
        return model
    if start.k_states != model.k_states:
        raise UnsupportedError(
            "A start that was set on `ssm` is that of another number of states",
            got=f"{start.k_states} states, for a model of {model.k_states}",
            remedy="Declare the start in the constructor.",
        )
    model.ssm.initialization = start
    return model


def _copy(model: Any, endog: Array, rows: slice, changed: dict[str, Any]) -> Any:
    """Return the model for other data, as its constructor makes it."""
    index, names = model._index[rows], model.regressor_names
    data = pd.DataFrame(endog, index=index, columns=list(np.atleast_1d(model.endog_names)))
    given = model.arguments_of_periods(rows)
    for name in ("exog", "state_exog"):
        value = getattr(model, name, None)
        if value is not None and names.get(name):
            given[name] = pd.DataFrame(np.asarray(value)[rows], index=index, columns=names[name])
    return model.clone(data, given.pop("exog", None), **{**given, **changed})


def is_ours(model: Any) -> bool:
    """Tell whether a model is one of this package, not another state-space model of statsmodels."""
    return hasattr(model, "hashed_arguments")


def require_model(model: Any) -> Any:
    """
    Return a model of this package.

    Raises
    ------
    SpecificationError
        If it is something else.
    """
    if not is_ours(model):
        raise SpecificationError(
            "model must be a model of this package",
            got=repr(model),
            expected="an LGSSM, a DynamicRegression, ...",
        )
    return model
