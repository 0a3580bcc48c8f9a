"""Frames that people label: which ones, in which tool, and what comes back as one table."""
