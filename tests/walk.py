"""The walk through every public name: the ways to a result, what disturbs it, and what is asked of it."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from oracle import ridders_gradient
from statsmodels.tsa.statespace.initialization import Initialization
from statsmodels.tsa.statespace.kalman_filter import FilterResults
from statsmodels.tsa.statespace.mlemodel import MLEModel, MLEResults
from statsmodels.tsa.statespace.news import NewsResults
from statsmodels.tsa.statespace.representation import Representation
from walk_subjects import SUBJECTS, N, Plain, Subject
from walk_verdicts import COVARIANCE, GROUPS, Verdict

import statespace_ext as sse
from statespace_ext.engine.compat import simulation_seed
from statespace_ext.engine.system import MATRICES
from statespace_ext.exceptions import StateSpaceError

WAYS: dict[str, Callable[[Subject, Any], Any]] = {
    "itself": lambda s, res: res,
    "pickle": lambda s, res: pickle.loads(pickle.dumps(res)),
    "deepcopy": lambda s, res: copy.deepcopy(res),
    "append": lambda s, res: res.append(s.more(), **s.more_regressors()),
    "extend": lambda s, res: res.extend(s.more(), **s.more_regressors()),
    "apply": lambda s, res: res.apply(s.longer(), **s.longer_regressors()),
}
"""How the results come about, from those of the first N periods."""
COPIES = ("pickle", "deepcopy")


def other_start(s: Subject, res: Any) -> None:
    res.model.ssm.initialize_approximate_diffuse(1e3)
    res.model.smooth(s.other)


def another_fit(s: Subject, res: Any) -> None:
    """Fit, where the periods are enough."""
    with suppress(StateSpaceError):
        res.model.fit(s.other, **{"cov_type": "none", **dict(s.fit)})


DISTURBANCES: dict[str, Callable[[Subject, Any], Any]] = {
    "update": lambda s, res: res.model.update(s.other),
    "smooth": lambda s, res: res.model.smooth(s.other),
    "filter": lambda s, res: res.model.filter(s.other, low_memory=True),
    "fit": another_fit,
    "extend": lambda s, res: WAYS["extend"](s, res.model.smooth(s.other)) if res.nobs == N else None,
    "start": other_start,
    "reading": lambda s, res: (res.model.impulse_responses(s.other, 2), res.model.loglikeobs(s.other)),
}
"""What the model is used for between the results and the call."""


class Case:
    """Results, and what the calls of the verdicts need."""

    information = ("predicted", "filtered", "smoothed")
    matrices = MATRICES

    def __init__(self, subject: Subject, way: str, plain: bool, folder: Path, errors: bool) -> None:
        self.subject, self.way, self.plain, self.folder = subject, way, plain, folder
        self.params = subject.params
        options = {} if errors else {"cov_type": "none"}  # `append` and its like compute standard errors
        self.first = subject.model(plain).smooth(self.params, **options)
        self.res = WAYS[way](subject, self.first)
        self.model, self.nobs = self.res.model, int(self.res.nobs)

    def again(self) -> None:
        """Smooth at the parameters once more, and read."""
        model, params = self.model, self.params
        self.res = model.smooth(params)
        if not isinstance(model, (sse.ExactScoreMixin, Plain)) and hasattr(model, "layout"):
            model.impulse_responses(self.subject.other, 2)
            model.loglikeobs(self.subject.other)
            model.hessian(self.subject.other)
            self.res.simulate(3, **({"rng": 1}))
        model.score(self.subject.other)
        if not hasattr(model, "layout"):
            model.smooth(params)

    def text(self, table: Any) -> str:
        return _text(table)

    def drawn(self, call: Callable[..., Any]) -> Any:
        """Return what is drawn with a seed, under the keyword that the installed statsmodels has for it."""
        with simulation_seed(7) as seed:
            return call(**seed)

    def score(self) -> Any:
        """Return the score; of a plain model by extrapolated differences: its own have 4 digits at times."""
        if not self.plain:
            return self.model.score(self.params, approx_complex_step=False, approx_centered=True)

        def llf(at: np.ndarray) -> float:
            try:
                return float(self.model.loglike(at))
            except (StateSpaceError, ValueError, np.linalg.LinAlgError):
                return np.nan

        return ridders_gradient(llf, self.params, step=0.1 * np.where(self.params, np.abs(self.params), 1.0))

    def unconstrained(self) -> Any:
        return self.model.untransform_params(self.params)

    def later(self) -> Any:
        """Return results without the last row and with it, where a row of both is revised."""
        s = self.subject
        y = s.y.iloc[: self.nobs].copy() if self.way != "extend" else s.y.iloc[N:].copy()
        x = None if s.x is None else (s.x.iloc[: self.nobs] if self.way != "extend" else s.x.iloc[N:])
        y.iloc[1] = y.iloc[1] + 0.3
        before = y.copy()
        before.iloc[-1] = np.nan
        regressors = {} if x is None else {"exog": x}
        return self.res.apply(before, copy_initialization=True, **regressors), self.res.apply(
            y, copy_initialization=True, **regressors
        )

    def news(self) -> Any:
        """Return news of a period that is seen for the first time, and of a revised one."""
        before, after = self.later()
        start = self.model._index[-2]
        options = {"start": start, "end": self.model._index[-1]}
        return [
            after.news(before, comparison_type="previous", **options),
            self.res.news(after, comparison_type="updated", **options),
        ]

    def raw_news(self) -> Any:
        before, after = self.later()
        last = self.nobs - 1
        return [
            after.smoother_results.news(before.smoother_results, t=last),
            self.res.smoother_results.news(before.smoother_results, start=last - 1, end=last + 1),
        ]

    def future_matrices(self, periods: int) -> dict[str, Any]:
        """Return the matrices of periods after the sample, where they vary."""
        model = self.model
        if all(getattr(self.res.filter_results, name).shape[-1] == 1 for name in MATRICES):
            return {}
        exog = self.subject.future(periods).get("exog")
        return model._get_extension_time_varying_matrices(
            self.params, None if exog is None else np.asarray(exog), periods
        )

    def past_the_sample(self) -> Any:
        out = self.res.smoother_results.predict(
            start=self.nobs - 2, end=self.nobs + 3, **self.future_matrices(3)
        )
        return [out.forecasts, out.forecasts_error_cov, out.predicted_state]

    def state_autocovariance_past_the_sample(self) -> Any:
        return self.res.smoother_results.smoothed_state_autocovariance(
            1, start=self.nobs - 3, end=self.nobs + 1, extend_kwargs=self.future_matrices(2)
        )

    def simulation_smoothers(self, model: Any) -> Any:
        kfs = model.simulation_smoother()
        kfs.simulate(**self.variates(model))
        out = [np.array(kfs.simulated_state)]
        try:
            cfa = model.simulation_smoother(method="cfa")
            cfa.simulate(np.linspace(-1.0, 1.0, model.nobs * model.k_states))
            out.append(np.array(cfa.simulated_state))
        except (NotImplementedError, np.linalg.LinAlgError, ValueError) as error:
            out.append(type(error).__name__)
        return out

    @staticmethod
    def variates(model: Any) -> dict[str, Any]:
        n, p, k, m = model.nobs, model.k_endog, model.ssm.k_posdef, model.k_states
        flat = np.linspace(-1.0, 1.0, n * (p + k))
        named = {
            "measurement_disturbance_variates": flat[: n * p],
            "state_disturbance_variates": flat[n * p :],
        }
        return {**named, "initial_state_variates": np.linspace(-1.0, 1.0, m)}

    def passes(self, ssm: Any) -> Any:
        """Return what the representation says by itself."""
        found = ssm.smooth()
        return [ssm.loglike(), ssm.loglikeobs(), ssm.filter().filtered_state, found.smoothed_state]

    @staticmethod
    def start_of(ssm: Any) -> Any:
        return [np.real(part) for part in ssm.initialization(model=ssm)]

    def short_fit(self, fit: Callable[..., Any]) -> Any:
        return fit(start_params=self.params, **dict(self.subject.fit))

    def constrained_fit(self) -> Any:
        last = self.model.param_names[-1]
        return self.model.fit_constrained({last: self.params[-1]}, **dict(self.subject.fit))

    def fixed(self) -> Any:
        last = self.model.param_names[-1]
        with self.model.fix_params({last: float(self.params[-1])}):
            return self.model.loglike(self.params, includes_fixed=True)


def values(out: Any) -> list[Any]:
    """Return the numbers and words of an answer, in order."""
    out = getattr(out, "_results", out)
    if out is None or isinstance(out, (str, bool, np.bool_, type, np.dtype)):
        return [str(out)]
    if isinstance(out, (int, float, complex, np.number)):
        return [np.asarray(out)]
    if isinstance(out, (pd.Series, pd.DataFrame)):
        return values(np.asarray(out))
    if isinstance(out, np.ndarray):
        return (
            [str(out.tolist())]
            if out.dtype.kind in "OUSM" and not _numeric(out)
            else [np.asarray(out, dtype=float)]
        )
    if isinstance(out, dict):
        return [entry for key in sorted(out, key=str) for entry in (str(key), *values(out[key]))]
    if isinstance(out, (list, tuple, pd.Index)):
        return [entry for each in out for entry in values(each)]
    if isinstance(out, NewsResults):
        return values([getattr(out, name) for name in _NEWS if hasattr(out, name)] + [_text(out.summary())])
    if isinstance(out, MLEResults):
        return values([getattr(out, name) for name in _PASS] + [np.asarray(out.params)])
    if isinstance(out, FilterResults):
        return values([getattr(out, name) for name in _PASS])
    if isinstance(out, MLEModel):
        return values(out.endog)
    if isinstance(out, Representation):
        return values([getattr(out, name) for name in MATRICES] + [out.endog] + Case.start_of(out))
    if isinstance(out, Initialization):
        return values([out.k_states])
    if isinstance(out, SimpleNamespace):
        return values({name: each for name, each in vars(out).items() if name != "revision_results"})
    if hasattr(out, "predicted_mean"):
        return values([out.predicted_mean, out.se_mean, out.conf_int()])
    if hasattr(out, "axes") and hasattr(out, "savefig"):
        return values([line.get_ydata() for axis in out.axes for line in axis.get_lines()])
    if getattr(out, "effect", None) is not None and hasattr(out, "sd"):
        return values([out.effect, out.sd, out.pvalue])
    if hasattr(out, "pvalue"):
        return values([out.statistic, out.pvalue])
    raise TypeError(f"the walk cannot read a {type(out)}")


_PASS = ("llf", "filtered_state", "smoothed_state", "smoothed_state_cov", "predicted_state", "forecasts")
_NEWS = (
    "total_impacts", "update_impacts", "revision_impacts", "news", "weights", "update_forecasts",
    "update_realized",
    "details_by_impact", "details_by_update", "revision_details_by_impact", "revision_details_by_update",
    "prev_impacted_forecasts", "post_impacted_forecasts", "revisions", "revision_weights",
)  # fmt: skip


def _text(table: Any) -> str:
    """Return a table without the name of the model and the time of day."""
    lines = str(table).splitlines()
    text = "\n".join(line for line in lines if not re.search(r"(Model|Date|Time):", line))
    return re.sub(r"-(0\.0+)\b", r" \1", text)


def _numeric(array: np.ndarray) -> bool:
    try:
        np.asarray(array, dtype=float)
    except (TypeError, ValueError):
        return False
    return True


@dataclass(frozen=True)
class Answer:
    """What a call returned, or the error that it raised."""

    values: tuple[Any, ...] = ()
    error: BaseException | None = None

    def differs(self, other: Answer, rtol: float) -> str:
        """Return how two answers differ; nothing where they agree."""
        if self.error is not None or other.error is not None:
            return "" if type(self.error) is type(other.error) else f"{self} and {other}"
        if len(self.values) != len(other.values):
            return f"{len(self.values)} entries and {len(other.values)}"
        for one, two in zip(self.values, other.values, strict=True):
            if isinstance(one, str) or isinstance(two, str):
                if one != two:
                    return f"{one!s:.300} and {two!s:.300}"
            elif one.shape != two.shape:
                return f"shapes {one.shape} and {two.shape}"
            else:
                size = np.max(np.abs(two[np.isfinite(two)]), initial=0.0)
                if not np.allclose(one, two, rtol=rtol, atol=rtol * max(size, 1e-3), equal_nan=True):
                    return (
                        f"numbers apart by {np.nanmax(np.abs(one - two)):.3g} where the largest is {size:.3g}"
                    )
        return ""

    def __str__(self) -> str:
        return (
            f"{len(self.values)} entries"
            if self.error is None
            else f"{type(self.error).__name__}: {self.error}"
        )


def answer(case: Case, verdict: Verdict) -> Answer:
    """Return the answer of a call."""
    try:
        return Answer(tuple(values(verdict.call(case))))  # type: ignore[misc]
    except Exception as error:  # noqa: BLE001 - errors are answers here, compared by type
        return Answer(error=error)


def bytes_of(model: Any) -> dict[str, Any]:
    """Return all of a model that a reader must leave as it was."""
    ssm = model.ssm
    public = {name: value for name, value in vars(ssm).items() if not name.startswith("_")}
    flags = {name: value for name, value in public.items() if isinstance(value, (bool, int, float, str))}
    flags = {name: value for name, value in flags.items() if value != getattr(type(ssm), name, None)}
    starts, queue = [], [ssm.initialization]
    for start in queue:
        if start is not None:
            starts.append(
                (
                    id(start),
                    start.initialization_type,
                    start.constant.tobytes(),
                    start.stationary_cov.tobytes(),
                )
            )
            queue += start.blocks.values()
    return {
        **{name: (getattr(ssm, name).shape, getattr(ssm, name).tobytes("F")) for name in MATRICES},
        "flags": flags,
        "start": starts,
        "fixed": (
            model._has_fixed_params,
            dict(model._fixed_params or {}) if model._has_fixed_params else {},
        ),
        "endog": np.asarray(model.endog).tobytes(),
        "exog": None if model.exog is None else np.asarray(model.exog).tobytes(),
    }


PRESERVED_BY_MIXIN = {"loglike", "score", "hessian"}
"""Names of `ExactScoreMixin` itself; the others are statsmodels' own, which write the model."""


