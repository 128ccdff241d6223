"""
The normalisations: from the blocks of parameters to the Q-dynamics and the short rate, and back.

The likelihood is flat along rotations of the factors unless some are ruled out. Each class here is one way to
rule them out: it names the factors, gives the blocks of its Q-parameters, maps them to `Pricing`, pulls
derivatives back, and finds start values. The model and the fit know no more of it than `Normalisation` says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import scipy.optimize

from ..exceptions import SpecificationError
from ..numerics.bond_pricing import loadings, loadings_pullback
from ..numerics.differences import central_differences
from ..numerics.linear_algebra import Array, symmetrize
from ..params.affine import AffineMatrix, affine_matrix
from .dynamics import Pricing, Values
from .panel import Panel
from .starts import CrossSection, Start, autoregression, least_squares_factors

IDENTIFICATIONS = ("jsz", "dai-singleton", "afns", "dns")
_ROOTS = ((0.01, 0.3, 1.0), (0.02, 0.5, 2.5), (0.05, 0.6, 0.7), (0.002, 0.1, 0.5), (0.03, 1.0, 6.0))
_LARGEST_ROOT = 20.0
"""A Q-root a year that start values keep to."""
_DECAYS = np.exp(np.linspace(np.log(0.08), np.log(4.0), 40))
_NO_SLOPE = 1e-10
"""Derivative of the yields' means by k_inf, relative to maturity, that is rounding."""


class Normalisation:
    """
    What identifies the factors of an `ATSM`; ``identification=`` takes an instance of a subclass.

    A subclass sets ``factors`` and defines `blocks`, `pricing` and `starts`. The other methods have defaults.
    An instance holds no data of a sample: a model, its clones and its samples of a bootstrap share it.

    Attributes
    ----------
    factors : list of str
        Names of the factors.
    arbitrage_free : bool
        Whether yields have their convexity, and the model has prices of risk.
    latent : bool
        Whether the factors cannot be given, as ``factors=``.
    portfolios : bool
        Whether the factors are portfolios of the yields.
    scaled : bool
        Whether the size of the factors is a parameter of the short rate, so that a diffuse likelihood has no
        maximum.

    Examples
    --------
    The dynamics of a Vasicek model whose factor is the short rate itself:

    >>> import numpy as np, statespace_ext as sse
    >>> class Vasicek(sse.Normalisation):
    ...     factors = ["r"]
    ...
    ...     def blocks(self):
    ...         return {"reversion_Q": [[np.nan]], "drift_Q": [[np.nan]]}
    ...
    ...     def pricing(self, at):
    ...         return sse.Pricing(at["reversion_Q"], at["drift_Q"][:, 0], 0.0, np.ones(1))
    ...
    ...     def starts(self, sample):
    ...         mean = sample.yields.mean()
    ...         return [({"reversion_Q": [[k]], "drift_Q": [[k * mean]]}, None) for k in (0.05, 0.5)]
    >>> rng = np.random.default_rng(0)
    >>> level = 0.05 + 0.005 * rng.normal(size=100).cumsum()
    >>> yields = level[:, None] + 0.001 * rng.normal(size=(100, 4))
    >>> model = sse.ATSM(yields, [0.5, 2, 5, 10], k_factors=1, dt=1 / 12, identification=Vasicek())
    >>> model.param_names[:3]
    ['reversion_Q', 'drift_Q', 'K_P.r.r']
    """

    factors: list[str]
    arbitrage_free = True
    latent = False
    portfolios = False
    scaled = False

    def __repr__(self) -> str:
        own = ", ".join(f"{key}={value!r}" for key, value in vars(self).items())
        return f"{type(self).__name__}({own})"

    def blocks(self) -> Mapping[str, Any]:
        """
        Return the blocks of the Q-parameters by name, two-dimensional.

        In arrays and nested lists a number is fixed, NaN is a free element, named by the block and by what
        it is of, and a string is a linear expression of named parameters. A block "state_cov" is
        Sigma Sigma', for a normalisation that sets it.
        """
        raise NotImplementedError

    def pricing(self, at: Values) -> Pricing:
        """Return the Q-dynamics and the short rate at the values of all blocks, arrays by name."""
        raise NotImplementedError

    def starts(self, sample: CrossSection) -> list[Start]:
        """
        Return start values, the best first: blocks of the Q-parameters, and the factors that go with them.

        Factors (nobs, k) may be None: then they are found by least squares from the yields, each date on its
        own. The rest of the model starts from the factors.
        """
        raise NotImplementedError

    def pull_back(self, at: Values, by: Pricing) -> Values:
        """
        Return derivatives by block, given those by `Pricing`; by "state_cov" too, where `pricing` reads it.

        By differences of `pricing`, unless a subclass has a formula.
        """
        out = {}
        for key in {**self.blocks(), "state_cov": None}:

            def along(flat: Array, key: str = key) -> float:
                block = flat.reshape(at[key].shape)
                q = self.pricing({**at, key: symmetrize(block) if key == "state_cov" else block})
                return float(
                    np.sum(by.K * q.K) + by.kappa @ q.kappa + by.delta_0 * q.delta_0 + by.delta_1 @ q.delta_1
                )

            out[key] = central_differences(along, at[key].ravel()).reshape(at[key].shape)
        return out

    def normalised(self, at: Values) -> Values:
        """Return all blocks at the one of equal models that has the order and the signs agreed on."""
        return at


