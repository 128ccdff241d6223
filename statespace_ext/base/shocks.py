"""Impulse responses with standard errors, variance decompositions and historical decompositions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from statsmodels.tsa.statespace.kalman_smoother import SmootherResults

from ..display import Displayed
from ..engine.arguments import arguments_of, names_among, one_of, positive_integer, truth
from ..engine.representation import Mixin
from ..exceptions import UnsupportedError
from ..inference.information import delta_covariance
from ..numerics.incomplete_rows import at
from ..numerics.linear_algebra import Array, at_period, quiet
from ..params.covariance import semidefinite_cholesky
from ..plots import BAND, LINE, ZERO, band_label, entries, legend_above, new_figure, plain_panel
from .forecasts import ROUNDING, require_covariances
from .reporting import normal_quantile
from .states import smoothed_output

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False)
class ImpulseResponses(Displayed):
    """
    Responses of the series to shocks, with standard errors by the delta method.

    Attributes
    ----------
    estimate, se : DataFrame
        Responses and standard errors, indexed by "shock" and "step", with one column per series. Step 0 is
        the first period that the shock affects. A standard error is NaN where the response depends on a
        parameter without a standard error, and zero where the response does not depend on any parameter.
    """

    estimate: pd.DataFrame
    se: pd.DataFrame

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return pointwise normal intervals with coverage 1 - alpha; columns (series, "low" or "high")."""
        half = normal_quantile(alpha) * self.se
        ends = {"low": self.estimate - half, "high": self.estimate + half}
        out = pd.concat(ends, axis=1).swaplevel(axis=1)
        return out[[(name, end) for name in self.estimate.columns for end in ends]]

    def plot(
        self, fig: Figure | None = None, figsize: tuple[float, float] | None = None, alpha: float = 0.05
    ) -> Figure:
        """
        Plot the responses with pointwise intervals; one row per series and one column per shock.

        Parameters
        ----------
        fig : matplotlib.figure.Figure, optional
            Figure to draw in.
        figsize : (float, float), optional
            Size of a new figure.
        alpha : float
            The intervals have coverage 1 - alpha.

        Returns
        -------
        matplotlib.figure.Figure
        """
        errors = normal_quantile(alpha) * self.se
        words = f"{100 * (1 - alpha):g} % interval, uncertainty of the parameters"
        shocks, series = list(self.estimate.index.unique(0)), list(self.estimate.columns)
        fig = new_figure(fig, figsize, (max(2.6 * len(shocks), 4.0) + 0.4, 1.9 * len(series) + 0.9))
        axes = fig.subplots(len(series), len(shocks), sharex=True, sharey="row", squeeze=False)
        for j, shock in enumerate(shocks):
            for i, name in enumerate(series):
                axis, centre, half = axes[i, j], self.estimate.loc[shock, name], errors.loc[shock, name]
                axis.fill_between(
                    centre.index, centre - half, centre + half, color=BAND, alpha=0.4, linewidth=0,
                    label=band_label(words, centre, half),
                )  # fmt: skip
                axis.plot(centre.index, centre, color=LINE, linewidth=1.4, label="response")
                axis.axhline(0.0, color=ZERO, linewidth=0.6, zorder=0.5)
                plain_panel(axis)
            axes[0, j].set_title(f"shock {shock}", fontsize="medium", loc="left")
            axes[-1, j].set_xlabel("periods after the shock", fontsize="small")
        for i, name in enumerate(series):
            axes[i, 0].set_ylabel(str(name), fontsize="small")
        legend_above(fig, *entries(axes), 1 if len(shocks) == 1 else 2)
        return fig


