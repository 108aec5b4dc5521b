"""You against the network: people outline the slices that the network outlines."""
