"""Why a file is refused, as a stranger may be told it: a status of HTTP and words of ours alone."""

# What a reader says is told where it begins so, and without what it quotes in brackets: that may
# be bytes of the file.
_TOLD = (
    "cannot be taken apart",
    "claims a number of frames",
    "declares ",
    "has ",
    "holds ",
    "is damaged",
    "is compressed in a way",
    "is of an older",
    "is of the older",
    "says that its pixels begin",
    "unpacks to more",
    "is half of a pair",
    "is no ",
    "is not DICOM",
    "lacks an element",
    "needs more memory",
    "is truncated",
    "is a volume",
    "shows no",
    "is a ",
    "is corrupt or truncated",
    "is empty",
    "is larger than the limit",
    "is not an image in",
    "nothing says how a volume lies",
    "nothing says how large its pixels are",
    "nothing says where its slices lie",
)
_STATUS = {
    "is not an image in": 415,
    "declares ": 413,
    "needs more memory": 413,
    "is not DICOM": 415,
    "is no DICOM": 415,
}
_LARGE = "than the limit"


def status_of(reason: str) -> int:
    """Return 413 for what is too large, 415 for a file of a bad kind, and else 422."""
    if _LARGE in reason.partition(" (")[0]:
        return 413
    return next((code for begin, code in _STATUS.items() if reason.startswith(begin)), 422)


def told_of(reason: str) -> str:
    """Return what of a reader's reason is told: nothing that quotes the file."""
    return reason.partition(" (")[0] if reason.startswith(_TOLD) else "cannot be read"
