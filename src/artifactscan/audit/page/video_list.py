"""The table of arrivals as JSON columns, which the page's script filters, sorts and pages."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from markupsafe import Markup

from artifactscan.audit.formatting import NAME_CHARS
from artifactscan.labels import LABELS
from artifactscan.messages.text import printable

MAX_LISTED = 20_000
"""Most videos in the table, about 90 bytes each: those without a score first, then the highest peaks."""
MAX_GROUP_CHOICES = 200
"""Most groups to choose from; the text filter finds the others."""
REASON_CHARS = 400

_CODES = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026"}


def listing(arrivals: pa.Table, thresholds: Mapping[str, float], cards: Mapping[str, str]) -> dict[str, Any]:
    """The ``arrivals`` (ARRIVALS) as columns, sorted by how far each video's highest peak is above its threshold.

    Those without a score come last, but are never left out for others. Texts that repeat are kept once and referred to
    by index; control characters are escaped. ``cards``: video_id → anchor of its card on the page.
    """
    rows = arrivals.take(pa.array(_order(arrivals, thresholds)))
    groups = [[printable(group, NAME_CHARS) for group in of_video] for of_video in rows["groups"].to_pylist()]
    frequent = Counter(group for of_video in groups for group in of_video)
    group_names, outcome_names, reason_names = list(frequent), _distinct(rows["outcome"]), _distinct(rows["reason"])
    position = {group: n for n, group in enumerate(group_names)}
    paths = [_split(printable(path, NAME_CHARS)) for path in rows["path"].to_pylist()]
    folder_place = {folder: n for n, folder in enumerate(dict.fromkeys(folder for folder, _ in paths))}
    return {
        "total": arrivals.num_rows,
        "labels": list(LABELS),
        "groups": group_names,
        "choices": sorted(group for group, _ in frequent.most_common(MAX_GROUP_CHOICES)),
        "outcomes": outcome_names,
        "reasons": [printable(reason, REASON_CHARS) for reason in reason_names],
        "folders": list(folder_place),
        "folder": [folder_place[folder] for folder, _ in paths],
        "file": [file for _, file in paths],
        "groupsOf": [[position[group] for group in of_video] for of_video in groups],
        "outcome": _places(rows["outcome"], outcome_names),
        "reason": _places(rows["reason"], reason_names),
        "durationTenths": _parts(rows["duration_s"], 10),
        "frames": rows["frames"].to_pylist(),
        "events": [rows[f"events_{label}"].to_pylist() for label in LABELS],
        "eventTenths": [_parts(rows[f"event_s_{label}"], 10) for label in LABELS],
        "peakThousandths": [_parts(rows[f"peak_{label}"], 1000) for label in LABELS],
        "cards": [(n, cards[video]) for n, video in enumerate(rows["video_id"].to_pylist()) if video in cards],
    }


def embedded(value: Any) -> Markup:
    """JSON for a ``<script>`` element: no text in it can end the element or open a comment."""
    return Markup(json.dumps(value, separators=(",", ":"), allow_nan=False).translate(_CODES))


def _order(arrivals: pa.Table, thresholds: Mapping[str, float]) -> np.ndarray:
    margins = np.stack([arrivals[f"peak_{label}"].to_numpy() - thresholds[label] for label in LABELS], axis=1)
    unscored = np.isnan(margins).all(axis=1)
    highest = np.where(unscored, -np.inf, np.nan_to_num(margins, nan=-np.inf).max(axis=1))
    listed = np.lexsort((-highest, ~unscored))[:MAX_LISTED]
    return listed[np.argsort(-highest[listed], kind="stable")]


def _split(path: str) -> tuple[str, str]:
    """The folder with its slash, which many paths share, and the file name."""
    folder, slash, file = path.rpartition("/")
    return folder + slash, file


def _distinct(column: pa.ChunkedArray) -> list[str]:
    return [value for value in column.unique().to_pylist() if value is not None]


def _places(column: pa.ChunkedArray, names: Iterable[str]) -> list[int | None]:
    position = {name: n for n, name in enumerate(names)}
    return [None if value is None else position[value] for value in column.to_pylist()]


def _parts(column: pa.ChunkedArray, of_one: int) -> list[int | None]:
    """Values as integers, counted in tenths or thousandths: a page has tens of thousands, and integers are shorter."""
    return [None if value is None else round(value * of_one) for value in column.to_pylist()]
