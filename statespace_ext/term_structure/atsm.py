"""The Gaussian affine term structure model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from itertools import chain, compress
from typing import Any

import numpy as np
import pandas as pd

from ..base.model import StateSpaceModel
from ..base.results import StateSpaceResultsWrapper
from ..em.updates import StateStructure
from ..engine.system import System
from ..engine.system_score import ALL, SystemScore
from ..engine.validation import check_same_columns, check_series, endog_frame, read_dates
from ..exceptions import DataError, UnsupportedError
from ..fit.objective import FitResult
from ..fit.problem import EstimationProblem, FitRequest
from ..inference.identification import Identification
from ..numerics.bond_pricing import loadings_vjp
from ..numerics.linear_algebra import Array, quiet
from ..numerics.matrix_equations import stationary_vjp
from ..numerics.ornstein_uhlenbeck import discretise, discretise_vjp, stationary_moments
from ..params.layout import ParameterLayout
from .declaration import PairedLayout, build_layout, normalisation_of, start_of
from .dynamics import (
    Curves,
    Dynamics,
    Pricing,
    Values,
    require_no_aliasing,
    risk_neutral_to_physical,
    risk_neutral_to_physical_vjp,
)
from .estimation import NumericalUpdates, estimate_term_structure, score_given_first, warm_starts
from .maxima import exchanges, ranked_starts
from .normalisation import Normalisation, candidates
from .observed import check_factors, survey_vjp
from .panel import Panel, first_portfolios, parse_panel, parts_of
from .rates import years
from .results import ATSMResults

_HIGHER = 1e-3
"""Log-likelihood gain that pairs of Q-roots need over equal real roots."""


class ATSM(StateSpaceModel[ATSMResults]):
    r"""
    Gaussian affine term structure model under the physical (P) and the pricing (Q) measure.

    .. math::

        dX &= (\kappa_P - K_P X)\,dt + \Sigma\,dW_P = (\kappa_Q - K_Q X)\,dt + \Sigma\,dW_Q,
            & r &= \delta_0 + \delta_1' X \\
        y_t(\tau) &= A(\tau) + B(\tau)' X_t + \varepsilon_t(\tau), & \varepsilon_t &\sim N(0, H)

    with :math:`y = -(a + b'X)/\tau`, :math:`b' = -K_Q'b - \delta_1` and
    :math:`a' = \kappa_Q'b + b'\Sigma\Sigma'b/2 - \delta_0`. The loadings and the transition between dates
    are exact. The price of risk is :math:`\Lambda_t = \lambda_0 + \lambda_1 X_t`, with
    :math:`dW_Q = dW_P + \Lambda_t dt`: :math:`K_Q = K_P + \Sigma\lambda_1` and
    :math:`\kappa_Q = \kappa_P - \Sigma\lambda_0` (Duffee 2002). Sigma is lower triangular.

    With ``macro``, X consists of portfolios or latent factors, followed by macro factors. Only the former
    price bonds, but the P-dynamics are joint (Joslin, Priebsch & Singleton 2014). Macro factors are observed
    without error. Cells may be missing.

    With ``time="discrete"`` a period has the length h = dt, and the model is

    .. math::

        X_{t+h} = X_t + (\kappa_P - K_P X_t) h + \Sigma \sqrt h\,\varepsilon_t,

    and likewise under Q, with the rate r of one period. K_P is then (I - Phi) / h, where Phi is the matrix of
    the autoregression under P. The autoregression under Q has the roots 1 - h root_Q. Maturities and horizons
    must be whole numbers of periods.

    The model excludes dynamics that rotate by half a turn or more between two dates, where eigenvalues have
    imaginary parts beyond pi / dt. The data cannot distinguish them from slower dynamics.

    Parameters
    ----------
    yields : array_like, (nobs, p)
        Continuously compounded annual zero-coupon yields; NaN marks a missing value. Do not pass par yields,
        which the model cannot detect. You can also pass a panel with maturities and units, as returned by
        `datasets.load_yields`.
    maturities : array_like, (p,), optional
        Maturities in years, in the order of the columns. By default they come from the panel or from the
        labels of the columns, such as "3m", "m3", "3 months", "10y", "y10" or "10-year". Labels without a
        unit are years if at least one is not whole, such as 0.25 and 1.0.
    k_factors : int
        Number k of factors.
    identification : str or Normalisation
        "jsz" has the factors ``portfolio_weights`` @ yields and real Q-roots (Joslin, Singleton & Zhu 2011).
        "jsz-pairs" is "jsz" with Q-roots that may be real, equal or complex. "dai-singleton" has Sigma = I,
        K_Q lower triangular with an increasing diagonal, kappa_Q = 0 and delta_1 >= 0. "dai-singleton-pairs"
        replaces the diagonal of K_Q by blocks [[s, b], [c, s]], whose roots may be complex. "afns" has level,
        slope and curvature with the yield adjustment of Christensen, Diebold & Rudebusch (2011). "dns" has
        neither the adjustment nor prices of risk (Diebold & Li 2006). You can also pass an instance of your
        own subclass of `Normalisation`.
    p_dynamics : {"unrestricted", "diagonal", "triangular"} or array_like, (k + m, k + m)
        Structure of K_P. NaN marks a free element of an array. m is the number of macro factors.
    state_cov : {"unstructured", "diagonal"} or array_like, (k + m, k + m)
        Structure of Sigma Sigma' per year. NaN marks a free element of an array.
    obs_cov : {"diagonal", "scalar", "exact-portfolios"}
        Structure of H. With "exact-portfolios" the portfolios are priced without error, and the directions
        orthogonal to them have one common variance.
    dt : "infer", float or array_like, (nobs - 1,)
        Years between dates. "infer" gives 1/12, 1/4, 1/52, 1/252, ... for regular dates and actual
        days / 365.25 for others.
    units : {"decimal", "percent"}, optional
        Units of the yields and of the parameters. The default is that of the panel, or "decimal".
    risk_prices : dict, optional
        Restrictions on the prices of risk of the factors: "lambda_0" (k,) and "lambda_1" (k, k + m). NaN
        marks a free element. They determine the P-dynamics of the factors that price bonds.
    factors : array_like, (nobs, k), optional
        Observed factors, instead of latent ones. "jsz" then leaves all Q-parameters free.
    initialization : {"stationary", "diffuse", "estimated", "conditional"}, optional
        Initial distribution of the factors. "stationary" is their stationary P-distribution, "diffuse" is
        exact diffuse (for unit roots), and "estimated" treats the first factors as unknown constants. If
        portfolios are priced without error, "diffuse" conditions the likelihood on the first portfolios.
        "conditional" conditions on all data of the first date, including pricing errors. The default is
        "conditional" with ``macro`` and exact portfolios, and "stationary" otherwise.
    portfolio_weights : array_like, (k, p), optional
        Weights W for "jsz" and "exact-portfolios". The default is the principal components of the yields.
    macro : array_like, (nobs, m), optional
        Macro factors that yields do not span. NaN marks a missing value, which exact portfolios do not allow.
    time : {"continuous", "discrete"}
        Whether the factors also move between the dates of the sample ("continuous").
    surveys : DataFrame, optional
        Survey expectations of average short rates over the next years, in the units of the yields. Columns
        are horizons in years and rows are dates of the yields. NaN marks a missing survey. Each survey
        measures the average short rate expected under P, with an error variance for each horizon.
    dates, freq : optional
        Labels of the periods, in place of those of the yields, and their frequency. Strings with ISO dates
        (2001-01-31) are converted.

    Raises
    ------
    SpecificationError
        If arguments are unknown, have the wrong shape, or contradict each other.
    DataError
        If yields or factors are invalid.

    References
    ----------
    Duffie & Kan (1996); Dai & Singleton (2000); Duffee (2002); Christensen, Diebold & Rudebusch (2011);
    Joslin, Singleton & Zhu (2011); Joslin, Priebsch & Singleton (2014).

    Examples
    --------
    >>> import numpy as np, statespace_ext as sse
    >>> rng = np.random.default_rng(0)
    >>> level = 0.05 + 0.005 * rng.normal(size=100).cumsum()
    >>> yields = level[:, None] + 0.001 * rng.normal(size=(100, 4))
    >>> model = sse.ATSM(yields, [0.5, 2, 5, 10], k_factors=1, dt=1 / 12)
    >>> model.param_names[:3]
    ['root_Q.1', 'k_inf', 'K_P.P1.P1']
    """

    _res_classes = {"fit": (ATSMResults, StateSpaceResultsWrapper)}
    score_matrices = ALL

    added_arguments = frozenset({"macro", "time", "surveys"})

    def __init__(
        self,
        yields: Any,
        maturities: Any = None,
        k_factors: int = 3,
        *,
        identification: str | Normalisation = "jsz",
        p_dynamics: Any = "unrestricted",
        state_cov: Any = "unstructured",
        obs_cov: str = "diagonal",
        dt: Any = "infer",
        units: str | None = None,
        risk_prices: Mapping[str, Any] | None = None,
        factors: Any = None,
        initialization: str | None = None,
        portfolio_weights: Any = None,
        macro: Any = None,
        time: str = "continuous",
        surveys: Any = None,
        dates: Any = None,
        freq: Any = None,
    ) -> None:
        absent = [maturities is None, portfolio_weights is None, initialization is None]
        yields, maturities, units = parts_of(yields, maturities, units)
        initialization = start_of(initialization, macro, obs_cov)
        given = {
            "maturities": maturities, "k_factors": k_factors, "identification": identification,
            "p_dynamics": p_dynamics, "state_cov": state_cov, "obs_cov": obs_cov, "dt": dt, "units": units,
            "risk_prices": risk_prices, "factors": factors, "initialization": initialization,
            "portfolio_weights": portfolio_weights, "macro": macro, "time": time, "surveys": surveys,
        }  # fmt: skip
        dates = read_dates(dates)
        self.panel: Panel = parse_panel(yields, dates, given)
        panel = self.panel
        self.norm: Normalisation = normalisation_of(identification, panel)
        self.convexity = 1.0 / panel.scale if self.norm.arbitrage_free else 0.0
        self.layout: ParameterLayout = build_layout(given, self.norm, panel)
        given["portfolio_weights"] = panel.given_weights
        names = ("maturities", "portfolio_weights", "initialization", "units")
        self._computed = tuple(compress(names, [*absent, units == "decimal"]))
        super().__init__(panel.endog, panel.n_states, panel.n_states, given, dates=dates, freq=freq)
        self.k_factors, self.initialization_kind = panel.k_factors, initialization
        self.first_portfolios = first_portfolios(self.endog, panel, given)
        self.ssm["selection"] = np.eye(panel.n_states)
        self._known_states = initialization == "conditional" and self._condition_on_first()

    def _condition_on_first(self) -> bool:
        """Drop the density of the first date, which is the start; return whether all states are observed."""
        self.endog = np.array(self.endog)
        self.endog[0] = np.nan
        self.ssm.bind(self.endog)
        plain = not self.panel.steps.ndim and not len(self.panel.horizons)
        return plain and not np.isnan(self.endog[1:]).any()

    @property
    def factor_names(self) -> list[str]:
        """Names of the factors; macro factors come last."""
        return [*self.norm.factors, *self.panel.macro_names]

    state_names = factor_names

    def clone(self, endog: Any, exog: Any = None, **kwargs: Any) -> ATSM:
        """
        Return the same model for other data.

        Parameters
        ----------
        endog : array_like
            Yields. Observed factors stand in front of the yields, or are passed as ``factors``. The same
            holds for macro factors and ``macro``.
        exog : None
            The model has no regressors.
        **kwargs
            Arguments of the constructor to change.
        """
        frame, kwargs = self._split(endog, kwargs)
        dated = isinstance(read_dates(getattr(frame, "index", None)), (pd.DatetimeIndex, pd.PeriodIndex))
        if not self.panel.steps.ndim and (len(frame) < 2 or not dated):
            kwargs.setdefault("dt", float(self.panel.steps))
        return self._rebuilt(frame, kwargs)

    def _split(self, endog: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Split data into yields and arguments with the factors and surveys in front of the yields."""
        frame: Any = endog_frame(endog)
        panel, names = self.panel, list(np.atleast_1d(self.endog_names))
        seen, m = panel.n_seen, panel.n_observed
        front = {"factors" if panel.factor_names else "macro": slice(0, seen), "surveys": slice(seen, m)}
        apart = [key for key, columns in front.items() if columns.stop > columns.start and key not in kwargs]
        check_same_columns(frame, names if apart else names[m:], "The new endog")
        if apart:
            frame = frame if isinstance(frame, pd.DataFrame) else pd.DataFrame(frame, columns=names)
            parts = {key: frame.iloc[:, front[key]] for key in apart}
            if "surveys" in parts:
                parts["surveys"] = parts["surveys"].set_axis(panel.horizons, axis=1)
            kwargs, frame = {**kwargs, **parts}, frame.iloc[:, m:]
        return frame, kwargs

    # -- params -> matrices ----------------------------------------------------------------------------

    def dynamics(self, params: object) -> Dynamics:
        """Return the dynamics under both measures at a full parameter vector."""
        return self.dynamics_at(self.layout.matrices(self.layout.vector(params)))

    def dynamics_at(self, at: Values) -> Dynamics:
        """Return the dynamics under both measures at the values of all blocks."""
        pricing, k = self.norm.pricing(at), self.k_factors
        cov, period = at["state_cov"], self.panel.period
        if "K_P" in at:
            return Dynamics(at["K_P"], at["kappa_P"][:, 0], cov, pricing, period)
        K_P, kappa_P = risk_neutral_to_physical(pricing, cov[:k, :k], at["lambda_0"][:, 0], at["lambda_1"])
        if self.panel.macro_names:
            K_P = np.concatenate([K_P, at["K_macro"]])
            kappa_P = np.concatenate([kappa_P, at["kappa_macro"][:, 0]])
        return Dynamics(K_P, kappa_P, cov, pricing, period)

    def loadings(
        self, params: object, maturities: object, *, extrapolate: bool = False
    ) -> tuple[Array, Array]:
        """Return A (m,) and B (m, k_factors) at maturities in years; see `ATSMResults.yield_curve`."""
        rates = self.curves(params).yields(years(maturities, "maturities", self, extrapolate))
        return rates.intercept, rates.slope[:, : self.k_factors]

    def curves(self, params: object) -> Curves:
        """Return the curves at a full parameter vector."""
        return Curves(self.dynamics(params), self.convexity)

    def system(self, params: Array) -> System:
        """Return the state-space matrices at a full parameter vector."""
        return self.system_at(self.layout.matrices(self.layout.vector(params)))

    def system_at(self, at: Values) -> System:
        """Return the state-space matrices at the values of all blocks."""
        both = self.dynamics_at(at)
        if both.period is None:
            require_no_aliasing(both.K_P, float(np.max(self.panel.steps)))
        rates = Curves(both, self.convexity).yields(self.panel.maturities)
        step = discretise(both.K_P, both.kappa_P, both.cov, self.panel.steps, both.period)
        seen, m, n = self.panel.n_seen, self.panel.n_observed, self.panel.n_states
        H = np.zeros((self.k_endog, self.k_endog))
        H[m:, m:] = at["obs_cov"]
        # observed factors are the first states, macro factors the last
        design = [np.eye(n)[:seen] if self.panel.factor_names else np.eye(n)[n - seen :], rates.slope]
        intercepts = [np.zeros(seen), rates.intercept]
        if m > seen:
            H[seen:m, seen:m] = at["survey_cov"]
            expected = Curves(both, self.convexity).average_short_rate(self.panel.horizons)
            design.insert(1, expected.slope)
            intercepts.insert(1, expected.intercept)
        mean, cov = at["initial_state"][:, 0], np.zeros((n, n))
        diffuse = self.initialization_kind == "diffuse"
        if self.initialization_kind == "stationary":
            mean, cov = stationary_moments(both.K_P, both.kappa_P, both.cov, both.period)
        elif self.first_portfolios is not None:
            mean, cov = self.first_portfolios, np.eye(n) if diffuse else cov
        return System(
            design=np.concatenate(design),
            obs_intercept=np.concatenate(intercepts),
            obs_cov=H,
            transition=time_last(step.transition, 2),
            state_intercept=time_last(step.intercept, 1),
            selection=np.eye(n),
            state_cov=time_last(step.cov, 2),
            initialization_type="diffuse" if diffuse and self.first_portfolios is None else "known",
            initial_state=mean,
            initial_state_cov=cov,
        )

    def loglike_and_score(self, params: Array) -> tuple[float, Array]:
        """Return the log-likelihood and its gradient, without a smoother pass if the states are known."""
        if not self._known_states or self.user_initialization is not None:
            return super().loglike_and_score(params)
        score, _ = score_given_first(self, self.system(params))
        return score.llf, self.layout.gradient(self.score_by_block(score, params), params)

    def loglike_parts(self, params: object) -> tuple[float, float]:
        """
        Return (llP, llQ) for portfolios without errors, given the first date.

        llP is the log-density of portfolios and macro factors. llQ is the log-density of the pricing errors
        in p - k orthonormal directions (Joslin, Priebsch & Singleton 2014). With n transitions the
        log-likelihood is llP + llQ + n log|W W'| / 2.

        Parameters
        ----------
        params : array_like
            A full parameter vector.

        Raises
        ------
        UnsupportedError
            If the start is not ``initialization="conditional"``, or data are missing.
        """
        if not self._known_states:
            raise UnsupportedError(
                "The log-likelihood cannot be split into parts",
                got=f'initialization="{self.initialization_kind}"',
                expected='obs_cov="exact-portfolios", initialization="conditional", complete data',
            )
        return score_given_first(self, self.system(self.layout.vector(params)))[1]

    def score_by_block(self, score: SystemScore, params: Array) -> Values:
        """Return the score by element of each block, from the score by system matrix."""
        return self.score_at(score, self.layout.matrices(params))

    def score_at(self, score: SystemScore, at: Values) -> Values:
        """Return the derivatives by element of each block, given those by system matrix."""
        both, m, by = self.dynamics_at(at), self.panel.n_observed, score.by_matrix
        out: Values = {"obs_cov": by["obs_cov"][m:, m:]}
        if self.initialization_kind == "estimated":
            out["initial_state"] = score.initial_state[:, None]
        K_P, kappa_P, cov = self._physical_vjp(both, score)
        q, k = both.pricing, self.k_factors
        K_Q, kappa_Q, by_cov, delta_0, delta_1 = loadings_vjp(
            q.K, q.kappa, both.cov[:k, :k] * self.convexity, q.delta_0, q.delta_1, self.panel.maturities,
            by["obs_intercept"][m:].sum(axis=1), by["design"][m:, :k], both.period,
        )  # fmt: skip
        cov[:k, :k] += self.convexity * by_cov
        if len(self.panel.horizons):
            rows = slice(self.panel.n_seen, m)
            out["survey_cov"] = by["obs_cov"][rows, rows]
            more = survey_vjp(
                both, self.panel.horizons, by["obs_intercept"][rows].sum(axis=1), by["design"][rows]
            )
            K_P, kappa_P = K_P + more[0], kappa_P + more[1]
            delta_0, delta_1 = delta_0 + more[2], delta_1 + more[3]
        if "K_P" in at:
            out.update(K_P=K_P, kappa_P=kappa_P[:, None])
        else:
            lambda_0, lambda_1 = at["lambda_0"][:, 0], at["lambda_1"]
            by_cov, by_0, by_1 = risk_neutral_to_physical_vjp(
                both.cov[:k, :k], lambda_0, lambda_1, K_P[:k], kappa_P[:k]
            )
            K_Q, kappa_Q = K_Q + K_P[:k, :k], kappa_Q + kappa_P[:k]
            cov[:k, :k] += by_cov
            out.update(lambda_0=by_0[:, None], lambda_1=by_1)
            if self.panel.macro_names:
                out.update(K_macro=K_P[k:], kappa_macro=kappa_P[k:, None])
        found = self.norm.vjp(at, Pricing(K_Q, kappa_Q, delta_0, delta_1))
        own = found.pop("state_cov", np.zeros((0, 0)))
        cov[: len(own), : len(own)] += own
        return {**out, "state_cov": cov, **found}

    def _physical_vjp(self, both: Dynamics, score: SystemScore) -> tuple[Array, Array, Array]:
        """Return derivatives by K_P, kappa_P and cov through the transition and the stationary start."""
        steps, by = self.panel.steps, score.by_matrix
        keys = ("transition", "state_intercept", "state_cov")
        by_T, by_c, by_W = (np.moveaxis(by[key], -1, 0) if steps.ndim else by[key] for key in keys)
        if not steps.ndim:
            by_c = by_c.sum(axis=1)
        at = both.K_P, both.kappa_P, both.cov
        K_P, kappa_P, cov = discretise_vjp(*at, steps, by_T, by_c, by_W, both.period)
        if self.initialization_kind != "stationary":
            return K_P, kappa_P, np.array(cov)
        more = stationary_vjp(*at, score.initial_state, score.initial_state_cov, both.period)
        return K_P + more[0], kappa_P + more[1], cov + more[2]

    # -- estimation ------------------------------------------------------------------------------------

    def estimate(self, request: FitRequest) -> FitResult:
        """Check the sample and run a fit, without changing the model."""
        self.check_sample()
        with self.preserved(), quiet():
            return estimate_term_structure(self, request)

    def fit(self, start_params: Any = None, *args: Any, **kwargs: Any) -> ATSMResults:
        """
        Estimate the parameters.

        Parameters
        ----------
        start_params, *args, **kwargs
            Arguments of `LGSSM.fit`, except for ``method``:

            - "auto" (default) maximises the exact Kalman likelihood with its exact score, from several starts
              based on the cross-section. Starts that fall behind are dropped. ``n_starts`` adds random ones.
            - "mle" does the same from one start.
            - "em" is monotone EM. Its M-step maximises the expected log-likelihood in closed form over
              ``obs_cov`` and numerically over all other parameters.
            - "two-step" is least squares. It estimates Q from the cross-section, and then P from a regression
              of the implied factors. It is fast, but does not maximise the likelihood.
            - "jsz" maximises the concentrated likelihood of Joslin, Singleton & Zhu for
              ``obs_cov="exact-portfolios"``. From its maximum it takes steps on the Kalman likelihood.

        If the default fit of "jsz" or "dai-singleton" ends with two equal Q-roots, it continues with pairs of
        roots. If these reach a higher likelihood, the results are those of the same model with
        ``identification="jsz-pairs"`` (or "dai-singleton-pairs").

        Returns
        -------
        ATSMResults

        Raises
        ------
        UnsupportedError
            If the method does not support the model.
        """
        res = super().fit(start_params, *args, **kwargs)
        plain = start_params is None and not args and kwargs.get("method", "auto") == "auto"
        if not (plain and self._goes_on(np.asarray(res.params, dtype=float))):
            return res
        pairs = self.clone(self.panel.endog, identification=self.norm.beyond).fit(**kwargs)
        return pairs if pairs.llf > res.llf + _HIGHER else res

    def _goes_on(self, params: Array) -> bool:
        """Return whether a default fit that ends here continues with pairs of Q-roots."""
        free = not self._has_fixed_params and self.user_initialization is None
        return free and self.norm.roots_meet(self.layout.matrices(params))

    def normalised(self, params: Array) -> Array:
        """Return the equivalent parameters with the order and signs of the normalisation."""
        at = self.norm.normalised(self.layout.matrices(params))
        out = self.layout.project(at, params)
        found = self.layout.matrices(out)
        same = all(np.allclose(found[key], at[key], rtol=1e-9, atol=1e-12) for key in at)
        return out if same else params

    def identification(self, params: object, fixed: Mapping[str, float] | None = None) -> Identification:
        """Return which parameters are identified; see `StateSpaceModel.identification`."""
        if fixed is None:
            fixed = dict(self._fixed_params) if self._has_fixed_params else {}
        # each variance of errors has matrix elements of its own, so that no flat direction changes it
        blocks = self.layout.blocks
        names = (blocks[key].names for key in blocks.keys() & {"obs_cov", "survey_cov"})
        noise = dict.fromkeys(chain.from_iterable(names), 0.0)
        found = super().identification(params, {**noise, **fixed})
        free = self.layout.positions([name for name in self.layout.names if name not in fixed])
        flat = np.zeros((len(free), found.n_flat))
        flat[np.isin(free, found.free)] = found.flat
        found = replace(found, free=free, flat=flat)
        if found.n_flat and self.panel.n_seen == 0 and len(self.panel.maturities) <= self.k_factors:
            why = "As many maturities as factors say nothing of the dynamics under Q: add maturities."
            found = replace(found, message=f"{found.message} {why}")
        return found

    def _own(self, params: object) -> Any:
        """Return parameters by name with the names of this model; see `PairedLayout`."""
        return self.layout.own(params) if isinstance(self.layout, PairedLayout) else params

    @contextmanager
    def fix_params(self, params: Any) -> Iterator[None]:
        """
        Fix parameters at values, by name, inside a ``with`` block; see `StateSpaceModel.fix_params`.

        A model with pairs of Q-roots also takes all real roots by the names of "jsz".
        """
        with super().fix_params(self._own(params)):
            yield

    def _start_vector(self, start_params: object, transformed: bool, includes_fixed: bool) -> Array | None:
        given, layout = self._own(start_params), self.layout
        if isinstance(given, Mapping) and (set(given) & set(layout.names)) - set(layout.blocks):
            given = pd.Series(given)  # by parameter: names such as "k_inf" are also those of blocks
        return super()._start_vector(given, transformed, includes_fixed)

    def updates(self, layout: ParameterLayout) -> NumericalUpdates:
        """Return the EM updates for a layout of the free parameters."""
        states = np.arange(self.k_states)
        return NumericalUpdates(layout, StateStructure(np.eye(len(states)), states, states[:0]), self)

    @cached_property
    def _base_starts(self) -> tuple[list[Array], bool]:
        """Start values, and whether they come from exact portfolios (or else the cross-section)."""
        with quiet():
            warm = warm_starts(self)
            return warm or candidates(self), bool(warm)

    def ranked_starts(self, problem: EstimationProblem) -> list[Array]:
        """Return all start values, the highest likelihood first; see the function `ranked_starts`."""
        with quiet():
            problem.memory["ranked"] = ranked_starts(self, problem, *self._base_starts)
        return list(problem.memory["ranked"])

    def default_start(self, problem: EstimationProblem) -> Array:
        """Return start values of the free parameters."""
        found, _ = self._base_starts
        if not found:
            raise DataError(
                "The sample is too short for default start values",
                got=f"{self.nobs} periods, {self.k_factors} factors",
            )
        return problem.reduced(found[0])

    def other_starts(self, problem: EstimationProblem) -> list[Array]:
        """Return further start values, unless a model with pairs of Q-roots will search from them."""
        if problem.best is not None and self._goes_on(problem.full(problem.best[1])):
            return []
        return problem.memory.get("ranked", [])[1:]

    def other_local_maxima(self, problem: EstimationProblem, params: Array) -> list[Array]:
        """Return starts at which other maturities are priced without error, under the same condition."""
        return [] if self._goes_on(problem.full(params)) else exchanges(self, problem, params)

    def variance_sizes(self, params: Array) -> dict[str, Array]:
        """Return the size that each variance would have if it explained the data; factors have none."""
        sizes, panel = super().variance_sizes(params)["obs_cov"], self.panel
        out = {"obs_cov": sizes[panel.n_observed :]}
        return {**out, "survey_cov": sizes[panel.n_seen : panel.n_observed]} if len(panel.horizons) else out

    def check_sample(self) -> None:
        """Raise `DataError` where the sample cannot support the model."""
        check_series(self.endog, list(self.endog_names), self.k_factors, enough=self.k_factors + 2)
        check_factors(self.endog[:, : self.panel.n_seen], "factors" if self.panel.factor_names else "macro")


def time_last(value: Array, ndim: int) -> Array:
    """Move the leading time axis of an array, if it has one, to the end."""
    return value if value.ndim == ndim else np.moveaxis(value, 0, -1)
