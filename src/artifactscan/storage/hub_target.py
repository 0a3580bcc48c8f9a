"""Whether a push may write to a place on a model hub: one that is empty, or that artifactscan has written before."""

from collections.abc import Callable, Collection, Mapping, Sequence

from artifactscan.errors import UsageError
from artifactscan.messages.text import first_few

TAG = "artifactscan"
"""In the metadata of every card that is pushed; by it a later push knows the place again."""
HUB_CARD_NAME = "README.md"
"""The card for people, of a checkpoint as of a labelled set."""
_MADE_WITH_REPOSITORY = ".gitattributes"

Recognised = Mapping[str, Callable[[bytes], bool]]
"""File name → whether its content is one of artifactscan's, for places whose card was written by hand."""


def check_target(uri: str, names: Sequence[str], read: Callable[[str], bytes], recognised: Recognised) -> None:
    """UsageError where a push would write over, or among, files of something else.

    ``names``: of all files at the place, which is a repository or a folder of one; ``read`` gives the content of one. A
    card of metadata alone, as the hub makes it for a new repository with a licence, is nothing yet, nor is a folder
    below the place that was pushed to by itself.
    """
    there = sorted(name for name in names if name != _MADE_WITH_REPOSITORY)
    if not there or _is_ours("", there, read, recognised):
        return
    foreign = _foreign_names(there, read, recognised)
    if not foreign or (foreign == [HUB_CARD_NAME] and not _parse_card(read(HUB_CARD_NAME))[1]):
        return
    raise UsageError(
        f"{uri} holds something else ({first_few(foreign)}), and a push would mix with it; give a repository of its "
        f"own, or a folder of this one, such as {uri.rstrip('/')}/artifactscan"
    )


def _is_ours(start: str, there: Collection[str], read: Callable[[str], bytes], recognised: Recognised) -> bool:
    """Whether artifactscan has written the folder whose names begin with ``start``, empty for the place itself."""
    card = start + HUB_CARD_NAME
    if card in there and TAG in _parse_card(read(card))[0]:
        return True
    return any(start + name in there and is_ours(read(start + name)) for name, is_ours in recognised.items())


def _foreign_names(there: Sequence[str], read: Callable[[str], bytes], recognised: Recognised) -> list[str]:
    """The place's card, and the files in the first folder of somebody else's, which may be the place itself.

    Once one is found nothing more is read: each file is a request.
    """
    own: list[str] = []
    for name in sorted(there, key=lambda name: ("/" in name, name)):  # those that lie in no folder first
        if name == HUB_CARD_NAME or name.startswith(tuple(own)):
            continue
        folders = [name[: place + 1] for place, sign in enumerate(name) if sign == "/"]
        found = next((folder for folder in folders if _is_ours(folder, there, read, recognised)), None)
        if found is None:
            folder = name.rpartition("/")[0]
            return [other for other in there if other == HUB_CARD_NAME or other.rpartition("/")[0] == folder]
        own.append(found)
    return [name for name in there if name == HUB_CARD_NAME]


def _parse_card(data: bytes) -> tuple[Sequence[str], bool]:
    """The tags of a card's metadata, and whether it has a text; no tags for metadata that cannot be read."""
    from huggingface_hub import RepoCard

    try:
        card = RepoCard(data.decode(errors="replace"), ignore_metadata_errors=True)
    except Exception:  # YAML, and whatever the metadata's classes make of it
        return (), True
    tags = card.data.get("tags")
    return tags if isinstance(tags, list) else (), bool(card.text.strip())