def step(
    subject: str, group: str, names: list[str], way: str, disturbance: str, folder: Path
) -> dict[str, str]:
    """Return, by name, what is wrong about calls on the same results: of one name, or of attributes."""
    s, verdicts = SUBJECTS[subject], {name: GROUPS[group][name] for name in names}
    case, before = None, {}
    wrong = {}
    for name, verdict in verdicts.items():
        if verdict.call is None or group == "model" and disturbance == "start":
            continue  # what a model does at parameters rests on the start that it was given
        if (
            disturbance == "start"
            and not hasattr(SUBJECTS[subject].model(), "layout")
            and verdict.why == COVARIANCE
        ):
            continue  # statsmodels' own classes compute these at the start that the model has now
        if case is None:
            case = Case(s, way, False, folder, verdict.why == COVARIANCE)
            DISTURBANCES[disturbance](s, case.res)
            if verdict.holds:
                case.again()
            before = bytes_of(case.model)
        expected = asked(subject, group, name, way, False, folder)
        nameless = not isinstance(expected.error, (type(None), StateSpaceError)) and hasattr(
            case.model, "layout"
        )
        given = answer(case, verdict)
        found = given.differs(expected, verdict.rtol)
        if not found and not verdict.writes and preserves(case.model, group, name):
            after = bytes_of(case.model)
            found = ", ".join(f"{key} of the model is changed" for key in before if before[key] != after[key])
        if not found and nameless:
            plain = asked(subject, group, name, way, True, folder)
            found = expected.differs(plain, 0.0) and f"an error without a name: {expected}"
        wrong[name] = found or beside(subject, group, name, way, folder)
    return {name: what for name, what in wrong.items() if what}


