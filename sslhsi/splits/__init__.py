"""Which pixels train and which test: random, spatially disjoint, published; NumPy alone."""
