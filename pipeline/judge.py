"""Hits to findings of Sigma correlations: pure functions on Polars frames, the same in a test and in a Spark task.

`members` says which hit belongs to which group of which correlation; `evaluate` judges all groups of all correlations given to it.
Group keys and counted values are compared without regard to case, as Sigma compares strings; a hit that lacks a field of the group
belongs to none.

A finding is in turn a hit for the correlations that refer to it (`as_hits`): at the first and at the last time at which it is true with
each of its events, with the fields of its group and those fields of the event that the correlations read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import polars as pl

from .conditions import Fulfilled, Rows, fulfilled
from .sigma.correlations import NUMERIC, Correlation, Threshold
from .windows import Ints, Series, episodes

c = pl.col
SEPARATOR = "\x1f"
MAX_EVENTS = 20
# Records of one fact in several logs of a host are written within seconds of one another.
FACT_SECONDS = 10
CHANNEL = ("event.dataset", "process.name", "event.provider")  # tells the logs of a host apart
MEMBERS: dict[str, Any] = {
    "correlation": pl.String, "key": pl.String, "group": pl.List(pl.String), "time": pl.Int64, "first": pl.Int64, "last": pl.Int64,
    "slot": pl.Int64, "event": pl.String, "fact": pl.String, "channel": pl.String, "value": pl.String, "number": pl.Float64,
    "carried": pl.List(pl.String)}
FINDINGS: dict[str, Any] = {
    "correlation": pl.String, "key": pl.String, "group": pl.List(pl.String), "first": pl.Int64, "last": pl.Int64, "closes": pl.Int64,
    "value": pl.Float64, "count": pl.Int64, "events": pl.List(pl.String), "times": pl.List(pl.Int64), "carried": pl.List(pl.String)}


def members(hits: pl.DataFrame, correlations: Iterable[Correlation]) -> pl.DataFrame:
    """Hits as members of groups: columns of MEMBERS.

    `hits` has `rule_id`, `time` (microseconds UTC), `event` (id), `fact` and `channel` (texts, may be null), and the flat fields that the
    correlations read; absent columns are null. `slot` is the place of the rule in `Correlation.refers_to`. `first` and `last` are the
    times of the events behind a hit that is a finding, and `carried` (JSON) are the fields that correlations above read.
    """
    by_rule = {str(key): part for (key,), part in hits.partition_by("rule_id", as_dict=True).items()}
    parts = [_members(by_rule[rule], correlation, slot, rule)
             for correlation in correlations for slot, rule in enumerate(correlation.refers_to) if rule in by_rule]
    return pl.concat(parts) if parts else pl.DataFrame(schema=MEMBERS)


def hits_of(events: pl.DataFrame, hits: pl.DataFrame) -> pl.DataFrame:
    """What `members` takes, from flat events and the hits that a Detector found in them (`event_index`, `rule_id`)."""
    return named(events[hits.get_column("event_index")].with_columns(hits.get_column("rule_id")))


def named(hits: pl.DataFrame) -> pl.DataFrame:
    """What `members` takes, from flat events with their `rule_id`."""
    channel = [_text(hits, name).fill_null("") for name in CHANNEL]
    return hits.with_columns(
        c("@timestamp").dt.epoch("us").alias("time"), c("event.id").alias("event"), _text(hits, "event.fact_id").alias("fact"),
        pl.concat_str(channel, separator="/").alias("channel"))


def fields_of(correlations: Iterable[Correlation]) -> set[str]:
    """The fields of hits that `named` and `members` read."""
    return {"@timestamp", "event.id", "event.fact_id", *CHANNEL}.union(*(correlation.fields for correlation in correlations))


def _members(hits: pl.DataFrame, correlation: Correlation, slot: int, rule: str) -> pl.DataFrame:
    group = [_text(hits, correlation.field_of(name, rule)) for name in correlation.group_by]
    fields = correlation.condition.fields if isinstance(correlation.condition, Threshold) else ()
    values = [_text(hits, correlation.field_of(name, rule)) for name in fields]
    number = values[0].cast(pl.Float64, strict=False) if correlation.type in NUMERIC else pl.lit(None, pl.Float64)
    rows = hits.select(
        pl.lit(correlation.id).alias("correlation"),
        (pl.concat_str(group, separator=SEPARATOR).str.to_lowercase() if group else pl.lit("")).alias("key"),
        (pl.concat_list(group) if group else pl.lit([], pl.List(pl.String))).alias("group"),
        "time",
        *(c(edge) if edge in hits.columns else c("time").alias(edge) for edge in ("first", "last")),
        pl.lit(slot, pl.Int64).alias("slot"),
        "event",
        "fact",
        "channel",
        (pl.concat_str(values, separator=SEPARATOR).str.to_lowercase() if correlation.type == "value_count" else pl.lit(None, pl.String))
        .alias("value"),
        pl.when(number.is_finite()).then(number).alias("number"),
        _carried(hits, correlation, rule).alias("carried"))
    return rows.filter(c("key").is_not_null()).cast(MEMBERS)  # type: ignore[arg-type]


def _text(hits: pl.DataFrame, field: str) -> pl.Expr:
    if field not in hits.columns:
        return pl.lit(None, pl.String)
    if isinstance(hits.schema[field], pl.List):
        return pl.when(c(field).list.len() > 0).then(c(field).list.join(", "))
    return c(field).cast(pl.String)


def _carried(hits: pl.DataFrame, correlation: Correlation, rule: str) -> pl.Expr:
    if not correlation.carries:
        return pl.lit([], pl.List(pl.String))
    fields = (_text(hits, correlation.field_of(name, rule)).alias(name) for name in correlation.carries)
    return pl.concat_list(pl.struct(fields).struct.json_encode())


def evaluate(rows: pl.DataFrame, correlations: Iterable[Correlation], horizon: int) -> pl.DataFrame:
    """Findings (columns of FINDINGS) of whole groups.

    `rows` are members (all of a group, in any order, repeated ones do no harm); `horizon` is the time (microseconds) up to which the data
    were watched: a window that reaches further is not judged by what it lacks. `first` and `last` are times of events, `closes` the end of
    the window; `events` holds at most MAX_EVENTS ids (the first of each rule, the last, then the earliest), `count` the true number.
    `times` and `carried`, side by side, are when and with what a finding is a hit for other correlations.
    """
    parts = {str(key): part for (key,), part in rows.partition_by("correlation", as_dict=True).items()}
    found = [_evaluate(parts[correlation.id], correlation, horizon) for correlation in correlations if correlation.id in parts]
    return pl.concat(found) if found else pl.DataFrame(schema=FINDINGS)


def _evaluate(rows: pl.DataFrame, correlation: Correlation, horizon: int) -> pl.DataFrame:
    rows = _once(rows, ["key", "slot", "event", "time", "value", "number"], correlation).sort("key", "time", "slot", "event")
    rows = rows.with_columns(_opens(correlation).alias("opens"))
    if correlation.type not in ("temporal", "temporal_ordered"):
        rows = _one_per_fact(_once(rows, ["key", "event", "value", "number"], correlation))
    done = fulfilled(_arranged(rows, correlation), correlation, horizon)
    lowest = isinstance(correlation.condition, Threshold) and correlation.waits
    return _describe(rows, done, episodes(done.windows, done.metric, lowest=lowest), correlation)


def _once(rows: pl.DataFrame, keys: list[str], correlation: Correlation) -> pl.DataFrame:
    """The first of rows that are the same, with what all of them carry."""
    first = rows.unique(keys, keep="first", maintain_order=True)
    if not correlation.carries:
        return first
    carried = rows.group_by(keys).agg(c("carried").explode().unique(maintain_order=True))
    return first.drop("carried").join(carried, on=keys, how="left", nulls_equal=True, maintain_order="left")


def _opens(correlation: Correlation) -> pl.Expr:
    """Whether the event is one from which on an absence is judged."""
    opens = c("slot").is_in([correlation.refers_to.index(rule) for rule in correlation.known_from or correlation.rules])
    return opens.any().over("key", "event") if correlation.known_from else opens


def _arranged(rows: pl.DataFrame, correlation: Correlation) -> Rows:
    """Rows sorted by group, time and slot as arrays."""
    group = rows.get_column("key").rle_id().cast(pl.Int64).to_numpy()
    slot = rows.get_column("slot").to_numpy()
    slots = {rule: number for number, rule in enumerate(correlation.refers_to)}
    number = rows.get_column("number").fill_null(float("nan")).to_numpy()
    return Rows(Series(group, rows.get_column("time").to_numpy(), slot, correlation.span), slots,
                np.isin(slot, [slots[rule] for rule in correlation.rules]), rows.get_column("opens").to_numpy(),
                _codes(rows.get_column("event")), _codes(rows.get_column("value")), number)


def _codes(values: pl.Series) -> Ints:
    """Texts as numbers; null is -1."""
    codes = values.rank("dense").cast(pl.Int64).fill_null(-1)
    return codes.to_numpy()


def _one_per_fact(rows: pl.DataFrame) -> pl.DataFrame:
    """Records of several logs that tell one fact (the same `fact` within seconds) count once; two of the same log are two facts."""
    known = rows.filter(c("fact").is_not_null())
    if known.is_empty():
        return rows
    gap = (c("time") - c("time").shift().over("key", "fact")) > FACT_SECONDS * 1_000_000
    known = known.with_columns(gap.fill_null(True).cum_sum().over("key", "fact").alias("_cluster"))
    known = known.with_columns(pl.int_range(pl.len()).over("key", "fact", "_cluster", "channel").alias("_nth"))
    once = known.unique(["key", "fact", "_cluster", "_nth"], keep="first", maintain_order=True).drop("_cluster", "_nth")
    return pl.concat([rows.filter(c("fact").is_null()), once]).sort("key", "time", "slot", "event")


# --- findings -----------------------------------------------------------------------------------------------------------------


def _describe(rows: pl.DataFrame, done: Fulfilled, found: pl.DataFrame, correlation: Correlation) -> pl.DataFrame:
    """Episodes (row ranges of `rows`) with their group, times and events. No row is in two episodes."""
    if found.is_empty():
        return pl.DataFrame(schema=FINDINGS)
    mine = rows.with_row_index("row").filter(pl.Series(done.evidence))
    place = np.searchsorted(found.get_column("first").to_numpy(), mine.get_column("row").to_numpy(), side="right") - 1
    inside = (place >= 0) & (mine.get_column("row").to_numpy() <= found.get_column("last").to_numpy()[np.maximum(place, 0)])
    mine = mine.with_columns(pl.Series("episode", place)).filter(pl.Series(inside))
    once = mine.unique(["episode", "event"], keep="first", maintain_order=True)
    telling = pl.concat([
        mine.unique(["episode", "slot"], keep="first", maintain_order=True), mine.unique("episode", keep="last", maintain_order=True),
        once.filter(pl.int_range(pl.len()).over("episode") < MAX_EVENTS)])
    events = telling.unique(["episode", "event"], keep="first", maintain_order=True).group_by("episode", maintain_order=True).agg(
        c("event").head(MAX_EVENTS).alias("events"))
    whole = once.group_by("episode").agg(c("key", "group").first(), c("first").min(), c("last").max(), pl.len().alias("count"))
    described = whole.join(events, on="episode").join(_occurrences(mine, done, correlation), on="episode").sort("episode")
    ends = found[described.get_column("episode")].select("closes", "value")
    return pl.concat([described, ends], how="horizontal").with_columns(pl.lit(correlation.id).alias("correlation")).select(
        c(name).cast(dtype) for name, dtype in FINDINGS.items())


def _occurrences(mine: pl.DataFrame, done: Fulfilled, correlation: Correlation) -> pl.DataFrame:
    """Per episode when it is true, and with what: the earliest and the latest window that holds each row of evidence."""
    if correlation.carries is None:
        return mine.select("episode").unique().with_columns(times=pl.lit([], pl.List(pl.Int64)), carried=pl.lit([], pl.List(pl.String)))
    windows = done.windows.where(np.lexsort((done.windows.last, done.windows.first)))
    row = mine.get_column("row").to_numpy()
    earliest = np.searchsorted(np.maximum.accumulate(windows.last), row, side="left")
    latest = np.searchsorted(windows.first, row, side="right") - 1
    latest = np.where(windows.last[latest] >= row, latest, earliest)
    each = pl.concat([mine.select("episode", "carried", pl.Series("times", windows.closes[n])) for n in (earliest, latest)])
    once = each.explode("carried", empty_as_null=True).with_columns(c("carried").fill_null("")).unique()
    return once.sort("episode", "times", "carried").group_by("episode").agg("times", "carried")


# --- correlations of correlations ---------------------------------------------------------------------------------------------


def levels(correlations: Sequence[Correlation]) -> list[list[Correlation]]:
    """Correlations (each after those it refers to) by depth: those of one level need only the findings of the levels before."""
    depth: dict[str, int] = {}
    for correlation in correlations:
        depth[correlation.id] = 1 + max((depth.get(rule, -1) for rule in correlation.refers_to), default=-1)
    return [[x for x in correlations if depth[x.id] == level] for level in range(max(depth.values(), default=-1) + 1)]


def as_hits(findings: pl.DataFrame, correlations: Iterable[Correlation]) -> pl.DataFrame:
    """Findings as hits of their correlation, with the fields of their group and those of the events behind them."""
    parts = [pl.DataFrame(schema={"rule_id": pl.String})]
    for correlation in correlations:
        if correlation.carries is not None:
            mine = findings.filter(c("correlation") == correlation.id).explode("times", "carried")
            fields = c("carried").str.json_decode(pl.Struct(dict.fromkeys(correlation.carries, pl.String)))
            parts.append(mine.select(
                c("correlation").alias("rule_id"), c("times").alias("time"), "first", "last", finding_id().alias("event"),
                pl.lit(None, pl.String).alias("fact"), pl.lit(None, pl.String).alias("channel"),
                *(c("group").list.get(number).alias(name) for number, name in enumerate(correlation.group_by)),
                *(fields.struct.field(name) for name in correlation.carries)))
    return pl.concat(parts, how="diagonal")


def finding_id() -> pl.Expr:
    """What names a finding: correlation, group and time of its first event."""
    return pl.concat_str("correlation", "key", c("first").cast(pl.String), separator="|")


def unfold(findings: pl.DataFrame, below: pl.DataFrame) -> pl.DataFrame:
    """Findings with the events behind those of their events that are findings of the levels below; `count` becomes their number."""
    behind = below.select(finding_id().alias("event"), c("events").alias("inner"), c("count").alias("inner_count"))
    each = findings.with_row_index("finding").select("finding", c("events").alias("event")).explode("event")
    each = each.join(behind, on="event", how="left", maintain_order="left").with_columns(pl.coalesce("inner", pl.concat_list("event")))
    inner = c("inner").explode()
    whole = each.group_by("finding", maintain_order=True).agg(
        inner.unique(maintain_order=True).alias("events"),
        (c("inner_count").fill_null(1) - 1).sum().alias("more"),
        (inner.len() - inner.n_unique()).cast(pl.Int64).alias("again"))  # those that are behind two of them
    unfolded = findings.drop("events").hstack(whole).with_columns(
        c("events").list.head(MAX_EVENTS), (c("count") + c("more") - c("again")).alias("count"))
    return unfolded.select(list(FINDINGS))


def judge(hits: pl.DataFrame, correlations: Sequence[Correlation], horizon: int) -> pl.DataFrame:
    """Findings of all correlations over hits that fit into memory; columns of FINDINGS."""
    found = pl.DataFrame(schema=FINDINGS)
    for level in levels(correlations):
        rows = pl.concat([members(hits, level), members(as_hits(found, correlations), level)])
        found = pl.concat([found, unfold(evaluate(rows, level, horizon), found)])
    return found
