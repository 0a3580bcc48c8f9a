"""Exports of events that SIGKILL ended: the same command goes on, and nothing of the killed one is left."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from exported import add_run, export_events, tree_bytes

from artifactscan import storage
from artifactscan.export.settings import EVENT_TARGETS
from artifactscan.store.layout import Store


def test_an_export_that_was_killed_goes_on(tmp_path: Path) -> None:
    store, out = Store(str(tmp_path / "store")), tmp_path / "out"
    add_run(store, "run1", {f"/clips/{number:04d}.mp4": {"motion": [0.9]} for number in range(600)})
    kill_export(store, out, lambda: any(out.glob("annotations/*.xml")))
    written = set(tree_bytes(out))
    assert "export.json" in written and "index.parquet" not in written
    assert export_events(store, "cvat", out) == export_events(store, "cvat", tmp_path / "whole") == 0
    whole = tree_bytes(tmp_path / "whole")
    assert tree_bytes(out) == whole
    assert len(whole) == 600 + 3


def test_files_of_clips_that_vanish_after_a_kill_go_too(tmp_path: Path) -> None:
    store, out = Store(str(tmp_path / "store")), tmp_path / "out"
    first, others = "/clips/0000.mp4", {f"/clips/{number:04d}.mp4": {"motion": [0.9]} for number in range(1, 600)}
    add_run(store, "run1", {first: {"motion": [0.9]}})
    assert export_events(store, "cvat", out) == 0
    add_run(store, "run2", others)
    kill_export(store, out, lambda: (out / "annotations" / "0001.xml").exists())
    assert not (out / "index.parquet").exists()
    gone = {first: "undecodable", "/clips/0001.mp4": "undecodable"}
    add_run(store, "run3", gone, etags=dict.fromkeys(gone, "2"))
    assert export_events(store, "cvat", out) == export_events(store, "cvat", tmp_path / "whole") == 0
    whole = tree_bytes(tmp_path / "whole")
    assert tree_bytes(out) == whole
    assert len(whole) == 598 + 3


@pytest.mark.parametrize("to", EVENT_TARGETS)
def test_unfinished_files_of_a_killed_export_are_removed_and_no_others(store: Store, to: str, tmp_path: Path) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    assert export_events(store, to, out) == 0
    whole = tree_bytes(out)
    folders = [out, *(path for path in out.rglob("*") if path.is_dir())]
    assert [str(path.relative_to(out)) for path in folders[1:]] == {
        "cvat": ["annotations", "annotations/day"],
        "webvtt": ["day"],
    }.get(to, [])
    kept: dict[str, bytes] = {}
    for folder in folders:
        unfinished_file(folder)
        for name in (".0123456789abcdef.tmp.mine", ".0123456789abcde.tmp", ".0123456789ABCDEF.tmp", ".mine.tmp"):
            (folder / name).write_text("mine")
            kept[str((folder / name).relative_to(out))] = b"mine"
    others = out / "others"
    others.mkdir()
    kept[f"others/{unfinished_file(others).name}"] = b"begun"
    elsewhere.mkdir()
    linked = unfinished_file(elsewhere)
    (out / "link").symlink_to(elsewhere)
    (out / ".0123456789abcdef.tmp").symlink_to(linked)
    assert export_events(store, to, out) == 0
    assert linked.read_bytes() == b"begun"
    assert (out / ".0123456789abcdef.tmp").is_symlink()
    (out / ".0123456789abcdef.tmp").unlink()
    assert tree_bytes(out) == whole | kept


def test_unfinished_files_of_clips_that_went_since_are_removed_but_not_behind_a_link(
    store: Store, tmp_path: Path
) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    add_run(store, "run2", {"/clips/night/c.mp4": {"motion": [0.9]}, "/clips/linked/d.mp4": {"motion": [0.9]}})
    assert export_events(store, "webvtt", out) == 0
    (out / "linked").rename(elsewhere)
    (out / "linked").symlink_to(elsewhere)
    left, behind_link = unfinished_file(out / "night"), unfinished_file(elsewhere)
    add_run(store, "run3", {"/clips/night/c.mp4": "undecodable"}, etags={"/clips/night/c.mp4": "2"})
    assert export_events(store, "webvtt", out) == 0
    assert not left.exists()
    assert behind_link.exists()


def unfinished_file(folder: Path) -> Path:
    """A file as a process that is killed while it writes leaves it."""
    before = set(folder.iterdir())
    source = (
        "import os, signal, sys; from artifactscan import storage\n"
        "with storage.open_to_write(sys.argv[1]) as file:\n"
        "    file.write(b'begun'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    job = subprocess.run([sys.executable, "-c", source, str(folder / "file")], check=False)
    assert job.returncode == -signal.SIGKILL
    [left] = set(folder.iterdir()) - before
    assert storage.unfinished_files(str(folder)) == [str(left)]
    return left


def kill_export(store: Store, out: Path, when: Callable[[], bool]) -> None:
    """Begins an export for CVAT and kills it ``when`` it has come so far."""
    command = [sys.executable, "-m", "artifactscan", "export", store.root, "--to", "cvat", "--output", str(out)]
    job = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_until(when)
    finally:
        job.kill()
        job.wait()


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen within a minute")
