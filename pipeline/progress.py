"""What a run shows while it works: the stage, and lines per second while it reads."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

from py4j.protocol import Py4JError  # type: ignore[import-untyped]
from pyspark import Accumulator, Broadcast
from pyspark.sql import SparkSession
from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.status import Status

from .ingest import Job, TaskResult, work
from .sources import Piece

POLL = 0.3


class Progress:
    """Shows on standard error, on a terminal only unless `wanted` says otherwise."""

    def __init__(self, quiet: bool, wanted: bool | None) -> None:
        self.shown = not quiet and (sys.stderr.isatty() if wanted is None else wanted)
        self.console = Console(stderr=True)
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[Status | None]:
        """Show the name of what is being done (it may show a bar of its own), and note the seconds that it takes."""
        began = time.monotonic()
        with self.console.status(name) if self.shown and name != "reading" else nullcontext() as status:
            yield status
        self.seconds[name] = round(time.monotonic() - began, 3)

    @contextmanager
    def query(self, name: str, spark: SparkSession) -> Iterator[None]:
        """A stage that Spark works on: also shows how many of its tasks are done."""
        done = threading.Event()
        with self.stage(name) as status:
            if status:
                threading.Thread(target=_tell, args=(status, name, spark, done), daemon=True).start()
            try:
                yield
            finally:
                done.set()

    def tasks(self, spark: SparkSession, tasks: list[list[Piece]], job: Broadcast[Job], size: int) -> list[TaskResult]:
        """Run the tasks on the workers. Interrupting cancels them."""
        read_bytes, read_lines = spark.sparkContext.accumulator(0), spark.sparkContext.accumulator(0)
        done = threading.Event()
        thread = threading.Thread(target=self._poll, args=(size, read_bytes, read_lines, done), daemon=True)
        if self.shown:
            thread.start()
        try:
            found: list[TaskResult] = spark.sparkContext.parallelize(tasks, max(len(tasks), 1)).map(
                lambda pieces: _task(job, pieces, read_bytes, read_lines)).collect()
            return found
        finally:
            done.set()
            if self.shown:
                thread.join()

    def _poll(self, size: int, read_bytes: Accumulator[int], read_lines: Accumulator[int], done: threading.Event) -> None:
        began = time.monotonic()
        columns = (TextColumn("reading"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
        with Bar(*columns, console=self.console, transient=True) as bar:
            task = bar.add_task("reading", total=size, rate="")
            while not done.wait(POLL):
                rate = read_lines.value / (time.monotonic() - began)
                bar.update(task, completed=read_bytes.value, rate=f"{read_lines.value:,} lines, {rate:,.0f}/s")


def _tell(status: Status, name: str, spark: SparkSession, done: threading.Event) -> None:
    tracker = spark.sparkContext.statusTracker()
    while not done.wait(POLL):
        with suppress(Py4JError, OSError):  # Spark may be gone before we are
            active = [stage for number in tracker.getActiveStageIds() if (stage := tracker.getStageInfo(number))]
            tasks, complete = (sum(getattr(stage, key) for stage in active) for key in ("numTasks", "numCompletedTasks"))
            status.update(f"{name}: {complete} of {tasks} tasks" if tasks else name)


def _task(job: Broadcast[Job], pieces: list[Piece], read_bytes: Accumulator[int], read_lines: Accumulator[int]) -> TaskResult:
    def progress(size: int, lines: int) -> None:
        read_bytes.add(size)
        read_lines.add(lines)

    value: Any = job.value
    return work(value, pieces, progress)
