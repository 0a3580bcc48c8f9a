"""Fine-tuning on Ray Train: measure on held-out frames, train on all of them, write the checkpoint."""
