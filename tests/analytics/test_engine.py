"""Jobs on Spark find what they find in memory, with shuffles by key and no join of rows with one another."""

from __future__ import annotations

import random
import tempfile
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from pipeline.analytics.documents import Ready
from pipeline.analytics.job import EPOCH, MICROSECOND
from pipeline.analytics.passes import as_signals
from pipeline.analytics.passes import findings as in_memory
from pipeline.context.columns import PLACEMENT
from pipeline.context.lookup import as_of
from pipeline.context.names import canonical
from pipeline.shapes import spark_ddl
from pipeline.sigma.documents import Document
from pipeline.sigma.jobs import JobRule
from pipeline.sigma.metadata import Custom
from tests.analytics import tiny

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from pipeline.analytics.signals import Setting

pytestmark = pytest.mark.spark
START = datetime(2026, 3, 1, 22, tzinfo=UTC)
HORIZON = START + timedelta(days=2)


def ready(id_: str = "j-1", **parameters: Any) -> Ready:
    rule = JobRule(id=id_, title="Tiny", name="tiny", level="high", status="experimental", description="", author="", date=None, tags=(),
                   falsepositives=(), references=(), type="tiny", rules={"stop": ("r-stop",), "start": ("r-start",)}, parameters={},
                   custom=Custom(), document=Document(Path("tiny.yml"), {}, {}))
    return Ready(rule, tiny.JOB, tiny.TinyParameters(**parameters))


def hits(spark: SparkSession, number: int, seed: int = 1) -> DataFrame:
    """Stops and starts of ten machines over some hours, across midnight."""
    chance = random.Random(seed)
    rows = []
    for n in range(number):
        when = START + timedelta(seconds=chance.randrange(number * 40))
        name = chance.choice([None, "vm1", "VM2 ", *(f"vm{m}" for m in range(3, 10))])
        source = {"ip": chance.choice(["10.0.0.1", "10.0.0.2", "10.0.0.9", None]), "port": chance.randrange(5)}
        rows.append({"rule_id": chance.choice(["r-stop", "r-stop", "r-start", "r-other"]), "@timestamp": when, "date": when.date(),
                     "event": {"id": f"e{n}"}, "host": {"name": f"ESX{chance.randrange(3)}.example.com"}, "vm": {"name": name},
                     "source": source})
    return stored(spark.createDataFrame(rows, f"rule_id STRING, {spark_ddl()}, `date` DATE"))


def stored(rows: DataFrame) -> DataFrame:
    """Rows as a table that has files."""
    folder = tempfile.mkdtemp(dir=str(rows.sparkSession.conf.get("spark.sql.warehouse.dir")).removeprefix("file:"))
    rows.write.mode("overwrite").parquet(folder)
    return rows.sparkSession.read.parquet(folder)


def intervals() -> pl.DataFrame:
    """Machines move every few hours; an address goes from one to another."""
    chance = random.Random(7)
    rows = []
    for key in [f"vm{n}" for n in range(1, 8)]:
        moves = sorted(chance.randrange(48 * 60) for _ in range(4))
        rows += [("vm", key, begin, end, key, f"esx{chance.randrange(5)}", f"t{key[-1]}")
                 for begin, end in zip(moves, [*moves[1:], None], strict=True)]
    rows += [("ip", "10.0.0.1", 0, 90, "vm1", "esx1", "t1"), ("ip", "10.0.0.1", 120, None, "vm2", "esx2", "t2")]
    micro = [(kind, key, at(begin), None if end is None else at(end), vm, host, tenant) for kind, key, begin, end, vm, host, tenant in rows]
    given = pl.DataFrame(micro, orient="row", schema=["kind", "key", "valid_from", "valid_to", "vm", "host", "tenant"])
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in PLACEMENT.items() if name not in given.columns]
    return given.with_columns(missing).select(c.cast(PLACEMENT[c.meta.output_name()]) for c in map(pl.col, PLACEMENT))


def at(minute: int) -> int:
    return (START + timedelta(minutes=minute) - EPOCH) // MICROSECOND