class Shocks(Mixin):
    """Mixin of the results with impulse responses and decompositions."""

    def irf(
        self,
        steps: int = 10,
        impulse: str | Sequence[str] | None = None,
        *,
        orthogonalized: bool = False,
        cumulative: bool = False,
        **kwargs: object,
    ) -> ImpulseResponses:
        r"""
        Compute impulse responses with standard errors by the delta method.

        .. math::

            \Psi_h = Z T^h R \quad\text{or}\quad Z T^h R L, \qquad
            \mathrm{Var}[\psi(\hat\theta)] \approx \frac{\partial\psi}{\partial\theta'}\,
            \mathrm{Var}[\hat\theta]\,\frac{\partial\psi'}{\partial\theta}

        The first form is for a shock of size one. The second is for a shock of one standard deviation to the
        orthogonalised shocks :math:`L^{-1}\eta_t`, with the Cholesky factor :math:`L L' = Q`. The responses
        equal those of `impulse_responses`.

        Parameters
        ----------
        steps : int
            Number of periods after the first response. If matrices vary over time, there is one response
            fewer, as in `impulse_responses`.
        impulse : str or sequence of str, optional
            Names of shocks, from ``model.shock_names``. By default all shocks.
        orthogonalized, cumulative : bool
            As in `MLEModel.impulse_responses`.
        **kwargs
            As in `MLEModel.impulse_responses`: ``anchor``, and matrices or regressors of periods after the
            sample.

        Returns
        -------
        ImpulseResponses
            The responses, with ``estimate``, ``se``, ``conf_int(alpha)`` and ``plot()``.

        Raises
        ------
        SpecificationError
            If a shock is unknown, or statsmodels rejects the arguments.
        """
        chosen = names_among(impulse, self.model.shock_names, "impulse")
        given = {
            **kwargs,
            "steps": positive_integer(steps, "steps"),
            "orthogonalized": truth(orthogonalized, "orthogonalized"),
            "cumulative": truth(cumulative, "cumulative"),
            "includes_fixed": True,
        }

        def _responses(params: Array) -> Array:
            with arguments_of("impulse_responses"):
                each = [self.model.impulse_responses(params, impulse=name, **given) for name in chosen]
            return np.stack([np.asarray(one, dtype=float).reshape(len(one), -1) for one in each])

        with self._as_it_was():
            values = _responses(np.asarray(self.params, dtype=float))
            slopes, cov, moves = self.param_slopes(_responses)
        largest = np.abs(values).max(axis=(0, 1), initial=0.0)
        least = ROUNDING * np.broadcast_to(largest, values.shape)[..., None]
        variance = delta_covariance(slopes[..., None, :], cov, moves, least)[..., 0, 0]
        index = pd.MultiIndex.from_product([chosen, range(values.shape[1])], names=["shock", "step"])
        frames = [
            pd.DataFrame(each.reshape(len(index), -1), index, self._series)
            for each in (values, np.sqrt(variance))
        ]
        return ImpulseResponses(*frames)

    def fevd(self, steps: int = 10, *, shares: bool = True, **kwargs: object) -> pd.DataFrame:
        r"""
        Compute the forecast error variance decomposition at the end of the sample.

        .. math::

            \mathrm{Var}[y_{n+h} | Y] = Z\Big(\sum_k C_h^{(k)} + C_h^{(0)}\Big) Z' + H, \qquad
            C_{h+1}^{(k)} = T C_h^{(k)} T' + R\, l_k l_k' R'

        The vectors :math:`l_k` are the columns of the Cholesky factor of Q, so that correlated shocks are
        orthogonalised in their order. :math:`C_1^{(0)} = T \mathrm{Var}[x_n|Y]\, T'` is the uncertainty about
        the state at the end of the sample. Matrices may vary over time. For a vector autoregression without
        measurement noise, the shares equal those of statsmodels' ``VARResults.fevd``.

        Parameters
        ----------
        steps : int
            Number of periods.
        shares : bool
            Whether to return shares of the variance, which sum to one. Otherwise return variances, which sum
            to the variance of `get_forecast`.
        **kwargs
            Future regressors or matrices, as in `get_forecast`.

        Returns
        -------
        DataFrame
            Indexed by "series" and "step", with columns ("source", "name"). A source is "shock" (by name),
            "state" (at the end of the sample) or "noise" (of the observation). Shares are NaN if the variance
            is zero.

        Raises
        ------
        UnsupportedError
            If the sample does not determine its last state, the lengths of the periods after it are unknown,
            or the fit kept no covariances (``low_memory=True``).

        References
        ----------
        Lütkepohl, H. (2005), New Introduction to Multiple Time Series Analysis, section 2.3.3.
        """
        count, share = positive_integer(steps, "steps"), truth(shares, "shares")
        require_covariances(self)
        future = self.get_forecast(count, **kwargs)._results.prediction_results
        past = self.filter_results
        if past.nobs_diffuse >= past.nobs:
            raise UnsupportedError(
                "The sample does not determine the states: forecasts have no finite variance",
                got=f"{past.nobs} periods, all of them diffuse",
            )
        T, last = at(past.transition, -1), past.filtered_state_cov[:, :, -1]
        parts = _shock_parts(at(past.selection, -1), at(past.state_cov, -1))
        parts = np.concatenate([parts, (T @ last @ T.T)[None]])
        p = self.model.k_endog
        out = np.empty((p, count, len(parts) + 1))
        for i in range(count):
            Z, T, H, R, Q = (
                at_period(getattr(future, name), i)
                for name in ("design", "transition", "obs_cov", "selection", "state_cov")
            )
            out[:, i, :-1] = np.einsum("pi,sij,pj->ps", Z, parts, Z)
            out[:, i, -1] = np.diag(H)
            parts = T @ parts @ T.T
            parts[:-1] += _shock_parts(R, Q)
        if share:
            with quiet():
                out = out / out.sum(axis=2, keepdims=True)
        index = pd.MultiIndex.from_product([self._series, range(1, count + 1)], names=["series", "step"])
        single = [("state", "end of sample"), ("noise", "observation")]
        columns = [*(("shock", name) for name in self.model.shock_names), *single]
        labels = pd.MultiIndex.from_tuples(columns, names=["source", "name"])
        return pd.DataFrame(out.reshape(len(index), -1), index=index, columns=labels)

    def historical_decomposition(self, of: str = "series", *, orthogonalized: bool = True) -> pd.DataFrame:
        r"""
        Decompose the series or states into the initial state, intercepts, regressors and shocks.

        .. math::

            E[x_{t+1}|Y] &= T_t E[x_t|Y] + c_t + R_t E[\eta_t|Y] \\
            y_t &= d_t + Z_t E[x_t|Y] + E[\varepsilon_t|Y]

        The transition matrix propagates each term separately. The contributions add up to the smoothed
        states, or to the data with imputed missing values (`impute`).

        Parameters
        ----------
        of : {"series", "states"}
            What to decompose.
        orthogonalized : bool
            Whether to orthogonalise correlated shocks by the Cholesky factor of Q, in their order, as in
            `fevd`. Otherwise the contributions are those of the original, correlated shocks.

        Returns
        -------
        DataFrame
            One row per period, with its label, and columns ("variable", "source", "name"). A source is
            "start" (the initial state), "intercept", "exog" or "state_exog" (of an `LGSSM`, by regressor),
            "shock" (by shock), and for series also "noise". Time-varying coefficients of a regression are
            states. Their contributions are multiplied by the regressors of the period.

        Raises
        ------
        SpecificationError
            If the states were not smoothed.

        References
        ----------
        Burbidge, J. & Harrison, A. (1985), A historical decomposition of the great depression to determine
        the role of money. Journal of Monetary Economics 16, 45-54.
        """
        kind = one_of(of, ("series", "states"), "of")
        res, turned = smoothed_output(self), truth(orthogonalized, "orthogonalized")
        model = self.model
        exog = self._regressor_parts("exog", "obs_coef", model.exog, model.k_endog)
        state_exog = self._regressor_parts("state_exog", "state_coef", model.state_inputs, model.k_states)
        sources = [("start", "first state"), ("intercept", "intercept")]
        sources += [("exog", name) for name in exog] + [("state_exog", name) for name in state_exog]
        paths = _state_paths(res, turned, list(state_exog.values()), len(sources))
        sources += [("shock", name) for name in model.shock_names]
        names = list(model.state_names)
        if kind == "series":
            names = self._series
            paths = self._of_series(res, paths, list(exog.values()))
            sources.append(("noise", "observation"))
        columns = pd.MultiIndex.from_tuples(
            [(name, *source) for name in names for source in sources], names=["variable", "source", "name"]
        )
        return pd.DataFrame(paths.reshape(res.nobs, -1), index=model.calendar.labels, columns=columns)

    def _of_series(self, res: SmootherResults, paths: Array, exog: list[Array]) -> Array:
        """Return the contributions to the series, with the noise last, from those to the states."""
        out = np.zeros((res.nobs, self.model.k_endog, paths.shape[2] + 1))
        for t in range(res.nobs):
            out[t, :, :-1] = at(res.design, t) @ paths[t]
            out[t, :, 1] += at(res.obs_intercept, t)
        for j, part in enumerate(exog):
            out[:, :, 2 + j] += part
            out[:, :, 1] -= part
        data = np.asarray(self.impute().data, dtype=float).reshape(res.nobs, -1)
        out[:, :, -1] = data - out.sum(axis=2)
        return out

    def _regressor_parts(self, name: str, key: str, data: Array | None, size: int) -> dict[str, Array]:
        """Return the contribution (nobs, size) of each regressor to an intercept, if the model has any."""
        coef = self.model.matrices(np.asarray(self.params, dtype=float)).get(key)
        labels = self.model.regressor_names[name]
        if coef is None or data is None or coef.shape[1:] != (len(labels),):
            return {}
        rows = np.zeros((size, len(labels)))
        rows[: len(coef)] = coef
        return {label: np.outer(data[:, j], rows[:, j]) for j, label in enumerate(labels)}


