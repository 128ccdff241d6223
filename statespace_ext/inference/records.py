"""Records of fits, and the file of JSON lines that keeps them."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..display import Displayed
from ..exceptions import SpecificationError


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
    coefficients : dict of str to DataFrame, or None
        The coefficients of a regression, with ``keep="coefficients"``; None otherwise, or if the fit failed.
        Each frame has a row for each period, and columns (kind, series) with the kinds "smoothed",
        "smoothed_se", "filtered" and "filtered_se".
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
    coefficients: dict[str, pd.DataFrame] | None = None


def checkpoint_path(checkpoint: object) -> Path | None:
    """Return the path of the checkpoint; raise an error for a folder or an invalid path."""
    if checkpoint is None:
        return None
    if not isinstance(checkpoint, (str, Path)) or not str(checkpoint) or Path(checkpoint).is_dir():
        raise SpecificationError("checkpoint must name a file", got=repr(checkpoint))
    return Path(checkpoint)


def opened(
    path: Path, options: dict[str, Any], words: list[int], seeded: bool
) -> tuple[list[int], dict[str, FitRecord]]:
    """Return the seed and the records of a checkpoint; create the file if it does not exist."""
    header = {"fit_options": repr(sorted(options.items())), "seed": words}
    first, records = _read(path) if path.exists() else ({}, {})
    if not first:
        append_line(path, header)
        return words, {}
    if first.get("fit_options") != header["fit_options"] or (seeded and first.get("seed") != words):
        raise SpecificationError(
            "The checkpoint belongs to a run with other options or another seed",
            got=f"{path}: {first}",
            expected=str(header),
            remedy="Give the same fit_options and rng, or another file.",
        )
    return first["seed"], records


def _read(path: Path) -> tuple[dict[str, Any], dict[str, FitRecord]]:
    """Return the header and the records; drop an incomplete last line of an interrupted run."""
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    try:
        lines = [json.loads(line) for line in whole.decode("utf-8").splitlines()]
        known = "seed" in lines[0].keys() if lines else _HEADER.startswith(content[: len(_HEADER)])
        records = {line["name"]: FitRecord(**_with_frames(line)) for line in lines[1:]}
    except (AttributeError, LookupError, TypeError, ValueError):
        known = False
    if not known:
        raise SpecificationError(
            "The file is not a checkpoint of fit_many",
            got=str(path),
            expected="lines of JSON: the options and the seed, then a record each",
            remedy="Name a file that does not exist yet.",
        )
    if whole != content:
        path.write_bytes(whole)
    return lines[0] if lines else {}, records


_HEADER = b'{"fit_options": '
"""The beginning of a checkpoint."""


def append_line(path: Path, line: dict[str, Any]) -> None:
    """Append a line of JSON to a file."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


# -- coefficients --------------------------------------------------------------------------------------------

KINDS = ("smoothed", "smoothed_se", "filtered", "filtered_se")


def coefficient_frames(results: Any) -> dict[str, pd.DataFrame]:
    """Return the coefficients of a regression by name, with columns (kind, series)."""
    if results.smoothed_state is None:
        results = results.model.smooth(results.params, includes_fixed=True, cov_type="none")
    return {
        name: pd.concat({kind: getattr(found, kind) for kind in KINDS}, axis=1)
        for name, found in results.coefficients.items()
    }


def record_line(record: FitRecord) -> dict[str, Any]:
    """Return the fields of a record as values of JSON."""
    line = {field.name: getattr(record, field.name) for field in fields(record)}
    frames = line.pop("coefficients")
    if frames is None:
        return line
    return {**line, "coefficients": {name: _frame_values(frame) for name, frame in frames.items()}}


def _frame_values(frame: pd.DataFrame) -> dict[str, Any]:
    index = frame.index
    plain = index.inferred_type in ("integer", "string")
    return {
        "labels": index.tolist() if plain else index.astype(str).tolist(),
        "type": next((kind for kind, of in _INDEXES.items() if isinstance(index, of)), "Index"),
        "freq": getattr(index, "freqstr", None),
        "series": list(dict.fromkeys(frame.columns.get_level_values(1))),
        "values": frame.to_numpy().tolist(),
    }


_INDEXES = {"PeriodIndex": pd.PeriodIndex, "DatetimeIndex": pd.DatetimeIndex, "RangeIndex": pd.RangeIndex}


def _with_frames(line: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a record, with frames made from the values of JSON."""
    if line.get("coefficients") is None:
        return line
    return {**line, "coefficients": {name: _frame_of(each) for name, each in line["coefficients"].items()}}


def _frame_of(values: dict[str, Any]) -> pd.DataFrame:
    labels, kind = values["labels"], values["type"]
    if kind == "RangeIndex":
        index: Any = pd.RangeIndex(labels[0], labels[-1] + 1)
    else:
        index = _INDEXES.get(kind, pd.Index)(labels, **({"freq": values["freq"]} if values["freq"] else {}))
    columns = pd.MultiIndex.from_product([KINDS, values["series"]])
    return pd.DataFrame(np.array(values["values"], dtype=float), index=index, columns=columns)
