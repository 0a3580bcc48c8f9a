"""What each epoch of each training gave, as a table and as curves."""

import io
from typing import Any

import pyarrow as pa

from artifactscan import storage
from artifactscan.storage.parquet import write_table

HISTORY = pa.schema(
    [
        pa.field("run", pa.string(), nullable=False),
        pa.field("epoch", pa.int32(), nullable=False),
        pa.field("fit_loss", pa.float64(), nullable=False),
        pa.field("tune_loss", pa.float64()),
        pa.field("tune_average_precision", pa.float64()),
        pa.field("learning_rate", pa.float64(), nullable=False),
        pa.field("frames_per_s", pa.float64(), nullable=False),
        pa.field("seconds", pa.float64(), nullable=False),
        pa.field("best", pa.bool_(), nullable=False),
    ]
)
"""One row per epoch, counted from 1. ``run`` names the training, ``learning_rate`` is the head's at the epoch's end,
``frames_per_s`` is of training alone, ``best`` marks the epoch whose weights were kept. Null where no frames were left
to tune on."""


def history_table(rows: list[dict[str, Any]]) -> pa.Table:
    """HISTORY rows of dicts with its columns; NaN becomes null."""
    cleaned = [{name: None if row[name] != row[name] else row[name] for name in HISTORY.names} for row in rows]
    return pa.Table.from_pylist(cleaned, HISTORY)


def write_history(table: pa.Table, folder: str, *, title: str) -> None:
    """Writes history.parquet and losses.png into a folder, local or s3://."""
    write_table(table, storage.join(folder, "history.parquet"))
    storage.write_bytes(storage.join(folder, "losses.png"), loss_curves(table, title=title))


def loss_curves(table: pa.Table, *, title: str) -> bytes:
    """A PNG: losses on the left, average precision of the tuning side on the right, a colour for each run."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    frame = table.to_pandas()
    for number, (run, rows) in enumerate(frame.groupby("run", sort=False)):
        colour = f"C{number % 10}"
        left.plot(rows["epoch"], rows["fit_loss"], color=colour, marker=".", label=str(run))
        left.plot(rows["epoch"], rows["tune_loss"], color=colour, linestyle="--", marker="x")
        right.plot(rows["epoch"], rows["tune_average_precision"], color=colour, marker=".")
        kept = rows[rows["best"]]
        right.scatter(kept["epoch"], kept["tune_average_precision"], color=colour, zorder=3)
    left.set(title=f"{title}: loss (solid: trained on, dashed: tune)", xlabel="epoch", ylabel="loss")
    for axes in (left, right):
        axes.xaxis.get_major_locator().set_params(integer=True)
    right.set(title="macro average precision, tune", xlabel="epoch", ylim=(0, 1))
    left.legend(fontsize="small")
    image = io.BytesIO()
    canvas.print_png(image)
    return image.getvalue()
