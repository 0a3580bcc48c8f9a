"""Epochs on a small backbone without Ray."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from artifactscan.errors import UsageError
from artifactscan.model.backbone import initialise, load_model, probe_frames
from artifactscan.model.checkpoint import Checkpoint
from artifactscan.training.loop import (
    Trainer,
    check_finite,
    combine_seeds,
    predict,
    shuffled_batches,
    tuning_score,
    updates_per_epoch,
)
from artifactscan.training.optimisation import freeze, make_average, make_loss, make_optimiser, make_schedule
from artifactscan.training.recipe import TrainSettings

CPU = torch.device("cpu")
SETTINGS = TrainSettings(epochs=10, batch_frames=8, learning_rate=3e-3, ema_decay=0.5, colour=0, crop=0)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """On busy cores, several threads are up to a hundred times slower than one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def initial() -> Checkpoint:
    return initialise("test_resnet.r160_in1k", height=32, width=32)


def make_trainer(initial: Checkpoint, y: np.ndarray, settings: TrainSettings = SETTINGS) -> Trainer:
    model = load_model(initial)
    optimiser = make_optimiser(model, settings)
    trainer = Trainer(
        model=model,
        core=model,
        average=make_average(model, settings),
        loss=make_loss(settings, y),
        optimiser=optimiser,
        schedule=make_schedule(optimiser, settings, settings.epochs * updates_per_epoch(len(y), 1, 8)),
        spec=initial.card.input,
        settings=settings,
        device=CPU,
    )
    freeze(model, False)
    return trainer


@pytest.fixture(scope="module")
def data(initial: Checkpoint) -> tuple[np.ndarray, np.ndarray]:
    pixels = probe_frames(initial.card.input, count=16)
    return pixels, np.random.default_rng(0).integers(0, 2, (16, 4)).astype(np.int8)


def test_the_loss_falls_and_training_is_reproducible(initial: Checkpoint, data: tuple[np.ndarray, np.ndarray]) -> None:
    pixels, y = data
    first, second = make_trainer(initial, y), make_trainer(initial, y)
    frames_per_update: list[int] = []
    losses = [first.train_epoch(pixels, y, epoch=epoch, on_update=frames_per_update.append) for epoch in range(1, 11)]
    again = [second.train_epoch(pixels, y, epoch=epoch) for epoch in range(1, 11)]
    assert losses[-1] < losses[0] * 0.7
    assert losses == pytest.approx(again, rel=1e-4)
    assert frames_per_update == [8, 8] * 10
    assert first.updates == 20
    logits = predict(first.average.module, pixels, initial.card.input, device=CPU)
    assert tuning_score(y, logits) > 0.9


def test_logits_do_not_depend_on_the_batch(initial: Checkpoint, data: tuple[np.ndarray, np.ndarray]) -> None:
    model = load_model(initial)
    model.train()
    one, many = (predict(model, data[0], initial.card.input, device=CPU, batch=batch) for batch in (1, 16))
    assert np.abs(one - many).max() < 1e-4
    assert one.dtype == np.float32
    assert model.training
    assert predict(model, data[0][:0], initial.card.input, device=CPU).shape == (0, 4)


def test_batches_have_every_frame_once_and_nearly_equal_sizes() -> None:
    batches = list(shuffled_batches(33, 16, torch.Generator().manual_seed(0)))
    assert [len(batch) for batch in batches] == [11, 11, 11]
    assert sorted(np.concatenate(batches).tolist()) == list(range(33))


@pytest.mark.parametrize(
    ("frames", "workers", "batch", "updates"), [(33, 1, 16, 3), (33, 2, 16, 3), (1, 2, 16, 1), (64, 4, 16, 4)]
)
def test_updates_per_epoch(frames: int, workers: int, batch: int, updates: int) -> None:
    assert updates_per_epoch(frames, workers, batch) == updates


def test_a_nan_loss_raises_a_usage_error() -> None:
    check_finite(0.5, 1, SETTINGS)
    with pytest.raises(UsageError, match=r"loss became nan in epoch 3 at --learning-rate 0\.003; no checkpoint"):
        check_finite(math.nan, 3, SETTINGS)


def test_the_score_leaves_out_labels_of_one_class() -> None:
    y = np.array([[0, 1, 0, 1], [1, 1, 0, 0]])
    logits = np.array([[0.0, 1, 2, 3], [1.0, 1, 2, 4]])
    assert tuning_score(y, logits) == pytest.approx((1.0 + 0.5) / 2)
    assert math.isnan(tuning_score(y[:1], logits[:1]))


def test_seeds_differ() -> None:
    assert len({combine_seeds(0, epoch, shard) for epoch in range(20) for shard in range(4)}) == 80
