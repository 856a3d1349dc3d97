"""What was read, counted: results of pieces to files, sources and the run, with the proof that no line was lost."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
import polars as pl
from pyspark.sql import functions as F

from .delta_files import Add, write_parquet
from .errors import LakeError
from .ingest import Job, PieceResult, Source, TaskResult, last_records
from .lake import TABLES, Batch, Lake, worker_url
from .sources import Committed, Piece, TailRecord

LEDGER_SCHEMA = {
    "file_id": pl.String, "path": pl.String, "identity": pl.String, "stored_bytes": pl.Int64, "modified": pl.Datetime("us", "UTC"),
    "text_bytes": pl.Int64, "lines": pl.Int64, "resume": pl.Int64,
    "tail": pl.List(pl.Struct({"offset": pl.Int64, "lines": pl.Int64, "bytes": pl.Int64, "quarantined": pl.Boolean})),
    "tail_lines": pl.Int64, "fingerprint": pl.String, "run": pl.String}


@dataclass
class FileResult:
    """What a run newly got from a file. `counted` is None where newlines do not count lines; `committed` goes to the ledger."""

    piece: Piece
    lines: int
    counted: int | None
    events: Counter[Source]
    recognised: Counter[Source]
    quarantined: Counter[Source]
    record_lines: Counter[Source]
    committed: Committed
    replaced: list[str] = field(default_factory=list)

    @property
    def joined(self) -> int:
        """Lines that are part of another line's record, and blank lines."""
        return self.lines - self.events.total() - self.quarantined.total()

    @property
    def source(self) -> Source:
        """The source that wrote most of the file."""
        return _main(self.record_lines)


def torn(results: Iterable[PieceResult]) -> set[str]:
    """Paths of files of which a part was read and another could not be: what was read of them must not be kept."""
    results = list(results)
    bad = {r.piece.path for r in results if r.problem}
    return {r.piece.path for r in results if r.piece.path in bad and (r.lines or not r.problem)}


def by_file(results: Iterable[PieceResult]) -> list[FileResult]:
    """Pieces to files; files of which a piece could not be opened are left out (raises LakeError if other pieces of it could)."""
    groups: dict[str, list[PieceResult]] = defaultdict(list)
    for result in results:
        groups[result.piece.path].append(result)
    return [_file(sorted(group, key=lambda r: r.piece.start)) for group in groups.values() if _readable(group)]


def _readable(group: list[PieceResult]) -> bool:
    bad = [r for r in group if r.problem]
    if bad and len(bad) < len(group):
        raise LakeError(f"could not be read to its end: {bad[0].problem}", bad[0].piece.path, hint="nothing was committed; run again")
    return not bad


def _file(results: list[PieceResult]) -> FileResult:
    first, last = results[0], results[-1]
    before = first.piece.committed
    total: dict[str, Counter[Source]] = {
        name: sum((getattr(r, name) for r in results), Counter()) for name in ("events", "recognised", "quarantined", "record_lines")}
    lines = sum(r.lines for r in results)
    counted = None if any(r.counted is None for r in results) else sum(r.counted or 0 for r in results)
    if before:
        lines -= before.lines if first.document else before.tail_lines
        if counted is not None:  # the note of damage that stood at the old end was counted as a line
            counted -= sum(r.offset >= before.text_bytes for r in before.tail)
        _take_back(total, before, set().union(*(result.unchanged for result in results)))
    tail = last_records([r for result in results for r in result.tail], last.reach if last.reach < last.text_bytes else last.text_bytes + 1)
    resume = tail[0].offset if tail else last.text_bytes
    blanks = sum(offset >= resume for result in results for offset in result.blanks)
    return FileResult(
        first.piece, lines, counted, **total, replaced=[i for r in results for i in r.replaced],
        committed=Committed(last.text_bytes, lines + (before.lines if before else 0), resume, tuple(tail),
                            sum(r.lines for r in tail) + blanks, last.fingerprint))


def _take_back(total: dict[str, Counter[Source]], before: Committed, same: set[int]) -> None:
    """Records that were read again in another shape were counted by an earlier run: this run adds only the difference."""
    main = _main(total["record_lines"])
    for record in before.tail:
        if record.offset not in same:
            for name in ("quarantined",) if record.quarantined else ("events", "recognised"):
                total[name][main] -= 1
            total["record_lines"][main] -= record.lines


def _main(lines: Counter[Source]) -> Source:
    """The source of most lines."""
    return max(lines, key=lambda source: (lines[source], source), default=("unknown", "unknown"))


