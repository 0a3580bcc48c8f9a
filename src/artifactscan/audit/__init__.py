"""The nightly audit: measures what is new in a corpus, judges whether it got worse, and writes a page."""
