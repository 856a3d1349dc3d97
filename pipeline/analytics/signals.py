"""Hits of the lake to the rows that jobs make their signals of: one scan for all jobs, canonical names, and where machines were.

What is located costs one shuffle. Rows and intervals of one machine meet in one task, which merges them by time (context/lookup.py), so no
rows are joined with one another on the Java side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime

import polars as pl
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from ..context import names
from ..context.columns import PLACE, PLACEMENT
from ..context.lookup import as_of
from ..correlate import leaf
from ..schema import BY_NAME
from .documents import Ready
from .frames import columns_of, mapped, there
from .job import SIGNAL, Columns, Located
from .passes import field_types

HIT: Columns = {"rule_id": pl.String} | {name: dtype for name, dtype in SIGNAL.items() if name not in ("role", "rule")}


@dataclass(frozen=True)
class Setting:
    """What jobs run with: the time up to which the sources were watched; names of rules by id; the first day that each job reads, by id of
    its document (absent: all); where machines were (columns of PLACEMENT; None: nothing is known); who stands behind raw principals.
    """

    horizon: datetime
    rules: Mapping[str, str] = field(default_factory=dict)
    since: Mapping[str, date] = field(default_factory=dict)
    placement: DataFrame | None = None
    principals: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Lookup:
    """Something to be located, once for all jobs that want it: under a name of its own, for the hits of some rules."""

    into: str
    wanted: Located
    rules: tuple[str, ...]

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
    rows = _named(hits, jobs, setting)
    for each in lookups(jobs):
        rows = _located(rows, each, setting.placement)
    return rows


def _named(hits: DataFrame, jobs: Sequence[Ready], setting: Setting) -> DataFrame:
    """With canonical names and the keys of what is to be located."""
    wanted, principals = lookups(jobs), setting.principals
    looked_at = {column for each in wanted if (column := each.wanted.vm or each.wanted.address) and column in BY_NAME}
    fields = field_types(sorted({column for each in jobs for column in each.job.fields} | looked_at))
    raw = sorted(set(names.FIELDS) & BY_NAME.keys() | fields.keys())
    rows = hits.where(_read(jobs, setting.since) & F.col("@timestamp").isNotNull()).select(
        "rule_id", F.unix_micros("@timestamp").alias("time"), leaf("event.id").alias("event"), leaf("event.fact_id").alias("fact"),
        *(_flat(column).alias(there(column)) for column in raw))

    def name(frame: pl.DataFrame) -> pl.DataFrame:
        return names.canonical(frame, principals).with_columns(each.asked() for each in wanted)

    return mapped(rows, name, {**HIT, **fields, **{each.key: pl.String for each in wanted}})


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
    intervals = placement.where(F.col("kind").isin(*(("vm",) if lookup.wanted.vm else ("ip", "mac")))).select(
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
