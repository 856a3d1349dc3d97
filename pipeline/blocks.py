"""Frames of Polars on their way from task to task of Spark, in blocks: Spark moves bytes and takes no row apart.

A row of a shuffle is a block: a small Parquet file with the rows of one frame that go to one part. Whoever gets a part gets all its blocks.
Where rows themselves go through Java, each costs ten times what Polars does with it (2 cores, 900,000 moves of 22 columns folded to where
machines were: 110 s of CPU by rows, 25 s by blocks).
Names of columns are those of ECS; on their way out of a table of Spark they have colons in place of dots.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import polars as pl
import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import DataFrame, SparkSession

Frames = Mapping[str, pl.DataFrame]
Named = tuple[str, pl.DataFrame]  # with the column PART
PART = "@part"  # where a row goes
CHUNK = 200_000  # rows of a table that a task hands to Polars at once
_DDL = "part BIGINT, name STRING, block BINARY"
_SCHEMA = pa.schema([("part", pa.int64()), ("name", pa.string()), ("block", pa.binary())])


def read(rows: DataFrame, work: Callable[[pl.DataFrame, int], Iterable[Named]]) -> DataFrame:
    """Rows of Spark, CHUNK by CHUNK, to blocks. `work` gets the chunk and a negative number that no other chunk has."""
    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        context = TaskContext.get()
        assert context is not None
        for number, frame in enumerate(_chunks(batches)):
            yield from _packed(work(frame, -1 - number - (context.partitionId() << 32)))

    return rows.mapInArrow(run, _DDL)


def changed(blocks: DataFrame, work: Callable[[pl.DataFrame], Iterable[Named]]) -> DataFrame:
    """Each block by itself, where it is."""
    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for block in batch.column("block"):
                yield from _packed(work(_frame([block])))

    return blocks.mapInArrow(run, _DDL)


def met(blocks: DataFrame, parts: int, names: Iterable[str], work: Callable[[Frames], Iterable[Named]]) -> DataFrame:
    """One shuffle: the frames with these names (absent: no rows) of each part come together, part by part; `parts` is how many tasks do it.
    Blocks with other names pass through.
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

    return blocks.repartition(parts, "part").mapInArrow(run, _DDL)


def made(frames: Iterable[Named], spark: SparkSession) -> DataFrame:
    """Frames of the driver as blocks."""
    return spark.createDataFrame(pa.Table.from_batches(_packed(frames), _SCHEMA), _DDL)


def gathered(blocks: DataFrame, columns: Mapping[str, Any]) -> pl.DataFrame:
    """All rows on the driver."""
    found = blocks.select("block").toArrow().column("block")
    return _frame(found).select(columns.keys()) if len(found) else pl.DataFrame(schema=dict(columns))


def collected(rows: DataFrame) -> pl.DataFrame:
    """Rows of a table on the driver."""
    return _of_table(rows.toArrow())


def parted(rows: pl.DataFrame, key: str, parts: int) -> pl.DataFrame:
    """With the part for each key: rows with the same go together. Within a version of Polars the hash is the same everywhere."""
    return rows.with_columns((pl.col(key).hash() % parts).cast(pl.Int64).alias(PART))


def there(name: str) -> str:
    """A column's name in Spark, where mapInArrow takes a dot for a struct."""
    return name.replace(".", ":")


def _chunks(batches: Iterable[pa.RecordBatch]) -> Iterator[pl.DataFrame]:
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(each.num_rows for each in held) >= CHUNK:
            yield _of_table(pa.Table.from_batches(held))
            held = []
    if held:
        yield _of_table(pa.Table.from_batches(held))


def _of_table(table: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame.rename(lambda name: name.replace(":", "."))


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
