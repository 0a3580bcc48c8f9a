"""Labels tables on a model hub, or as a folder of the same files: Parquet, and the card that `datasets` reads it by."""

from collections.abc import Mapping

import pyarrow as pa
from rich.console import Console
from rich.text import Text

from artifactscan import storage
from artifactscan.annotation.labels_table import HUB_LABELS_NAME, JUDGE_PREFIX, read_labels, without_empty_columns
from artifactscan.annotation.merge_rows import NOT_NAMED, SEVERAL
from artifactscan.annotation.settings import LabelsPushSettings
from artifactscan.errors import UsageError
from artifactscan.labels import LABELS, MAX_SEVERITY
from artifactscan.messages.text import escaped_markdown, first_few, printable
from artifactscan.settings.groups import check_settings
from artifactscan.storage import hub
from artifactscan.storage.hub_target import HUB_CARD_NAME, TAG
from artifactscan.storage.parquet import parquet_bytes
from artifactscan.storage.storage_errors import as_cut_off_errors

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
"""The hub's names of sizes, in rows."""
_LARGEST = "1M<n<10M"

_TEXT = """\
# {title}

Labels of frames of generated videos, for artifactscan: which of four kinds of visual artifacts a frame shows. One row
for each labelled frame, or for each frame and annotator: {rows:,} rows, {clips:,} clips. **The clips are not here**:
their paths in `file` start from a folder of clips that you have.

    artifactscan evaluate --labels {uri} --clips CLIPS --checkpoint builtin --output FIGURES

    import datasets
    labels = datasets.load_dataset({dataset}, split="train")

| column | |
|---|---|
| `file`, `frame_index` | the clip's path, and the frame's position in it in presentation order, from 0 |
| {labels} | 1 where the frame shows it, else 0 |
| `severity_…` | the grade, from 0 (none) to {max_severity} (gross), or a mean of grades; absent where nobody graded |
| `annotator` | who labelled it; `anna; ben` for a row that several were merged into |
| `note`, `generator` | a remark; what made the clip |

{licence}
"""


def push_labels(settings: LabelsPushSettings, out: Console) -> None:
    """Writes a labels table with its dataset card to a hub, in one commit, or to a folder, and says what it wrote.

    UsageError for labels that cannot be used, and as ``storage.hub.push``.
    """
    check_settings(settings)
    to_hub = storage.is_hub(settings.to)
    place = hub.repository(settings.to, "dataset") if to_hub else storage.normalise(settings.to)
    table = read_labels(settings.labels, rule="keep")
    if not table.num_rows:
        raise UsageError(f"labels {settings.labels} have no rows; label at least some frames")
    if settings.annotators == "numbered":
        table = _with_numbered_annotators(table)
    table = without_empty_columns(table)
    card = _dataset_card(table, place if to_hub else None, license=settings.license)
    files = {HUB_LABELS_NAME: parquet_bytes(table), HUB_CARD_NAME: card.encode()}
    if to_hub:
        message = settings.message or f"{table.num_rows:,} labelled frames"
        pushed = hub.push(settings.to, files, "dataset", message=message, private=settings.private)
        for note in pushed.notes:
            out.print(Text(printable(note)), soft_wrap=True)
        place, is_new = pushed.uri, pushed.is_new
    else:
        is_new = _write_folder(files, place)
    known = "" if is_new else ", which were there already"
    clips = len(set(table["file"].to_pylist()))
    out.print(Text(f"{printable(place)}: {table.num_rows:,} labelled frames of {clips:,} clips{known}"), soft_wrap=True)
    out.print("the clips stay here: they may be the work of others, and labels name them by their paths only")
    if whole := sum("://" in file or file.startswith("/") for file in table["file"].to_pylist()):
        note = f"{whole:,} rows name their clip by a whole uri or path, which others can read and not use"
        out.print(Text(note, style="yellow"), soft_wrap=True)


def _write_folder(files: Mapping[str, bytes], folder: str) -> bool:
    """Writes the files, the card last; whether they were not there. UsageError where the folder holds anything else."""
    storage.check_writable(folder)
    if others := [name for name in storage.list_names(folder) if name not in files and not name.startswith(".")]:
        raise UsageError(f"--to {folder} holds something else ({first_few(others)}); give a folder of its own")
    found = {name: storage.join(folder, name) for name in files}
    there = {name: storage.read_bytes(uri) for name, uri in found.items() if storage.exists(uri)}
    if other := [name for name, content in there.items() if content != files[name]]:
        raise UsageError(f"--to {folder} has another {other[0]}; give a new folder")
    with as_cut_off_errors("the same command does it again"):
        for name, content in files.items():
            storage.write_bytes(found[name], content)
    return len(there) < len(files)


def _with_numbered_annotators(table: pa.Table) -> pa.Table:
    """People's names as annotator 1, annotator 2, … in alphabetical order; a judge keeps its own."""
    annotators: list[str | None] = table["annotator"].to_pylist()
    told: list[list[str]] = [annotator.split(SEVERAL) if annotator else [] for annotator in annotators]
    people = sorted({name for names in told for name in names if not name.startswith(JUDGE_PREFIX)} - {NOT_NAMED})
    numbered = {name: f"annotator {number}" for number, name in enumerate(people, 1)}
    column = [SEVERAL.join(numbered.get(name, name) for name in names) or None for names in told]
    position = table.schema.get_field_index("annotator")
    return table.set_column(position, table.schema.field(position), pa.array(column, pa.string()))


def _dataset_card(table: pa.Table, uri: str | None, *, license: str | None) -> str:
    """README.md: metadata by which the hub and `datasets` know the table, then the card for people.

    ``uri``: hf://datasets/org/name; None for a folder.
    """
    from huggingface_hub import DatasetCardData

    name = uri.partition("://datasets/")[2] if uri else "FOLDER"
    organisation, _, rest = name.partition("/")
    repository, _, folder = rest.partition("/")
    data = DatasetCardData(
        license=license,
        pretty_name=name if uri else None,
        task_categories=["image-classification"],
        tags=[TAG, "video", "generated-video"],
        size_categories=next((size for most, size in _SIZES if table.num_rows < most), _LARGEST),
        configs=[{"config_name": "default", "data_files": [{"split": "train", "path": HUB_LABELS_NAME}]}],
        dataset_info={"features": [{"name": one.name, "dtype": _dtype(one.type)} for one in table.schema]},
    )
    body = _TEXT.format(
        title=escaped_markdown(name) if uri else "Labelled frames",
        rows=table.num_rows,
        clips=len(set(table["file"].to_pylist())),
        uri=uri if uri and not folder else f"{uri or name}/{HUB_LABELS_NAME}",
        dataset=f'"{organisation}/{repository}", data_dir="{folder}"' if folder else f'"{name}"',
        labels=", ".join(f"`{label}`" for label in LABELS),
        max_severity=MAX_SEVERITY,
        licence=f"Licence: {escaped_markdown(license)}." if license else "No licence is stated.",
    )
    return f"---\n{data.to_yaml()}\n---\n\n{body}"


def _dtype(type: pa.DataType) -> str:
    """Arrow's type as `datasets` names it."""
    return "float64" if type == pa.float64() else str(type)