def _column(names: list[str]) -> AffineMatrix:
    return affine_matrix(np.zeros((len(names), 1)), [(i, 0, name, 1.0) for i, name in enumerate(names)])


class NelsonSiegel(Normalisation):
    """
    Level, slope and curvature: K_Q = [[0, 0, 0], [0, l, -l], [0, 0, l]], kappa_Q = 0, r = level + slope.

    With the yield adjustment for convexity: arbitrage-free (Christensen, Diebold & Rudebusch 2011); without:
    the dynamic Nelson-Siegel model (Diebold & Li 2006), which has no prices of risk.
    """

    factors = ["level", "slope", "curvature"]
    _UNIT = np.array([[0.0, 0.0, 0.0], [0.0, 1.0, -1.0], [0.0, 0.0, 1.0]])

    def __init__(self, arbitrage_free: bool) -> None:
        self.arbitrage_free = arbitrage_free

    def blocks(self) -> dict[str, AffineMatrix]:
        """Return the block of the decay rate."""
        return {"decay": _column(["decay"])}

    def pricing(self, at: Values) -> Pricing:
        """Return the Q-dynamics."""
        return Pricing(at["decay"][0, 0] * self._UNIT, np.zeros(3), 0.0, np.array([1.0, 1.0, 0.0]))

    def pull_back(self, at: Values, by: Pricing) -> Values:
        """Return the derivative by the decay rate."""
        return {"decay": np.array([[np.sum(by.K * self._UNIT)]])}

    def starts(self, sample: CrossSection) -> list[Start]:
        """Return the decay rates at which least squares fits best: the local minima, the best first."""
        if sample.factors is not None:
            B, bounds = sample.regression()[1], (np.log(0.05), np.log(5.0))
            return [self._start(lambda at: float(np.sum((self._loadings(at, sample) - B) ** 2)), bounds)]
        y = sample.yields

        def error(log_decay: float) -> float:
            B = self._loadings(log_decay, sample)
            return float(np.sum((y - least_squares_factors(y, B) @ B.T) ** 2))

        grid = np.log(_DECAYS)
        values = np.array([error(at) for at in grid])
        inner = [i for i in range(1, len(grid) - 1) if values[i] <= min(values[i - 1], values[i + 1])]
        places = sorted(inner or [int(np.argmin(values[1:-1])) + 1], key=lambda i: values[i])
        return [self._start(error, (grid[i - 1], grid[i + 1])) for i in places]

    def _loadings(self, log_decay: float, sample: CrossSection) -> Array:
        q = self.pricing({"decay": np.array([[np.exp(log_decay)]])})
        return loadings(q.K, q.kappa, np.zeros((3, 3)), q.delta_0, q.delta_1, sample.maturities)[1]

    @staticmethod
    def _start(error: Callable[[float], float], bounds: tuple[float, float]) -> Start:
        found = scipy.optimize.minimize_scalar(error, bounds=bounds, method="bounded").x
        return {"decay": np.array([[float(np.exp(found))]])}, None


