"""The tables of `make bench`."""

from io import StringIO

import pytest
from rich.console import Console
from rich.table import Table

from benchmarks.bench_tables import ONE_CLIP, TIMES_PEER, decoding, steady_state, whole_commands
from benchmarks.figures import Costs, Run, Scored, Turn

COSTS = Costs(decode_cpu_s=0.02, classify_s=0.024, precision="bf16", frames_per_clip=24)


def lines(table: Table) -> dict[str, list[str]]:
    """First cell of each row → the others."""
    text = StringIO()
    Console(width=200, file=text).print(table)
    rows = [line.split("│")[1:-1] for line in text.getvalue().splitlines() if "│" in line]
    return {name.strip(): [cell.strip() for cell in cells] for name, *cells in rows}


def run(contestant: str, clips: int, seconds: float, rate: float) -> Run:
    """First frames after 10 s, the last 50 s later, scored at ``rate``."""
    scored = (Scored(110, 10), Scored(160, round(50 * rate)))
    return Run(contestant=contestant, clips=clips, began_s=100, ended_s=100 + seconds, scored=scored, precision="bf16")


def turns() -> list[Turn]:
    """One clip in 11 and 14 s, 15 in 30 s; steady 28 frames/s, the plain loop 14 and 7."""
    two = [Turn(COSTS), Turn(COSTS)]
    for turn, one_clip_s, plain in zip(two, (11, 14), (14, 7), strict=True):
        turn.whole += [run("job", 1, one_clip_s, 28), run("job", 15, 30, 28), run("plain_loop", 1, 9, plain)]
        turn.steady |= {"job": run("job", 15, 65, 28), "plain_loop": run("plain_loop", 15, 62, plain)}
    return two


def test_whole_commands() -> None:
    cells = lines(whole_commands(turns()))
    assert cells["artifactscan"] == ["12.5 (11.0 to 14.0)", "30.0", "≤ 12.00 s missed"]
    assert cells["a plain loop: decord, timm, fp32"] == ["9.0", "–", ""]


def test_steady_state() -> None:
    cells = lines(steady_state(turns(), 2))
    assert cells["artifactscan"] == ["10.0", "28.00", "5.0", "", ""]
    assert cells["bound: no core idle"] == ["", "29.41", "", "at 1.05×", "≤ 1.05× missed"]
    assert cells["a plain loop: decord, timm, fp32"][3:] == ["3.00 (2.00 to 4.00)× faster", "≥ 3.00×"]
    assert cells["inference by itself"] == ["", "41.67", "", "", ""]


def test_every_decoder_that_was_measured_has_a_row() -> None:
    seconds = {"pyav": 3.0, "pyav_full": 6.0, "decord": 4.0, "torchcodec_exact": 5.0}
    turns = {decoder: [value, value + 1, value - 1] for decoder, value in seconds.items()}
    cells = lines(decoding([{"files": 15, "identical": True, "cpu_s": turns, "median_cpu_s": seconds}]))
    assert cells["15 clips, decord"] == ["4.00 (3.00 to 5.00)", "3.00 (2.00 to 4.00)", "0.75×", "≤ 0.60× missed"]
    assert cells["15 clips, torchcodec_exact"] == ["5.00 (4.00 to 6.00)", "3.00 (2.00 to 4.00)", "0.60×", "≤ 0.70×"]
    assert len(cells) == 2


@pytest.mark.parametrize(("measured", "words"), [(12.0, "≤ 12.00 s"), (12.1, "≤ 12.00 s missed")])
def test_a_target_not_to_exceed(measured: float, words: str) -> None:
    assert ONE_CLIP.words(measured) == words


@pytest.mark.parametrize(("measured", "words"), [(1.3, "≥ 1.30×"), (1.29, "≥ 1.30× missed")])
def test_a_target_to_reach(measured: float, words: str) -> None:
    assert TIMES_PEER["engineer_loop"].words(measured) == words
