"""MLFLOW_TRACKING_URI: which server it names, and whether MLflow's client can make anything of it."""

import os
from importlib.metadata import entry_points
from urllib.parse import urlsplit

from artifactscan.errors import UsageError
from artifactscan.messages.text import printable
from artifactscan.messages.web_address import is_web_address, origin, refused_address

URI_VARIABLE = "MLFLOW_TRACKING_URI"
_WEB = ("http", "https")
_OWN_SCHEMES = ("file", "databricks", "uc")
"""Others that MLflow's client takes: a folder, Databricks, a Unity Catalog."""
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
"""A driver may follow, as in mysql+pymysql://."""
_PLUGINS = "mlflow.tracking_store"
"""Entry points of packages that bring further schemes (https://mlflow.org/docs/latest/plugins.html)."""


def tracking_uri() -> str:
    """What the environment says; empty where it says nothing."""
    return os.environ.get(URI_VARIABLE, "").strip()


def server_name() -> str:
    """The server without a user, a password and a path; the kind of a place that is no server."""
    return origin(tracking_uri()) or printable(tracking_uri().partition(":")[0], 40)


def check_tracking_uri() -> None:
    """UsageError, without what may be a password, where MLflow's client would refuse the address unasked."""
    uri = tracking_uri()
    if not _is_usable(uri):
        raise UsageError(
            f"{URI_VARIABLE} is {refused_address(uri)!r}, which is no address of a server; set it "
            "to one such as http://mlflow:5000"
        )


def _is_usable(uri: str) -> bool:
    try:
        scheme = urlsplit(uri).scheme
    except ValueError:
        return False
    if scheme in _WEB:
        return is_web_address(uri)
    known = {"", *_OWN_SCHEMES, *_DATABASES, *entry_points(group=_PLUGINS).names}
    return scheme in known or scheme.partition("+")[0] in _DATABASES
