"""The settings of `artifactscan compact`."""

from dataclasses import dataclass

import tyro


@dataclass(frozen=True, kw_only=True)
class CompactSettings:
    """Merges the small files of a store."""

    store: tyro.conf.Positional[str]
    """A scoring store, or an audit's."""
    quiet: bool = False
    """Say nothing before the end."""
