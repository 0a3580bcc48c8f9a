"""Clips of which it is known what is wrong with them: artifacts put into clean clips and drawn scenes, by seed."""
