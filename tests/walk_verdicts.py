"""
Every public name of statsmodels' results, smoother results and models: how to call it, and a verdict.

A call is a function of a `walk.Case`. The verdict of a name is one of

- ``same``: the answer is that of a plain `MLEModel` with the same matrices;
- ``own(why)``: ours differs on purpose; the test named in ``why``, or the reason, says from what;
- ``needs(which)``: there is nothing to call without what is named.

A name with ``holds=True`` reads what the model holds: it is called after the model was used for something
else and then smoothed at the parameters again, with reading calls in between. A name with ``writes=True`` may
write the model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from statespace_ext.engine.compat import VERSION


@dataclass(frozen=True)
class Verdict:
    call: Callable[[Any], Any] | None
    why: str = ""
    rtol: float = 1e-8
    holds: bool = False
    writes: bool = False
    attribute: bool = False
    """Whether the call only reads what results or a model have, so that several share one result."""
    skip: tuple[str, ...] = ()
    """Subjects for which ``why`` holds; for all where it is empty and ``why`` is not."""

    def is_own(self, subject: str) -> bool:
        """Tell whether the answer for a subject differs on purpose from that of a plain model."""
        return bool(self.why) and (not self.skip or subject in self.skip)


def same(call: Callable[[Any], Any], **options: Any) -> Verdict:
    return Verdict(call, **options)


def own(why: str, call: Callable[[Any], Any], **options: Any) -> Verdict:
    return Verdict(call, why, **options)


def needs(which: str) -> Verdict:
    return Verdict(None, f"needs {which}")


def read(name: str) -> Verdict:
    return same(lambda c: getattr(c.res, name), attribute=True)


COVARIANCE = (
    "standard errors from the exact score, computed when first read: tests/inference/test_information.py"
)
IDENTIFIED = "flat directions of the likelihood are not counted: tests/inference/test_identification.py"
TOLERANCE = "filters of the package have no absolute tolerance: tests/engine/test_compat.py"
STEPS = "the steps of statsmodels are larger than the variances of yields: tests/engine/test_arguments.py"
UNSEEN = "residuals of missing values are left out, where statsmodels has zeros: tests/base/test_reporting.py"
COUNTED = "observed values and periods with a value count: tests/base/test_criteria.py"
DIFFUSE = (
    "statsmodels has zeros for Cov(x_{t+1}, x_t|Y), and no smoothing errors of the series, in exact-diffuse "
    "periods; ours are those of a dense joint Gaussian: tests/engine/test_exact_start.py"
)
EXACT = ("DynamicRegression", "CAPM", "SmoothTrends")
OURS = ("LGSSM", "LGSSM with regressors", "DynamicRegression", "CAPM", "ATSM", "SmoothTrends")


def _regressors(c: Any, periods: int) -> dict[str, Any]:
    return c.subject.future(periods)


def _saved(c: Any) -> Any:
    path = c.folder / "results.pickle"
    c.res.save(path)
    return type(c.res).load(path)


def _contrast(c: Any) -> Any:
    """Return a contrast of the first parameter that has a standard error."""
    known = np.flatnonzero(np.isfinite(np.asarray(c.res.bse)))
    return np.eye(len(c.params))[known[:1]]


RESULTS: dict[str, Verdict] = {
    **{
        name: read(name)
        for name in (
            "filtered_state filtered_state_cov fittedvalues forecasts "
            "forecasts_error forecasts_error_cov forecasts_error_diffuse_cov k_diffuse_states llf "
            "llf_obs loglikelihood_burn nobs nobs_diffuse nobs_effective predicted_diffuse_state_cov "
            "predicted_state predicted_state_cov scale scaled_smoothed_estimator "
            "scaled_smoothed_estimator_cov smoothed_measurement_disturbance "
            "smoothed_measurement_disturbance_cov smoothed_state "
            "smoothed_state_cov smoothed_state_disturbance smoothed_state_disturbance_cov "
            "states params param_names fixed_params k_constant use_t resid mae mse "
            "sse filter_results smoother_results"
        ).split()
    },
    **{
        name: own(DIFFUSE, lambda c, name=name: getattr(c.res, name), attribute=True, skip=EXACT)
        for name in ("smoothed_state_autocov", "smoothing_error")
    },
    **{
        name: own(COVARIANCE, lambda c, name=name: getattr(c.res, name), rtol=1e-6, attribute=True)
        for name in (
            "bse cov_kwds cov_params_approx cov_params_default cov_params_oim cov_params_opg "
            "cov_params_robust cov_params_robust_approx cov_params_robust_oim cov_type "
            "normalized_cov_params pvalues tvalues zvalues"
        ).split()
    },
    "aic": own(IDENTIFIED, lambda c: c.res.aic, attribute=True, skip=OURS),
    "df_model": own(IDENTIFIED, lambda c: c.res.df_model, attribute=True),
    "df_resid": own(IDENTIFIED, lambda c: c.res.df_resid, attribute=True),
    "standardized_forecasts_error": own(
        UNSEEN, lambda c: c.res.standardized_forecasts_error, attribute=True, skip=OURS
    ),
    **{
        name: own(COUNTED, lambda c, name=name: getattr(c.res, name), attribute=True, skip=OURS)
        for name in ("aicc", "bic", "hqic")
    },
    "data": same(lambda c: c.res.data.endog, attribute=True),
    "model": same(lambda c: c.res.model.endog, attribute=True),
    **{
        name: own(COVARIANCE, call, rtol=1e-6, attribute=True)
        for name, call in {
            "cov_params": lambda c: c.res.cov_params(),
            "conf_int": lambda c: c.res.conf_int(),
            "t_test": lambda c: c.res.t_test(_contrast(c)) if len(_contrast(c)) else None,
            "f_test": lambda c: c.res.f_test(_contrast(c)) if len(_contrast(c)) else None,
            "wald_test": lambda c: c.res.wald_test(_contrast(c), scalar=True) if len(_contrast(c)) else None,
        }.items()
    },
    "t_test_pairwise": needs("a design with terms of a formula: statsmodels has it for regressions alone"),
    "wald_test_terms": needs("a design with terms of a formula: statsmodels has it for regressions alone"),
    "initialize": needs("other params: it is the second half of the constructor"),
    "load": same(_saved),
    "save": same(_saved),
    "remove_data": needs("an interpreter of its own: test_without_data"),
    "summary": own("tables of our own: tests/base/test_reporting.py", lambda c: c.text(c.res.summary())),
    "append": same(lambda c: c.res.append(c.subject.more(), **c.subject.more_regressors())),
    "extend": same(lambda c: c.res.extend(c.subject.more(), **c.subject.more_regressors())),
    "apply": same(lambda c: c.res.apply(c.subject.longer(), **c.subject.longer_regressors())),
    "forecast": same(lambda c: c.res.forecast(3, **_regressors(c, 3))),
    "get_forecast": same(lambda c: c.res.get_forecast(3, **_regressors(c, 3))),
    "get_prediction": same(lambda c: c.res.get_prediction(2, c.nobs + 1, dynamic=3, **_regressors(c, 2))),
    "predict": same(
        lambda c: [
            c.res.predict(end=c.nobs, information_set=kind, **_regressors(c, 1)) for kind in c.information
        ]
    ),
    "get_smoothed_decomposition": same(
        lambda c: [c.res.get_smoothed_decomposition(kind) for kind in ("smoothed_state", "smoothed_signal")]
    ),
    "impulse_responses": same(
        lambda c: [c.res.impulse_responses(3, i, True) for i in (0, c.model.ssm.k_posdef - 1)]
    ),
    "info_criteria": own(
        IDENTIFIED,
        lambda c: [c.res.info_criteria(kind) for kind in ("aic", "bic", "hqic")],
        attribute=True,
        skip=OURS,
    ),
    "news": own(
        "statsmodels before 0.15 has weights of zero in diffuse periods: tests/base/test_news.py",
        lambda c: c.news(),
        skip=EXACT if VERSION < (0, 15) else ("none",),
    ),
    "plot_diagnostics": own(UNSEEN, lambda c: c.res.plot_diagnostics(lags=3), skip=OURS),
    "simulate": same(
        lambda c: [
            c.drawn(lambda **seed: c.res.simulate(6, **seed)),
            c.drawn(
                # without initial_state numpy draws it by singular vectors, whose signs rest on rounding
                lambda **seed: c.res.simulate(
                    3, anchor="end", initial_state=c.res.predicted_state[:, -1], **_regressors(c, 3), **seed
                )
            ),
        ]
    ),
    "test_heteroskedasticity": own(UNSEEN, lambda c: c.res.test_heteroskedasticity("breakvar"), skip=OURS),
    "test_normality": own(UNSEEN, lambda c: c.res.test_normality("jarquebera"), skip=OURS),
    "test_serial_correlation": own(
        UNSEEN, lambda c: c.res.test_serial_correlation("ljungbox", lags=3), skip=OURS
    ),
}
"""Names of `MLEResults`, of its instances and of its wrapper."""

SMOOTHER: dict[str, Verdict] = {
    **{
        name: same(lambda c, name=name: getattr(c.res.smoother_results, name), attribute=True)
        for name in (
            "M M_diffuse collapsed_forecasts collapsed_forecasts_error collapsed_forecasts_error_cov "
            "conserve_memory design dtype endog filter_augmented filter_chandrasekhar "
            "filter_collapsed filter_concentrated filter_conventional filter_exact_initial "
            "filter_extended filter_method filter_square_root filter_timing filter_univariate "
            "filter_unscented filtered_state filtered_state_cov forecasts forecasts_error "
            "forecasts_error_cov forecasts_error_diffuse_cov initial_diffuse_state_cov initial_state "
            "initial_state_cov innovations_transition initialization k_endog k_posdef k_states "
            "kalman_gain llf llf_obs loglikelihood_burn memory_conserve memory_no_filtered "
            "memory_no_filtered_cov memory_no_filtered_mean memory_no_forecast memory_no_forecast_cov "
            "memory_no_forecast_mean memory_no_gain memory_no_likelihood memory_no_predicted "
            "memory_no_predicted_cov memory_no_predicted_mean memory_no_smoothing "
            "memory_no_std_forecast memory_store_all missing missing_forecasts "
            "missing_forecasts_error missing_forecasts_error_cov nmissing nobs nobs_diffuse obs_cov "
            "obs_intercept initial_variance predicted_diffuse_state_cov predicted_state "
            "predicted_state_cov prefix scale scaled_smoothed_diffuse1_estimator_cov "
            "scaled_smoothed_diffuse2_estimator_cov scaled_smoothed_diffuse_estimator "
            "scaled_smoothed_estimator scaled_smoothed_estimator_cov "
            "scaled_smoothed_estimator_cov_presample scaled_smoothed_estimator_presample selection "
            "shapes smoothed_forecasts smoothed_forecasts_error smoothed_forecasts_error_cov "
            "smoothed_measurement_disturbance smoothed_measurement_disturbance_cov smoothed_state "
            "smoothed_state_cov smoothed_state_disturbance "
            "smoothed_state_disturbance_cov smoother_all smoother_disturbance "
            "smoother_disturbance_cov smoother_output smoother_state smoother_state_autocov "
            "smoother_state_cov stability_force_symmetry stability_method state_cov "
            "state_intercept time_invariant transition univariate_filter"
        ).split()
    },
    **{
        name: replace(RESULTS[name], call=lambda c, name=name: getattr(c.res.smoother_results, name))
        for name in ("smoothed_state_autocov", "smoothing_error")
    },
    **{
        name: own(TOLERANCE, lambda c, name=name: getattr(c.res.smoother_results, name), attribute=True)
        for name in (
            "converged period_converged tolerance inversion_method invert_cholesky invert_lu "
            "invert_univariate solve_cholesky solve_lu tmp1 tmp2 tmp3 tmp4"
        ).split()
    },
    "standardized_forecasts_error": replace(
        RESULTS["standardized_forecasts_error"],
        call=lambda c: c.res.smoother_results.standardized_forecasts_error,
    ),
    "model": same(lambda c: c.res.smoother_results.model, attribute=True),
    "news": same(lambda c: c.raw_news()),
    "get_smoothed_decomposition": same(lambda c: c.res.smoother_results.get_smoothed_decomposition()),
    "predict": same(lambda c: c.past_the_sample()),
    "smoothed_state_autocovariance": own(
        DIFFUSE,
        lambda c: (
            [c.res.smoother_results.smoothed_state_autocovariance(lag) for lag in (0, 1, 2)]
            + [c.state_autocovariance_past_the_sample()]
        ),
        skip=EXACT,
    ),
    "smoothed_state_gain": own(
        DIFFUSE,
        lambda c: c.res.smoother_results.smoothed_state_gain([(1, 0), (2, 0)], t=3),
        skip=EXACT,
    ),
    "update_filter": needs("a compiled filter: it is the second half of a pass"),
    "update_representation": needs("a representation: it is the first half of a pass"),
    "update_smoother": needs("a compiled smoother: it is the last part of a pass"),
}
"""Names of `SmootherResults`."""

MODEL: dict[str, Verdict] = {
    **{
        name: same(lambda c, name=name: getattr(c.model, name), attribute=True)
        for name in (
            "endog endog_names exog exog_names k_endog k_states nobs param_names state_names k_constant"
        ).split()
    },
    **{
        name: same(lambda c, name=name: getattr(c.model, name), holds=True)
        for name in "initial_variance loglikelihood_burn".split()
    },
    "tolerance": own(TOLERANCE, lambda c: c.model.tolerance, attribute=True),
    "initialization": same(lambda c: c.start_of(c.model.ssm), holds=True),
    "ssm": same(lambda c: [*c.passes(c.model.ssm), c.model["transition"], c.model["obs_cov"]], holds=True),
    "simulation_smoother": own(
        "statsmodels' draws are wrong after a variance of zero: tests/engine/test_draws.py",
        lambda c: c.simulation_smoothers(c.model),
        holds=True,
        skip=("DynamicRegression",),
    ),
    "data": same(lambda c: c.model.data.endog, attribute=True),
    "start_params": own("start values of our own", lambda c: c.model.start_params),
    "clone": same(
        lambda c: c.model.clone(c.subject.longer(), **c.subject.longer_regressors()).smooth(c.params)
    ),
    "filter": same(lambda c: c.model.filter(c.params), writes=True),
    "smooth": same(lambda c: c.model.smooth(c.params), writes=True),
    "fit": own("optimisers of our own", lambda c: c.short_fit(c.model.fit), writes=True, rtol=1e-6),
    "fit_constrained": own("optimisers of our own", lambda c: c.constrained_fit(), writes=True, rtol=1e-6),
    "fix_params": same(lambda c: c.fixed()),
    "from_formula": needs("a model that takes formulas: tests/base/test_formula.py"),
    "handle_params": same(lambda c: c.model.handle_params(c.params)),
    "loglike": same(lambda c: c.model.loglike(c.params)),
    "loglikeobs": same(lambda c: c.model.loglikeobs(c.params)),
    "score": same(lambda c: c.score(), rtol=1e-5),
    "score_obs": own(
        STEPS,
        lambda c: c.model.score_obs(c.params, approx_complex_step=False, approx_centered=True),
        rtol=1e-6,
        skip=("ATSM",),
    ),
    "hessian": own(
        "differences of the exact score: tests/inference/test_information.py",
        lambda c: c.model.hessian(c.params),
        rtol=1e-6,
    ),
    "information": needs("an implementation: statsmodels has none for these models"),
    "observed_information_matrix": own(
        "NaN in statsmodels where a value is missing: tests/inference/test_information.py",
        lambda c: c.model.observed_information_matrix(
            c.params, approx_complex_step=False, approx_centered=True
        ),
        rtol=1e-6,
    ),
    "opg_information_matrix": own(
        STEPS,
        lambda c: c.model.opg_information_matrix(c.params, approx_complex_step=False, approx_centered=True),
        rtol=1e-6,
        skip=("ATSM",),
    ),
    "impulse_responses": same(lambda c: c.model.impulse_responses(c.params, 3)),
    "simulate": same(
        lambda c: c.drawn(
            lambda **seed: c.model.simulate(c.params, 6, initial_state=np.zeros(c.model.k_states), **seed)
        )
    ),
    "initialize": needs("nothing: it is the last part of the constructor"),
    "initialize_approximate_diffuse": needs("nothing of a result: it sets the start"),
    "initialize_known": needs("nothing of a result: it sets the start"),
    "initialize_stationary": needs("nothing of a result: it sets the start"),
    "initialize_statespace": needs("nothing of a result: it is a part of the constructor"),
    "predict": needs("an implementation: statsmodels has none for these models"),
    "prepare_data": same(lambda c: c.model.prepare_data()[0]),
    **{
        f"set_{name}": same(lambda c, name=name: getattr(c.model, f"set_{name}")(None), writes=True)
        for name in "conserve_memory filter_method inversion_method smoother_output stability_method".split()
    },
    "transform_jacobian": own(
        "parameters are not transformed here",
        lambda c: c.model.transform_jacobian(c.unconstrained()),
        skip=OURS,
        rtol=1e-6,
    ),
    "transform_params": same(lambda c: c.model.transform_params(c.unconstrained())),
    "untransform_params": same(lambda c: c.model.untransform_params(c.params)),
    "update": same(
        lambda c: (c.model.update(c.params), [c.model[name] for name in c.matrices])[1], writes=True
    ),
}
"""Names of `MLEModel` and of its instances."""

GROUPS = {"results": RESULTS, "smoother": SMOOTHER, "model": MODEL}
