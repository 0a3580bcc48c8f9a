"""The model card: what the hub reads of it are the card's figures; texts from outside are no markup and no metadata."""

import json
from dataclasses import replace

import pytest
from checkpoints import CHECKPOINT
from huggingface_hub import ModelCard

from artifactscan.labels import LABELS
from artifactscan.model.checkpoint import BUILTIN_FOLDER, Checkpoint, load_checkpoint
from artifactscan.model.model_card import find_figure, model_card

HUB_NAMES = {"auroc": "roc_auc", "average_precision": "average_precision"}
HOSTILE = "x\n---\nlicense: mit\n---\n# gotcha [link](http://evil) | <script>alert(1)</script> `code` *b* \x1b[31m"


@pytest.fixture(scope="module")
def builtin() -> Checkpoint:
    return load_checkpoint("builtin")


def with_origin(origin: str) -> Checkpoint:
    return replace(CHECKPOINT, card=replace(CHECKPOINT.card, origin=origin))


def test_the_hub_reads_the_figures_of_the_card_with_intervals_and_protocols(builtin: Checkpoint) -> None:
    protocols = json.loads((BUILTIN_FOLDER / "card.json").read_text())["metrics"]["protocols"]
    data = ModelCard(model_card(builtin, "hf://org/name", license="apache-2.0")).data
    assert (data.license, data.library_name, data.pipeline_tag) == (
        "apache-2.0",
        "artifactscan",
        "image-classification",
    )
    assert data.tags == ["artifactscan", "video", "generated-video", "tf_efficientnet_lite2"]
    assert data.model_name == "org/name"
    results = {(one.dataset_config, one.metric_config, one.metric_type): one for one in data.eval_results}
    assert len(results) == len(data.eval_results) == 3 * 5 * 4
    for protocol, measured in protocols.items():
        for label in ("macro", *LABELS):
            for metric, hub_name in HUB_NAMES.items():
                figure, told = measured["figures"][label][metric], results[protocol, label, hub_name]
                assert told.metric_value == figure["value"]
                assert told.metric_args == {name: figure[name] for name in ("low", "high", "majority")}
                assert told.dataset_args == {"protocol": measured["protocol_means"]}


def test_people_read_the_same_figures(builtin: Checkpoint) -> None:
    text = model_card(builtin, "hf://org/name")
    figure = find_figure(builtin.card, "videos", "macro", "auroc")
    assert figure
    row = f"| videos | macro auroc | {figure.value:.3f} | {figure.low:.3f}–{figure.high:.3f} | {figure.majority:.3f} |"
    assert row in text.splitlines()
    assert "--checkpoint hf://org/name\n" in text
    assert f"How far to trust it: {builtin.card.quality()}. Not shown to be better than chance" in text
    assert "No licence is stated." in text


def test_the_built_in_card_has_the_rows_of_the_model_card(builtin: Checkpoint) -> None:
    """Both are written by the same functions."""
    own = [line for line in (BUILTIN_FOLDER / "MODEL_CARD.md").read_text().splitlines() if line.startswith("| ")]
    written = set(model_card(builtin, "hf://org/name").splitlines())
    assert len(set(own) & written) == 12 + len(LABELS) + 5 + 1  # the last for the heading of the makers


def test_the_same_checkpoint_gives_the_same_text(builtin: Checkpoint) -> None:
    assert model_card(builtin, "hf://org/name") == model_card(load_checkpoint("builtin"), "hf://org/name")


def test_random_weights_are_said_to_mean_nothing() -> None:
    text = model_card(CHECKPOINT, "hf://org/name")
    assert "**It is not trained: its weights are random, and its scores mean nothing.**" in text
    assert "None was measured." in text
    assert ModelCard(text).data.eval_results is None


@pytest.mark.parametrize(
    ("origin", "base"),
    [
        ("timm 1.0.31 weights resnet50.a1_in1k; fine-tuned on 300 frames", "timm/resnet50.a1_in1k"),
        (f"hf://org/base@{'0' * 40} (0123456789abcdef): timm 1.0.31 weights resnet50.a1_in1k", "org/base"),
        (f"weights hf://org/base@{'0' * 40}/model.safetensors; fine-tuned", "org/base"),
        ("timm 1.0.31 weights resnet50", None),
        ("weights mine.safetensors", None),
        ("random weights from seed 0, timm 1.0.31, torch 2.11", None),
    ],
)
def test_the_base_model_is_that_of_the_weights(origin: str, base: str | None) -> None:
    assert ModelCard(model_card(with_origin(origin), "hf://org/name")).data.base_model == base


def test_texts_from_outside_are_neither_markup_nor_metadata(builtin: Checkpoint) -> None:
    videos = dict(builtin.card.metrics["protocols"]["videos"])
    makers = {HOSTILE: next(iter(videos["by_maker"].values()))}
    metrics = {"protocols": {"videos": {**videos, "by_maker": makers, "protocol_means": HOSTILE}}}
    card = replace(builtin.card, backbone=HOSTILE, origin=HOSTILE, metrics=metrics)
    text = model_card(replace(builtin, card=card), "hf://org/name")
    data, body = ModelCard(text).data, text.split("\n---\n", 1)[1]
    assert data.license is None and data.base_model is None
    assert data.tags == ["artifactscan", "video", "generated-video"]
    assert [line for line in body.splitlines() if line.startswith("#")] == ["# org/name", "## Figures", "## Origin"]
    assert "\x1b" not in text
    for markup in ("<script", "[link]", "`code`", "*b*"):
        assert markup not in body.replace("\\<", "").replace("\\[", "").replace("\\`", "").replace("\\*", "")


@pytest.mark.parametrize(
    "metrics",
    [
        {"protocols": []},
        {"protocols": {"videos": None}},
        {"protocols": {"videos": {"figures": {"macro": {"auroc": 0.5}}, "by_maker": {"a": 1}}}},
        {"protocols": {"videos": {"figures": {"macro": {"auroc": {"value": float("nan"), "low": "a"}}}}}},
        {"protocols": {"videos": {"figures": {"macro": {"auroc": {"value": "0.9"}}}, "by_maker": [1]}}},
    ],
)
def test_figures_of_no_use_are_left_out(metrics: dict) -> None:
    card = replace(CHECKPOINT.card, metrics=metrics, trained=True)
    text = model_card(replace(CHECKPOINT, card=card), "hf://org/name")
    assert "None was measured." in text and "| maker |" not in text
    assert ModelCard(text).data.eval_results is None
