"""One writer per lake: a lock on a local lake, let go by the end of its holder, however that comes."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from .errors import LakeError
from .kernel.files import filesystem
from .lake import worker_url
from .session import clear_errors

LOCK = "_lock"


@contextmanager
def held(url: str) -> Iterator[None]:
    """Hold the lock of a lake, whose folder is made where missing. A lake in an object store has no lock: there it is the caller's
    job that one process at a time writes to it.

    Raises LakeError where another process holds it, and where the folder cannot be made or written to.
    """
    if "://" in url:
        try:
            filesystem(worker_url(url))
        except (pa.ArrowInvalid, OSError) as error:  # a scheme that nobody knows, told before Spark starts
            raise LakeError(str(error), url) from error
        yield
        return
    if Path(url).is_file():
        raise LakeError("a file, where the folder of the lake should be", url)
    with clear_errors(url):
        Path(url).mkdir(parents=True, exist_ok=True)
        # Never removed: two processes would lock two files of one name. Unbuffered: what a full disk refuses must not wait for the end.
        file = (Path(url) / LOCK).open("a+b", buffering=0)
    with file:
        with clear_errors(url):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                holder = file.read().decode() or "another process"
                raise LakeError(f"{holder} is writing to this lake", url, hint="wait for it to end, or use another --lake") from None
            file.truncate(0)
            file.write(f"pid {os.getpid()} on {socket.gethostname()}, since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC,".encode())
        try:
            yield
        finally:
            file.truncate(0)