def setting(spark: SparkSession, **changes: Any) -> Setting:
    from pipeline.analytics.signals import Setting
    where = stored(spark.createDataFrame(intervals().to_arrow(compat_level=pl.CompatLevel.oldest())))
    return replace(Setting(HORIZON, {"r-stop": "stopped", "r-start": "started"}, placement=where), **changes)


def expected(rows: DataFrame, job: Ready, since: date | None = None) -> pl.DataFrame:
    """The same without Spark."""
    flat = rows.selectExpr("rule_id", "unix_micros(`@timestamp`) time", "date", "event.id event", "event.fact_id fact",
                           "host.name `host.name`", "vm.name `vm.name`", "source.ip `source.ip`", "source.port `source.port`")
    frame = pl.from_arrow(flat.toArrow())
    assert isinstance(frame, pl.DataFrame)
    named = canonical(frame.filter(pl.col("date") >= since) if since else frame)
    kinds = {kind: intervals().filter(pl.col("kind") == kind) for kind in ("vm", "ip")}
    placed = as_of(as_of(named, kinds["vm"], "vm", "at"), kinds["ip"], "source.ip", "source")
    return in_memory(as_signals(placed, job, {"r-stop": "stopped", "r-start": "started"}), job.job, job.parameters, at(60 * 48))


def test_findings_are_those_in_memory(spark: SparkSession) -> None:
    from pipeline.analytics.engine import findings
    rows, jobs = hits(spark, 600), [ready(), ready("j-2", within=timedelta(minutes=4), least=4)]
    found, here = findings(rows, jobs, setting(spark), few=0), findings(rows, jobs, setting(spark))
    for job in jobs:
        want = expected(rows, job)
        assert want.height > 3 and found[job.rule.id].rows() == here[job.rule.id].rows() == want.rows()
    assert {"esx1", "esx4"} <= set(found["j-1"].get_column("key")), "places that only placement knows"
    assert found["j-1"].get_column("detail").str.contains('"senders":["vm', literal=True).any()
    assert set(found["j-1"].get_column("severity")) == {"high", "critical"}
    alone = findings(stored(rows.repartition(7)), jobs[:1], setting(spark), few=0)
    assert alone["j-1"].rows() == found["j-1"].rows(), "neither other jobs nor the order of rows matter"


def test_each_job_reads_from_its_own_day(spark: SparkSession) -> None:
    from pipeline.analytics.engine import findings
    rows, jobs, later = hits(spark, 600), [ready(), ready("j-2")], START.date() + timedelta(days=1)
    for few in (0, 1000):
        found = findings(rows, jobs, setting(spark, since={"j-2": later}), few)
        assert found["j-1"].rows() == expected(rows, jobs[0]).rows()
        assert found["j-2"].rows() == expected(rows, jobs[1], later).rows() != found["j-1"].rows()


def test_without_context_nothing_is_known_of_places(spark: SparkSession) -> None:
    from pipeline.analytics.engine import findings
    found, here = (findings(hits(spark, 300), [ready()], setting(spark, placement=None), few)["j-1"] for few in (0, 1000))
    assert found.rows() == here.rows() and set(found.get_column("key")) == {"esx0", "esx1", "esx2"}
    assert not found.get_column("detail").str.contains('"t1').any()


def test_no_hits_no_findings(spark: SparkSession) -> None:
    from pipeline.analytics.engine import findings
    assert findings(stored(hits(spark, 30).where("rule_id = 'r-other'")), [ready()], setting(spark), few=0)["j-1"].is_empty()


def test_the_plan_joins_no_rows_with_one_another(spark: SparkSession) -> None:
    """One reading of the files of hits and one of those of intervals, two shuffles for all lookups, and one for each pass."""
    from pipeline.analytics.engine import plan
    text = plan(hits(spark, 50), ready(), setting(spark))._jdf.queryExecution().executedPlan().toString()
    for word in ("Join", "Cartesian", "CoGroup", "Broadcast", "FileScan"):
        assert word not in text, text
    assert text.count("Exchange hashpartitioning") == 4 and text.count("Range") == 2, text
