"""Questions to the memory of who ran where: pure functions on intervals (columns.PLACEMENT)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

c = pl.col
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
SILENT = "no record is so old"
_TOLD = ("vm", "host", "cluster", "tenant", "segment", "zone", "role", "state", "reason", "source", "event")


@dataclass(frozen=True)
class Separation:
    """When two tenants shared a host, and when it is unknown: rows with `since` and `until` (null: still so), ISO 8601 in UTC.

    `shared`: host, and the machines of both. `unknown`: vm, tenant, and the reason. `unclaimed`: machines whose tenant nobody says.
    """

    shared: list[dict[str, Any]]
    unknown: list[dict[str, Any]]
    unclaimed: int

    def as_dict(self) -> dict[str, Any]:
        """The machine-readable twin of what is printed."""
        return {"shared": self.shared, "unknown": self.unknown, "machines_without_tenant": self.unclaimed}


def micros(moment: datetime) -> int:
    """A time in the unit of intervals."""
    return (moment - EPOCH) // MICROSECOND


def shown(value: int | None) -> str | None:
    """A time of an interval as text."""
    return None if value is None else (EPOCH + value * MICROSECOND).isoformat().replace("+00:00", "Z")


def as_of(intervals: pl.DataFrame, kind: str, key: str, at: datetime) -> list[dict[str, Any]]:
    """Where a VM, or who had an address, was at a time: none if nothing is known, several if an address is in several segments.

    A VM also tells the addresses that it had.
    """
    valid = _at(intervals, at)
    rows = valid.filter((c("kind") == kind) & (c("key") == key)).sort("segment", "vm").to_dicts()
    return [_answer(row, valid) for row in rows]


def _at(intervals: pl.DataFrame, at: datetime) -> pl.DataFrame:
    now = micros(at)
    return intervals.filter((c("valid_from") <= now) & (c("valid_to").is_null() | (c("valid_to") > now)))


def _answer(row: dict[str, Any], valid: pl.DataFrame) -> dict[str, Any]:
    had = valid.filter((c("vm") == row["vm"]) & (c("kind") != "vm")).select("key").unique().sort("key")
    return {name: row[name] for name in _TOLD} | {
        "since": shown(row["valid_from"]), "until": shown(row["valid_to"]), "addresses": had.get_column("key").to_list()}


def separation(intervals: pl.DataFrame, one: str, other: str, since: datetime, until: datetime) -> Separation:
    """Whether two tenants were apart from `since` to before `until`: only where neither list says anything they surely were.

    A machine shares its host while it runs, or while nobody says that it does not.
    """
    start, end = micros(since), micros(until)
    vms = intervals.filter(c("kind") == "vm")
    clipped = vms.filter((c("valid_from") < end) & (c("valid_to").is_null() | (c("valid_to") > start))).with_columns(
        pl.max_horizontal("valid_from", pl.lit(start)).alias("valid_from"),
        pl.when(c("valid_to") <= end).then("valid_to").otherwise(pl.lit(end)).alias("valid_to"))
    there = clipped.filter(c("state").is_null() | (c("state") == "running"))
    both = there.filter(c("tenant").is_in([one, other]))
    known = vms.select(c("valid_from").min()).item()
    heard = end if known is None else min(end, known)
    before = [{"vm": None, "tenant": None, "reason": SILENT, "since": shown(start), "until": shown(heard)}]
    unknown = (before if known is None or known > start else []) + _unknown(both)
    nobody = there.filter(c("tenant").is_null()).select(c("vm").n_unique()).item()
    return Separation(_shared(both, one, other), unknown, int(nobody))


def _unknown(both: pl.DataFrame) -> list[dict[str, Any]]:
    rows = both.filter(c("host").is_null()).sort("valid_from", "vm").to_dicts()
    return [{"vm": row["vm"], "tenant": row["tenant"], "reason": row["reason"], "since": shown(row["valid_from"]),
             "until": shown(row["valid_to"])} for row in rows]


def _shared(both: pl.DataFrame, one: str, other: str) -> list[dict[str, Any]]:
    """A sweep over the bounds per host, with how many machines of each run there; then who they were."""
    placed = both.filter(c("host").is_not_null())
    bounds = pl.concat([placed.select("host", "tenant", c(edge).alias("at"), pl.lit(sign).alias("sign"))
                        for edge, sign in (("valid_from", 1), ("valid_to", -1))]).sort("host", "at")
    running = [pl.when(c("tenant") == name).then("sign").otherwise(0).cum_sum().over("host") for name in (one, other)]
    counted = bounds.with_columns(running[0].alias("_0"), running[1].alias("_1"), c("at").shift(-1).over("host").alias("next"))
    counted = counted.filter(c("next") > c("at"))
    together = (c("_0") > 0) & (c("_1") > 0)
    runs = counted.with_columns(together.alias("_both")).with_columns(pl.struct("host", "_both").rle_id().alias("_run")).filter("_both")
    edges = (c("host").first(), c("at").first().alias("since"), c("next").last().alias("until"))
    spans = runs.group_by("_run", maintain_order=True).agg(*edges)
    met = spans.join(placed, on="host").filter((c("valid_from") < c("until")) & (c("valid_to") > c("since")))
    who = [c("vm").filter(c("tenant") == name).unique().sort().alias(name) for name in dict.fromkeys((one, other))]
    rows = met.group_by("host", "since", "until").agg(who).sort("since", "host").to_dicts()
    return [{"host": row["host"], "since": shown(row["since"]), "until": shown(row["until"]),
             "vms": {name: row[name] for name in (one, other)}} for row in rows]
