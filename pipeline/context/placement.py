"""Moves to intervals of where each VM was: a fold over the set of moves, so that the order in which they arrived does not matter.

Method: moves are sorted by VM and time (one sort, n log n; everything else is one vectorised pass). Each says where the VM is from then on,
and most say where it was just before. Where the two disagree, a move was not seen: the VM was there at the one time and here at the other,
and from the one to the other it is unknown where. No guess is made; `reason` says what is missing.

The file of a log that names no host stands for its host only while no log names any for that VM: else one host had two names.

Whose a VM is, its segment, zone and role are facts about the VM, told by some moves and by inventories only. They hold for its whole life,
from when it is first known or registered until it is removed: from each statement on, and before the first.
"""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from .columns import MOVES, PLACEMENT, empty

c = pl.col
# What a move says, in the order in which moves of the same time happen. before: `host` is where the VM was just before; after: where it
# is from then on, at `host` or `target`, or nowhere that is named; state: from then on (null: as before, or what the row says).
ACTS: dict[str, tuple[bool, str | None, str | None]] = {
    "absent": (False, None, "removed"),     # a complete inventory does not have it any more
    "stop": (True, "host", "stopped"),
    "remove": (True, None, "removed"),
    "register": (False, "host", "stopped"),  # registered, created, cloned, found by the manager
    "move": (True, "target", None),
    "leave": (True, None, None),            # migrated away, the host does not say whereto
    "arrive": (False, "host", "running"),   # migrated to this host
    "start": (False, "host", "running"),
    "here": (True, "host", None),           # some other event that names VM and host
    "seen": (True, "host", None)}           # an inventory
_RANK = {act: rank for rank, act in enumerate(ACTS)}
OF_VM = ("tenant", "segment", "zone", "role")
# The host that a VM leaves tells of it after the one to which it comes, and two logs tell one move at slightly different times.
HANDOVER = timedelta(minutes=10) // timedelta(microseconds=1)
ABSENT, UNSEEN, NO_TARGET, NO_HOST, BACK = (
    "gone when the next inventory was taken", "moved unseen", "left for a host that is not known", "no record names the host",
    "came back unseen")


def placement(moves: pl.DataFrame) -> pl.DataFrame:
    """Intervals (columns.PLACEMENT, kind `vm`) of moves (columns.MOVES, all of each VM, in any order, repeated ones do no harm)."""
    if not moves.height:
        return empty(PLACEMENT)
    said = _claims(_without_late_leaves(_ordered(moves)))
    return _merged(_attributed(_intervals(said)))


def absences(moves: pl.DataFrame, snapshots: pl.DataFrame, covered: pl.DataFrame) -> pl.DataFrame:
    """Moves that say that a VM was gone: those that a later inventory, which lists the host they were on, does not have.

    `snapshots`: `source`, `time` of complete inventories; `covered`: `host`, `source` that lists it (one each).
    """
    if not moves.height or not snapshots.height:
        return empty(MOVES)
    said = _claims(_without_late_leaves(_ordered(moves))).with_columns(c("time").shift(-1).over("vm").alias("_next"))
    there = said.filter(c("_after").is_not_null()).select("vm", c("time").alias("_since"), "_next", c("_after").alias("host"))
    listed = there.join(covered, on="host", how="inner").sort("_since")
    later = listed.join_asof(snapshots.select("source", "time").unique().sort("time"), left_on="_since", right_on="time", by="source",
                             strategy="forward", allow_exact_matches=False, check_sortedness=False)
    gone = later.filter(c("time").is_not_null() & (c("_next").is_null() | (c("time") < c("_next"))))
    return _as_moves(gone.select("vm", "time", pl.lit("absent").alias("act"), "source"))


def _as_moves(rows: pl.DataFrame) -> pl.DataFrame:
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in MOVES.items() if name not in rows.columns]
    return rows.with_columns(missing).select(MOVES.keys())


def _ordered(moves: pl.DataFrame) -> pl.DataFrame:
    """By VM and time, what happened at one time in the order of ACTS; ties are broken by content, never by arrival."""
    rank = c("act").replace_strict(_RANK, return_dtype=pl.Int8)
    rest = [name for name in MOVES if name not in ("vm", "time", "act")]
    nameless = ~pl.any_horizontal(c("host", "target").is_not_null()).any().over("vm")
    named = moves.with_columns(pl.coalesce("host", pl.when(nameless).then("origin")).alias("host"))
    return named.select(MOVES.keys()).unique().with_columns(rank.alias("_rank")).sort("vm", "time", "_rank", *rest)


