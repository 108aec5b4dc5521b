"""Data sets: which slices there are, whose they are, how they are split, normalised and augmented."""
