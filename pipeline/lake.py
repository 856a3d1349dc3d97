"""The lake: Delta tables, their Spark session, and commits that make all tables of a batch visible or, after a crash, repair them.

Workers write Parquet files themselves; the driver only commits them (`Lake.commit`). Delta is atomic per table, a batch touches four. So
the driver first writes what it is going to commit to `_commits/<batch>.json`, then commits table by table, each with the batch as
`txn` action, then removes the file. `Lake.recover`, at the start of every run, finishes what a crash left: tables that have the
`txn` already are skipped. Files of a batch that never got that far are not part of any table.
"""

from __future__ import annotations

import json
import os
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, unquote

import polars as pl
import pyarrow.fs as pafs
from delta import DeltaTable, configure_spark_with_delta_pip
from py4j.protocol import Py4JError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from . import schema
from .config import Settings
from .delta_files import EVENT_BOUNDS, HIT_BOUNDS, write_parquet
from .errors import LakeError
from .kernel.files import filesystem

DELTA = "4.4.0"
IVY_JARS = Path.home() / ".ivy2.5.2" / "jars"
COMMITS = "_commits"
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
    "events": Table(f"{schema.spark_ddl()}, `date` DATE", "event.id", EVENT_BOUNDS),
    "quarantine": Table("id STRING, path STRING, offset BIGINT, raw STRING, reasons ARRAY<STRING>, parser STRING, lines BIGINT, "
                        "run STRING, `date` DATE", "id", ("id", "path")),
    "hits": Table(f"rule_id STRING, {schema.spark_ddl()}, `date` DATE", "event.id", HIT_BOUNDS),
    "alerts": Table("id STRING, `@timestamp` TIMESTAMP, rule_id STRING, severity STRING, run STRING, alert STRING, `date` DATE", "id",
                    ("id", "@timestamp")),
    "files": Table(_LEDGER, "file_id", ("file_id", "path"), partitioned=False),
    "runs": Table("id STRING, started TIMESTAMP, finished TIMESTAMP, figures STRING", "id", ("id", "started"), partitioned=False)}


QUIET = f"-Dlog4j2.configurationFile={(Path(__file__).parent / 'log4j2.properties').as_uri()}"


def session(settings: Settings | None = None, *, master: str | None = None, extra: Mapping[str, str] | None = None) -> SparkSession:
    """A Spark session with Delta. Workers run this interpreter, one Polars thread per task, and can import this package by its name.

    `master` and `extra` (Spark options) win over the settings. Raises LakeError when Spark does not start.
    """
    settings = settings or Settings()
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    package = str(Path(__file__).resolve().parent.parent)
    master = master or settings.spark_master
    # On a laptop the JVM does little but plan and commit: the second compiler mostly takes cores away from the workers.
    java = f"-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m {QUIET}"
    here = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.extraJavaOptions": java} if master.startswith("local") else {}
    options = {
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.session.timeZone": "UTC", "spark.driver.memory": settings.driver_memory,
        "spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false", "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.executorEnv.POLARS_MAX_THREADS": "1", "spark.executorEnv.PYTHONPATH": package,
        "spark.databricks.delta.snapshotPartitions": "2", "spark.sql.shuffle.partitions": str(2 * (os.cpu_count() or 2)),
    } | here | dict(extra or {})
    builder = SparkSession.builder.appName("hypervigil").master(master)
    for key, value in options.items():
        builder = builder.config(key, value)
    jars = sorted(IVY_JARS.glob(f"io.delta_*-{DELTA}.jar"))
    if any("delta-spark" in jar.name for jar in jars):  # Ivy takes half a minute to find out that it has everything
        builder = builder.config("spark.jars", ",".join(map(str, [*jars, *IVY_JARS.glob("io.unitycatalog_*.jar")])))
    else:
        builder = configure_spark_with_delta_pip(builder)
    try:
        return builder.getOrCreate()
    except (PySparkException, Py4JError, RuntimeError) as error:
        raise LakeError(f"Spark does not start: {error}", hint="Java 17 or newer is needed; the first start downloads Delta") from error


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


