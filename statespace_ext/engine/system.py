"""System matrices as one value, how statsmodels receives them, and observations without a density."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

import numpy as np
from statsmodels.tsa.statespace.initialization import Initialization
from statsmodels.tsa.statespace.representation import Representation

from ..exceptions import ParameterError, StateSpaceError, shown
from ..numerics.linear_algebra import (
    STABILITY_LIMIT,
    Array,
    by_diagonal,
    is_diagonal,
    is_positive_semidefinite,
    is_stable,
    spectral_radius,
    symmetrize,
)
from ..numerics.matrix_equations import stationary_moments

MATRICES = ("design", "obs_intercept", "obs_cov", "transition", "state_intercept", "selection", "state_cov")


def axes_of(name: str) -> int:
    """Return the number of axes of a matrix, by name, that is constant over time."""
    return 1 if name.endswith("intercept") else 2


@dataclass(frozen=True)
class System:
    """
    Matrices of y_t = d + Z x_t + eps_t, x_{t+1} = c + T x_t + R eta_t, x_1 ~ N(a_1, P_1).

    Matrices are (rows, columns) or (rows, columns, nobs); intercepts (rows,) or (rows, nobs).

    Attributes
    ----------
    initialization_type : {"known", "stationary", "diffuse", "approximate_diffuse", "custom"}
        How x_1 is distributed.
    initial_state, initial_state_cov : ndarray
        a_1 (k,) and P_1 (k, k): given for "known" and "approximate_diffuse", computed for "stationary",
        zero for "diffuse" (exact).
    """

    design: Array
    obs_intercept: Array
    obs_cov: Array
    transition: Array
    state_intercept: Array
    selection: Array
    state_cov: Array
    initialization_type: str
    initial_state: Array
    initial_state_cov: Array
    initialization: Initialization | None = None
    """A statsmodels initialisation to use as it is, for "custom"."""
    stationary: Array | None = None
    """The states that start from their stationary distribution; all of them for "stationary"."""
    observation_groups: Array | None = None
    """The group of each period, if the sums of the observation equation are needed by group."""
    state_groups: Array | None = None
    """The same for the state equation."""

    @property
    def stationary_states(self) -> Array:
        """The states that start from their stationary distribution."""
        if self.initialization_type == "stationary":
            return np.arange(self.k_states)
        return np.zeros(0, dtype=np.intp) if self.stationary is None else self.stationary

    @property
    def diffuse(self) -> bool:
        """Whether some state has an exact-diffuse start."""
        if self.initialization is not None:
            return has_part(self.initialization, "diffuse")
        return self.initialization_type == "diffuse"

    def over(self, periods: slice) -> System:
        """Return the system over some periods, with its own start."""
        values = {name: getattr(self, name) for name in MATRICES}
        varying = {name: value[..., periods] for name, value in values.items() if value.ndim > axes_of(name)}
        return replace(self, **varying)

    @property
    def k_states(self) -> int:
        """Number of states."""
        return self.selection.shape[0]


def parts_of(initialization: Initialization | None) -> list[Initialization]:
    """Return an initialisation, if there is one, and the blocks within it."""
    found = [] if initialization is None else [initialization]
    for each in found:  # grows
        found += each.blocks.values()
    return found


def has_part(initialization: Initialization | None, kind: str) -> bool:
    """Return whether an initialisation, or one of its blocks, is of a kind ("diffuse", "known", ...)."""
    return any(part.initialization_type == kind for part in parts_of(initialization))


def stationary_radius(ssm: Representation) -> float:
    """
    Return the largest modulus of a root of the states whose start is stationary, zero where none is.

    From 1 on there is no such start, and no likelihood: statsmodels' filter computes a number all the same.
    """

    def radius(initial: Initialization, states: Array) -> float:
        """Return the largest modulus for a block of states."""
        if initial.initialization_type == "stationary":
            transition = np.real(ssm["transition"]).reshape(ssm.k_states, ssm.k_states, -1)[:, :, 0]
            return spectral_radius(transition[np.ix_(states, states)])
        return max((radius(part, states[list(at)]) for at, part in initial.blocks.items()), default=0.0)

    return 0.0 if ssm.initialization is None else radius(ssm.initialization, np.arange(ssm.k_states))


def require_stationary(radius: float) -> None:
    """Raise `ParameterError` where the largest modulus of a root permits no stationary start."""
    if not radius < STABILITY_LIMIT:
        raise ParameterError(
            "The transition is not stationary, so that a stationary start does not exist",
            got=f"largest root {radius:.6g}",
            expected="roots inside the unit circle",
        )


def require_likelihood(ssm: Representation) -> None:
    """
    Reject matrices for which statsmodels' filter computes a number without a likelihood.

    The filter ignores the roots of a stationary start, and skips observations of negative variance: the
    log-likelihood of one series is then 0.

    Raises
    ------
    ParameterError
        Where a stationary start does not exist, or a covariance matrix has a negative eigenvalue.
    """
    require_stationary(stationary_radius(ssm))
    for name in ("state_cov", "obs_cov"):
        cov = np.real(getattr(ssm, name))
        several = len(cov) > 1 and cov.shape[2] == 1
        if np.any(np.diagonal(cov) < 0) or several and not is_positive_semidefinite(cov[:, :, 0]):
            raise ParameterError(f"{name} must be a covariance matrix at these parameters", got=cov[:, :, 0])


def start_moments(T: Array, intercept: Array, R: Array, Q: Array) -> tuple[Array, Array]:
    """Return the moments of the stationary distribution, with the intercept of the first period."""
    if not is_stable(T):
        require_stationary(spectral_radius(T))
    return stationary_moments(T, intercept if intercept.ndim == 1 else intercept[:, 0], R @ Q @ R.T)


def with_stationary_start(system: System) -> System:
    """
    Return the system with the stationary distribution as that of x_1; T, R and Q must be constant over time.

    Raises
    ------
    ParameterError
        If there is no such distribution.
    """
    T, intercept, R, Q = system.transition, system.state_intercept, system.selection, system.state_cov
    mean, cov = start_moments(T, intercept, R, Q)
    return replace(system, initial_state=mean, initial_state_cov=cov)


def mixed_start(system: System, stationary: Array, diffuse: Array) -> System:
    """
    Return the system with a start that differs by state: given for the states that are neither.

    Parameters
    ----------
    system : System
        The system; its initial_state and initial_state_cov count for the other states.
    stationary : ndarray of int
        The states with a stationary start; no other state moves them.
    diffuse : ndarray of bool, (k,)
        The states with an exact-diffuse start.

    Raises
    ------
    ParameterError
        If there is no stationary distribution.
    """
    mean, cov = np.array(system.initial_state), np.array(system.initial_state_cov)
    if len(stationary):
        inner, R = np.ix_(stationary, stationary), system.selection[stationary]
        T, intercept = system.transition[inner], system.state_intercept[stationary]
        mean[stationary], cov[inner] = start_moments(T, intercept, R, system.state_cov)
    kind, found = "known", None
    if diffuse.any():
        infinite = np.diag(diffuse.astype(float))
        kind, found = "custom", Initialization.from_components(len(mean), a=mean, Pstar=cov, Pinf=infinite)
    values = {"initial_state": mean, "initial_state_cov": cov, "stationary": stationary}
    return replace(system, initialization_type=kind, initialization=found, **values)


def initialization_of(system: System, solved: bool = False) -> Initialization:
    """Return the statsmodels initialisation of a system; ``solved``: a stationary start by its moments."""
    if system.initialization is not None:
        return system.initialization
    kind = system.initialization_type
    if kind == "diffuse" or kind == "stationary" and system.state_intercept.ndim == 1 and not solved:
        return Initialization(system.k_states, kind)
    mean, cov = np.array(system.initial_state), np.array(system.initial_state_cov)
    return Initialization(system.k_states, "known", constant=mean, stationary_cov=cov)


def with_time(system: System) -> dict[str, Array]:
    """Return the matrices by name, with time on the last axis, of length one where they are constant."""
    values = {name: getattr(system, name) for name in MATRICES}
    return {
        name: value[..., None] if value.ndim == axes_of(name) else value for name, value in values.items()
    }


def without_time(matrices: Mapping[str, Array]) -> dict[str, Array]:
    """Return matrices with time on the last axis without that axis where they are constant."""
    return {name: value[..., 0] if value.shape[-1] == 1 else value for name, value in matrices.items()}


def write(ssm: Representation, system: System, *, start: bool = True, solved: bool = False) -> None:
    """
    Put the matrices into a statsmodels representation: its arrays are replaced, not written into.

    Parameters
    ----------
    ssm : Representation
        The representation to write.
    system : System
        The matrices.
    start : bool
        Whether to set the initialisation too.
    solved : bool
        Whether to give a stationary start by its moments, which statsmodels then need not solve for.
    """
    for name in MATRICES:
        value = getattr(system, name)
        if value.ndim == 1:
            value = value[:, None]
        ssm[name] = np.asfortranarray(value)
    if start:
        ssm.initialization = initialization_of(system, solved)


_DEPENDENT = 1e-10
"""Singular value, relative to loadings of unit length, that counts as zero."""
_CERTAIN = 1e-14
"""Variance of a forecast or of noise, relative to its size, that passes for zero."""


def require_density(
    missing: Array, system: System, patterns: Array | None = None, given_start: bool = False
) -> None:
    """
    Reject series without noise whose distribution is singular, given what came before.

    That is so where more of them are seen in one period than the states can move independently, and where
    the states are certain already. Such a row has no density; statsmodels leaves out what it takes for
    certain, and returns the density of the rest.

    Parameters
    ----------
    missing : ndarray of bool, (nobs, k_endog)
        Which elements are missing.
    system : System
        With a constant design and obs_cov; others pass.
    patterns : ndarray of bool, (m, k_endog), optional
        The distinct rows of ``missing``, if they are known.
    given_start : bool, default False
        Whether the first state is known. An estimated first state can fit the first row exactly, with an
        unbounded density: the status of a fit reports it.

    Raises
    ------
    ParameterError
        If there is no density.
    """
    H, Z = system.obs_cov, system.design
    if H.ndim == 3 or Z.ndim == 3 or np.all(H.diagonal() > 0.0) and is_diagonal(H):
        return
    patterns = missing if patterns is None else patterns
    _require_full_rank(patterns, H, Z)
    certain = np.flatnonzero(H.diagonal() == 0.0)
    if not len(certain):
        return
    moved = system.selection.ndim == system.state_cov.ndim == 2 and _moved_apart(system, certain)
    if not moved:
        _require_independent(patterns, Z, certain)
    if given_start:
        _require_uncertain_states(missing, system, certain, moved)


def _moved_apart(system: System, certain: Array) -> bool:
    """Return whether Z R Q R' Z' of the series without noise is regular."""
    half = system.design[certain] @ system.selection
    cov = half @ system.state_cov @ half.T
    variances = cov.diagonal()
    if not np.min(variances) > _DEPENDENT * np.max(variances):  # also where an element is NaN
        return False
    return is_regular(cov)


def _require_independent(missing: Array, Z: Array, certain: Array) -> None:
    """Reject more series without noise in a period than the states can move independently."""
    for unseen in np.unique(missing[:, certain], axis=0):
        rows = certain[~unseen]
        size = np.linalg.norm(Z[rows], axis=1, keepdims=True)
        loadings = Z[rows] / np.where(size > 0, size, 1.0)
        if len(rows) and np.linalg.matrix_rank(loadings, tol=_DEPENDENT) < len(rows):
            raise ParameterError(
                "Series without noise have dependent loadings: their distribution is singular",
                got=f"obs_cov of zero for series {shown(i + 1 for i in rows)}",
                expected="at most as many as the states move independently",
            )


def _require_full_rank(missing: Array, H: Array, Z: Array) -> None:
    """
    Reject an H that is singular and not diagonal, where the states do not move its null space.

    Whether a factorisation of the forecast variance fails there is rounding, and differs between machines.
    """
    if by_diagonal(H) or is_regular(H):
        return
    noisy, size, correlation = _correlation(H)
    loadings = Z[noisy] / size[:, None]
    tolerance = _DEPENDENT * max(float(np.max(np.abs(loadings), initial=0.0)), 1e-300)
    for unseen in np.unique(missing[:, noisy], axis=0):
        seen = ~unseen
        values, vectors = np.linalg.eigh(correlation[np.ix_(seen, seen)])
        null = vectors[:, values <= _CERTAIN * len(values)]
        moved = null.T @ loadings[seen]
        if null.shape[1] and np.linalg.matrix_rank(moved, tol=tolerance) < null.shape[1]:
            raise ParameterError(
                "The log-likelihood does not exist at these parameters",
                got=f"a singular obs_cov that is not diagonal, of rank {int(seen.sum()) - null.shape[1]} of "
                f"{int(seen.sum())}",
                expected="forecast errors of positive definite variance",
                remedy="Let obs_cov be positive definite, or leave out a series that the others determine.",
            )


def _correlation(cov: Array) -> tuple[Array, Array, Array]:
    """Return which variances are positive, their square roots, and the correlations between them."""
    noisy = np.flatnonzero(np.diag(cov) > 0.0)
    size = np.sqrt(np.diag(cov)[noisy])
    return noisy, size, cov[np.ix_(noisy, noisy)] / size[:, None] / size


def is_regular(cov: Array) -> bool:
    """Return whether correlations, where variances are positive, have a factor without negligible pivots."""
    with suppress(np.linalg.LinAlgError):
        pivots = np.diag(np.linalg.cholesky(_correlation(cov)[2]))
        return bool(np.min(pivots, initial=1.0) ** 2 > _DEPENDENT)
    return False


def _require_uncertain_states(missing: Array, system: System, certain: Array, moved: bool) -> None:
    """Reject series without noise that the states, known so far, leave no variance."""
    R, P, T = system.selection, system.initial_state_cov, system.transition
    varies = any(matrix.ndim == 3 for matrix in (T, R, system.state_cov))
    if varies or system.diffuse or system.initialization is not None:
        return
    W = R @ system.state_cov @ R.T
    reach = np.abs(system.design) @ np.sqrt(np.diag(W) + np.diag(P))
    for t in range(1 if moved else min(len(missing), len(T) + 1)):
        rows = certain[~missing[t, certain]]
        if len(rows):
            half = P @ system.design[rows].T
            cov = system.design[rows] @ half
            scale = np.where(reach[rows] > 0.0, reach[rows], 1.0)
            if np.min(np.linalg.eigvalsh(cov / scale[:, None] / scale)) <= _CERTAIN:
                raise ParameterError(
                    "Series without noise are known before they are observed, so they have no density",
                    got=f"obs_cov of zero for series {shown(i + 1 for i in rows)}, in period {t + 1}",
                    expected="states with a positive variance",
                    remedy="Add noise to the states that they load on, or use an uncertain start.",
                )
            P = symmetrize(P - half @ np.linalg.solve(cov, half.T))
        P = T @ P @ T.T + W


@contextmanager
def named_singularity() -> Iterator[None]:
    """
    Give the errors of numpy and of compiled filters a name, where forecast errors have a singular variance.

    Raises
    ------
    ParameterError
        In their place.
    """
    try:
        yield
    except StateSpaceError:
        raise
    except (np.linalg.LinAlgError, ZeroDivisionError) as error:
        raise ParameterError(
            "The log-likelihood does not exist at these parameters",
            got=reason(error),
            expected="forecast errors of positive definite variance, and stable roots for a stationary start",
            remedy="Let obs_cov be positive definite, or leave out a series that the others determine.",
        ) from error


def reason(error: BaseException) -> str:
    """Return what an error of a filter says, in words: it divides by pivots of obs_cov alone."""
    return "a singular obs_cov that is not diagonal" if isinstance(error, ZeroDivisionError) else str(error)
