"""Names of the files of single clips."""

from pathlib import PurePosixPath

from hypothesis import given
from hypothesis import strategies as st

from artifactscan.export.events.file_names import clip_file_names


def names(*files: str, **options: tuple[str, ...]) -> list[str]:
    return list(clip_file_names(files, ".vtt", **options).values())


def test_a_file_is_named_as_its_clip() -> None:
    assert names("a.mp4", "day 1/b.webm", "no ending", "ä/動画.mov") == [
        "a.vtt",
        "day 1/b.vtt",
        "no ending.vtt",
        "ä/動画.vtt",
    ]


def test_clips_that_differ_in_their_ending_keep_it() -> None:
    assert names("a.mp4", "a.webm", "b/a.mp4") == ["a.mp4.vtt", "a.webm.vtt", "b/a.vtt"]


def test_names_that_would_be_the_same_are_told_apart() -> None:
    found = names("x.mp4", "x.webm", "x.mp4.mkv")
    assert found[1] == "x.webm.vtt" and len(set(found)) == 3
    assert found[0].startswith("x-mp4-") and found[2].startswith("x-mp4-")
    file, below = names("a.mp4", "a.vtt/b.mp4")
    assert file.startswith("a-") and below == "a.vtt/b.vtt"


def test_no_name_leads_elsewhere_or_is_reserved() -> None:
    up, absolute, dots, reserved = names(
        "../../etc/passwd.mp4", "/etc/passwd.mp4", "a/./b.mp4", "export.json/a.mp4", reserved=("export.json",)
    )
    assert up.split("/")[2:] == ["etc", "passwd.vtt"] and not up.startswith(".")
    assert absolute.split("/")[1:] == ["etc", "passwd.vtt"] and absolute[0] != "/"
    assert dots.split("/")[0] == "a" and len(dots.split("/")) == 3
    assert reserved.startswith("export-json-")


@given(st.sets(st.text(min_size=1, max_size=20) | st.text("./\\ab\n\0", min_size=1, max_size=8), max_size=8))
def test_every_clip_has_a_harmless_name_of_its_own(files: set[str]) -> None:
    for _ in range(2):  # names that somebody gives to other clips on purpose
        given_names = clip_file_names(sorted(files), ".vtt").values()
        files = files | {name.removesuffix(".vtt") + ".mov" for name in given_names} | set(given_names)
    found = clip_file_names(sorted(files), ".vtt")
    assert len(set(found.values())) == len(files)
    folders = {str(parent) for name in found.values() for parent in PurePosixPath(name).parents} - {"."}
    for name in found.values():
        assert name.endswith(".vtt") and name not in folders
        for part in name.split("/"):
            assert part not in ("", ".", "..") and len(part.encode()) <= 255
            assert "\n" not in part and "\0" not in part and "\\" not in part


def test_a_name_that_imitates_another_ones_digest_is_told_apart() -> None:
    [shown] = names("../b.mp4")
    first, second = names("../b.mp4", shown.replace(".vtt", ".mp4"))
    assert second == shown, "it is harmless, and keeps its name"
    assert first != second and first.rpartition("/")[0] == shown.rpartition("/")[0]
    [cut] = names("a\n.mp4")
    first, second = names("a\n.mp4", cut.replace(".vtt", ".mp4"))
    assert (first == cut, second) == (False, cut)


def test_names_do_not_depend_on_the_order_of_the_clips() -> None:
    files = ["x.mp4", "x.webm", "x.mp4.mkv", "a\n.mp4", "../b.mp4"]
    assert clip_file_names(files, ".vtt") == clip_file_names(files[::-1], ".vtt")


def test_long_names_are_cut() -> None:
    [name] = names("é" * 200 + ".mp4")
    assert len(name.encode()) < 100 and name.endswith(".vtt")
