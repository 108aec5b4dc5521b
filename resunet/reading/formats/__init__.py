"""Readers by file format, what they share, and the writer of DICOM segmentations."""
