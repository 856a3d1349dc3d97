"""Hits to findings of Sigma correlations: pure functions on Polars frames, the same in a test and in a Spark task.

`members` says which hit belongs to which group of which correlation; `evaluate` judges all groups of all correlations given to it.
Group keys and counted values are compared without regard to case, as Sigma compares strings; a hit that lacks a field of the group
belongs to none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import polars as pl

from .sigma.correlations import NUMERIC, Correlation, Threshold
from .windows import Flags, Floats, Ints, Series, Windows, episodes, within

c = pl.col
SEPARATOR = "\x1f"
MAX_EVENTS = 20
# Records of one fact in several logs of a host are written within seconds of one another.
FACT_SECONDS = 10
CHANNEL = ("event.dataset", "process.name", "event.provider")  # tells the logs of a host apart
MEMBERS: dict[str, Any] = {
    "correlation": pl.String, "key": pl.String, "group": pl.List(pl.String), "time": pl.Int64, "slot": pl.Int64, "event": pl.String,
    "fact": pl.String, "channel": pl.String, "value": pl.String, "number": pl.Float64}
FINDINGS: dict[str, Any] = {
    "correlation": pl.String, "key": pl.String, "group": pl.List(pl.String), "first": pl.Int64, "last": pl.Int64, "closes": pl.Int64,
    "value": pl.Float64, "count": pl.Int64, "events": pl.List(pl.String)}


def members(hits: pl.DataFrame, correlations: Iterable[Correlation]) -> pl.DataFrame:
    """Hits as members of groups: columns of MEMBERS.

    `hits` has `rule_id`, `time` (microseconds UTC), `event` (id), `fact` and `channel` (texts, may be null), and the flat fields that the
    correlations read; absent columns are null. `slot` is the place of the rule in `Correlation.refers_to`.
    """
    by_rule = {str(key): part for (key,), part in hits.partition_by("rule_id", as_dict=True).items()}
    parts = [_members(by_rule[rule], correlation, slot, rule)
             for correlation in correlations for slot, rule in enumerate(correlation.refers_to) if rule in by_rule]
    return pl.concat(parts) if parts else pl.DataFrame(schema=MEMBERS)


def hits_of(events: pl.DataFrame, hits: pl.DataFrame) -> pl.DataFrame:
    """What `members` takes, from flat events and the hits that a Detector found in them (`event_index`, `rule_id`)."""
    rows = events[hits.get_column("event_index")]
    channel = [_text(rows, name).fill_null("") for name in CHANNEL]
    return rows.with_columns(
        hits.get_column("rule_id"), c("@timestamp").dt.epoch("us").alias("time"), c("event.id").alias("event"),
        _text(rows, "event.fact_id").alias("fact"), pl.concat_str(channel, separator="/").alias("channel"))


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
        pl.lit(slot, pl.Int64).alias("slot"),
        "event",
        "fact",
        "channel",
        (pl.concat_str(values, separator=SEPARATOR).str.to_lowercase() if values else pl.lit(None, pl.String)).alias("value"),
        pl.when(number.is_finite()).then(number).alias("number"))
    return rows.filter(c("key").is_not_null()).cast(MEMBERS)  # type: ignore[arg-type]


def _text(hits: pl.DataFrame, field: str) -> pl.Expr:
    if field not in hits.columns:
        return pl.lit(None, pl.String)
    return c(field).list.join(", ") if isinstance(hits.schema[field], pl.List) else c(field).cast(pl.String)


def evaluate(rows: pl.DataFrame, correlations: Iterable[Correlation], horizon: int) -> pl.DataFrame:
    """Findings (columns of FINDINGS) of whole groups.

    `rows` are members (all of a group, in any order, repeated ones do no harm); `horizon` is the time (microseconds) up to which the data
    were watched: a window that reaches further is not judged by what it lacks. `first` and `last` are times of events, `closes` the end of
    the window; `events` holds at most MAX_EVENTS ids (the first of each rule, the last, then the earliest), `count` the true number.
    """
    parts = {str(key): part for (key,), part in rows.partition_by("correlation", as_dict=True).items()}
    found = [_evaluate(parts[correlation.id], correlation, horizon) for correlation in correlations if correlation.id in parts]
    return pl.concat(found) if found else pl.DataFrame(schema=FINDINGS)


def _evaluate(rows: pl.DataFrame, correlation: Correlation, horizon: int) -> pl.DataFrame:
    rows = rows.unique(["key", "slot", "event"], keep="first").sort("key", "time", "slot", "event")
    if correlation.type not in ("temporal", "temporal_ordered"):
        rows = _one_per_fact(rows.unique(["key", "event", "value", "number"], keep="first", maintain_order=True))
    rows = rows.with_columns((c("key").rle_id()).cast(pl.Int64).alias("number_of_group"))
    series = Series(rows.get_column("number_of_group").to_numpy(), rows.get_column("time").to_numpy(), rows.get_column("slot").to_numpy(),
                    correlation.span)
    windows, fired, metric, counted = _judge(rows, series, correlation, horizon)
    lowest = isinstance(correlation.condition, Threshold) and correlation.condition.only_upper
    return _describe(rows.filter(pl.Series(counted)), rows, episodes(windows, fired, metric, lowest=lowest), correlation.id)


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


# --- judging ------------------------------------------------------------------------------------------------------------------

Judged = tuple[Windows, Flags, Floats, Flags]  # windows, which fired, what was counted in each, which rows are evidence


def _judge(rows: pl.DataFrame, series: Series, correlation: Correlation, horizon: int) -> Judged:
    slots = {rule: slot for slot, rule in enumerate(correlation.refers_to)}
    own: Flags = np.isin(series.slot, [slots[rule] for rule in correlation.rules])
    condition = correlation.condition
    if not isinstance(condition, Threshold):
        return _expression(rows, series, correlation, slots, horizon)
    if correlation.type == "temporal_ordered":
        return _ordered(rows, series, tuple(slots[rule] for rule in correlation.rules), own)
    if condition.only_upper:
        metric = _metric(rows.reverse(), series.flipped, own[::-1], correlation)[::-1]
        anchors = ~own if correlation.known_from else own
        fired = anchors & (series.leading.closes <= horizon) & within(np.nan_to_num(metric), condition.bounds)
        return series.leading, fired, metric, np.ones_like(own)
    metric = _metric(rows, series, own, correlation)
    return series.trailing, own & within(metric, condition.bounds), metric, own


def _metric(rows: pl.DataFrame, series: Series, own: Flags, correlation: Correlation) -> Floats:
    """What is counted, in the trailing window of each row."""
    condition, kind = correlation.threshold, correlation.type
    if kind == "event_count":
        return series.count(series.trailing, own).astype(np.float64)
    if kind == "temporal":
        return series.distinct(np.where(own, series.slot, -1)).astype(np.float64)
    if kind == "value_count":
        return series.distinct(np.where(own, _codes(rows.get_column("value")), -1)).astype(np.float64)
    numbers = np.where(own, rows.get_column("number").fill_null(float("nan")).to_numpy(), np.nan)
    if kind == "value_avg":
        return series.mean(numbers)
    if kind == "value_sum":
        return np.where(series.count(series.trailing, ~np.isnan(numbers)) > 0, series.total(numbers), np.nan)
    return series.quantile(numbers, (condition.percentile if kind == "value_percentile" else 50) / 100)


def _codes(values: pl.Series) -> Ints:
    """Texts as numbers; null is -1."""
    codes = values.rank("dense").cast(pl.Int64).fill_null(-1)
    return codes.to_numpy()


def _ordered(rows: pl.DataFrame, series: Series, slots: tuple[int, ...], own: Flags) -> Judged:
    start = series.chains(slots, _codes(rows.get_column("event")))
    safe = np.maximum(start, 0)
    fired = (start >= 0) & (series.time - series.time[safe] <= series.span)
    return Windows(series.leading.first[safe], series.trailing.last, series.time), fired, np.full(series.time.size, float(len(slots))), own


def _expression(rows: pl.DataFrame, series: Series, correlation: Correlation, slots: dict[str, int], horizon: int) -> Judged:
    """`a and b`: in the window up to a row. With `not`, the window starts at a row of a rule that must be there, and must be complete."""
    condition = correlation.condition
    assert not isinstance(condition, Threshold)
    wanted, unwanted = condition.rules(positive=True), condition.rules(positive=False)
    windows = series.leading if unwanted else series.trailing
    nowhere = np.zeros(series.time.size, dtype=bool)
    present = series.present(windows)
    holds = condition.holds({rule: present.get(slot, nowhere) for rule, slot in slots.items()})
    evidence: Flags = np.isin(series.slot, [slots[rule] for rule in wanted])
    anchors = np.isin(series.slot, [slots[rule] for rule in correlation.known_from]) if correlation.known_from else evidence
    fired = holds & anchors
    if unwanted:
        fired &= windows.closes <= horizon
    metric = np.sum([present.get(slots[rule], nowhere) for rule in wanted], axis=0) if wanted else nowhere
    if correlation.type == "temporal_ordered":
        order = tuple(slots[rule] for rule in correlation.rules if rule in wanted)
        windows, in_order, _, _ = _ordered(rows, series, order, evidence)
        ends = in_order & ~_unwanted_after(series, windows, {slots[rule] for rule in unwanted})
        fired = ends & (series.time[windows.first] + series.span <= horizon if unwanted else ends)
    return windows, fired, metric.astype(np.float64), evidence | anchors


def _unwanted_after(series: Series, chains: Windows, unwanted: set[int]) -> Flags:
    """Whether a row of an unwanted rule lies in the window that starts with a chain."""
    if not unwanted:
        return np.zeros(series.time.size, dtype=bool)
    whole = Windows(chains.first, series.leading.last[chains.first], series.time)
    return series.count(whole, np.isin(series.slot, list(unwanted))) > 0


# --- findings -----------------------------------------------------------------------------------------------------------------


def _describe(evidence: pl.DataFrame, rows: pl.DataFrame, found: pl.DataFrame, correlation: str) -> pl.DataFrame:
    """Episodes (row ranges of `rows`) with their group, times and events. No row is in two episodes."""
    if found.is_empty():
        return pl.DataFrame(schema=FINDINGS)
    numbered = rows.with_row_index("row").select("row", "key", "slot", "event")
    mine = numbered.join(evidence.select("key", "slot", "event"), on=["key", "slot", "event"], how="semi", maintain_order="left")
    place = np.searchsorted(found.get_column("first").to_numpy(), mine.get_column("row").to_numpy(), side="right") - 1
    inside = (place >= 0) & (mine.get_column("row").to_numpy() <= found.get_column("last").to_numpy()[np.maximum(place, 0)])
    mine = mine.with_columns(pl.Series("episode", place)).filter(pl.Series(inside))
    telling = pl.concat([
        mine.unique(["episode", "slot"], keep="first", maintain_order=True), mine.unique("episode", keep="last", maintain_order=True),
        mine.filter(pl.int_range(pl.len()).over("episode") < MAX_EVENTS)])
    events = telling.unique(["episode", "event"], keep="first", maintain_order=True).group_by("episode", maintain_order=True).agg(
        c("event").head(MAX_EVENTS).alias("events"))
    ends = mine.group_by("episode").agg(c("row").min().alias("from"), c("row").max().alias("to"), c("event").n_unique().alias("count"))
    described = ends.join(events, on="episode").sort("episode")
    start, end = rows[described.get_column("from")], rows[described.get_column("to")]
    chosen = found[described.get_column("episode")]
    return pl.DataFrame({
        "correlation": pl.Series([correlation] * described.height, dtype=pl.String), "key": start.get_column("key"),
        "group": start.get_column("group"), "first": start.get_column("time"), "last": end.get_column("time"),
        "closes": chosen.get_column("closes"), "value": chosen.get_column("value"), "count": described.get_column("count"),
        "events": described.get_column("events")}).cast(FINDINGS)  # type: ignore[arg-type]


# --- correlations of correlations ---------------------------------------------------------------------------------------------


def levels(correlations: Sequence[Correlation]) -> list[list[Correlation]]:
    """Correlations (each after those it refers to) by depth: those of one level need only the findings of the levels before."""
    depth: dict[str, int] = {}
    for correlation in correlations:
        depth[correlation.id] = 1 + max((depth.get(rule, -1) for rule in correlation.refers_to), default=-1)
    return [[x for x in correlations if depth[x.id] == level] for level in range(max(depth.values(), default=-1) + 1)]


def as_hits(findings: pl.DataFrame, correlations: Iterable[Correlation]) -> pl.DataFrame:
    """Findings as hits of their correlation, at the time their window closed, with the fields of their group."""
    parts = []
    for correlation in correlations:
        mine = findings.filter(c("correlation") == correlation.id)
        parts.append(mine.select(
            c("correlation").alias("rule_id"), c("closes").alias("time"), finding_id().alias("event"),
            pl.lit(None, pl.String).alias("fact"), pl.lit(None, pl.String).alias("channel"),
            *(c("group").list.get(number).alias(name) for number, name in enumerate(correlation.group_by))))
    return pl.concat(parts, how="diagonal") if parts else pl.DataFrame(schema={"rule_id": pl.String})


def finding_id() -> pl.Expr:
    """What names a finding: correlation, group and time of its first event."""
    return pl.concat_str("correlation", "key", c("first").cast(pl.String), separator="|")


def unfold(findings: pl.DataFrame) -> pl.DataFrame:
    """Findings whose events are findings, with the events behind those; `count` becomes the number of the events."""
    rows = findings.with_columns(finding_id().alias("id"))
    inner = rows.select(c("id").alias("events"), c("events").alias("_events"), c("count").alias("_count"))
    for _ in range(rows.get_column("correlation").n_unique()):
        each = rows.explode("events").join(inner, on="events", how="left", maintain_order="left")
        if not each.get_column("_events").is_not_null().any():
            break
        whole = each.with_columns(pl.coalesce("_events", pl.concat_list("events")).alias("events"), c("_count").fill_null(1))
        grouped = whole.explode("events").group_by("id", maintain_order=True).agg(c("events").unique(maintain_order=True).head(MAX_EVENTS))
        extra = whole.group_by("id").agg(c("_count").sum() - pl.len())
        rows = rows.drop("events").join(grouped, on="id", maintain_order="left").join(extra, on="id", maintain_order="left")
        rows = rows.with_columns((c("count") + c("_count")).alias("count")).drop("_count")
    return rows.select(list(FINDINGS))


def judge(hits: pl.DataFrame, correlations: Sequence[Correlation], horizon: int) -> pl.DataFrame:
    """Findings of all correlations over hits that fit into memory; columns of FINDINGS."""
    found: list[pl.DataFrame] = []
    for level in levels(correlations):
        rows = members(pl.concat([hits, *(as_hits(f, correlations) for f in found)], how="diagonal"), level)
        found.append(evaluate(rows, level, horizon))
    return unfold(pl.concat(found)) if found else pl.DataFrame(schema=FINDINGS)