def _without_late_leaves(moves: pl.DataFrame) -> pl.DataFrame:
    """Without what the old host says when the new one has told of the VM already."""
    came = pl.when(c("act").is_in(["arrive", "move", "start"])).then(pl.coalesce("target", "host"))
    now_at, since = (each.forward_fill().over("vm") for each in (came, pl.when(came.is_not_null()).then(c("time"))))
    late = (c("act") == "leave") & (c("time") - since <= HANDOVER) & (now_at != c("host"))
    return moves.filter(~late.fill_null(False))


def _claims(moves: pl.DataFrame) -> pl.DataFrame:
    """What each move says: `_before` and `_after` (hosts), and `_state` from then on."""
    def acts(index: int, value: object) -> pl.Expr:
        return c("act").is_in([act for act, said in ACTS.items() if said[index] == value])

    after = pl.when(acts(1, "host")).then("host").when(acts(1, "target")).then("target")
    ends = pl.when(acts(2, "removed")).then(pl.lit("removed"))
    known = pl.when(acts(2, "running")).then(pl.lit("running")).when(acts(2, "stopped")).then(pl.lit("stopped"))
    named = pl.coalesce(ends, "state", known)
    said = moves.with_columns(after.alias("_after"), named.forward_fill().over("vm").alias("_state"))
    moved_after_end = (c("_state") == "removed") & ~c("act").is_in(["absent", "remove"])
    told_again = (c("act") == "move") & (c("target") == c("_after").shift(1).over("vm")).fill_null(False)
    return said.with_columns(
        pl.when(~moved_after_end).then("_state").alias("_state"),
        pl.when(acts(0, True) & ~told_again).then("host").alias("_before"))


def _intervals(said: pl.DataFrame) -> pl.DataFrame:
    """One interval from each move to the next, its host null where it cannot be known."""
    ahead = said.with_columns(*(c(name).shift(-1).over("vm").alias(f"_next_{name}") for name in ("time", "act", "_before")))
    removed = (c("_state") == "removed").fill_null(False)
    reason = (pl.when((c("_next_act") == "absent") & ~removed).then(pl.lit(ABSENT))
              .when(removed & c("_next__before").is_not_null()).then(pl.lit(BACK))
              .when(~removed & (c("_after") != c("_next__before"))).then(pl.lit(UNSEEN))
              .when(~removed & c("_after").is_null()).then(pl.when(c("act").is_in(["leave", "move"])).then(pl.lit(NO_TARGET))
                                                           .otherwise(pl.lit(NO_HOST))))
    stateless = pl.col("reason").is_in([ABSENT, BACK]).fill_null(False)
    return ahead.with_columns(reason.alias("reason")).with_columns(
        c("time").alias("valid_from"), c("_next_time").alias("valid_to"),
        pl.when(c("reason").is_null() & ~removed).then("_after").alias("host"),
        pl.when(~stateless).then("_state").alias("state"),
        removed.shift(1, fill_value=False).cum_sum().over("vm").alias("_life"))


def _attributed(intervals: pl.DataFrame) -> pl.DataFrame:
    """What is known of the VM holds for its life, the cluster as long as it is on the host."""
    filled = [c(name).forward_fill().backward_fill().over("vm", "_life").alias(name) for name in OF_VM]
    cluster = pl.when(c("host").is_not_null()).then(c("cluster").forward_fill().backward_fill().over("vm", "host"))
    return intervals.with_columns(*filled, cluster.alias("cluster"))


def _merged(intervals: pl.DataFrame) -> pl.DataFrame:
    """Without intervals of no length; neighbours that say the same are one, since what said so first."""
    whole = intervals.filter(c("valid_to").is_null() | (c("valid_to") > c("valid_from")))
    same = ("vm", "host", "cluster", *OF_VM, "state", "reason")
    run = pl.struct(same).rle_id()
    merged = whole.group_by(run.alias("_run"), maintain_order=True).agg(
        *(c(name).first() for name in same), c("valid_from").first(), c("valid_to").last(), c("source").first(), c("event").first())
    return merged.with_columns(pl.lit("vm").alias("kind"), c("vm").alias("key")).select(PLACEMENT.keys()).cast(dict(PLACEMENT))  # type: ignore[arg-type]
