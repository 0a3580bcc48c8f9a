"""Azure Blob Storage, as `object_storage` asks for it, through Microsoft's own library: az://container/name.

AZURE_STORAGE_CONNECTION_STRING applies, or AZURE_STORAGE_ACCOUNT with AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN or the
chain of `azure.identity.DefaultAzureCredential`.
"""

import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import IO, Any, TypeVar

from azure.core import MatchConditions
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.storage.blob import BlobClient, BlobSasPermissions, BlobServiceClient, generate_blob_sas

from artifactscan.storage.object_storage import (
    ChangedError,
    Level,
    ObjectStat,
    OpenedObject,
    StoredObject,
    microseconds,
    plain_etag,
)
from artifactscan.storage.ranged_body import RangedBody
from artifactscan.storage.retries import ATTEMPTS, RETRIED_STATUS, with_retries
from artifactscan.storage.storage_errors import CredentialsError, one_line
from artifactscan.storage.uris import split_bucket

_LIMITS: dict[str, Any] = {"retry_total": 0, "connection_timeout": 10, "read_timeout": 60}
"""Of each request: `with_retries` tries again."""
Result = TypeVar("Result")


@cache
def _service() -> BlobServiceClient:
    if connection := os.environ.get("AZURE_STORAGE_CONNECTION_STRING"):
        return BlobServiceClient.from_connection_string(connection, **_LIMITS)
    if not (account := os.environ.get("AZURE_STORAGE_ACCOUNT")):
        raise CredentialsError("az:// needs an account; set AZURE_STORAGE_ACCOUNT or AZURE_STORAGE_CONNECTION_STRING")
    credential: Any = os.environ.get("AZURE_STORAGE_KEY") or os.environ.get("AZURE_STORAGE_SAS_TOKEN")
    if not credential:
        from azure.identity import DefaultAzureCredential

        credential = DefaultAzureCredential()
    return BlobServiceClient(f"https://{account}.blob.core.windows.net", credential=credential, **_LIMITS)


def _blob(uri: str) -> BlobClient:
    container, key = split_bucket(uri)
    return _service().get_blob_client(container, key)


def stat(uri: str) -> ObjectStat:
    found = _ask(uri, lambda: _blob(uri).get_blob_properties())
    return ObjectStat(
        size_bytes=found.size, etag=plain_etag(found.etag or ""), modified_us=microseconds(found.last_modified)
    )


def read(uri: str, *, attempts: int = ATTEMPTS) -> tuple[bytes, str]:
    def download() -> tuple[bytes, str]:
        found = _blob(uri).download_blob()
        return found.readall(), str(found.properties.etag)

    return _ask(uri, download, attempts=attempts)


def read_range(uri: str, etag: str, start: int, length: int) -> bytes:
    return _ask(uri, partial(_read_part, uri, etag, start, length))


def open_once(uri: str, etag: str, start: int) -> OpenedObject:
    found = _ask(uri, lambda: _blob(uri).get_blob_properties(), attempts=1)
    if plain_etag(found.etag or "") != etag:
        raise ChangedError(f"{uri}: the object was replaced since it was listed")
    body = RangedBody(partial(_ask_part, uri, etag), start=start, size_bytes=found.size)
    return OpenedObject(start=start, size_bytes=found.size, body=body)


def write(uri: str, data: bytes, *, attempts: int = ATTEMPTS) -> None:
    _ask(uri, lambda: _blob(uri).upload_blob(data, overwrite=True), attempts=attempts)


def write_file(uri: str, file: IO[bytes]) -> None:
    def upload() -> None:
        file.seek(0)
        _blob(uri).upload_blob(file, overwrite=True)

    _ask(uri, upload)


def write_if(uri: str, data: bytes, *, version: str | None, attempts: int = ATTEMPTS) -> str | None:
    unchanged = {"etag": version, "match_condition": MatchConditions.IfNotModified} if version else {}

    def upload() -> str | None:
        try:
            return str(_blob(uri).upload_blob(data, overwrite=version is not None, **unchanged)["etag"])
        except (ResourceExistsError, ResourceModifiedError):
            return None
        except ResourceNotFoundError:
            if version is None:
                raise
            return None

    return _ask(uri, upload, attempts=attempts)


def remove(uri: str, *, attempts: int = ATTEMPTS) -> None:
    def delete() -> None:
        with suppress(ResourceNotFoundError):
            _blob(uri).delete_blob()

    _ask(uri, delete, attempts=attempts)


def remove_below(uri: str) -> None:
    container, _ = split_bucket(uri)
    for found in list_objects(uri):
        remove(f"az://{container}/{found.key}")


