"""A brute-force oracle for linear Gaussian state-space models.

Nothing here is a Kalman recursion: all states and all observations of a sample are written as one stacked
Gaussian vector

    u = (x_1, .., x_n, y_1, .., y_n) = mean + loading delta + factor z,   z ~ N(0, I),   delta flat (diffuse),

whose mean, loading and factor follow from unrolling the model's two equations

    y_t = d_t + Z_t x_t + eps_t,                eps_t ~ N(0, H_t)
    x_{t+1} = c_t + T_t x_t + R_t eta_t,        eta_t ~ N(0, Q_t),        x_1 ~ N(a_1, P_1),   t = 1..n

and the whole vector is conditioned, once, on the observed entries of y. Missing entries of y stay in the
vector as random variables, so no imputation formula is needed. Its covariance is kept as factor @ factor.T:
nothing is inverted, no posterior covariance is a difference of two large ones, and singular H, Q and P_1 are
ordinary cases.

A *system* is a plain dict of arrays, constant (2-D, intercepts 1-D) or with a last axis over time:

    design (p, k)        obs_intercept (p,)     obs_cov (p, p)
    transition (k, k)    state_intercept (k,)   selection (k, q)    state_cov (q, q)
    initial_state (k,)   initial_state_cov (k, k)

Time is zero-based in the code: ``transition[..., t]`` takes x_t to x_{t+1}, t = 0..n-2; the last is unused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import solve_discrete_lyapunov

System = Mapping[str, np.ndarray]
VECTORS = ("obs_intercept", "state_intercept")


@dataclass(frozen=True)
class Joint:
    """Gaussian vector mean + loading @ delta + factor @ z with z ~ N(0, I) and flat delta.

    The first n * k entries are the states, the other n * p the observations, both period by period.

    Attributes
    ----------
    mean : ndarray, shape (n * (k + p),)
    factor : ndarray, shape (n * (k + p), number of independent shocks)
    loading : ndarray, shape (n * (k + p), number of diffuse initial states)
    """

    mean: np.ndarray
    factor: np.ndarray
    loading: np.ndarray

    @property
    def cov(self) -> np.ndarray:
        """Covariance given delta."""
        return self.factor @ self.factor.T


@dataclass(frozen=True)
class Dense:
    """Log-likelihood and posterior moments of the states, given the observed entries of y.

    Attributes
    ----------
    llf : float
    smoothed_state : ndarray, shape (n, k)
    smoothed_cov : ndarray, shape (n, k, k)
    lag_cov : ndarray, shape (n - 1, k, k)
        ``lag_cov[t]`` is Cov(x_{t+1}, x_t | Y), t zero-based.
    posterior_mean : ndarray, shape (n * k,)
        Of the stacked states.
    posterior_cov : ndarray, shape (n * k, n * k)
    """

    llf: float
    smoothed_state: np.ndarray
    smoothed_cov: np.ndarray
    lag_cov: np.ndarray
    posterior_mean: np.ndarray
    posterior_cov: np.ndarray


@dataclass(frozen=True)
class ExpectedSums:
    """Posterior expected sums, with b_t = (x_t, 1) and eta_t = R_t^+ (x_{t+1} - c_t - T_t x_t).

    Attributes
    ----------
    obs_yy : ndarray, shape (p, p)
        E sum_{t=1..n} eps_t eps_t', where eps_t = y_t - d_t - Z_t x_t and missing y are latent.
    obs_yx : ndarray, shape (p, k + 1)
        E sum_{t=1..n} eps_t b_t'.
    obs_xx : ndarray, shape (k + 1, k + 1)
        E sum_{t=1..n} b_t b_t'.
    state_yy : ndarray, shape (q, q)
        E sum_{t=1..n-1} eta_t eta_t'.
    state_yx : ndarray, shape (q, k + 1)
        E sum_{t=1..n-1} eta_t b_t'.
    state_xx : ndarray, shape (k + 1, k + 1)
        E sum_{t=1..n-1} b_t b_t'.
    initial_mean : ndarray, shape (k,)
        E[x_1 | Y].
    initial_cov : ndarray, shape (k, k)
        Var[x_1 | Y].
    """

    obs_yy: np.ndarray
    obs_yx: np.ndarray
    obs_xx: np.ndarray
    state_yy: np.ndarray
    state_yx: np.ndarray
    state_xx: np.ndarray
    initial_mean: np.ndarray
    initial_cov: np.ndarray


def at(system: System, t: int) -> dict[str, np.ndarray]:
    """Pick the system's matrices at the zero-based period t; the initial moments as they are."""
    matrices = {}
    for name, value in system.items():
        array = np.asarray(value, dtype=float)
        varies = not name.startswith("initial_") and array.ndim == (2 if name in VECTORS else 3)
        matrices[name] = array[..., t if array.shape[-1] > 1 else 0] if varies else array
    return matrices


