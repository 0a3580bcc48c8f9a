"""Frames to label: which frames of which videos are wanted, image files of them, and the index and ledger left."""
