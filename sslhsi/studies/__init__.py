"""The papers' experiments, one folder each; only commands and results import from here."""
