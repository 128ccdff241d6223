"""Inference: information and standard errors, identification."""
