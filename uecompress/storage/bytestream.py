"""Reading bytes with every length checked, and the one error of a damaged file."""

import math


class DamagedFile(ValueError):
    """A file that was not written by ``storage.save``, or was changed since."""


class Reader:
    """Takes bytes from the front of a buffer, and counts the work that they announce.

    Args:
        content: bytes or a memoryview of them.

    Attributes:
        position: how many bytes were taken.
        symbols: how many entropy-coded symbols may still be decoded. A byte can announce any number
            of them, each of which takes time.
    """

    def __init__(self, content):
        self.content, self.position, self.symbols = memoryview(content), 0, math.inf

    @property
    def left(self):
        """How many bytes follow."""
        return len(self.content) - self.position

    def take(self, n):
        """The next ``n`` bytes.

        Raises:
            DamagedFile: there are fewer.
        """
        if n > self.left:
            raise DamagedFile(f"{n} bytes are announced where {self.left} are left")
        self.position += n
        return bytes(self.content[self.position - n : self.position])

    def spend(self, n):
        """Count ``n`` symbols that are about to be decoded.

        Raises:
            DamagedFile: these are too many.
        """
        self.symbols -= n
        if self.symbols < 0:
            raise DamagedFile("more symbols are announced than its tensors can need")

    def varint(self):
        """The next non-negative integer: seven bits a byte, least significant first."""
        value = 0
        for shift in range(0, 70, 7):
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise DamagedFile("an integer of more than ten bytes")


def varint(value):
    """A non-negative integer as ``Reader.varint`` takes it."""
    result = bytearray()
    while value > 127:
        result.append(value & 127 | 128)
        value >>= 7
    return bytes([*result, value])
