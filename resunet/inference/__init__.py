"""From a slice to probabilities and masks: runs exported graphs on OpenVINO and needs no PyTorch."""
