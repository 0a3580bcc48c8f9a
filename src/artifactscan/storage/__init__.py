"""Files on local disks and S3: reading, writing, listing, retries, downloads, leases, and error messages."""

from artifactscan.storage.files import (
    ObjectStat,
    check_writable,
    exists,
    filesystem,
    list_names,
    local_stat,
    no_new_folder_on_usage_error,
    read_bytes,
    remove_tree,
    stat,
    write_bytes,
)
from artifactscan.storage.s3 import check_listable, credentials_are_temporary, list_objects, presigned_url, s3_client
from artifactscan.storage.uris import check_uri, is_remote, join, normalise, split_bucket

__all__ = [
    "ObjectStat",
    "check_listable",
    "check_uri",
    "check_writable",
    "credentials_are_temporary",
    "exists",
    "filesystem",
    "is_remote",
    "join",
    "list_names",
    "list_objects",
    "local_stat",
    "no_new_folder_on_usage_error",
    "normalise",
    "presigned_url",
    "read_bytes",
    "remove_tree",
    "s3_client",
    "split_bucket",
    "stat",
    "write_bytes",
]
