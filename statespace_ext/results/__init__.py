"""Results of the package."""