def square_root(cov: np.ndarray) -> np.ndarray:
    """Find a square matrix S with S @ S.T == cov, for a covariance that may be singular."""
    return _square_root(np.ascontiguousarray(cov, dtype=float).tobytes(), len(cov))


@lru_cache(maxsize=64)
def _square_root(content: bytes, size: int) -> np.ndarray:
    """Compute it once for the periods of a constant matrix."""
    cov = np.frombuffer(content).reshape(size, size)
    values, vectors = np.linalg.eigh((cov + cov.T) / 2)
    if values.min() < -1e-10 * max(values.max(), 0.0):
        raise ValueError(f"a covariance has the negative eigenvalue {values.min()}")
    root = vectors * np.sqrt(np.clip(values, 0.0, None))
    root.flags.writeable = False
    return root


def joint(system: System, n: int, diffuse: ArrayLike | None = None) -> Joint:
    """Joint distribution of all states and observations of n periods, before any is observed.

    Parameters
    ----------
    system : dict of ndarray
    n : int
        Number of periods.
    diffuse : array_like of bool, shape (k,), optional
        Initial states of infinite variance. Their elements of ``initial_state_cov`` are ignored.

    Returns
    -------
    Joint
    """
    first = at(system, 0)
    (p, k), q = first["design"].shape, first["state_cov"].shape[0]
    flat = np.zeros(k, dtype=bool) if diffuse is None else np.asarray(diffuse, dtype=bool)
    mean = np.zeros(n * (k + p))
    loading = np.zeros((n * (k + p), int(flat.sum())))
    factor = np.zeros((n * (k + p), k + (n - 1) * q + n * p))  # columns: x_1, every eta_t, every eps_t

    mean[:k], loading[:k] = first["initial_state"], np.eye(k)[:, flat]
    factor[:k, :k] = square_root(np.where(flat | flat[:, None], 0.0, first["initial_state_cov"]))
    for t in range(n):
        m = at(system, t)
        x = slice(t * k, (t + 1) * k)
        if t < n - 1:
            to = slice((t + 1) * k, (t + 2) * k)
            mean[to] = m["state_intercept"] + m["transition"] @ mean[x]
            loading[to], factor[to] = m["transition"] @ loading[x], m["transition"] @ factor[x]
            factor[to, k + t * q : k + (t + 1) * q] += m["selection"] @ square_root(m["state_cov"])
        y = slice(n * k + t * p, n * k + (t + 1) * p)
        mean[y] = m["obs_intercept"] + m["design"] @ mean[x]
        loading[y], factor[y] = m["design"] @ loading[x], m["design"] @ factor[x]
        eps = k + (n - 1) * q + t * p
        factor[y, eps : eps + p] += square_root(m["obs_cov"])
    return Joint(mean, factor, loading)


