"""Augmentation keeps what a frame shows."""

import pytest
import torch

from artifactscan.decode.input_spec import InputSpec
from artifactscan.model.backbone import probe_frames
from artifactscan.training.augment import augment


@pytest.fixture
def frames() -> torch.Tensor:
    return torch.from_numpy(probe_frames(InputSpec(height=24, width=40), count=64)).permute(0, 3, 1, 2)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_seed_decides(frames: torch.Tensor) -> None:
    first = augment(frames, seeded(1))
    assert first.dtype == torch.float32
    assert first.shape == frames.shape
    assert first.min() >= 0
    assert first.max() <= 255
    assert torch.equal(first, augment(frames.float(), seeded(1)))
    assert not torch.equal(first, augment(frames, seeded(2)))


def test_nothing_asked_nothing_done(frames: torch.Tensor) -> None:
    assert torch.equal(augment(frames, seeded(0), flip=False, colour=0, crop=0), frames.float())


def test_half_are_mirrored_left_to_right_and_none_upside_down(frames: torch.Tensor) -> None:
    flipped = augment(frames, seeded(0), colour=0, crop=0)
    same = (flipped == frames).all(dim=(1, 2, 3))
    mirrored = (flipped == frames.flip(-1)).all(dim=(1, 2, 3))
    assert (same | mirrored).all()
    assert 20 <= mirrored.sum() <= 44


def test_half_are_cropped_by_no_more_than_asked() -> None:
    columns = torch.arange(100.0).expand(64, 3, 50, 100)
    cropped = augment(columns, seeded(0), flip=False, colour=0, crop=0.1)
    kept = (cropped == columns).all(dim=(1, 2, 3))
    assert 20 <= kept.sum() <= 44
    span = (cropped[:, 0, 25, -1] - cropped[:, 0, 25, 0])[~kept]
    assert (span >= 89).all()
    assert (span < 99.01).all()


def test_colours_change_mildly_and_edges_stay(frames: torch.Tensor) -> None:
    recoloured = augment(frames, seeded(0), flip=False, colour=0.1, crop=0)
    assert 1 < (recoloured - frames).abs().mean() < 20

    def edges(pictures: torch.Tensor) -> torch.Tensor:
        return pictures.float().diff(dim=-1).abs().mean(dim=(1, 2, 3))

    ratio = edges(recoloured) / edges(frames)
    assert (ratio > 0.7).all()  # all three at their lowest
    assert (ratio < 1.35).all()
