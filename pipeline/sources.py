"""Files into Spark with the kernel inside: cut into pieces, and as the Python Data Source `hypervigil`.

    spark.dataSource.register(HypervigilSource)
    spark.read.format("hypervigil").load("/var/log/hosts")

A piece is a byte range of one file; a task reads one piece of a big file or many small files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import polars as pl
import pyarrow as pa
from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition

from . import shapes
from .finding import describe, find
from .kernel import detector, files
from .kernel.engine import Batch, Engine, default_engine
from .kernel.files import FileInfo, OpenFile
from .kernel.normalise import to_arrow


@dataclass(frozen=True)
class TailRecord:
    """A record that may still grow when its file does."""

    offset: int
    lines: int
    bytes: int
    quarantined: bool


@dataclass(frozen=True)
class Committed:
    """What the lake has of a file: text bytes and lines; records from `resume` on may have grown since and are read again.

    `tail` are those records, `tail_lines` the lines of them and of the blank lines there; `fingerprint` is of the bytes before the end.
    """

    text_bytes: int
    lines: int
    resume: int
    tail: tuple[TailRecord, ...]
    tail_lines: int
    fingerprint: str


@dataclass(frozen=True)
class Piece:
    """Bytes [start, end) of the text of a file as it was when discovered (`size` bytes stored). `end` None: to the end."""

    path: str
    size: int
    file_id: str
    start: int
    end: int | None
    parser: str | None
    identity: str = ""
    modified: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    committed: Committed | None = None

    @property
    def bytes(self) -> int:
        """Stored bytes to read, by which work is divided."""
        return max(0, (self.size if self.end is None else min(self.end, self.size)) - self.start)


def new_piece(info: FileInfo, parser: str | None = None, modified: datetime | None = None) -> Piece:
    """The whole of a file that the lake knows nothing of."""
    end = info.size if info.splittable else None
    return Piece(info.path, info.size, info.identity, 0, end, parser, info.identity, modified or info.reference)


def cut(piece: Piece, info: FileInfo, engine: Engine, range_bytes: int) -> list[Piece]:
    """A piece as byte ranges, where the file can be read in ranges."""
    end = piece.size if piece.end is None else piece.end
    if end - piece.start <= range_bytes or not info.splittable:
        return [piece]
    if engine.is_document(info, piece.parser or detector.parser_of_file(info.head, engine.parsers)):
        return [piece]
    return [replace(piece, start=at, end=min(at + range_bytes, end)) for at in range(piece.start, end, range_bytes)]


def pack(pieces: Iterable[Piece], range_bytes: int) -> list[list[Piece]]:
    """Pieces as tasks: neighbours share one up to `range_bytes`."""
    tasks: list[list[Piece]] = []
    room = 0
    for piece in pieces:
        if not tasks or piece.bytes > room:
            tasks.append([])
            room = range_bytes
        tasks[-1].append(piece)
        room -= piece.bytes
    return tasks


def batches(pieces: Iterable[Piece], most: int) -> Iterator[list[Piece]]:
    """Pieces of whole files as batches, up to `most` bytes together: what is read between two commits."""
    batch: list[Piece] = []
    for piece in pieces:
        if batch and sum(p.bytes for p in batch) + piece.bytes > most:
            yield batch
            batch = []
        batch.append(piece)
    if batch:
        yield batch


def open_piece(piece: Piece) -> tuple[FileInfo, OpenFile]:
    """The file of a piece as it was when discovered: bytes written to it since are left for the next run."""
    info = replace(files.describe(piece.path), size=piece.size)
    text = files.open_text(info)
    return info, replace(text, size=min(text.size, piece.size)) if info.splittable else text


def read(piece: Piece, engine: Engine, opened: tuple[FileInfo, OpenFile] | None = None) -> Iterator[Batch]:
    """Batches of the records that start in a piece, with the ids of the file that the ledger knows it as."""
    info, text = opened or open_piece(piece)
    own = info.identity != piece.file_id
    for batch in engine.process_text(info, text, piece.start, piece.end, piece.parser):
        yield _renamed(batch, piece.file_id) if own else batch


def _renamed(batch: Batch, file_id: str) -> Batch:
    """Another file has the same first line: the ids are made of this file's own identity."""
    events = batch.events if batch.events.is_empty() else batch.events.with_columns(_id(file_id, "log.offset").alias("event.id"))
    return Batch(events, batch.quarantine.with_columns(_id(file_id, "offset").alias("id")), batch.lines)


def _id(file_id: str, offset: str) -> pl.Expr:
    return pl.concat_str(pl.lit(file_id + "-"), pl.col(offset).cast(pl.String))


@dataclass
class Pieces(InputPartition):
    """A partition of the data source."""

    pieces: list[Piece]

    def __post_init__(self) -> None:
        super().__init__(0)


class HypervigilSource(DataSource):
    """`spark.read.format("hypervigil").load(folder)`: the events of log files, not written anywhere.

    Options: `parser` (an id; default: by content), `rangeBytes` (default 64 MiB).
    """

    @classmethod
    def name(cls) -> str:
        """What `format()` takes."""
        return "hypervigil"

    def schema(self) -> str:
        """The columns of the table `events`, without its date."""
        return shapes.spark_ddl()

    def reader(self, schema: object) -> DataSourceReader:
        """A reader of the path and options given; columns are always all."""
        return HypervigilReader(self.options["path"], self.options.get("parser"), int(self.options.get("rangeBytes", 64 << 20)))


class HypervigilReader(DataSourceReader):
    """Partitions are tasks of pieces; rows are Arrow batches of exactly the schema."""

    def __init__(self, path: str, parser: str | None, range_bytes: int) -> None:
        self.path, self.parser, self.range_bytes = path, parser, range_bytes

    def partitions(self) -> list[InputPartition]:
        """Tasks over every log under the path. Raises InputError where the path cannot be opened."""
        found, _ = find([self.path])
        infos, _ = describe(found)
        engine = default_engine()
        pieces = [part for info in infos for part in cut(new_piece(info, self.parser), info, engine, self.range_bytes)]
        return [Pieces(task) for task in pack(pieces, self.range_bytes)]

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        """The events of a task. Raises InputError where a file cannot be read (nothing is written, so nothing is kept back)."""
        assert isinstance(partition, Pieces)
        engine = default_engine()
        for piece in partition.pieces:
            for batch in read(piece, engine):
                if batch.events.height:
                    yield from to_arrow(batch.events).to_batches()
