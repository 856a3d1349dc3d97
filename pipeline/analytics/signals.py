"""Hits of the lake to the rows that jobs make their signals of: one scan for all jobs, canonical names, and where machines were.

What is to be located, by whatever number of lookups, costs two shuffles of blocks (blocks.py). Rows stay where they were read; a question
(which machine or address, when) goes for each to where the intervals of that machine go, and the answers, merged by time there
(context/lookup.py), come back to the rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime

import polars as pl
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ..blocks import PART, Frames, Named, at_once, collected, gathered, met, parted, read
from ..context import names
from ..context.columns import INVENTORY, PLACE, PLACEMENT, empty
from ..context.lookup import as_of
from ..schema import BY_NAME
from .documents import Ready
from .inventory import ROLE, inventory_signals
from .job import EPOCH, MICROSECOND, SIGNAL, Columns, Located
from .passes import field_types, shaped, signal_columns

ROWS, ASKED, KNOWN, TOLD = "rows", "asked", "known", "told"  # names of blocks
INTERVAL: Columns = {name: PLACEMENT[name] for name in ("key", "kind", "valid_from", "valid_to", *PLACE)}
ANSWER = tuple(f"at.{name}" for name in PLACE)
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
        return shaped(inventory_signals(self.inventory.filter(pl.col("time") >= self.start(job))), signal_columns(job.job))

    def start(self, job: Ready) -> int:
        """When what a job reads begins."""
        day = self.since.get(job.rule.id, EPOCH.date())
        return (datetime(day.year, day.month, day.day, tzinfo=UTC) - EPOCH) // MICROSECOND


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

    @property
    def columns(self) -> tuple[str, ...]:
        """What it adds to rows."""
        return tuple(f"{self.into}.{name}" for name in PLACE)

    def question(self, rows: pl.DataFrame) -> pl.DataFrame:
        """What the rows of a chunk ask: which key at which `time`; `home` and `row` are where the answer goes."""
        numbered = rows.with_row_index("row").filter(pl.col(self.key).is_not_null())
        return numbered.select(pl.lit(self.into).alias("lookup"), "row", pl.col(PART).alias("home"), pl.col(self.key).alias("key"), "time")

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


def signals(hits: DataFrame, jobs: Sequence[Ready], setting: Setting, parts: int) -> DataFrame:
    """The hits that jobs read, as blocks: columns of HIT, the fields that jobs read, and those of every lookup."""
    wanted, principals, fields = lookups(jobs), setting.principals, {**HIT, **_fields(jobs)}
    placement = setting.placement
    nowhere = [pl.lit(None, pl.String).alias(name) for each in wanted for name in each.columns] if placement is None else []
    asking = () if placement is None else wanted

    def name(raw: pl.DataFrame, home: int) -> Iterator[Named]:
        rows = _named(raw, wanted, principals).with_columns(pl.lit(home, pl.Int64).alias(PART))
        yield ROWS, rows.select(*fields, *nowhere, PART)
        yield from ((ASKED, parted(each.question(rows), "key", parts)) for each in asking)

    found = read(hits, _columns(jobs), _read(jobs, setting), name)
    if placement is None or not wanted:
        return found
    since = min(setting.start(each) for each in jobs)
    current = pl.col("valid_to").is_null() | (pl.col("valid_to") > since)
    intervals = read(placement, INTERVAL, current, lambda rows, _: [(KNOWN, parted(rows, "key", parts))])
    answered = met(found.unionByName(intervals), parts, (ASKED, KNOWN), lambda frames: _answers(frames, wanted))
    return met(answered, parts, (ROWS, TOLD), lambda frames: [(ROWS, _answered(frames, wanted))])


def signals_here(hits: DataFrame, jobs: Sequence[Ready], setting: Setting) -> pl.DataFrame:
    """The same on the driver, for few hits: one scan, and one of the intervals of the machines that the hits name."""
    wanted, columns = lookups(jobs), _columns(jobs)
    raw = gathered(read(hits, columns, _read(jobs, setting), lambda rows, _: [(ROWS, at_once(rows))]), columns)
    rows = _named(raw, wanted, setting.principals)
    intervals = _intervals_of(rows, wanted, setting.placement)
    for each in wanted:
        rows = as_of(rows, intervals.filter(pl.col("kind").is_in(each.kinds)), each.key, each.into)
    return rows


def count(hits: DataFrame, jobs: Sequence[Ready]) -> Mapping[str, int]:
    """How many hits there are of each rule that some job reads."""
    read_by_some = {rule for each in jobs for rule in each.rule.reads}
    return {row[0]: row[1] for row in hits.where(F.col("rule_id").isin(*read_by_some)).groupBy("rule_id").count().collect()}


def _intervals_of(rows: pl.DataFrame, wanted: Sequence[Lookup], placement: DataFrame | None) -> pl.DataFrame:
    """Where the machines were that some rows name."""
    keys = pl.concat([pl.Series("key", [], pl.String), *(rows.get_column(each.key) for each in wanted)]).drop_nulls().unique()
    if placement is None or keys.is_empty():
        return pl.DataFrame(schema=dict(PLACEMENT))
    named = placement.sparkSession.createDataFrame(pa.table({"key": pa.array(keys.to_list(), pa.string())}))
    return collected(placement.join(F.broadcast(named), "key", "left_semi").select(*PLACEMENT)).cast(dict(PLACEMENT))  # type: ignore[arg-type]


def _fields(jobs: Sequence[Ready]) -> Columns:
    """What some job reads, in itself or to locate something."""
    looked_at = {column for each in lookups(jobs) if (column := each.wanted.vm or each.wanted.address) and column in BY_NAME}
    return field_types(sorted({column for each in jobs for column in each.job.fields} | looked_at))


def _columns(jobs: Sequence[Ready]) -> Columns:
    """What is read of a hit: what names are made of, and what jobs ask for."""
    named = dict.fromkeys(sorted(set(names.FIELDS) & BY_NAME.keys()), pl.String)
    return {"rule_id": pl.String, "@timestamp": pl.Int64, "event.id": pl.String, "event.fact_id": pl.String, **named, **_fields(jobs)}


def _named(raw: pl.DataFrame, wanted: Sequence[Lookup], principals: Mapping[str, str]) -> pl.DataFrame:
    """Hits with canonical names and the keys of what is to be located."""
    rows = raw.rename({"@timestamp": "time", "event.id": "event", "event.fact_id": "fact"})
    return names.canonical(rows, principals).with_columns(each.asked() for each in wanted)


def _read(jobs: Sequence[Ready], setting: Setting) -> pl.Expr:
    """Which hits some job reads."""
    return pl.any_horizontal(pl.col("rule_id").is_in(each.rule.reads) & (pl.col("@timestamp") >= setting.start(each)) for each in jobs)


def _answers(frames: Frames, wanted: Sequence[Lookup]) -> Iterator[Named]:
    """Where machines were that are asked for, to the rows that ask; where nothing is known there is no answer."""
    if ASKED not in frames:
        return
    known = _whole(frames[KNOWN]) if KNOWN in frames else empty(PLACEMENT)
    for kinds in dict.fromkeys(each.kinds for each in wanted):
        asked = frames[ASKED].filter(pl.col("lookup").is_in([each.into for each in wanted if each.kinds == kinds]))
        told = as_of(asked, known.filter(pl.col("kind").is_in(kinds)), "key", "at")
        yield TOLD, told.filter(pl.any_horizontal(pl.col(ANSWER).is_not_null())).select(
            "row", "lookup", *ANSWER, pl.col("home").alias(PART))


def _answered(frames: Frames, wanted: Sequence[Lookup]) -> pl.DataFrame:
    """The rows of a chunk with the columns of every lookup."""
    rows = frames[ROWS].with_row_index("row")
    told = frames.get(TOLD, pl.DataFrame(schema={"row": pl.UInt32, "lookup": pl.String, **dict.fromkeys(ANSWER, pl.String)}))
    for each in wanted:
        mine = told.filter(pl.col("lookup") == each.into).drop("lookup").rename(dict(zip(ANSWER, each.columns, strict=True)))
        rows = rows.join(mine, on="row", how="left", maintain_order="left")
    return at_once(rows.drop("row"))


def _whole(intervals: pl.DataFrame) -> pl.DataFrame:
    """Intervals with all columns of PLACEMENT."""
    return intervals.with_columns(
        pl.lit(None, dtype).alias(name) for name, dtype in PLACEMENT.items() if name not in intervals.columns).select(PLACEMENT.keys())
