"""Plots of the package."""
