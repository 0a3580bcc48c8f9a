"""The four artifact labels, in the order every tensor, card and table keeps them.

Source: *Simple Visual Artifact Detection in Sora-Generated Videos*, arXiv 2504.21334.
"""

LABELS: tuple[str, ...] = ("boundary", "texture", "motion", "object")
"""Names of the labels; logit ``i`` of a checkpoint belongs to ``LABELS[i]``."""

SCORE_COLUMNS: tuple[str, ...] = tuple(f"p_{label}" for label in LABELS)
"""The columns of the frames table that hold the probabilities, in label order."""
