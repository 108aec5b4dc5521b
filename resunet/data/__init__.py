"""Slices and masks: layouts, readers, splits, transforms and the simulator."""
