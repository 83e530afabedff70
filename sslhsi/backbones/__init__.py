"""Networks, one per file: windows of components, or of bands, in; feature vectors out."""
