"""The nightly audit: what is new in a corpus, which artifacts it shows, whether it got worse, and a page to act on."""
