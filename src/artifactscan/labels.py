"""The four artifact labels, in the order every tensor, card and table keeps them.

Source: *Simple Visual Artifact Detection in Sora-Generated Videos*, arXiv 2504.21334.
"""

LABELS: tuple[str, ...] = ("boundary", "texture", "motion", "object")
"""Names of the labels; logit ``i`` of a checkpoint belongs to ``LABELS[i]``."""

MACRO = "macro"
"""Stands in place of a label for the mean of a figure over the labels."""

SCORE_COLUMNS: tuple[str, ...] = tuple(f"p_{label}" for label in LABELS)
"""The columns of the frames table that hold the probabilities, in label order."""

SEVERITY_COLUMNS: tuple[str, ...] = tuple(f"severity_{label}" for label in LABELS)
"""The columns of the labels table that hold the grades, in label order."""

MAX_SEVERITY = 3
"""Grades: 0 none, 1 slight or doubtful, 2 clear, 3 gross; means of several annotators lie between."""

SEVERITY_POSITIVE = 1.5
"""A frame shows a label from this mean severity on; of whole grades these are 2 and 3."""
