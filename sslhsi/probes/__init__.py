"""Frozen features judged by k-NN, a linear probe or an SVM, with the metrics of the field; NumPy alone."""
