"""A model hub on loopback for tests: the parts of the hub's API that huggingface_hub uses, over real HTTP.

    with HubServer() as server:                                      # the `hub` fixture does, and sets the environment
        commit = server.commit("org/name", {"card.json": b"{}"})     # datasets: "datasets/org/name"
        server.repos["org/name"].private = True                      # then HF_TOKEN must be READER or WRITER
        server.faults.status("api/models/*", 500)                    # keys are paths, without the slash in front
        server.faults.status("lfs/*", HANG_UP, methods=("PUT",))     # no answer, the connection is closed
        server.faults.cut("lfs/*", after_bytes=1000)
        server.requests                                              # what came in

Large files are redirected to another port, as the hub does to its storage; Xet is not spoken (HF_HUB_DISABLE_XET).
"""

import base64
import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml
from s3_server import HOST, Faults, Request, _Quiet, _serve

READER, WRITER = "hf_reader0123456789", "hf_writer0123456789"
"""The tokens that the hub knows."""
HANG_UP = 0
"""As the status of a fault."""
_LARGE = (".safetensors", ".parquet", ".bin", ".npz")
_API = re.compile(r"api/(models|datasets)/([^/]+/[^/]+)(?:/(revision|tree|paths-info|preupload|commit)/([^/]+))?")
_BATCH = re.compile(r"((?:datasets/)?[^/]+/[^/]+)\.git/info/lfs/objects/batch")
_RESOLVE = re.compile(r"((?:datasets/)?[^/]+/[^/]+)/resolve/([^/]+)/(.+)")


@dataclass
class Repo:
    """A repository: the files of each commit, the oldest first."""

    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    branches: dict[str, str] = field(default_factory=dict)

    @property
    def files(self) -> dict[str, bytes]:
        """Of the main branch."""
        return self.commits[self.branches["main"]]

    def add(self, files: dict[str, bytes], message: str, branch: str) -> str:
        """Makes a commit and returns its id."""
        told = [branch, message, len(self.commits), *sorted((path, _sha256(data)) for path, data in files.items())]
        commit = hashlib.sha1(repr(told).encode()).hexdigest()
        self.commits[commit] = files
        self.messages.append(message)
        self.branches[branch] = commit
        return commit

    def find(self, revision: str) -> str | None:
        """The commit that a branch or a commit's id names."""
        return self.branches.get(revision, revision if revision in self.commits else None)


class _Refusal(Exception):
    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status, self.code = status, code


