"""Heat maps of where in a frame a checkpoint sees each label: which frames, the maps, the pictures and their index."""
