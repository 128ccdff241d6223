"""
Normalisations of the maximal Gaussian model: portfolios with real or paired Q-roots, and Sigma = I.

They have the same likelihood if the Q-roots are real and distinct.
"""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import scipy.optimize

from ..numerics.bond_pricing import convexity_vjp, loadings, loadings_vjp
from ..numerics.linear_algebra import Array, symmetrize
from ..params.affine import AffineMatrix, affine_matrix
from .dynamics import Pricing, Values
from .normalisation import CrossSection, Direct, Normalisation, Start, column

_ROOTS = ((0.01, 0.3, 1.0), (0.02, 0.5, 2.5), (0.05, 0.6, 0.7), (0.002, 0.1, 0.5), (0.03, 1.0, 6.0))
_REAL = 1e-9
"""Imaginary part of a root, relative to the largest root, that counts as rounding."""
_EQUAL = 1e-5
"""Distance of roots, relative to their size, below which they count as equal."""
_LARGEST_ROOT = 20.0
"""Largest annual Q-root of start values."""
_NO_SLOPE = 1e-10
"""Derivative of the mean yields by k_inf, relative to maturity, that counts as rounding."""


_EQUAL_PAIR = "The Q-roots of pair {} are equal: they have no standard errors, mean and square have."


def seconds(k: int) -> Array:
    """Return the positions of the second of each pair among k; an odd number begins with a single one."""
    return np.arange(1 + k % 2, k, 2)


def meet(roots: Array) -> bool:
    """Return whether two roots are equal, to the precision of a search."""
    return bool(np.any(np.diff(np.sort(roots)) < _EQUAL * np.max(np.abs(roots))))


def equal_pairs(mean: Array, square: Array) -> list[str]:
    """Return a line for each pair of roots, mean +- sqrt(square), that are equal up to rounding."""
    return [_EQUAL_PAIR.format(i + 1) for i in np.flatnonzero(np.abs(square) < (_EQUAL * mean) ** 2)]


