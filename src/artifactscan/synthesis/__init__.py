"""Clips of which it is known what is wrong with them: artifacts injected into clean clips and drawn scenes.

Positive controls for tests, canaries for audits, extra clips for training; deterministic by seed.
"""

from artifactscan.synthesis.artifact import (
    BOXES,
    CLIP_VARIANTS,
    MIN_FRAMES,
    SCENE_VARIANTS,
    Artifact,
    Box,
    SyntheticClip,
    clean_clip,
)
from artifactscan.synthesis.inject import inject, inject_into_scene
from artifactscan.synthesis.scene import Scene, random_scene

__all__ = [
    "BOXES",
    "CLIP_VARIANTS",
    "MIN_FRAMES",
    "SCENE_VARIANTS",
    "Artifact",
    "Box",
    "Scene",
    "SyntheticClip",
    "clean_clip",
    "inject",
    "inject_into_scene",
    "random_scene",
]
