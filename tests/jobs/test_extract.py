"""The extraction job on a real local Ray: images, index, ledger, choices, exports."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from labelled import label_row, labels_table
from media import read_number, write_clip
from PIL import Image
from s3_server import S3Server

from artifactscan.annotation.frame_index import INDEX
from artifactscan.annotation.labels_table import check_against_clips, read_labels, write_labels
from artifactscan.annotation.selection import disagreement
from artifactscan.decode.input_spec import InputSpec
from artifactscan.decode.sandbox.supervisor import SandboxedDecoder
from artifactscan.decode.video import DecodeSettings
from artifactscan.extract.extraction_tables import LEDGER
from artifactscan.jobs.extract import main
from artifactscan.jobs.labels import main as labels_main
from artifactscan.labels import LABELS, SCORE_COLUMNS
from artifactscan.model.backbone import initialise
from artifactscan.model.checkpoint import save_checkpoint

ODD = "a 'b' %2F#é.mp4"
TALL = "-day 1/turned.mp4"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips of 2 s and 3 s, of different sizes, one of them turned; and a file that is no video."""
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "-day 1").mkdir()
    write_clip(folder / ODD, seconds=2)
    write_clip(folder / TALL, seconds=3, width=128, height=64, rotation=90)
    (folder / "text.mp4").write_text("no video")
    return folder


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folders = [tmp_path_factory.mktemp(f"checkpoint{seed}") for seed in (1, 2)]
    for seed, folder in enumerate(folders, 1):
        save_checkpoint(initialise("test_resnet.r160_in1k", height=64, width=64, seed=seed), str(folder))
    return folders


def run_job(*arguments: object) -> int:
    return main([*map(str, arguments), "--quiet", "--max-failed", "0.4"])


def index_of(out: Path) -> pd.DataFrame:
    return pd.read_parquet(out / "index.parquet")