class Portfolios(Normalisation):
    """
    Joslin, Singleton & Zhu (2011): the factors are portfolios W y of yields, priced without error.

    In latent factors x, with r = x_1 and dx = (k_inf e_1 - K x) dt + ... under Q, K has the Q-roots on its
    diagonal and -1 above it. For distinct roots this is a rotation of the authors' diagonal form, k_inf the
    same; it stays smooth where roots meet. The portfolios P = A_W + B_W x have

        K_Q = B_W K B_W^{-1},     kappa_Q = k_inf B_W e_1 + K_Q A_W,
        delta_1 = B_W^{-T} e_1,   delta_0 = -delta_1' A_W.

    Parameters
    ----------
    weights : ndarray, (k, p)
        W.
    tau : ndarray, (p,)
        Maturities in years.
    convexity : float
        The convexity term uses cov times this (one over the size of one in the units of the yields).
    factors : list of str
        Names of the portfolios.
    """

    portfolios = True

    def __init__(self, weights: Array, tau: Array, convexity: float, factors: list[str]) -> None:
        self.weights, self.tau, self.convexity, self.factors = weights, tau, convexity, factors
        self._first = np.eye(len(weights))[0]
        self._superdiagonal = -np.eye(len(weights), k=1)

    @classmethod
    def of(cls, weights: Array, tau: Array, convexity: float) -> Portfolios:
        """Return the normalisation with the names P1, P2, ..."""
        return cls(weights, tau, convexity, [f"P{i + 1}" for i in range(len(weights))])

    def blocks(self) -> dict[str, AffineMatrix]:
        """Return the blocks of the Q-roots and of k_inf."""
        roots = [f"root_Q.{i + 1}" for i in range(len(self.weights))]
        return {"roots_Q": _column(roots), "k_inf": _column(["k_inf"])}

    def _latent(self, at: Values) -> tuple[Array, Array]:
        K = np.diag(at["roots_Q"][:, 0]) + self._superdiagonal
        return K, at["k_inf"][0, 0] * self._first

    def _portfolio(self, at: Values) -> tuple[Array, Array, Array, Array, Array]:
        """Return K and kappa of x, B_W, its inverse, and the covariance of x in the convexity term."""
        K, kappa = self._latent(at)
        zero = np.zeros_like(K)
        B = self.weights @ loadings(K, kappa, zero, 0.0, self._first, self.tau)[1]
        inverse = np.linalg.inv(B)
        return K, kappa, B, inverse, inverse @ at["state_cov"] @ inverse.T * self.convexity

    def pricing(self, at: Values) -> Pricing:
        """Return the Q-dynamics of the portfolios."""
        K, kappa, B, inverse, cov = self._portfolio(at)
        A = self.weights @ loadings(K, kappa, cov, 0.0, self._first, self.tau)[0]
        K_Q, delta_1 = B @ K @ inverse, inverse.T @ self._first
        return Pricing(K_Q, B @ kappa + K_Q @ A, float(-delta_1 @ A), delta_1)

    def pull_back(self, at: Values, by: Pricing) -> Values:
        """Return the derivatives by the roots, k_inf and state_cov."""
        K, kappa, B, inverse, cov = self._portfolio(at)
        A = self.weights @ loadings(K, kappa, cov, 0.0, self._first, self.tau)[0]
        K_Q, delta_1 = B @ K @ inverse, inverse.T @ self._first
        by_delta = by.delta_1 - A * by.delta_0
        by_A = K_Q.T @ by.kappa - delta_1 * by.delta_0
        by_K_Q = by.K + np.outer(by.kappa, A)
        by_inverse = np.outer(self._first, by_delta) + (B @ K).T @ by_K_Q
        by_B = by_K_Q @ (K @ inverse).T + np.outer(by.kappa, kappa)
        none = np.zeros((len(self.tau), len(K)))
        first = loadings_pullback(K, kappa, cov, 0.0, self._first, self.tau, self.weights.T @ by_A, none)
        by_cov = self.convexity * symmetrize(first[2])
        by_inverse = by_inverse + 2.0 * by_cov @ inverse @ at["state_cov"]
        by_B = by_B - inverse.T @ by_inverse @ inverse.T
        second = loadings_pullback(
            K, kappa, cov, 0.0, self._first, self.tau, np.zeros(len(self.tau)), self.weights.T @ by_B
        )
        by_K = B.T @ by_K_Q @ inverse.T + first[0] + second[0]
        by_kappa = B.T @ by.kappa + first[1]
        return {
            "roots_Q": np.diag(by_K)[:, None],
            "k_inf": by_kappa[:1, None],
            "state_cov": inverse.T @ by_cov @ inverse,
        }

    def starts(self, sample: CrossSection) -> list[Start]:
        """Return the roots at which yields given the portfolios are fitted best, from several searches."""
        y, k = sample.yields, len(self.weights)
        P = y @ self.weights.T
        cov = autoregression(P, sample.step)[2]
        centred, X = y - y.mean(axis=0), P - P.mean(axis=0)

        def errors(roots: Array) -> Array:
            B = self._yield_loadings(roots)
            return (centred - X @ B.T).ravel() if B is not None else np.full(centred.size, 1e3 * np.std(y))

        found: list[tuple[float, Array]] = []
        for start in _ROOTS:
            first = np.resize(np.array(start), k) * (1.0 + np.arange(k) // 3)
            fit = scipy.optimize.least_squares(errors, first, x_scale=0.1 + first, max_nfev=60)
            roots = np.sort(fit.x)
            if not any(np.allclose(roots, other, rtol=0.02, atol=1e-3) for _, other in found):
                found.append((float(fit.cost), roots))
        found.sort(key=lambda item: item[0])
        out: list[Start] = []
        for cost, roots in found:
            if cost < 4.0 * found[0][0]:
                at = {"roots_Q": roots[:, None], "state_cov": cov}
                out.append(({"roots_Q": roots[:, None], "k_inf": self.mean_fit(at, y, P)}, P))
        return out

    def _yield_loadings(self, roots: Array) -> Array | None:
        """Return B of the yields on the portfolios, None where it does not exist."""
        if np.min(roots) < -1.0 or np.max(roots) > _LARGEST_ROOT:
            return None
        K, kappa = self._latent({"roots_Q": roots[:, None], "k_inf": np.zeros((1, 1))})
        B = loadings(K, kappa, np.zeros_like(K), 0.0, self._first, self.tau)[1]
        try:
            return np.asarray(B @ np.linalg.inv(self.weights @ B))
        except np.linalg.LinAlgError:
            return None

    def mean_fit(self, at: Values, y: Array, P: Array) -> Array:
        """Return the k_inf that fits the mean yields best: A is affine in it."""

        def intercept(k_inf: float) -> Array:
            q = self.pricing({**at, "k_inf": np.array([[k_inf]])})
            cov = at["state_cov"] * self.convexity
            A, B = loadings(q.K, q.kappa, cov, q.delta_0, q.delta_1, self.tau)
            return np.asarray(y.mean(axis=0) - A - B @ P.mean(axis=0))

        unit = float(np.std(y)) + float(np.abs(y.mean()))
        base = intercept(0.0)
        slope = (intercept(unit) - base) / unit
        size = float(slope @ slope)
        if size <= (_NO_SLOPE * float(np.max(self.tau))) ** 2:  # as many maturities as factors
            return np.zeros((1, 1))
        return np.array([[-float(slope @ base) / size]])

    def normalised(self, at: Values) -> Values:
        """Return the roots in increasing order; the long-run Q-mean of r, k_inf / root_Q.1, stays."""
        roots = np.sort(at["roots_Q"], axis=0)
        first, before = roots[0, 0], at["roots_Q"][0, 0]
        k_inf = at["k_inf"] if first == before else at["k_inf"] * first / before
        return {**at, "roots_Q": roots, "k_inf": k_inf}


class DaiSingleton(Normalisation):
    """
    The maximal A_0(N) model of Dai & Singleton (2000): Sigma = I, K_Q lower triangular, kappa_Q = 0.

    The diagonal of K_Q increases and delta_1 >= 0; delta_0, delta_1 and the P-dynamics are free.
    """

    latent = scaled = True

    def __init__(self, k_factors: int) -> None:
        self.factors = [f"f{i + 1}" for i in range(k_factors)]

    def blocks(self) -> dict[str, AffineMatrix]:
        """Return the blocks of K_Q, delta_0 and delta_1."""
        k, names = len(self.factors), self.factors
        lower = [(i, j, f"K_Q.{names[i]}.{names[j]}", 1.0) for i in range(k) for j in range(i + 1)]
        return {
            "K_Q": affine_matrix(np.zeros((k, k)), lower),
            "delta_0": _column(["delta_0"]),
            "delta_1": _column([f"delta_1.{name}" for name in names]),
            "state_cov": affine_matrix(np.eye(k), []),
        }

    def pricing(self, at: Values) -> Pricing:
        """Return the Q-dynamics."""
        K = at["K_Q"]
        return Pricing(K, np.zeros(len(K)), at["delta_0"][0, 0], at["delta_1"][:, 0])

    def pull_back(self, at: Values, by: Pricing) -> Values:
        """Return the derivatives by K_Q, delta_0 and delta_1."""
        return {"K_Q": by.K, "delta_0": np.array([[by.delta_0]]), "delta_1": by.delta_1[:, None]}

    def starts(self, sample: CrossSection) -> list[Start]:
        """Return the start values of `Portfolios`, rotated."""
        latent = Portfolios.of(sample.weights, sample.maturities, sample.convexity)
        out: list[Start] = []
        for values, factors in latent.starts(sample):
            P = np.asarray(factors)
            cov = autoregression(P, sample.step)[2]
            own, turn, centre = dai_singleton_form(latent.pricing({**values, "state_cov": cov}), cov)
            out.append((own, (P - centre) @ turn.T))
        return out

    def normalised(self, at: Values) -> Values:
        """Return the blocks after the orthogonal rotation that sorts the Q-roots and the signs."""
        roots, vectors = np.linalg.eig(at["K_Q"].T)
        order = np.argsort(roots)
        gaps = np.diff(roots[order])
        rotation = np.eye(len(roots))
        if np.any(order != np.arange(len(order))) and np.all(gaps > 1e-8 * np.max(np.abs(roots))):
            rotation = np.linalg.qr(np.real(vectors[:, order]))[0].T
        delta = rotation @ at["delta_1"]
        rotation = rotation * np.where(delta < 0, -1.0, 1.0)
        out = {**at, "K_Q": np.tril(rotation @ at["K_Q"] @ rotation.T), "delta_1": rotation @ at["delta_1"]}
        for key in ("K_P", "lambda_1"):
            if key in at:
                out[key] = rotation @ at[key] @ rotation.T
        for key in ("kappa_P", "lambda_0"):
            if key in at:
                out[key] = rotation @ at[key]
        return out


def dai_singleton_form(pricing: Pricing, cov: Array) -> tuple[Values, Array, Array]:
    """
    Return the Q-parameters of the same model in the normalisation of Dai & Singleton.

    The factors are Z = O Sigma^{-1} (X - c), with c the long-run mean of X under Q and O the rotation after
    which K_Q is lower triangular, its diagonal increasing. Real Q-roots, and no unit root, are supposed.

    Parameters
    ----------
    pricing : Pricing
        Q-dynamics and short rate of X.
    cov : ndarray, (k, k)
        Sigma Sigma', positive definite.

    Returns
    -------
    values : dict
        "K_Q", "delta_0" and "delta_1".
    turn : ndarray, (k, k)
        O Sigma^{-1}.
    centre : ndarray, (k,)
        c.
    """
    root = np.linalg.cholesky(cov)
    inner = np.linalg.solve(root, pricing.K @ root)
    roots, vectors = np.linalg.eig(inner.T)  # its Schur form, in the order of the roots
    rotation = np.linalg.qr(np.real(vectors[:, np.argsort(roots.real)]))[0].T
    delta_1 = rotation @ root.T @ pricing.delta_1
    rotation = rotation * np.where(delta_1 < 0, -1.0, 1.0)[:, None]
    centre = np.linalg.lstsq(pricing.K, pricing.kappa, rcond=None)[0]
    values = {
        "K_Q": np.tril(rotation @ inner @ rotation.T),
        "delta_0": np.array([[pricing.delta_0 + pricing.delta_1 @ centre]]),
        "delta_1": np.abs(delta_1)[:, None],
    }
    return values, np.linalg.solve(root.T, rotation.T).T, centre


class Observed(Normalisation):
    """Factors that are observed: nothing can be rotated, so K_Q, kappa_Q, delta_0 and delta_1 are free."""

    def __init__(self, factors: list[str]) -> None:
        self.factors = factors

    def blocks(self) -> dict[str, AffineMatrix]:
        """Return the blocks of K_Q, kappa_Q, delta_0 and delta_1."""
        k, names = len(self.factors), self.factors
        every = [(i, j, f"K_Q.{names[i]}.{names[j]}", 1.0) for i in range(k) for j in range(k)]
        return {
            "K_Q": affine_matrix(np.zeros((k, k)), every),
            "kappa_Q": _column([f"kappa_Q.{name}" for name in names]),
            "delta_0": _column(["delta_0"]),
            "delta_1": _column([f"delta_1.{name}" for name in names]),
        }

    def pricing(self, at: Values) -> Pricing:
        """Return the Q-dynamics."""
        return Pricing(at["K_Q"], at["kappa_Q"][:, 0], at["delta_0"][0, 0], at["delta_1"][:, 0])

    def pull_back(self, at: Values, by: Pricing) -> Values:
        """Return the derivatives by K_Q, kappa_Q, delta_0 and delta_1."""
        return {
            "K_Q": by.K,
            "kappa_Q": by.kappa[:, None],
            "delta_0": np.array([[by.delta_0]]),
            "delta_1": by.delta_1[:, None],
        }

    def starts(self, sample: CrossSection) -> list[Start]:
        """Return least squares of the yields on the factors, then a fit of their slopes."""
        X, tau, k = np.asarray(sample.factors), sample.maturities, len(self.factors)
        A, B = sample.regression()
        K, size, zero = autoregression(X, sample.step)[0], np.std(X, axis=0), np.zeros((k, k))

        def errors(z: Array) -> Array:
            fitted = loadings(z[: k * k].reshape(k, k), np.zeros(k), zero, 0.0, z[k * k :], tau)[1]
            return np.nan_to_num((fitted - B) * size, nan=1e3, posinf=1e3, neginf=-1e3).ravel()

        first = np.concatenate([K.ravel(), B[np.argmin(tau)]])
        z = scipy.optimize.least_squares(errors, first, x_scale=np.abs(first) + 0.05, max_nfev=200).x
        K_Q, delta_1 = z[: k * k].reshape(k, k), z[k * k :]
        columns = [loadings(K_Q, unit, zero, 0.0, delta_1, tau)[0] for unit in np.eye(k)]
        solved = np.linalg.lstsq(np.column_stack([np.ones(len(tau)), *columns]), A, rcond=None)[0]
        values = {"K_Q": K_Q, "kappa_Q": solved[1:, None], "delta_0": solved[:1, None]}
        return [({**values, "delta_1": delta_1[:, None]}, None)]


def normalisation_of(identification: Any, panel: Panel) -> Normalisation:
    """
    Return the normalisation of an identification: an instance as it is, or what a name stands for.

    Raises
    ------
    SpecificationError
        If it is none, or does not go with the number of factors.
    """
    k, names = panel.k_factors, panel.factor_names
    word = identification if isinstance(identification, str) else ""
    if isinstance(identification, Normalisation):
        found = identification
    elif word in ("afns", "dns"):
        found = NelsonSiegel(word == "afns")
    elif word == "dai-singleton":
        found = DaiSingleton(k)
    elif word == "jsz" and names is not None:
        found = Observed(names)
    elif word == "jsz":
        found = Portfolios.of(panel.weights, panel.maturities, 1.0 / panel.scale)
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


def spelled(identification: Any) -> str:
    """Return an identification as a message has it."""
    return (
        f'identification="{identification}"'
        if isinstance(identification, str)
        else f"identification={identification!r}"
    )