def condition(prior: Joint, rows: np.ndarray, values: np.ndarray) -> tuple[float, Joint]:
    """Condition a Gaussian vector on some of its entries.

    Parameters
    ----------
    prior : Joint
    rows : ndarray of int
        The entries that are observed.
    values : ndarray
        What they are.

    Returns
    -------
    llf : float
        Log density of the observed entries; with q flat directions B delta among them, the limit of the log
        density plus (q / 2) log(kappa) under delta ~ N(0, kappa I). All entries count in -(1/2) log(2 pi).
    posterior : Joint
        Without a loading.

    Notes
    -----
    Flat directions first: B = Q_1 U, so Q_1'(y - m) = U delta + Q_1' L z fixes delta as a function of z, says
    nothing about z, and contributes log|B'B|. What remains, Q_2'(y - m) = Q_2' L z, is ordinary conditioning:
    with (Q_2' L)' = Q_a A, z given the data has mean Q_a A^{-T} Q_2'(y - m) and covariance I - Q_a Q_a', a
    projection and so its own square root. It is GLS/REML without an inverse: with S = L L',
    |S| |B'S^{-1}B| = |B'B| |Q_2'S Q_2|, and the right side exists for a singular S too.
    """
    flat = prior.loading.shape[1]
    rotation, upper = _full_rank_qr(
        prior.loading[rows], "the data do not identify the diffuse states", "complete"
    )
    residual = rotation.T @ (values - prior.mean[rows])
    shocks = rotation.T @ prior.factor[rows]
    loading = np.linalg.solve(upper.T, prior.loading.T).T  # B U^{-1}
    mean = prior.mean + loading @ residual[:flat]
    factor = prior.factor - loading @ shocks[:flat]

    used, root = _full_rank_qr(shocks[flat:].T, "the observed entries have a singular covariance", "reduced")
    scaled = np.linalg.solve(root.T, residual[flat:])
    mean = mean + factor @ (used @ scaled)
    factor = factor - (factor @ used) @ used.T
    mean[rows], factor[rows] = values, 0.0

    log_det = 2 * np.log(np.abs(np.diag(upper))).sum() + 2 * np.log(np.abs(np.diag(root))).sum()
    llf = -0.5 * (rows.size * np.log(2 * np.pi) + log_det + scaled @ scaled)
    return float(llf), Joint(mean, factor, loading[:, :0])


def _full_rank_qr(
    matrix: np.ndarray, complaint: str, mode: Literal["reduced", "complete"]
) -> tuple[np.ndarray, np.ndarray]:
    """QR decomposition of a matrix with independent columns: (Q, square triangle)."""
    columns = matrix.shape[1]
    if columns == 0:
        return np.eye(len(matrix), len(matrix) if mode == "complete" else 0), np.zeros((0, 0))
    if np.linalg.matrix_rank(matrix) < columns:
        raise ValueError(complaint)
    q, r = np.linalg.qr(matrix, mode=mode)
    return q, r[:columns]


def _posterior(y: ArrayLike, system: System, diffuse: ArrayLike | None) -> tuple[float, Joint]:
    """Log-likelihood, and the posterior of all states and all observations."""
    data = np.asarray(y, dtype=float)
    prior = joint(system, len(data), diffuse)
    observed = np.flatnonzero(~np.isnan(data.ravel()))
    return condition(prior, prior.mean.size - data.size + observed, data.ravel()[observed])


def dense(y: ArrayLike, system: System) -> Dense:
    """Log-likelihood and smoothed moments for a proper start x_1 ~ N(a_1, P_1).

    Parameters
    ----------
    y : array_like, shape (n, p)
        Observations; NaN is missing.
    system : dict of ndarray

    Returns
    -------
    Dense
    """
    return _dense(y, system, None)


def dense_diffuse(y: ArrayLike, system: System, diffuse: ArrayLike) -> Dense:
    """Exact log-likelihood and smoothed moments for a diffuse start.

    Parameters
    ----------
    y : array_like, shape (n, p)
        Observations; NaN is missing.
    system : dict of ndarray
    diffuse : array_like of bool, shape (k,)
        Initial states of infinite variance; the others start from ``initial_state``, ``initial_state_cov``.

    Returns
    -------
    Dense
        ``llf`` is lim log N(y; kappa) + (q / 2) log(kappa), q the number of diffuse states, so *every*
        observed entry counts in -(1/2) log(2 pi): Durbin & Koopman's and statsmodels' convention. Of N - q
        orthonormal contrasts, the log density (REML) is this plus (q / 2) log(2 pi) + (1/2) log|B'B|, with B
        as in `condition`.

    Raises
    ------
    ValueError
        If the data do not identify every diffuse state: its smoothed variance would be infinite.
    """
    return _dense(y, system, diffuse)


