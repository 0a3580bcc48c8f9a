"""Repositories of a model hub: pinned to commits and checked; every refusal is one sentence."""

import shutil
import socket
from pathlib import Path

import pytest
from authority import make_authority
from hub_env import hub_env
from hub_files import CARD, FILES, NAMES, WEIGHTS, refusal
from hub_server import HANG_UP, READER, WRITER, HubServer
from huggingface_hub import close_session
from loopback import QuietHandler, serving
from rest_server import rest_server

from artifactscan import storage
from artifactscan.errors import CutOffError
from artifactscan.storage import hub as hub_access
from artifactscan.storage.hub import fetch_file, fetch_folder, pin, push, repository

OTHERS = {"pytorch_model.bin": b"pickle", "README.md": b"# read me", "model.pkl": b"pickle"}
OFFLINE = {"HF_HUB_OFFLINE": "1"}


def fetched(uri: str) -> dict[str, bytes]:
    folder = Path(fetch_folder(uri, NAMES, "model"))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def keys(server: HubServer) -> list[str]:
    return [request.key for request in server.requests]


def test_only_the_files_that_are_named_are_downloaded(hub: HubServer) -> None:
    commit = hub.commit("org/name", FILES | OTHERS)
    assert fetched("hf://org/name@main") == FILES
    assert not [key for key in keys(hub) if key.endswith(tuple(OTHERS))]
    assert pin("hf://org/name") == f"hf://org/name@{commit}"


def test_a_folder_of_a_repository_can_be_named(hub: HubServer) -> None:
    hub.commit("org/name", {f"small/{name}": content for name, content in FILES.items()})
    assert fetched("HF://org/name@main/small") == FILES
    assert Path(fetch_file("hf://org/name/small/card.json", "model")).read_bytes() == FILES[CARD]
    said = refusal(lambda: fetch_file("hf://org/name/small/gone.json", "model"))
    assert said.startswith("hf://org/name/small/gone.json has no file 'small/gone.json'; give hf://org/name@revision/")


def test_a_branch_moves_and_a_commit_does_not(hub: HubServer) -> None:
    first = hub.commit("org/name", FILES)
    pinned = pin("hf://org/name@main")
    assert pinned == f"hf://org/name@{first}"
    second = hub.commit("org/name", {CARD: b'{"a": 2}'})
    assert fetched(pinned)[CARD] == b'{"a": 1}'
    assert fetched("hf://org/name@main")[CARD] == b'{"a": 2}'
    assert pin("hf://org/name") == f"hf://org/name@{second}"


def test_what_is_there_is_not_asked_for_again(hub: HubServer) -> None:
    pinned = f"hf://org/name@{hub.commit('org/name', FILES)}"
    fetched(pinned)
    hub.requests.clear()
    assert (pin(pinned), fetched(pinned)) == (pinned, FILES)
    assert keys(hub) == []


def test_offline_what_was_downloaded_is_used(hub: HubServer) -> None:
    commit = hub.commit("org/name", FILES)
    other = hub.commit("org/name", {CARD: b"{}"}, branch="other")
    fetched("hf://org/name")
    hub.requests.clear()
    with hub_env(OFFLINE):
        for uri in ("hf://org/name", "hf://org/name@main", f"hf://org/name@{commit}"):
            assert (pin(uri), fetched(uri)) == (f"hf://org/name@{commit}", FILES)
        for missing in ("hf://org/name@other", f"hf://org/name@{other}", "hf://org/else"):
            said = refusal(lambda uri=missing: fetched(uri))
            assert said.startswith(f"{missing} cannot be read: HF_HUB_OFFLINE is set, and it was not downloaded before")
        assert refusal(lambda: push("hf://org/name", FILES, "model", message="m")) == (
            "hf://org/name cannot be written: HF_HUB_OFFLINE is set; unset it"
        )
    assert keys(hub) == []


@pytest.mark.usefixtures("hub")
def test_a_hub_that_is_gone_is_not_replaced_by_memory_in_silence() -> None:
    with HubServer() as gone, hub_env(gone.env):
        commit = gone.commit("org/name", FILES)
        fetched("hf://org/name")
        gone.go_away()
        said = refusal(lambda: fetched("hf://org/name@main"))
        assert said.startswith(f"hf://org/name@main cannot be read: the hub at {gone.endpoint} cannot be reached")
        assert said.endswith("with HF_HUB_OFFLINE=1 what was downloaded before is used")
        assert fetched(f"hf://org/name@{commit}") == FILES


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        (
            "hf://org/none",
            "has no such repository, or the token may not see it; check the name, or put another one into HF_TOKEN",
        ),
        ("hf://org/name@gone", "the repository has no such revision; give a branch, a tag or a commit of it"),
        (f"hf://org/name@{'0' * 40}", "the repository has no such revision"),
    ],
)
def test_what_is_not_there_is_said(hub: HubServer, uri: str, said: str) -> None:
    hub.commit("org/name", FILES)
    assert said in refusal(lambda: fetched(uri))


