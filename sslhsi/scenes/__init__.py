"""Files of many formats read as scenes: cube, wavelengths, labels, mask."""
