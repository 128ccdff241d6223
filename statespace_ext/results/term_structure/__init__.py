"""What the results of `ATSM` compute, by subject."""
