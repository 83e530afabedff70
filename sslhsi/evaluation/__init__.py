"""Labelled scenes, what is compared on them, and the rows that are measured."""