class _Hub(_Quiet):
    hub: "HubServer"

    def _handle(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        key = unquote(urlsplit(self.path).path).lstrip("/")
        headers = {name.lower(): value for name, value in self.headers.items()}
        fault = self.hub.faults._take(Request(self.command, key, headers, {}, {}))
        if fault and fault.kind == "status" and fault.status == HANG_UP:
            self.close_connection = True
            return
        self.cut_after = fault.after_bytes if fault and fault.kind == "cut" else None
        try:
            if fault and fault.kind == "status":
                raise _Refusal(fault.status, fault.code)
            self._route(urlsplit(self.path).path.lstrip("/"))
        except _Refusal as refused:
            names = {"X-Error-Code": refused.code, "X-Error-Message": str(refused)}
            self._json({"error": str(refused)}, refused.status, {name: text for name, text in names.items() if text})

    do_GET = do_HEAD = do_POST = do_PUT = _handle

    def _route(self, path: str) -> None:
        if path.startswith("lfs/"):
            self._storage(path.removeprefix("lfs/"))
        elif path == "api/repos/create":
            self._create(json.loads(self.body))
        elif path == "api/validate-yaml":
            self._validate(json.loads(self.body)["content"])
        elif found := _BATCH.fullmatch(path):
            self._repo(found[1], write=True)
            self._batch(json.loads(self.body)["objects"])
        elif found := _RESOLVE.fullmatch(path):
            self._resolve(found[1], unquote(found[2]), unquote(found[3]))
        elif found := _API.fullmatch(path):
            name = found[2] if found[1] == "models" else f"datasets/{found[2]}"
            self._api(name, found[2], found[3], unquote(found[4] or "main"))
        else:
            raise _Refusal(404, "not spoken here")

    def _token(self) -> str | None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ") or None
        if token not in (None, READER, WRITER):
            raise _Refusal(401, "Invalid credentials in Authorization header")
        return token

    def _repo(self, name: str, *, write: bool = False) -> Repo:
        token, repo = self._token(), self.hub.repos.get(name)
        if repo is None or (repo.private and token is None):
            raise _Refusal(401 if token is None else 404, "Repository not found", "RepoNotFound")
        if write and token != WRITER:
            raise _Refusal(403, "you are not allowed to write here")
        return repo

    def _api(self, name: str, id: str, what: str | None, revision: str) -> None:
        repo = self._repo(name, write=what in ("preupload", "commit"))
        if (commit := repo.find(revision)) is None:
            raise _Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        files = repo.commits[commit]
        if what in (None, "revision"):
            names = [{"rfilename": path} for path in files]
            self._json({"id": id, "sha": commit, "private": repo.private, "gated": repo.gated, "siblings": names})
        elif what == "tree":
            self._json([_entry(path, data) for path, data in files.items()])
        elif what == "paths-info":
            asked = parse_qs(self.body.decode())["paths"]
            self._json([_entry(path, files[path]) for path in asked if path in files])
        elif what == "preupload":
            self._json({"files": [self._mode(one["path"], files) for one in json.loads(self.body)["files"]]})
        else:
            self._commit(name, files, revision, commit)

    def _mode(self, path: str, files: dict[str, bytes]) -> dict[str, Any]:
        large, there = path.endswith(_LARGE), files.get(path)
        oid = None if there is None else (_sha256 if large else _git_sha1)(there)
        return {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, "oid": oid}

    def _commit(self, name: str, files: dict[str, bytes], branch: str, head: str) -> None:
        changed, message = dict(files), ""
        for line in self.body.splitlines():
            key, value = (item := json.loads(line))["key"], item["value"]
            if key == "header":
                message = value["summary"]
                if value.get("parentCommit", head) != head:
                    raise _Refusal(412, "A commit has happened since. Please refresh and try again.")
            elif key == "file":
                changed[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                if value["oid"] not in self.hub.stored:
                    raise _Refusal(400, f"LFS pointer pointed to a file that does not exist: {value['path']}")
                changed[value["path"]] = self.hub.stored[value["oid"]]
            else:
                del changed[value["path"]]
        commit = self.hub.repos[name].add(changed, message, branch)
        url = f"{self.hub.endpoint}/{name}/commit/{commit}"
        self._json({"commitUrl": url, "commitOid": commit, "pullRequestUrl": None})

    def _create(self, asked: dict[str, Any]) -> None:
        if self._token() != WRITER:
            raise _Refusal(401 if self._token() is None else 403, "you may not make repositories here")
        name = f"{asked['organization']}/{asked['name']}"
        name = f"datasets/{name}" if asked.get("type") == "dataset" else name
        if name in self.hub.repos:
            self._json({"url": f"{self.hub.endpoint}/{name}", "error": "You already created this repo"}, 409)
            return
        self.hub.repos[name] = Repo(private=asked.get("visibility") == "private")
        self.hub.commit(name, {".gitattributes": b""}, message="initial commit")
        self._json({"url": f"{self.hub.endpoint}/{name}"})

    def _validate(self, content: str) -> None:
        found = re.match(r"---\n(.*?\n)---\n", content, re.DOTALL)
        data = yaml.safe_load(found[1]) if found else None
        errors = [] if isinstance(data, dict) else [{"message": '"metadata" is missing'}]
        if isinstance(data, dict) and not re.fullmatch(r"[a-z][a-z0-9.-]*", str(data.get("license", "other"))):
            errors.append({"message": '"license" must be one of the licences that the hub knows'})
        self._json({"errors": errors, "warnings": []}, 400 if errors else 200)

    def _batch(self, objects: list[dict[str, Any]]) -> None:
        answers = []
        for one in objects:
            action = {"upload": {"href": f"{self.hub.storage}/lfs/{one['oid']}"}}
            answers.append({**one, **({} if one["oid"] in self.hub.stored else {"actions": action})})
        self._json({"transfer": "basic", "objects": answers})

    def _resolve(self, name: str, revision: str, path: str) -> None:
        repo = self._repo(name)
        if repo.gated:
            raise _Refusal(403, "Access to this repository is restricted", "GatedRepo")
        if (commit := repo.find(revision)) is None:
            raise _Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        if (data := repo.commits[commit].get(path)) is None:
            raise _Refusal(404, "Entry not found", "EntryNotFound")
        headers = {"X-Repo-Commit": commit}
        if path.endswith(_LARGE):
            oid = _sha256(data)
            self.hub.stored.setdefault(oid, data)
            headers |= {"X-Linked-Etag": f'"{oid}"', "X-Linked-Size": str(len(data))}
            self.answer(302, {**headers, "Location": f"{self.hub.storage}/lfs/{oid}?Signature=secret"}, b"")
        else:
            self._content(data, {**headers, "ETag": f'"{_git_sha1(data)}"'})

    def _storage(self, oid: str) -> None:
        if self.command == "PUT":
            if _sha256(self.body) != oid:
                raise _Refusal(400, "not that content")
            self.hub.stored[oid] = self.body
            self.answer(200, {}, b"")
        else:
            self._content(self.hub.replaced.get(oid, self.hub.stored[oid]), {"ETag": f'"{oid}"'})

    def _content(self, data: bytes, headers: dict[str, str]) -> None:
        start = int(re.sub(r"\D", "", self.headers.get("Range", "") or "0"))
        status, rest = (206, data[start:]) if "Range" in self.headers else (200, data)
        if status == 206:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        sent = rest if self.cut_after is None else rest[: self.cut_after]
        self.close_connection = self.close_connection or len(sent) < len(rest)
        self.answer(status, headers, sent, promised=len(rest))

    def _json(self, content: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.answer(status, {"Content-Type": "application/json", **(headers or {})}, json.dumps(content).encode())


class HubServer:
    """The hub on a free port of loopback, and its storage of large files on another; other processes can use it too."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.stored: dict[str, bytes] = {}
        """SHA-256 → content of the large files."""
        self.replaced: dict[str, bytes] = {}
        """SHA-256 → other content that the storage answers with."""
        self.faults = Faults()
        self._handler = type("Hub", (_Hub,), {"hub": self})
        self._servers = [_serve(self._handler), _serve(self._handler)]
        self.endpoint, self.storage = (f"http://{HOST}:{one.server_address[1]}" for one in self._servers)

    @property
    def requests(self) -> list[Request]:
        return self.faults.requests

    @property
    def env(self) -> dict[str, str]:
        """The environment in which huggingface_hub uses only this server, without HF_HOME."""
        switches = dict.fromkeys(("HF_HUB_DISABLE_XET", "HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_UPDATE_CHECK"), "1")
        return {"HF_ENDPOINT": self.endpoint, "HF_TOKEN": WRITER, **switches}

    def commit(self, name: str, files: dict[str, bytes], *, message: str = "files", branch: str = "main") -> str:
        """Makes a commit that adds files to those of the branch, in a repository that is made if need be."""
        repo = self.repos.setdefault(name, Repo())
        before = repo.commits[repo.branches[branch]] if branch in repo.branches else {}
        return repo.add({**before, **files}, message, branch)

    def clear(self) -> None:
        """Removes all repositories, faults and recorded requests."""
        for kept in (self.repos, self.stored, self.replaced, self.faults):
            kept.clear()

    def go_away(self) -> None:
        """Stops listening and breaks open connections."""
        for server in self._servers:
            server.shutdown()
            server.server_close()
            server.hang_up()

    def __enter__(self) -> "HubServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.go_away()


def _entry(path: str, data: bytes) -> dict[str, Any]:
    entry = {"type": "file", "path": path, "size": len(data), "oid": _git_sha1(data)}
    if path.endswith(_LARGE):
        entry["lfs"] = {"oid": _sha256(data), "size": len(data), "pointerSize": 130}
    return entry


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
