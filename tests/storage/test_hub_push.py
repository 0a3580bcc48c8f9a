"""Pushes to a model hub: one commit, to an empty place or one of artifactscan's, and nothing by halves."""

import pytest
from hub_env import hub_env
from hub_files import CARD, FILES, OUR_CARD, OURS, README, WEIGHTS, refusal
from hub_server import READER, HubServer

from artifactscan.errors import CutOffError, UsageError
from artifactscan.storage import hub as hub_access
from artifactscan.storage.hub import push


def test_a_push_is_one_commit_and_the_same_again_is_none(hub: HubServer) -> None:
    first = push("hf://org/name", FILES, "model", message="one", private=True)
    repo = hub.repos["org/name"]
    assert (repo.private, repo.messages) == (True, ["initial commit", "one"])
    assert {name: repo.files[name] for name in FILES} == FILES
    assert first == hub_access.Pushed(uri=f"hf://org/name@{repo.branches['main']}", is_new=True)
    hub.requests.clear()
    again = push("hf://org/name@main", FILES, "model", message="two", recognised=OURS)
    assert again == hub_access.Pushed(uri=first.uri, is_new=False)
    assert len(repo.messages) == 2 and "PUT" not in {request.method for request in hub.requests}
    changed = {**FILES, CARD: b"{}"}
    assert push("hf://org/name", changed, "model", message="three", remove=["none"], recognised=OURS).is_new
    assert repo.messages[2:] == ["three"]


def test_a_push_removes_what_it_does_not_have(hub: HubServer) -> None:
    for folder in ("", "small/"):
        hub.commit("org/name", {f"{folder}{name}": data for name, data in {**FILES, "graph.json": b"{}"}.items()})
        uri = f"hf://org/name/{folder}".rstrip("/")
        push(uri, FILES, "model", message="m", remove=["graph.json", "graph.xml"], recognised=OURS)
    assert hub.repos["org/name"].files == FILES | {f"small/{name}": data for name, data in FILES.items()}


@pytest.mark.parametrize(
    "there",
    [
        {},
        {".gitattributes": b"x"},
        {README: b"---\nlicense: mit\n---\n"},
        {README: OUR_CARD, "notes.txt": b"mine"},
        {CARD: b"{}", README: b"# written by hand"},
    ],
    ids=["empty", "new", "licence", "ours", "by hand"],
)
def test_a_push_goes_to_an_empty_place_or_to_one_of_ours(hub: HubServer, there: dict[str, bytes]) -> None:
    hub.commit("org/name", there)
    assert push("hf://org/name", FILES, "model", message="m", recognised=OURS).is_new
    assert hub.repos["org/name"].files == there | FILES


@pytest.mark.parametrize(
    ("there", "shown"),
    [
        ({README: b"# my model", WEIGHTS: b"other"}, "README.md, model.safetensors"),
        (
            {README: b"---\ntags: [diffusers]\n---\n"} | {f"unet/{n}": b"1" for n in range(3)},
            "README.md, unet/0, unet/1, …",
        ),
        ({README: b"---\ntags: [\n---\n# not YAML"}, "README.md"),
        ({"notes\x1b.txt": b"mine"}, "notes\\x1b.txt"),
        ({CARD: b"[1]"}, "card.json"),
    ],
    ids=["a model", "a pipeline", "a damaged card", "files", "another card.json"],
)
def test_a_push_writes_over_nothing_else(hub: HubServer, there: dict[str, bytes], shown: str) -> None:
    hub.commit("org/name", there)
    said = refusal(
        lambda: push("hf://org/name", FILES, "model", message="m", recognised={CARD: lambda data: data == b"{}"})
    )
    assert said == (
        f"hf://org/name holds something else ({shown}), and a push would mix with it; give a repository of its own, or "
        "a folder of this one, such as hf://org/name/artifactscan"
    )
    assert hub.repos["org/name"].files == there
    assert push("hf://org/name/mine", FILES, "model", message="m").is_new
    assert hub.repos["org/name"].files == there | {f"mine/{name}": data for name, data in FILES.items()}


@pytest.mark.parametrize("card", [{}, {README: b"---\nlicense: mit\n---\n"}], ids=["none", "licence"])
def test_a_push_to_the_root_follows_one_to_a_folder(hub: HubServer, card: dict[str, bytes]) -> None:
    hub.commit("org/name", card)
    for folder in ("small", "sizes/large"):
        push(f"hf://org/name/{folder}", FILES | {README: OUR_CARD}, "model", message="m", recognised=OURS)
    before = hub.repos["org/name"].files
    assert push("hf://org/name", FILES, "model", message="m", recognised=OURS).is_new
    assert hub.repos["org/name"].files == before | FILES


