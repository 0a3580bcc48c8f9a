"""The explain job from a clip to its pictures; each refusal is one sentence."""

import io
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import media
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from s3_server import S3Server

from artifactscan.corpus.listed_object import video_id
from artifactscan.decode.sandbox.supervisor import SandboxedDecoder
from artifactscan.decode.video import DecodeSettings
from artifactscan.demo import marks
from artifactscan.jobs.explain import main
from artifactscan.labels import LABELS
from artifactscan.messages import activity
from artifactscan.model.checkpoint import load_checkpoint, save_checkpoint
from artifactscan.model.classifier import Classifier
from artifactscan.model.classify_settings import ClassifySettings
from artifactscan.schemas import EXPLANATIONS
from artifactscan.storage.files import stat

HEIGHT, WIDTH, FPS = 144, 256, 24
"""Of the clip: 16:9, while the checkpoint takes 4:3."""
FP32 = ("--precision", "fp32", "--device", "cpu")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Models this small are slower on several threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def no_activities(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a slow machine their lines would stand before the sentences that are expected."""
    monkeypatch.setattr(activity, "SILENT_S", 600.0)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = str(tmp_path_factory.mktemp("checkpoint"))
    save_checkpoint(marks.checkpoint("test_resnet.r160_in1k"), folder)
    return folder


def cells_in(number: int) -> dict[int, tuple[int, int]]:
    """Where frame ``number`` of the clip shows the squares; only every third sampled frame shows the yellow one."""
    rng = np.random.default_rng(number // 12)
    return marks.choose_cells(rng, np.array([True, True, True, number // 12 % 3 == 0]))


@pytest.fixture(scope="module")
def coloured_clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Four seconds; every half second the squares lie elsewhere."""

    def drawn(number: int, width: int, height: int) -> np.ndarray:
        rng = np.random.default_rng(100 + number)
        return marks.draw(cells_in(number), rng, height=height, width=width)

    path = tmp_path_factory.mktemp("clips") / "squares.mp4"
    return str(media.write_clip(path, width=WIDTH, height=HEIGHT, fps=FPS, seconds=4, draw=drawn))


def run(video: object, output: object, checkpoint: str, *arguments: str) -> int:
    return main(["--video", str(video), "--output", str(output), "--checkpoint", checkpoint, *FP32, *arguments])


def index_of(output: Path) -> list[dict]:
    table = pq.read_table(output / "index.parquet")
    assert table.schema == EXPLANATIONS
    return table.to_pylist()


def scores_of(clip: str, checkpoint: str) -> dict[int, np.ndarray]:
    """Frame index → scores, decoded and scored as the scoring job does."""
    loaded = load_checkpoint(checkpoint)
    classifier = Classifier(loaded, ClassifySettings(precision="fp32", device="cpu"))
    spec = loaded.card.input
    scores = {}
    with SandboxedDecoder(DecodeSettings(input=spec)) as decoder:
        for segment in decoder.decode(clip):
            pixels = np.frombuffer(segment.pixels, np.uint8).reshape(-1, spec.height, spec.width, 3)
            scores |= dict(zip(segment.frame_index, classifier.scores([pixels]), strict=True))
    return scores


def picture(output: Path, name: str) -> np.ndarray:
    return np.asarray(Image.open(output / name))


def test_maps_peak_on_the_evidence_and_scores_are_those_of_scoring(
    coloured_clip: str, checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(coloured_clip, tmp_path, checkpoint, "--frames", "0,12,41", "--at", "3.0,3.01") == 0
    rows = index_of(tmp_path)
    assert [(row["frame_index"], row["label"]) for row in rows] == [
        (index, label) for index in (0, 12, 41, 72) for label in LABELS
    ]
    expected = scores_of(coloured_clip, checkpoint)
    identity = video_id(coloured_clip, stat(coloured_clip).etag)
    printed = capsys.readouterr().out
    assert printed.endswith(f"16 heat maps, all on {tmp_path}/sheet.png\n")
    for row in rows:
        label = LABELS.index(row["label"])
        cell = cells_in(row["frame_index"]).get(label)
        assert (row["video_id"], row["uri"]) == (identity, coloured_clip)
        assert row["checkpoint"] == load_checkpoint(checkpoint).digest
        assert row["pts_s"] == float(Fraction(row["frame_index"], FPS))
        assert f"{row['score']:.4f}{'*' if row['score'] >= 0.5 else ''}" in printed
        if row["frame_index"] in expected:
            assert row["score"] == pytest.approx(expected[row["frame_index"]][label], abs=1e-4)
        assert (row["score"] >= row["threshold"]) == (cell is not None)
        if cell is not None:
            assert marks.is_on(cell, row["peak_x"], row["peak_y"])
            assert picture(tmp_path, row["picture"]).shape == (HEIGHT, WIDTH, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["index.parquet", "sheet.png", *(row["picture"] for row in rows)]
    )


def test_overlays_leave_the_frame_unchanged_where_there_is_no_heat(
    coloured_clip: str, checkpoint: str, tmp_path: Path
) -> None:
    assert run(coloured_clip, tmp_path, checkpoint, "--frames", "30", "--labels", "texture") == 0
    [row] = index_of(tmp_path)
    shown = picture(tmp_path, row["picture"]).astype(int)
    row_of, column_of = cells_in(30)[0]  # another label's square keeps its colour, texture's own is tinted
    centre = shown[row_of * 48 + 24, column_of * 64 + 32]
    np.testing.assert_allclose(centre, marks.COLOURS[0], atol=40)
    row_of, column_of = cells_in(30)[1]
    centre = shown[row_of * 48 + 24, column_of * 64 + 32]
    assert np.abs(centre - marks.COLOURS[1]).max() > 60


def test_without_named_frames_the_highest_scoring_ones_are_taken(
    coloured_clip: str, checkpoint: str, tmp_path: Path
) -> None:
    assert run(coloured_clip, tmp_path, checkpoint, "--top", "3", "--labels", "object") == 0
    rows = index_of(tmp_path)
    assert [row["frame_index"] for row in rows] == [0, 36, 72]
    best = sorted(scores_of(coloured_clip, checkpoint).items(), key=lambda one: -one[1][3])[:3]
    assert {index for index, _ in best} == {0, 36, 72}


@pytest.mark.parametrize(
    ("rotation", "arguments", "shape"), [(90, (), (160, 96, 3)), (0, ("--max-side", "80"), (48, 80, 3))]
)
def test_pictures_have_the_aspect_of_the_video_as_shown(
    rotation: int, arguments: tuple[str, ...], shape: tuple[int, ...], checkpoint: str, tmp_path: Path
) -> None:
    video = media.write_clip(tmp_path / "clip.mp4", seconds=0.5, rotation=rotation)
    assert run(video, tmp_path / "out", checkpoint, "--frames", "5", "--labels", "motion", *arguments) == 0
    assert picture(tmp_path / "out", "frame_000005_motion.png").shape == shape


def test_only_an_earlier_explanation_is_replaced(coloured_clip: str, checkpoint: str, tmp_path: Path) -> None:
    (tmp_path / "frame_of_mine.png").write_bytes(b"mine")
    assert run(coloured_clip, tmp_path, checkpoint, "--frames", "0,12", "--labels", "motion") == 0
    assert run(coloured_clip, tmp_path, checkpoint, "--frames", "12", "--labels", "motion,object") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("frame_000012_motion.png", "frame_000012_object.png", "frame_of_mine.png", "index.parquet", "sheet.png")
    ]


def test_s3_on_both_sides(coloured_clip: str, checkpoint: str, s3: S3Server) -> None:
    s3.put("clips/a b.mp4", Path(coloured_clip).read_bytes())
    assert run(s3.uri("clips/a b.mp4"), s3.uri("out"), checkpoint, "--frames", "12", "--labels", "motion") == 0
    assert sorted(filter(re.compile("out/").match, s3.keys())) == [
        *("out/frame_000012_motion.png", "out/index.parquet", "out/sheet.png")
    ]
    body = s3.client.get_object(Bucket=s3.bucket, Key="out/index.parquet")["Body"].read()
    [row] = pq.read_table(io.BytesIO(body)).to_pylist()
    assert row["uri"] == s3.uri("clips/a b.mp4")
    assert marks.is_on(cells_in(12)[2], row["peak_x"], row["peak_y"])


@pytest.fixture
def bad(coloured_clip: str, checkpoint: str, tmp_path: Path) -> dict[str, str]:
    """Name → path of inputs and outputs, some of which cannot be used."""
    (tmp_path / "text.mp4").write_text("not a video")
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "card.json").write_text("{}")
    (tmp_path / "file").write_text("")
    return {
        "clip": coloured_clip,
        "good": checkpoint,
        "text": str(tmp_path / "text.mp4"),
        "none": str(tmp_path / "none.mp4"),
        "folder": str(tmp_path),
        "card": str(tmp_path / "checkpoint"),
        "out": str(tmp_path / "out"),
        "below": str(tmp_path / "file" / "out"),
    }


