"""A checkpoint for tests that score nothing."""

from safetensors.numpy import save

from artifactscan.decode.input_spec import InputSpec
from artifactscan.model.checkpoint import Card, Checkpoint

CHECKPOINT = Checkpoint(card=Card(backbone="any", input=InputSpec(height=48, width=80)), weights=save({}))
