"""Datasets of the package."""
