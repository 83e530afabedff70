"""Scenes that are made, not measured, with a known truth."""
