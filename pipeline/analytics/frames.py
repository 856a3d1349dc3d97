"""Rows of Spark worked upon by Polars. Columns have their names in ECS there, and colons in place of dots here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from .job import EPOCH, MICROSECOND, Columns

Work = Callable[[pl.DataFrame], pl.DataFrame]
CHUNK = 200_000  # rows that a task hands to Polars at once where it need not hold whole groups
ROWS_OF_TASK = 200_000  # where it must
_DDL = {pl.String: "STRING", pl.Int64: "BIGINT", pl.Float64: "DOUBLE", pl.Boolean: "BOOLEAN", pl.List(pl.String): "ARRAY<STRING>",
        pl.List(pl.Int64): "ARRAY<BIGINT>", pl.List(pl.Float64): "ARRAY<DOUBLE>"}
_ARROW = {pl.String: pa.string(), pl.Int64: pa.int64(), pl.Float64: pa.float64(), pl.Boolean: pa.bool_(),
          pl.List(pl.String): pa.list_(pa.string()), pl.List(pl.Int64): pa.list_(pa.int64()), pl.List(pl.Float64): pa.list_(pa.float64())}
_POLARS = {ddl.lower(): dtype for dtype, ddl in _DDL.items()}


def mapped(rows: DataFrame, work: Work, columns: Columns, whole: bool = False) -> DataFrame:
    """Rows worked upon, CHUNK by CHUNK, or `whole` partitions at once; `columns` is what `work` gives."""
    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for held in _chunks(batches, None if whole else CHUNK):
            frame = pl.from_arrow(pa.Table.from_batches(held))
            assert isinstance(frame, pl.DataFrame)
            yield from _arrow(work(frame.rename(_here)), columns).to_batches()

    return rows.mapInArrow(run, _ddl(columns))


def collected(rows: DataFrame, columns: Columns) -> pl.DataFrame:
    """Rows on the driver."""
    found = pl.from_arrow(rows.toArrow())
    assert isinstance(found, pl.DataFrame)
    return found.rename(_here).cast(dict(columns))  # type: ignore[arg-type]


def made_of(frame: pl.DataFrame, columns: Columns, spark: SparkSession) -> DataFrame:
    """A frame of the driver as rows of Spark."""
    return spark.createDataFrame(_arrow(frame, columns), _ddl(columns))


def columns_of(rows: DataFrame) -> Columns:
    """The columns of rows as Polars has them."""
    return {_here(name): _POLARS[dtype] for name, dtype in rows.dtypes}


def there(name: str) -> str:
    """A column's name in Spark, where mapInArrow takes a dot for a struct."""
    return name.replace(".", ":")


def micros_of(day: date) -> int:
    """When a day begins."""
    return (datetime(day.year, day.month, day.day, tzinfo=UTC) - EPOCH) // MICROSECOND


@contextmanager
def cut(spark: SparkSession, rows: int) -> Iterator[None]:
    """Shuffles of some rows into so many partitions that whole groups of a task fit into memory. Spark's own joining of partitions goes by
    bytes, and leaves cached rows alone.
    """
    option = "spark.sql.shuffle.partitions"
    before = spark.conf.get(option)
    assert before
    spark.conf.set(option, str(max(int(before), rows // ROWS_OF_TASK)))
    try:
        yield
    finally:
        spark.conf.set(option, before)


def _chunks(batches: Iterable[pa.RecordBatch], size: int | None) -> Iterator[list[pa.RecordBatch]]:
    held: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        held.append(batch)
        rows += batch.num_rows
        if size and rows >= size:
            yield held
            held, rows = [], 0
    if held:
        yield held


def _arrow(frame: pl.DataFrame, columns: Columns) -> Any:
    """An Arrow table as Spark takes it: plain strings and lists."""
    table = frame.select(columns.keys()).to_arrow(compat_level=pl.CompatLevel.oldest())
    return table.cast(pa.schema([(name, _ARROW[dtype]) for name, dtype in columns.items()])).rename_columns(list(map(there, columns)))


def _ddl(columns: Columns) -> str:
    return ", ".join(f"`{there(name)}` {_DDL[dtype]}" for name, dtype in columns.items())


def _here(name: str) -> str:
    return name.replace(":", ".")
