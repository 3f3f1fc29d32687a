"""A process that does the steps that another hands to it, through a pipe.

`python -m brainssl.studies.scheduling.worker NUMBER`: the number of the open pipe. First comes what
makes the work, then names of steps, and None when there are no more.
"""

import os
import sys
import threading
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

from brainssl.foundation.board import Relay
from brainssl.foundation.errors import BrainsslError, line_of


def main(number: int) -> None:
    """Do steps until there are no more, or the process at the other end of the pipe is gone."""
    pipe: Connection[Any, Any] = Connection(number)
    names: SimpleQueue[str | None] = SimpleQueue()
    begin = pipe.recv()

    def listen() -> None:
        while True:
            try:
                names.put(pipe.recv())
            except (EOFError, OSError):
                os._exit(1)  # in the middle of a step, too: nobody waits for it

    threading.Thread(target=listen, daemon=True).start()
    try:
        work = begin(Relay(pipe.send))
        pipe.send(("ready",))
        while (name := names.get()) is not None:
            pipe.send(("settled", name, work.do(name)))
    except (BrainsslError, OSError) as error:  # of the study's folder: a failed step is told
        pipe.send(("unfit", line_of(error) if isinstance(error, OSError) else str(error)))
        sys.exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]))
