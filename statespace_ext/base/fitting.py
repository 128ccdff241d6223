"""The method `fit`, shared by all models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Generic, TypeVar, cast

import numpy as np
from statsmodels.tsa.statespace.initialization import Initialization

from ..engine.model_score import overrides
from ..engine.representation import Mixin, preserved
from ..exceptions import ParameterError, SpecificationError, UnsupportedError, warn
from ..fit.fit import best_so_far, estimate
from ..fit.objective import FitResult
from ..fit.problem import EstimationProblem, FitRequest, check_request
from ..inference.identification import Identification, identify_by_system
from ..inference.information import CovType, cov_type_of
from ..numerics.linear_algebra import Array, quiet
from ..params.layout import ParameterLayout, real_array
from .results import StateSpaceResults

R = TypeVar("R", bound=StateSpaceResults)
"""Type of the results of a model."""


class Fitting(Generic[R], Mixin):
    """Mixin of the models that estimates them from their layout."""

    layout: ParameterLayout
    _written_initialization: Initialization | None

    def problem(self, estep: str = "auto") -> EstimationProblem:
        """Return the estimation problem: free parameters, E-step and exact score."""
        return EstimationProblem(self, dict(self._fixed_params or {}), estep)

    @property
    def start_params(self) -> Array:
        """The default start values of all parameters."""
        return np.asarray(self.default_start(EstimationProblem(self, {})))

    def stabilised(self, problem: EstimationProblem, params: Array) -> Array:
        """Return nearby free parameters at which the likelihood exists; by default ``params`` itself."""
        return params

    def identification(self, params: object, fixed: Mapping[str, float] | None = None) -> Identification:
        """
        Find which parameters are identified, from the system matrices.

        If the matrices vary over time, all parameters count as identified.

        Parameters
        ----------
        params : array_like
            A full parameter vector, including the fixed parameters.
        fixed : mapping, optional
            Values of fixed parameters by name. By default those of the active `fix_params`.
        """
        fixed = dict(self._fixed_params or {}) if fixed is None else fixed
        with self.preserved(), quiet():
            return identify_by_system(self, self.layout.vector(params), fixed)

    def other_starts(self, problem: EstimationProblem) -> list[Array]:
        """Return further start values, for likelihoods with several maxima. The default is an empty list."""
        return []

    def later_starts(self, problem: EstimationProblem) -> Iterator[Array]:
        """Yield start values to try after the first maximum, until several agree. The default yields none."""
        return iter(())

    def other_local_maxima(self, problem: EstimationProblem, params: Array) -> list[Array]:
        """Return points that may lead to a higher maximum than ``params``. The default is an empty list."""
        return []

    def mirrored(self, problem: EstimationProblem, params: Array, near: Array) -> Array:
        """Return the sign-equivalent parameters closest to ``near``; by default ``params`` itself."""
        return params

    @property
    def has_average_information(self) -> bool:
        """Whether `average_information` exists, and takes less time than differences of the score."""
        return False

    def estimate(self, request: FitRequest) -> FitResult:
        """Check the sample and run a fit. The state of the model does not change."""
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
        """Raise `UnsupportedError` if a user overrides the log-likelihood or score, which `fit` ignores."""
        found = overrides(self)
        names = [name for name in ("loglike", "score", "ssm.loglike") if name in found]
        if names:
            raise UnsupportedError(
                "`fit` maximises the log-likelihood of the declared matrices and would ignore an override",
                got=f"{names[0]} of {found[names[0]]}",
                remedy="Subclass `MLEModel` with `ExactScoreMixin` for a likelihood of your own. If the "
                'override changes no value, set the class attribute likelihood_neutral = ("loglike",).',
            )

    def maximum(self, start_params: Array | None, fixed: Mapping[str, float]) -> FitResult:
        """
        Maximise the likelihood by a gradient method with fixed parameters, without a results object.

        Parameters
        ----------
        start_params : ndarray or None
            A full parameter vector. None selects the default start values.
        fixed : mapping of str to float
            Values of the fixed parameters by name.
        """
        with self.fix_params(fixed):
            return self.estimate(FitRequest(start_params=start_params, method="lbfgs"))

    @contextmanager
    def preserved(self) -> Iterator[None]:
        """Restore the representation on exit. Only one thread can enter at a time."""
        with preserved(self, in_place=False):  # `update` replaces arrays
            written = self._written_initialization
            try:
                yield
            finally:
                self._written_initialization = written

    def params_from_matrices(self, matrices: Mapping[str, object]) -> Array:
        """
        Return the parameter vector that corresponds to given matrices.

        Parameters of the other matrices have their default start values.

        Parameters
        ----------
        matrices : mapping
            Arrays by the name of their block: "design", "transition", "obs_cov", ...
        """
        blocks = self.layout.blocks
        unknown = [key for key in matrices if key not in blocks]
        if unknown:
            raise ParameterError("Unknown matrices", got=unknown, expected=f"names among {list(blocks)}")
        arrays = {key: _in_shape(value, key, blocks[key].shape) for key, value in matrices.items()}
        covered = {name for key in arrays for name in blocks[key].names}
        base = np.zeros(len(self.layout)) if covered == set(self.layout.names) else self.start_params
        return self.layout.project(arrays, base)

    def _start_vector(self, start_params: object, transformed: bool, includes_fixed: bool) -> Array | None:
        """Return the full start vector from any form that `fit` accepts."""
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
        callback: Callable[[Array], object] | None = None,
        return_params: bool = False,
        *,
        low_memory: bool = False,
        tolerance: float = 1e-6,
        n_starts: int = 1,
        rng: object = None,
        progress: bool = False,
        estep: str = "auto",
        n_jobs: int | None = 1,
        **kwargs: object,
    ) -> R:
        """
        Estimate the parameters.

        Parameters
        ----------
        start_params : array_like, Series, dict, optional
            Start values: a flat array, values by parameter name, or a dict of matrices by name ("design",
            ...). Methods other than EM move a singular covariance matrix into the interior: they add a part
            of the default one.
        transformed, includes_fixed : bool
            As in `MLEModel.fit`. ``transformed`` has no effect, since the parameters are the variances and
            covariances themselves.
        cov_type : {"oim", "opg", "robust", "harvey", "approx", "none"}, optional
            Estimator of the covariance of the estimates. "oim" (default) uses the second derivatives of the
            log-likelihood, "opg" the scores of the periods, "robust" both, "harvey" the derivatives of the
            forecast errors, and "approx" differences of the log-likelihood. You can also pass a `CovType`.
            With "none", identification is not checked before it is needed.
        cov_kwds : dict, optional
            Must be empty, since ``cov_type`` has no options.
        method : {"auto", "em", "accelerated-em", "lbfgs", "bfgs", "cg", "newton", "nm", "powell"}
            "auto" runs L-BFGS with the exact score. If that is slow or stops early, it continues in
            coordinates scaled by the second derivatives. "em" is plain EM. "accelerated-em" adds quasi-Newton
            steps to EM, and rejects steps that decrease the log-likelihood.
        maxiter : int, optional
            Maximum number of iterations (2000; 500 for EM of an `ATSM`).
        full_output : bool
            Whether to set ``mle_retvals``.
        disp : bool
            Whether to print the log-likelihood of each iteration.
        callback : callable, optional
            Function that is called with the parameters after each iteration.
        return_params : bool
            Whether to return only the parameters.
        low_memory : bool
            Whether to discard the output of the filter.
        tolerance : float
            EM tests for convergence when the relative change in the log-likelihood is below ``tolerance``
            and that in each parameter is below its square root. With zero, EM runs exactly ``maxiter``
            iterations.
        n_starts : int
            Number of starts: the default start and random ones. Without ``start_params``, models whose
            likelihoods often have several maxima add inexpensive starts. An `LGSSM` with free loadings adds
            starts until several agree. The summary and ``mle_retvals`` report how many starts reached the
            best log-likelihood.
        rng : numpy.random.Generator or int, optional
            Random number generator or seed of the random starts.
        progress : bool
            Whether to show a progress bar with the log-likelihood (needs tqdm).
        estep : {"auto", "fast", "collapsed", "statsmodels"}
            E-step of EM. "statsmodels" is the smoother of statsmodels. "fast" needs constant matrices and
            complete data. "collapsed" reduces the observations of each period to the number of states, and
            allows incomplete data and a time-varying transition. All return the same values. "auto" selects
            "fast" where it is valid, and otherwise "collapsed" if there are at least twice as many series as
            states.
        n_jobs : int, optional
            Number of joblib processes for several starts. The result does not depend on it. None uses the
            setting of `joblib.parallel_config`, or one process. With worker processes, ``disp`` and
            ``progress`` have no effect and ``callback`` is not called.
        **kwargs
            Options of the optimiser (`scipy.optimize.minimize`).

        Returns
        -------
        StateSpaceResults
            Results of the class that belongs to the model, such as `LGSSMResults`. With ``return_params``, an
            array of parameters.

        Notes
        -----
        After the fit, the model holds the system matrices at the estimates.

        With every method, a fit has converged if the largest scaled score is below 1e-3 and the predicted
        gain :math:`s'I^{-1}s/2` is below 1e-6. Here s is the score, and I is the observed information, which
        enters only through products with vectors. A direction counts as not identified if its curvature is
        less than 1e-6 of the curvature with complete data. If the likelihood is unbounded, the fit stops
        before it diverges, and ``mle_retvals["task"]`` states the reason.

        Ctrl-C stops a fit at the best parameters so far. ``converged`` is then False, and a warning and the
        summary state the reason.

        Raises
        ------
        DataError, ParameterError, SpecificationError
            If the sample, the start values or an option are invalid.
        """
        cov_type = "oim" if cov_type is None else cov_type
        kind = cov_type_of(cov_type)
        _refuse_options(cov_kwds)
        shows = n_jobs == 1
        request = FitRequest(
            start_params=self._start_vector(start_params, transformed, includes_fixed),
            method=method, maxiter=maxiter, tolerance=tolerance, n_starts=n_starts, rng=rng,
            disp=shows and bool(disp), progress=shows and progress, callback=callback, estep=estep,
            n_jobs=n_jobs, options=kwargs,
        )  # fmt: skip
        outcome = self.estimate(request)
        if return_params:
            self.update(outcome.params, includes_fixed=True)
            return cast(R, outcome.params)
        for message, category in outcome.warnings:
            warn(message, category)
        run = partial(self.filter, low_memory=True) if low_memory else self.smooth
        res = run(outcome.params, includes_fixed=True, cov_type=cov_type, cov_kwds=cov_kwds)
        res._results.attach(outcome, full_output)
        if kind.name != "none":
            _ = res.identification  # it warns of parameters that are not identified
        return cast(R, res)


def _refuse_options(cov_kwds: object) -> None:
    if not (cov_kwds is None or isinstance(cov_kwds, Mapping) and not cov_kwds):
        raise SpecificationError(
            "Covariance options (cov_kwds) are not supported", got=repr(cov_kwds), remedy="Leave them out."
        )


def _in_shape(value: object, key: str, shape: tuple[int, int]) -> Array:
    """Return the start values of a matrix in its shape; a vector may be flat."""
    array = real_array(value, key)
    flat = shape[1] == 1 and array.shape == shape[:1] or shape == (1, 1) and array.ndim == 0
    if not (flat or array.shape == shape):
        raise ParameterError(f"{key} has the wrong shape", got=array.shape, expected=shape)
    if not np.all(np.isfinite(array)):
        raise ParameterError(f"{key} has start values that are not finite", got=array)
    return array.reshape(shape)
