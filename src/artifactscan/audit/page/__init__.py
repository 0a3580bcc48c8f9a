"""A night as a page, as Markdown and as CSV: pure functions of a report."""
