"""`from_marss` converts a model in the notation of the R package MARSS to an `LGSSM`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, TypeGuard

import numpy as np
import pandas as pd

from ..engine.arguments import options_of
from ..engine.calendars import calendar_of
from ..engine.validation import endog_frame, regressor_frame, series_names
from ..exceptions import DataError, SpecificationError, UnsupportedError, nearest, shown
from ..numerics.linear_algebra import Array, at_period
from ..params.affine import Regimes
from ..params.layout import without_noise
from ..params.parse import MARSS_COVARIANCES, keyword_array, numbers_or_objects, parse_element
from .declaration import MARSS_ARGUMENTS
from .model import LGSSM

_ARGUMENTS = {key: value for key, value in MARSS_ARGUMENTS.items() if key not in ("c", "d")}
_DEFAULTS: dict[str, object] = {
    "Z": "identity", "A": "scaling", "R": "diagonal and equal", "B": "identity", "U": "unconstrained",
    "Q": "diagonal and unequal", "x0": "unconstrained", "V0": "zero", "tinitx": 0,
}  # fmt: skip
_SETTINGS = {"G": "identity", "H": "identity", "L": "identity", "diffuse": False}
"""Other elements of MARSS models, and the only value of each that is supported."""
_SQUARE = ("identity", "diagonal and unequal", "diagonal and equal", "equalvarcov")
_COVARIANCE_WORDS = {**MARSS_COVARIANCES, "identity": "identity", "zero": "zero"}
_VECTOR_WORDS = ("unconstrained", "unequal", "equal", "zero")
_WORDS: dict[str, tuple[str, ...]] = {
    "Z": ("unconstrained", *_SQUARE, "onestate"),
    "B": ("unconstrained", "unequal", "zero", *_SQUARE),
    "A": ("scaling", *_VECTOR_WORDS),
    "U": _VECTOR_WORDS,
    "x0": _VECTOR_WORDS,
    "C": (*_VECTOR_WORDS, *_SQUARE[1:3]),
    "D": (*_VECTOR_WORDS, *_SQUARE[1:3]),
    **dict.fromkeys(("R", "Q", "V0"), tuple(_COVARIANCE_WORDS)),
}


def from_marss(
    y: object,
    model: Mapping[str, object] | None = None,
    c: object = None,
    d: object = None,
    *,
    state_names: Sequence[str] | None = None,
) -> LGSSM:
    r"""
    Build an `LGSSM` from a model in the notation of the R package MARSS.

    .. math::

        x_t &= B x_{t-1} + U + C c_t + w_t, & w_t &\sim N(0, Q) \\
        y_t &= Z x_t + A + D d_t + v_t, & v_t &\sim N(0, R)

    for t = 1..n, with :math:`x_0 \sim N(x0, V0)` if ``tinitx=0`` and :math:`x_1 \sim N(x0, V0)` if
    ``tinitx=1``.

    Parameters
    ----------
    y : array_like, (nobs, p)
        Observations, with one series per column (per row in MARSS). NaN marks missing values.
    model : mapping, optional
        Z (p, m), A (p,), D (p, number of d), R (p, p), B (m, m), U (m,), C (m, number of c), Q (m, m),
        x0 (m,), V0 (m, m) and tinitx. A matrix is a keyword of MARSS, or has numbers and strings as in
        `LGSSM`. An additional last axis is time. Z may be a `pandas.Categorical` with the state of each
        series (a factor in MARSS). Omitted elements have the defaults of MARSS: Z "identity", A "scaling",
        R "diagonal and equal", B "identity", U "unconstrained", Q "diagonal and unequal", x0 "unconstrained",
        V0 "zero", tinitx 0. C and D are "unconstrained" if c and d are given.
    c, d : array_like, (nobs, r), optional
        Inputs of the states and of the observations, with one input per column (per row in MARSS).
    state_names : sequence of str, optional
        Names of the states. By default the categories of a Categorical Z, otherwise X1, X2, ... as in MARSS.

    Returns
    -------
    LGSSM
        The model. With ``tinitx=0`` it has an empty row before the data, for the period of x_0. The label of
        this row is that of the preceding period, or 0 if y has no labels.

    Raises
    ------
    SpecificationError
        If the name of a matrix or a keyword is unknown, or matrices contradict each other.
    DataError
        If y, c or d are not numeric or have the orientation of MARSS, or inputs have missing values.
    UnsupportedError
        If G, H, L or diffuse differ from the default of MARSS.

    Notes
    -----
    In MARSS, two matrices never share a parameter, even if they use the same name. Such a name gets the name
    of its matrix as a prefix: "a" in U and in A becomes ``U_a`` and ``A_a``.

    U and A may have strings and a time axis, for example for a trend that changes at a given date. The path
    of each coefficient becomes an input, which is a column of ``state_exog`` or ``exog``. Forecasts need its
    future values. Other matrices with strings and a time axis vary over time as those of `LGSSM`. Forecasts
    need their future values under the names of `LGSSM`: ``forecast(2, obs_cov="hold")`` repeats the last R.
    If B, U or Q vary over time, their last values also apply to the first period after the sample.

    With R = 0, V0 = 0 and ``tinitx=1``, the first observation has a degenerate distribution. If x0 is fixed
    and equals the observation, the observation is set to NaN. As in MARSS, a known value does not add to the
    log-likelihood.

    References
    ----------
    Holmes, Ward & Scheuerell (2014), "Analysis of multivariate time-series using the MARSS package".

    Examples
    --------
    >>> import numpy as np
    >>> import statespace_ext as sse
    >>> y = np.cumsum(np.random.default_rng(0).normal(size=(80, 2)), axis=0)
    >>> sse.from_marss(y, dict(R="zero", Q="equalvarcov", U="zero")).param_names
    ['state_var', 'state_cov', 'initial_state.X1', 'initial_state.X2']
    """
    words = _checked(model)
    series, labelled = _series(y, words)
    inputs = {name: _inputs(value, name, series) for name, value in (("c", c), ("d", d))}
    late = _one_or_zero(words.pop("tinitx"))
    names = _state_names(words["Z"], series.shape[1])
    values = _resolved(words, series.shape[1], len(names), inputs)
    for intercept, coefs, name in (("U", "C", "c"), ("A", "D", "d")):
        _pattern_to_inputs(values, inputs, (intercept, coefs, name), series.index)
    _separate_names(values)
    index = series.index if late else _with_row_before(series.index, labelled)
    rows = np.pad(series.to_numpy(), ((int(not late), 0), (0, 0)), constant_values=np.nan)
    endog = pd.DataFrame(rows, index=index, columns=series.columns)
    free = any(_is_free(values[key]) for key in ("x0", "V0"))
    arguments: dict[str, Any] = {
        **{_ARGUMENTS[key]: _shifted(value, key, late, len(series)) for key, value in values.items()},
        **_timed(inputs, late, index),
        "initialization": "estimated" if free else "known",
        "k_factors": len(names),
        "factor_names": names if state_names is None else state_names,
    }
    built = LGSSM(endog, **arguments)
    known = _known_first_row(built)
    if len(known):
        endog.iloc[0, known] = np.nan
        built = LGSSM(endog, **arguments)
    return built


# -- checks of the arguments -------------------------------------------------------------------------------


def _checked(model: Mapping[str, object] | None) -> dict[str, object]:
    """Return the given elements and the defaults of MARSS; reject unknown names and settings."""
    given = options_of(model, "model")
    known = [*_ARGUMENTS, "tinitx"]
    for name, value in given.items():
        if name in _SETTINGS:
            _require_default(name, value)
        elif name not in known:
            inputs = f"{name} has inputs. Pass them as an argument: from_marss(y, model, {name}=...)."
            raise SpecificationError(
                "model has an unknown element",
                got=repr(name),
                expected=f"names among {shown(known, 20)}",
                remedy=inputs if name in ("c", "d") else nearest(name, known),
            )
    return {**_DEFAULTS, **{key: value for key, value in given.items() if key not in _SETTINGS}}


def _require_default(name: str, value: object) -> None:
    """Raise `UnsupportedError` if a setting of MARSS differs from its default."""
    if isinstance(value, (str, bool)) and value == _SETTINGS[name]:
        return
    matrix = {"G": "Q", "H": "R", "L": "V0"}.get(name)
    raise UnsupportedError(
        f"{name} must have the default value of MARSS",
        got=repr(value),
        expected=repr(_SETTINGS[name]),
        remedy=f"Write the product into {matrix}." if matrix else 'Use LGSSM(..., initialization="diffuse").',
    )


def _one_or_zero(value: object) -> bool:
    """Return whether tinitx is 1."""
    if isinstance(value, (int, float, np.integer, np.floating)) and value in (0, 1):
        return bool(value)
    raise SpecificationError("tinitx is unknown", got=repr(value), expected="0 or 1")


def _series(y: object, words: dict[str, object]) -> tuple[pd.DataFrame, bool]:
    """Return the observations as a frame, and whether they have labels; reject the orientation of MARSS."""
    data: Any = endog_frame(y)
    labelled = isinstance(data, (pd.Series, pd.DataFrame))
    columns = data.columns if isinstance(data, pd.DataFrame) else series_names(data)
    data = pd.DataFrame(data).set_axis(columns, axis=1)
    n, p = data.shape
    told = {_length(words[key]) for key in "ZAR" if not isinstance(words[key], str)}
    if (n in told and p not in told) if told else p > n:
        raise DataError(
            "y must have one column per series; it has one row per series, as in MARSS",
            got=(n, p),
            expected="shape (nobs, series)",
            remedy="Pass y.T." if told else "Pass y.T; if series outnumber periods, give Z as a matrix.",
        )
    return data, labelled


def _length(value: object) -> int:
    return len(value) if hasattr(value, "__len__") else 1


def _inputs(value: object, name: str, series: pd.DataFrame) -> pd.DataFrame | None:
    """Return inputs as a frame with the labels of the series; reject the orientation of MARSS."""
    if value is None:
        return None
    shape = getattr(value, "shape", None) or np.shape(_array(value, name))
    if len(shape) == 2 and shape[0] != len(series) == shape[1]:
        raise DataError(
            f"{name} must have one column per input; it has one row per input, as in MARSS",
            got=shape,
            expected=f"({len(series)}, number of inputs)",
            remedy=f"Pass {name}.T.",
        )
    frame = regressor_frame(value, len(series), series.index, name)
    if isinstance(frame, pd.DataFrame):
        return frame
    return pd.DataFrame(frame, series.index, [f"{name}{i + 1}" for i in range(frame.shape[1])])


# -- keywords -> matrices ----------------------------------------------------------------------------------


def _state_names(Z: object, p: int) -> list[str]:
    """Return the names of the states in MARSS."""
    if isinstance(Z, pd.Categorical):
        return [str(name) for name in pd.unique(np.asarray(Z))]
    if isinstance(Z, str):
        m = 1 if Z == "onestate" else p
    else:
        m = (*np.shape(_array(Z, "Z")), 1)[1]
    return [f"X{i + 1}" for i in range(m)]


def _resolved(
    words: dict[str, object], p: int, m: int, inputs: Mapping[str, pd.DataFrame | None]
) -> dict[str, str | np.ndarray]:
    """Replace keywords of MARSS by those of `LGSSM` or arrays, for p series and m states."""
    given, values = dict(words), dict[str, str | np.ndarray]()
    rows = {"Z": p, "A": p, "D": p, "R": p}
    columns = {"Z": m, "B": m, "Q": m, "V0": m, "R": p}
    for coefs, name in (("C", "c"), ("D", "d")):
        word = _word_of_inputs(given.pop(coefs, None), inputs[name], coefs, name)
        if (frame := inputs[name]) is not None:
            given[coefs], columns[coefs] = word, frame.shape[1]
    for key, value in given.items():
        shape = rows.get(key, m), columns.get(key, 1)
        values[key] = found = _word(key, value, shape) if isinstance(value, str) else _array(value, key)
        if isinstance(found, np.ndarray) and found.shape[:1] != shape[:1]:
            raise SpecificationError(f"{key} has the wrong shape", got=found.shape, expected=shape)
    if isinstance(values["A"], str) and values["A"] == "scaling":
        values["A"] = _scaling(values["Z"], p)
    return values


def _word_of_inputs(word: object, frame: pd.DataFrame | None, coefs: str, name: str) -> object:
    """Return the coefficients of inputs, which are free by default; reject those without inputs."""
    if frame is None and not (word is None or isinstance(word, str) and word == "zero"):
        raise SpecificationError(
            f"{coefs} needs {name}, which is missing", got=word, remedy=f"Pass {name} as well."
        )
    return "unconstrained" if word is None else word


def _word(key: str, word: str, shape: tuple[int, int]) -> str | np.ndarray:
    """Return the argument of `LGSSM` that corresponds to a keyword of MARSS."""
    if word not in _WORDS[key]:
        raise SpecificationError(
            f"{key} is not a keyword of MARSS",
            got=repr(word),
            expected=f"one of {shown(_WORDS[key])}; or a matrix of numbers and strings",
            remedy=nearest(word, _WORDS[key]) or f"A parameter of a 1 x 1 matrix is written [[{word!r}]].",
        )
    if key in ("R", "Q", "V0"):
        return _COVARIANCE_WORDS[word]
    if word in _SQUARE and shape[0] != shape[1]:
        raise SpecificationError(f'{key}="{word}" needs a square matrix', got=f"shape {shape}")
    eye = np.eye(*shape, dtype=bool)
    matrices: dict[str, np.ndarray] = {
        "diagonal and equal": np.where(eye, key, "0"),
        "equalvarcov": np.where(eye, key, f"{key}_off"),
        "equal": np.full(shape, key),
        "onestate": np.ones(shape),
    }
    same = {"unconstrained": "free", "unequal": "free", "diagonal and unequal": "diagonal"}
    value = matrices.get(word, same.get(word, word))
    return value if isinstance(value, str) else _array(value, key)


def _array(value: object, key: str) -> np.ndarray:
    """Return a matrix of numbers or objects; convert a Categorical to zeros and ones."""
    if isinstance(value, pd.Categorical):
        labels = np.asarray(value)
        if key != "Z" or pd.isna(labels).any():
            raise SpecificationError(
                f"Only Z can be a Categorical; {key} is one",
                expected="a Categorical Z without missing states",
            )
        return (labels[:, None] == pd.unique(labels)[None, :]).astype(float)
    if isinstance(value, Regimes):
        raise SpecificationError(
            f"{key} must not be a Regimes object",
            got=repr(value),
            expected="an array of numbers and strings with a last axis over time",
            remedy="Use LGSSM, which accepts Regimes.",
        )
    return numbers_or_objects(value, key, "a matrix")


def _scaling(Z: Any, p: int) -> np.ndarray:
    """Return A "scaling" of MARSS: zero for the first series of each state, and free for the others."""
    design = np.eye(p) if isinstance(Z, str) and Z == "identity" else Z
    is_design = isinstance(design, np.ndarray) and design.ndim == 2 and design.dtype == float
    if not is_design or not np.all(np.isin(design, (0.0, 1.0))) or np.any(design.sum(axis=1) != 1.0):
        raise SpecificationError(
            'A="scaling", the default, needs a Z of zeros and ones with a single 1 in each row',
            got="another Z",
            remedy='Set A to "zero", "unconstrained", or a vector.',
        )
    out = np.full(p, np.nan)
    out[[int(np.argmax(column)) for column in design.T if column.any()]] = 0.0
    return out


def _has_strings(value: object) -> TypeGuard[np.ndarray]:
    return isinstance(value, np.ndarray) and value.dtype.kind == "O"


def _read(matrix: np.ndarray) -> dict[object, tuple[float, dict[str, float]]]:
    """Return the constant of each distinct element, and its coefficients by parameter."""
    return {item: parse_element(item, "An element") for item in matrix.flat}


def _is_free(value: str | np.ndarray) -> bool:
    """Return whether an element of a matrix is a parameter."""
    if isinstance(value, str):
        return value not in ("zero", "identity")
    return any(np.isnan(constant) or coefs for constant, coefs in _read(value).values())


# -- names and time ----------------------------------------------------------------------------------------


def _separate_names(values: dict[str, Any]) -> None:
    """Prefix names that occur in several matrices with the name of their matrix."""
    names = {
        key: set().union(*(coefs for _, coefs in _read(value).values()))
        for key, value in values.items()
        if _has_strings(value)
    }
    uses = Counter(chain.from_iterable(names.values()))
    for key, found in names.items():
        for name in sorted(name for name in found if uses[name] > 1):
            new = f"{key}_{name}"
            if new in uses:
                raise SpecificationError(
                    f"{name!r} is the name of parameters in several matrices",
                    got=f"{new!r} too",
                    remedy="Rename one of them.",
                )
            values[key] = _renamed(values[key], name, new)


def _renamed(matrix: np.ndarray, name: str, new: str) -> np.ndarray:
    """Return a matrix of strings with another name of a parameter."""
    whole = re.compile(rf"(?<![\w.]){re.escape(name)}(?!\w)")
    flat = [whole.sub(new, item) if isinstance(item, str) else item for item in matrix.flat]
    return np.array(flat, dtype=object).reshape(matrix.shape)


def _paths(pattern: np.ndarray) -> tuple[Array, list[str], Array]:
    """Return the constants over time, the parameters, and their coefficients (row, parameter, period)."""
    read = _read(pattern)
    numbers = np.array([[read[item][0] for item in row] for row in pattern])
    params = list(dict.fromkeys(key for item in pattern.flat for key in read[item][1]))
    paths = [[read[item][1].get(param, 0.0) for item in row] for row in pattern for param in params]
    return numbers, params, np.reshape(paths, (len(pattern), len(params), pattern.shape[1]))


def _pattern_to_inputs(
    values: dict[str, str | np.ndarray],
    inputs: dict[str, pd.DataFrame | None],
    keys: tuple[str, str, str],
    index: pd.Index,
) -> None:
    """Replace an intercept with time-varying strings by numbers and by inputs with free coefficients."""
    intercept, coefs, name = keys
    pattern, n = values[intercept], len(index)
    if not _has_strings(pattern) or pattern.shape[1:] not in ((n,), (1, n)) or n == 1:
        return
    numbers, params, paths = _paths(pattern.reshape(len(pattern), n))
    if np.isnan(numbers).any():
        raise SpecificationError(
            f"{intercept} must not contain NaN if it varies over time", expected="names of parameters"
        )
    frame, added = _input_columns(params, paths, index)
    given = inputs[name]
    if given is not None:
        frame, own, shape = pd.concat([given, frame], axis=1), values[coefs], (len(pattern), given.shape[1])
        own = keyword_array(own, shape) if isinstance(own, str) else own.reshape(shape)
        added = np.concatenate([own.astype(object), added], axis=1)
    inputs[name], values[coefs] = frame, added
    constant = np.ptp(numbers, axis=1).max() == 0
    values[intercept] = numbers[:, 0] if constant else numbers[:, None, :]


def _input_columns(params: list[str], paths: Array, index: pd.Index) -> tuple[pd.DataFrame, np.ndarray]:
    """Return an input for each path of a coefficient, and the parameters that multiply the inputs, by row."""
    places: dict[tuple[int, bytes], list[int]] = {}
    for i, j in np.argwhere(paths.any(axis=2)).tolist():
        places.setdefault((j, paths[i, j].tobytes()), []).append(i)
    uses = Counter(j for j, _ in places)
    columns: dict[str, Array] = {}
    added = np.full((len(paths), len(places)), 0.0, dtype=object)
    for place, ((j, _), rows) in enumerate(places.items()):
        added[rows, place] = params[j]
        columns[f"{params[j]}.{place}" if uses[j] > 1 else params[j]] = paths[rows[0], j]
    return pd.DataFrame(columns, index=index), added


def _shifted(value: object, key: str, late: bool, n: int) -> object:
    """Shift a matrix with a time axis to the periods of `LGSSM`."""
    if not isinstance(value, np.ndarray) or value.ndim != 3 or value.shape[2] == 1:
        return value
    if key in ("x0", "V0", "C", "D"):
        raise SpecificationError(
            f"{key} must be constant over time", got=value.shape, expected="a constant matrix"
        )
    if value.shape[2] != n:
        raise SpecificationError(f"{key} has the wrong length", got=value.shape[2], expected=f"{n} periods")
    if key in ("Z", "A", "R"):
        return value if late else np.concatenate([value[..., :1], value], axis=2)
    return np.concatenate([value[..., int(late) :], value[..., -1:]], axis=2)


def _with_row_before(index: pd.Index, labelled: bool) -> pd.Index:
    """Add the label of the period before the first; return 0, 1, ... without labels."""
    if not labelled:
        return pd.RangeIndex(len(index) + 1)
    calendar = calendar_of(index, len(index))
    clock = calendar.clock
    if clock is None:
        raise DataError(
            "The period of x_0, one before the first of y, cannot be inferred from the labels of y",
            got=shown(index, 3),
            expected="labels with a frequency, or integers in equal steps",
            remedy="Set a frequency (`asfreq`), or put an empty (NaN) row first and use tinitx=1.",
        )
    if isinstance(clock, pd.RangeIndex):
        return pd.Index([clock.start - clock.step, *index], name=index.name)
    return index.insert(0, calendar.in_kind(clock[:1].shift(-1))[0])


def _timed(inputs: Mapping[str, pd.DataFrame | None], late: bool, index: pd.Index) -> dict[str, Any]:
    """Return c and d with the timing of `LGSSM`: row t of ``state_exog`` enters x_{t+1}."""
    out = {}
    if (c := inputs["c"]) is not None:
        rows = c.to_numpy(dtype=float)[int(late) :]
        nowhere = c.columns[~np.any(rows, axis=0)]
        if len(nowhere):
            raise DataError(
                "An input in c is zero in every period in which it enters",
                got=shown(nowhere),
                remedy="Drop it.",
            )
        rows = np.pad(rows, ((0, 1), (0, 0)), constant_values=np.nan)
        out["state_exog"] = pd.DataFrame(rows, index=index, columns=c.columns)
    if (d := inputs["d"]) is not None:
        rows = np.pad(d.to_numpy(dtype=float), ((int(not late), 0), (0, 0)))
        out["exog"] = pd.DataFrame(rows, index=index, columns=d.columns)
    return out


def _known_first_row(model: LGSSM) -> Array:
    """
    Return the noiseless series whose first observation equals its value under the fixed initial state.

    Raises
    ------
    SpecificationError
        If the initial state is free for such a series, or contradicts its first observation.
    """
    blocks, first = model.layout.blocks, model.endog[0]
    rows = without_noise(blocks["obs_cov"])
    rows = rows[~np.isnan(first[rows])]
    keys = ("design", "obs_intercept", "obs_coef", "initial_state")
    if not len(rows) or not blocks["initial_state_cov"].is_fixed or np.any(blocks["initial_state_cov"].fixed):
        return rows[:0]
    places = {**dict.fromkeys(keys, rows), "initial_state": blocks["initial_state"].rows}
    free = [key for key, own in places.items() if np.isin(blocks[key].rows, own).any()]
    remedy = "Fix x0 so that Z x0 + A + D d_1 is that observation, or use tinitx=0."
    if free:
        raise SpecificationError(
            "R = 0, V0 = 0 and tinitx = 1 give the first observation no distribution",
            got=f"free elements of {shown(free)}",
            remedy=remedy,
        )
    design, intercept, coefs, state = (at_period(blocks[key].fixed) for key in keys)
    inputs = np.zeros(0) if model.exog is None else model.exog[0]
    implied = (design @ state[:, 0] + intercept[:, 0] + coefs @ inputs)[rows]
    if not np.allclose(implied, first[rows], rtol=1e-8, atol=1e-12):
        raise SpecificationError(
            "R = 0, V0 = 0 and tinitx = 1 contradict the first observation",
            got=f"{implied.tolist()} by x0, {first[rows].tolist()} in y",
            remedy=remedy,
        )
    return rows
