"""Hits read from the lake's files: the rows that Spark reads, of the days, rules and events asked for, whatever schema a file has."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest

from pipeline.correlate import as_flat_rows, found_in_lake, rows_behind, rows_of
from pipeline.delta_files import HIT_BOUNDS, write_parquet
from pipeline.hits import as_rows, stored
from pipeline.judge import FINDINGS
from pipeline.kernel.normalise import to_schema
from pipeline.lake import Batch, Lake
from tests.test_correlate import all_types

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark
START = datetime(2026, 3, 1, 22, tzinfo=UTC)
FIELDS = {"@timestamp", "event.id", "event.fact_id", "event.dataset", "host.name", "user.name", "related.ip", "process.pid"}


def rows(rule: str, start: datetime, number: int) -> pl.DataFrame:
    """Nested hits of one rule, five seconds apart."""
    flat = pl.DataFrame({
        "event.id": [f"{rule}-{start:%d}-{n}" for n in range(number)],
        "@timestamp": [start + timedelta(seconds=5 * n) for n in range(number)],
        "host.name": [f"esx{n % 3}" for n in range(number)], "user.name": ["Anna", None] * (number // 2),
        "event.dataset": ["vmware.esxi"] * number, "related.ip": [["192.0.2.1", "192.0.2.2"], None] * (number // 2),
        "process.pid": list(range(number))})
    return to_schema(flat.cast({"@timestamp": pl.Datetime("us", "UTC")})).insert_column(0, pl.Series("rule_id", [rule] * number))


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> Lake:
    """Two rules on three days; the file of the first day is from before `process` and `event.fact_id` were."""
    made = Lake(spark, str(tmp_path_factory.mktemp("hits") / "lake"))
    made.create()
    adds = []
    for number, day in enumerate((START, START + timedelta(days=1), START + timedelta(days=2))):
        both = pl.concat([rows(rule, day, 40) for rule in ("id-a", "id-b")])
        if not number:
            event = both.get_column("event").struct.unnest().drop("fact_id")
            both = both.with_columns(event.to_struct("event")).drop("process")
        adds.append(write_parquet(made.path("hits"), both, f"{day:%Y-%m-%d}", "run", HIT_BOUNDS))
    made.commit(Batch("b", {"hits": adds}, {}))
    return made


def test_the_rows_are_those_of_spark(lake: Lake) -> None:
    def order(row: dict[str, object]) -> str:
        return json.dumps(row, default=str, sort_keys=True)

    here = sorted(as_rows(stored(lake).read(FIELDS)), key=order)
    assert here == sorted(as_flat_rows(lake.read("hits"), FIELDS), key=order)
    assert len(here) == stored(lake).number == 240
    assert {"event.fact_id", "process.pid"}.isdisjoint(here[0]), "an older file lacks them"


def test_days_rules_and_events(lake: Lake) -> None:
    day = date(2026, 3, 2)
    assert stored(lake, day).number == 160
    assert stored(lake, day, day).number == stored(lake, last=date(2026, 3, 1)).number == 80
    assert stored(lake, date(2026, 4, 1)).read(FIELDS, ["id-b"]).columns == ["rule_id", *sorted(FIELDS)]
    assert stored(lake).read({"event.id"}, ["id-b"]).get_column("rule_id").unique().to_list() == ["id-b"]
    assert stored(lake).read({"event.id"}, events=["id-b-01-3", "id-a-03-7", "gone"]).height == 2


def test_correlations_find_the_same_here_and_on_spark(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    def found() -> pl.DataFrame:
        horizon = START + timedelta(days=4)
        return found_in_lake(lake, all_types(), START.date(), date(2026, 3, 3), horizon).sort("correlation", "key", "first")

    here = found()
    assert here.get_column("correlation").n_unique() > 3
    assert rows_behind(stored(lake), here, FIELDS) == rows_of(lake.read("hits"), here, FIELDS)
    monkeypatch.setattr("pipeline.correlate.FEW", 0)
    assert found().equals(here)


def test_nothing_found_reads_nothing(lake: Lake) -> None:
    assert rows_behind(stored(lake), pl.DataFrame(schema=FINDINGS), FIELDS) == {}