class Portfolios(Normalisation):
    """
    Normalisation of Joslin, Singleton & Zhu (2011), whose factors are portfolios W y of model yields.

    For latent factors x, with r = x_1 and dx = (k_inf e_1 - K x) dt + ... under Q, K has the Q-roots on its
    diagonal and -1 above it. For distinct roots this is a rotation of the diagonal form in the paper, with
    the same k_inf. It remains smooth where roots coincide. The portfolios P = A_W + B_W x have

        K_Q = B_W K B_W^{-1},     kappa_Q = k_inf B_W e_1 + K_Q A_W,
        delta_1 = B_W^{-T} e_1,   delta_0 = -delta_1' A_W.

    Parameters
    ----------
    weights : ndarray, (k, p)
        Portfolio weights W.
    tau : ndarray, (p,)
        Maturities in years.
    convexity : float
        Multiplier of cov in the convexity term (one over the size of 100 percent in the units of the yields).
    period : float, optional
        Length of a period of discrete time; continuous time by default.
    """

    portfolios = True
    drift = "k_inf"
    beyond = "jsz-pairs"
    """The model with complex roots, with which the fit continues if two roots become equal."""

    def __init__(self, weights: Array, tau: Array, convexity: float, period: float | None = None) -> None:
        self.weights, self.tau, self.convexity, self.period = weights, tau, convexity, period
        self.factors = [f"P{i + 1}" for i in range(len(weights))]
        self._first = np.eye(len(weights))[0]
        self._superdiagonal = -np.eye(len(weights), k=1)

    def blocks(self) -> dict[str, AffineMatrix]:
        """Return the blocks of the Q-roots and of k_inf."""
        roots = [f"root_Q.{i + 1}" for i in range(len(self.weights))]
        return {"roots_Q": column(roots), "k_inf": column(["k_inf"])}

    def _latent(self, at: Values) -> tuple[Array, Array]:
        K = np.diag(at["roots_Q"][:, 0]) + self._superdiagonal
        return K, at["k_inf"][0, 0] * self._first

    def _portfolio(self, at: Values) -> tuple[Array, Array, Array, Array, Array]:
        """Return K and kappa of x, B_W, its inverse, and the covariance of x for the convexity term."""
        K, kappa = self._latent(at)
        B = self.weights @ self._of_latent(K, kappa, np.zeros_like(K))[1]
        inverse = np.linalg.inv(B)
        return K, kappa, B, inverse, inverse @ self._cov(at) @ inverse.T * self.convexity

    def _cov(self, at: Values) -> Array:
        """Return Sigma Sigma' of the portfolios, which are the first states."""
        return at["state_cov"][: len(self.weights), : len(self.weights)]

    def _of_latent(self, K: Array, kappa: Array, cov: Array) -> tuple[Array, Array]:
        """Return the loadings of the yields on the latent factors."""
        return loadings(K, kappa, cov, 0.0, self._first, self.tau, self.period)

    def slopes(self, at: Values, sample: CrossSection) -> Array:
        """Return the slopes of the yields on the latent factors, which need no rotation."""
        K, kappa = self._latent(at)
        return self._of_latent(K, kappa, np.zeros_like(K))[1]

    def pricing(self, at: Values) -> Pricing:
        """Return the Q-dynamics of the portfolios."""
        K, kappa, B, inverse, cov = self._portfolio(at)
        A = self.weights @ self._of_latent(K, kappa, cov)[0]
        K_Q, delta_1 = B @ K @ inverse, inverse.T @ self._first
        return Pricing(K_Q, B @ kappa + K_Q @ A, float(-delta_1 @ A), delta_1)

    def vjp(self, at: Values, by: Pricing) -> Values:
        """Return the derivatives by the roots, k_inf and state_cov."""
        K, kappa, B, inverse, cov = self._portfolio(at)
        A = self.weights @ self._of_latent(K, kappa, cov)[0]
        K_Q, delta_1 = B @ K @ inverse, inverse.T @ self._first
        by_delta = by.delta_1 - A * by.delta_0
        by_A = K_Q.T @ by.kappa - delta_1 * by.delta_0
        by_K_Q = by.K + np.outer(by.kappa, A)
        by_inverse = np.outer(self._first, by_delta) + (B @ K).T @ by_K_Q
        by_B = by_K_Q @ (K @ inverse).T + np.outer(by.kappa, kappa)
        by_yields, at_tau = self.weights.T @ by_A, (K, kappa, cov, 0.0, self._first, self.tau)
        by_cov = convexity_vjp(K, self._first, self.tau, by_yields, self.period)
        by_cov = self.convexity * symmetrize(by_cov)
        by_inverse = by_inverse + 2.0 * by_cov @ inverse @ self._cov(at)
        by_B = by_B - inverse.T @ by_inverse @ inverse.T
        through = loadings_vjp(*at_tau, by_yields, self.weights.T @ by_B, self.period)
        by_K = B.T @ by_K_Q @ inverse.T + through[0]
        by_kappa = B.T @ by.kappa + through[1]
        return {**self._latent_vjp(by_K, by_kappa), "state_cov": inverse.T @ by_cov @ inverse}

    def _latent_vjp(self, by_K: Array, by_kappa: Array) -> Values:
        """Return the derivatives by the Q-parameters, given those by K and kappa of x."""
        return {"roots_Q": np.diag(by_K)[:, None], "k_inf": by_kappa[:1, None]}

    def from_roots(self, roots: Array) -> Values:
        """Return the blocks, without drift, for real Q-roots or for the search parameters of a subclass."""
        return {"roots_Q": roots[:, None], "k_inf": np.zeros((1, 1))}

    def _searches(self) -> list[Array]:
        """Return the starts of searches for the Q-roots."""
        k = len(self.weights)
        return [np.resize(np.array(start), k) * (1.0 + np.arange(k) // 3) for start in _ROOTS]

    def starts(self, sample: CrossSection) -> list[Start]:
        """Return the roots that fit the yields best given the portfolios, from several searches."""
        y = sample.yields
        P = y @ self.weights.T
        cov = sample.autoregression(P)[2]
        centred, X = y - y.mean(axis=0), P - P.mean(axis=0)

        def _errors(roots: Array) -> Array:
            """Return the errors given the portfolios; large ones where the loadings do not exist."""
            K, kappa = self._latent(self.from_roots(roots))
            real = np.linalg.eigvals(K).real
            with suppress(np.linalg.LinAlgError):
                if np.min(real) >= -1.0 and np.max(real) <= _LARGEST_ROOT:
                    B = self._of_latent(K, kappa, np.zeros_like(K))[1]
                    return (centred - X @ (B @ np.linalg.inv(self.weights @ B)).T).ravel()
            return np.full(centred.size, 1e3 * np.std(y))

        found: list[tuple[float, Array]] = []
        for first in self._searches():
            fit = scipy.optimize.least_squares(_errors, first, x_scale=0.1 + np.abs(first), max_nfev=60)
            roots = self._ordered(fit.x)
            if not any(np.allclose(roots, other, rtol=0.02, atol=1e-3) for _, other in found):
                found.append((float(fit.cost), roots))
        found.sort(key=lambda item: item[0])
        out: list[Start] = []
        for cost, roots in found:
            if cost < 4.0 * found[0][0]:
                at = self.from_roots(roots)
                drift = self.mean_fit({**at, "state_cov": cov}, y, P)
                out.append(({**at, self.drift: drift}, P))
        return out

    def yields_on_portfolios(self, at: Values) -> tuple[Array, Array]:
        """Return the loadings of the yields on the portfolios, computed from those on the latent factors."""
        K, kappa, _, inverse, cov = self._portfolio(at)
        A, B = self._of_latent(K, kappa, cov)
        slopes = B @ inverse
        return A - slopes @ (self.weights @ A), slopes

    def mean_fit(self, at: Values, y: Array, P: Array) -> Array:
        """Return the drift that fits the mean yields best; A is affine in the drift."""

        def _intercept(drift: float) -> Array:
            A, B = self.yields_on_portfolios({**at, self.drift: np.array([[drift]])})
            return np.asarray(y.mean(axis=0) - A - B @ P.mean(axis=0))

        unit = float(np.std(y)) + float(np.abs(y.mean()))
        base = _intercept(0.0)
        slope = (_intercept(unit) - base) / unit
        size = float(slope @ slope)
        if size <= (_NO_SLOPE * float(np.max(self.tau))) ** 2:  # the panel has as many maturities as factors
            return np.zeros((1, 1))
        return np.array([[-float(slope @ base) / size]])

    def _ordered(self, roots: Array) -> Array:
        return np.sort(roots)

    def roots_meet(self, at: Values) -> bool:
        """Return whether two Q-roots are equal, to the precision of a search, if all of them are real."""
        return bool(self.beyond) and meet(at["roots_Q"][:, 0])

    def normalised(self, at: Values) -> Values:
        """Sort the roots in increasing order and keep the long-run Q-mean of r, k_inf / root_Q.1."""
        roots = np.sort(at["roots_Q"], axis=0)
        first, before = roots[0, 0], at["roots_Q"][0, 0]
        k_inf = at["k_inf"] if first == before else at["k_inf"] * first / before
        return {**at, "roots_Q": roots, "k_inf": k_inf}


class RootPairs(Portfolios):
    """
    As `Portfolios`, with pairs of Q-roots that may be real, equal or complex.

    In the matrix K of the latent factors a pair has s on the diagonal, -1 above it and -d below. Its roots
    are s + sqrt(d) and s - sqrt(d), which are complex for d < 0 and equal for d = 0. An odd number of factors
    begins with a single root. The drift c e_N is that of the last latent factor. Under Q the mean of r
    satisfies p(d/dt) r = c, where -p(-.) is the characteristic polynomial of K, for any order of the roots.

    The family is smooth, except where the single root equals one of a pair. `normalised` pairs the nearest
    roots.
    """

    drift, beyond, real = "drift_Q", "", "jsz"

    def of_real_roots(self, at: Values) -> Values:
        """Return the blocks of the same model, given those of `Portfolios`."""
        roots = at["roots_Q"][:, 0]
        rest = {key: value for key, value in at.items() if key not in ("roots_Q", "k_inf")}
        drift = at["k_inf"] * np.prod(roots[1:])
        return {**rest, **self.from_roots(paired(roots.astype(complex))), "drift_Q": drift}

    def blocks(self) -> dict[str, AffineMatrix]:
        """Return the blocks of the single root, of the pairs, and of the drift."""
        k = len(self.weights)
        names = enumerate(("mean", "square"))
        pairs = [(i, j, f"pair_Q.{i + 1}.{name}", 1.0) for j, name in names for i in range(k // 2)]
        return {
            "roots_Q": column(["root_Q.1"][: k % 2]),
            "pairs_Q": affine_matrix(np.zeros((k // 2, 2)), pairs),
            "drift_Q": column(["drift_Q"]),
        }

    def _latent(self, at: Values) -> tuple[Array, Array]:
        K, second = np.array(self._superdiagonal), seconds(len(self.weights))
        odd = len(K) % 2
        K[:odd, :odd] = at["roots_Q"]
        K[second, second] = K[second - 1, second - 1] = at["pairs_Q"][:, 0]
        K[second, second - 1] = -at["pairs_Q"][:, 1]
        return K, at["drift_Q"][0, 0] * np.eye(len(K))[-1]

    def _latent_vjp(self, by_K: Array, by_kappa: Array) -> Values:
        second, on, odd = seconds(len(by_K)), np.diag(by_K), len(by_K) % 2
        pairs = np.column_stack([on[second] + on[second - 1], -by_K[second, second - 1]])
        return {"roots_Q": by_K[:odd, :1], "pairs_Q": pairs, "drift_Q": by_kappa[-1:, None]}

    def from_roots(self, roots: Array) -> Values:
        """Return the blocks of a single root and of pairs, without drift."""
        pairs = roots[len(roots) % 2 :].reshape(-1, 2)
        return {"roots_Q": roots[: len(roots) % 2, None], "pairs_Q": pairs, "drift_Q": np.zeros((1, 1))}

    def _searches(self) -> list[Array]:
        real = [paired(np.sort(start).astype(complex)) for start in super()._searches()]
        turned = [np.array(start) for start in real]
        for start in turned:  # include complex roots
            start[len(start) % 2 + 1 :: 2] = -0.25 * start[len(start) % 2 :: 2] ** 2
        return [*real, *turned] if len(self.weights) > 1 else real

    def _ordered(self, roots: Array) -> Array:
        return paired(np.linalg.eigvals(self._latent(self.from_roots(roots))[0]))

    def derived(self, at: Values) -> dict[str, float]:
        """Return k_inf of Joslin, Singleton & Zhu, drift_Q over the other roots, for a real slowest root."""
        eigenvalues = np.linalg.eigvals(self._latent(at)[0])
        first = int(np.argmin(eigenvalues.real))
        if abs(eigenvalues[first].imag) > _REAL * np.max(np.abs(eigenvalues)):
            return {}
        return {"k_inf": float(at["drift_Q"][0, 0] / np.prod(np.delete(eigenvalues, first)).real)}

    def remarks(self, at: Values) -> list[str]:
        """Report pairs that are equal up to rounding; their roots have no derivative, unlike s and d."""
        return equal_pairs(*at["pairs_Q"].T)

    def normalised(self, at: Values) -> Values:
        """Return the blocks with the nearest roots as pairs, sorted from the slowest."""
        roots = paired(np.linalg.eigvals(self._latent(at)[0]))
        return {**at, **self.from_roots(roots), "drift_Q": at["drift_Q"]}


def paired(roots: Array) -> Array:
    """
    Return the single root of an odd number of roots, then s and d of each pair s +- sqrt(d).

    Complex roots are paired with their conjugates and real roots with their neighbours. The single root is
    chosen so that the remaining neighbours are closest.
    """
    size = np.max(np.abs(roots), initial=0.0)
    real = np.sort(roots[np.abs(roots.imag) <= _REAL * size].real)
    pairs = [(z.real, -(z.imag**2)) for z in roots if z.imag > _REAL * size]
    single: list[float] = []
    if len(real) % 2:
        rests = [np.delete(real, i) for i in range(0, len(real), 2)]
        alone = int(np.argmin([np.max(rest[1::2] - rest[::2], initial=0.0) for rest in rests]))
        single, real = [real[2 * alone]], rests[alone]
    pairs += [(0.5 * (a + b), 0.25 * (b - a) ** 2) for a, b in zip(real[::2], real[1::2], strict=True)]
    return np.array([*single, *np.ravel(sorted(pairs))])


class DaiSingleton(Direct):
    """
    The maximal A_0(N) model of Dai & Singleton (2000): Sigma = I, K_Q lower triangular, kappa_Q = 0.

    The diagonal of K_Q is increasing and delta_1 >= 0. delta_0, delta_1 and the P-dynamics are free.
    """

    latent = scaled = True
    drift = "delta_0"
    twin = "jsz"
    beyond = "dai-singleton-pairs"
    """The model with complex roots, with which the fit continues if two roots become equal."""
    _portfolios = Portfolios

    def __init__(self, k_factors: int) -> None:
        super().__init__([f"f{i + 1}" for i in range(k_factors)])

    def blocks(self) -> dict[str, AffineMatrix]:
        """Return the blocks of K_Q, delta_0 and delta_1, with kappa_Q and Sigma fixed."""
        k, names = len(self.factors), self.factors
        lower = [(i, j, f"K_Q.{names[i]}.{names[j]}", 1.0) for i in range(k) for j in range(i + 1)]
        fixed = {"kappa_Q": affine_matrix(np.zeros((k, 1)), []), "state_cov": affine_matrix(np.eye(k), [])}
        return {**super().blocks(), "K_Q": affine_matrix(np.zeros((k, k)), lower), **fixed}

    def starts(self, sample: CrossSection) -> list[Start]:
        """Return the rotated start values of `Portfolios`."""
        latent = self._portfolios(sample.weights, sample.maturities, sample.convexity, sample.period)
        out: list[Start] = []
        for values, factors in latent.starts(sample):
            P = np.asarray(factors)
            cov = sample.autoregression(P)[2]
            own, turn, centre = self.form(latent.pricing({**values, "state_cov": cov}), cov)
            out.append((own, (P - centre) @ turn.T))
        return out

    def normalised(self, at: Values) -> Values:
        """Return the blocks after the orthogonal rotation that gives Q-roots and signs the standard order."""
        rotation = self._sorting(at["K_Q"])
        delta = rotation @ at["delta_1"]
        rotation = rotation * np.where(delta < 0, -1.0, 1.0)
        K_Q = self._cleaned(rotation @ at["K_Q"] @ rotation.T)
        out = {**at, "K_Q": K_Q, "delta_1": rotation @ at["delta_1"]}
        vectors = at.keys() & {"kappa_P", "lambda_0", "initial_state"}
        out.update({key: rotation @ at[key] for key in vectors})
        out.update({key: rotation @ at[key] @ rotation.T for key in at.keys() & {"K_P", "lambda_1"}})
        return out

    def form(self, pricing: Pricing, cov: Array) -> tuple[Values, Array, Array]:
        """
        Return the Q-parameters of the same model in this normalisation.

        The factors are Z = O Sigma^{-1} (X - c), where c is the long-run mean of X under Q. O is the rotation
        that gives K_Q the form of the class. The method assumes that there is no unit root.

        Parameters
        ----------
        pricing : Pricing
            Q-dynamics and short rate of X.
        cov : ndarray, (k, k)
            Sigma Sigma', positive definite.

        Returns
        -------
        values : dict
            "K_Q", "kappa_Q" (zero), "delta_0" and "delta_1".
        turn : ndarray, (k, k)
            The matrix O Sigma^{-1}.
        centre : ndarray, (k,)
            The mean c.
        """
        square_root = np.linalg.cholesky(cov)
        inner = np.linalg.solve(square_root, pricing.K @ square_root)
        rotation = self._rotation(inner)
        delta_1 = rotation @ square_root.T @ pricing.delta_1
        rotation = rotation * np.where(delta_1 < 0, -1.0, 1.0)[:, None]
        centre = np.linalg.lstsq(pricing.K, pricing.kappa, rcond=None)[0]
        values = {
            "K_Q": self._cleaned(rotation @ inner @ rotation.T),
            "kappa_Q": np.zeros((len(cov), 1)),
            "delta_0": np.array([[pricing.delta_0 + pricing.delta_1 @ centre]]),
            "delta_1": np.abs(delta_1)[:, None],
        }
        return values, np.linalg.solve(square_root.T, rotation.T).T, centre

    def _rotation(self, K: Array) -> Array:
        """Return O for which O K O' has the form of the class, a Schur form with sorted roots."""
        eigenvalues, vectors = np.linalg.eig(K.T)
        return np.asarray(np.linalg.qr(np.real(vectors[:, np.argsort(eigenvalues.real)]))[0].T)

    def _sorting(self, K: Array) -> Array:
        """Return the rotation that sorts the roots of a matrix in this form."""
        roots = np.diag(K)
        apart = np.diff(np.sort(roots)) > 1e-8 * np.max(np.abs(roots))
        return self._rotation(K) if np.any(np.diff(roots) < 0) and np.all(apart) else np.eye(len(K))

    def _cleaned(self, K: Array) -> Array:
        """Remove rounding errors from a matrix in this form."""
        return np.tril(K)

    def roots_meet(self, at: Values) -> bool:
        """Return whether two Q-roots are equal, to the precision of a search, if all of them are real."""
        return bool(self.beyond) and meet(np.diag(at["K_Q"]))


class DaiSingletonPairs(DaiSingleton):
    """
    As `DaiSingleton`, with K_Q lower block triangular and Q-roots that may be real, equal or complex.

    A pair of factors has the block [[s, b], [c, s]] with |b| <= |c|. Its roots are s + sqrt(b c) and
    s - sqrt(b c), which are complex for b c < 0 and equal for b = 0. An odd number of factors begins with a
    single root.
    """

    twin, beyond, real, _portfolios = "jsz-pairs", "", "dai-singleton", RootPairs

    def of_real_roots(self, at: Values) -> Values:
        """Return the blocks of the same model, given those of `DaiSingleton`."""
        return self.normalised(at)

    def blocks(self) -> dict[str, AffineMatrix]:
        """Return the blocks of K_Q, delta_0 and delta_1."""
        k, names = len(self.factors), self.factors
        second = [int(i) for i in seconds(k)]
        places = [(i, j) for i in range(k) for j in range(i + 1)] + [(i - 1, i) for i in second]
        own = {(i, i): (i - 1, i - 1) for i in second}  # the mean of the roots appears twice
        rows = [(own.get(place, place), place) for place in places]
        elements = [(i, j, f"K_Q.{names[a]}.{names[b]}", 1.0) for (a, b), (i, j) in rows]
        return {**super().blocks(), "K_Q": affine_matrix(np.zeros((k, k)), elements)}

    def _rotation(self, K: Array) -> Array:
        found, odd = paired(np.linalg.eigvals(K)), len(K) % 2
        spaces = [_least(K.T - root * np.eye(len(K)), 1) for root in found[:odd]]
        for mean, square in found[odd:].reshape(-1, 2):
            moved = K.T - mean * np.eye(len(K))
            spaces.append(_least(moved @ moved - square * np.eye(len(K)), 2))
        rotation = np.linalg.qr(np.column_stack(spaces))[0].T
        form = rotation @ K @ rotation.T
        for i in seconds(len(K)):
            (a, b), (c, d) = form[i - 1 : i + 1, i - 1 : i + 1]
            angle = 0.5 * np.arctan2(d - a, b + c) + (0.5 * np.pi if b > c else 0.0)
            turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
            rotation[i - 1 : i + 1] = turn @ rotation[i - 1 : i + 1]
        return np.asarray(rotation)

    def _sorting(self, K: Array) -> Array:
        return self._rotation(K)

    def _cleaned(self, K: Array) -> Array:
        out, second = np.tril(K), seconds(len(K))
        out[second - 1, second] = K[second - 1, second]
        out[second, second] = out[second - 1, second - 1] = 0.5 * (
            np.diag(K)[second] + np.diag(K)[second - 1]
        )
        return out

    def remarks(self, at: Values) -> list[str]:
        """Report pairs that are equal up to rounding; their roots have no derivative."""
        K, second = at["K_Q"], seconds(len(at["K_Q"]))
        return equal_pairs(K[second, second], K[second, second - 1] * K[second - 1, second])


def _least(M: Array, count: int) -> Array:
    """Return a basis (k, count) of the right singular space of the smallest singular values."""
    return np.asarray(np.linalg.svd(M)[2][len(M) - count :].T)
