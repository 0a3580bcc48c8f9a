"""The errors that end a job; each message is one sentence that names the thing, the value and the way out."""


class UsageError(Exception):
    """Wrong usage or configuration: the job prints the message and exits with 2 before or instead of working."""


class LedgerError(Exception):
    """The ledger did not close: some listed object has no outcome; the job exits with 3 and does not commit."""


class CutOffError(Exception):
    """The run ended before its work did (a full disk, a lost cluster); the job exits with 3 and can be continued."""
