"""A corpus of small drawn clips, and clips with coloured marks in place of artifacts: for demos and tests."""
