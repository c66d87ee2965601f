"""What detectors of stacked log-mel frames have in common."""
