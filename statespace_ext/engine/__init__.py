"""The interface to statsmodels for any state-space model: smoothing to arrays, E-step and exact score."""
