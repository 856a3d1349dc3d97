"""Frames of Polars on their way through Spark: from the files of a table, and from task to task. Java moves bytes and takes no row apart.

Workers wrote the Parquet files of a table themselves, so they read them, too: flat, only the columns that are asked for. A row of a shuffle
is a block: a small Parquet file with the rows of one frame that go to one part. Whoever gets a part gets all its blocks. Rows that go
through Java cost several times what Polars does with them (a scan of 900,000 moves of 27 columns: 10.6 s of CPU in Java, 1.7 s here).
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

import polars as pl
import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import DataFrame, SparkSession

from . import flat
from .lake import worker_url

Columns = Mapping[str, Any]  # name -> Polars type
Frames = Mapping[str, pl.DataFrame]
Named = tuple[str, pl.DataFrame]  # with the column PART
PART = "@part"  # where a row goes
CHUNK = 200_000  # rows of small files that a task works upon at once
TASKS = 8  # for each core: few enough for large blocks, enough to spread
_DDL = "part BIGINT, name STRING, block BINARY"
_SCHEMA = pa.schema([("part", pa.int64()), ("name", pa.string()), ("block", pa.binary())])


def read(table: DataFrame, columns: Columns, keep: pl.Expr, work: Callable[[pl.DataFrame, int], Iterable[Named]]) -> DataFrame:
    """The files of a table (of the days that are asked for) to blocks. `columns` are fields in ECS: text or Int64, times in microseconds,
    the values of a list in one text, null where a file has no such column; `keep`: which rows. `work` gets some of them, and a negative
    number that no others have.
    """
    files = [worker_url(unquote(url)).removeprefix("file:") for url in table.inputFiles()]
    spark = table.sparkSession

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        context = TaskContext.get()
        assert context is not None
        mine = (files[number] for batch in batches for number in batch.column("id").to_pylist())
        for number, rows in enumerate(_chunks(_flat(file, columns).filter(keep) for file in mine)):
            yield from _packed(work(rows, -1 - number - (context.partitionId() << 32)))

    return spark.range(0, len(files), 1, _tasks(len(files), spark)).mapInArrow(run, _DDL)


def changed(blocks: DataFrame, work: Callable[[pl.DataFrame], Iterable[Named]]) -> DataFrame:
    """Each block by itself, where it is."""
    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for block in batch.column("block"):
                yield from _packed(work(_frame([block])))

    return blocks.mapInArrow(run, _DDL)


def met(blocks: DataFrame, parts: int, names: Iterable[str], work: Callable[[Frames], Iterable[Named]]) -> DataFrame:
    """One shuffle: the frames with these names (absent: no rows) of each part come together, part by part. Blocks with other names pass
    through. `parts`: how many there are.
    """
    wanted = frozenset(names)

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        held: defaultdict[int, defaultdict[str, list[pa.Scalar]]] = defaultdict(lambda: defaultdict(list))
        for batch in batches:
            here = pa.array([name in wanted for name in batch.column("name").to_pylist()], pa.bool_())
            if passing := batch.filter(pa.compute.invert(here)):
                yield passing
            for part, name, block in zip(*batch.filter(here).columns, strict=True):
                held[part.as_py()][name.as_py()].append(block)
        while held:
            _, frames = held.popitem()
            yield from _packed(work({name: _frame(found) for name, found in frames.items()}))

    return blocks.repartition(_tasks(parts, blocks.sparkSession), "part").mapInArrow(run, _DDL)


def made(frames: Iterable[Named], spark: SparkSession) -> DataFrame:
    """Frames of the driver as blocks."""
    return spark.createDataFrame(pa.Table.from_batches(_packed(frames), _SCHEMA), _DDL)


def gathered(blocks: DataFrame, columns: Mapping[str, Any]) -> pl.DataFrame:
    """All rows on the driver."""
    found = blocks.select("block").toArrow().column("block")
    return _frame(found).select(columns.keys()) if len(found) else pl.DataFrame(schema=dict(columns))


def collected(rows: DataFrame) -> pl.DataFrame:
    """Rows of Spark on the driver."""
    frame = pl.from_arrow(rows.toArrow())
    assert isinstance(frame, pl.DataFrame)
    return frame


def at_once(rows: pl.DataFrame) -> pl.DataFrame:
    """All rows in one part: for what is gathered, or not spread again."""
    return rows.with_columns(pl.lit(0, pl.Int64).alias(PART))


def parted(rows: pl.DataFrame, key: str, parts: int) -> pl.DataFrame:
    """With the part for each key: rows with the same go together. Within a version of Polars the hash is the same everywhere."""
    return rows.with_columns((pl.col(key).hash() % parts).cast(pl.Int64).alias(PART))


def _tasks(most: int, spark: SparkSession) -> int:
    return max(1, min(most, TASKS * spark.sparkContext.defaultParallelism))


def _chunks(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    held: list[pl.DataFrame] = []
    for frame in frames:
        held.append(frame)
        if sum(each.height for each in held) >= CHUNK:
            yield pl.concat(held)
            held = []
    if held:
        yield pl.concat(held)


def _flat(file: str, columns: Columns) -> pl.DataFrame:
    rows, schema = flat.scan(file)
    return rows.select(_leaf(schema, name).cast(dtype).alias(name) for name, dtype in columns.items()).collect()


def _leaf(schema: Mapping[str, Any], name: str) -> pl.Expr:
    """A field as blocks have it."""
    column, dtype = flat.leaf(schema, name) or (pl.lit(None), None)
    if isinstance(dtype, pl.List):
        return pl.when(column.list.len() > 0).then(column.list.join(", "))
    return column.dt.epoch("us") if isinstance(dtype, pl.Datetime) else column


def _packed(frames: Iterable[Named]) -> Iterator[pa.RecordBatch]:
    """A row for each part of each frame."""
    for name, frame in frames:
        parts = {part: _block(rows) for (part,), rows in frame.partition_by(PART, as_dict=True, include_key=False).items()}
        if parts:
            yield pa.record_batch([[*parts], [name] * len(parts), [*parts.values()]], schema=_SCHEMA)


def _block(rows: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    rows.write_parquet(buffer, compression="lz4", statistics=False)
    return buffer.getvalue()


def _frame(blocks: Iterable[pa.Scalar]) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(io.BytesIO(block.as_buffer())) for block in blocks], rechunk=True)
