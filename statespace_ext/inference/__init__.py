"""Inference: standard errors, identification, bootstrap, profile likelihood and model selection."""
