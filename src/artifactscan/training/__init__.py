"""From labelled frames to trained weights: frame table, augmentation, loss, optimiser, one epoch, and its history."""
