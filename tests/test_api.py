"""The public interface: what `import artifactscan` offers, on clips drawn here."""

import subprocess
import sys
from pathlib import Path

import media
import numpy as np
import pytest
from paths import ROOT

import artifactscan
from artifactscan.demo import marks

SECONDS = 3


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips of three seconds, and a file that is no video."""
    folder = tmp_path_factory.mktemp("corpus")
    for name in ("a.mp4", "b.mp4"):
        media.write_clip(folder / name, seconds=SECONDS)
    (folder / "text.mp4").write_text("no video")
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    return marks.write_checkpoint(tmp_path_factory.mktemp("checkpoint"))


def test_importing_it_loads_neither_torch_nor_ray_nor_pyarrow() -> None:
    script = "import sys, artifactscan; print(sorted({'ray', 'torch', 'pyarrow', 'av'} & sys.modules.keys()))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env={"PYTHONPATH": str(ROOT / "src")}
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_every_public_name_is_there_and_has_a_docstring() -> None:
    assert dir(artifactscan) == sorted(artifactscan.__all__)
    for name in artifactscan.__all__:
        value = getattr(artifactscan, name)
        assert name in ("LABELS", "__version__") or value.__doc__, name
    with pytest.raises(AttributeError, match="has no attribute 'scores'"):
        artifactscan.scores  # noqa: B018
    with pytest.raises(AttributeError):
        artifactscan.api.nothing  # noqa: B018


def test_errors_are_one_family() -> None:
    for error in (
        artifactscan.UsageError,
        artifactscan.LedgerError,
        artifactscan.CutOffError,
        artifactscan.DecodeError,
    ):
        assert issubclass(error, artifactscan.ArtifactscanError)


@pytest.mark.usefixtures("ray_here")
def test_a_corpus_is_scored_into_tables(
    corpus: Path, checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = str(tmp_path / "store")
    scores = artifactscan.score(str(corpus), output=store, checkpoint=checkpoint, quiet=True, decode_actors=1)
    assert scores.outcomes == {"scored": 2, "undecodable": 1}
    assert scores.store == store
    assert [Path(uri).name for uri in scores.videos["uri"].to_pylist()] == ["a.mp4", "b.mp4", "text.mp4"]
    assert scores.frames["frame_index"].to_pylist() == [0, 12, 24, 36, 48, 60] * 2
    assert scores.frames["pts_s"].to_pylist() == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5] * 2
    frames = scores.to_pandas().frames
    assert frames.filter(like="p_").columns.tolist() == [f"p_{label}" for label in artifactscan.LABELS]
    assert repr(scores).startswith("Scores of 3 videos (2 scored, 1 undecodable), 12 frames\n  boundary ")
    assert len(repr(scores).splitlines()) == 5
    assert capsys.readouterr().out == "", "a library prints nothing"

    again = artifactscan.score(str(corpus), output=store, checkpoint=checkpoint, quiet=True)
    assert again.run == scores.run, "nothing is done twice"
    assert again.frames.equals(scores.frames) and again.events.equals(scores.events)

    (corpus / "text.mp4").unlink()
    fewer = artifactscan.score(str(corpus), output=store, checkpoint=checkpoint, quiet=True)
    assert fewer.outcomes == {"scored": 2}, "a video that an earlier run settled has that run's outcome"
    assert fewer.frames.equals(scores.frames)

    alone = artifactscan.score(str(corpus / "a.mp4"), checkpoint=checkpoint, quiet=True, decode_actors=1)
    assert Path(alone.store).is_dir()
    same_video = scores.frames.slice(0, 6).drop_columns("video_id").to_pylist()
    assert alone.frames.drop_columns("video_id").to_pylist() == same_video


def test_a_mistake_is_one_sentence() -> None:
    with pytest.raises(artifactscan.UsageError, match="setting decodr is unknown; did you mean decoder"):
        artifactscan.score("clips", decodr="pyav")
    with pytest.raises(artifactscan.UsageError, match=r"checkpoint nowhere has no card\.json"):
        artifactscan.score("clips", checkpoint="nowhere")


def test_frames_are_sampled_at_the_size_of_the_video_or_of_a_checkpoint(corpus: Path, checkpoint: str) -> None:
    path = str(corpus / "a.mp4")
    frames = artifactscan.sample_frames(path, fps=1.0)
    assert [media.read_number(frame) for frame in frames.frames] == frames.frame_index.tolist() == [0, 24, 48]
    assert (frames.frames.dtype, frames.frame_index.dtype, frames.pts_s.dtype) == (np.uint8, np.int32, np.float64)
    assert (frames.pts_s.tolist(), frames.lost) == ([0.0, 1.0, 2.0], 0)
    height, width = frames.frames.shape[1:3]
    assert repr(frames) == f"Frames(3 of {height}x{width} pixels, 0.00 to 2.00 s)"

    loaded = artifactscan.load_checkpoint(checkpoint)
    sized = artifactscan.sample_frames(path, fps=1.0, input=loaded.card.input)
    scores = artifactscan.Classifier(loaded).scores(sized.frames)
    assert (scores.shape, scores.dtype) == ((3, 4), np.float32)


def test_a_file_without_frames_is_an_error_with_its_outcome(tmp_path: Path) -> None:
    path = tmp_path / "text.mp4"
    path.write_text("no video")
    with pytest.raises(artifactscan.DecodeError, match=r"text\.mp4: .*not a readable video file") as raised:
        artifactscan.sample_frames(str(path))
    assert raised.value.outcome == "undecodable"
    with pytest.raises(artifactscan.UsageError, match="fps is 0; give a number above 0"):
        artifactscan.sample_frames(str(path), fps=0)
    with pytest.raises(artifactscan.UsageError, match="is not there"):
        artifactscan.sample_frames(str(tmp_path / "none.mp4"))
