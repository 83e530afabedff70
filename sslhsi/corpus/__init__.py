"""Scenes prepared for training: masks, the common projection, a reader of windows and a sampler."""
