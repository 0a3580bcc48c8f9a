"""The public interface: what `import artifactscan` offers, on clips drawn here."""

import logging
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import media
import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from paths import ROOT

import artifactscan
from artifactscan.demo import marks
from artifactscan.leftovers.owned_records import records_folder
from artifactscan.model.checkpoint import save_checkpoint
from artifactscan.store.layout import Store

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
    assert [len(table) for table in (frames, scores.to_pandas().videos)] == [12, 3]
    assert capsys.readouterr().out == "", "a library prints nothing"

    again = artifactscan.score(corpus, output=Path(store), checkpoint=Path(checkpoint), quiet=True)
    assert again.run == scores.run, "nothing is done twice"
    assert again != scores and len({again, scores}) == 2, "tables are not compared"
    assert again.frames.equals(scores.frames) and again.events.equals(scores.events)

    (corpus / "text.mp4").unlink()
    fewer = artifactscan.score(str(corpus), output=store, checkpoint=checkpoint, quiet=True)
    assert fewer.outcomes == {"scored": 2}, "a video that an earlier run settled has that run's outcome"
    assert fewer.frames.equals(scores.frames)

    alone = artifactscan.score(
        str(corpus / "a.mp4"), checkpoint=checkpoint, quiet=True, decode_actors=1, include=["*.mp4"]
    )
    assert Path(alone.store).is_dir()
    same_video = scores.frames.slice(0, 6)
    unscored = ["video_id", *(f"p_{label}" for label in artifactscan.LABELS)]
    assert alone.frames.drop_columns(unscored).equals(same_video.drop_columns(unscored))
    for label in artifactscan.LABELS:  # batches of 6 and of 12 frames: the last bits may differ, as kernels do
        np.testing.assert_allclose(alone.frames[f"p_{label}"], same_video[f"p_{label}"], rtol=0, atol=1e-6)

    none = artifactscan.score(corpus, output=tmp_path / "none", checkpoint=checkpoint, quiet=True, since="2999-01-01")
    assert (none.outcomes, none.videos.num_rows, none.frames.num_rows) == ({}, 0, 0)
    assert repr(none).startswith(
        "Scores of 0 videos (), 0 frames\n  boundary    0.0% of frames, events in 0 of 0 videos"
    )
    kept = alone.store
    del alone
    assert not Path(kept).exists(), "a temporary store goes with its Scores"


@pytest.mark.usefixtures("ray_here")
def test_other_thresholds_of_a_checkpoint_change_flags_and_score_nothing_again(
    corpus: Path, checkpoint: str, tmp_path: Path
) -> None:
    store = str(tmp_path / "store")
    scores = artifactscan.score(corpus / "a.mp4", output=store, checkpoint=checkpoint, quiet=True, decode_actors=1)
    [over_before] = scores.videos["frames_over_motion"].to_pylist()
    loaded = artifactscan.load_checkpoint(checkpoint)
    lowest = float(np.min(scores.frames["p_motion"]))
    thresholds = {**loaded.card.thresholds, "motion": lowest / 2}
    other = str(tmp_path / "other")
    save_checkpoint(replace(loaded, card=replace(loaded.card, thresholds=thresholds)), other)

    again = artifactscan.score(corpus / "a.mp4", output=store, checkpoint=other, quiet=True)
    assert (again.run, again.spec, again.frames) == (scores.run, scores.spec, scores.frames)
    assert again.thresholds == thresholds
    assert over_before < again.videos["frames_over_motion"].to_pylist()[0] == again.frames.num_rows
    motion = again.events.filter(pc.equal(again.events["label"], "motion"))
    assert motion.select(["start_s", "end_s"]).to_pylist() == [{"start_s": 0.0, "end_s": 3.0}]
    tables = [pq.read_table(Path(store, name)) for name in ("frames", "videos", "events")]
    for table in tables:
        assert set(table["spec"].to_pylist()) == {scores.spec}
        assert set(table["checkpoint"].to_pylist()) == {loaded.name}


