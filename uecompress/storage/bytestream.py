"""Reading bytes with every length checked, and the one error of a damaged file."""


class DamagedFile(ValueError):
    """A file that was not written by ``storage.save``, or was changed since."""


class Reader:
    """Takes bytes from the front of a buffer.

    Args:
        content: bytes or a memoryview of them.
    """

    def __init__(self, content):
        self.content, self.position = memoryview(content), 0

    def take(self, n):
        """The next ``n`` bytes.

        Raises:
            DamagedFile: there are fewer.
        """
        left = len(self.content) - self.position
        if n > left:
            raise DamagedFile(f"{n} bytes are announced where {left} are left")
        self.position += n
        return bytes(self.content[self.position - n : self.position])

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
