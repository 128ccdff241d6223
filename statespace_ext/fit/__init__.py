"""Estimation: start values, EM, gradient methods and multiple starts."""
