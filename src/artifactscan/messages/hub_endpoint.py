"""HF_ENDPOINT, the address of the model hub: what is said where it is none."""

import os
from urllib.parse import urlsplit

from artifactscan.errors import UsageError
from artifactscan.messages.web_address import refused_address


def check_importable(what: str = "") -> None:
    """UsageError where HF_ENDPOINT is such that huggingface_hub, and timm with it, cannot be imported.

    ``what`` cannot be done for that reason, which is the beginning of the message.
    """
    endpoint = os.environ.get("HF_ENDPOINT", "")
    try:
        _ = urlsplit(endpoint).port
    except ValueError:
        raise UsageError(f"{what and f'{what}: '}{wrong_endpoint(endpoint)}") from None


def wrong_endpoint(endpoint: str) -> str:
    """That ``endpoint`` is no address, and the way out; without the user and password in it."""
    return (
        f"HF_ENDPOINT is '{refused_address(endpoint)}', which is no address of a hub; set "
        "it to one like https://huggingface.co, or unset it"
    )
