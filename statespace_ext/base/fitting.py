"""`fit`, the same for every model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Generic, TypeVar, cast

import numpy as np

from ..engine.model_score import overrides
from ..engine.representation import preserved
from ..exceptions import IdentificationWarning, ParameterError, SpecificationError, UnsupportedError, warn
from ..fit.fit import best_so_far, estimate
from ..fit.outcome import FitResult
from ..fit.problem import EstimationProblem
from ..fit.request import FitRequest, check_request
from ..inference.identification import Identification, identify_by_system
from ..inference.information import CovType, cov_type_of
from ..numerics.linear_algebra import Array, quiet
from ..params.layout import ParameterLayout, real_array
from .results import StateSpaceResults

R = TypeVar("R", bound=StateSpaceResults)
"""The results of a model."""


class Fitting(Generic[R]):
    """Estimation of a model from its layout; mixed into the models."""

    layout: ParameterLayout
    ssm: Any
    default_start: Any
    handle_params: Any
    check_sample: Any
    fix_params: Any
    filter: Any
    smooth: Any
    _written_start: Any
    _lock: Any
    _has_fixed_params: bool
    _fixed_params: dict[str, float]

    def problem(self, estep: str = "auto") -> EstimationProblem:
        """Return what the estimation methods need: free parameters, E-step, exact score."""
        fixed = dict(self._fixed_params) if self._has_fixed_params else {}
        return EstimationProblem(cast(Any, self), fixed, estep)

    @property
    def start_params(self) -> Array:
        """Default start values of all parameters."""
        return np.asarray(self.default_start(EstimationProblem(cast(Any, self), {})))

    def stabilised(self, problem: EstimationProblem, params: Array) -> Array:
        """Return free parameters at which the model has a likelihood, near given ones: those, as they are."""
        return params

    def identification(self, params: Any, fixed: Mapping[str, float] | None = None) -> Identification:
        """
        Return which parameters are identified, from the system matrices: all where these vary over time.

        Parameters
        ----------
        params : array_like
            A full parameter vector, the fixed parameters included.
        fixed : mapping, optional
            Values of fixed parameters by name; by default those that `fix_params` holds now.
        """
        if fixed is None:
            fixed = dict(self._fixed_params) if self._has_fixed_params else {}
        with self.preserved(), quiet():
            return identify_by_system(self, self.layout.vector(params), fixed)

    def other_starts(self, problem: EstimationProblem) -> list[Array]:
        """Return further start values, for a likelihood that tends to have several maxima: none."""
        return []

    def later_starts(self, problem: EstimationProblem) -> Iterator[Array]:
        """Yield start values to try after a maximum is found, until starts agree: none."""
        return iter(())

    def other_peaks(self, problem: EstimationProblem, params: Array) -> list[Array]:
        """Return points from which a higher maximum than one at hand may be reached: none."""
        return []

    def mirrored(self, problem: EstimationProblem, params: Array, near: Array) -> Array:
        """Return parameters of the same likelihood, of those that differ in signs the nearest to others."""
        return params

    def estimate(self, request: FitRequest) -> FitResult:
        """Check the sample and run a fit; the model is left as it was."""
        check_request(request)
        self._require_own_likelihood()
        self.check_sample()
        with self.preserved(), quiet():
            problem = self.problem(request.estep)
            try:
                return estimate(problem, request)
            except KeyboardInterrupt:
                return best_so_far(problem, request)

    def _require_own_likelihood(self) -> None:
        """Refuse a log-likelihood or a score of the user's own, which no method of `fit` would see."""
        found = overrides(self)
        names = [name for name in ("loglike", "score", "ssm.loglike") if name in found]
        if names:
            raise UnsupportedError(
                "`fit` maximises the log-likelihood of the declared matrices, and would not see an override",
                got=f"{names[0]} of {found[names[0]]}",
                remedy="Subclass `MLEModel` with `ExactScoreMixin` for a likelihood of your own; where the "
                'override changes no value, say so by the class attribute likelihood_neutral = ("loglike",).',
            )

    def maximum(self, start: Array | None, fixed: Mapping[str, float]) -> FitResult:
        """
        Return what a gradient method reaches, with parameters held fixed; there are no results.

        Parameters
        ----------
        start : ndarray or None
            A full parameter vector; None: default start values.
        fixed : mapping of str to float
            Values by name.
        """
        with self.fix_params(fixed):
            return self.estimate(FitRequest(start=start, method="lbfgs"))

    @contextmanager
    def preserved(self) -> Iterator[None]:
        """Put back the representation as it was on leaving; for one thread at a time."""
        with preserved(self, in_place=False):  # `update` replaces arrays
            written = self._written_start
            try:
                yield
            finally:
                self._written_start = written

    def params_from_matrices(self, matrices: Mapping[str, object]) -> Array:
        """
        Return the parameter vector of given matrices, the others at their default start values.

        Parameters
        ----------
        matrices : mapping
            Arrays by block: "design", "transition", "obs_cov", ...
        """
        unknown = [key for key in matrices if key not in self.layout.blocks]
        if unknown:
            raise ParameterError(
                "Unknown matrices", got=unknown, expected=f"names among {list(self.layout.blocks)}"
            )
        arrays = {}
        for key, value in matrices.items():
            shape = self.layout.blocks[key].shape
            array = real_array(value, key)
            flat = shape[1] == 1 and array.shape == shape[:1] or shape == (1, 1) and array.ndim == 0
            if not (flat or array.shape == shape):
                raise ParameterError(f"{key} has the wrong shape", got=array.shape, expected=shape)
            if not np.all(np.isfinite(array)):
                raise ParameterError(f"{key} has start values that are not finite", got=array)
            arrays[key] = array.reshape(shape)
        covered = {name for key in arrays for name in self.layout.blocks[key].names}
        base = np.zeros(len(self.layout)) if covered == set(self.layout.names) else self.start_params
        return self.layout.project(arrays, base)

    def _start_vector(self, start_params: object, transformed: bool, includes_fixed: bool) -> Array | None:
        """Return the full start vector from any of the forms that `fit` accepts."""
        if start_params is None:
            return None
        if isinstance(start_params, Mapping) and any(key in self.layout.blocks for key in start_params):
            return self.params_from_matrices(start_params)
        if hasattr(start_params, "items") and self._has_fixed_params and not includes_fixed:
            includes_fixed = set(dict(start_params.items())) == set(self.layout.names)
        return np.asarray(self.handle_params(start_params, transformed, includes_fixed))

    def fit(
        self,
        start_params: object = None,
        transformed: bool = True,
        includes_fixed: bool = False,
        cov_type: str | CovType | None = None,
        cov_kwds: dict[str, Any] | None = None,
        method: str = "auto",
        maxiter: int | None = None,
        full_output: bool = True,
        disp: bool | int = False,
        callback: Any = None,
        return_params: bool = False,
        *,
        low_memory: bool = False,
        tolerance: float = 1e-6,
        n_starts: int = 1,
        rng: object = None,
        progress: bool = False,
        estep: str = "auto",
        n_jobs: int | None = 1,
        **kwargs: Any,
    ) -> R:
        """
        Estimate the parameters.

        Parameters
        ----------
        start_params : array_like, Series, dict, optional
            A flat array; values by parameter name; or a dict of matrices by name ("design", ...). Singular
            covariance matrices are moved inside by a part of the default ones, except by EM.
        transformed, includes_fixed : bool
            As in `MLEModel.fit`; ``transformed`` has no effect, since parameters are variances and
            covariances themselves.
        cov_type : {"oim", "opg", "robust", "harvey", "approx", "none"}, optional
            Standard errors: "oim" (default) from the second derivatives, "opg" from the scores of
            the periods, "robust" from both, "harvey" from the derivatives of the forecast errors,
            "approx" from differences of the log-likelihood; or a `CovType` of one's own.
        cov_kwds : dict, optional
            Must be empty: ``cov_type`` has no options.
        method : {"auto", "em", "accelerated-em", "lbfgs", "bfgs", "cg", "newton", "nm", "powell"}
            "auto": L-BFGS with the exact score, and where that takes long or ends short in coordinates of
            the second derivatives. "em": plain EM. "accelerated-em": EM with quasi-Newton steps, which keep
            the log-likelihood from falling.
        maxiter : int, optional
            Largest number of iterations (2000; 500 for EM of an `ATSM`).
        full_output : bool
            Whether to set ``mle_retvals``.
        disp : bool
            Whether to print one line an iteration, with its log-likelihood.
        callback : callable, optional
            Called with the parameters after each iteration.
        return_params : bool
            Whether to return only the parameters.
        low_memory : bool
            Whether to keep filter output out of the results.
        tolerance : float
            EM asks whether it has converged where the relative change of the log-likelihood is below this
            (of every parameter: below its root). Zero: exactly ``maxiter`` iterations.
        n_starts : int
            Number of starts: the default one, and random ones. Without ``start_params``, models whose
            likelihoods tend to have several maxima add cheap starts of their own (`LGSSM` with free loadings
            until they agree); the summary and ``mle_retvals`` say how many reached the best log-likelihood.
        rng : numpy.random.Generator or int, optional
            Source of the random starts.
        progress : bool
            Whether to show a progress bar with the log-likelihood (needs tqdm).
        estep : {"auto", "fast", "collapsed", "statsmodels"}
            E-step of EM: statsmodels' smoother; the fast one, for constant matrices and complete data; or
            the smoother on rows collapsed to the number of states, for incomplete data or a transition that
            varies. All return the same. "auto": the fast one where it is valid, then the collapsed one if
            there are at least twice as many series as states.
        n_jobs : int, optional
            Number of processes, by joblib, over which several starts are spread; the result does not depend
            on it. None: what `joblib.parallel_config` says, else one. With other processes than this one
            ``disp`` and ``progress`` show nothing, and there is no ``callback``.
        **kwargs
            Options of the optimiser (`scipy.optimize.minimize`).

        Returns
        -------
        StateSpaceResults
            Results of the model's own class, such as `LGSSMResults`; with ``return_params`` an array.

        Notes
        -----
        The model holds the matrices of the result afterwards; with ``return_params``, those of the estimates.

        A fit by any method has converged where the largest scaled score is below 1e-3 and the predicted gain
        :math:`s'I^{-1}s/2` below 1e-6: s is the score, I the observed information, of which only products
        with vectors are computed. A direction whose curvature is less than 1e-6 of that of complete data
        counts as not identified. Where the likelihood is unbounded, the fit ends before the spike and
        ``mle_retvals["task"]`` says why.

        Ctrl-C ends a fit at the best parameters so far: ``converged`` is False, and a warning and the summary
        say why.

        Raises
        ------
        DataError, ParameterError, SpecificationError
            If the sample, the start values or an option cannot be used.
        """
        _check_cov_type(cov_type, cov_kwds)
        shows = n_jobs == 1
        request = FitRequest(
            start=self._start_vector(start_params, transformed, includes_fixed),
            method=method, maxiter=maxiter, tolerance=tolerance, n_starts=n_starts, rng=rng,
            disp=shows and bool(disp), progress=shows and progress, callback=callback, estep=estep,
            n_jobs=n_jobs, options=kwargs,
        )  # fmt: skip
        outcome = self.estimate(request)
        if return_params:
            cast(Any, self).update(outcome.params, includes_fixed=True)
            return cast(R, outcome.params)
        for message, category in outcome.warnings:
            warn(message, category)
        run = self.filter if low_memory else self.smooth
        options = {"low_memory": True} if low_memory else {}
        res = run(
            outcome.params, includes_fixed=True, cov_type=cov_type or "oim", cov_kwds=cov_kwds, **options
        )
        res._results.attach(outcome, full_output)
        if res.identification.message:
            warn(res.identification.message, IdentificationWarning)
        return cast(R, res)


def _check_cov_type(cov_type: object, cov_kwds: object) -> None:
    """Refuse before the fit what would be refused after it."""
    if cov_type is not None:
        cov_type_of(cov_type)
    if not (cov_kwds is None or isinstance(cov_kwds, Mapping) and not cov_kwds):
        raise SpecificationError("cov_kwds are not used", got=repr(cov_kwds), remedy="Leave them out.")