def _dense(y: ArrayLike, system: System, diffuse: ArrayLike | None) -> Dense:
    """Cut the posterior into the blocks of `Dense`."""
    llf, posterior = _posterior(y, system, diffuse)
    n, k = len(np.asarray(y)), at(system, 0)["initial_state"].size
    mean, factor = posterior.mean[: n * k], posterior.factor[: n * k]
    cov = factor @ factor.T
    blocks = cov.reshape(n, k, n, k).transpose(0, 2, 1, 3)
    t = np.arange(n)
    return Dense(llf, mean.reshape(n, k), blocks[t, t], blocks[t[1:], t[:-1]], mean, cov)


def expected_sums(y: ArrayLike, system: System, diffuse: ArrayLike | None = None) -> ExpectedSums:
    """Posterior expected sums of EM, straight from the posterior of (states, missing observations).

    Parameters
    ----------
    y : array_like, shape (n, p)
        Observations, n at least 2; NaN is missing.
    system : dict of ndarray
    diffuse : array_like of bool, shape (k,), optional
        Initial states of infinite variance.

    Returns
    -------
    ExpectedSums
    """
    obs, state, first = expected_terms(y, system, diffuse)
    sums = [sum(terms) for moments in (obs, state) for terms in zip(*moments, strict=True)]
    return ExpectedSums(*sums, first[:, 0], first[:, 1:] @ first[:, 1:].T)


Terms = list[tuple[np.ndarray, np.ndarray, np.ndarray]]


def expected_terms(
    y: ArrayLike, system: System, diffuse: ArrayLike | None = None
) -> tuple[Terms, Terms, np.ndarray]:
    """Terms of `expected_sums` by period, of y_t and of x_{t+1}, and x_1 as (mean, factor)."""
    posterior = _posterior(y, system, diffuse)[1]
    both = np.column_stack([posterior.mean, posterior.factor])  # E u v' = both_u @ both_v.T for linear u, v
    n, p = np.asarray(y).shape
    k = at(system, 0)["initial_state"].size
    states, observations = both[: n * k].reshape(n, k, -1), both[n * k :].reshape(n, p, -1)
    one = np.eye(1, both.shape[1])
    obs, state = [], []
    for t in range(n):
        m = at(system, t)
        b = np.vstack([states[t], one])
        eps = observations[t] - np.column_stack([m["design"], m["obs_intercept"]]) @ b
        obs.append((eps @ eps.T, eps @ b.T, b @ b.T))
        if t < n - 1:
            noise = states[t + 1] - np.column_stack([m["transition"], m["state_intercept"]]) @ b
            eta = np.linalg.pinv(m["selection"]) @ noise
            state.append((eta @ eta.T, eta @ b.T, b @ b.T))
    return obs, state, states[0]


