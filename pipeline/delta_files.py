"""Parquet files of Delta tables, written outside Spark, and the `add` actions that make them part of a table."""

from __future__ import annotations

import io
import json
import time
import uuid
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import polars as pl

from .kernel import files

LONGEST_STATISTIC = 200
PAGE_BYTES = 8 * 1024 * 1024  # few pages: each costs, in each of some hundred columns
EVENT_BOUNDS = ("@timestamp", "event.id", "event.dataset", "host.name")
HIT_BOUNDS = ("rule_id", *EVENT_BOUNDS)
Add = dict[str, Any]


@dataclass(frozen=True)
class DataFile:
    """A file of a table that is partitioned by day: its path within the table, and how many rows it holds."""

    path: str
    day: date
    rows: int


def write_parquet(folder: str, rows: pl.DataFrame, day: str | None, run: str, bounds: tuple[str, ...]) -> Add:
    """Write rows as one Parquet file of a Delta table; returns its `add` action, with statistics of the columns `bounds`."""
    system, inner = files.filesystem(folder)
    where = f"date={day}/" if day else ""
    path = f"{where}{run}-{uuid.uuid4().hex}.parquet"
    system.create_dir(f"{inner}/{where}".rstrip("/"), recursive=True)
    buffer = io.BytesIO()
    # Delta skips files by the statistics of its log; those of 200 mostly empty columns in every file would cost a quarter of the writing.
    rows.write_parquet(buffer, compression="zstd", compression_level=1, statistics=False, data_page_size=PAGE_BYTES)
    with system.open_output_stream(f"{inner}/{path}") as file:
        file.write(buffer.getbuffer())
    return {"path": path, "partitionValues": {"date": day} if day else {}, "size": buffer.tell(), "dataChange": True,
            "modificationTime": int(time.time() * 1000), "stats": json.dumps(_statistics(rows, bounds))}


def _statistics(rows: pl.DataFrame, bounds: tuple[str, ...]) -> dict[str, Any]:
    least: dict[str, Any] = {}
    most: dict[str, Any] = {}
    for name in bounds:
        first, *rest = name.split(".")
        column = pl.col(first)
        for part in rest:
            column = column.struct.field(part)
        low, high = rows.select(column.min().alias("low"), column.max().alias("high")).row(0)
        if low is None or max(len(str(low)), len(str(high))) > LONGEST_STATISTIC:
            continue
        if isinstance(low, datetime):  # Delta keeps milliseconds and knows that a maximum may be up to one below the real one
            low, high = (t.strftime("%Y-%m-%dT%H:%M:%S.") + f"{t.microsecond // 1000:03d}Z" for t in (low, high))
        for tree, value in ((least, low), (most, high)):
            node = tree
            for part in name.split(".")[:-1]:
                node = node.setdefault(part, {})
            node[name.split(".")[-1]] = value
    return {"numRecords": rows.height, "minValues": least, "maxValues": most}
