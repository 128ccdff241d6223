"""Estimation: start values, EM and gradient methods, several starts."""
