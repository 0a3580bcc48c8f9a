"""Checkpoints: their folder format, the timm backbone built from one, and the classifier that scores frames with it."""
