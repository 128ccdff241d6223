"""The model and the results that every family builds on."""
