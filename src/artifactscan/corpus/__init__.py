"""The corpus: which videos there are to score."""