@pytest.mark.parametrize(
    ("video", "output", "checkpoint_name", "arguments", "words"),
    [
        ("none", "out", "good", (), "video {none} is not there; give the path or s3:// uri of one video"),
        ("folder", "out", "good", (), "video {folder} cannot be read: not a regular file"),
        ("text", "out", "good", (), "video {text} cannot be decoded (undecodable): "),
        ("clip", "out", "good", ("--frames", "12,96"), "video {clip} has no frame 96: it has the frames 0 to 95"),
        ("clip", "out", "good", ("--at", "4.0"), "video {clip} has no frame at 4 s: it ends at 4 s"),
        ("clip", "out", "good", ("--max-pixels", "99"), "video {clip} cannot be decoded (too_large): "),
        ("clip", "out", "good", ("--max-object-bytes", "99"), "video {clip} cannot be read (too_large): the object ha"),
        ("clip", "out", "card", (), "checkpoint card {card}/card.json has no 'card_version'; add it, or save"),
        ("clip", "out", "none", (), "checkpoint {none} has no card.json; give a folder with model.safetensors and"),
        ("clip", "below", "good", (), "output {below} cannot be written: "),
    ],
)
def test_a_refusal_is_one_sentence_with_nothing_written(
    video: str,
    output: str,
    checkpoint_name: str,
    arguments: tuple[str, ...],
    words: str,
    bad: dict[str, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(bad[video], bad[output], bad[checkpoint_name], *arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {words.format(**bad)}")
    assert said.count("\n") == 1
    assert not Path(bad["out"]).exists()


def test_a_video_that_is_not_in_the_bucket(
    checkpoint: str, s3: S3Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(s3.uri("no.mp4"), tmp_path / "out", checkpoint) == 2
    assert capsys.readouterr().err == (
        f"error: video {s3.uri('no.mp4')} is not there; give the path or s3:// uri of one video\n"
    )
