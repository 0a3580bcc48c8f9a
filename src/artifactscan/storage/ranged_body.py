"""The body of an object that is read by requests for parts, for libraries whose streams cannot be resumed."""

from collections.abc import Callable

PART_BYTES = 16 << 20
"""Of one request: large enough that its latency does not count."""


class RangedBody:
    """Reads an object of ``size_bytes`` from ``start`` on; ``read_part`` is given an offset and a length."""

    def __init__(self, read_part: Callable[[int, int], bytes], *, start: int, size_bytes: int):
        self._read_part, self._position, self._size_bytes = read_part, start, size_bytes
        self._part = memoryview(b"")

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes; none at the end of the object."""
        if not self._part and self._position < self._size_bytes:
            length = min(PART_BYTES, self._size_bytes - self._position)
            self._part = memoryview(self._read_part(self._position, length))
            self._position += len(self._part)
        read, self._part = self._part[:size], self._part[size:]
        return bytes(read)

    def close(self) -> None:
        self._part = memoryview(b"")
