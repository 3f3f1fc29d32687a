"""How much a service bears: each number is what one client can cost the others."""

from dataclasses import dataclass

MAX_VOXELS = 64 * 10**6
"""Of a volume; one of 1 mm has 17 million."""
MAX_SLICES = 512
"""Of a request; a volume of 1 mm has 256 at most."""


@dataclass(frozen=True)
class Limits:
    """Bounds of one service.

    Attributes:
        max_bytes: of the body of a request; more is refused as it arrives.
        max_files: in a request; a series may have as many as slices.
        max_pixels: of a picture, before it is decoded; a slice has less than a million.
        max_voxels: of a volume, likewise.
        max_slices: of all files of a request, likewise; a picture is one.
        max_shown: pixels of slices at their own resolution in an answer; what is more is left out.
        held_bytes: of all bodies that are in memory at once.
        requests: at work at once; more are asked to come again.
        connections: open at once; more are closed.
        head_seconds: for a request's head, from when the connection is free for it.
        body_seconds: for a body, beside what `body_rate` allows.
        body_rate: bytes a second that a body arrives with, at least.
        decode_seconds: for one file, see `seconds_for`; then its decoder is ended.
        answer_seconds: for an answer, from when the body is there.
        grace_seconds: for all answers that are under way when the service is told to end.
    """

    max_bytes: int = 64 * 2**20
    max_files: int = MAX_SLICES
    max_pixels: int = 16 * 10**6
    max_voxels: int = MAX_VOXELS
    max_slices: int = MAX_SLICES
    max_shown: int = 4 * 2**20
    held_bytes: int = 256 * 2**20
    requests: int = 64
    connections: int = 256
    head_seconds: float = 10.0
    body_seconds: float = 15.0
    body_rate: float = 64 * 2**10
    decode_seconds: float = 10.0
    answer_seconds: float = 60.0
    grace_seconds: float = 20.0

    def seconds_for(self, files: int) -> float:
        """Return how long files that are read together may take: twice as long 65 as one."""
        return self.decode_seconds * (1 + (files - 1) / 64)
