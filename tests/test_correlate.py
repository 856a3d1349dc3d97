"""Correlations on Spark find what they find in memory, with one shuffle a level and no join."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import yaml

from pipeline import correlate, judge
from pipeline.sigma.correlation_reader import read_correlations
from pipeline.sigma.correlations import Correlation
from pipeline.sigma.documents import read_documents
from tests.test_judge import BODIES, RULES

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

START = datetime(2026, 3, 1, tzinfo=UTC)
HITS = ("rule_id STRING, `@timestamp` TIMESTAMP, event STRUCT<id: STRING, fact_id: STRING, dataset: STRING, provider: STRING>, "
        "process STRUCT<name: STRING>, host STRUCT<name: STRING>, user STRUCT<name: STRING>, source STRUCT<ip: STRING>, "
        "network STRUCT<bytes: BIGINT>")


def read(*documents: dict[str, Any]) -> list[Correlation]:
    text = yaml.safe_dump_all([{"title": d["id"], **d} for d in documents])
    found, errors = read_correlations(list(read_documents(text, Path("t.yml"))), RULES)  # type: ignore[arg-type]
    assert not errors, errors
    return list(found)


def all_types() -> list[Correlation]:
    return read(*({"id": f"c-{n}", "correlation": {"group-by": ["host.name"], "timespan": "30s", **body}}
                  for n, body in enumerate(BODIES.values())))


def hits(spark: SparkSession, number: int, seed: int = 1) -> DataFrame:
    chance = random.Random(seed)
    rows = []
    for n in range(number):
        when = START + timedelta(seconds=chance.randrange(number * 4))
        rows.append((f"id-{chance.choice('abc')}", when, (f"e{n}", None, "vmware.esxi", None), ("sshd",), (f"esx{chance.randrange(4)}",),
                     (chance.choice(["anna", "Anna", None]),), (f"192.0.2.{chance.randrange(3)}",), (chance.randrange(9),)))
    return spark.createDataFrame(rows, HITS)


def in_memory(rows: DataFrame, correlations: list[Correlation], horizon: datetime) -> pl.DataFrame:
    flat = rows.selectExpr("rule_id", "unix_micros(`@timestamp`) time", "event.id event", "event.fact_id fact", "event.dataset channel",
                           "host.name `host.name`", "user.name `user.name`", "source.ip `source.ip`", "network.bytes `network.bytes`")
    frame = pl.from_arrow(flat.toArrow())
    assert isinstance(frame, pl.DataFrame)
    return judge.judge(frame, correlations, (horizon - correlate.EPOCH) // correlate.MICROSECOND).sort("correlation", "key", "first")


def test_all_types_as_in_memory(spark: SparkSession) -> None:
    rows, horizon = hits(spark, 400), START + timedelta(hours=1)
    found = correlate.findings(rows, all_types(), horizon).sort("correlation", "key", "first")
    assert found.height > 50
    assert found.get_column("correlation").n_unique() > len(BODIES) - 3
    assert found.equals(in_memory(rows, all_types(), horizon))


def test_correlations_of_correlations(spark: SparkSession) -> None:
    chain = read(
        {"id": "c-burst", "name": "burst", "correlation": {"type": "event_count", "rules": ["a"], "group-by": ["host.name", "source.ip"],
                                                           "timespan": "60s", "condition": {"gte": 3}}},
        {"id": "c-spread", "correlation": {"type": "value_count", "rules": ["burst"], "group-by": ["host.name"], "timespan": "10m",
                                           "condition": {"field": "source.ip", "gte": 2}}},
        {"id": "c-then", "correlation": {"type": "temporal_ordered", "rules": ["burst", "b"], "group-by": ["host.name"], "timespan": "2m"}})
    rows, horizon = hits(spark, 400), START + timedelta(hours=1)
    found = correlate.findings(rows, chain, horizon).sort("correlation", "key", "first")
    assert set(found.get_column("correlation")) == {"c-burst", "c-spread", "c-then"}
    assert found.equals(in_memory(rows, chain, horizon))
    assert correlate.findings(rows.limit(2), chain, horizon).is_empty(), "no burst to build upon"
    assert all(event.startswith("e") for event in found.get_column("events").explode())


def test_one_shuffle_and_no_join(spark: SparkSession) -> None:
    level = judge.levels(all_types())[0]
    planned = correlate.judged(correlate.grouped(hits(spark, 10), level), level, 0)
    plan = planned._jdf.queryExecution().executedPlan().toString()
    assert plan.count("Exchange") == 1, plan
    assert "Join" not in plan and "Cartesian" not in plan, plan


def test_the_hits_behind_a_finding(spark: SparkSession) -> None:
    rows = hits(spark, 50)
    found = correlate.findings(rows, all_types()[:1], START + timedelta(hours=1))
    behind = correlate.rows_of(rows, found, {"host.name", "event.dataset"})
    assert set(behind) == set(found.get_column("events").explode())
    assert all(row["host.name"].startswith("esx") and row["event_id"] == event for event, rows in behind.items() for row in rows)
