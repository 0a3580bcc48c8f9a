"""How often the audit notices that a corpus got worse, and how often it says so of one that did not.

    python benchmarks/audit_power.py [--nights 200]
    python benchmarks/audit_power.py --consecutive 300 [--sequences 10]
    python benchmarks/audit_power.py --faults [--sequences 40]

A corpus is three groups (generator=a, b, c), four labels in each; 5 % of the videos have an event of a label,
independently. Per simulated night the real ``measure_rates`` and ``judge_night`` compare it with 14 baseline nights
under the default policy, with canaries that do not move. On a change night the true rate of one label in one group is
10 %; on a quiet night nothing changed. Each night of either kind has its own corpus. The variants, each a line of JSON:

- group: 500 videos a night in each group. To reach: 0.90 of change nights fail, at most 0.05 of quiet ones.
- together: 500 videos a night in all groups together, so 167, 167 and 166 in each.
- restless_1: as group, but the true rates differ from night to night by about 1 point (standard deviation, on the
  log-odds), each label's and group's on its own, in the baseline as well.
- restless_2: the same with about 2 points.

With ``--consecutive`` nights follow each other, so that one which fails by chance has its effect on the baselines of
the next (``consecutive_nights.py``): per corpus the share of quiet nights that fail in ten sequences, the largest share
in one of them, and the smallest rise of one label in one generator that a night finds with 80 %.

With ``--faults`` one label in one of three generators, of 500 videos a night each, goes through faults of several
nights after 30 quiet ones (``consecutive_nights.FAULTS``): per fault the share of sequences in which its first
night fails, its second bad one, and any later one.

``error`` is the standard error of a share at 200 nights or how many there are; ``rightly`` says of how many change
nights the headline names the label and group that changed.
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
from consecutive_nights import FAULTS, Corpus, fault_found, least_rise_found, quiet_rate

from artifactscan.audit.night import EXIT_PASS
from artifactscan.audit.night_tables import ARRIVALS, CANARIES
from artifactscan.audit.policy import Policy
from artifactscan.audit.statistics.flag_rates import measure_rates
from artifactscan.audit.verdict import judge_night
from artifactscan.labels import LABELS

RATE, RISEN = 0.05, 0.10
BASELINE_NIGHTS = 14
FRAMES = (8, 41)
"""Least number of frames of a video, and one more than the largest: 4 to 20 seconds at 2 a second."""
CHANGED = "motion"
RESAMPLES = 20
"""Fewer than in an audit: intervals are only shown, they do not change the verdict."""
POINT = 1 / (100 * RATE * (1 - RATE))
"""One percentage point at RATE, in log-odds."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A kind of corpus."""

    name: str
    videos: tuple[int, ...]
    """Per night, by group."""
    restless: float = 0.0
    """Standard deviation of the nights' log-odds."""


VARIANTS = (
    Variant(name="group", videos=(500, 500, 500)),
    Variant(name="together", videos=(167, 167, 166)),
    Variant(name="restless_1", videos=(500, 500, 500), restless=POINT),
    Variant(name="restless_2", videos=(500, 500, 500), restless=2 * POINT),
)


def arrivals(variant: Variant, rng: np.random.Generator, *, risen: bool = False) -> pa.Table:
    """ARRIVALS of one night; with ``risen`` the rate of CHANGED in the first group is RISEN."""
    rates = np.full((len(variant.videos), len(LABELS)), RATE)
    if risen:
        rates[0, LABELS.index(CHANGED)] = RISEN
    odds = rates / (1 - rates) * np.exp(rng.normal(0, variant.restless, rates.shape))
    group = np.repeat(np.arange(len(variant.videos)), variant.videos)
    count = len(group)
    flagged = rng.random((count, len(LABELS))) < (odds / (1 + odds))[group]
    frames = rng.integers(*FRAMES, size=count)
    over = flagged * (1 + np.floor(rng.random((count, len(LABELS))) * frames[:, None] / 2).astype(int))
    names = pa.array([f"generator={chr(ord('a') + one)}" for one in range(len(variant.videos))]).take(pa.array(group))
    columns = {
        "groups": pa.ListArray.from_arrays(np.arange(count + 1, dtype=np.int32), names),
        "outcome": pa.repeat("scored", count),
        "frames": frames,
    }
    for label, name in enumerate(LABELS):
        columns[f"events_{name}"] = flagged[:, label].astype(int)
        columns[f"event_s_{name}"] = over[:, label] / 2
        columns[f"frames_over_{name}"] = over[:, label]
    columns |= {name: pa.repeat("", count) for name in ("video_id", "uri", "path")}
    return pa.table(
        {
            field.name: pa.array(columns[field.name]).cast(field.type)
            if field.name in columns
            else pa.nulls(count, field.type)
            for field in ARRIVALS
        },
        schema=ARRIVALS,
    )