@pytest.mark.usefixtures("ray_here")
def test_scores_are_shown_without_reading_frames_and_read_the_runs_once(
    corpus: Path, checkpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = artifactscan.score(corpus / "a.mp4", checkpoint=checkpoint, quiet=True, decode_actors=1)
    reads: list[Store] = []
    committed = Store.committed
    monkeypatch.setattr(Store, "committed", lambda store: reads.append(store) or committed(store))
    said = repr(scores)
    assert said.startswith("Scores of 1 video (1 scored), 6 frames\n  boundary ")
    assert "frames" not in vars(scores)
    for line, label in zip(said.splitlines()[1:], artifactscan.LABELS, strict=True):
        over = np.count_nonzero(scores.frames[f"p_{label}"].to_numpy() >= scores.thresholds[label])
        videos = len(set(scores.events.to_pandas().query("label == @label")["video_id"]))
        assert line == f"  {label:9} {over / 6:6.1%} of frames, events in {videos} of 1 videos"
    assert len(reads) == 1


@pytest.mark.usefixtures("ray_here")
def test_the_callers_settings_of_ray_are_left_as_they_were(
    corpus: Path, checkpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray.data

    context, logger = ray.data.DataContext.get_current(), logging.getLogger("ray")
    monkeypatch.setattr(context, "enable_progress_bars", True)
    monkeypatch.setattr(context, "target_max_block_size", 123 << 20)
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        artifactscan.score(corpus / "a.mp4", checkpoint=checkpoint, quiet=True, decode_actors=1)
        assert ray.data.DataContext.get_current() is context
        assert (context.enable_progress_bars, context.target_max_block_size) == (True, 123 << 20)
        assert logger.level == logging.INFO
    finally:
        logger.setLevel(level)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"decodr": "pyav"}, "setting decodr is unknown; did you mean decoder?"),
        ({"inputs": "clips"}, "setting inputs is unknown; did you mean corpus, the first argument?"),
        ({"input": "clips"}, "setting input is unknown; did you mean corpus, the first argument?"),
        (
            {"max_failed": 0.1},
            "setting max_failed is not taken here: it decides the command's exit code; read `outcomes` "
            "of what this returns",
        ),
        (
            {"plan": True},
            "setting plan is not taken here: this function scores; `artifactscan score --plan` prints what "
            "would be done",
        ),
        ({"decoder": "ffmpeg"}, "--decoder is 'ffmpeg'; give one of auto, pyav, decord, nvdec"),
        ({"include": "*.mp4"}, "--include is '*.mp4'; give a tuple of which each item is text"),
        ({"limit": np.int64(0)}, "--limit is 0; give a number above 0"),
        ({"checkpoint": Path("nowhere")}, "checkpoint nowhere has no card.json"),
    ],
)
def test_a_mistake_is_one_sentence(
    given: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(artifactscan.UsageError) as raised:
        artifactscan.score("clips", **given)
    assert str(raised.value).startswith(said)
    assert not [path for path in tmp_path.rglob("*") if path != records_folder()], "no temporary store is left"


def test_a_store_in_the_place_of_the_corpus_is_refused(corpus: Path) -> None:
    with pytest.raises(
        artifactscan.UsageError, match=r"--input and --output are both .*; give the store a place of it"
    ):
        artifactscan.score(corpus, output=corpus)
    assert sorted(path.suffix for path in corpus.iterdir()) == [".mp4"] * len(list(corpus.iterdir()))


def test_a_run_that_ended_early_keeps_its_temporary_store(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from artifactscan.pipelines.score import run

    def cut_off(*_: object) -> None:
        raise artifactscan.CutOffError("the run was cut off: no node; the same command continues it")

    monkeypatch.setattr(run, "score_corpus", cut_off)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(artifactscan.CutOffError) as raised:
        artifactscan.score(corpus)
    [store] = (path for path in tmp_path.iterdir() if path != records_folder())
    assert str(raised.value) == f"the run was cut off: no node; the same call with output='{store}' continues it"


@pytest.mark.parametrize("corpus", [None, 5, ["a.mp4"]])
def test_a_corpus_or_checkpoint_of_another_type_is_refused(corpus: Any) -> None:
    with pytest.raises(artifactscan.UsageError, match=r"^--input is .*; give text$"):
        artifactscan.score(corpus)
    with pytest.raises(artifactscan.UsageError, match=r"^--checkpoint is .*; give text$"):
        artifactscan.score("clips", checkpoint=corpus)
    with pytest.raises(artifactscan.UsageError, match=r"^checkpoint is .*; give its folder as a path or text$"):
        artifactscan.load_checkpoint(corpus)
    with pytest.raises(artifactscan.UsageError, match=r"^path is .*; give that of one video, as a path or text$"):
        artifactscan.sample_frames(corpus)


def test_a_classifier_takes_a_loaded_checkpoint_and_arrays(checkpoint: str) -> None:
    for wrong in ("builtin", None):
        with pytest.raises(artifactscan.UsageError, match=r"^checkpoint is .*; give what load_checkpoint returns$"):
            artifactscan.Classifier(wrong)  # type: ignore[arg-type] - what is tested
    loaded = artifactscan.load_checkpoint(checkpoint)
    with pytest.raises(artifactscan.UsageError, match=r"^settings are 'cpu'; give ClassifySettings or None$"):
        artifactscan.Classifier(loaded, "cpu")  # type: ignore[arg-type] - what is tested
    classifier = artifactscan.Classifier(loaded)
    for wrong in (None, "x.mp4"):
        with pytest.raises(artifactscan.UsageError, match=r"frames are (NoneType|str); give arrays, as "):
            classifier.scores(wrong)  # type: ignore[arg-type] - what is tested


def test_an_input_that_cannot_be_is_an_error_of_the_family() -> None:
    with pytest.raises(artifactscan.UsageError, match="input height 0 is not a whole number from 1 to 4096"):
        artifactscan.InputSpec(height=0, width=16)
    with pytest.raises(artifactscan.UsageError, match=r"input mean 0\.5 is not three numbers from 0 to 1"):
        artifactscan.InputSpec(height=16, width=16, mean=0.5)  # type: ignore[arg-type] - what is tested


def test_frames_are_sampled_at_the_size_of_the_video_or_of_a_checkpoint(corpus: Path, checkpoint: str) -> None:
    path = str(corpus / "a.mp4")
    frames = artifactscan.sample_frames(path, fps=1.0)
    assert [media.read_number(frame) for frame in frames.frames] == frames.frame_index.tolist() == [0, 24, 48]
    assert (frames.frames.dtype, frames.frame_index.dtype, frames.pts_s.dtype) == (np.uint8, np.int32, np.float64)
    assert (frames.pts_s.tolist(), frames.lost) == ([0.0, 1.0, 2.0], 0)
    height, width = frames.frames.shape[1:3]
    assert repr(frames) == f"Frames(3 of {height}x{width} pixels, 0.00 to 2.00 s)"

    loaded = artifactscan.load_checkpoint(checkpoint)
    assert artifactscan.sample_frames(path, fps=1e-6).frame_index.tolist() == [0]
    sized = artifactscan.sample_frames(Path(path), fps=1.0, input=loaded.card.input)
    assert sized != frames and len({sized, frames}) == 2, "arrays are not compared"
    scores = artifactscan.Classifier(loaded).scores(sized.frames)
    assert (scores.shape, scores.dtype) == ((3, 4), np.float32)


def test_a_file_without_frames_is_an_error_with_its_outcome(tmp_path: Path) -> None:
    path = tmp_path / "text.mp4"
    path.write_text("no video")
    with pytest.raises(artifactscan.DecodeError, match=r"text\.mp4: .*not a readable video file") as raised:
        artifactscan.sample_frames(str(path))
    assert raised.value.outcome == "undecodable"
    for fps in (0, -1, 1e-300, 1e9, float("nan"), float("inf"), "two"):
        with pytest.raises(artifactscan.UsageError, match=r"fps is .*; give a number from 1e-06 to 1000"):
            artifactscan.sample_frames(path, fps=fps)  # type: ignore[arg-type] - what is tested
    with pytest.raises(artifactscan.UsageError, match=r"input is \(16, 16\); give an InputSpec"):
        artifactscan.sample_frames(path, input=(16, 16))  # type: ignore[arg-type] - what is tested
    with pytest.raises(artifactscan.UsageError, match="is not there"):
        artifactscan.sample_frames(str(tmp_path / "none.mp4"))