def test_a_private_repository_needs_a_token(hub: HubServer) -> None:
    hub.commit("org/name", FILES)
    hub.repos["org/name"].private = True
    with hub_env({"HF_TOKEN": READER}):
        assert fetched("hf://org/name") == FILES
    with hub_env({"HF_TOKEN": "", "HF_HOME": "/nonexistent"}):
        assert "or it is private; check the name, and set HF_TOKEN" in refusal(lambda: pin("hf://org/name"))
    with hub_env({"HF_TOKEN": "hf_revoked"}):
        said = refusal(lambda: pin("hf://org/name"))
    assert f"the hub at {hub.endpoint} does not accept the token" in said and "hf_revoked" not in said
    assert said.endswith("; put another one into HF_TOKEN")


def test_a_gated_repository_says_where_to_ask(hub: HubServer) -> None:
    hub.commit("org/name", FILES)
    hub.repos["org/name"].gated = True
    assert f"it is gated; ask for access on its page at {hub.endpoint}" in refusal(lambda: fetched("hf://org/name"))


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (500, "answered 500 (broken); give the same command again"),
        (429, "answered 429 (broken); give the same command again in some minutes"),
        (403, "the token may not read it (broken); put another one into HF_TOKEN that may"),
        (404, "answered 404 (broken); check HF_ENDPOINT: it may be no hub"),
        (412, "answered 412 (broken); give the same command again"),
        (418, "answered 418 (broken)"),
        (HANG_UP, "cannot be reached, or hung up (RemoteProtocolError"),
    ],
)
def test_a_hub_that_fails_is_said_and_the_same_goes_on(hub: HubServer, status: int, said: str) -> None:
    hub.commit("org/name", FILES)
    hub.faults.status("api/models/*", status, code="broken", times=1)
    text = refusal(lambda: fetched("hf://org/name"))
    assert text.startswith("hf://org/name cannot be read: ") and said in text
    assert fetched("hf://org/name") == FILES


def test_a_token_that_the_hub_repeats_is_not_shown(hub: HubServer) -> None:
    hub.faults.status("api/*", 403, code=f"token {WRITER} is not enough")
    assert "(token … is not enough)" in refusal(lambda: pin("hf://org/name"))


def test_a_download_that_is_cut_off_is_resumed(hub: HubServer) -> None:
    files = {CARD: b"{}", WEIGHTS: bytes(12 << 20)}
    hub.commit("org/name", files)
    hub.faults.cut("lfs/*", after_bytes=11 << 20)
    assert fetched("hf://org/name") == files
    resumed = [request.headers["range"] for request in hub.requests if "range" in request.headers]
    assert resumed == [f"bytes={10 << 20}-"]  # huggingface_hub keeps whole chunks


def test_files_that_arrived_before_the_hub_went_away_are_kept(hub: HubServer) -> None:
    hub.commit("org/name", FILES)
    hub.faults.status("lfs/*", 404)
    said = refusal(lambda: fetched("hf://org/name"))
    assert said.endswith(
        f"the storage of the hub at {hub.endpoint}, {hub.storage}, answered 404 (NoSuchKey); tell whoever runs the hub"
    )
    hub.faults.clear()
    assert fetched("hf://org/name") == FILES
    assert not [request for request in hub.requests if request.method == "GET" and request.key.endswith(CARD)]


def test_the_token_is_not_sent_to_the_storage_that_the_hub_redirects_to(hub: HubServer) -> None:
    hub.commit("org/name", FILES)
    fetched("hf://org/name")
    asked = [request for request in hub.requests if request.key.startswith(("lfs/", "org/name/resolve"))]
    sent = {request.key.partition("/")[0]: request.headers.get("authorization") for request in asked}
    assert sent == {"org": f"Bearer {WRITER}", "lfs": None}


@pytest.mark.parametrize("links", [True, False])
def test_content_that_the_hub_does_not_name_is_refused(hub: HubServer, links: bool) -> None:
    hub.commit("org/name", FILES)
    entry = hub_access.hashlib.sha256(FILES[WEIGHTS]).hexdigest()
    hub.replaced[entry] = FILES[WEIGHTS][:-1] + b"!"
    with hub_env({} if links else {"HF_HUB_DISABLE_SYMLINKS": "1"}):
        said = refusal(lambda: fetched("hf://org/name"))
        assert f"{WEIGHTS} is not what the hub names it by (" in said and f"not {entry[:12]}…" in said
        damaged = Path(said.partition("; remove ")[2].removesuffix(" and give the same command again"))
        hub.replaced.clear()
        damaged.unlink()
        assert fetched("hf://org/name") == FILES


