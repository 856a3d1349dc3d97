"""The Spark session: how it starts, quietly, and what its failures and those of disks mean in one line."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, suppress
from errno import ENOSPC
from io import StringIO
from pathlib import Path
from pickle import PicklingError
from subprocess import TimeoutExpired
from typing import IO, TypeVar

from delta import configure_spark_with_delta_pip
from py4j.protocol import Py4JError  # type: ignore[import-untyped]
from pyspark import Broadcast, SparkConf, SparkContext
from pyspark.errors import PySparkException
from pyspark.java_gateway import launch_gateway
from pyspark.sql import SparkSession

from .config import Settings
from .errors import FULL, LakeError

T = TypeVar("T")
DELTA = "4.4.0"
IVY_JARS = Path.home() / ".ivy2.5.2" / "jars"
QUIET = f"-Dlog4j2.configurationFile={(Path(__file__).parent / 'log4j2.properties').as_uri()}"
# On a laptop the JVM does little but plan and commit: the second compiler mostly takes cores away from the workers.
LAPTOP = f"-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m {QUIET}"
ARCHIVE = Path(sys.prefix) / "hypervigil-classes.jsa"  # of Java classes, see classes.py
MAKE_SPACE = "make space and run again: nothing is half written, nothing is read twice"
SEE_LOG = "--spark-log FILE keeps what Spark says about it"
_OURS = re.compile(r"errors\.\w+Error: (.+)")
_CAUSE = re.compile(r"^(?:Caused by: )?[\w.$]*?(\w+(?:Error|Exception|Interrupt)\b(?:: .+)?)$", re.MULTILINE)


def session(settings: Settings | None = None, *, master: str | None = None, extra: Mapping[str, str] | None = None) -> SparkSession:
    """A Spark session with Delta. Workers run this interpreter, one Polars thread per task, and can import this package by its name.

    `master` and `extra` (Spark options) win over the settings. Raises LakeError when Spark does not start.
    """
    settings = settings or Settings()
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    package = str(Path(__file__).resolve().parent.parent)
    master = master or settings.spark_master
    jars = delta_jars()
    here = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1", "spark.driver.extraClassPath": ":".join(jars),
            "spark.driver.extraJavaOptions": f"{LAPTOP} {_archived()}"} if master.startswith("local") else {}
    options = {
        "spark.app.name": "hypervigil", "spark.master": master,
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.session.timeZone": "UTC", "spark.driver.memory": settings.driver_memory,
        "spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false", "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.executorEnv.POLARS_MAX_THREADS": "1", "spark.executorEnv.PYTHONPATH": package,
        # What differs in their environment gets Python workers of its own: let queries use those that read the files.
        "spark.sql.execution.pyspark.udf.simplifiedTraceback.enabled": "false",
        # With a limit of bytes Spark adds up the sizes of all columns after each row that it hands to Python; rows are limited anyway.
        "spark.sql.execution.arrow.maxBytesPerBatch": str(2**31 - 1),
        # A checksum beside each commit makes Delta read the whole table's log with a Spark job, which costs more than it saves.
        "spark.databricks.delta.snapshotPartitions": "2", "spark.databricks.delta.writeChecksumFile.enabled": "false",
        "spark.sql.shuffle.partitions": str(2 * (os.cpu_count() or 2)),
    } | here | dict(extra or {})
    if jars and not here:  # Ivy takes half a minute to find out that it has everything
        options["spark.jars"] = ",".join(jars)
    builder = SparkSession.builder
    for key, value in options.items():
        builder = builder.config(key, value)
    builder = builder if jars else configure_spark_with_delta_pip(builder)
    return _start(builder, settings.spark_log)


def delta_jars() -> list[str]:
    """The jars of Delta that an earlier start has downloaded; none when one is missing."""
    jars = sorted(str(jar) for jar in IVY_JARS.glob(f"io.delta_*-{DELTA}.jar"))
    return [*jars, *map(str, sorted(IVY_JARS.glob("io.unitycatalog_*.jar")))] if any("delta-spark" in jar for jar in jars) else []


def _archived() -> str:
    """Options of Java for the archive of classes, if there is one. Java would tell standard output what is wrong with it."""
    return f"-XX:SharedArchiveFile={ARCHIVE} -Xlog:disable" if ARCHIVE.exists() else ""


def _start(builder: SparkSession.Builder, log: str | None) -> SparkSession:
    """Start Java with its standard error in a file: what goes wrong reaches us as exceptions, and its stack traces help no user."""
    with open(log, "ab") if log else tempfile.TemporaryFile() as said:
        try:
            if SparkContext._gateway is None:
                conf = SparkConf(loadDefaults=False).setAll(list(builder._options.items()))
                gateway = launch_gateway(conf, {"stderr": said})  # type: ignore[no-untyped-call]
                SparkContext._ensure_initialized(gateway=gateway, conf=conf)
            return builder.getOrCreate()
        except (PySparkException, Py4JError, RuntimeError, OSError) as error:
            hint = f"Java 17 or newer is needed; the first start downloads Delta; {SEE_LOG}"
            raise LakeError(f"Spark does not start: {cause(_text(said) or str(error))}", hint=hint) from error


def _text(said: IO[bytes]) -> str:
    if not said.readable():
        return ""
    said.seek(0)
    return said.read().decode("utf-8", "replace")


def kill(patience: float) -> bool:
    """End the Java machine and with it all workers, whatever they do; it gets some seconds to clean up its temporary files.
    Returns whether there was one.
    """
    if SparkContext._gateway is None:
        return False
    if accumulators := getattr(SparkContext._active_spark_context, "_accumulatorServer", None):
        accumulators.handle_error = lambda *_: None  # would print a stack trace for the connection that it loses
    java = SparkContext._gateway.proc
    java.stdin.close()  # it ends when this pipe does
    try:
        java.wait(patience)
    except TimeoutExpired:
        java.kill()
    return True


def stop(spark: SparkSession) -> None:
    """Stop a session; one whose Java machine is gone already is no error."""
    with suppress(Py4JError, OSError), warnings.catch_warnings(action="ignore"):
        spark.stop()


def broadcast(spark: SparkSession, value: T) -> Broadcast[T]:
    """A value for all workers. Raises OSError where the disk is full: Spark prints a trace then, and calls it an error of pickling."""
    try:
        with redirect_stderr(StringIO()):
            return spark.sparkContext.broadcast(value)
    except PicklingError as error:
        if FULL in str(error):
            raise OSError(ENOSPC, FULL) from error
        raise


@contextmanager
def clear_errors(where: str) -> Iterator[None]:
    """What a disk, Spark or Java refuses becomes a LakeError of one line; mistakes of our own code in the driver stay what they are."""
    try:
        yield
    except (OSError, PySparkException, Py4JError) as error:
        said = cause(str(error))
        raise LakeError(said, where, hint=MAKE_SPACE if FULL in said else None if isinstance(error, OSError) else SEE_LOG) from error


def cause(text: str) -> str:
    """What a stack trace of Java or Python, or both in one, comes down to: one line."""
    if FULL in text:
        return FULL
    if ours := _OURS.search(text):
        return ours[1]
    causes = _CAUSE.findall(text)
    return causes[-1] if causes else next((line.strip() for line in text.splitlines() if line.strip()), "no reason given")
