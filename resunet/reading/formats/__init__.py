"""One module per file format: bytes in, a Scan out."""
