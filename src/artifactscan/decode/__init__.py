"""From a video file to sampled frames: which packets to decode, pixels at the checkpoint's size, and video outcomes."""
