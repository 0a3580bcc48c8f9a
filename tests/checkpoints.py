"""A checkpoint for tests that score nothing."""

from safetensors.numpy import save

from artifactscan.checkpoint import Card, Checkpoint
from artifactscan.inputs import InputSpec

CHECKPOINT = Checkpoint(card=Card(backbone="any", input=InputSpec(height=48, width=80)), weights=save({}))
"""One that nothing can be scored with."""
