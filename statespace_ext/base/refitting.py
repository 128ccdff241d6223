"""Inference from further fits: of simulated samples, with a parameter held fixed, on windows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..inference.bootstrap import Bootstrap, bootstrap
from ..inference.profile import Profile, profile
from ..inference.windows import RollingFit, rolling_fit


class Refitting:
    """Bootstrap, profile likelihood, windows; mixed into the results."""

    def bootstrap(
        self, n_boot: int = 199, method: str = "parametric", rng: object = None, n_jobs: int | None = None
    ) -> Bootstrap:
        """
        Estimate the model again on samples drawn at the estimates; see `inference.bootstrap.bootstrap`.

        Parameters
        ----------
        n_boot : int
            Number of samples.
        method : {"parametric", "innovations"}
            Normal samples, or forecast errors drawn with replacement (Stoffer & Wall 1991).
        rng : numpy.random.Generator or int, optional
            Source of the samples.
        n_jobs : int, optional
            Number of processes; None: what `joblib.parallel_config` says.

        Returns
        -------
        Bootstrap
        """
        return bootstrap(self, n_boot, method, rng, n_jobs)

    def profile(
        self,
        param: str,
        grid: object = None,
        level: float = 0.95,
        n_jobs: int | None = None,
    ) -> Profile:
        r"""
        Return the profile likelihood of a parameter, and the interval that it gives.

        .. math::

            \ell_p(v) = \max_{\theta:\,\theta_j = v} \ell(\theta), \qquad
            \{v : 2(\hat\ell - \ell_p(v)) \le \chi^2_{1,\mathrm{level}}\}

        Parameters
        ----------
        param : str
            Name of a free parameter.
        grid : array_like, optional
            Values of the table, beside the estimate and the ends; by default four more on each side.
        level : float
            Coverage of the interval.
        n_jobs : int, optional
            Number of processes, for the two sides; None: what `joblib.parallel_config` says.

        Returns
        -------
        Profile
            The interval (one-sided, with a flag, at a limit such as a variance of zero), the table, `plot`.
        """
        return profile(self, param, grid, level, n_jobs)

    def rolling(
        self,
        window: int,
        step: int = 1,
        *,
        expanding: bool = False,
        fit_options: Mapping[str, Any] | None = None,
        rng: object = None,
        n_jobs: int | None = None,
        checkpoint: str | Path | None = None,
    ) -> RollingFit:
        """
        Estimate the model again on windows of the sample, each from the estimates; see `rolling_fit`.

        Parameters
        ----------
        window : int
            Periods of the first window.
        step : int
            Periods from one window to the next.
        expanding : bool
            Whether every window begins with the sample.
        fit_options : mapping, optional
            Arguments of `fit`.
        rng, n_jobs, checkpoint : optional
            As in `fit_many`.

        Returns
        -------
        RollingFit
            Estimates and standard errors by the last period of each window, forecasts of the period after
            it, `plot`.
        """
        return rolling_fit(
            self, window, step, expanding=expanding, fit_options=fit_options,
            rng=rng, n_jobs=n_jobs, checkpoint=checkpoint,
        )  # fmt: skip
