"""Numerical building blocks: pure functions on arrays."""
