# pyarrow's names come out of compiled modules, which no type checker reads.
from typing import Any

def __getattr__(name: str) -> Any: ...