@pytest.mark.parametrize(
    ("theirs", "shown", "read"),
    [
        ({"notes.txt": b"1", f"a/{README}": b"# theirs", f"z/{README}": b"# theirs"}, "notes.txt", []),
        ({"a/x.bin": b"1", f"a/{README}": b"# theirs", f"b/{README}": b"# theirs"}, "a/README.md, a/x.bin", ["a"]),
        ({"z/x.bin": b"1", f"z/{README}": b"# theirs"}, "z/README.md, z/x.bin", ["mine", "z"]),
    ],
    ids=["files", "a folder before", "a folder after"],
)
def test_other_files_beside_a_folder_of_ours_are_told_without_reading_more(
    hub: HubServer, theirs: dict[str, bytes], shown: str, read: list[str]
) -> None:
    ours = {f"mine/{name}": data for name, data in (FILES | {README: OUR_CARD}).items()}
    hub.commit("org/name", ours | theirs)
    hub.requests.clear()
    said = refusal(lambda: push("hf://org/name", FILES, "model", message="m"))
    assert said.startswith(f"hf://org/name holds something else ({shown}), and a push")
    cards = [request.key for request in hub.requests if request.key.endswith(README) and request.method == "GET"]
    assert [key.split("/")[-2] for key in cards] == read
    assert hub.repos["org/name"].files == ours | theirs


def test_a_commit_that_comes_in_between_is_not_written_over(hub: HubServer) -> None:
    """Whoever made it may have put something else there."""
    hub.commit("org/name", {README: OUR_CARD})

    def in_between(data: bytes) -> bool:
        hub.commit("org/name", {WEIGHTS: b"other"})
        return True

    hub.commit("org/name", {README: b"# by hand", CARD: b"{}"})
    said = refusal(
        lambda: push("hf://org/name", FILES, "model", message="m", recognised={CARD: in_between}), CutOffError
    )
    assert said.endswith(
        "answered 412 (A commit has happened since. Please refresh and try again.); give the same command again"
    )
    assert hub.repos["org/name"].files[WEIGHTS] == b"other"


def test_a_branch_to_push_to_must_be_there(hub: HubServer) -> None:
    hub.commit("org/name", {README: OUR_CARD})
    said = refusal(lambda: push("hf://org/name@next", FILES, "model", message="m"))
    assert said.endswith("has no such revision; give a branch of it, or make this one on the hub")


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ("", "asks who writes; set HF_TOKEN, or log in"),
        (READER, "the token may not write to it"),
        ("hf_x", "not accept"),
    ],
)
def test_a_push_without_the_right_is_refused(hub: HubServer, token: str, said: str) -> None:
    with hub_env({"HF_TOKEN": token}):
        text = refusal(lambda: push("hf://org/new", FILES, "model", message="m"))
    assert text.startswith("hf://org/new cannot be written: ") and said in text
    assert hub.repos == {}


@pytest.mark.parametrize(("key", "status"), [("lfs/*", 404), ("api/models/org/name/commit/*", 500), ("*/commit/*", 0)])
def test_a_push_that_is_cut_off_leaves_nothing_and_goes_on(hub: HubServer, key: str, status: int) -> None:
    hub.commit("org/name", {README: OUR_CARD})
    hub.faults.status(key, status, methods=("PUT", "POST"))
    kind = UsageError if status == 404 else CutOffError
    assert refusal(lambda: push("hf://org/name", FILES, "model", message="m"), kind)
    assert hub.repos["org/name"].files == {README: OUR_CARD}
    hub.faults.clear()
    assert push("hf://org/name", FILES, "model", message="m").is_new
    assert hub.repos["org/name"].files == {README: OUR_CARD, **FILES}
    sent = [request.key for request in hub.requests if request.method == "PUT"]
    assert len(sent) == (1 if status == 404 else 0)  # what has arrived is not sent again


def test_metadata_that_the_hub_refuses_is_said(hub: HubServer) -> None:
    card = {"README.md": b"---\nlicense: Not A Licence\n---\n"}
    said = refusal(lambda: push("hf://org/name", card, "model", message="m"))
    assert said.startswith('hf://org/name cannot be written: the hub refuses it (Invalid metadata in README.md. - "lic')


def test_a_commit_cannot_be_pushed_to(hub: HubServer) -> None:
    commit = hub.commit("org/name", FILES)
    said = refusal(lambda: push(f"hf://org/name@{commit}", FILES, "model", message="m"))
    assert said == f"hf://org/name@{commit} names a commit, which cannot change; give a branch, or no revision"
