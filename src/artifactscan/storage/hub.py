"""Repositories on a model hub, read at one commit and written in one commit, through huggingface_hub.

hf://org/name@revision is a repository of a model, hf://datasets/org/name@revision one of data; the path of a file or
folder may follow. HF_ENDPOINT, HF_TOKEN, HF_HOME and HF_HUB_OFFLINE mean what they mean to huggingface_hub.
"""

import glob
import hashlib
import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

from artifactscan.errors import UsageError
from artifactscan.messages.activity import activity
from artifactscan.messages.hub_endpoint import check_importable
from artifactscan.storage.hub_errors import check_endpoint, hub_errors, refused
from artifactscan.storage.hub_target import Recognised, check_target
from artifactscan.storage.uris import HUB_SCHEME, is_hub

if TYPE_CHECKING:
    from huggingface_hub import HfApi, HfUri

Kind = Literal["model", "dataset"]
_FORMS: dict[Kind, str] = {"model": "hf://org/name@revision", "dataset": "hf://datasets/org/name@revision"}
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256, _SHA1 = re.compile(r"[0-9a-f]{64}"), _COMMIT
_TIMEOUT_S = 30.0
"""For the first answer of the hub; huggingface_hub by itself would wait for ever."""


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """What a push left on the hub."""

    uri: str
    """The repository at the commit that has the files."""
    is_new: bool
    """False where the repository had these files already, and no commit was made."""
    notes: tuple[str, ...] = ()
    """What the hub said of the files, one sentence each."""


def pin(uri: str, kind: Kind | None = None) -> str:
    """The hf:// uri with the commit that its revision, or the default branch, names now.

    No request is made where its revision is a commit. With HF_HUB_OFFLINE it is the commit that it named when it was
    read last. UsageError, in one sentence, for a uri that is not understood or of another ``kind``, no such repository
    or revision, and a hub that cannot be reached: an older commit is not used in silence.
    """
    where = _parse(uri, kind)
    if where.revision and _COMMIT.fullmatch(where.revision):
        return _uri(where)
    from huggingface_hub import is_offline_mode

    with activity(f"asking the hub for {uri}"), _hub_client(uri) as api:
        sha, offline = None, is_offline_mode()
        if not offline:
            sha = api.repo_info(where.id, repo_type=where.type, revision=where.revision, timeout=_TIMEOUT_S).sha
        # Also remembers the commit for HF_HUB_OFFLINE. Alone it would answer from memory for a hub that is gone.
        known = api.resolve_revision(
            where.id, repo_type=where.type, revision=where.revision, local_files_only=offline
        ).resolved
    return _uri(replace(where, revision=sha or known))


def repository(uri: str, kind: Kind) -> str:
    """The hf:// uri to push to, without a revision; UsageError for one that is not understood, or of another kind."""
    return _uri(replace(_parse(uri, kind, writing=True), revision=None))


def fetch_folder(uri: str, names: Sequence[str], kind: Kind) -> str:
    """Downloads those of the files ``names`` that a folder of a repository has; returns the local folder.

    Of other files none is downloaded; what was downloaded before is not downloaded again. UsageError as ``pin``, and
    for a file whose content is not what the hub names it by.
    """
    where = _parse(pin(uri, kind))
    paths = ["/".join(filter(None, (where.path_in_repo, name))) for name in names]
    return str(_fetch(where, paths) / where.path_in_repo)


def fetch_file(uri: str, kind: Kind, *, default: str = "") -> str:
    """Downloads one file, ``default`` where the uri names none; returns its local path. UsageError as ``fetch_folder``,
    and where there is no such file."""
    where = _parse(pin(uri, kind))
    name = where.path_in_repo or default
    path = _fetch(where, [name]) / name
    if not path.is_file():
        raise UsageError(f"{uri} has no file {name!r}; give {_FORMS[kind]}/FILE, the name of one that is there")
    return str(path)


def push(
    uri: str,
    files: Mapping[str, bytes],
    kind: Kind,
    *,
    message: str,
    private: bool = False,
    remove: Sequence[str] = (),
    recognised: Recognised | None = None,
) -> Pushed:
    """Writes files into a repository, which is made where there is none, in one commit: all of them or none.

    ``files``: name → content; ``remove``: names that are removed in the same commit, where they are there. ``uri`` may
    name a branch and a folder. ``private``: for a repository that is made. UsageError, in one sentence, where the hub
    refuses, where ``private`` is asked for and the repository is public, and where the place holds something else, as
    `check_target` tells by its card or by ``recognised``; CutOffError where the hub cannot be reached or fails, and
    where another commit came in between: the same push goes on, with the files that have arrived.
    """
    where = _parse(uri, kind, writing=True)
    if where.revision and _COMMIT.fullmatch(where.revision):
        raise UsageError(f"{uri} names a commit, which cannot change; give a branch, or no revision")
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    def placed(name: str) -> str:
        return f"{where.path_in_repo}/{name}" if where.path_in_repo else name

    target = {"repo_type": where.type, "revision": where.revision}
    with (
        activity(f"pushing to {uri}"),
        _hub_client(uri, writing=True) as api,
        warnings.catch_warnings(record=True) as said,
    ):
        warnings.simplefilter("always", UserWarning)
        api.create_repo(where.id, repo_type=where.type, private=private or None, exist_ok=True)
        before = api.repo_info(where.id, **target, timeout=_TIMEOUT_S)
        if private and not before.private:
            raise UsageError(f"{uri} is there already, and public; make it private on the hub, or leave out --private")
        start, at_start = placed(""), replace(where, revision=before.sha)
        siblings = before.siblings or []  # type: ignore[union-attr] - of models and datasets
        names = [one.rfilename for one in siblings if one.rfilename.startswith(start)]
        check_target(
            uri,
            [name[len(start) :] for name in names],
            lambda name: _read_file(api, at_start, placed(name)),
            recognised or {},
        )
        commit = api.create_commit(
            where.id,
            [
                *(CommitOperationAdd(placed(name), content) for name, content in files.items()),
                *(CommitOperationDelete(placed(name)) for name in remove if placed(name) in names),
            ],
            commit_message=message,
            parent_commit=before.sha,
            **target,
        )
    return Pushed(
        uri=_uri(replace(where, revision=commit.oid)),
        is_new=commit.oid != before.sha,
        notes=tuple(" ".join(str(one.message).split()) for one in said if issubclass(one.category, UserWarning)),
    )


