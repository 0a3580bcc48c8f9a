"""Whether a push may write to a place on a model hub: one that is empty, or that artifactscan has written before."""

from collections.abc import Callable, Mapping, Sequence

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
    card of metadata alone, as the hub makes it for a new repository with a licence, is nothing yet.
    """
    there = sorted(name for name in names if name != _MADE_WITH_REPOSITORY)
    if not there:
        return
    if HUB_CARD_NAME in there:
        tags, has_text = _parse_card(read(HUB_CARD_NAME))
        if TAG in tags or (not has_text and there == [HUB_CARD_NAME]):
            return
    if any(name in there and is_ours(read(name)) for name, is_ours in recognised.items()):
        return
    raise UsageError(
        f"{uri} holds something else ({first_few(there)}), and a push would mix with it; give a repository of its own, "
        f"or a folder of this one, such as {uri.rstrip('/')}/artifactscan"
    )


def _parse_card(data: bytes) -> tuple[Sequence[str], bool]:
    """The tags of a card's metadata, and whether it has a text; no tags for metadata that cannot be read."""
    from huggingface_hub import RepoCard

    try:
        card = RepoCard(data.decode(errors="replace"), ignore_metadata_errors=True)
    except Exception:  # YAML, and whatever the metadata's classes make of it
        return (), True
    tags = card.data.get("tags")
    return tags if isinstance(tags, list) else (), bool(card.text.strip())
