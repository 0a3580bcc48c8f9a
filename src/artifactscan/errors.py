"""The errors that end a job; each message is one sentence that names the thing, the value and the way out."""

from collections.abc import Iterable


class ArtifactscanError(Exception):
    """The base of all errors that artifactscan raises on purpose."""


class UsageError(ArtifactscanError):
    """Wrong usage or configuration: the job prints the message and exits with 2 without doing its work."""


class LedgerError(ArtifactscanError):
    """Some listed object has no outcome: the job exits with 3 and does not commit."""


class CutOffError(ArtifactscanError):
    """The run ended early (a full disk, a lost cluster): the job exits with 3 and can be continued."""


class NodesLostError(ArtifactscanError):
    """A node was lost and a graph waits for actors or blocks that were on it; a new graph would not."""

    def __init__(self, lost_nodes: Iterable[str] = ()):
        super().__init__()
        self.lost_nodes = tuple(lost_nodes)
        """A sentence on each node that was lost while the graph ran."""
