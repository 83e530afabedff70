"""Supervised training of a pretrained backbone: layer by layer, or all at once."""
