"""The nightly audit: measures what is new in a corpus, decides in verdict.py whether it got worse, writes a page."""
