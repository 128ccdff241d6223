"""The EM engine: expected sums, named updates, and the driver."""
