"""Conversion of the arguments of `ATSM` to the layout of its parameters."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from ..engine.arguments import check_keywords, one_of
from ..exceptions import ParameterError, SpecificationError, shown
from ..numerics.linear_algebra import Array
from ..params.affine import AffineMatrix, affine_matrix
from ..params.layout import ParameterLayout
from ..params.parse import covariance_namer, parse_covariance, parse_matrix
from .maximal import DaiSingleton, DaiSingletonPairs, Portfolios, RootPairs
from .normalisation import NelsonSiegel, Normalisation, Observed
from .panel import Panel, is_word

IDENTIFICATIONS = ("jsz", "jsz-pairs", "dai-singleton", "dai-singleton-pairs", "afns", "dns")
_PHYSICAL = ("K_P", "kappa_P", "lambda_0", "lambda_1", "K_macro", "kappa_macro")
_OTHERS = (*_PHYSICAL, "obs_cov", "survey_cov", "initial_state")
COVARIANCES = frozenset({"obs_cov", "state_cov", "survey_cov"})


_ELSEWHERE = {"alpha": "Bounds have a coverage: pass alpha to `lower`, `upper` or `tidy` of the result."}
"""Hints for arguments that other methods have."""
T = TypeVar("T")


def explained(cls: type[T]) -> type[T]:
    """Make the constructor and the public methods of a class name their arguments if a call is wrong."""
    for name, member in list(vars(cls).items()):
        if inspect.isfunction(member) and (name == "__init__" or not name.startswith("_")):
            setattr(cls, name, _explained(member, cls.__name__ if name == "__init__" else name))
    return cls


def _explained(method: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Return a function whose errors about its arguments contain its public name and its arguments."""
    signature = inspect.signature(method)
    _, *known = signature.parameters

    @functools.wraps(method)
    def _call(*args: Any, **kwargs: Any) -> Any:
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            check_keywords(name, kwargs, known, {} if "alpha" in known else _ELSEWHERE)
            raise TypeError(f"{name}(): {error}. Its arguments are {', '.join(known)}.") from None
        return method(*args, **kwargs)

    return _call


def start_of(initialization: str | None, macro: object, obs_cov: object) -> str:
    """Return the initialization; the default is "conditional" if all states are observed."""
    if initialization is not None:
        return initialization
    seen = macro is not None and is_word(obs_cov, "exact-portfolios")
    return "conditional" if seen else "stationary"


_MAXIMAL = {"dai-singleton": DaiSingleton, "dai-singleton-pairs": DaiSingletonPairs}
_PORTFOLIOS = {"jsz": Portfolios, "jsz-pairs": RootPairs}


def normalisation_of(identification: object, panel: Panel) -> Normalisation:
    """
    Return the normalisation for an identification, which is a name or an instance.

    Raises
    ------
    SpecificationError
        If the identification is invalid or does not fit the number of factors.
    """
    k, names = panel.k_factors, panel.factor_names
    word = identification if isinstance(identification, str) else ""
    if isinstance(identification, Normalisation):
        found = identification
    elif word in ("afns", "dns"):
        found = NelsonSiegel(word == "afns")
    elif word in _MAXIMAL:
        found = _MAXIMAL[word](k)
    elif word in _PORTFOLIOS and names is not None:
        found = Observed(names)
    elif word in _PORTFOLIOS:
        found = _PORTFOLIOS[word](panel.weights, panel.maturities, 1.0 / panel.scale, panel.period)
    else:
        raise SpecificationError(
            "identification is unknown",
            got=repr(identification),
            expected=f"one of {IDENTIFICATIONS}, or an instance of a subclass of Normalisation",
        )
    if len(found.factors) != k:
        raise SpecificationError(
            f"{spelled(identification)} has {len(found.factors)} factors", got=f"k_factors={k}"
        )
    return found


def spelled(identification: object) -> str:
    """Return an identification as text for messages."""
    text = f'"{identification}"' if isinstance(identification, str) else repr(identification)
    return f"identification={text}"


