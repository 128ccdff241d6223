"""Names that the library defines and does not use itself, for `vulture`; each group says who uses them."""

# Users call these on models and results.
_.declare
_.impute
_.lgssm
_.residuals
_.as_latex
_.plot_em_trace
_.to_arviz
_.outliers
_.augment
_.plot_diagnostics
_.get_forecast
_.plot_forecast
_.irf
_.fevd
_.historical_decomposition
_.t_test_pairwise
_.rolling
_.glance
_.rotate
_.correlations
_.test_alpha
_.portfolio
_.fit_measures
_.test_constancy
_.lgssm
_.test_coefficients
_.test_serial_correlation
_.pvalue_chi2
_.predictions
_.forward_curve
_.expected_short_rate
_.zero_prices
_.pricing_error_summary
_.forecast_yields
_.curve_responses
_.plot_loadings
_.plot_fit
_.plot_term_premium
_.plot_curve
_.remove_data
_.bse_of
_.loglike_parts
_.score_obs
_.observed_information_matrix
_.opg_information_matrix
_.cov_params_approx
_.hqic
_.cov_params_oim
_.cov_params_opg
_.cov_params_robust_oim

# A model's class says by this attribute that its overrides keep the likelihood; it is read by name.
_.likelihood_neutral

# Notebooks call this.
_._repr_html_

# statsmodels calls or reads these.
_.transform_params
_.untransform_params
_._get_init_kwds
_._get_robustcov_results
_._news_previous_results
_.mlefit
_.datatype
_._init_dates
_._get_index_with_final_state
_._get_prediction_index
base_index
_.predict_start
_.predict_end
_._index_generated
_._index_none
_._index_int64
_._index_inferred_freq
_._statespace
_._time_invariant
_._initializations
_.initialize_statespace
_._SmootherResults__smoothed_state_autocovariance
_._smoothed_forecasts
_._smoothed_forecasts_error
_._smoothed_forecasts_error_cov
_.smoothed_measurement_disturbance_cov

# sktime calls these.
_._fit
_._update
_._predict
_._predict_var
_._predict_quantiles
_._get_fitted_params
_.get_test_params
parameter_set

# Conditions of the filters, each looked up by the name of its filter.
_._conventional
_._univariate_collapsed
_._chandrasekhar

# Python calls or reads these: names of the package on first use (PEP 562), the type of a representation.
__getattr__
_.__class__

# Types of what statsmodels defines; users read them.
_.tvalues
_.zvalues
_.pvalues
_.fittedvalues
_.resid
dynamic

# Fields of tuples that are unpacked.
_.filtered_cov
_.closing

# numpy writes into the array that is iterated over.
equation
