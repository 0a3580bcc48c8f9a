"""Files on local disks and object storages: reading, writing, listing, retries, downloads, leases, error messages."""

from artifactscan.storage.files import (
    check_listable,
    check_store_writable,
    check_writable,
    credentials_are_temporary,
    exists,
    filesystem,
    list_names,
    list_objects,
    local_stat,
    open_to_write,
    presigned_url,
    read_bytes,
    remove_file,
    remove_tree,
    stat,
    write_bytes,
)
from artifactscan.storage.object_storage import ObjectStat
from artifactscan.storage.uris import absolute, check_uri, is_hub, is_remote, join, normalise, split_bucket

__all__ = [
    "ObjectStat",
    "absolute",
    "check_listable",
    "check_store_writable",
    "check_uri",
    "check_writable",
    "credentials_are_temporary",
    "exists",
    "filesystem",
    "is_hub",
    "is_remote",
    "join",
    "list_names",
    "list_objects",
    "local_stat",
    "normalise",
    "open_to_write",
    "presigned_url",
    "read_bytes",
    "remove_file",
    "remove_tree",
    "split_bucket",
    "stat",
    "write_bytes",
]
