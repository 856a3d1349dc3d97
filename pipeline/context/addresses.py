"""Facts about addresses to intervals of which VM had one, keyed by segment and address.

A VM holds an address from when a record says so until one says that it lost it, or that another VM has it in that segment: servers give an
address out again only when it is free. Like placement, a fold over the set of facts: the order of arrival does not matter. Cost: one sort.

What a segment is, few records say: a fact without one is of the segment that other facts name for the same VM and address.

Most addresses are told by inventories only, a day or so after a VM came. So a VM that is known for less than a day when its address is
first told came with it, if nobody is known to have had that address before.
"""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from .columns import ADDRESS_FACTS, PLACEMENT, empty

c = pl.col
# `since`: from when on the VM had it, if that came to be only after that time.
HELD = {"vm": pl.String, "kind": pl.String, "address": pl.String, "segment": pl.String, "since": pl.Int64, "valid_from": pl.Int64,
        "valid_to": pl.Int64, "source": pl.String, "event": pl.String}
TOLD_LATE = timedelta(days=1) // timedelta(microseconds=1)
_CELL = ("kind", "address", "segment")


def held(facts: pl.DataFrame) -> pl.DataFrame:
    """Intervals (columns of HELD) in which VMs had addresses, of facts (columns.ADDRESS_FACTS, all of each address, in any order)."""
    if not facts.height:
        return empty(HELD)
    named = c("segment").forward_fill().backward_fill().over("vm", "kind", "address")
    # What is lost at the time at which somebody else gets it was lost before.
    rank = (c("act") == "has").cast(pl.Int8)
    said = facts.select(ADDRESS_FACTS.keys()).unique().sort("kind", "address", "vm", "time", "segment", "act", nulls_last=True)
    said = said.with_columns(named.alias("segment"), rank.alias("_rank")).sort(*_CELL, "time", "_rank", "vm", "source", "event")
    said = said.with_columns(
        pl.when(c("act") == "has").then("vm").forward_fill().over(_CELL).alias("_of"))
    counts = (c("act") == "has") | (c("vm") == c("_of"))  # who lost what is long another's says nothing new
    ends = said.filter(counts).with_columns(
        pl.when(c("act") == "has").then("vm").alias("_holder"), c("time").shift(-1).over(_CELL).alias("valid_to"))
    run = pl.struct(*_CELL, "_holder").rle_id()
    merged = ends.with_columns(run.alias("_run")).group_by("_run", maintain_order=True).agg(
        *(c(name).first() for name in _CELL), c("_holder").first().alias("vm"), c("time").first().alias("valid_from"),
        c("valid_to").last(), c("source").first(), c("event").first())
    first = pl.int_range(pl.len()).over(_CELL) == 0
    merged = merged.with_columns((c("valid_from") - pl.when(first).then(TOLD_LATE).otherwise(0)).alias("since"))
    whole = c("valid_to").is_null() | (c("valid_to") > c("valid_from"))
    return merged.filter(c("vm").is_not_null() & whole).select(HELD.keys())


def located(intervals: pl.DataFrame, placement: pl.DataFrame) -> pl.DataFrame:
    """Where holders of addresses were: intervals (columns.PLACEMENT, kinds `ip` and `mac`) of `intervals` (columns of HELD), cut where
    their VM moved. Both hold all rows of each VM in them. A VM of which no place is known has its address nevertheless; one that is
    removed has none.
    """
    if not intervals.height:
        return empty(PLACEMENT)
    places = placement.select("vm", "host", "cluster", "tenant", "zone", "role", "state", "reason", c("segment").alias("_of_vm"),
                              c("valid_from").alias("_from"), c("valid_to").alias("_to"))
    joined = _with_their_vm(intervals, places).join(_whole(places, intervals), on="vm", how="left")
    start, end = pl.max_horizontal("valid_from", "_from"), pl.min_horizontal("valid_to", "_to")
    cut = joined.with_columns(start.alias("valid_from"), end.alias("valid_to"), pl.coalesce("segment", "_of_vm").alias("segment"))
    kept = cut.filter((c("valid_to").is_null() | (c("valid_from") < c("valid_to"))) & (c("state") != "removed").fill_null(True))
    return kept.with_columns(c("address").alias("key")).select(PLACEMENT.keys()).cast(dict(PLACEMENT)).sort(  # type: ignore[arg-type]
        "kind", "key", "valid_from", "vm")


def _with_their_vm(intervals: pl.DataFrame, places: pl.DataFrame) -> pl.DataFrame:
    """The intervals, from when their VM came on if that was after `since`."""
    came = intervals.join(places.group_by("vm").agg(c("_from").min().alias("_came")), on="vm", how="left")
    with_it = c("_came").is_between("since", "valid_from").fill_null(False)
    return came.with_columns(pl.when(with_it).then("_came").otherwise("valid_from").alias("valid_from")).drop("_came", "since")


def _whole(places: pl.DataFrame, intervals: pl.DataFrame) -> pl.DataFrame:
    """The places, and for the time before a VM's first one an interval in which nothing is known."""
    first = places.group_by("vm").agg(c("_from").min().alias("_to")).join(intervals.select("vm").unique(), on="vm", how="semi")
    return pl.concat([places, first], how="diagonal")
