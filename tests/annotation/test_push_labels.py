"""Labels tables on a model hub and as a folder for `datasets`: what is written is read back, and names stay here."""

from dataclasses import fields
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hub_server import HubServer
from huggingface_hub import DatasetCard
from labelled import graded_row, label_row

from artifactscan.annotation.labels_table import read_labels
from artifactscan.annotation.settings import LabelsPushSettings
from artifactscan.errors import UsageError
from artifactscan.jobs.labels import main
from artifactscan.labels import LABELS
from artifactscan.training.labelled_frames import label_inputs, load_labelled_frames

HEADER = f"file,frame_index,{','.join(LABELS)},annotator,note,generator\n"
ROWS = "a.mp4,0,1,0,0,0,anna,,\na.mp4,0,0,0,0,0,ben,,\nb.mp4,12,0,1,0,0,judge:qwen,fuzzy,sora\n"


@pytest.fixture
def labels(tmp_path: Path) -> str:
    (tmp_path / "labels.csv").write_text(HEADER + ROWS)
    return str(tmp_path / "labels.csv")


def push(*flags: str) -> int:
    return main(["push", *flags])


def test_the_flags_are_frozen() -> None:
    names = [field.name for field in fields(LabelsPushSettings)]
    assert names == ["labels", "to", "annotators", "private", "license", "message"]


