"""Evaluation of a checkpoint on labelled frames, with the scoring job's own decoder and classifier."""
