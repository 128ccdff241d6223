"""What touches statsmodels for any state-space model: smoothing to arrays, E-step, exact score."""