def test_a_cache_that_was_changed_is_refused(hub: HubServer) -> None:
    hub.commit("org/name", FILES)
    folder = Path(fetch_folder("hf://org/name", NAMES, "model"))
    (folder / CARD).resolve().write_bytes(b'{"a": 3}')
    assert f"{CARD} is not what the hub names it by" in refusal(lambda: fetched("hf://org/name"))


def test_a_cache_that_cannot_be_written_is_said(hub: HubServer, tmp_path: Path) -> None:
    hub.commit("org/name", FILES)
    (tmp_path / "file").write_text("")
    with hub_env({"HF_HOME": str(tmp_path / "file")}):
        assert f"{tmp_path}/file/hub must be writable and have room" in refusal(lambda: fetched("hf://org/name"))


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("hf://", "is not understood"),
        ("hf://name", "is not understood"),
        ("hf://org/name@", "is not understood"),
        ("hf://org/name@main/../x", "leads out of its repository"),
        ("hf://spaces/org/name", "is a space on a hub, and is not read as one"),
        ("hf://datasets/org/name", "is a dataset on a hub, and is not read as one; give hf://org/name@revision"),
        ("org/name", "is not on a model hub; write hf://org/name@revision"),
    ],
)
def test_uris_of_nothing_are_refused(uri: str, said: str) -> None:
    assert said in refusal(lambda: repository(uri, "model"))


def test_a_hub_is_no_object_storage() -> None:
    assert storage.is_hub("hf://org/name") and not storage.is_remote("hf://org/name")
    said = "hf://org/name is on a model hub, from which only checkpoints and labels are read; give a local path"
    assert refusal(lambda: storage.normalise("hf://org/name")).startswith(said)
    storage.check_uri("--labels", "hf://datasets/org/name", submitted=True)


def test_private_work_is_not_pushed_to_a_public_repository(hub: HubServer) -> None:
    hub.commit("org/name", {})
    said = refusal(lambda: push("hf://org/name", FILES, "model", message="m", private=True))
    assert said == "hf://org/name is there already, and public; make it private on the hub, or leave out --private"
    assert hub.repos["org/name"].files == {}


NO_ADDRESSES = ["", "garbage", "ftp://hub", "http://", "http://host:port", "http://host:0", "http://host:99999", "/hub"]


@pytest.mark.parametrize("endpoint", NO_ADDRESSES)
def test_an_endpoint_that_is_no_address_is_wrong_usage(hub: HubServer, endpoint: str) -> None:
    with hub_env({"HF_ENDPOINT": endpoint}):
        for act, what in (
            (lambda: pin("hf://org/name"), "read"),
            (lambda: fetched(f"hf://org/name@{'0' * 40}"), "read"),
            (lambda: push("hf://org/name", FILES, "model", message="m"), "written"),
        ):
            said = refusal(act)
            assert f" cannot be {what}: HF_ENDPOINT is '{endpoint.rstrip('/')}', which is no address of a hub; " in said
            assert said.endswith("set it to one like https://huggingface.co, or unset it")