def _parse(uri: str, kind: Kind | None = None, *, writing: bool = False) -> "HfUri":
    """UsageError for what is no repository of a model or of data, or of another kind."""
    check_importable(refused(uri, writing=writing))
    from huggingface_hub import parse_hf_uri
    from huggingface_hub.errors import HfUriError

    form = _FORMS[kind] if kind else " or ".join(_FORMS.values())
    if not is_hub(uri):
        raise UsageError(f"{uri} is not on a model hub; write {form}")
    try:
        found = parse_hf_uri(HUB_SCHEME + uri[len(HUB_SCHEME) :])
    except HfUriError as error:
        raise UsageError(f"{uri} is not understood ({' '.join(error.msg.split()).rstrip('.')}); write {form}") from None
    if found.type not in ([kind] if kind else _FORMS):
        raise UsageError(f"{uri} is a {found.type} on a hub, and is not read as one; give {form}")
    if {".", ".."} & set(found.path_in_repo.split("/")):
        raise UsageError(f"{uri} leads out of its repository; write {form}")
    return found


def _uri(where: "HfUri") -> str:
    return where.to_uri().replace(f"{HUB_SCHEME}models/", HUB_SCHEME, 1)


def _fetch(where: "HfUri", paths: Sequence[str]) -> Path:
    """The local copy of the repository at a commit, with ``paths``, whose digests are checked."""
    uri = _uri(where)
    with activity(f"downloading {uri}"), _hub_client(uri) as api:
        root = Path(
            api.snapshot_download(
                where.id,
                repo_type=where.type,
                revision=where.revision,
                allow_patterns=[glob.escape(path) for path in paths],
            )
        )
        names = _names_of_contents(api, where, root, [path for path in paths if (root / path).is_file()])
    for path, name in names.items():
        _check_content(root / path, name, uri)
    return root


def _read_file(api: "HfApi", where: "HfUri", path: str) -> bytes:
    """The content of one small file at a commit, past the cache."""
    with TemporaryDirectory() as folder:
        options = {"repo_type": where.type, "revision": where.revision, "local_dir": folder}
        return Path(api.hf_hub_download(where.id, path, **options)).read_bytes()


def _names_of_contents(api: "HfApi", where: "HfUri", root: Path, paths: Sequence[str]) -> dict[str, str]:
    """Path → what the hub names its content by: SHA-256 of a large file, else git's SHA-1 of it.

    The cache keeps each content under that name, and links to it.
    """
    linked = {path: (root / path).readlink().name for path in paths if (root / path).is_symlink()}
    names = {path: name for path, name in linked.items() if _SHA256.fullmatch(name) or _SHA1.fullmatch(name)}
    if others := [path for path in paths if path not in names]:  # such as with HF_HUB_DISABLE_SYMLINKS
        for file in api.get_paths_info(where.id, others, repo_type=where.type, revision=where.revision):
            names[file.path] = file.lfs.sha256 if file.lfs else file.blob_id  # type: ignore[union-attr] - files
    return names


def _check_content(path: Path, name: str, uri: str) -> None:
    if _SHA256.fullmatch(name):
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    else:
        data = path.read_bytes()
        found = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
    if found != name:
        raise UsageError(
            f"{uri}: {path.name} is not what the hub names it by ({found[:12]}…, not {name[:12]}…): it was damaged or "
            f"replaced; remove {path.resolve()} and give the same command again"
        )


@contextmanager
def _hub_client(uri: str, *, writing: bool = False) -> Iterator["HfApi"]:
    """The hub's client, which prints nothing; its errors become ours, in one sentence that names ``uri``."""
    from huggingface_hub import HfApi
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    from artifactscan import __version__

    check_endpoint(uri, writing=writing)
    log = logging.getLogger("huggingface_hub")
    level, silent = log.level, are_progress_bars_disabled()
    log.setLevel(logging.ERROR)
    if not silent:
        disable_progress_bars()
    try:
        with hub_errors(uri, writing=writing):
            yield HfApi(library_name="artifactscan", library_version=__version__)
    finally:
        log.setLevel(level)
        if not silent:
            enable_progress_bars()