def build_layout(given: Mapping[str, Any], norm: Normalisation, panel: Panel) -> ParameterLayout:
    """
    Return the layout of all blocks: Q-parameters, P-dynamics or prices of risk, covariances and start.

    Raises
    ------
    SpecificationError
        If an argument is unknown or contradicts another.
    """
    own, factors = norm.factors, [*norm.factors, *panel.macro_names]
    n = len(factors)
    blocks = {key: _block(value, key, own) for key, value in norm.blocks().items()}
    check_contradictions(given, norm, "state_cov" in blocks)
    if given["risk_prices"] is None:
        blocks["K_P"] = _physical(given["p_dynamics"], factors)
        blocks["kappa_P"] = _labelled("kappa_P", factors)
    else:
        blocks.update(_risk_prices(given["risk_prices"], own, factors))
    if "state_cov" not in blocks:
        namer = covariance_namer("state", factors)
        blocks["state_cov"] = parse_covariance(given["state_cov"], n, "state_cov", namer)
    blocks["obs_cov"] = _measurement(given["obs_cov"], panel.labels, panel.weights)
    if len(panel.horizons):
        namer = covariance_namer("survey", [f"{h:g}y" for h in panel.horizons])
        blocks["survey_cov"] = parse_covariance("diagonal", len(panel.horizons), "survey_cov", namer)
    initial = "free" if given["initialization"] == "estimated" else "zero"
    blocks["initial_state"] = _labelled("initial_state", factors, value=initial)
    layout = ParameterLayout(blocks, COVARIANCES & blocks.keys())
    if not isinstance(norm, (RootPairs, DaiSingletonPairs)):
        return layout
    real = {**given, "identification": norm.real}
    return PairedLayout(layout, build_layout(real, normalisation_of(norm.real, panel), panel), norm)


class PairedLayout(ParameterLayout):
    """
    Layout of a model with pairs of roots, which takes parameters of the model with real roots, by name.

    Parameters
    ----------
    layout : ParameterLayout
        Layout of the model.
    real : ParameterLayout
        Layout of the model with real roots.
    norm : RootPairs or DaiSingletonPairs
        The normalisation.
    """

    def __init__(
        self, layout: ParameterLayout, real: ParameterLayout, norm: RootPairs | DaiSingletonPairs
    ) -> None:
        super().__init__(layout.blocks, layout.covariances)
        self.real, self.norm = real, norm

    def own(self, params: object) -> Any:
        """
        Return parameters by name with the names of this model; other forms of parameters are unchanged.

        Raises
        ------
        ParameterError
            If parameters of real roots are given without others that the translation needs.
        """
        given = dict(params.items()) if hasattr(params, "items") else {}
        foreign = set(given) - set(self.names)
        if not foreign or foreign - set(self.real.names):
            return params
        missing = [name for name in self.real.names if name not in given]
        self._require_roots(foreign, missing)
        full = self.real.vector({**dict.fromkeys(missing, 0.0), **given})
        vector = self.project(self.norm.of_real_roots(self.real.matrices(full)), np.zeros(len(self)))
        left_out = {*missing, *(["drift_Q"] if "k_inf" in missing else [])}
        out = dict(zip(self.names, vector.tolist(), strict=True))
        return {name: value for name, value in out.items() if name not in left_out}

    def _require_roots(self, foreign: set[str], missing: list[str]) -> None:
        """Raise if parameters that the translation needs are missing."""
        needed = self.real.blocks["roots_Q"].names if "roots_Q" in self.real.blocks else self.real.names
        if set(needed) & set(missing):
            raise ParameterError(
                "Parameters of real roots are incomplete",
                got=shown(sorted(foreign)),
                expected=f"also {shown(name for name in missing if name in needed)}",
                remedy=f'Pass all of them, or use identification="{self.norm.real}".',
            )

    def vector(self, params: object) -> Array:
        """Return a parameter vector; see `ParameterLayout.vector`."""
        return super().vector(self.own(params))


def _labelled(
    key: str, rows: list[str], columns: list[str] | None = None, value: object = "free", where: str = ""
) -> AffineMatrix:
    """Return a block with the labels of rows and columns; it is a vector if there are no columns."""
    shape = len(rows), 1 if columns is None else len(columns)
    stem = [f"{key}.{row}" for row in rows]
    return parse_matrix(
        value, shape, where or key, lambda i, j: stem[i] if columns is None else f"{stem[i]}.{columns[j]}"
    )


def _block(value: object, key: str, factors: list[str]) -> AffineMatrix:
    """Convert a block of a normalisation to the form used by the layout."""
    if key in _OTHERS:
        raise SpecificationError(
            "A block of a normalisation must not have the name of a block of the model",
            got=key,
            remedy="Rename it.",
        )
    if isinstance(value, AffineMatrix):
        return value
    shape = np.shape(np.array(value, dtype=object))
    if len(shape) != 2:
        raise SpecificationError(
            f"The block {key} of a normalisation must be a matrix",
            got=repr(value)[:80],
            expected="nested lists",
        )

    def _namer(i: int, j: int) -> str:
        places = [(i, n) for i, n in zip((i, j), shape, strict=True) if shape != (1, 1) and n > 1]
        return ".".join([key, *(factors[i] if n == len(factors) else str(i + 1) for i, n in places)])

    if key == "state_cov":
        return parse_covariance(value, shape[0], key, _namer)
    return parse_matrix(value, (shape[0], shape[1]), key, _namer)


def _physical(value: object, factors: list[str]) -> AffineMatrix:
    if isinstance(value, str):
        triangle = np.where(np.tri(len(factors)) > 0, np.nan, 0.0)
        forms = {"unrestricted": "free", "diagonal": "diagonal", "triangular": triangle}
        value = forms[one_of(value, forms, "p_dynamics")]
    return _labelled("K_P", factors, factors, value, "p_dynamics")


