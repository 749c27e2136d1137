"""A file object that takes what it is given in pieces."""

import errno
import io


class Piecemeal(io.RawIOBase):
    """A file without a buffer, as standard output under PYTHONUNBUFFERED, on a disk with room for so many bytes."""

    def __init__(self, room=1_000_000):
        self.room = room
        self.written = b""

    def writable(self):
        return True

    def write(self, data):
        if len(self.written) == self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        piece = bytes(data[: min(7, self.room - len(self.written))])
        self.written += piece
        return len(piece)
