"""What is refused, and how that is told: one line, without a path and without a header's text."""

from brainssl.serving.answers import Refusal, Unread


class Fault(Exception):  # noqa: N818 - says whose it is
    """A request that gets no answer but this.

    Attributes:
        status: of HTTP.
        told: one line for who asked.
        headers: further headers of the answer.
        files: of a request whose files could not be read, each with its reason.
    """

    def __init__(
        self,
        status: int,
        told: str,
        *,
        headers: dict[str, str] | None = None,
        files: tuple[Unread, ...] = (),
    ) -> None:
        super().__init__(told)
        self.status, self.told = status, told
        self.headers, self.files = headers or {}, files

    @property
    def body(self) -> bytes:
        """The answer as JSON, in one line."""
        return Refusal(error=self.told, files=list(self.files)).model_dump_json().encode()


def come_again(status: int, told: str, seconds: int = 2) -> Fault:
    """Return a fault of the moment, with the time after which to ask again."""
    return Fault(status, told, headers={"Retry-After": str(seconds)})
