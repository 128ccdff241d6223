"""Dynamic regressions and the CAPM: static alphas, moving betas, full covariances."""
