"""Arrays that a scan keeps of each image: in a file without a name, and not in memory."""

import tempfile
import weakref
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from brainssl.foundation.unbuffered import write_whole


class OnDisk:
    """Gathers arrays of one shape and type, in order; none of them stays in memory.

    The file goes with the process, however that ends.

    Args:
        shape: of each array.
        kind: its type.
        folder: where the file lies; by default that for temporary files, which some systems keep in
            memory.
    """

    def __init__(self, shape: tuple[int, ...], kind: type, folder: Path | None = None) -> None:
        self.folder = folder
        self._shape, self._kind, self._count = shape, np.dtype(kind), 0
        # Without a buffer, which a process that is forked would write, too.
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
        weakref.finalize(self, self._file.close)  # maps stay

    def __len__(self) -> int:
        return self._count

    def append(self, array: Shaped[np.ndarray, "..."]) -> None:
        """Write one more.

        Raises:
            OSError: the disk is full; it names the folder.
        """
        if (array.shape, array.dtype) != (self._shape, self._kind):
            raise ValueError(f"{array.dtype} {array.shape}, not {self._kind} {self._shape}")
        write_whole(self._file, array.tobytes(), self.folder or Path(tempfile.gettempdir()))
        self._count += 1

    def together(self, first: int = 0) -> Shaped[np.ndarray, "n ..."]:
        """Return those that were written from one on, mapped to memory: they cannot be changed."""
        count = self._count - first
        if not count:
            return np.empty((0, *self._shape), self._kind)
        begin = first * self._kind.itemsize * int(np.prod(self._shape))
        shape = (count, *self._shape)
        return np.memmap(self._file, self._kind, "r", begin, shape)
