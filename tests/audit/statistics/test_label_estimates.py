"""Shares of clips and frames per group, from labels on the nights' samples."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from arrived import arrived, video

from artifactscan.audit.label_sample import draw_clips, draw_frames
from artifactscan.audit.night_tables import ALL, ESTIMATES, LABEL_SAMPLE, RECENT, TONIGHT
from artifactscan.audit.statistics.label_estimates import LabelledNight, estimate_labels, leading
from artifactscan.labels import LABELS, SCORE_COLUMNS
from artifactscan.schemas import FRAMES

FRAMES_OF = 12
LABELS_SCHEMA = pa.schema(
    [("video_id", pa.string()), ("frame_index", pa.int32()), *((label, pa.int8()) for label in LABELS)]
)


def a_night(
    clips: int, share: float, *, seed: int, useful: bool = True, name: str = "night", labelled: float = 1.0
) -> tuple[LabelledNight, dict[str, float]]:
    """A night in which motion is in a tenth of the clips of group a, and in a half of those of b, in half their frames.

    Its scores tell where it is, or with ``useful=False`` say it of every frame; returns the true shares, too.
    """
    rng = np.random.default_rng(seed)
    in_b = np.arange(clips) % 2 == 1
    shows = (rng.random(clips) < np.where(in_b, 0.5, 0.1))[:, None] & (rng.random((clips, FRAMES_OF)) < 0.5)
    noise = rng.random((clips, FRAMES_OF))
    p = np.where(shows, 0.5 + noise / 2, 0.6 * noise) if useful else 0.7 + 0.3 * noise
    over = p >= 0.5
    rows = [
        video(groups=[f"generator={'ab'[int(b)]}"], frames=FRAMES_OF, peak=float(peak), motion=int(count))
        for b, peak, count in zip(in_b, p.max(axis=1), over.sum(axis=1), strict=True)
    ]
    ids = [f"{name}-{n}" for n in range(clips)]
    arrivals = arrived(*[{**row, "video_id": one, "uri": one, "path": one} for one, row in zip(ids, rows, strict=True)])
    frames = pa.Table.from_pylist(
        [
            dict.fromkeys(SCORE_COLUMNS, 0.1)
            | {"video_id": one, "uri": one, "frame_index": n, "pts_s": n / 2, "p_motion": float(p[clip, n])}
            for clip, one in enumerate(ids)
            for n in range(FRAMES_OF)
        ],
        FRAMES,
    )
    means: dict[str, Any] = {"video_id": ids} | {f"mean_{label}": [0.1] * clips for label in LABELS}
    means["mean_motion"] = p.mean(axis=1)
    sample = draw_frames(draw_clips(arrivals, share, name), frames, name)
    labels = [
        dict.fromkeys(LABELS, 0)
        | {"video_id": row["video_id"], "frame_index": row["frame_index"]}
        | {"motion": int(shows[ids.index(row["video_id"]), row["frame_index"]])}
        for row in sample.to_pylist()
        if row["position"] < labelled * clips * share
    ]
    night = LabelledNight(
        arrivals=arrivals,
        means=pa.table(means),
        sample=sample,
        labels=pa.Table.from_pylist(labels, LABELS_SCHEMA),
    )
    return night, {"all": float(shows.mean()), "a": float(shows[~in_b].mean()), "b": float(shows[in_b].mean())}


def estimates_of(*nights: LabelledNight, scope: str = TONIGHT) -> pa.Table:
    return estimate_labels(nights, scope=scope, labelled_by="people")


def row(table: pa.Table, *, label: str = "motion", group: str = ALL, unit: str = "frames") -> dict[str, Any]:
    wanted = {"label": label, "group": group, "unit": unit}
    [found] = [one for one in table.to_pylist() if wanted.items() <= one.items()]
    return found


def test_there_is_a_row_per_label_group_and_unit() -> None:
    night, _ = a_night(200, 0.2, seed=0)
    table = estimates_of(night)
    assert table.schema == ESTIMATES
    assert table.num_rows == len(LABELS) * 3 * 2
    found = row(table)
    assert (found["scope"], found["nights"], found["labelled_by"]) == (TONIGHT, 1, "people")
    assert (found["clips"], found["drawn"], found["labelled_clips"], found["labelled_frames"]) == (200, 40, 40, 240)
    assert found["flag_rate"] == pytest.approx(pc_share(night))


def pc_share(night: LabelledNight) -> float:
    over, frames = (np.sum(night.arrivals[name].to_numpy()) for name in ("frames_over_motion", "frames"))
    return float(over / frames)


def test_estimates_hold_the_truth_where_the_flags_do_not() -> None:
    for useful in (True, False):
        held = []
        for seed in range(40):
            night, truth = a_night(300, 0.3, seed=seed, useful=useful, name=f"night{seed}")
            table = estimates_of(night)
            for group, share in truth.items():
                found = row(table, group=ALL if group == "all" else f"generator={group}")
                held.append(found["estimate_low"] <= share <= found["estimate_high"])
                if not useful:
                    assert found["flag_rate"] == 1
        # The interval is for other nights of the kind, too, so it holds the share of this one more often than 95 %.
        assert np.mean(held) > 0.95


def test_useful_scores_narrow_the_interval() -> None:
    night, _ = a_night(1000, 0.1, seed=1)
    for unit in ("clips", "frames"):
        found = row(estimates_of(night), unit=unit)
        width, alone = (found[f"{name}_high"] - found[f"{name}_low"] for name in ("estimate", "labels_alone"))
        assert width < 0.8 * alone
        assert found["correlation"] > 0.6


def test_a_clip_counts_once_all_its_frames_are_labelled() -> None:
    night, _ = a_night(100, 0.3, seed=2)
    kept = night.labels.slice(0, night.labels.num_rows - 1)
    short = LabelledNight(arrivals=night.arrivals, means=night.means, sample=night.sample, labels=kept)
    found = row(estimates_of(short))
    assert (found["drawn"], found["labelled_clips"], found["labelled_frames"]) == (30, 29, 29 * 6)
    assert found["estimate"] is not None


def test_a_part_of_the_sample_stands_for_all_of_it() -> None:
    full, _ = a_night(2000, 0.2, seed=3)
    part, _ = a_night(2000, 0.2, seed=3, labelled=0.5)
    one, other = (row(estimates_of(night)) for night in (full, part))
    assert other["labelled_clips"] == 200
    assert other["estimate"] == pytest.approx(one["estimate"], abs=0.03)
    # The scores are of all clips, whatever part is labelled: half the labels widen the interval by the root of two.
    widths = [found["estimate_high"] - found["estimate_low"] for found in (one, other)]
    assert widths[1] / widths[0] == pytest.approx(np.sqrt(2), rel=0.15)


def test_too_few_labelled_clips_give_a_reason() -> None:
    night, _ = a_night(100, 0.09, seed=4)
    found = row(estimates_of(night))
    assert found["estimate"] is None
    assert found["reason"] == "9 labelled clips are too few; an estimate needs 10"
    assert found["flag_rate"] is not None
    none, _ = a_night(100, 0.09, seed=4, labelled=0)
    assert row(estimates_of(none))["reason"].startswith("0 labelled clips")


def test_nights_with_other_probabilities_count_by_them() -> None:
    # 2 % of 3,000 clips that all show it, all of 60 that do not.
    shares, nights = {"many": (3000, 0.02, 1), "few": (60, 1.0, 0)}, []
    for name, (clips, share, shown) in shares.items():
        night, _ = a_night(clips, share, seed=5, name=name)
        column = night.labels.schema.get_field_index("motion")
        labels = night.labels.set_column(column, "motion", pa.array([shown] * night.labels.num_rows, pa.int8()))
        nights.append(LabelledNight(arrivals=night.arrivals, means=night.means, sample=night.sample, labels=labels))
    found = row(estimates_of(*nights, scope=RECENT))
    assert (found["nights"], found["clips"], found["labelled_clips"]) == (2, 3060, 120)
    assert found["labels_alone"] == pytest.approx(3000 / 3060)


def test_tonight_s_estimates_lead_where_there_are_any() -> None:
    night, _ = a_night(200, 0.2, seed=6)
    few, _ = a_night(100, 0.02, seed=7)
    recent = estimates_of(night, few, scope=RECENT)
    assert {one["scope"] for one in leading(pa.concat_tables([estimates_of(few), recent]))} == {RECENT}
    found = leading(pa.concat_tables([estimates_of(night), recent]))
    assert {one["scope"] for one in found} == {TONIGHT}
    assert len(found) == len(LABELS) * 2
    assert leading(estimates_of(few)) == leading(ESTIMATES.empty_table()) == []


def test_a_night_without_arrivals_has_none() -> None:
    night, _ = a_night(20, 0.5, seed=8)
    empty = LabelledNight(
        arrivals=night.arrivals.slice(0, 0),
        means=night.means.slice(0, 0),
        sample=LABEL_SAMPLE.empty_table(),
        labels=night.labels.slice(0, 0),
    )
    found = row(estimates_of(empty))
    assert (found["clips"], found["drawn"], found["flag_rate"], found["estimate"]) == (0, 0, None, None)