def picture(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture(scope="module")
def extracted(corpus: Path, ray_here: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every sampled frame of the corpus, for every tool."""
    out = tmp_path_factory.mktemp("extracted")
    tools = ("csv", "cvat", "label-studio", "fiftyone")
    assert run_job("--input", corpus, "--output", out, "--export", *tools) == 0
    return out


def test_every_sampled_frame_is_an_image_of_its_own_size(corpus: Path, extracted: Path) -> None:
    assert pq.read_schema(extracted / "index.parquet").remove_metadata().equals(INDEX)
    index = index_of(extracted)
    assert list(zip(index["file"], index["frame_index"], strict=True)) == [
        *((TALL, frame) for frame in (0, 12, 24, 36, 48, 60)),
        *((ODD, frame) for frame in (0, 12, 24, 36)),
    ]
    assert index["pts_s"].tolist() == [frame / 24 for frame in index["frame_index"]]
    assert set(zip(index["file"], index["width"], index["height"], strict=True)) == {(TALL, 64, 128), (ODD, 160, 96)}
    assert index[["value", *SCORE_COLUMNS]].isna().all(axis=None)
    assert {str(path.relative_to(extracted)) for path in extracted.glob("frames/*")} == set(index["image"])
    with SandboxedDecoder(DecodeSettings(input=InputSpec(height=96, width=160))) as child:
        [segment] = child.decode(str(corpus / ODD))
    decoded = np.frombuffer(segment.pixels, np.uint8).reshape(-1, 96, 160, 3)
    odd = index[index["file"] == ODD]
    for image, frame, pixels in zip(odd["image"], odd["frame_index"], decoded, strict=True):
        assert (picture(extracted / image) == pixels).all()
        assert read_number(pixels) == frame


def test_the_record_has_the_settings(corpus: Path, extracted: Path) -> None:
    record = json.loads((extracted / "extraction.json").read_text())
    assert (record["settings"]["input"], record["settings"]["choose"]) == (str(corpus), "all")
    assert record["checkpoints"] == {}


def test_the_ledger_has_every_listed_file(extracted: Path) -> None:
    assert pq.read_schema(extracted / "ledger.parquet").remove_metadata().equals(LEDGER)
    ledger = pd.read_parquet(extracted / "ledger.parquet").set_index("file")
    assert ledger["outcome"].to_dict() == {ODD: "extracted", TALL: "extracted", "text.mp4": "undecodable"}
    assert ledger["frames_written"].to_dict() == {ODD: 4, TALL: 6, "text.mp4": 0}
    assert "not a readable video file" in ledger.loc["text.mp4", "reason"]
    assert ledger.loc[TALL, ["rotation_deg", "duration_s"]].tolist() == [90, 3.0]


def test_labels_from_a_tool_name_the_clips_of_the_corpus(
    corpus: Path, extracted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = json.loads((extracted / "export/label-studio/tasks.json").read_text())
    assert not any("predictions" in task or "annotations" in task for task in tasks)
    for number, task in enumerate(tasks):
        choices = {"from_name": "artifacts", "type": "choices", "value": {"choices": [LABELS[number % 4]]}}
        task["annotations"] = [{"result": [choices], "completed_by": 1}]
    (tmp_path / "done.json").write_text(json.dumps(tasks))
    flags = ["import", "--from", "label-studio", "--file", str(tmp_path / "done.json"), "--annotator", "anna"]
    labels = str(tmp_path / "labels.csv")
    assert labels_main([*flags, "--index", str(extracted / "index.parquet"), "--output", labels]) == 0
    assert "10 labelled frames" in capsys.readouterr().out
    table = read_labels(labels)
    assert table["texture"].to_pylist() == [int(n % 4 == 1) for n in range(10)]
    assert check_against_clips(table, str(corpus)) == {name: str(corpus / name) for name in (ODD, TALL)}
    for tool in ("csv", "cvat", "fiftyone"):
        assert list((extracted / "export" / tool).iterdir())


def test_an_extraction_is_not_overwritten_without_replace(
    corpus: Path, extracted: Path, ray_here: None, capsys: pytest.CaptureFixture[str]
) -> None:
    before = index_of(extracted)
    assert run_job("--input", corpus, "--output", extracted, "--per-video", 1) == 2
    [said] = capsys.readouterr().err.strip().splitlines()
    assert said == (
        f"error: output {extracted} holds an extraction already, which people may be labelling; "
        "give another --output, or --replace it"
    )
    pd.testing.assert_frame_equal(index_of(extracted), before)


def test_labels_that_name_no_clip_of_the_input(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_labels(labels_table(label_row(f"corpus/{ODD}", 0, "1000")), str(tmp_path / "labels.csv"))
    assert run_job("--input", corpus, "--output", tmp_path / "out", "--labels", tmp_path / "labels.csv") == 2
    assert "name no clip of --input" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_frames_folder_of_something_else_is_refused(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "precious.parquet").touch()
    assert run_job("--input", corpus, "--output", tmp_path, "--replace") == 2
    said = capsys.readouterr().err
    assert said == f"error: output {tmp_path} has a folder frames that is not from an extraction; give another one\n"
    assert (tmp_path / "frames" / "precious.parquet").exists()


def test_spread_out_as_jpeg_of_one_size_from_and_to_s3(corpus: Path, _s3_server: S3Server, ray_here: None) -> None:
    _s3_server.new_bucket()
    for path in corpus.rglob("*.mp4"):
        _s3_server.put(f"in/{path.relative_to(corpus)}", path.read_bytes())
    _s3_server.put("out/frames/stale.png", b"of an earlier run")
    for name in ("extraction.json", "index.parquet"):
        _s3_server.put(f"out/{name}", b"of an earlier run")
    write_labels(labels_table(label_row(ODD, 24, "0110", note="blurs")), _s3_server.uri("labels.csv"))
    flags = (
        "--labels",
        _s3_server.uri("labels.csv"),
        "--count",
        4,
        "--per-video",
        3,
        "--min-gap-s",
        0.9,
        "--replace",
        "--image-format",
        "jpeg",
    )
    size = ("--height", 48, "--width", 80, "--export", "label-studio")
    assert run_job("--input", _s3_server.uri("in"), "--output", _s3_server.uri("out"), *flags, *size) == 0

    def read(key: str) -> bytes:
        return _s3_server.client.get_object(Bucket=_s3_server.bucket, Key=key)["Body"].read()

    index = pd.read_parquet(io.BytesIO(read("out/index.parquet")))
    frames = {file: group["frame_index"].tolist() for file, group in index.groupby("file")}
    assert frames == {ODD: [0, 24], TALL: [12, 36]}
    kept = set(filter(lambda key: key.startswith("out/frames/"), _s3_server.keys()))
    assert kept == {f"out/{image}" for image in index["image"]}
    for image, frame in zip(index["image"], index["frame_index"], strict=True):
        with Image.open(io.BytesIO(read(f"out/{image}"))) as opened:
            assert (opened.format, opened.size) == ("JPEG", (80, 48))
            if "turned" not in image:
                assert read_number(np.asarray(opened)) == frame
    tasks = json.loads(read("out/export/label-studio/tasks.json"))
    assert [task["data"]["image"] for task in tasks] == [_s3_server.uri(f"out/{image}") for image in index["image"]]
    annotated = {(task["data"]["file"], task["data"]["frame_index"]) for task in tasks if "annotations" in task}
    assert annotated == {(ODD, 24)}
    ledger = pd.read_parquet(io.BytesIO(read("out/ledger.parquet"))).set_index("file")
    assert ledger["outcome"].to_dict() == {ODD: "extracted", TALL: "extracted", "text.mp4": "undecodable"}


def test_one_checkpoint_named_twice_is_refused(
    corpus: Path, checkpoints: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    twice = ("--choose", "disagree", "--checkpoint", checkpoints[0], checkpoints[0], "--count", 3)
    assert run_job("--input", corpus, "--output", tmp_path / "out", *twice) == 2
    assert "--checkpoint names one checkpoint twice" in capsys.readouterr().err


@pytest.mark.slow
def test_where_checkpoints_disagree_most(
    corpus: Path, checkpoints: list[Path], tmp_path: Path, ray_here: None, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("--input", corpus, "--output", tmp_path, "--choose", "disagree", "--checkpoint", *checkpoints)
    assert run_job(*asked, "--count", 3, "--export", "label-studio") == 0
    stored = pd.read_parquet(tmp_path / "scores" / "frames").sort_values(["video_id", "frame_index", "run"])
    assert len(stored) == 20
    scores = stored[list(SCORE_COLUMNS)].to_numpy().reshape(10, 2, 4).swapaxes(0, 1)
    frames = stored.iloc[::2].assign(value=disagreement(scores.astype(float)))
    best = frames.nlargest(3, "value").sort_values(["video_id", "frame_index"], ignore_index=True)
    index = index_of(tmp_path).sort_values(["video_id", "frame_index"], ignore_index=True)
    pd.testing.assert_frame_equal(
        index[["video_id", "frame_index", "value"]], best[["video_id", "frame_index", "value"]]
    )
    means = frames.assign(**dict(zip(SCORE_COLUMNS, scores.mean(axis=0).T, strict=True)))
    chosen = index[["video_id", "frame_index"]].merge(means, on=["video_id", "frame_index"])
    assert np.allclose(index[list(SCORE_COLUMNS)], chosen[list(SCORE_COLUMNS)], atol=1e-6)
    ledger = pd.read_parquet(tmp_path / "ledger.parquet").set_index("file")
    assert ledger["outcome"].to_dict() == {
        **{file: "extracted" if ledger["frames_written"][file] else "scored" for file in (ODD, TALL)},
        "text.mp4": "undecodable",
    }
    assert ledger["frames_written"].sum() == 3
    tasks = json.loads((tmp_path / "export/label-studio/tasks.json").read_text())
    assert {task["predictions"][0]["model_version"].count("test_resnet") for task in tasks} == {2}

    capsys.readouterr()
    assert run_job(*asked[:4], "--choose", "uncertain", "--checkpoint", checkpoints[0], "--count", 2, "--replace") == 0
    assert "nothing to do: all 3 videos are settled" in capsys.readouterr().out
    index = index_of(tmp_path)
    assert len(index) == len(list(tmp_path.glob("frames/*"))) == 2
    assert not (tmp_path / "export").exists()