def _state_paths(res: SmootherResults, turned: bool, inputs: list[Array], first: int) -> Array:
    """
    Return the contributions to the states, (nobs, k, sources).

    The first source is x_1 and the second the intercept. Inputs end before the source ``first``, where the
    shocks begin.
    """
    out = np.zeros((res.nobs, res.k_states, first + res.k_posdef))
    out[0, :, 0] = res.smoothed_state[:, 0]
    for t in range(res.nobs - 1):
        shock, R = res.smoothed_state_disturbance[:, t], at(res.selection, t)
        if turned and len(shock):
            L = semidefinite_cholesky(at(res.state_cov, t))
            R, shock = R @ L, np.linalg.lstsq(L, shock, rcond=None)[0]
        out[t + 1] = at(res.transition, t) @ out[t]
        out[t + 1, :, first:] += R * shock
        out[t + 1, :, 1] += at(res.state_intercept, t)
        for j, part in enumerate(inputs, first - len(inputs)):
            out[t + 1, :, j] += part[t]
            out[t + 1, :, 1] -= part[t]
    return out


def _shock_parts(selection: Array, state_cov: Array) -> Array:
    """Return R l_k l_k' R' for the columns l_k of the Cholesky factor of Q, (q, k, k)."""
    loads = (selection @ (semidefinite_cholesky(state_cov) if state_cov.size else state_cov)).T
    return np.asarray(loads[:, :, None] * loads[:, None, :])
