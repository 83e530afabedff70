"""The parts of the training loop: schedule, optimiser, checkpoints, provenance."""
