"""Sigma correlations: hits of the lake to findings, on the driver where they are few, else on Spark.

There, one scan of the hits and one shuffle (by correlation and group) for all correlations of a level; a correlation of correlations is one
level further. What a task judges is whole groups, in judge.py; no rows are joined with one another, so a group that holds most of the
hits costs no more than its share. Cost follows the hits, not the events.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import polars as pl
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from . import judge
from .hits import Hits, as_rows
from .hits import stored as hits_of_lake
from .lake import Lake
from .schema import BY_NAME
from .sigma.correlations import Correlation

MICROSECOND = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FEW = 1_000_000  # hits that one process judges sooner than Spark has brought them together
_DDL = {pl.String: "STRING", pl.Int64: "BIGINT", pl.Float64: "DOUBLE", pl.List(pl.String): "ARRAY<STRING>",
        pl.List(pl.Int64): "ARRAY<BIGINT>"}
MEMBERS_DDL = ", ".join(f"`{name}` {_DDL[dtype]}" for name, dtype in judge.MEMBERS.items())
FINDINGS_DDL = ", ".join(f"`{name}` {_DDL[dtype]}" for name, dtype in judge.FINDINGS.items())


def found_in_lake(house: Lake, correlations: Sequence[Correlation], first: date, last: date, horizon: datetime) -> pl.DataFrame:
    """Findings of correlations over the hits of the lake from the first to the last day; arguments and columns as of `findings`."""
    stored = hits_of_lake(house, first, last)
    if stored.number > FEW:
        return findings(house.read("hits").where(F.col("date").between(F.lit(first), F.lit(last))), correlations, horizon)
    rows = stored.read(judge.fields_of(correlations), {rule for correlation in correlations for rule in correlation.refers_to})
    return judge.judge(judge.named(rows), correlations, (horizon - EPOCH) // MICROSECOND)


def findings(hits: DataFrame, correlations: Sequence[Correlation], horizon: datetime) -> pl.DataFrame:
    """Findings (columns of judge.FINDINGS) of correlations over hits (schema of the table `hits`).

    `correlations` are in order, each after those it refers to (sigma.correlations.read_correlations); `horizon` is the time up to which
    the sources were watched.
    """
    until = (horizon - EPOCH) // MICROSECOND
    found = pl.DataFrame(schema=judge.FINDINGS)
    for level in judge.levels(correlations):
        rows = grouped(hits, level)
        inner = judge.members(judge.as_hits(found, correlations), level)
        if inner.height:  # Spark makes no frame of an Arrow table without a chunk
            rows = rows.unionByName(hits.sparkSession.createDataFrame(_arrow(inner), MEMBERS_DDL))
        found = pl.concat([found, judge.unfold(_collect(judged(rows, level, until)), found)])
    return found


def grouped(hits: DataFrame, level: Sequence[Correlation]) -> DataFrame:
    """Hits as members of the groups of some correlations: columns of judge.MEMBERS."""
    rules = sorted({rule for correlation in level for rule in correlation.refers_to})
    fields = sorted({name for correlation in level for name in correlation.fields if name in BY_NAME})
    rows = hits.where(F.col("rule_id").isin(*rules)).select(
        "rule_id", F.unix_micros("@timestamp").alias("time"), leaf("event.id").alias("event"), leaf("event.fact_id").alias("fact"),
        F.concat_ws("/", *(F.coalesce(leaf(n), F.lit("")) for n in judge.CHANNEL)).alias("channel"),
        *(leaf(name).alias(name.replace(".", ":")) for name in fields))  # mapInArrow takes a dot for a struct

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            frame = _polars([batch])
            named = frame.rename({name: name.replace(":", ".") for name in frame.columns})
            yield from _arrow(judge.members(named, level)).to_batches()

    return rows.mapInArrow(run, MEMBERS_DDL)


def judged(rows: DataFrame, level: Sequence[Correlation], horizon: int) -> DataFrame:
    """Findings of members: one shuffle brings each group to one task."""
    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        held = list(batches)
        if held:
            yield from _arrow(judge.evaluate(_polars(held), level, horizon)).to_batches()

    return rows.repartition("correlation", "key").mapInArrow(run, FINDINGS_DDL)


def reach(correlations: Sequence[Correlation]) -> timedelta:
    """How far before a hit something may lie that is in one window with it, over all levels."""
    return sum((max(c.timespan for c in level) for level in judge.levels(correlations)), timedelta())


def days_to_judge(correlations: Sequence[Correlation], days: set[date], raised: Iterable[tuple[datetime, datetime]]) -> tuple[date, date]:
    """First and last day of the hits that bear upon the findings of some days.

    A finding that began before and reaches into them (first and last event of what was `raised`) may grow, so the days go back to where
    it began.
    """
    span = reach(correlations)
    first = (datetime.combine(min(days), time.min, UTC) - span).date()
    last = (datetime.combine(max(days), time.max, UTC) + span).date()
    begun = [(start.date(), end.date()) for start, end in raised]
    while earlier := [start for start, end in begun if start < first <= end + span]:
        first = min(earlier)
    return first, last


def rows_behind(hits: Hits, found: pl.DataFrame, fields: set[str]) -> dict[str, list[dict[str, Any]]]:
    """The hits behind findings by event id: flat rows with `rule_id`, `event_id` and the wanted fields that are not null."""
    ids = found.get_column("events").explode().drop_nulls().unique().sort().to_list()
    return _by_event(as_rows(hits.read(fields | {"event.id"}, events=ids)) if ids else ())


def rows_of(hits: DataFrame, found: pl.DataFrame, fields: set[str]) -> dict[str, list[dict[str, Any]]]:
    """The same for hits that are rows of Spark."""
    ids = found.get_column("events").explode().drop_nulls().unique().sort().to_list()
    if not ids:
        return {}
    wanted = hits.sparkSession.createDataFrame(pa.table({"_id": pa.array(ids, pa.string())}))
    return _by_event(as_flat_rows(hits.join(F.broadcast(wanted), leaf("event.id") == F.col("_id"), "left_semi"), fields))


def as_flat_rows(hits: DataFrame, fields: set[str]) -> Iterator[dict[str, Any]]:
    """Hits that are rows of Spark as alerts are made of them."""
    rows = hits.select("rule_id", *(leaf(name).alias(name) for name in sorted(fields & BY_NAME.keys() | {"event.id"}))).toArrow()
    yield from as_rows(_polars(rows.to_batches()) if rows.num_rows else pl.DataFrame())


def _by_event(rows: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    by_event: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_event.setdefault(row["event_id"], []).append(row)
    return by_event


def instant(micros: int) -> datetime:
    """A time of a finding as a datetime."""
    return EPOCH + micros * MICROSECOND


def leaf(name: str) -> Any:
    """The Spark column of a dotted field."""
    return F.col(".".join(f"`{part}`" for part in name.split(".")))


def _polars(batches: Sequence[pa.RecordBatch]) -> pl.DataFrame:
    frame = pl.from_arrow(pa.Table.from_batches(batches))
    assert isinstance(frame, pl.DataFrame)
    return frame


def _arrow(frame: pl.DataFrame) -> Any:
    """An Arrow table as Spark takes it: plain strings and lists."""
    table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    plain = {pl.String: pa.string(), pl.Int64: pa.int64(), pl.Float64: pa.float64(), pl.List(pl.String): pa.list_(pa.string()),
             pl.List(pl.Int64): pa.list_(pa.int64())}
    return table.cast(pa.schema([(name, plain[dtype]) for name, dtype in frame.schema.items()]))


def _collect(frame: DataFrame) -> pl.DataFrame:
    found = pl.from_arrow(frame.toArrow())
    assert isinstance(found, pl.DataFrame)
    return found.cast(judge.FINDINGS).sort("correlation", "key", "first")  # type: ignore[arg-type]