def run(variant: Variant, nights: int, seed: int) -> dict[str, object]:
    """Shares of the change nights and the quiet nights that fail."""
    rng, begun = np.random.default_rng(seed), time.monotonic()
    policy, canaries = Policy(), _canaries()
    failed, rightly = {True: 0, False: 0}, 0
    for risen in (True, False):
        for _ in range(nights):
            baseline = {f"night{one:02}": arrivals(variant, rng) for one in range(BASELINE_NIGHTS)}
            tonight = arrivals(variant, rng, risen=risen)
            cells = measure_rates(tonight, baseline, policy, resamples=RESAMPLES)
            verdict = judge_night(
                policy=policy, cells=cells, arrivals=tonight, canaries=canaries, baseline=list(baseline)
            )
            failed[risen] += verdict.code != EXIT_PASS
            rightly += risen and f"{CHANGED} rose" in verdict.headline.lower() and "generator=a" in verdict.headline
    return {
        "variant": variant.name,
        "videos_a_night": variant.videos,
        "nights_of_each_kind": nights,
        "change_nights_failed": failed[True] / nights,
        "rightly": rightly / nights,
        "quiet_nights_failed": failed[False] / nights,
        "error": [
            round(float(np.sqrt(share * (1 - share) / nights)), 4)
            for share in (failed[True] / nights, failed[False] / nights)
        ],
        "seconds": round(time.monotonic() - begun, 1),
    }


CORPORA = tuple(
    Corpus(groups=groups, videos=videos, own=own, common=common)
    for groups in ("flat", "nested")
    for videos in (50, 500, 5000)
    for own, common in ((0, 0), (1, 0), (0, 1), (2, 0), (0, 2))
)
FAULTY = Corpus(groups="flat", videos=1500)


def run_consecutive(corpus: Corpus, nights: int, sequences: int, seed: int) -> dict[str, object]:
    """Shares of quiet nights that fail, and what is still found."""
    begun = time.monotonic()
    shares = quiet_rate(corpus, nights=nights, sequences=sequences, seed=seed)
    least = least_rise_found(corpus, sequences=30, seed=seed)
    return {
        **asdict(corpus),
        "nights": nights * sequences,
        "quiet_nights_failed": round(float(np.mean(shares)), 4),
        "error": round(float(np.std(shares) / np.sqrt(sequences - 1)), 4),
        "most_in_a_sequence": round(max(shares), 4),
        "found_with_80_percent": least,
        "seconds": round(time.monotonic() - begun, 1),
    }


def run_fault(name: str, sequences: int, seed: int) -> dict[str, object]:
    """Shares of the nights of a fault that fail."""
    first, second, *later = fault_found(FAULTY, FAULTS[name], sequences=sequences, seed=seed)
    shares = {"first": first, "second": second, "later": round(float(np.mean(later)), 4)}
    return {"fault": name, "sequences": sequences, **shares}


def _canaries() -> pa.Table:
    """One that stands still."""
    row = {"clip": "c", "label": CHANGED, "frames": 8, "planted": True, "score": 0.9, "reference": 0.9, "shift": 0.0}
    return pa.Table.from_pylist([row], schema=CANARIES)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--nights", type=int, default=200, help="simulated nights of each kind")
    parser.add_argument("--consecutive", type=int, metavar="NIGHTS", help="so many nights in a row instead")
    parser.add_argument("--faults", action="store_true", help="faults of several nights instead")
    parser.add_argument("--sequences", type=int, help="of nights in a row; the default is 10, with --faults 40")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--variants", nargs="+", choices=[one.name for one in VARIANTS], metavar="NAME")
    arguments = parser.parse_args()
    if arguments.faults:
        for name in FAULTS:
            print(json.dumps(run_fault(name, arguments.sequences or 40, arguments.seed)), flush=True)
        return
    if arguments.consecutive:
        for corpus in CORPORA:
            found = run_consecutive(corpus, arguments.consecutive, arguments.sequences or 10, arguments.seed)
            print(json.dumps(found), flush=True)
        return
    for number, variant in enumerate(VARIANTS):
        if not arguments.variants or variant.name in arguments.variants:
            print(json.dumps(run(variant, arguments.nights, arguments.seed + number)), flush=True)


if __name__ == "__main__":
    main()
