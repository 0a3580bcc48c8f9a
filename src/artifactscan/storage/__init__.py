"""Files on local disks and S3: reading, writing, listing, retries, downloads, leases, and error messages."""

from artifactscan.storage.files import (
    ObjectStat,
    check_uri,
    check_writable,
    exists,
    filesystem,
    join,
    list_names,
    local_stat,
    normalise,
    read_bytes,
    remove_tree,
    stat,
    write_bytes,
)
from artifactscan.storage.s3 import credentials_are_temporary, is_s3, list_objects, s3_client, split_s3

__all__ = [
    "ObjectStat",
    "check_uri",
    "check_writable",
    "credentials_are_temporary",
    "exists",
    "filesystem",
    "is_s3",
    "join",
    "list_names",
    "list_objects",
    "local_stat",
    "normalise",
    "read_bytes",
    "remove_tree",
    "s3_client",
    "split_s3",
    "stat",
    "write_bytes",
]
