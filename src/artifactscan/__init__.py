"""artifactscan: finds four kinds of visual artifacts in AI-generated video."""

__version__ = "0.1.0"
