"""
Normalisations, which map parameter blocks to the Q-dynamics and the short rate.

The likelihood does not change under rotations of the factors, so a normalisation must rule these out. Each
class here names the factors, defines the blocks of its Q-parameters, maps them to `Pricing`, transforms
derivatives back, and finds start values. The model and the fit use only the interface of `Normalisation`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import scipy.optimize

from ..numerics.bond_pricing import loadings
from ..numerics.differences import central_differences
from ..numerics.linear_algebra import Array, symmetrize
from ..params.affine import AffineMatrix, affine_matrix
from .dynamics import Pricing, Values
from .starts import CrossSection, Start, least_squares_factors

_DECAYS = np.exp(np.linspace(np.log(0.08), np.log(4.0), 40))


class Normalisation:
    """
    Base class of normalisations, which identify the factors of an `ATSM`.

    Pass an instance of a subclass as ``identification=``. A subclass sets ``factors`` and defines `blocks`,
    `pricing` and `starts`. The other methods have defaults. Do not store data in an instance, because a model
    shares it with its clones and bootstrap samples.

    Attributes
    ----------
    factors : list of str
        Names of the factors.
    arbitrage_free : bool
        Whether yields include the convexity term and the model has prices of risk.
    latent : bool
        Whether the factors are always latent, so that ``factors=`` is not allowed.
    portfolios : bool
        Whether the factors are portfolios of the yields.
    scaled : bool
        Whether the size of the factors is a parameter of the short rate. A diffuse likelihood then has no
        maximum.

    Examples
    --------
    This normalisation defines a Vasicek model whose factor is the short rate:

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
    drift = ""
    """The block that moves all mean yields, where it is free."""
    real = ""
    """The same normalisation with real roots, whose parameters by name a model takes too."""

    def __repr__(self) -> str:
        own = ", ".join(f"{key}={value!r}" for key, value in vars(self).items())
        return f"{type(self).__name__}({own})"

    def blocks(self) -> Mapping[str, Any]:
        """
        Return the two-dimensional blocks of the Q-parameters by name.

        A block is an array or nested list. A number is a fixed element. NaN is a free element, whose name
        consists of the block and the labels. A string is a linear expression in named parameters. A block
        "state_cov" sets Sigma Sigma'.
        """
        raise NotImplementedError

    def pricing(self, at: Values) -> Pricing:
        """Return the Q-dynamics and the short rate, given the values of all blocks (arrays by name)."""
        raise NotImplementedError

    def starts(self, sample: CrossSection) -> list[Start]:
        """
        Return start values, the best first, as pairs of Q-parameter blocks and the corresponding factors.

        Factors (nobs, k) may be None. They are then computed from the yields by least squares at each date.
        The start values of the other parameters follow from the factors.
        """
        raise NotImplementedError

    def vjp(self, at: Values, by: Pricing) -> Values:
        """
        Return derivatives by block, given those by `Pricing`.

        They include "state_cov" if `pricing` depends on it. The default uses differences of `pricing`. A
        subclass may define a formula.
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
        """Return all blocks of the equivalent model that has the standard order and signs."""
        return at

    def slopes(self, at: Values, sample: CrossSection) -> Array:
        """Return the slopes (p, k) of the yields on the factors, in any rotation."""
        return sample.loadings(self.pricing(at), np.zeros((len(self.factors),) * 2))[1]

    def derived(self, at: Values) -> dict[str, float]:
        """Return functions of the blocks that `summary` shows in addition to the parameters, by name."""
        return {}

    def remarks(self, at: Values) -> list[str]:
        """Return the lines of the summary about the values of all blocks."""
        return []


def column(names: list[str]) -> AffineMatrix:
    """Return a block (n, 1) of free parameters."""
    return affine_matrix(np.zeros((len(names), 1)), [(i, 0, name, 1.0) for i, name in enumerate(names)])


class NelsonSiegel(Normalisation):
    """
    Level, slope and curvature: K_Q = [[0, 0, 0], [0, l, -l], [0, 0, l]], kappa_Q = 0, r = level + slope.

    With the yield adjustment for convexity the model is arbitrage-free (Christensen, Diebold & Rudebusch
    2011). Without it this is the dynamic Nelson-Siegel model (Diebold & Li 2006), which has no prices of
    risk.
    """

    factors = ["level", "slope", "curvature"]
    _UNIT = np.array([[0.0, 0.0, 0.0], [0.0, 1.0, -1.0], [0.0, 0.0, 1.0]])

    def __init__(self, arbitrage_free: bool) -> None:
        self.arbitrage_free = arbitrage_free

    def blocks(self) -> dict[str, AffineMatrix]:
        """Return the block of the decay rate."""
        return {"decay": column(["decay"])}

    def pricing(self, at: Values) -> Pricing:
        """Return the Q-dynamics."""
        return Pricing(at["decay"][0, 0] * self._UNIT, np.zeros(3), 0.0, np.array([1.0, 1.0, 0.0]))

    def vjp(self, at: Values, by: Pricing) -> Values:
        """Return the derivative by the decay rate."""
        return {"decay": np.array([[np.sum(by.K * self._UNIT)]])}

    def starts(self, sample: CrossSection) -> list[Start]:
        """Return the decay rates at local minima of the least-squares criterion, the best first."""
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
        return loadings(
            q.K, q.kappa, np.zeros((3, 3)), q.delta_0, q.delta_1, sample.maturities, sample.period
        )[1]

    @staticmethod
    def _start(error: Callable[[float], float], bounds: tuple[float, float]) -> Start:
        found = scipy.optimize.minimize_scalar(error, bounds=bounds, method="bounded").x
        return {"decay": np.array([[float(np.exp(found))]])}, None


class Observed(Normalisation):
    """Observed factors, which cannot be rotated, so that K_Q, kappa_Q, delta_0 and delta_1 are free."""

    def __init__(self, factors: list[str]) -> None:
        self.factors = factors

    def blocks(self) -> dict[str, AffineMatrix]:
        """Return the blocks of K_Q, kappa_Q, delta_0 and delta_1."""
        k, names = len(self.factors), self.factors
        every = [(i, j, f"K_Q.{names[i]}.{names[j]}", 1.0) for i in range(k) for j in range(k)]
        return {
            "K_Q": affine_matrix(np.zeros((k, k)), every),
            "kappa_Q": column([f"kappa_Q.{name}" for name in names]),
            "delta_0": column(["delta_0"]),
            "delta_1": column([f"delta_1.{name}" for name in names]),
        }

    def pricing(self, at: Values) -> Pricing:
        """Return the Q-dynamics."""
        return Pricing(at["K_Q"], at["kappa_Q"][:, 0], at["delta_0"][0, 0], at["delta_1"][:, 0])

    def vjp(self, at: Values, by: Pricing) -> Values:
        """Return the derivatives by K_Q, kappa_Q, delta_0 and delta_1."""
        return {
            "K_Q": by.K,
            "kappa_Q": by.kappa[:, None],
            "delta_0": np.array([[by.delta_0]]),
            "delta_1": by.delta_1[:, None],
        }

    def starts(self, sample: CrossSection) -> list[Start]:
        """Return start values from a regression of the yields on the factors and a fit of its slopes."""
        X, tau, k = np.asarray(sample.factors), sample.maturities, len(self.factors)
        A, B = sample.regression()
        K, size, zero = sample.autoregression(X)[0], np.std(X, axis=0), np.zeros((k, k))

        def errors(z: Array) -> Array:
            fitted = loadings(
                z[: k * k].reshape(k, k), np.zeros(k), zero, 0.0, z[k * k :], tau, sample.period
            )[1]
            return np.nan_to_num((fitted - B) * size, nan=1e3, posinf=1e3, neginf=-1e3).ravel()

        first = np.concatenate([K.ravel(), B[np.argmin(tau)]])
        z = scipy.optimize.least_squares(errors, first, x_scale=np.abs(first) + 0.05, max_nfev=200).x
        K_Q, delta_1 = z[: k * k].reshape(k, k), z[k * k :]
        columns = [loadings(K_Q, unit, zero, 0.0, delta_1, tau, sample.period)[0] for unit in np.eye(k)]
        solved = np.linalg.lstsq(np.column_stack([np.ones(len(tau)), *columns]), A, rcond=None)[0]
        values = {"K_Q": K_Q, "kappa_Q": solved[1:, None], "delta_0": solved[:1, None]}
        return [({**values, "delta_1": delta_1[:, None]}, None)]
