"""
Components of structural time-series models. A sum of components defines the matrices of an `LGSSM`.

`trend`, `seasonal` and `cycle` are as in Harvey (1989) and in statsmodels' `UnobservedComponents`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Sized
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from scipy.linalg import block_diag

from ..display import Displayed
from ..engine.arguments import one_of, positive_integer, positive_number, truth, whole_number
from ..engine.validation import endog_frame, regressor_frame, regressor_names, series_names
from ..exceptions import SpecificationError, shown
from ..numerics.linear_algebra import Array
from .declaration import lagged_names
from .model import LGSSM

__all__ = ["Components", "arma", "cycle", "regression", "seasonal", "trend"]

_TRENDS = {  # level with noise, a slope, slope with noise
    "constant": (False, False, False),
    "local_level": (True, False, False),
    "linear": (False, True, False),
    "drift": (True, True, False),
    "local_linear": (True, True, True),
    "smooth": (False, True, True),
}
_SAME_EIGENVALUE = 1e-7
"""Largest distance between eigenvalues of modulus one that realistic samples cannot tell apart."""


@dataclass(frozen=True)
class _Part:
    """One component. It belongs to one series or, with ``loadings``, is common to several."""

    kind: str
    states: tuple[str, ...]
    """Names of the states; regressors with constant coefficients have none."""
    transition: np.ndarray
    """Numbers and expressions, (m, m)."""
    design: np.ndarray
    """Numbers and expressions, (m,); (p, m) for the component of one series, or of all, in a model."""
    noise: np.ndarray
    """Diagonal of Q, (m,): zero, NaN (a separate variance) or a name."""
    initialization: str
    loadings: object = None
    exog: Any = None
    """Regressors. They multiply the design if there are states, which are then the coefficients."""

    def named(self, name: str) -> Components:
        """Return the component alone; its name is a prefix of the names of states and parameters."""
        if not isinstance(name, str) or (name and not name.isidentifier()):
            raise SpecificationError(
                "name must be an identifier",
                got=repr(name),
                expected="alphabetic characters, digits and underscores",
            )
        states = [f"{name}.{state}" for state in self.states]
        return Components((self.renamed(states, f"{name}_", "") if name else self,))

    def renamed(self, states: Sequence[str], before: str, after: str) -> _Part:
        """Return the component with other states, and text before and after the names of parameters."""
        keys = ("transition", "design", "noise")
        matrices: dict[str, Any] = {key: _with_names(getattr(self, key), before, after) for key in keys}
        return replace(self, states=tuple(states), **matrices)


@dataclass(frozen=True, repr=False)
class Components(Displayed):
    """
    A sum of components from `trend`, `seasonal`, `cycle`, `arma` and `regression`.

    Attributes
    ----------
    parts : tuple
        The components, in the order of their states.
    """

    parts: tuple[_Part, ...]

    def __repr__(self) -> str:
        return f"<Components: {' + '.join(f'{each.kind} ({shown(each.states, 4)})' for each in self.parts)}>"

    def __add__(self, other: Components) -> Components:
        if not isinstance(other, Components):
            return NotImplemented
        for first in self.parts:
            for second in other.parts:
                _require_apart(first, second)
        return Components((*self.parts, *other.parts))

    def arguments(self, endog: object) -> dict[str, Any]:
        """
        Return the arguments of `LGSSM` for given series, apart from ``endog``.

        Parameters
        ----------
        endog : array_like, (nobs, p)
            The series. Each series has its own copy of every component without ``loadings``.

        Raises
        ------
        SpecificationError
            If the number of loadings is wrong, or the states of two components cannot be distinguished.
        DataError
            If the regressors and the series have different periods.
        """
        data: Any = endog_frame(endog)
        names = series_names(data)
        _check_constants(self.parts)
        blocks = [block for part in self.parts for block in _blocks(part, names, data)]
        lasting = [block for block in blocks if block.initialization != "stationary" and block.exog is None]
        _check_observable(lasting)
        arguments = {**_matrices_of(blocks, len(data)), "obs_intercept": self._intercept(names)}
        fixed = [part.exog for part in self.parts if not part.states]
        return {**arguments, "exog": fixed[0]} if fixed else arguments

    def lgssm(self, endog: object, **arguments: Any) -> LGSSM:
        """
        Build the `LGSSM` of the components.

        Parameters
        ----------
        endog : array_like, (nobs, p)
            The series.
        **arguments
            Further arguments of `LGSSM`, which override those of the components. By default ``obs_cov`` is
            "diagonal". ``obs_intercept`` is zero, apart from free offsets from a common trend.
        """
        return LGSSM(endog, **{**self.arguments(endog), **arguments})

    def _intercept(self, names: list[str]) -> object:
        """Return free offsets of all but the first series of a common trend, and zero elsewhere."""
        trends = [part for part in self.parts if part.kind == "trend"]
        if not trends or any(part.loadings is None for part in trends):
            return "zero"
        return [0.0, *[np.nan] * (len(names) - 1)]


def _require_apart(first: _Part, second: _Part) -> None:
    """Raise `SpecificationError` if two components have the same states or coefficients."""
    both = sorted(set(first.states) & set(second.states))
    got, remedy = shown(both), "Pass another name= for one of them."
    if not first.states and not second.states:
        got, remedy = "two sets of regressors with constant coefficients", "Pass all regressors in one frame."
    if got:
        raise SpecificationError(
            f"Two components have the same states: {first.kind} and {second.kind}", got=got, remedy=remedy
        )


# -- the components ----------------------------------------------------------------------------------------


def trend(kind: str = "local_linear", *, loadings: object = None, name: str = "") -> Components:
    r"""
    Specify a trend: a level, with or without a slope.

    .. math::

        \mu_{t+1} = \mu_t + \nu_t + \xi_t, \quad \nu_{t+1} = \nu_t + \zeta_t

    Parameters
    ----------
    kind : {"constant", "local_level", "linear", "drift", "local_linear", "smooth"}
        "local_level" is a random walk. "drift" adds a constant slope, and "local_linear" a slope that is a
        random walk. "smooth" is "local_linear" without level noise. "constant" and "linear" have no noise.
    loadings : array_like, (p,), optional
        Loadings of the series on one common trend: numbers, NaN for a free loading, or names. The initial
        variance of a common trend with free loadings is 1e6. All other trends start diffuse.
    name : str
        Prefix of the state names, which distinguishes several components of one kind.

    Returns
    -------
    Components

    Raises
    ------
    SpecificationError
        If the kind is unknown.
    """
    noisy, sloped, moving = _TRENDS[one_of(kind, _TRENDS, "kind")]
    count = 1 + sloped
    transition, noise = np.array([[1.0, 1.0], [0.0, 1.0]])[:count, :count], np.array([noisy, moving])[:count]
    states, design = ("level", "slope")[:count], np.eye(count)[0]
    return _Part("trend", states, transition, design, _free(noise), "diffuse", loadings).named(name)


def seasonal(
    period: int,
    kind: str = "dummy",
    *,
    harmonics: int | None = None,
    stochastic: bool = True,
    loadings: object = None,
    name: str = "",
) -> Components:
    r"""
    Specify a seasonal component, which sums to zero over a period apart from its noise.

    .. math::

        \text{dummy: } \gamma_{t+1} = -\sum_{j=0}^{s-2} \gamma_{t-j} + \omega_t, \qquad
        \text{trigonometric: } \gamma_t = \sum_{j=1}^{h} \gamma_{j,t}

    where each :math:`\gamma_{j,t}` is an undamped `cycle` with the period s / j. All have the same variance.

    Parameters
    ----------
    period : int
        Number s of periods in a seasonal cycle.
    kind : {"dummy", "trigonometric"}
        The form of the component.
    harmonics : int, optional
        Number h of cycles, by default s // 2. The cycle with the period 2 has one state. In
        `UnobservedComponents` it has a second state, which does not affect the observations.
    stochastic : bool
        Whether the component has noise.
    loadings, name : optional
        As in `trend`.

    Returns
    -------
    Components

    Raises
    ------
    SpecificationError
        If the period or the number of harmonics is invalid, or the kind is unknown.
    """
    period = whole_number(period, "period", 2)
    stem, variance = f"seasonal{period}", f"seasonal{period}_var" if truth(stochastic, "stochastic") else 0.0
    if one_of(kind, ("dummy", "trigonometric"), "kind") == "dummy":
        if harmonics is not None:
            raise SpecificationError('harmonics can be given only with kind="trigonometric"', got=harmonics)
        transition = np.eye(period - 1, k=-1)
        transition[0] = -1.0
        design = np.eye(period - 1)[0]
        states = lagged_names([stem], period - 1)
        noise = np.array([variance, *[0.0] * (period - 2)], dtype=object)
    else:
        count = period // 2 if harmonics is None else positive_integer(harmonics, "harmonics")
        if count > period // 2:
            raise SpecificationError("harmonics is too large", got=count, expected=f"at most {period // 2}")
        size = min(2 * count, period - 1)  # the cycle with the period 2 has one state
        turns = [_rotation(2.0 * np.pi * j / period) for j in range(1, count + 1)]
        transition = block_diag(*turns)[:size, :size]
        design = np.tile([1.0, 0.0], count)[:size]
        states = [f"{stem}.{wave}{j}" for j in range(1, count + 1) for wave in ("cos", "sin")][:size]
        noise = np.full(size, variance, dtype=object)
    return _Part("seasonal", tuple(states), transition, design, noise, "diffuse", loadings).named(name)


def cycle(
    period: float | None = None,
    *,
    damped: bool = True,
    stochastic: bool = True,
    loadings: object = None,
    name: str = "",
) -> Components:
    r"""
    Specify a cycle with a known or an estimated period.

    .. math::

        \begin{pmatrix} c_{t+1} \\ c^*_{t+1} \end{pmatrix} = \rho
        \begin{pmatrix} \cos\lambda & \sin\lambda \\ -\sin\lambda & \cos\lambda \end{pmatrix}
        \begin{pmatrix} c_t \\ c^*_t \end{pmatrix} + \kappa_t, \quad \kappa_t \sim N(0, \sigma^2 I)

    Parameters
    ----------
    period : float, optional
        2 pi / lambda, which must be above 2. Without a period, the parameters are ``cycle_cos``, which is rho
        cos(lambda), and ``cycle_sin``, which is rho sin(lambda).
    damped : bool
        Whether rho (``cycle_damping``) is below one. A damped cycle starts from its stationary distribution.
        An undamped cycle needs a period, and starts diffuse.
    stochastic : bool
        Whether the cycle has noise. A damped cycle must have noise.
    loadings, name : optional
        As in `trend`.

    Returns
    -------
    Components

    Raises
    ------
    SpecificationError
        If an undamped cycle has no period, a damped cycle has no noise, or the period is not above 2.
    """
    damped, stochastic = truth(damped, "damped"), truth(stochastic, "stochastic")
    if damped and not stochastic:
        raise SpecificationError("A damped cycle without noise is zero", remedy="Use damped=False.")
    if period is None:
        if not damped:
            raise SpecificationError(
                "An undamped cycle of unknown period has a transition that is not linear in its parameter",
                remedy="Give the period, or use damped=True.",
            )
        transition = np.array([["cycle_cos", "cycle_sin"], ["-1*cycle_sin", "cycle_cos"]], dtype=object)
    else:
        period = positive_number(period, "period")
        if period <= 2.0:
            raise SpecificationError("The period of a cycle is too short", got=period, expected="above 2")
        transition = _rotation(2.0 * np.pi / period)
        if damped:
            damping = [f"{value!r}*cycle_damping" for value in transition.ravel().tolist()]
            transition = np.array(damping, dtype=object).reshape(2, 2)
    noise = np.array(["cycle_var" if stochastic else 0.0] * 2, dtype=object)
    states, initialization = ("cycle", "cycle.star"), "stationary" if damped else "diffuse"
    design = np.array([1.0, 0.0])
    return _Part("cycle", states, transition, design, noise, initialization, loadings).named(name)


def arma(p: int = 1, q: int = 0, *, loadings: object = None, name: str = "") -> Components:
    r"""
    Specify a stationary autoregression, with or without a moving average.

    .. math::

        a_t = z_t + \theta_1 z_{t-1} + \dots + \theta_q z_{t-q}, \quad
        z_{t+1} = \phi_1 z_t + \dots + \phi_p z_{t-p+1} + \eta_t

    Parameters
    ----------
    p, q : int
        Orders. p must be at least one.
    loadings, name : optional
        As in `trend`. With a moving average, the loadings must be numbers.

    Returns
    -------
    Components

    Raises
    ------
    SpecificationError
        If an order is invalid.
    """
    p, q = positive_integer(p, "p"), whole_number(q, "q", 0)
    size = max(p, q + 1)
    transition = np.eye(size, k=-1).astype(object)
    transition[0] = [f"ar{lag + 1}" if lag < p else 0.0 for lag in range(size)]
    design = np.array([1.0, *[f"ma{lag}" if lag <= q else 0.0 for lag in range(1, size)]], dtype=object)
    states, noise = tuple(lagged_names(["arma"], size)), _free(np.arange(size) == 0)
    return _Part("arma", states, transition, design, noise, "stationary", loadings).named(name)


def regression(exog: object, *, moving: bool = False, name: str = "") -> Components:
    r"""
    Specify regressors of the observations, with constant or time-varying coefficients of each series.

    .. math::

        x_t'\beta_t, \quad \beta_{t+1} = \beta_t + \eta_t

    Parameters
    ----------
    exog : array_like, (nobs, r)
        Regressors. Forecasts need ``exog`` of later periods, or their ``design`` if coefficients vary.
    moving : bool
        Whether the coefficients are random walks. They are then states, and start diffuse. Otherwise they
        are the parameters ``obs_coef``.
    name : str
        Prefix of the state names.

    Returns
    -------
    Components
    """
    frame = regressor_frame(exog, None, None, "exog")
    if frame is None:
        raise SpecificationError(
            "A regression component needs regressors", got=None, expected="(nobs, r) numbers"
        )
    columns = regressor_names(frame, "x") if truth(moving, "moving") else []
    states, m = tuple(f"beta.{column}" for column in columns), len(columns)
    noise = _free(np.ones(m, dtype=bool))
    return _Part("regression", states, np.eye(m), np.ones(m), noise, "diffuse", exog=exog).named(name)


def _with_names(matrix: np.ndarray, before: str, after: str) -> np.ndarray:
    """Return a matrix with renamed parameters."""
    out = matrix.astype(object)
    for place, item in np.ndenumerate(out):
        if isinstance(item, str):
            factor, star, param = item.rpartition("*")
            out[place] = f"{factor}{star}{before}{param}{after}"
    return out


def _rotation(angle: float) -> Array:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, sin], [-sin, cos]])


def _free(noisy: Array) -> np.ndarray:
    """Return NaN, which marks a separate variance, where there is noise."""
    return np.where(noisy, np.nan, 0.0).astype(object)


# -- components of given series ----------------------------------------------------------------------------


def _blocks(part: _Part, names: list[str], data: Sized) -> Iterator[_Part]:
    """Yield a component for each series, or one for all, with their designs."""
    exog = regressor_frame(part.exog, len(data), getattr(data, "index", None), "exog")
    part = replace(part, exog=None if exog is None else np.asarray(exog))
    if not part.states:
        return
    if part.loadings is not None:
        yield _common_block(part, len(names))
        return
    for i, series in enumerate(names):
        own = part
        if len(names) > 1:
            after = f"_{series if series.isidentifier() else i + 1}"
            own = part.renamed([f"{state}.{series}" for state in part.states], "", after)
        design = np.zeros((len(names), len(own.states)), dtype=object)
        design[i] = own.design
        yield replace(own, design=design)


def _common_block(part: _Part, p: int) -> _Part:
    """Return a component that is common to p series."""
    loadings = np.asarray(part.loadings, dtype=object).ravel()
    if len(loadings) != p:
        expected = f"{p}, one per series"
        what = f"The loadings of {part.kind} have the wrong length"
        raise SpecificationError(what, got=len(loadings), expected=expected)
    design = np.array([[_product(a, b, part.kind) for b in part.design] for a in loadings], dtype=object)
    vague = part.initialization == "diffuse" and any(map(_is_free, loadings))
    initialization = "approximate_diffuse" if vague else part.initialization
    return replace(part, design=design, initialization=initialization)


def _is_free(item: str | float) -> bool:
    """Return whether an element of a matrix is a parameter: a name, or NaN."""
    return isinstance(item, str) or bool(np.isnan(float(item)))


def _product(loading: str | float, element: str | float, kind: str) -> str | float:
    """Return the product of a loading and an element of the design, one of which may be free."""
    loading = loading if isinstance(loading, str) else float(loading)
    if isinstance(element, str):
        if _is_free(loading):
            raise SpecificationError(
                f"Free loadings of {kind} would be multiplied by free coefficients of its moving average",
                got=f"{loading} times {element}",
                expected="numbers as loadings",
            )
        return f"{loading!r}*{element}" if loading else 0.0
    return loading if element == 1 else 0.0


def _plain(matrix: np.ndarray) -> np.ndarray:
    """Return a matrix as numbers if it has no strings."""
    return matrix if any(isinstance(item, str) for item in matrix.flat) else matrix.astype(float)


def _matrices_of(blocks: list[_Part], n: int) -> dict[str, object]:
    """Return the arguments of `LGSSM` that follow from the states."""
    states = [state for block in blocks for state in block.states]
    return {
        "k_factors": len(states),
        "factor_names": states,
        "design": _joined_designs(blocks, n),
        "transition": _plain(block_diag(*(block.transition for block in blocks))),
        "state_cov": _plain(block_diag(*(np.diag(block.noise) for block in blocks))),
        "initialization": [block.initialization for block in blocks for _ in block.states],
    }


def _joined_designs(blocks: list[_Part], n: int) -> np.ndarray:
    """Return the design, with a time axis if coefficients vary."""
    design = _plain(np.concatenate([block.design for block in blocks], axis=1))
    if all(block.exog is None for block in blocks):
        return design
    if design.dtype == object:
        raise SpecificationError(
            "Time-varying coefficients cannot be combined with named elements of the design",
            got="a moving average, or loadings with names",
            remedy="Write free loadings as NaN, and leave out the moving average.",
        )
    over = [np.ones((n, len(block.states))) if block.exog is None else block.exog for block in blocks]
    return design[:, :, None] * np.concatenate(over, axis=1).T[None]


# -- states that cannot be distinguished -------------------------------------------------------------------


def _check_constants(parts: tuple[_Part, ...]) -> None:
    """Raise `SpecificationError` if a model has both a level and a constant regressor."""
    exog = [np.asarray(part.exog, dtype=float) for part in parts if part.kind == "regression"]
    constant = any(np.any(np.ptp(each, axis=0) == 0) for each in exog)
    if constant and any(part.kind == "trend" for part in parts):
        raise SpecificationError(
            "A constant regressor repeats the level of the trend", remedy="Leave the constant out."
        )


def _check_observable(blocks: list[_Part]) -> None:
    """Raise an error if components with a common eigenvalue are not observable (Popov-Hautus test)."""
    found = [np.linalg.eigvals(block.transition.astype(float)) for block in blocks]
    eigenvalues = np.concatenate([np.zeros(0), *found])
    owners = np.repeat(np.arange(len(blocks)), [len(each) for each in found])
    rng = np.random.default_rng(0)
    for place, eigenvalue in enumerate(eigenvalues):
        same = np.abs(eigenvalues - eigenvalue) <= _SAME_EIGENVALUE
        near = [blocks[i] for i in np.unique(owners[same])]
        if len(near) > 1 and not same[:place].any() and _hidden(near, eigenvalue, rng):
            two = (pair for pair in combinations(near, 2) if _hidden(pair, eigenvalue, rng))
            raise _collision(next(two, near), eigenvalue)


def _hidden(blocks: Sequence[_Part], eigenvalue: complex, rng: np.random.Generator) -> bool:
    """Return whether a movement of the states with an eigenvalue leaves no trace in the observations."""
    transition = block_diag(*(block.transition.astype(float) for block in blocks))
    design = np.concatenate([block.design for block in blocks], axis=1)
    free = np.array([[_is_free(item) for item in row] for row in design])
    design = np.where(free, rng.uniform(0.5, 1.5, design.shape), design).astype(float)
    tested = np.concatenate([transition - eigenvalue * np.eye(len(transition)), design])
    return bool(np.linalg.matrix_rank(tested, tol=_SAME_EIGENVALUE) < len(transition))


def _collision(blocks: Sequence[_Part], eigenvalue: complex) -> SpecificationError:
    angle = abs(np.angle(eigenvalue))
    what = f"move with the period {2.0 * np.pi / angle:.6g}" if angle > _SAME_EIGENVALUE else "hold a level"
    kinds = [block.kind for block in blocks]
    which, who = ("both", " and ".join(kinds)) if len(blocks) == 2 else ("all", shown(kinds))
    return SpecificationError(
        f"The states of {who} collide: {which} {what}",
        got=" and ".join(block.states[0] for block in blocks),
        expected="components that the observations tell apart",
        remedy="Leave one out, or give one fewer harmonics, another period, damping, or loadings.",
    )
