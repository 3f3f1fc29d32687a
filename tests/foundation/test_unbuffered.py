"""Files without a buffer: reads are whole, however little the system gives at once."""

import io
import tempfile

from brainssl.foundation.unbuffered import read_whole


def test_a_file_without_a_buffer_is_read_whole() -> None:
    class Slow(io.FileIO):
        def read(self, count: int = -1) -> bytes:
            return super().read(min(count, 3))

    with tempfile.NamedTemporaryFile() as file:
        file.write(bytes(range(50)))
        file.flush()
        with Slow(file.name) as stream:
            assert read_whole(stream, 20) == bytes(range(20))
            assert read_whole(stream, 99) == bytes(range(20, 50))
            assert read_whole(stream, 1) == b""
