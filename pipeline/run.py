"""The spine: what `hypervigil run` does, top to bottom.

Each stage is a function that takes the state and adds to it; `run` calls them in order.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import orjson
from pyspark.sql import SparkSession
from rich.console import Console

from . import content, figures, ingest, lake, ledger, replaying, sources
from .alerts import Alert, from_hits, needed_fields
from .config import Settings
from .errors import ContentError, LakeError
from .kernel.engine import Engine
from .kernel.spec import ParserSpec
from .progress import Progress
from .schema import COLUMNS
from .sigma.load import Rule, load_rules


@dataclass
class State:
    """What the stages hand on."""

    settings: Settings
    spark: SparkSession
    lake: lake.Lake
    engine: Engine
    rules: tuple[Rule, ...]
    progress: Progress
    id: str = field(default_factory=lambda: f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{uuid.uuid4().hex[:6]}")
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    problems: list[sources.Problem] = field(default_factory=list)
    unchanged: int = 0
    pieces: list[sources.Piece] = field(default_factory=list)
    infos: dict[str, Any] = field(default_factory=dict)
    files: list[figures.FileResult] = field(default_factory=list)
    written: set[date] = field(default_factory=set)  # days that got events
    days: set[date] = field(default_factory=set)  # days that got hits
    alerts: list[Alert] = field(default_factory=list)
    quality: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    report: Path | None = None


def discover(state: State) -> None:
    """Which files have something new: everything else is left alone."""
    lake_url = state.lake.url
    found, problems = sources.find(state.settings.inputs, avoid=lake_url)
    known = ledger.Ledger(row.asDict(recursive=True) for row in state.lake.read("files").collect())
    changed = [item for item in found if not known.unchanged(item)]
    infos, unread = sources.describe(changed)
    state.pieces, copies = ledger.plan(changed, infos, known, state.settings.parser)
    state.infos = {info.path: info for info in infos}
    state.unchanged = len(found) - len(changed)
    state.problems += [*problems, *unread, *copies]


def read(state: State) -> None:
    """Parse and detect in one pass over the bytes, batch by batch; each batch is visible whole or not at all."""
    job = _job(state)
    shared = state.spark.sparkContext.broadcast(job)
    for number, pieces in enumerate(_batches(state.pieces, state.settings.batch_bytes)):
        cut = [part for piece in pieces for part in sources.cut(piece, state.infos[piece.path], state.engine, state.settings.range_bytes)]
        tasks = sources.pack(cut, state.settings.range_bytes)
        results = state.progress.tasks(state.spark, tasks, shared, sum(piece.bytes for piece in cut))
        done = figures.by_file([piece for result in results for piece in result.pieces])
        state.problems += [sources.Problem(piece.piece.path, piece.problem) for r in results for piece in r.pieces if piece.problem]
        figures.check(done)
        batch = figures.batch(f"{state.id}-{number}", job, done, results)
        state.lake.commit(batch)
        state.files += done
        state.days |= batch.days("hits")
        state.written |= batch.days("events")
    shared.destroy()


def alert(state: State) -> None:
    """Hits to alerts, for every day that got hits: an alert of that day may have grown."""
    wanted = needed_fields(state.rules)
    for day in sorted(state.days):
        state.alerts += from_hits(hits(state.lake, day, wanted), state.rules)
    if state.alerts:
        rows = [(a.id, a.timestamp, a.rule.id, a.severity, state.id, a.model_dump_json(by_alias=True), a.timestamp.date())
                for a in state.alerts]
        state.lake.merge("alerts", state.spark.createDataFrame(rows, lake.TABLES["alerts"].ddl))


def count(state: State) -> None:
    """The figures of the run, kept in the table `runs`."""
    finished = datetime.now(UTC)
    state.figures = figures.of_run(state.id, state.started, finished, state.files, content_version())
    state.figures["quarantine"] = figures.quarantine(state.lake, state.id)
    state.figures["problems"] = [{"path": p.path, "reason": p.reason} for p in state.problems]
    state.figures["run"]["unchanged_files"] = state.unchanged


def check(state: State) -> None:
    """Great Expectations over the written tables."""
    if state.settings.quality and state.written:
        from . import quality  # takes seconds to import

        state.quality = quality.check(state.lake, state.settings, state.written)
        state.figures["quality"] = state.quality


def record(state: State) -> None:
    """Write the run down, and the report."""
    row = (state.id, state.started, datetime.now(UTC), orjson.dumps(state.figures, default=str).decode())
    state.lake.append("runs", state.spark.createDataFrame([row], lake.TABLES["runs"].ddl), state.id, 1)
    state.report = write_report(state.lake, state.settings, state.settings.report_path, state.figures)


Stage = Callable[[State], None]
STAGES: tuple[tuple[str, Stage], ...] = (
    ("looking for files", discover),
    ("reading", read),
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
    report: Path | None

    def as_dict(self) -> dict[str, Any]:
        """The machine-readable twin of what is printed."""
        return self.figures | {"alerts": [a.model_dump(mode="json", by_alias=True) for a in self.alerts],
                               "report": str(self.report) if self.report else None}


def run(settings: Settings, quiet: bool = False, spark: SparkSession | None = None) -> Result:
    """Read what is new, find what is wrong, say so. Raises LakeError, ContentError; with `strict` LakeError when quality fails.

    A session given is left open; one started here is stopped, also on Ctrl-C, and leaves the lake whole.
    """
    state = start(settings, quiet, spark)
    try:
        for name, stage in STAGES:
            with state.progress.stage(name):
                stage(state)
    finally:
        if spark is None:
            state.spark.stop()
    if settings.strict and not state.quality.get("success", True):
        raise LakeError("quality expectations failed: " + ", ".join(state.quality["failed"]), state.lake.url)
    return Result(state.figures, [a for a in state.alerts if _wanted(a, settings)], state.report)


def start(settings: Settings, quiet: bool, spark: SparkSession | None = None) -> State:
    """Content, session and lake, made whole if a run was interrupted."""
    loaded = load_rules()
    if loaded.errors and settings.strict:
        raise loaded.errors[0]
    parsers = Engine().parsers
    if settings.parser and settings.parser not in parsers:
        raise ContentError(f"unknown parser {settings.parser!r}", hint="known: " + ", ".join(parsers))
    if settings.timezone:
        parsers = {name: _in_zone(spec, settings.timezone) for name, spec in parsers.items()}
    progress = Progress(quiet, settings.progress)
    with progress.stage("starting Spark"):
        session = spark or lake.session(settings)
        house = lake.Lake(session, settings.lake_url)
        house.create()
        house.recover()
    state = State(settings, session, house, Engine(parsers), loaded.rules, progress)
    state.problems += [sources.Problem(str(error.path), error.message) for error in loaded.errors]
    return state


def hits(house: lake.Lake, day: date, wanted: set[str]) -> Iterator[dict[str, Any]]:
    """Hits of one day as flat rows: rule_id, event_id and the wanted fields that are not null (each column costs Spark planning)."""
    from pyspark.sql import functions as F

    rows = house.read("hits").where(F.col("date") == F.lit(day))
    leaves = [F.col(".".join(f"`{part}`" for part in c.name.split("."))).alias(c.name) for c in COLUMNS
              if c.name in wanted or c.name == "event.id"]
    for row in rows.select("rule_id", *leaves).toArrow().to_pylist():
        yield {name: value for name, value in row.items() if value is not None} | {"event_id": row["event.id"]}


def write_report(house: lake.Lake, settings: Settings, out: Path, numbers: dict[str, Any]) -> Path:
    """The HTML report of every alert that the lake holds (between `since` and `until`)."""
    from .report import render

    alerts = [Alert.model_validate_json(row.alert) for row in house.read("alerts").select("alert").collect()]
    out.parent.mkdir(parents=True, exist_ok=True)
    render([a for a in alerts if _wanted(a, settings)], numbers, out)
    return out


def report(settings: Settings, output: Path, spark: SparkSession | None = None) -> Path:
    """The report of what the lake holds, with the figures of the last run that read something."""
    session = spark or lake.session(settings)
    try:
        house = lake.Lake(session, settings.lake_url)
        runs = [orjson.loads(row.figures) for row in house.read("runs").orderBy("started").collect()]
        if not runs:
            raise LakeError("the lake holds no run", settings.lake_url)
        return write_report(house, settings, output, next((r for r in reversed(runs) if r["run"]["lines"]), runs[-1]))
    finally:
        if spark is None:
            session.stop()


def replay(settings: Settings, quiet: bool = False, spark: SparkSession | None = None) -> dict[str, int]:
    """Parse quarantined records again, after a fix of parser or pipeline: replayed = events + quarantined."""
    state = start(settings, quiet, spark)
    try:
        batch, numbers = replaying.replay(state.lake, _job(state))
        state.lake.commit(batch)
        state.days = batch.days("hits")
        alert(state)
        return numbers | {"alerts": len(state.alerts)}
    finally:
        if spark is None:
            state.spark.stop()


def show(result: Result, out: Console) -> None:
    """The outcome in a few lines."""
    numbers = result.figures["run"]
    out.print(f"{numbers['lines']:,} lines of {numbers['files']:,} files = {numbers['events']:,} events + {numbers['joined']:,} joined + "
              f"{numbers['quarantined']:,} quarantined; {numbers['lines_per_s']:,.0f} lines/s", highlight=False)
    for problem in result.figures["problems"]:
        out.print(f"[yellow]not read[/] {problem['path']}: {problem['reason']}", highlight=False)
    if failed := result.figures.get("quality", {}).get("failed"):
        out.print(f"[yellow]quality[/] {'; '.join(failed)}", highlight=False)
    out.print(f"{len(result.alerts):,} alerts; report: {result.report}", highlight=False)


def content_version() -> str:
    """Hash of all parsers and rules: which content made these events and alerts."""
    digest = hashlib.blake2b(digest_size=6)
    for name in ("parsers", "detections"):
        root = content.folder(name)
        for path in sorted(p for p in root.rglob("*") if p.is_file() and p.suffix in (".yml", ".csv")):
            digest.update(os.fsencode(path.relative_to(root)) + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _wanted(alert: Alert, settings: Settings) -> bool:
    return (not settings.since or alert.last >= settings.since) and (not settings.until or alert.first < settings.until)


def _job(state: State) -> ingest.Job:
    detector = state.engine.detector(state.rules)
    return ingest.Job(state.engine, detector, lake.worker_url(state.lake.url), state.id, f"{state.started:%Y-%m-%d}")


def _batches(pieces: list[sources.Piece], most: int) -> Iterator[list[sources.Piece]]:
    """Whole files, up to `most` bytes together."""
    batch: list[sources.Piece] = []
    for piece in pieces:
        if batch and sum(p.bytes for p in batch) + piece.bytes > most:
            yield batch
            batch = []
        batch.append(piece)
    if batch:
        yield batch


def _in_zone(spec: ParserSpec, timezone: str) -> ParserSpec:
    moved = spec.model_copy(update={"timezone": timezone})
    moved._path = spec._path
    return moved