def preserves(model: Any, group: str, name: str) -> bool:
    """Tell whether a name is the package's own, or inherited by a model of the package."""
    return hasattr(model, "layout") or group == "model" and name in PRESERVED_BY_MIXIN


def beside(subject: str, group: str, name: str, way: str, folder: Path) -> str:
    """Return how the answer of a plain model with the same matrices differs from ours."""
    verdict = GROUPS[group][name]
    if verdict.is_own(subject) or name in SUBJECTS[subject].wrong_in_plain:
        return ""
    ours, plain = (asked(subject, group, name, way, kind, folder) for kind in (False, True))
    if (
        plain.error is not None
        and not isinstance(ours.error, type(None))
        and isinstance(ours.error, StateSpaceError)
    ):
        return ""
    found = ours.differs(plain, max(verdict.rtol, SUBJECTS[subject].rounding))
    return f"ours and plain: {found}" if found else ""


_ASKED: dict[tuple[Any, ...], Answer] = {}
_CASES: dict[tuple[Any, ...], Case] = {}
"""Results that attributes are read of, with nothing done in between."""


def asked(subject: str, group: str, name: str, way: str, plain: bool, folder: Path) -> Answer:
    """Return the answer of a model that was used for nothing else, asked once."""
    if plain and way in COPIES:
        way = "itself"  # a copy of a plain model need not follow its parameters: test_copies_of_plain_models
    key, verdict = (subject, group, name, way, plain), GROUPS[group][name]
    if key not in _ASKED:
        place = (subject, way, plain, verdict.why == COVARIANCE) if verdict.attribute else key
        case = _CASES.get(place) or Case(SUBJECTS[subject], way, plain, folder, verdict.why == COVARIANCE)
        if verdict.attribute:
            _CASES[place] = case
        _ASKED[key] = answer(case, verdict)
    return _ASKED[key]
