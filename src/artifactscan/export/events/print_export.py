"""Prints what an export of events wrote, and how to open it and bring labels back."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from artifactscan import storage
from artifactscan.annotation.video_index import INDEX_NAME
from artifactscan.export.events import cvat, label_studio
from artifactscan.export.events.read_videos import StoredVideos
from artifactscan.export.events.write_files import Written
from artifactscan.labels import LABELS
from artifactscan.messages.text import printable


def print_export(to: str, videos: StoredVideos, written: Written, output: str, out: Console) -> None:
    """Prints counts by label, whose scores they are, and a line for each thing that is done next."""
    runs = videos.runs
    grid = Table(title=f"{written.events.total():,} events of {written.clips:,} clips", title_justify="left")
    for label in LABELS:
        grid.add_column(label, justify="right")
    grid.add_row(*(f"{written.events[label]:,}" for label in LABELS))
    out.print(grid)
    out.print(f"{written.frames:,} frames, scored by {printable(runs.scorer)}, spec {runs.spec_digest[:8]}")
    if videos.without_frames:
        out.print(f"left out, as no frame of their latest version is scored: {videos.without_frames:,}")
    lines = [("written", output), ("open", _how_to_open(to, videos, output))]
    if to != "webvtt":
        index = storage.join(output, INDEX_NAME)
        lines.append(
            ("labels", f"artifactscan labels import --from {to} --file EXPORTED --index {index} --output labels.csv")
        )
    for what, text in lines:
        out.print(Text(f"{what:8} {printable(text)}"), soft_wrap=True)


def _how_to_open(to: str, videos: StoredVideos, output: str) -> str:
    remote = storage.is_remote(videos.rows["uri"][0].as_py())
    if to == "fiftyone":
        copy = ', rel_dir="FOLDER WITH A COPY OF THE CLIPS"' if remote else ""
        return f'fiftyone.Dataset.from_dir("{output}", fiftyone.types.FiftyOneDataset{copy})'
    if to == "label-studio":
        files = f"{label_studio.CONFIG_NAME} as labelling interface, {label_studio.TASKS_NAME} to import"
        return f"{files}; the clips as {'source storage' if remote else 'local files'}"
    if to == "cvat":
        return f"a task for each clip, with {cvat.RAW_LABELS_NAME} as raw labels; upload its file in {cvat.FOLDER}/"
    return '<track kind="chapters" src="….vtt" default> in the clip\'s <video>'