class Lake:
    """The tables under one folder or URL."""

    def __init__(self, spark: SparkSession, url: str) -> None:
        self.spark = spark
        self.url = url.rstrip("/").replace("s3://", "s3a://", 1)

    def path(self, table: str) -> str:
        """Where a table lies."""
        return f"{self.url}/{table}"

    def read(self, table: str) -> DataFrame:
        """A table. Raises LakeError where there is none."""
        try:
            return self.spark.read.format("delta").load(self.path(table))
        except PySparkException as error:
            raise LakeError(f"table {table} cannot be read: {error}", self.path(table), hint="`hypervigil run` makes the lake") from None

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
        system, folder = filesystem(worker_url(f"{self.path(name)}/_delta_log"))
        if system.get_file_info(folder).type != pafs.FileType.NotFound:
            return False
        columns = ",".join(".".join(f"`{part}`" for part in c.split(".")) for c in table.statistics)
        actions = [
            {"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}},
            {"metaData": {"id": str(uuid.uuid4()), "format": {"provider": "parquet", "options": {}}, "schemaString": wanted.json(),
                          "partitionColumns": ["date"] if table.partitioned else [], "createdTime": int(time.time() * 1000),
                          "configuration": {"delta.dataSkippingStatsColumns": columns}}}]
        system.create_dir(folder, recursive=True)
        with system.open_output_stream(f"{folder}/{0:020d}.json") as file:
            file.write("\n".join(map(json.dumps, actions)).encode())
        return True

    def append(self, table: str, rows: DataFrame, batch: str, version: int) -> None:
        """Append a DataFrame once: a version of `batch` that is in the table already is skipped by Delta."""
        rows.write.format("delta").mode("append").option("txnAppId", batch).option("txnVersion", version).save(self.path(table))

    def merge(self, table: str, rows: DataFrame) -> None:
        """Insert rows, or replace those with the same key."""
        key = TABLES[table].key
        target = DeltaTable.forPath(self.spark, self.path(table)).alias("t")
        target.merge(rows.alias("s"), f"t.{key} = s.{key}").whenMatchedUpdateAll().whenNotMatchedInsertAll().execute()

    def commit(self, batch: Batch) -> None:
        """Make a batch visible in every table, exactly once, even if this process dies on the way and `recover` finishes it."""
        system, folder = filesystem(f"{worker_url(self.url)}/{COMMITS}")
        system.create_dir(folder, recursive=True)
        note = f"{folder}/{batch.id}.json"
        with system.open_output_stream(note + ".new") as file:
            file.write(json.dumps({"id": batch.id, "adds": batch.adds, "deletes": batch.deletes}).encode())
        system.move(note + ".new", note)
        self._apply(batch)
        system.delete_file(note)

    def recover(self) -> list[str]:
        """Finish the batches that an interrupted run left half committed; returns their ids."""
        system, folder = filesystem(f"{worker_url(self.url)}/{COMMITS}")
        found = []
        for note in system.get_file_info(pafs.FileSelector(folder, allow_not_found=True)):
            if note.path.endswith(".json"):
                with system.open_input_stream(note.path) as file:
                    batch = Batch(**json.loads(file.read()))
                self._apply(batch)
                found.append(batch.id)
            system.delete_file(note.path)
        return found

    def _apply(self, batch: Batch) -> None:
        # The ledger comes last: only when everything else is there may a run believe that the bytes are done.
        for name in sorted(set(batch.adds) | set(batch.deletes), key=lambda n: n == "files"):
            if not self._has(name, batch.id):
                rewritten = self._without(name, batch.deletes.get(name, []), batch.id)
                self._add(name, [*rewritten, *({"add": file} for file in batch.adds.get(name, []))], batch.id)

    def _without(self, table: str, keys: Sequence[str], run: str) -> list[Action]:
        """Actions that put files without some rows in the place of those that have them, in the same commit as what replaces the rows.

        Spark's own delete compiles a plan over all 200 columns for what is mostly one small file.
        """
        if not keys:
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
            transaction.txnVersion(app)  # puts `app` into the read set, so that a second committer of the same batch conflicts
            transaction.commit(jvm.scala.jdk.javaapi.CollectionConverters.asScala(actions).toSeq(), operation)
        except (PySparkException, Py4JError) as error:
            raise LakeError(f"commit to table {table} failed: {error}", self.path(table), hint="run again: it is finished then") from error

    def _transaction(self, table: str) -> Any:
        jvm: Any = self.spark._jvm
        log = jvm.org.apache.spark.sql.delta.DeltaLog.forTable(self.spark._jsparkSession, self.path(table))
        return log.startTransaction(jvm.scala.Option.empty(), jvm.scala.Option.empty())


def _leaves(node: StructType, prefix: str = "") -> set[str]:
    """Dotted names of all leaf fields."""
    found: set[str] = set()
    for field in node.fields:
        name = f"{prefix}{field.name}"
        found |= _leaves(field.dataType, name + ".") if isinstance(field.dataType, StructType) else {name}
    return found