def test_what_is_pushed_is_read(labels: str, hub: HubServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert push("--labels", labels, "--to", "hf://datasets/org/set", "--annotators", "named") == 0
    repo = hub.repos["datasets/org/set"]
    assert set(repo.files) == {".gitattributes", "README.md", "labels.parquet"}
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"hf://datasets/org/set@{repo.branches['main']}: 3 labelled frames of 2 clips"
    assert said[1].startswith("the clips stay here")
    for uri in ("hf://datasets/org/set", "hf://datasets/org/set@main/labels.parquet"):
        assert read_labels(uri, rule="keep").equals(read_labels(labels, rule="keep"))


def test_the_same_push_again_makes_no_commit(labels: str, hub: HubServer, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert push("--labels", labels, "--to", "hf://datasets/org/set", "--license", "cc-by-4.0") == 0
    assert len(hub.repos["datasets/org/set"].commits) == 2
    assert ", which were there already" in capsys.readouterr().out


def test_names_of_people_stay_here_unless_they_are_asked_for(labels: str, tmp_path: Path) -> None:
    assert push("--labels", labels, "--to", str(tmp_path / "set")) == 0
    pushed = read_labels(str(tmp_path / "set/labels.parquet"), rule="keep")
    assert pushed["annotator"].to_pylist() == ["annotator 1", "annotator 2", "judge:qwen"]
    assert b"anna" not in (tmp_path / "set/README.md").read_bytes().replace(b"`anna; ben`", b"")
    assert pushed.drop_columns("annotator").equals(read_labels(labels, rule="keep").drop_columns("annotator"))


def test_merged_rows_keep_who_is_who(tmp_path: Path) -> None:
    (tmp_path / "merged.csv").write_text(HEADER + "a.mp4,0,1,0,0,0,ben; anna,,\na.mp4,9,1,0,0,0,,,\n")
    assert push("--labels", str(tmp_path / "merged.csv"), "--to", str(tmp_path / "set")) == 0
    pushed = read_labels(str(tmp_path / "set/labels.parquet"))
    assert pushed.to_pylist() == [
        label_row("a.mp4", 0, "1000", "annotator 2; annotator 1"),
        label_row("a.mp4", 9, "1000"),
    ]


def test_the_card_says_what_datasets_reads(labels: str, tmp_path: Path) -> None:
    assert push("--labels", labels, "--to", str(tmp_path / "set"), "--license", "cc-by-4.0") == 0
    data = DatasetCard((tmp_path / "set/README.md").read_text()).data.to_dict()
    schema = pq.read_schema(tmp_path / "set/labels.parquet")
    told = {one["name"]: one["dtype"] for one in data["dataset_info"]["features"]}
    assert told == {one.name: {"double": "float64"}.get(str(one.type), str(one.type)) for one in schema}
    assert data["configs"] == [
        {"config_name": "default", "data_files": [{"split": "train", "path": "labels.parquet"}]},
    ]
    assert (data["license"], data["size_categories"]) == ("cc-by-4.0", "n<1K")


def test_grades_go_along(tmp_path: Path) -> None:
    grades = ",".join(f"severity_{label}" for label in LABELS)
    (tmp_path / "graded.csv").write_text(f"file,frame_index,{grades}\na.mp4,0,0,1,2,3\n")
    assert push("--labels", str(tmp_path / "graded.csv"), "--to", str(tmp_path / "set")) == 0
    assert read_labels(str(tmp_path / "set/labels.parquet")).to_pylist() == [graded_row("a.mp4", 0, "0123")]


def test_a_folder_with_something_else_is_not_written_over(
    labels: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set/README.md").write_text("mine")
    assert push("--labels", labels, "--to", str(tmp_path / "set")) == 2
    assert capsys.readouterr().err.endswith("has another README.md; give a new folder\n")
    assert [path.name for path in (tmp_path / "set").iterdir()] == ["README.md"]


def test_a_folder_of_clips_gets_no_card(labels: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips/a.mp4").write_bytes(b"x")
    assert push("--labels", labels, "--to", str(tmp_path / "clips")) == 2
    assert capsys.readouterr().err.endswith("/clips holds something else (a.mp4); give a folder of its own\n")
    assert [path.name for path in (tmp_path / "clips").iterdir()] == ["a.mp4"]
    assert push("--labels", labels, "--to", str(tmp_path / "clips" / "a.mp4")) == 2
    assert "this is a bug" not in capsys.readouterr().err


def test_a_dataset_of_something_else_is_not_written_over(
    labels: str, hub: HubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    there = {"README.md": b"# my pictures", "data/train.parquet": b"PAR1"}
    hub.commit("datasets/org/set", there)
    assert push("--labels", labels, "--to", "hf://datasets/org/set") == 2
    assert (
        "hf://datasets/org/set holds something else (README.md, data/train.parquet), and a" in capsys.readouterr().err
    )
    assert hub.repos["datasets/org/set"].files == there
    assert push("--labels", labels, "--to", "hf://datasets/org/set/labels") == 0
    assert push("--labels", labels, "--to", "hf://datasets/org/set/labels", "--license", "mit") == 0, "one of ours"
    assert set(hub.repos["datasets/org/set"].files) == {*there, "labels/README.md", "labels/labels.parquet"}
    card = hub.repos["datasets/org/set"].files["labels/README.md"].decode()
    assert "--labels hf://datasets/org/set/labels/labels.parquet --clips" in card
    assert 'datasets.load_dataset("org/set", data_dir="labels", split="train")' in card
    assert read_labels("hf://datasets/org/set/labels/labels.parquet", rule="keep").num_rows == 3


def test_labels_on_a_hub_need_their_clips(labels: str, hub: HubServer, tmp_path: Path) -> None:
    push("--labels", labels, "--to", "hf://datasets/org/set")
    (tmp_path / "clips").mkdir()
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / "clips" / name).write_bytes(b"x")
    with pytest.raises(UsageError, match=r"--labels hf://datasets/org/set are on a hub, and the clips are not; give"):
        load_labelled_frames(["hf://datasets/org/set"], [])
    assert label_inputs(["hf://datasets/org/set"], []) == [("--labels", "hf://datasets/org/set")]
    loaded = load_labelled_frames(["hf://datasets/org/set"], [str(tmp_path / "clips")], rule="any")
    assert [clip.uri for clip in loaded.clips.values()] == [
        str(tmp_path / "clips" / name) for name in ("a.mp4", "b.mp4")
    ]
    assert loaded.y.tolist() == [[1, 0, 0, 0], [0, 1, 0, 0]]


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("hf://datasets/org/set/gone.csv", "has no file 'gone.csv'"),
        ("hf://org/set", "is a model on a hub, and is not read as one; give hf://datasets/org/name@revision"),
        ("hf://datasets/org/none", "has no such repository"),
        ("hf://datasets/org/set/notes.txt", "the name does not tell the format"),
    ],
)
def test_labels_that_are_not_there_are_one_sentence(hub: HubServer, uri: str, said: str) -> None:
    hub.commit("datasets/org/set", {"notes.txt": b"x"})
    with pytest.raises(UsageError) as raised:
        read_labels(uri)
    assert said in str(raised.value) and "\n" not in str(raised.value)
