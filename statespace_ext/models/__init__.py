"""Models: they declare structure, parse input and write matrices."""
