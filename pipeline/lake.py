"""The lake: Delta tables, and commits that make all tables of a batch visible or, after a crash, repair them.

Workers write Parquet files themselves; the driver only commits them (`Lake.commit`). Delta is atomic per table, a batch touches four. So
the driver first writes what it is going to commit to `_commits/<batch>.json`, then commits table by table, each with the batch as
`txn` action, then removes the file. `Lake.recover`, at the start of every run, finishes what a crash left: tables that have the
`txn` already are skipped. Files of a batch that never got that far are not part of any table, and are removed.

A run that ended too early is known by its marker `_commits/<run>.running`, which `Lake.finish` removes when alerts and figures are written.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, unquote

import polars as pl
import pyarrow.fs as pafs
from py4j.protocol import Py4JError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from . import shapes
from .delta_files import EVENT_BOUNDS, HIT_BOUNDS, DataFile, write_parquet
from .errors import LakeError
from .kernel.files import filesystem
from .session import cause

COMMITS, RUNNING, NEW = "_commits", ".running", ".new"
FINISH = "make space if that is lacking, and run again: the commit is finished then"
Action = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """A table of the lake: its columns as Spark DDL, whether it is partitioned by date, the columns with statistics, its key."""

    ddl: str
    key: str
    statistics: tuple[str, ...]
    partitioned: bool = True


_LEDGER = ("file_id STRING, path STRING, identity STRING, stored_bytes BIGINT, modified TIMESTAMP, text_bytes BIGINT, lines BIGINT, "
           "resume BIGINT, tail ARRAY<STRUCT<offset: BIGINT, lines: BIGINT, bytes: BIGINT, quarantined: BOOLEAN>>, tail_lines BIGINT, "
           "fingerprint STRING, run STRING")

TABLES: dict[str, Table] = {
    "events": Table(f"{shapes.spark_ddl()}, `date` DATE", "event.id", EVENT_BOUNDS),
    "quarantine": Table("id STRING, path STRING, offset BIGINT, raw STRING, reasons ARRAY<STRING>, parser STRING, lines BIGINT, "
                        "run STRING, `date` DATE", "id", ("id", "path")),
    "hits": Table(f"rule_id STRING, {shapes.spark_ddl()}, `date` DATE", "event.id", HIT_BOUNDS),
    "alerts": Table("id STRING, `@timestamp` TIMESTAMP, rule_id STRING, severity STRING, run STRING, alert STRING, `date` DATE", "id",
                    ("id", "@timestamp")),
    # columns.PLACEMENT of pipeline/context; a file holds all of a bucket of VMs, `basis` is what it was made by (context/tables.py)
    "placement": Table("kind STRING, key STRING, valid_from BIGINT, valid_to BIGINT, vm STRING, host STRING, cluster STRING, "
                       "tenant STRING, segment STRING, zone STRING, role STRING, state STRING, source STRING, event STRING, "
                       "reason STRING, bucket STRING, basis STRING", "bucket", ("bucket", "valid_from"), partitioned=False),
    "files": Table(_LEDGER, "file_id", ("file_id", "path"), partitioned=False),
    "runs": Table("id STRING, started TIMESTAMP, finished TIMESTAMP, figures STRING", "id", ("id", "started"), partitioned=False)}


def worker_url(url: str) -> str:
    """The lake as pyarrow names it; Spark says s3a where pyarrow says s3."""
    return url.replace("s3a://", "s3://", 1)


@dataclass(frozen=True)
class Batch:
    """What one batch adds (Delta `add` actions per table) and takes away (keys per table). `id` makes a repeated commit a no-op."""

    id: str
    adds: dict[str, list[dict[str, Any]]]
    deletes: dict[str, list[str]]

    def days(self, table: str) -> set[date]:
        """The partitions that a table gets rows in."""
        return {date.fromisoformat(add["partitionValues"]["date"]) for add in self.adds.get(table, [])}

    def newest(self, table: str) -> datetime | None:
        """The newest @timestamp that a table gets."""
        times = [json.loads(add["stats"])["maxValues"].get("@timestamp") for add in self.adds.get(table, [])]
        return max((datetime.fromisoformat(time) + timedelta(milliseconds=1) for time in times if time), default=None)


class Lake:
    """The tables under one folder or URL."""

    def __init__(self, spark: SparkSession, url: str) -> None:
        self.spark = spark
        self.url = url.rstrip("/").replace("s3://", "s3a://", 1)
        self.committing = False  # a batch is decided on, but not yet in every table

    def path(self, table: str) -> str:
        """Where a table lies."""
        return f"{self.url}/{table}"

    def read(self, table: str) -> DataFrame:
        """A table. Raises LakeError where there is none."""
        try:
            return self.spark.read.format("delta").load(self.path(table))
        except PySparkException as error:
            hint = "`hypervigil run` makes the lake"
            raise LakeError(f"table {table} cannot be read: {cause(str(error))}", self.path(table), hint=hint) from error

    def is_new(self, table: str) -> bool:
        """Whether nothing was ever committed to a table: then there is nothing to ask Spark for."""
        return self._versions(table) == {f"{0:020d}.json"}

    def create(self) -> None:
        """Make missing tables, and add columns that the schema has gained since."""
        for name, table in TABLES.items():
            wanted = cast(StructType, StructType.fromDDL(table.ddl))
            if self._first_commit(name, table, wanted):
                continue
            if _leaves(wanted) - _leaves(self.read(name).schema):
                empty = self.spark.createDataFrame([], wanted)
                empty.write.format("delta").mode("append").option("mergeSchema", "true").save(self.path(name))

    def _first_commit(self, name: str, table: Table, wanted: StructType) -> bool:
        """Write version 0 of a table's log, unless there is one. Spark plans a job for each table it makes."""
        if self._versions(name):
            return False
        system, folder = filesystem(worker_url(f"{self.path(name)}/_delta_log"))
        columns = ",".join(".".join(f"`{part}`" for part in c.split(".")) for c in table.statistics)
        protocol = {"minReaderVersion": 1, "minWriterVersion": 2}
        metadata = {"id": str(uuid.uuid4()), "format": {"provider": "parquet", "options": {}}, "schemaString": wanted.json(),
                    "partitionColumns": ["date"] if table.partitioned else [], "createdTime": int(time.time() * 1000),
                    "configuration": {"delta.dataSkippingStatsColumns": columns}}
        # With the checksum of the version Delta need not start a Spark job to learn what the two actions say.
        checksum = {"tableSizeBytes": 0, "numFiles": 0, "numMetadata": 1, "numProtocol": 1, "setTransactions": [], "domainMetadata": [],
                    "metadata": metadata, "protocol": protocol, "allFiles": []}
        system.create_dir(folder, recursive=True)
        _write_whole(system, f"{folder}/{0:020d}.crc", json.dumps(checksum))
        _write_whole(system, f"{folder}/{0:020d}.json", "\n".join(map(json.dumps, ({"protocol": protocol}, {"metaData": metadata}))))
        return True

    def _versions(self, table: str) -> set[str]:
        """Names of the files of a table's log."""
        system, folder = filesystem(worker_url(f"{self.path(table)}/_delta_log"))
        found = system.get_file_info(pafs.FileSelector(folder, allow_not_found=True))
        return {file.base_name for file in found if file.extension in ("json", "parquet")}

    def begin(self, run: str) -> None:
        """Note that a run writes to the lake."""
        system, folder = self._commits()
        system.create_dir(folder, recursive=True)
        _write_whole(system, f"{folder}/{run}{RUNNING}", "")

    def finish(self) -> None:
        """Note that this run, and what earlier ones left to it, is complete."""
        system, folder = self._commits()
        for note in system.get_file_info(pafs.FileSelector(folder)):
            if note.path.endswith(RUNNING):
                system.delete_file(note.path)

    def commit(self, batch: Batch) -> None:
        """Make a batch visible in every table, exactly once, even if this process dies on the way and `recover` finishes it."""
        system, folder = self._commits()
        system.create_dir(folder, recursive=True)
        note = f"{folder}/{batch.id}.json"
        _write_whole(system, note, json.dumps({"id": batch.id, "adds": batch.adds, "deletes": batch.deletes}))
        self.committing = True
        self._apply(batch)
        self.committing = False
        system.delete_file(note)

    def recover(self) -> list[Batch]:
        """Finish the batches that an interrupted run left half committed and, in a local lake, remove files that it wrote for nothing
        (in another the run might still be alive). Returns what such runs have added to the tables: alerts of it may be missing.
        """
        system, folder = self._commits()
        notes = [note.path for note in system.get_file_info(pafs.FileSelector(folder, allow_not_found=True))]
        for note in notes:
            if note.endswith(".json"):
                with system.open_input_stream(note) as file:
                    self._apply(Batch(**json.loads(file.read())))
            if not note.endswith(RUNNING):
                system.delete_file(note)
        unfinished = []
        for run in (Path(note).name.removesuffix(RUNNING) for note in notes if note.endswith(RUNNING)):
            written = Batch(run, {table: self._written(table, run) for table in TABLES}, {})
            unfinished.append(written)
            if "://" not in self.url:
                self.discard({table: self._unused(table, run, written) for table in TABLES})
        return unfinished

    def discard(self, paths: Mapping[str, Iterable[str]]) -> None:
        """Remove files (paths within each table) that are part of no table."""
        for table, unused in paths.items():
            system, folder = filesystem(worker_url(self.path(table)))
            for path in unused:
                system.delete_file(f"{folder}/{path}")

    def _commits(self) -> tuple[pafs.FileSystem, str]:
        return filesystem(f"{worker_url(self.url)}/{COMMITS}")

    def files(self, table: str) -> list[DataFile]:
        """The Parquet files that a table consists of."""
        if self.is_new(table):
            return []
        return [DataFile(unquote(add["path"]), date.fromisoformat(add["partitionValues"]["date"]), json.loads(add["stats"])["numRecords"])
                for add in self._live(table)]

    def _written(self, table: str, run: str) -> list[Action]:
        """The files of a table that a run wrote, as `add` actions."""
        return [add for add in self._live(table) if f"{run}-" in add["path"]]

    def _live(self, table: str) -> list[Action]:
        """The files of a table, as `add` actions."""
        files = DataFrame(self._transaction(table).snapshot().allFiles().toDF(), self.spark)
        return [row.asDict() for row in files.select("path", "partitionValues", "stats").collect()]

    def _unused(self, table: str, run: str, written: Batch) -> list[str]:
        root, used = Path(self.path(table)), {unquote(add["path"]) for add in written.adds[table]}
        return [path for file in root.rglob(f"{run}-*.parquet") if (path := str(file.relative_to(root))) not in used]

    def _apply(self, batch: Batch) -> None:
        # The ledger comes last: only when everything else is there may a run believe that the bytes are done.
        for name in sorted(set(batch.adds) | set(batch.deletes), key=lambda n: n == "files"):
            if self.is_new(name) or not self._has(name, batch.id):
                rewritten = self._without(name, batch.deletes.get(name, []), batch.id)
                self._add(name, [*rewritten, *({"add": file} for file in batch.adds.get(name, []))], batch.id)

    def _without(self, table: str, keys: Sequence[str], run: str) -> list[Action]:
        """Actions that put files without some rows in the place of those that have them, in the same commit as what replaces the rows.

        Spark's own delete compiles a plan over all 200 columns for what is mostly one small file.
        """
        if not keys or self.is_new(table):
            return []
        actions: list[Action] = []
        key = TABLES[table].key.split(".")
        column = pl.col(key[0]).struct.field(key[1]) if len(key) > 1 else pl.col(key[0])
        system, folder = filesystem(worker_url(self.path(table)))
        found = self.read(table).where(F.col(TABLES[table].key).isin(*keys)).select("_metadata.file_path", "_metadata.file_size").distinct()
        for url, size in found.collect():
            path = unquote(url).rsplit(f"/{table}/", 1)[1]
            partitioned = "/" in path
            day = path.split("/")[0].removeprefix("date=") if partitioned else None
            with system.open_input_file(f"{folder}/{path}") as file:
                rows = pl.read_parquet(file.read(), hive_partitioning=False).filter(~column.is_in(list(keys)).fill_null(False))
            gone = {"path": quote(path, safe="/="), "deletionTimestamp": int(time.time() * 1000), "dataChange": True,
                    "size": size, "extendedFileMetadata": True, "partitionValues": {"date": day} if partitioned else {}}
            actions.append({"remove": gone})
            if rows.height:
                actions.append({"add": write_parquet(worker_url(self.path(table)), rows, day, run, TABLES[table].statistics)})
        return actions

    def _has(self, table: str, app: str) -> bool:
        return bool(self._transaction(table).txnVersion(app) >= 1)

    def _add(self, table: str, changes: list[Action], app: str) -> None:
        jvm: Any = self.spark._jvm
        actions = jvm.java.util.ArrayList()
        txn = {"txn": {"appId": app, "version": 1, "lastUpdated": int(time.time() * 1000)}}
        for action in [txn, *changes]:
            actions.add(jvm.org.apache.spark.sql.delta.actions.Action.fromJson(json.dumps(action)))
        operation = getattr(getattr(jvm.org.apache.spark.sql.delta, "DeltaOperations$ManualUpdate$"), "MODULE$")
        try:
            transaction = self._transaction(table)
            # A second committer of the same batch must conflict. That `txnVersion` reads what was committed costs seconds the first time.
            transaction.readWholeTable() if self.is_new(table) else transaction.txnVersion(app)
            transaction.commit(jvm.scala.jdk.javaapi.CollectionConverters.asScala(actions).toSeq(), operation)
        except (PySparkException, Py4JError) as error:
            raise LakeError(f"commit to table {table} failed: {cause(str(error))}", self.path(table), hint=FINISH) from error

    def _transaction(self, table: str) -> Any:
        jvm: Any = self.spark._jvm
        log = jvm.org.apache.spark.sql.delta.DeltaLog.forTable(self.spark._jsparkSession, self.path(table))
        return log.startTransaction(jvm.scala.Option.empty(), jvm.scala.Option.empty())


def _write_whole(system: pafs.FileSystem, path: str, text: str) -> None:
    """Write a file that is there whole or not at all."""
    with system.open_output_stream(path + NEW) as file:
        file.write(text.encode())
    system.move(path + NEW, path)


def _leaves(node: StructType, prefix: str = "") -> set[str]:
    """Dotted names of all leaf fields."""
    found: set[str] = set()
    for field in node.fields:
        name = f"{prefix}{field.name}"
        found |= _leaves(field.dataType, name + ".") if isinstance(field.dataType, StructType) else {name}
    return found
