"""The name of a clip in labels and exports: its path below the input that it was listed from."""

from artifactscan import storage


def path_below(uri: str, input: str) -> str:
    """The path below a folder, or beside a single file or manifest; the whole uri where it lies elsewhere."""
    root = storage.normalise(input).rstrip("/")
    for base in (root, root.rpartition("/")[0]):
        if uri.startswith(f"{base}/"):
            return uri[len(base) + 1 :]
    return uri
