"""The Gaussian affine term structure model."""