def check(files: Iterable[FileResult]) -> None:
    """Lines in = events + quarantined + joined: newlines counted in the bytes against lines of the records written. Raises LakeError."""
    for file in files:
        if (file.counted is not None and file.counted != file.lines) or file.lines < file.record_lines.total() or file.joined < 0:
            raise LakeError(f"{file.counted} lines counted, {file.lines} read, {file.events.total()} events, {file.quarantined.total()} "
                            f"quarantined: nothing was committed", file.piece.path, hint="please report this with the file")


def batch(name: str, job: Job, files: list[FileResult], results: list[TaskResult]) -> Batch:
    """What the driver commits for a batch: the files the workers wrote, the rows that they replace, and the ledger."""
    adds: dict[str, list[Add]] = defaultdict(list)
    for result in results:
        for table, written in result.adds.items():
            adds[table] += written
    if files:
        adds["files"].append(write_parquet(f"{job.lake}/files", _ledger_rows(files, job.run), None, job.run, ("file_id", "path")))
    replaced = [i for file in files for i in file.replaced]
    return Batch(name, dict(adds), {table: replaced for table in ("events", "quarantine", "hits")} if replaced else {})


def _ledger_rows(files: list[FileResult], run: str) -> pl.DataFrame:
    def tail(records: tuple[TailRecord, ...]) -> list[dict[str, Any]]:
        return [{"offset": r.offset, "lines": r.lines, "bytes": r.bytes, "quarantined": r.quarantined} for r in records]

    return pl.DataFrame([{
        "file_id": f.piece.file_id, "path": f.piece.path, "identity": f.piece.identity, "stored_bytes": f.piece.size,
        "modified": f.piece.modified, "text_bytes": f.committed.text_bytes, "lines": f.committed.lines, "resume": f.committed.resume,
        "tail": tail(f.committed.tail), "tail_lines": f.committed.tail_lines, "fingerprint": f.committed.fingerprint, "run": run,
    } for f in files], schema=LEDGER_SCHEMA)  # type: ignore[arg-type]


def of_run(name: str, started: datetime, finished: datetime, files: list[FileResult], content: str) -> dict[str, Any]:
    """The figures of a run and of every source: in each row lines = events + joined + quarantined."""
    sources: dict[Source, Counter[str]] = defaultdict(Counter)
    for file in files:
        names = {parser: source for source in file.events for parser in source[1:]}
        for counter, key in ((file.events, "events"), (file.recognised, "recognised"), (file.quarantined, "quarantined"),
                             (file.record_lines, "lines")):
            for source, number in counter.items():
                sources[names.get(source[1], source)][key] += number
        main = names.get(file.source[1], file.source)
        sources[main]["lines"] += file.lines - file.record_lines.total()
        sources[main]["files"] += 1
    shown = ("files", "lines", "events", "quarantined", "recognised")
    rows: list[dict[str, Any]] = [
            {"dataset": dataset or "unknown", "parser": parser, **{k: n[k] for k in shown},
             "joined": n["lines"] - n["events"] - n["quarantined"], "unparsed": n["events"] - n["recognised"]}
            for (dataset, parser), n in sorted(sources.items())]
    total: dict[str, int] = {key: sum(row[key] for row in rows) for key in ("lines", "events", "joined", "quarantined")}
    if total["lines"] != sum(f.lines for f in files) or any(row["joined"] < 0 for row in rows):
        raise LakeError(f"the figures of the sources do not add up: {rows}")
    seconds = max((finished - started).total_seconds(), 1e-3)
    return {"run": {"id": name, "started": started.isoformat(), "finished": finished.isoformat(), "files": len(files), **total,
                    "lines_per_s": round(total["lines"] / seconds, 1), "content_version": content}, "sources": rows}


def run_batch(lake: Lake, name: str, started: datetime, numbers: dict[str, Any]) -> Batch:
    """The row of a run for the table `runs`."""
    time = pl.Datetime("us", "UTC")
    row = pl.DataFrame([(name, started, datetime.now(UTC), orjson.dumps(numbers, default=str).decode())], orient="row",
                       schema={"id": pl.String, "started": time, "finished": time, "figures": pl.String})
    add = write_parquet(worker_url(lake.path("runs")), row, None, name, TABLES["runs"].statistics)
    return Batch(f"{name}-run", {"runs": [add]}, {})


def quarantine(lake: Lake, run: str) -> list[dict[str, Any]]:
    """Why records of a run were quarantined: per file and reason how many, and the first of them."""
    rows = lake.read("quarantine").where(F.col("run") == run).withColumn("reason", F.concat_ws("; ", "reasons"))
    grouped = rows.groupBy("path", "reason").agg(
        F.min("offset").alias("offset"), F.count("*").alias("count"), F.min_by(F.substring("raw", 1, 300), "offset").alias("example"))
    return [row.asDict() for row in grouped.orderBy(F.desc("count"), "path").limit(100).collect()]
