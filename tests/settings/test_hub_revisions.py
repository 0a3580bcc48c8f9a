"""Settings whose uris on a model hub are pinned to commits."""

import io
from dataclasses import dataclass

from hub_server import HubServer
from rich.console import Console

from artifactscan.settings.hub_revisions import pin_revisions


@dataclass(frozen=True)
class Settings:
    checkpoint: tuple[str, ...]
    labels: str | None = None
    output: str = "hf://org/name"


def test_uris_on_a_hub_are_pinned_and_said_and_others_stay(hub: HubServer) -> None:
    first = hub.commit("org/name", {"card.json": b"{}"})
    second = hub.commit("org/name", {"card.json": b"[]"}, branch="next")
    given = Settings(("builtin", "hf://org/name", "hf://org/name@next/a", f"hf://org/name@{first}", "s3://b/c"))
    out = Console(file=io.StringIO(), width=200)
    pinned = pin_revisions(given, "checkpoint", "labels", out=out)
    at_first, at_second = f"hf://org/name@{first}", f"hf://org/name@{second}/a"
    assert pinned == Settings(("builtin", at_first, at_second, at_first, "s3://b/c"))
    assert out.file.getvalue().splitlines() == [
        f"hf://org/name is read at {at_first}",
        f"hf://org/name@next/a is read at {at_second}",
    ]
    hub.requests.clear()
    assert pin_revisions(pinned, "checkpoint") == pinned and not hub.requests
