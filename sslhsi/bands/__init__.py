"""The spectral axis: resampling, moments and the projection into a common space."""
