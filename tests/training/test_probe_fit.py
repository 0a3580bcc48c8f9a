"""The ridge regression of probes: against scikit-learn, and on frames that carry a signal."""

import numpy as np
import pytest
import safetensors.torch
import torch
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from artifactscan.decode.input_spec import InputSpec
from artifactscan.model.backbone import build_model, load_model
from artifactscan.model.checkpoint import Card, Checkpoint
from artifactscan.model.probe import ProbeModel
from artifactscan.model.probe_spec import ProbeSpec
from artifactscan.model.probe_windows import add_changes, window_logits
from artifactscan.training.embeddings import LabelledWindows
from artifactscan.training.probe_checkpoint import with_head
from artifactscan.training.probe_fit import PENALTIES, fit_probe, probe_logits

FRAMES, WIDTH = 240, 12
VIDEOS = [f"video{row // 6}" for row in range(FRAMES)]


def frames(spec: ProbeSpec, seed: int = 0) -> tuple[LabelledWindows, np.ndarray, np.ndarray]:
    """What a probe reads, targets and labels; label 0 follows feature 0, label 1 how much feature 1 changes."""
    rng = np.random.default_rng(seed)
    read = rng.normal(size=(FRAMES, 2 * spec.context_frames + 1, spec.tile_count, WIDTH)).astype(np.float32)
    middle = read[:, spec.context_frames].mean(axis=1)
    change = np.abs(np.diff(read.mean(axis=2), axis=1)).sum(axis=1)
    signals = np.stack([middle[:, 0], change[:, 1], middle[:, 2], rng.normal(size=FRAMES)], axis=1)
    targets = (signals > np.median(signals, axis=0)).astype(np.float32)
    return LabelledWindows(read, np.ones(read.shape[:2], bool)), targets, targets.astype(np.int8)


def test_the_head_is_scikit_learns_ridge_on_standardised_features() -> None:
    spec = ProbeSpec(neighbours=1)
    windows, targets, y = frames(spec)
    x = add_changes(windows.read.reshape(-1, WIDTH), [3] * FRAMES, 1)[1::3]
    z = StandardScaler().fit_transform(x.astype(np.float64))
    penalty = 0.03
    ridge = Ridge(alpha=penalty * np.sum(z * z)).fit(z, targets)
    fitted = fit_probe(windows, targets, y, VIDEOS, spec, penalties=[penalty])
    logits, wanted = probe_logits(windows, fitted.weights, spec), ridge.predict(z) - targets.mean(axis=0)
    assert np.allclose(logits / logits.std(axis=0), wanted / wanted.std(axis=0), atol=1e-4)


SPECS = [ProbeSpec(neighbours=1), ProbeSpec(neighbours=1, components=12), ProbeSpec(tiles=(1, 2))]


@pytest.mark.parametrize("spec", SPECS)
def test_held_out_scores_follow_the_signal_and_no_other(spec: ProbeSpec) -> None:
    windows, targets, y = frames(spec)
    fitted = fit_probe(windows, targets, y, VIDEOS, spec)
    area = {label: roc_auc_score(y[:, label], fitted.held_out_logits[:, label]) for label in (0, 2, 3)}
    assert area[0] > 0.8 and area[2] > 0.8
    assert 0.3 < area[3] < 0.7
    if spec.neighbours:
        assert roc_auc_score(y[:, 1], fitted.held_out_logits[:, 1]) > 0.6
    assert fitted.weights.penalty in PENALTIES


def test_one_video_gives_no_held_out_scores() -> None:
    windows, targets, y = frames(ProbeSpec())
    assert np.isnan(fit_probe(windows, targets, y, ["one"] * FRAMES, ProbeSpec()).held_out_logits).all()


@pytest.mark.parametrize("components", [0, 5])
def test_frames_of_a_clip_get_the_logits_of_the_probe_model(components: int) -> None:
    """At the ends of the clip too, where windows repeat a frame."""
    spec = ProbeSpec(
        blocks=(1,), tokens=("mean", "std"), neighbours=1, smoothing=0.5, components=components, unit_length=True
    )
    card = Card(backbone="test_resnet.r160_in1k", input=InputSpec(height=64, width=64), probe=spec)
    empty = Checkpoint(card=card, weights=safetensors.torch.save(dict(build_model(card).state_dict())))
    model = load_model(empty)
    assert isinstance(model, ProbeModel)
    clip = torch.randn(12, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        read = model.read(clip).numpy()
    positions = np.arange(12)[:, None] + np.arange(-2, 3)
    inside = (positions >= 0) & (positions < 12)
    windows = LabelledWindows(read[positions.clip(0, 11)][:, :, None], inside)
    targets = np.random.default_rng(0).random((12, 4)).astype(np.float32)
    fitted = fit_probe(windows, targets, targets > 0.5, [f"video{row // 2}" for row in range(12)], spec)
    complete = load_model(with_head(empty, fitted.weights))
    assert isinstance(complete, ProbeModel)
    with torch.inference_mode():
        features = complete.features(clip).numpy()
    head = complete.head
    weight, bias = head.weight.numpy(force=True), head.bias.numpy(force=True)
    logits = window_logits(features, [12], spec, weight, bias)
    assert np.allclose(logits, probe_logits(windows, fitted.weights, spec), atol=1e-4)


def test_logits_of_fits_with_different_penalties_are_on_one_scale() -> None:
    spec = ProbeSpec(neighbours=1)
    windows, targets, y = frames(spec)
    fits = [fit_probe(windows, targets, y, VIDEOS, spec, penalties=[penalty]) for penalty in PENALTIES]
    for fitted in fits:
        assert np.allclose(fitted.held_out_logits.std(axis=0), 1, atol=1e-3)
        assert 0.5 < probe_logits(frames(spec, seed=1)[0], fitted.weights, spec).std() < 2


def test_more_components_than_the_frames_span_change_nothing() -> None:
    spec = ProbeSpec(components=1000)
    windows, targets, y = frames(spec)
    rows = np.arange(8)
    fitted = fit_probe(windows.rows(rows), targets[rows], y[rows], VIDEOS[:8], spec)
    new = probe_logits(windows, fitted.weights, spec)
    assert fitted.weights.projection_weight is not None
    assert np.sum(np.any(fitted.weights.projection_weight != 0, axis=1)) == 7
    assert np.abs(new).max() < 100


def test_held_out_frames_do_not_choose_the_projection() -> None:
    """Components that are fitted to the held-out frames too would know where these lie."""
    spec = ProbeSpec(components=WIDTH)
    windows, targets, y = frames(spec)
    fitted = fit_probe(windows, targets, y, VIDEOS, spec, penalties=[0.01])
    shifted = LabelledWindows(windows.read.copy(), windows.inside)
    shifted.read[:6] += 1e3 * np.sign(shifted.read[:6])  # the first video is far off
    moved = fit_probe(shifted, targets, y, VIDEOS, spec, penalties=[0.01])
    assert not np.allclose(moved.held_out_logits[:6], fitted.held_out_logits[:6], atol=1)
