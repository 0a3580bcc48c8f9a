"""Human labels on a sample of the corpus, joined with what the scorer flags in the same frames."""

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from artifactscan.annotation.labels_table import labelled_by_judge, read_labels
from artifactscan.audit.video_groups import paths_below
from artifactscan.labels import LABELS
from artifactscan.store.layout import Store
from artifactscan.store.stored_rows import stored_frames


def labels_with_flags(
    labels_uri: str, videos: pa.Table, store: Store, spec_digest: str, *, corpus: str, thresholds: Mapping[str, float]
) -> pa.Table:
    """One row per labelled frame with a score: ``video``, ``y_<label>`` (int8) and ``flagged_<label>`` (bool).

    ``videos`` has video_id and uri of the videos listed tonight. The labels table names files by their path below the
    corpus; labels of other files, of frames that are not sampled, and by a judge, alone or merged with people,
    are ignored.
    """
    labels = read_labels(labels_uri, rule="majority")
    labels = labels.filter(pc.invert(labelled_by_judge(labels)))
    paths = pa.array(paths_below(corpus, videos["uri"].to_pylist()), pa.string())
    named = pa.table({"file": paths, "video_id": videos["video_id"]})
    named = named.filter(pc.is_in(named["file"], labels["file"].combine_chunks()))
    frames = stored_frames(store, store.runs_of(spec_digest), named["video_id"].combine_chunks())
    joined = labels.join(named, "file", join_type="inner").join(
        frames.drop_columns(["uri"]), ["video_id", "frame_index"], join_type="inner"
    )
    columns = {"video": joined["video_id"]}
    columns |= {f"y_{label}": joined[label] for label in LABELS}
    columns |= {f"flagged_{label}": pc.greater_equal(joined[f"p_{label}"], thresholds[label]) for label in LABELS}
    return pa.table(columns)
