"""Quarantined records through the kernel again: what passes becomes events under the same ids and leaves quarantine in one commit."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import polars as pl
from pyspark.sql import functions as F

from .errors import InputError
from .ingest import Job, Writer
from .kernel import files
from .kernel.engine import UNKNOWN, Batch
from .kernel.files import FileInfo
from .lake import Batch as Commit
from .lake import Lake

DAMAGE = "damaged "  # a note about the end of a file, not a record


def replay(lake: Lake, job: Job) -> tuple[Commit, dict[str, int]]:
    """Parse all of quarantine; returns what to commit, and how many records were replayed, became events, and stay."""
    rows = lake.read("quarantine").where(~F.element_at("reasons", 1).startswith(DAMAGE))
    table = pl.DataFrame(pl.from_arrow(rows.select("id", "path", "offset", "raw", "parser", "lines").toArrow()))
    writer, passed = Writer(job), []
    owner = pl.col("id").str.replace(r"-\d+$", "").alias("file_id")
    for (file_id, path, parser), part in table.with_columns(owner).partition_by("file_id", "path", "parser", as_dict=True).items():
        records = part.sort("offset").select("raw", "offset", ~pl.col("raw").str.contains("\ufffd", literal=True).alias("valid"),
                                             pl.col("lines").cast(pl.UInt32))
        info = replace(_info(path, records), identity=file_id)
        batch = job.engine.process_records(records, int(part["lines"].sum()), info, None if parser in (None, UNKNOWN.id) else parser)
        writer.add(Batch(batch.events, batch.quarantine.clear(), batch.lines))
        passed += [] if batch.events.is_empty() else batch.events["event.id"].to_list()
    numbers = {"replayed": table.height, "events": len(passed), "quarantined": table.height - len(passed)}
    return Commit(f"{job.run}-replay", writer.close(), {"quarantine": passed} if passed else {}), numbers


def _info(path: str, records: pl.DataFrame) -> FileInfo:
    """The file as it is; where it is gone, what its quarantined records tell."""
    try:
        return files.describe(path)
    except InputError:
        text = records["raw"][0].encode()
        return files.inspect(path, text, len(text), datetime.now(UTC))
