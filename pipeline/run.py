"""The spine: what `hypervigil run` does, top to bottom.

Each stage is a function that takes the state and adds to it; `run` calls them in order.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import orjson
from pyspark import Broadcast
from pyspark.sql import SparkSession

from . import content, figures, finding, ingest, lake, ledger, locking, quality, replaying, session, sources
from .alerting import Correlated, correlated, excused_otherwise, raise_alerts
from .alerts import Alert
from .analytics.logins.geo import geoip_files
from .analytics.stage import Site, found_by_jobs
from .config import Settings
from .context.files import Context, read_context
from .errors import ContentError, LakeError
from .kernel.engine import Engine
from .kernel.spec import ParserSpec
from .lake import Batch
from .progress import Progress
from .rulebook import Rulebook, places, read_rulebook
from .sigma.catalogue import Catalogue, load_catalogue
from .sigma.digest import digests


@dataclass
class State:
    """What the stages hand on."""

    settings: Settings
    spark: SparkSession
    lake: lake.Lake
    engine: Engine
    book: Rulebook
    progress: Progress
    context: Context
    found: list[finding.Found]
    problems: list[finding.Problem]
    id: str = field(default_factory=lambda: f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{uuid.uuid4().hex[:6]}")
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    unchanged: int = 0
    pieces: list[sources.Piece] = field(default_factory=list)
    infos: dict[str, Any] = field(default_factory=dict)
    files: list[figures.FileResult] = field(default_factory=list)
    written: set[date] = field(default_factory=set)  # days that got events
    days: set[date] = field(default_factory=set)  # days that got hits, now or in a run that ended before its alerts
    newest: datetime | None = None  # time of the newest event
    correlated: Correlated = field(default_factory=lambda: Correlated([], set()))
    alerts: list[Alert] = field(default_factory=list)
    quality: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    report: Path | None = None

    def take(self, batch: Batch) -> None:
        """Note what a batch has put into the lake."""
        self.days |= batch.days("hits")
        self.written |= batch.days("events")
        self.newest = max(filter(None, (self.newest, batch.newest("events"))), default=None)


def discover(state: State) -> None:
    """Which files have something new: everything else is left alone."""
    known = ledger.Ledger(() if state.lake.is_new("files") else (row.asDict(recursive=True) for row in state.lake.read("files").collect()))
    changed = [item for item in state.found if not known.unchanged(item)]
    infos, unread = finding.describe(changed)
    state.pieces, left_out = ledger.plan(changed, infos, known, state.settings.parser)
    state.infos = {info.path: info for info in infos}
    state.unchanged = len(state.found) - len(changed)
    state.problems += [*unread, *left_out]


def read(state: State) -> None:
    """Parse and detect in one pass over the bytes, batch by batch; each batch is visible whole or not at all."""
    job = _job(state)
    shared = session.broadcast(state.spark, job)
    for number, pieces in enumerate(sources.batches(state.pieces, state.settings.batch_bytes)):
        results = _read_whole_files(state, shared, pieces)
        with state.progress.stage("committing"):
            done = figures.by_file([piece for result in results for piece in result.pieces])
            figures.check(done)
            batch = figures.batch(f"{state.id}-{number}", job, done, results)
            state.lake.commit(batch)
        state.files += done
        state.take(batch)
    shared.destroy()


def _read_whole_files(state: State, job: Broadcast[ingest.Job], pieces: list[sources.Piece]) -> list[ingest.TaskResult]:
    """What the workers wrote of some files. Of a file that cannot be read to its end nothing may stay, and its rows share Parquet files
    with others: those are read again without it.
    """
    size = state.settings.range_bytes
    while True:
        cut = [part for piece in pieces for part in sources.cut(piece, state.infos[piece.path], state.engine, size)]
        results = state.progress.tasks(state.spark, sources.pack(cut, size), job, sum(piece.bytes for piece in cut))
        failed = {piece.piece.path: piece.problem for result in results for piece in result.pieces if piece.problem}
        state.problems += [finding.Problem(path, reason) for path, reason in failed.items()]
        if not figures.torn([piece for result in results for piece in result.pieces]):
            return results
        for result in results:
            state.lake.discard({table: [add["path"] for add in adds] for table, adds in result.adds.items()})
        pieces = [piece for piece in pieces if piece.path not in failed]


def correlate(state: State) -> None:
    """Hits to alerts of correlations, over the days that got hits and what reaches into them."""
    state.days |= excused_otherwise(state.lake, state.book.exceptions)
    state.correlated = correlated(state.lake, state.book.catalogue, state.days, state.newest, state.book.exceptions)


def hunt(state: State) -> None:
    """Hits to where machines were, and with that to alerts of jobs, from the first day that got hits on."""
    site = Site(state.lake, state.book.catalogue, state.book.exceptions, state.context, state.settings.geoip)
    state.correlated = state.correlated.and_of(found_by_jobs(site, state.days, state.newest, state.id))


def alert(state: State) -> None:
    """Hits to alerts, for every day that got hits: an alert of that day may have grown."""
    state.alerts = raise_alerts(state.lake, state.book.catalogue, state.days, state.correlated, state.id, state.book.exceptions)


def count(state: State) -> None:
    """The figures of the run, kept in the table `runs`."""
    finished = datetime.now(UTC)
    state.figures = figures.of_run(state.id, state.started, finished, state.files, content.version())
    state.figures["quarantine"] = figures.quarantine(state.lake, state.id) if state.figures["run"]["quarantined"] else []
    state.figures["problems"] = [{"path": p.path, "reason": p.reason} for p in state.problems]
    state.figures["run"]["unchanged_files"] = state.unchanged
    state.figures["run"]["newest"] = state.newest.isoformat() if state.newest else None  # up to when the sources were watched
    state.figures["exceptions"] = state.book.exceptions.as_dict()
    state.figures["context"] = state.context.version
    state.figures["rules"] = digests(state.book.catalogue.everything)  # which rules made the hits: a backtest looks for those that changed


def check(state: State) -> None:
    """Great Expectations over the written tables."""
    if state.settings.quality and state.written:
        state.quality = quality.check(state.lake, state.settings, state.written)
        state.figures["quality"] = state.quality


def record(state: State) -> None:
    """Write the run down, and the report."""
    state.lake.commit(figures.run_batch(state.lake, state.id, state.started, state.figures))
    state.report = write_report(state.lake, state.settings, state.settings.report_path, state.figures, state.book.catalogue)


Stage = Callable[[State], None]
STAGES: tuple[tuple[str, Stage], ...] = (
    ("looking for files", discover),
    ("reading", read),
    ("correlations", correlate),
    ("jobs", hunt),
    ("alerts", alert),
    ("figures", count),
    ("quality", check),
    ("report", record),
)


@dataclass(frozen=True)
class Result:
    """What a run gives back."""

    figures: dict[str, Any]
    alerts: list[Alert]
    suppressed: list[Alert]  # silenced by exceptions: kept, told, and nothing that --fail-on counts
    report: Path | None
    seconds: dict[str, float] = field(default_factory=dict)  # by stage

    def as_dict(self) -> dict[str, Any]:
        """The machine-readable twin of what is printed."""
        alerts = {name: [a.model_dump(mode="json", by_alias=True) for a in found]
                  for name, found in (("alerts", self.alerts), ("suppressed", self.suppressed))}
        return self.figures | {"seconds": self.seconds, **alerts, "report": str(self.report) if self.report else None}


def run(settings: Settings, quiet: bool = False, spark: SparkSession | None = None) -> Result:
    """Read what is new, find what is wrong, say so. Raises LakeError, InputError, ContentError; with `strict` LakeError when quality fails.

    A session given is left open; one started here is stopped. However it ends, the lake is whole, and the next run goes on from there.
    """
    with opened(settings, quiet, spark) as state:
        for name, stage in STAGES:
            with state.progress.stage(name):
                stage(state)
        state.lake.finish()
    if settings.strict and not state.quality.get("success", True):
        raise LakeError("quality expectations failed: " + ", ".join(state.quality["failed"]), state.lake.url)
    alerts = [a for a in state.alerts if _wanted(a, settings)]
    loud, suppressed = [a for a in alerts if not a.suppressed], [a for a in alerts if a.suppressed]
    return Result(state.figures, loud, suppressed, state.report, state.progress.seconds)


@contextmanager
def opened(settings: Settings, quiet: bool, spark: SparkSession | None = None) -> Iterator[State]:
    """Content, inputs, the lock of the lake, a session, and the lake made whole if a run was interrupted.

    What cannot work is refused before Spark starts. What fails later carries a note of what is in the lake by then.
    """
    settings = settings.model_copy(update={"geoip": geoip_files(settings.geoip)})
    book = read_rulebook(settings)
    parsers, context = _parsers(settings), read_context(settings.context)
    found, problems = finding.find(settings.inputs, avoid=settings.lake_url)
    progress = Progress(quiet, settings.progress)
    with locking.held(settings.lake_url):
        if settings.quality:
            threading.Thread(target=quality.load, daemon=True).start()
        with progress.stage("starting Spark"):
            own = spark or session.session(settings)
        problems = [*book.problems, *problems, *(finding.Problem(str(settings.context), said) for said in context.repaired)]
        state = State(settings, own, lake.Lake(own, settings.lake_url), Engine(parsers), book, progress, context, found, problems)
        try:
            with session.clear_errors(settings.lake_url):
                with progress.stage("opening the lake"):
                    state.lake.create()
                    for batch in state.lake.recover():
                        state.take(batch)
                    state.lake.begin(state.id)
                yield state
        except BaseException as error:
            error.add_note(_kept(state))
            raise
        finally:
            if spark is None:
                session.stop(own)


def _parsers(settings: Settings) -> dict[str, ParserSpec]:
    parsers = Engine().parsers
    if settings.parser and settings.parser not in parsers:
        raise ContentError(f"unknown parser {settings.parser!r}", hint="known: " + ", ".join(parsers))
    return {name: spec.in_zone(settings.timezone) for name, spec in parsers.items()} if settings.timezone else dict(parsers)


def _kept(state: State) -> str:
    lines = sum(file.lines for file in state.files)
    kept = f"{lines:,} lines of {len(state.files):,} files" if lines else "nothing new"
    return f"{kept} kept in the lake; the next run {'finishes what was being committed' if state.lake.committing else 'goes on from there'}"


def write_report(house: lake.Lake, settings: Settings, out: Path, numbers: dict[str, Any], catalogue: Catalogue) -> Path:
    """The HTML report of every alert that the lake holds (between `since` and `until`)."""
    from .report import render

    with session.clear_errors(settings.lake_url):
        rows = [] if house.is_new("alerts") else house.read("alerts").select("alert").collect()
        alerts = [Alert.model_validate_json(row.alert) for row in rows]
    with session.clear_errors(str(out)):
        return render([a for a in alerts if _wanted(a, settings)], numbers, out, catalogue.watching)


def report(settings: Settings, output: Path, spark: SparkSession | None = None) -> Path:
    """The report of what the lake holds, with the figures of the last run that read something."""
    own = spark or session.session(settings)
    try:
        house = lake.Lake(own, settings.lake_url)
        with session.clear_errors(settings.lake_url):
            runs = [orjson.loads(row.figures) for row in house.read("runs").orderBy("started").collect()]
        if not runs:
            raise LakeError("the lake holds no run", settings.lake_url)
        newest = next((r for r in reversed(runs) if r["run"]["lines"]), runs[-1])
        return write_report(house, settings, output, newest, load_catalogue(places(settings)))
    finally:
        if spark is None:
            session.stop(own)


def replay(settings: Settings, quiet: bool = False, spark: SparkSession | None = None) -> dict[str, int]:
    """Parse quarantined records again, after a fix of parser or pipeline: replayed = events + quarantined."""
    with opened(settings, quiet, spark) as state:
        batch, numbers = replaying.replay(state.lake, _job(state))
        state.lake.commit(batch)
        state.take(batch)
        correlate(state)
        hunt(state)
        alert(state)
        state.lake.finish()
        return numbers | {"alerts": sum(not a.suppressed for a in state.alerts)}


def _wanted(alert: Alert, settings: Settings) -> bool:
    return (not settings.since or alert.last >= settings.since) and (not settings.until or alert.first < settings.until)


def _job(state: State) -> ingest.Job:
    detector = state.engine.detector(state.book.catalogue.rules)
    return ingest.Job(state.engine, detector, lake.worker_url(state.lake.url), state.id, f"{state.started:%Y-%m-%d}")
