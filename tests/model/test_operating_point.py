"""What a card says of a label's worth."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from artifactscan.decode.input_spec import InputSpec
from artifactscan.errors import UsageError
from artifactscan.labels import LABELS
from artifactscan.model.checkpoint import Card, Checkpoint, load_checkpoint, save_checkpoint
from artifactscan.model.operating_point import OperatingPoint, auroc_on_unseen_clips, aurocs_by_protocol

POINT = OperatingPoint(aim="recall=0.8", precision=None, recall=0.8, flagged_share=0.5, prevalence=0.25)
CARD = Card(backbone="resnet18", input=InputSpec(height=48, width=80), trained=True)
CHECKPOINT = Checkpoint(card=CARD, weights=save({"weight": np.zeros(1)}))


def measured(lows: Mapping[str, float | None], protocol: str = "videos") -> dict[str, Any]:
    """A card's metrics with an AUROC of 0.6 for each label, and these lower bounds."""
    figures = {label: {"auroc": {"value": 0.6, "low": low, "high": 0.7}} for label, low in lows.items()}
    return {"protocols": {protocol: {"figures": figures}}}


def test_an_operating_point_survives_the_card(tmp_path: Path) -> None:
    card = replace(CARD, operating_point={"motion": POINT})
    save_checkpoint(replace(CHECKPOINT, card=card), str(tmp_path))
    assert load_checkpoint(tmp_path).card.operating_point == {"motion": POINT}
    assert load_checkpoint("builtin").card.operating_point.keys() <= set(LABELS)


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ({"hands": {}}, "its operating point is of 'hands', which is none of boundary, texture, motion, object"),
        ({"motion": {"precision": 1.5}}, "the operating point of motion has precision 1.5, not a share from 0 to 1"),
        ({"motion": {"prevalence": None}}, "the operating point of motion has prevalence None, not a share from 0"),
    ],
)
def test_operating_points_that_are_refused(tmp_path: Path, points: dict[str, Any], words: str) -> None:
    save_checkpoint(CHECKPOINT, str(tmp_path))
    card = json.loads((tmp_path / "card.json").read_text())
    whole = {"aim": "f1", "precision": 0.5, "recall": 0.5, "flagged_share": 0.5, "prevalence": 0.5}
    card["operating_point"] = {label: {**whole, **values} for label, values in points.items()}
    (tmp_path / "card.json").write_text(json.dumps(card))
    with pytest.raises(UsageError, match=words):
        load_checkpoint(tmp_path)


def test_a_label_is_unproven_where_its_interval_reaches_one_half() -> None:
    lows = {"boundary": 0.51, "texture": 0.5, "motion": 0.4, "object": 0.55}
    assert replace(CARD, metrics=measured(lows)).unproven() == ("texture", "motion")


def test_a_label_without_an_interval_on_unseen_clips_is_unproven() -> None:
    proven = dict.fromkeys(LABELS, 0.6)
    assert replace(CARD, metrics=measured(proven)).unproven() == ()
    assert replace(CARD, metrics=measured({**proven, "object": None})).unproven() == ("object",)
    assert replace(CARD, metrics=measured(proven, protocol="frames")).unproven() == LABELS
    for nothing in ({}, {"protocols": None}, {"protocols": {"videos": {"figures": []}}}):
        assert replace(CARD, metrics=nothing).unproven() == LABELS
    assert replace(CARD, trained=False, metrics=measured(proven)).unproven() == LABELS


def test_makers_that_were_left_out_count_before_clips() -> None:
    metrics = measured({"motion": 0.6})
    metrics["protocols"] |= measured({"motion": 0.45}, protocol="generators")["protocols"]
    assert auroc_on_unseen_clips(metrics, "motion") == (0.6, 0.45, 0.7)
    assert auroc_on_unseen_clips(metrics, "object") is None
    without_interval = measured({"motion": None}, protocol="generators")["protocols"]
    assert auroc_on_unseen_clips({"protocols": metrics["protocols"] | without_interval}, "motion") is None


def test_the_quality_is_that_of_left_out_makers_where_no_videos_were_left_out() -> None:
    figure = {"value": 0.456, "low": 0.3, "high": 0.6, "majority": 0.25}
    metrics = {"protocols": {"generators": {"figures": {"macro": {"average_precision": figure}}}}}
    said = "macro average precision 0.46 (0.30–0.60) on unseen videos, chance 0.25"
    assert replace(CARD, metrics=metrics).quality() == said


def test_the_aurocs_of_every_protocol_on_unseen_clips() -> None:
    def figure(value: float) -> dict:
        return {"auroc": {"value": value, "low": value - 0.1, "high": value + 0.1}}

    protocols = {
        "frames": {"figures": {"macro": figure(0.9)}},
        "videos": {"figures": {"macro": figure(0.7), "motion": figure(0.6), "object": {"auroc": {"value": 0.5}}}},
        "generators": None,
    }
    found = aurocs_by_protocol({"protocols": protocols})
    assert list(found) == ["videos"]
    assert found["videos"] == {"macro": pytest.approx((0.7, 0.6, 0.8)), "motion": pytest.approx((0.6, 0.5, 0.7))}
    assert aurocs_by_protocol({}) == aurocs_by_protocol({"protocols": None}) == {}
