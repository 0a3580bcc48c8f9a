"""A night as an HTML page, as Markdown and as CSV: pure functions of a report."""