@pytest.mark.parametrize("endpoint", ["http://[hub", "http://[::1", "http://hub:port", "http://hub:99999"])
def test_an_endpoint_with_which_the_client_cannot_be_imported(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    for act, what in (
        (lambda: pin("hf://org/name"), "read"),
        (lambda: push("hf://org/name", FILES, "model", message="m"), "written"),
        (lambda: repository("hf://org/name", "model"), "written"),
    ):
        assert refusal(act).startswith(
            f"hf://org/name cannot be {what}: HF_ENDPOINT is '{endpoint}', which is no address of a hub; set it to one"
        )


def test_a_password_in_an_endpoint_that_is_no_address_is_not_shown(hub: HubServer) -> None:
    with hub_env({"HF_ENDPOINT": "http://me:sec ret@hub"}):
        assert " HF_ENDPOINT is 'http://…@hub', which is no address" in refusal(lambda: pin("hf://org/name"))


def test_an_endpoint_that_is_no_address_is_refused_before_anything_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(hub_access, "check_target", lambda *_: asked.append("target"))
    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", lambda *_, **__: asked.append("repository"))
    with hub_env({"HF_ENDPOINT": "ftp://hub"}):
        refusal(lambda: push("hf://org/name", FILES, "model", message="m"))
    assert asked == []


def test_offline_an_endpoint_is_not_needed(hub: HubServer) -> None:
    commit = hub.commit("org/name", FILES)
    assert fetched("hf://org/name@main") == FILES
    with hub_env({**OFFLINE, "HF_ENDPOINT": ""}):
        assert pin("hf://org/name@main") == f"hf://org/name@{commit}"
        assert fetched("hf://org/name@main") == FILES


def test_an_endpoint_of_something_else_is_wrong_usage(hub: HubServer) -> None:
    with rest_server() as page:
        page.status, page.body = 200, b"<html>welcome</html>"
        with hub_env({"HF_ENDPOINT": page.url}):
            for act in (
                lambda: pin("hf://org/name"),
                lambda: push("hf://org/name", FILES, "model", message="m"),
            ):
                assert refusal(act).endswith(f"what answers at {page.url} is no model hub; check HF_ENDPOINT")
    tls = hub.endpoint.replace("http:", "https:")
    with hub_env({"HF_ENDPOINT": tls}):
        said = refusal(lambda: push("hf://org/name", FILES, "model", message="m"))
        assert f"what answers at {tls} does not speak TLS (" in said and said.endswith("; check HF_ENDPOINT")


def test_a_certificate_that_is_not_trusted_is_named(hub: HubServer, tmp_path: Path) -> None:
    _, context = make_authority(tmp_path)
    with serving(QuietHandler, tls=context) as url, hub_env({"HF_ENDPOINT": url}):
        said = refusal(lambda: push("hf://org/name", FILES, "model", message="m"))
    assert f"the certificate of the hub at {url} is not trusted (" in said
    assert said.endswith("; set SSL_CERT_FILE to the PEM file of its authority")


def test_a_host_that_is_not_there_is_wrong_usage(hub: HubServer) -> None:
    try:
        socket.getaddrinfo("no-such-host.invalid", 80)
    except socket.gaierror as error:
        if error.errno != socket.EAI_NONAME:
            pytest.skip("no name server answers here")
    with hub_env({"HF_ENDPOINT": "http://no-such-host.invalid"}):
        said = refusal(lambda: push("hf://org/name", FILES, "model", message="m"))
    assert "there is no host of the name in http://no-such-host.invalid (" in said
    assert said.endswith("; check HF_ENDPOINT and the network")


def test_a_proxy_that_does_not_work_is_named(hub: HubServer) -> None:
    with rest_server() as proxy:
        proxy.status = 407
        with hub_env({"HF_ENDPOINT": "https://hub.example", "HTTPS_PROXY": proxy.url, "NO_PROXY": ""}):
            close_session()  # it keeps the proxies that it began with
            said = refusal(lambda: push("hf://org/name", FILES, "model", message="m"))
    close_session()
    assert "the proxy to the hub at https://hub.example does not work (" in said
    assert said.endswith("; check HTTPS_PROXY and HTTP_PROXY")


@pytest.mark.parametrize("token", ["hf_\N{LATIN SMALL LETTER E WITH ACUTE}12345", "hf_a\x0b12345"])
def test_a_token_that_cannot_be_sent_is_not_shown(hub: HubServer, token: str) -> None:
    hub.commit("org/name", FILES)
    with hub_env({"HF_TOKEN": token}):
        said = refusal(lambda: pin("hf://org/name"))
    assert said.endswith("the token has characters that cannot be sent; put another one into HF_TOKEN")
    assert "12345" not in said


def test_who_has_no_token_is_not_told_of_one(hub: HubServer) -> None:
    hub.commit("org/name", FILES)
    hub.faults.status("api/*", 403, code="closed")
    with hub_env({"HF_TOKEN": ""}):
        assert refusal(lambda: pin("hf://org/name")) == (
            f"hf://org/name cannot be read: the hub at {hub.endpoint} refuses it to who has no token (closed); set "
            "HF_TOKEN, or log in with `hf auth login`"
        )


def test_a_repository_that_is_disabled_is_said(hub: HubServer) -> None:
    hub.faults.status("api/*", 403, code="Access to this resource is disabled.")
    assert refusal(lambda: pin("hf://org/name")).endswith("has disabled it; ask whoever owns it")


def test_an_address_of_the_storage_that_has_expired_is_asked_for_again(hub: HubServer) -> None:
    hub.commit("org/name", FILES)
    hub.faults.status("lfs/*", 403, code="Request has expired")
    said = refusal(lambda: fetched("hf://org/name"))
    assert f", {hub.storage}, answered 403" in said and said.endswith("; give the same command again")
    said = refusal(lambda: push("hf://org/new", {WEIGHTS: b"x" * 99}, "model", message="m"), CutOffError)
    assert f", {hub.storage}, answered 403" in said and said.endswith("; give the same command again")


def test_an_interrupted_cache_is_completed(hub: HubServer, tmp_path: Path) -> None:
    pinned = f"hf://org/name@{hub.commit('org/name', FILES)}"
    fetched(pinned)
    for blobs in tmp_path.glob("hf/hub/models--org--name/blobs"):
        shutil.rmtree(blobs)
    assert fetched(pinned) == FILES