def list_objects(uri: str) -> Iterator[StoredObject]:
    for page in _pages(uri):
        yield from map(_stored, page)


def list_level(uri: str) -> Level:
    level = Level([], [])
    for page in _pages(uri, delimiter="/"):
        for found in page:
            if hasattr(found, "size"):
                level.objects.append(_stored(found))
            else:
                level.folders.append(found.name.removesuffix("/"))
    return level


def check_listable(uri: str) -> None:
    container, key = split_bucket(uri)
    pages = _service().get_container_client(container).list_blobs(name_starts_with=key, results_per_page=1).by_page()
    _ask(uri, lambda: next(pages, None))


def presigned_url(uri: str, life: timedelta) -> str | None:
    blob = _blob(uri)
    key = getattr(blob.credential, "account_key", None)
    if key is None:  # other credentials sign no links
        return None
    token = generate_blob_sas(
        blob.account_name or "",
        blob.container_name,
        blob.blob_name,
        account_key=key,
        permission=BlobSasPermissions(read=True),
        expiry=datetime.now(UTC) + life,
    )
    return f"{blob.url}?{token}"


def credentials_are_temporary() -> bool:
    return False  # links are signed with the account's key


def _read_part(uri: str, etag: str, start: int, length: int) -> bytes:
    if length <= 0:
        return b""
    try:
        unchanged = {"etag": f'"{etag}"', "match_condition": MatchConditions.IfNotModified}
        return _blob(uri).download_blob(offset=start, length=length, **unchanged).readall()
    except ResourceModifiedError:
        raise ChangedError(f"{uri}: the object was replaced since it was listed") from None


def _ask_part(uri: str, etag: str, start: int, length: int) -> bytes:
    return _ask(uri, partial(_read_part, uri, etag, start, length), attempts=1)


def _pages(uri: str, delimiter: str | None = None) -> Iterator[list[Any]]:
    container, key = split_bucket(uri)
    prefix = f"{key}/" if key else None
    token = None
    while True:

        def ask(token: str | None = token) -> tuple[list[Any], str | None]:
            client = _service().get_container_client(container)
            if delimiter is None:
                pages = client.list_blobs(name_starts_with=prefix).by_page(token)
            else:
                pages = client.walk_blobs(name_starts_with=prefix, delimiter=delimiter).by_page(token)
            return list(next(pages, ())), pages.continuation_token  # type: ignore[attr-defined]

        page, token = _ask(uri, ask)
        yield page
        if not token:
            return


def _stored(found: Any) -> StoredObject:
    return StoredObject(found.name, int(found.size), plain_etag(found.etag), microseconds(found.last_modified))


def _ask(uri: str, do: Callable[[], Result], *, attempts: int = ATTEMPTS) -> Result:
    def ask() -> Result:
        try:
            return do()
        except AzureError as error:
            raise _as_os_error(error, uri) from error
        except ValueError as error:  # of a connection string or an account's name
            raise OSError(f"{uri}: {one_line(error)}; check AZURE_STORAGE_CONNECTION_STRING") from error

    return with_retries(ask, attempts=attempts, where="Azure Blob Storage")


def _as_os_error(error: AzureError, uri: str) -> OSError:
    """The OSError of the same meaning, with ``uri`` in its message."""
    status = error.status_code if isinstance(error, HttpResponseError) else None
    code = str(getattr(error, "error_code", None) or "").rpartition(".")[2]
    if isinstance(error, ClientAuthenticationError) or status == 401:
        return CredentialsError(
            f"{uri}: the Azure credentials are not accepted ({code or one_line(error)}); check AZURE_STORAGE_KEY, "
            "AZURE_STORAGE_SAS_TOKEN or `az login`"
        )
    if status == 404:
        missing = "the container does not exist" if code in ("ContainerNotFound", "CONTAINER_NOT_FOUND") else None
        return FileNotFoundError(f"{uri}: {missing or 'no such object'}")
    if code in ("BlobArchived", "BLOB_ARCHIVED"):
        container, key = (shlex.quote(part) for part in split_bucket(uri))
        return OSError(
            f"{uri}: the object is archived; restore it with `az storage blob set-tier --container-name {container} "
            f"--name {key} --tier Hot`, and give the same command again when that is done"
        )
    if status == 403:
        return PermissionError(f"{uri}: access denied ({code or 'the storage does not say why'})")
    if status is not None and status not in RETRIED_STATUS:
        return OSError(f"{uri}: the storage answered {status} ({code or one_line(error)})")
    return ConnectionError(f"{uri}: the storage cannot be reached ({one_line(error)})")
