"""Extraction: list, score with the given checkpoints, choose frames, write images, leave index, ledger and exports."""