def random_system(
    rng: np.random.Generator,
    n: int,
    k: int,
    p: int,
    *,
    lags: int = 1,
    missing: float = 0.0,
    time_varying: bool = False,
    initialization: str = "known",
    singular: bool = False,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Draw a random model, and a sample from it.

    Parameters
    ----------
    rng : numpy.random.Generator
    n, k, p : int
        Periods, state variables, observed series.
    lags : int
        Lags of the state. With more than one the state is (x_t, .., x_{t-lags+1}), k * lags long, the
        transition a companion matrix, the selection [I; 0], and only x_t is observed.
    missing : float
        Probability that an entry of y is missing; if positive, one whole period in the middle is missing too.
    time_varying : bool
        Whether every matrix has a last axis over time.
    initialization : {"known", "stationary", "zero", "diffuse"}
        "known": a random mean and full covariance. "stationary": the implied ones (constant matrices only).
        "zero": a random mean, no variance. "diffuse": zeros, to be overridden by the mask of `dense_diffuse`;
        the sample then starts from N(0, I).
    singular : bool
        Whether to take one from the rank of obs_cov (not for "zero": Var(y_1) would be singular) and of
        state_cov (if k > 1).

    Returns
    -------
    y : ndarray, shape (n, p)
    system : dict of ndarray

    Notes
    -----
    "diffuse" with lags or with k > p may be barely observable. The oracle is right there, but statsmodels is
    not: it holds F_inf and the squared norm of P_inf against an absolute 1e-10.
    """
    if initialization not in ("known", "stationary", "zero", "diffuse"):
        raise ValueError(f"unknown initialization {initialization!r}")
    if time_varying and initialization == "stationary":
        raise ValueError("a time-varying model has no stationary start")
    obs_rank = p - (singular and initialization != "zero")
    state_rank = max(k - singular, 1)
    drawn = [_random_matrices(rng, k, p, lags, obs_rank, state_rank) for _ in range(n if time_varying else 1)]
    system = {name: np.stack([m[name] for m in drawn], axis=-1) for name in drawn[0]}
    if not time_varying:
        system = {name: value[..., 0] for name, value in system.items()}
    elif lags == 1:
        system["selection"] = system["selection"] + 0.3 * rng.standard_normal((k, k, n))
    system.update(_initial_moments(rng, system, k * lags, initialization))

    start = system | {"initial_state_cov": np.eye(k * lags)} if initialization == "diffuse" else system
    everything = joint(start, n)
    sample = everything.mean + everything.factor @ rng.standard_normal(everything.factor.shape[1])
    y = sample[n * k * lags :].reshape(n, p)
    if missing > 0:
        y[rng.random((n, p)) < missing] = np.nan
        y[n // 2] = np.nan
    return y, system


def _random_matrices(
    rng: np.random.Generator, k: int, p: int, lags: int, obs_rank: int, state_rank: int
) -> dict[str, np.ndarray]:
    """Draw constant matrices of a stable model; the largest root of the transition is 0.6 to 0.9."""
    companion = np.eye(k * lags, k=-k)
    companion[:k] = rng.standard_normal((k, k * lags))
    shrink = rng.uniform(0.6, 0.9) / np.abs(np.linalg.eigvals(companion)).max()
    companion[:k] *= np.repeat(shrink ** np.arange(1, lags + 1), k)  # scales every root
    return {
        "design": np.hstack([rng.standard_normal((p, k)), np.zeros((p, k * (lags - 1)))]),
        "obs_intercept": rng.standard_normal(p),
        "obs_cov": _random_cov(rng, p, obs_rank),
        "transition": companion,
        "state_intercept": np.concatenate([rng.standard_normal(k), np.zeros(k * (lags - 1))]),
        "selection": np.eye(k * lags, k),
        "state_cov": _random_cov(rng, k, state_rank),
    }


def _random_cov(rng: np.random.Generator, size: int, rank: int) -> np.ndarray:
    """Draw a full covariance of the given rank, its positive eigenvalues between 0.3 and 1.5."""
    axes = np.linalg.qr(rng.standard_normal((size, size)))[0][:, :rank]
    cov = (axes * rng.uniform(0.3, 1.5, rank)) @ axes.T
    return (cov + cov.T) / 2


def _initial_moments(
    rng: np.random.Generator, system: System, k: int, initialization: str
) -> dict[str, np.ndarray]:
    """Draw or compute mean and covariance of x_1, k states long."""
    mean, cov = np.zeros(k), np.zeros((k, k))
    if initialization in ("known", "zero"):
        mean = rng.standard_normal(k)
    if initialization == "known":
        cov = _random_cov(rng, k, k)
    if initialization == "stationary":
        noise = system["selection"] @ system["state_cov"] @ system["selection"].T
        mean = np.linalg.solve(np.eye(k) - system["transition"], system["state_intercept"])
        cov = solve_discrete_lyapunov(system["transition"], noise, method="direct")
    return {"initial_state": mean, "initial_state_cov": (cov + cov.T) / 2}


def with_lagged_state(system: System) -> dict[str, np.ndarray]:
    """Put x_{t-1} in the state, so that a smoother's state covariance holds Cov(x_t, x_{t-1} | Y).

    Parameters
    ----------
    system : dict of ndarray

    Returns
    -------
    dict of ndarray
        Its state is (x_t, x_{t-1}); x_0, the second half of the first state, is the constant 0.
    """

    def padded(array: np.ndarray, axis: int) -> np.ndarray:
        return np.concatenate([array, np.zeros_like(array)], axis=axis)

    transition = system["transition"]
    identity = np.zeros_like(transition)
    identity[np.diag_indices(len(transition))] = 1.0
    return {
        **system,
        "design": padded(system["design"], 1),
        "transition": np.concatenate([padded(transition, 1), padded(identity, 1)]),
        "state_intercept": padded(system["state_intercept"], 0),
        "selection": padded(system["selection"], 0),
        "initial_state": padded(system["initial_state"], 0),
        "initial_state_cov": padded(padded(system["initial_state_cov"], 0), 1),
    }


def richardson_gradient(
    f: Callable[[np.ndarray], ArrayLike], x: ArrayLike, *, step: ArrayLike | None = None, levels: int = 4
) -> np.ndarray:
    """Gradient by Richardson extrapolation of central differences; about 1e-9 accurate for a smooth function.

    Parameters
    ----------
    f : callable
        Function of an array like x. May return an array: the result is then its Jacobian.
    x : array_like
        Where.
    step : array_like, optional
        The largest step, by element of x; f must be defined within it. Default 0.02 * max(abs(x), 0.05).
    levels : int
        Number of step lengths, each half the one before; the error is of order step ** (2 * levels).

    Returns
    -------
    ndarray, shape of f(x) followed by shape of x
    """
    point = np.asarray(x, dtype=float)
    largest = 0.02 * np.maximum(np.abs(point), 0.05) if step is None else np.broadcast_to(step, point.shape)
    columns = []
    for index in np.ndindex(point.shape):
        direction = np.zeros_like(point)
        direction[index] = 1.0
        steps = largest[index] / 2.0 ** np.arange(levels)
        table = [(np.asarray(f(point + h * direction)) - f(point - h * direction)) / (2 * h) for h in steps]
        for order in range(1, levels):
            table = [fine + (fine - coarse) / (4**order - 1) for coarse, fine in pairwise(table)]
        columns.append(table[0])
    gradient = np.stack(columns, axis=-1)
    return gradient.reshape(gradient.shape[:-1] + point.shape)


def ridders_gradient(
    f: Callable[[np.ndarray], float], x: ArrayLike, *, step: ArrayLike, levels: int = 9
) -> np.ndarray:
    """
    Gradient by extrapolated central differences, the entries of the table that agree best (Ridders 1982).

    Parameters
    ----------
    f : callable
        A function; NaN where it does not exist.
    x : array_like
        Where.
    step : array_like
        The largest step, by element of x. Each is a third of the one before.
    levels : int
        Number of steps.
    """
    point, largest = np.asarray(x, dtype=float), np.broadcast_to(step, np.shape(x))
    out = np.full(point.shape, np.nan)
    for i, h in enumerate(largest):
        best, rows = np.inf, []
        for _ in range(levels):
            move = h * (np.arange(len(point)) == i)
            row = [(f(point + move) - f(point - move)) / (2.0 * h)]
            for order, coarse in enumerate(rows[-1] if rows else [], start=1):
                row.append(row[-1] + (row[-1] - coarse) / (9**order - 1))
                error = max(abs(row[-1] - row[-2]), abs(row[-1] - coarse))
                if error < best:
                    best, out[i] = error, row[-1]
            rows.append(row)
            h /= 3.0
    return out
