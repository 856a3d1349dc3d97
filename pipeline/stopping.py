"""Ctrl-C on a run: it ends within seconds, says what was kept, and leaves terminal and lake in order."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

from .errors import Stopped

T = TypeVar("T")
NOTHING = "run again to go on"
POLL = 0.1
PATIENCE = 4.0  # seconds that Spark gets to end, and that the work gets then


def stoppable(work: Callable[[], T]) -> T:
    """The result of `work`, which runs in a thread of its own: an interrupt inside Spark's calls would leave them, and so the work's own
    clean-up, in disorder. On Ctrl-C Spark is ended under it, so that it fails and cleans up; a second Ctrl-C does not wait for that.

    Raises what `work` raises; on Ctrl-C Stopped, with the notes that the work left on its error.
    """
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    thread = threading.Thread(target=run, daemon=True)
    try:
        thread.start()
        while not wait([done], POLL).done:  # Polars' handler of the signal lets an endless wait go on, and Python never sees it
            pass
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, _at_once)
        logging.disable()  # what now fails in Spark's threads is what we want
        if _end_spark():
            wait([done], PATIENCE)
        if not done.done():
            _at_once()
        if error := done.exception():
            raise Stopped("; ".join(getattr(error, "__notes__", [NOTHING]))) from None
    return done.result()


def _end_spark() -> bool:
    if "pyspark" not in sys.modules:
        return False
    from .session import kill

    return kill(PATIENCE)


def _at_once(*_: object) -> None:
    """The lake does not need a clean end: the next run finishes what this one began."""
    if sys.stderr.isatty():
        os.write(2, b"\r\x1b[2K\x1b[?25h")  # the line and the cursor as they were before a progress bar
    os.write(2, f"stopped: {NOTHING}\n".encode())
    os._exit(130)
