"""Differences between inventories that no event explains, and identities that two machines claim: facts (triangulation.FACTS) to facts.

The lists of a host are never read at the same instant, and what happens meanwhile is told by events: a VM is started, stopped, moved,
registered or removed by somebody or something (DRS, HA) that is logged. So a difference counts only if no event of its VM lies between
the two looks, or so close to them (`grace`) that a move was under way, a clock was wrong or a list was late. Which host the event names
does not matter: the restart by HA on another host explains why a VM is gone from its own. But one that names the host to which a VM went
explains no appearance elsewhere: else whatever DRS moves on a day could be moved on unseen.

Two VMs that run at the same time on two hosts under one uuid, and two hosts of one hardware uuid, are copies of which one is not what it
says it is. A VM under one name is on two hosts also while it moves, so there an event explains.

O(n log n): one sort and one as-of join per kind.
"""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from .triangulation import FACTS, NO_UUID, RUNNING, as_facts, uuid_of

c = pl.col
DIFFERENCES = ("rogue", "unmanaged", "ghost", "hidden", "appeared", "vanished")
EXPLAINS, RUNS, SHARES, CLAIMS = "explains", "runs", "shares", "claims"


def keyed(facts: pl.DataFrame) -> pl.DataFrame:
    """Facts by the VM, uuid or host they are about. What runs is there twice: under its name and under its uuid."""
    machine = pl.concat_str(pl.lit("vm:"), pl.coalesce("vm", "mac", "uuid"))
    key = (pl.when(c("kind").is_in([*DIFFERENCES, EXPLAINS, RUNS])).then(machine)
           .when(c("kind") == CLAIMS).then(pl.concat_str(pl.lit("id:"), "uuid"))
           .otherwise(pl.concat_str(pl.lit("host:"), "host")))
    shares = facts.filter((c("kind") == RUNS) & c("uuid").is_not_null()).with_columns(
        pl.lit(SHARES).alias("kind"), pl.concat_str(pl.lit("uuid:"), "uuid").alias("key"))
    return pl.concat([facts.with_columns(key.alias("key")), shares])


def runs(seen: pl.DataFrame) -> pl.DataFrame:
    """What runs (rows of triangulation.identified), as facts."""
    running = seen.filter((c("rule") == RUNNING) & c("vm").is_not_null()).with_columns(pl.lit(RUNS).alias("kind"), since=c("time"))
    return running.select(as_facts(running))


def claims(rows: pl.DataFrame) -> pl.DataFrame:
    """The hardware uuid that each host has (inventory signals), as facts."""
    named = rows.select("host", "time", uuid_of("host.id").alias("uuid"))
    named = named.filter(c("uuid").is_not_null() & ~c("uuid").str.contains(NO_UUID)).unique().with_columns(
        pl.lit(CLAIMS).alias("kind"), since=c("time"))
    return named.select(as_facts(named))


def unexplained(facts: pl.DataFrame, grace: timedelta, near: timedelta) -> pl.DataFrame:
    """Whole groups of `keyed`: differences that no event explains and identities that are claimed twice; other facts as they are."""
    told = facts.filter(c("kind") == EXPLAINS)
    moving = _twice(facts.filter(c("kind") == RUNS), "duplicate_vm", near, c("uuid") == c("_uuid"))
    copies = _twice(facts.filter(c("kind") == SHARES), "duplicate_vm", near, c("vm") != c("_vm"))
    hosts = _twice(facts.filter(c("kind") == CLAIMS), "duplicate_host", near, pl.lit(True))
    differing = pl.concat([facts.filter(c("kind").is_in(DIFFERENCES)), moving])
    others = facts.filter(~c("kind").is_in([*DIFFERENCES, EXPLAINS, RUNS, SHARES, CLAIMS]))
    return pl.concat([_untold(differing, told, grace), copies, hosts, others]).select(list(FACTS))


def _untold(differing: pl.DataFrame, told: pl.DataFrame, grace: timedelta) -> pl.DataFrame:
    """Differences that no event explains. An event of which the target is known (`other`) explains an appearance there only."""
    slack = grace // timedelta(microseconds=1)
    appeared = c("kind") == "appeared"
    whereto = told.filter(c("other").is_not_null()).with_columns(c("other").alias("host"))
    left = _silent(differing.filter(appeared), told.filter(c("other").is_null()), ["key"], slack)
    return pl.concat([_silent(differing.filter(~appeared), told, ["key"], slack), _silent(left, whereto, ["key", "host"], slack)])


def _silent(differing: pl.DataFrame, told: pl.DataFrame, by: list[str], slack: int) -> pl.DataFrame:
    """Differences without an event from `slack` before their interval to `slack` after it."""
    asked = differing.with_columns((c("since") - slack).alias("_from")).sort("_from")
    events = told.select(*by, c("time").alias("_told")).sort("_told")
    found = asked.join_asof(events, left_on="_from", right_on="_told", by=by, strategy="forward", check_sortedness=False)
    return found.filter(c("_told").is_null() | (c("_told") > c("time") + slack)).select(differing.columns)


def _twice(rows: pl.DataFrame, kind: str, near: timedelta, conflict: pl.Expr) -> pl.DataFrame:
    """For both of two neighbouring rows (by time) of a group that name two hosts and are in conflict: a fact for each of the hosts."""
    ordered = rows.sort("key", "time", "host", "vm")
    before = ordered.with_columns(*(c(name).shift(1).over("key").alias(f"_{name}") for name in ("host", "vm", "uuid", "time")))
    pairs = before.filter((c("host") != c("_host")) & (c("time") - c("_time") <= near // timedelta(microseconds=1)) & conflict)
    pairs = pairs.with_columns(pl.lit(kind).alias("kind"), c("_time").alias("since"))
    mine = pairs.with_columns(c("_host").alias("other"))
    theirs = pairs.with_columns(c("_host").alias("host"), c("host").alias("other"), c("_vm").alias("vm"))
    return pl.concat([mine, theirs]).select(rows.columns)
