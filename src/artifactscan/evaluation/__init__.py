"""How far a checkpoint can be trusted: splits, metrics with intervals over videos, calibration, thresholds, reports."""