def _risk_prices(value: object, own: list[str], factors: list[str]) -> dict[str, AffineMatrix]:
    """Return the prices of risk of the factors that price bonds, and the P-dynamics of other factors."""
    k, n = len(own), len(factors)
    if not isinstance(value, Mapping) or set(value) - {"lambda_0", "lambda_1"} or not value:
        raise SpecificationError(
            "risk_prices is invalid",
            got=repr(value)[:80],
            expected='a dict with "lambda_0", "lambda_1" or both: arrays with NaN for a free element',
        )
    blocks = {
        "lambda_0": _labelled("lambda_0", own, value=value.get("lambda_0", "free")),
        "lambda_1": _labelled("lambda_1", own, factors, value.get("lambda_1", "free")),
    }
    if n > k:
        blocks["K_macro"] = _labelled("K_P", factors[k:], factors)
        blocks["kappa_macro"] = _labelled("kappa_P", factors[k:])
    return blocks


def _measurement(value: object, labels: list[str], W: Array) -> AffineMatrix:
    one_of(value, ("diagonal", "scalar", "exact-portfolios"), "obs_cov")
    namer = covariance_namer("obs", labels)
    if value != "exact-portfolios":
        return parse_covariance(value, len(labels), "obs_cov", namer)
    if len(labels) <= len(W):
        raise SpecificationError(
            'obs_cov="exact-portfolios" needs more maturities than factors',
            got=f"{len(labels)} maturities, {len(W)} factors",
        )
    off = np.eye(len(labels)) - W.T @ np.linalg.solve(W @ W.T, W)
    elements = [(i, j, "obs_var", float(off[i, j])) for j in range(len(off)) for i in range(j, len(off))]
    return affine_matrix(np.zeros_like(off), elements, symmetric=True)


def check_contradictions(given: Mapping[str, Any], norm: Normalisation, sets_sigma: bool) -> None:
    """Raise for arguments that contradict each other."""
    starts = ("stationary", "diffuse", "estimated", "conditional")
    one_of(given["initialization"], starts, "initialization")
    if isinstance(given["state_cov"], str):
        one_of(given["state_cov"], ("unstructured", "diagonal"), "state_cov")
    who = spelled(given["identification"])
    for conditions, fault, key in _exclusions(given, norm, sets_sigma, who):
        if all(conditions):
            other = ", or choose another identification" if who in fault else ""
            got, remedy = f"{key}={given[key]!r}"[:80], f"Leave {key} at its default{other}."
            raise SpecificationError(fault, got=got, remedy=remedy)


def _exclusions(
    given: Mapping[str, Any], norm: Normalisation, sets_sigma: bool, who: str
) -> list[tuple[tuple[bool, ...], str, str]]:
    """Return the conditions that together exclude an argument, the fault, and the argument."""
    keys = ("risk_prices", "portfolio_weights", "factors", "macro")
    prices, weights, factors, macro = (given[key] is not None for key in keys)
    initial, exact = given["initialization"], is_word(given["obs_cov"], "exact-portfolios")
    sigma = not is_word(given["state_cov"], "unstructured")
    K_P = not is_word(given["p_dynamics"], "unrestricted")
    combined = "cannot be combined with macro factors"
    both = "risk_prices and p_dynamics both restrict the P-dynamics: K_P = K_Q - Sigma lambda_1"
    scaled = f"{who} scales the factors by the short rate, so that a diffuse likelihood has no maximum"
    nothing = f"{who} and portfolios without error leave nothing"
    known = "the first factors are known given the parameters"
    unknown = f"{who} leaves the first factors unknown: they are those of portfolios priced without error"
    return [
        ((macro, factors), f"Factors that price bonds {combined}, which do not", "factors"),
        ((macro, sets_sigma), f'{who} sets state_cov, unlike "jsz" and "afns": it {combined}', "macro"),
        ((sets_sigma, sigma), f"{who} sets state_cov itself", "state_cov"),
        ((norm.scaled, initial == "diffuse"), scaled, "initialization"),
        ((not norm.arbitrage_free, prices), f"{who} has no prices of risk", "risk_prices"),
        ((norm.latent, factors), f"{who} is for latent factors", "factors"),
        ((initial == "conditional", not (exact and norm.portfolios)), unknown, "initialization"),
        ((weights, not norm.portfolios, not exact), f"{who} has no portfolios", "portfolio_weights"),
        ((exact, factors), f"{who} has observed factors, not portfolios", "obs_cov"),
        ((exact, initial == "diffuse", not norm.portfolios), f"{nothing} diffuse: {known}", "initialization"),
        ((exact, initial == "estimated"), f"{nothing} to estimate: {known}", "initialization"),
        ((prices, K_P), both, "p_dynamics"),
    ]
