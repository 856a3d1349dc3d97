"""Hits of the lake to the rows that jobs make their signals of: one scan for all jobs, canonical names, and where machines were.

What is located costs one shuffle. Rows and intervals of one machine meet in one task, which merges them by time (context/lookup.py), so no
rows are joined with one another on the Java side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime

import polars as pl
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from ..context import names
from ..context.columns import INVENTORY, PLACE, PLACEMENT, empty
from ..context.lookup import as_of
from ..correlate import leaf
from ..schema import BY_NAME
from .documents import Ready
from .frames import collected, columns_of, mapped, micros_of, there
from .inventory import ROLE, inventory_signals
from .job import SIGNAL, Columns, Located
from .passes import field_types, shaped, signal_columns

HIT: Columns = {"rule_id": pl.String} | {name: dtype for name, dtype in SIGNAL.items() if name not in ("role", "rule")}


@dataclass(frozen=True)
class Setting:
    """What jobs run with: the time up to which the sources were watched; names of rules by id; the first day that each job reads, by id of
    its document (absent: all); where machines were (columns of PLACEMENT; None: nothing is known); who stands behind raw principals; the
    user's inventories (columns of INVENTORY), which are signals of jobs that have the role `inventory`.
    """

    horizon: datetime
    rules: Mapping[str, str] = field(default_factory=dict)
    since: Mapping[str, date] = field(default_factory=dict)
    placement: DataFrame | None = None
    principals: Mapping[str, str] = field(default_factory=dict)
    inventory: pl.DataFrame = field(default_factory=lambda: empty(INVENTORY))

    def listed(self, job: Ready) -> pl.DataFrame | None:
        """The signals of a job that are rows of inventories."""
        if ROLE not in job.job.roles or self.inventory.is_empty():
            return None
        since = self.since.get(job.rule.id)
        rows = self.inventory.filter(pl.col("time") >= micros_of(since)) if since else self.inventory
        return shaped(inventory_signals(rows), signal_columns(job.job))


@dataclass(frozen=True)
class Lookup:
    """Something to be located, once for all jobs that want it: under a name of its own, for the hits of some rules."""

    into: str
    wanted: Located
    rules: tuple[str, ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """Of which kind its intervals are."""
        return ("vm",) if self.wanted.vm else ("ip", "mac")

    @property
    def key(self) -> str:
        """The column with the name or address that is looked up."""
        return f"{self.into}.key"

    def asked(self) -> pl.Expr:
        """That name or address."""
        asking = pl.col("rule_id").is_in(self.rules)
        return pl.when(asking).then(self.wanted.named.str.strip_chars().str.to_lowercase()).alias(self.key)


def lookups(jobs: Sequence[Ready]) -> tuple[Lookup, ...]:
    """What jobs want located, each once."""
    asking: dict[Located, dict[str, None]] = {}
    for job in jobs:
        for each in job.job.located:
            asking.setdefault(replace(each, into=""), {}).update(dict.fromkeys(job.rule.reads))
    return tuple(Lookup(f"@{number}", wanted, tuple(rules)) for number, (wanted, rules) in enumerate(asking.items()))


def signals(hits: DataFrame, jobs: Sequence[Ready], setting: Setting) -> DataFrame:
    """The hits that jobs read: columns of HIT, the fields that jobs read, and those of every lookup."""
    wanted, principals = lookups(jobs), setting.principals

    def name(frame: pl.DataFrame) -> pl.DataFrame:
        return _named(frame, wanted, principals)

    rows = mapped(_selected(hits, jobs, setting), name, {**HIT, **_fields(jobs), **{each.key: pl.String for each in wanted}})
    for each in wanted:
        rows = _located(rows, each, setting.placement)
    return rows


def signals_here(hits: DataFrame, jobs: Sequence[Ready], setting: Setting) -> pl.DataFrame:
    """The same on the driver, for few hits: one scan, and one of the intervals of the machines that the hits name."""
    wanted = lookups(jobs)
    raw = _selected(hits, jobs, setting)
    rows = _named(collected(raw, columns_of(raw)), wanted, setting.principals)
    intervals = _intervals_of(rows, wanted, setting.placement)
    for each in wanted:
        rows = as_of(rows, intervals.filter(pl.col("kind").is_in(each.kinds)), each.key, each.into)
    return rows


def count(hits: DataFrame, jobs: Sequence[Ready], setting: Setting) -> Mapping[str, int]:
    """How many hits of each rule jobs read."""
    return {row[0]: row[1] for row in hits.where(_read(jobs, setting.since)).groupBy("rule_id").count().collect()}


def _intervals_of(rows: pl.DataFrame, wanted: Sequence[Lookup], placement: DataFrame | None) -> pl.DataFrame:
    """Where the machines were that some rows name."""
    keys = pl.concat([pl.Series("key", [], pl.String), *(rows.get_column(each.key) for each in wanted)]).drop_nulls().unique()
    if placement is None or keys.is_empty():
        return pl.DataFrame(schema=dict(PLACEMENT))
    named = placement.sparkSession.createDataFrame(pa.table({"key": pa.array(keys.to_list(), pa.string())}))
    return collected(placement.join(F.broadcast(named), "key", "left_semi").select(*PLACEMENT), PLACEMENT)


def _fields(jobs: Sequence[Ready]) -> Columns:
    """What some job reads, in itself or to locate something."""
    looked_at = {column for each in lookups(jobs) if (column := each.wanted.vm or each.wanted.address) and column in BY_NAME}
    return field_types(sorted({column for each in jobs for column in each.job.fields} | looked_at))


def _selected(hits: DataFrame, jobs: Sequence[Ready], setting: Setting) -> DataFrame:
    """The hits that some job reads, with the fields that names are made of and those that jobs read."""
    return hits.where(_read(jobs, setting.since) & F.col("@timestamp").isNotNull()).select(
        "rule_id", F.unix_micros("@timestamp").alias("time"), leaf("event.id").alias("event"), leaf("event.fact_id").alias("fact"),
        *(_flat(column).alias(there(column)) for column in sorted(set(names.FIELDS) & BY_NAME.keys() | _fields(jobs).keys())))


def _named(rows: pl.DataFrame, wanted: Sequence[Lookup], principals: Mapping[str, str]) -> pl.DataFrame:
    """With canonical names and the keys of what is to be located."""
    return names.canonical(rows, principals).with_columns(each.asked() for each in wanted)


def _read(jobs: Sequence[Ready], since: Mapping[str, date]) -> Column:
    """Which hits some job reads."""
    read = F.lit(False)
    for each in jobs:
        mine = F.col("rule_id").isin(*each.rule.reads)
        read |= mine & (F.col("date") >= F.lit(since[each.rule.id])) if each.rule.id in since else mine
    return read


def _flat(name: str) -> Column:
    """A field as signals have it: a number, or text; the values of a list in one text."""
    column: Column = leaf(name)
    if BY_NAME[name].many:
        return F.when(F.size(column) > 0, F.concat_ws(", ", column))
    return column if BY_NAME[name].type == "long" else column.cast("string")


def _located(rows: DataFrame, lookup: Lookup, placement: DataFrame | None) -> DataFrame:
    """The rows with the columns of a lookup, as of their time, in place of its key."""
    after = {name: dtype for name, dtype in columns_of(rows).items() if name != lookup.key}
    into = {f"{lookup.into}.{name}": pl.String for name in PLACE}
    if placement is None:
        return rows.select(*(f"`{there(name)}`" for name in after), *(F.lit(None).cast("string").alias(there(name)) for name in into))
    interval = {name: PLACEMENT[name] for name in ("key", "valid_from", "valid_to", *PLACE)}
    intervals = placement.where(F.col("kind").isin(*lookup.kinds)).select(
        F.col("key").alias(there(lookup.key)), *(F.col(name).alias(f"?{name}") for name in interval))
    sides = rows.unionByName(intervals, allowMissingColumns=True)

    def meet(frame: pl.DataFrame) -> pl.DataFrame:
        where = frame.filter(pl.col("?valid_from").is_not_null()).select(pl.col(f"?{name}").alias(name) for name in interval)
        return as_of(frame.filter(pl.col("?valid_from").is_null()), _whole(where), lookup.key, lookup.into)

    # What names no machine asks for nothing: it is spread over all tasks.
    spread = sides.repartition(F.coalesce(F.col(f"`{there(lookup.key)}`"), F.col("event")))
    return mapped(spread, meet, {**after, **into}, whole=True)


def _whole(intervals: pl.DataFrame) -> pl.DataFrame:
    """Intervals with all columns of PLACEMENT."""
    return intervals.with_columns(
        pl.lit(None, dtype).alias(name) for name, dtype in PLACEMENT.items() if name not in intervals.columns).select(PLACEMENT.keys())
