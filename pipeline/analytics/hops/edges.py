"""Whole pairs to the edges that are worth a look: rare ones, consoles, and those that cross into another tenant without leave.

An edge is what one user did from one machine to another within a minute of the clock, whatever number of logs tells it. Its rarity is
-ln((d + 1) / (history_days + 1)), capped, of the d days before its own (UTC) on which the pair was seen: a pair seen daily has 0, one never
seen the cap. Days, not events, so that an hour of attempts does not make a habit. What a person does through a manager (guest operations,
consoles) is rare as it is for that person, since one manager leads to all VMs. Consoles are kept even where they are a habit: from which VM
somebody came to the manager, the path tells. In a maintenance window of the target's host nothing is rare. Sorting and binary search only:
O(n log n) in the signals of a pair.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from ...context.columns import PLACE
from .ends import SEPARATOR, with_ends
from .parameters import CONSOLE, DAY, DISK, FLOW, GUEST_OPERATION, HOST_LOGIN, LOGIN, MINUTE, Hopping

c = pl.col
# What tells most comes first, where several are seen within a minute.
TELLING = (GUEST_OPERATION, DISK, LOGIN, HOST_LOGIN, CONSOLE, FLOW)
ECHO = 5 * MINUTE  # a login follows its connection within this time
# Ends as in ends; `days`: on how many days before the pair was seen; `through`: done through a manager or host that is no VM;
# `service`: the user is a program. The flags say what the hop crosses; they are false where a place is not known.
EDGES: dict[str, Any] = {
    "time": pl.Int64, "event": pl.String, "kind": pl.String, "who": pl.String, "user": pl.String, "service": pl.Boolean,
    "through": pl.Boolean, "from.is_vm": pl.Boolean, "to.is_vm": pl.Boolean,
    **{f"{end}.{name}": pl.String for end in ("from", "to") for name in ("name", *PLACE)},
    "port": pl.Int64, "days": pl.Int64, "rarity": pl.Float64, "same_host": pl.Boolean, "tenant_cross": pl.Boolean,
    "segment_cross": pl.Boolean, "zone_up": pl.Boolean, "guestop_bypass": pl.Boolean}


def judge(rows: pl.DataFrame, p: Hopping, horizon: int) -> pl.DataFrame:
    """Signals of whole pairs (ends.keyed) to EDGES."""
    del horizon  # nothing here waits for what may still come
    known = _owned(with_ends(rows, p), p).filter(c("to.name").is_not_null() & (c("from.name") != c("to.name")))
    pair = pl.when(c("through")).then(c("key")).otherwise(pl.concat_str("key", "from.name", "to.name", separator=SEPARATOR))
    edges = _once(known.with_columns(pair.alias("pair")))
    habits = edges.with_columns(_days_before(edges, p.history_days), pl.Series("bypass", _without_network(edges, p)))
    crossed = habits.with_columns(*crossings("from", "to", p), c("bypass").alias("guestop_bypass"))
    rare = (c("days") < p.habitual_days) | c("tenant_cross") | (c("through") & (c("kind") == CONSOLE))
    return crossed.with_columns(_rarity(p).alias("rarity")).filter(rare).select(c(name).cast(dtype) for name, dtype in EDGES.items())


def crossings(source: str, target: str, p: Hopping) -> list[pl.Expr]:
    """The flags of a hop between two ends whose places are in columns with these prefixes. A row of the segmentation that allows it (or
    has it inspected) takes the crossing of tenants away.
    """
    def differs(name: str) -> pl.Expr:
        return (c(f"{source}.{name}") != c(f"{target}.{name}")).fill_null(False)

    def rank(end: str) -> pl.Expr:
        return c(f"{end}.zone").str.to_lowercase().replace_strict(p.ranks, default=None, return_dtype=pl.Int64)

    allowed = p.policies.verdict(source, target, c("port")).is_in(["allow", "inspect"]).fill_null(False)
    both = c(f"{source}.vm").is_not_null() & c(f"{target}.vm").is_not_null()
    return [(both & (c(f"{source}.host") == c(f"{target}.host"))).fill_null(False).alias("same_host"),
            (both & differs("tenant") & ~allowed).alias("tenant_cross"), (both & differs("segment")).alias("segment_cross"),
            (both & (rank(target) > rank(source))).fill_null(False).alias("zone_up")]


def _owned(rows: pl.DataFrame, p: Hopping) -> pl.DataFrame:
    """Disks lead to the VM that had them before, within the history; where there is none, to the one that the path names."""
    disks = rows.filter(c("role") == DISK)
    if disks.is_empty():
        return rows
    ordered = disks.sort("key", "time", "event")
    passed = c("from.name") != c("from.name").shift().over("key")
    before = [pl.when(passed).then(c(f"from.{name}").shift().over("key")).forward_fill().over("key").alias(f"to.{name}")
              for name in ("name", *PLACE)]
    since = pl.when(passed).then(c("time").shift().over("key")).forward_fill().over("key")
    recent = (c("time") - since <= p.history_days * DAY).fill_null(False)
    taken = ordered.with_columns(before)
    kept = ordered.select(pl.when(recent).then(taken.get_column(name)).otherwise(c(name)).alias(name) if name.startswith("to.")
                          and name != "to.is_vm" else c(name) for name in ordered.columns)
    return pl.concat([rows.filter(c("role") != DISK), kept])


def _once(rows: pl.DataFrame) -> pl.DataFrame:
    """One edge per pair, user and minute; without connections whose login is known."""
    told = rows.with_columns(c("role").replace_strict(dict(zip(TELLING, range(len(TELLING)), strict=True)), return_dtype=pl.Int64)
                             .alias("telling"), (c("time") // MINUTE).alias("minute"))
    once = told.sort("pair", "to.name", "who", "minute", "telling", "time", "event").unique(
        ["pair", "to.name", "who", "minute"], keep="first", maintain_order=True)
    ordered = once.sort("pair", "time", "telling", "event")
    login = pl.when(c("role").is_in([LOGIN, HOST_LOGIN])).then(c("time"))
    after = login.backward_fill().over("pair") - c("time") <= ECHO
    before = c("time") - login.forward_fill().over("pair") <= MINUTE
    echo = (c("role") == FLOW) & (after.fill_null(False) | before.fill_null(False))
    return ordered.filter(~echo).rename({"role": "kind"})


def _days_before(edges: pl.DataFrame, history: int) -> pl.Series:
    """On how many of the `history` days before the day of each edge its pair was seen. `edges` are sorted by pair and time."""
    pair = edges.get_column("pair").rle_id().cast(pl.Int64).to_numpy()
    day = edges.get_column("time").to_numpy() // DAY
    if not day.size:
        return pl.Series("days", [], dtype=pl.Int64)
    width = int(day.max() - day.min()) + history + 2
    axis = pair * width + (day - day.min())  # days of different pairs lie further apart than the history
    distinct = np.unique(axis)
    return pl.Series("days", np.searchsorted(distinct, axis) - np.searchsorted(distinct, axis - history), dtype=pl.Int64)


def _without_network(edges: pl.DataFrame, p: Hopping) -> pl.Series:
    """Whether a guest operation or a disk leads where, in the history, no login and no connection of the pair led."""
    network = pl.when(c("kind").is_in([LOGIN, FLOW])).then(c("time"))
    led = (c("time") - network.forward_fill().over("pair") <= p.history_days * DAY).fill_null(False)
    return edges.select(c("kind").is_in([GUEST_OPERATION, DISK]) & ~led).to_series()


def _rarity(p: Hopping) -> pl.Expr:
    rarity = pl.min_horizontal(-((c("days") + 1) / (p.history_days + 1)).log(), pl.lit(p.rarity_cap))
    return pl.when(p.policies.in_maintenance(c("to.host"), c("time"))).then(0.0).otherwise(rarity.clip(0))
