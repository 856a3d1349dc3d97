"""One pass over the raw bytes: every task frames, parses, gates and detects its pieces and writes Parquet files; the driver commits them.

Nothing passes through the JVM but the list of files written: no rows to convert, no second writer, one commit per table.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import BinaryIO

import polars as pl

from .delta_files import EVENT_BOUNDS, HIT_BOUNDS, Add, write_parquet
from .errors import FULL, InputError, LakeError
from .kernel import detector
from .kernel.detect import Detector
from .kernel.engine import Batch, Engine
from .kernel.files import FileInfo, OpenFile
from .kernel.framing import split_lines
from .kernel.gate import QUARANTINE_SCHEMA
from .kernel.normalise import to_schema
from .ledger import CHUNK, REACH, fingerprint
from .sources import Piece, TailRecord, open_piece, read

FLUSH_ROWS = 500_000
Source = tuple[str, str]  # dataset, parser


@dataclass(frozen=True)
class Job:
    """What every task needs: picklable, sent to the workers once."""

    engine: Engine
    detector: Detector
    lake: str
    run: str
    day: str  # partition of quarantine, which has no event time


@dataclass
class PieceResult:
    """Figures of one piece.

    `counted`: lines by counting newlines, apart from the kernel's count; None where a line is no unit (JSON). `record_lines`: raw lines of
    the records, by source. `tail`: records that may still grow (from offset `reach` on joins are possible); `unchanged`: offsets of records
    read again that the lake has just so; `replaced`: ids that the lake must drop; `blanks`: offsets of blank lines near the end.
    """

    piece: Piece
    lines: int = 0
    counted: int | None = 0
    text_bytes: int = 0
    fingerprint: str = ""
    damage: str | None = None
    document: bool = False
    problem: str | None = None
    events: Counter[Source] = field(default_factory=Counter)
    recognised: Counter[Source] = field(default_factory=Counter)
    quarantined: Counter[Source] = field(default_factory=Counter)
    record_lines: Counter[Source] = field(default_factory=Counter)
    reach: int = 0
    tail: list[TailRecord] = field(default_factory=list)
    unchanged: set[int] = field(default_factory=set)
    blanks: list[int] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)


@dataclass
class TaskResult:
    """What a task wrote (Delta `add` actions per table) and its figures per piece."""

    adds: dict[str, list[Add]]
    pieces: list[PieceResult]


def work(job: Job, pieces: Iterable[Piece], progress: Callable[[int, int], None] = lambda _bytes, _lines: None) -> TaskResult:
    """A task: read pieces through the kernel, write events, hits and quarantine as Parquet.

    What cannot be read is the problem of its piece, even where part of it is written already. Raises LakeError when writing fails.
    """
    writer, results = Writer(job), []
    for piece in pieces:
        results.append(PieceResult(piece))
        try:
            _read(results[-1], writer, progress)
        except (InputError, OSError) as error:
            results[-1].problem = error.message if isinstance(error, InputError) else f"cannot be read: {error}"
            if FULL in results[-1].problem:  # no fault of the file: what is not plain text is unpacked into a temporary file
                raise LakeError(f"{FULL}: no room to unpack {piece.path}") from error
    return TaskResult(writer.close(), results)


def _read(result: PieceResult, writer: Writer, progress: Callable[[int, int], None]) -> None:
    job, piece = writer.job, result.piece
    opened = open_piece(piece)
    parser = piece.parser or detector.parser_of_file(opened[0].head, job.engine.parsers)
    _before(result, job.engine, parser, *opened)
    for batch in read(replace(piece, parser=parser), job.engine, opened):
        writer.add(_count(result, batch))
        progress(0, batch.lines)
    _after(result, piece)
    progress(piece.bytes, 0)


# --- figures of a piece -----------------------------------------------------------------------------------------------------------


def _before(result: PieceResult, engine: Engine, name: str | None, info: FileInfo, text: OpenFile) -> None:
    """What must be known before the kernel reads (and closes) the file."""
    piece = result.piece
    end = text.size if piece.end is None else min(piece.end, text.size)
    result.text_bytes, result.damage = text.size, text.damage
    result.document = engine.is_document(info, name)
    if result.document:
        result.counted = None
    else:
        start = max(piece.start, piece.committed.text_bytes) if piece.committed else piece.start
        result.counted = count_lines(text.file, start, end) + (text.damage is not None)
    result.fingerprint = fingerprint(text.file, text.size) if end == text.size else ""
    specs = [engine.spec(name)] if name else list(engine.parsers.values())
    result.reach = text.size - REACH if any(s.framing.join for s in specs) else end
    if end > text.size - REACH and not result.document:
        result.blanks = blank_lines(text.file, max(piece.start, text.size - REACH), end)


def count_lines(file: BinaryIO, start: int, end: int) -> int:
    """Lines that start in bytes [start, end)."""
    if end <= start:
        return 0
    first = max(start - 1, 0)
    file.seek(first)
    lines, left = int(start == 0), end - 1 - first
    while left > 0 and (chunk := file.read(min(CHUNK, left))):
        lines += chunk.count(b"\n")
        left -= len(chunk)
    return lines


def blank_lines(file: BinaryIO, start: int, end: int) -> list[int]:
    """Offsets of the blank lines that start in bytes [start, end)."""
    first = max(start - 1, 0)  # the byte before tells whether a line starts at `start`, the two after whether the last is blank
    file.seek(first)
    lines = split_lines(file.read(end + 2 - first), first)
    inside = pl.col("offset").is_between(start, end, closed="left")
    found: list[int] = lines.filter((pl.col("raw") == "") & inside).get_column("offset").to_list()
    return found


def _count(result: PieceResult, batch: Batch) -> Batch:
    """Add a batch to the figures; returns it without the records that the lake has just so already."""
    piece, known = result.piece, result.piece.committed
    result.lines += batch.lines
    rows = [_rows(batch.events, "log.offset", "_lines", "event.original", False), _rows(batch.quarantine, "offset", "lines", "raw", True)]
    records = pl.concat(rows)
    if piece.start:
        records = records.filter(pl.col("offset") >= piece.start)
    result.tail = last_records([*result.tail, *(TailRecord(*row) for row in near_end(records, result.reach).rows())], result.reach)
    events, quarantine = batch.events, batch.quarantine
    if known:
        same = records.join(_frame(known.tail), on=["offset", "lines", "bytes", "quarantined"], how="semi").get_column("offset").to_list()
        events = events if events.is_empty() else events.filter((pl.col("log.offset") >= piece.start) & ~pl.col("log.offset").is_in(same))
        quarantine = quarantine.filter((pl.col("offset") >= piece.start) & ~pl.col("offset").is_in(same))
        result.unchanged.update(same)
    if not events.is_empty():
        for dataset, parser, count, recognised, lines in events.group_by("event.dataset", "_parser").agg(
                pl.len(), pl.col("_recognised").sum(), pl.col("_lines").sum()).rows():
            result.events[dataset, parser] += count
            result.recognised[dataset, parser] += recognised
            result.record_lines[dataset, parser] += lines
    for parser, count, lines in quarantine.group_by("parser").agg(pl.len(), pl.col("lines").sum()).rows():
        result.quarantined["", parser or "unknown"] += count
        result.record_lines["", parser or "unknown"] += lines
    return Batch(events, quarantine, batch.lines)


def _rows(frame: pl.DataFrame, offset: str, lines: str, text: str, quarantined: bool) -> pl.DataFrame:
    if frame.is_empty():
        return _frame(())
    return frame.select(pl.col(offset).cast(pl.Int64).alias("offset"), pl.col(lines).cast(pl.Int64).alias("lines"),
                        pl.col(text).str.len_bytes().cast(pl.Int64).alias("bytes"), pl.lit(quarantined).alias("quarantined"))


def _frame(records: Iterable[TailRecord]) -> pl.DataFrame:
    return pl.DataFrame([(r.offset, r.lines, r.bytes, r.quarantined) for r in records], orient="row",
                        schema={"offset": pl.Int64, "lines": pl.Int64, "bytes": pl.Int64, "quarantined": pl.Boolean})


def near_end(records: pl.DataFrame, reach: int) -> pl.DataFrame:
    """Rows that may be among the last of the file."""
    rows = records.sort("offset")
    return rows.filter((pl.col("offset") >= reach) | (pl.int_range(pl.len()) >= pl.len().cast(pl.Int64) - 2))


def last_records(records: list[TailRecord], reach: int) -> list[TailRecord]:
    """The records that may still grow: those in reach of a join, and the last two (a line without its end, and a note of damage)."""
    ordered = sorted(records, key=lambda r: r.offset)
    return [r for number, r in enumerate(ordered) if r.offset >= reach or number >= len(ordered) - 2]


def _after(result: PieceResult, piece: Piece) -> None:
    if result.document or (piece.end is not None and piece.end <= result.text_bytes - REACH):
        result.tail = []
    if piece.committed:
        result.replaced = [f"{piece.file_id}-{r.offset}" for r in piece.committed.tail if r.offset not in result.unchanged
                           and piece.start <= r.offset and (piece.end is None or r.offset < piece.end)]


# --- writing ----------------------------------------------------------------------------------------------------------------------


class Writer:
    """Buffers rows of a task and writes them as one Parquet file per table and date."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.events: list[pl.DataFrame] = []
        self.hits: list[pl.DataFrame] = []
        self.quarantine: list[pl.DataFrame] = []
        self.rows = 0
        self.adds: dict[str, list[Add]] = defaultdict(list)

    def add(self, batch: Batch) -> None:
        """Detect, and keep rows until there are enough for a file."""
        if not batch.events.is_empty():
            flat = batch.events
            self.events.append(flat)
            hits = self.job.detector.detect(flat)
            if not hits.is_empty():
                self.hits.append(flat[hits.get_column("event_index")].with_columns(hits.get_column("rule_id")))
        if not batch.quarantine.is_empty():
            self.quarantine.append(batch.quarantine)
        self.rows += batch.events.height + batch.quarantine.height
        if self.rows >= FLUSH_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write what is buffered."""
        date = pl.col("@timestamp").dt.date().alias("date")
        if self.events:
            flat = pl.concat(self.events, how="diagonal")
            self._write("events", to_schema(flat).with_columns(date), EVENT_BOUNDS)
        if self.hits:
            flat = pl.concat(self.hits, how="diagonal")
            self._write("hits", to_schema(flat).insert_column(0, flat.get_column("rule_id")).with_columns(date), HIT_BOUNDS)
        if self.quarantine:
            rows = pl.concat(self.quarantine).cast(QUARANTINE_SCHEMA | {"lines": pl.Int64})  # type: ignore[arg-type]
            run, day = pl.lit(self.job.run).alias("run"), pl.lit(self.job.day).str.to_date().alias("date")
            self._write("quarantine", rows.with_columns(run, day), ("id", "path"))
        self.events, self.hits, self.quarantine, self.rows = [], [], [], 0

    def close(self) -> dict[str, list[Add]]:
        """Write the rest; returns all `add` actions."""
        self.flush()
        return dict(self.adds)

    def _write(self, table: str, rows: pl.DataFrame, bounds: tuple[str, ...]) -> None:
        days = rows.get_column("date").unique().sort().to_list()
        for day in days:  # nearly always one: then nothing is copied
            part = rows if len(days) == 1 else rows.filter(pl.col("date") == day)
            folder = f"{self.job.lake}/{table}"
            try:
                self.adds[table].append(write_parquet(folder, part.drop("date"), str(day), self.job.run, bounds))
            except OSError as error:
                raise LakeError(f"cannot be written: {error}", folder) from error
