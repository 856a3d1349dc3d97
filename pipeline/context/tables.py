"""Context on Spark: hits of the placement rules and the user's inventories to the table `placement` of the lake.

A run folds the buckets (folding.py) anew in which something is new, from all their moves: what comes late changes history as if it had
come in time. Where an address is concerned, those of all VMs that ever had it. Cost: one scan of the placement hits; shuffles of the moves
(once) and of the facts about addresses (twice), in blocks (blocks.py); no rows are joined with one another, VMs and their moves meet in one
task. A change of the context's files, or of the rules, folds everything anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import polars as pl
from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ..blocks import PART, Named, at_once, changed, collected, gathered, made, met, parted, read
from ..delta_files import Add
from ..lake import Batch, Lake, worker_url
from ..schema import BY_NAME
from . import moves, names
from .columns import PLACEMENT, Columns
from .files import Context
from .folding import ADDED, BUCKETS, Said, Target, held_in, in_buckets, listed, said, sharing, touched

FEW = 100_000  # hits (or listed rows) that the driver folds itself: starting tasks would take longer
VERSION = 1  # of the fold: one more when it makes something else of the same moves
HITS: Columns = {"rule_id": pl.String, "@timestamp": pl.Int64, "event.id": pl.String, **dict.fromkeys(
    sorted({*names.FIELDS, *moves.FIELDS} & BY_NAME.keys()), pl.String)}
Roles = Mapping[str, tuple[str, ...]]  # document.roles
MOVED, FACTS, HELD = "moved", "facts", "held"  # names of blocks


def placed(house: Lake) -> DataFrame | None:
    """Where machines were (columns.PLACEMENT), for the jobs; None if the lake knows nothing."""
    return None if house.is_new("placement") else house.read("placement").select(*PLACEMENT)


def remembered(table: DataFrame, only: tuple[str, str] | None = None) -> pl.DataFrame:
    """Intervals on the driver: of all machines, or (kind and key) of one machine or address, with all that its machines had."""
    if only is None:
        wanted = F.col("kind") == "vm"
    else:
        mine = table.where((F.col("kind") == only[0]) & (F.col("key") == only[1]))
        wanted = F.col("vm").isin([row["vm"] for row in mine.select("vm").distinct().collect()])
    return collected(table.where(wanted)).cast(dict(PLACEMENT))  # type: ignore[arg-type]


def refresh(house: Lake, roles: Roles, context: Context, days: set[date], run: str) -> bool:
    """Bring the table up to what hits and context say. `roles`: document.roles; `days`: those that got hits. Whether anything changed.

    Raises LakeError.
    """
    basis = _basis(roles, context)
    anew = house.is_new("placement") or house.read("placement").where(F.col("basis") != basis).limit(1).count() > 0
    lists = listed(context)
    if (house.is_new("hits") and lists.moves.is_empty() and lists.facts.is_empty()) or (not anew and not days):
        return False
    hits = house.read("hits").where(F.col("rule_id").isin(*roles))
    few = lists.moves.height + lists.facts.height <= FEW and hits.limit(FEW + 1).count() <= FEW
    target = Target(worker_url(house.path("placement")), f"{run}-placement", basis, *moves.covered(context.inventory), context.tenants)
    told = _Told(None if anew else frozenset(days), dict(roles), lists, target)
    adds, buckets = told.of_few(hits) if few else told.of_many(hits)
    gone = [f"{number:02d}" for number in range(BUCKETS)] if buckets is None else sorted(buckets)
    if not gone or (not adds and house.is_new("placement")):
        return False
    house.commit(Batch(f"{run}-placement", {"placement": adds}, {"placement": gone}))
    return True


def _basis(roles: Roles, context: Context) -> str:
    said = json.dumps([VERSION, context.version, sorted((rule, played) for rule, played in roles.items())])
    return hashlib.blake2b(said.encode(), digest_size=6).hexdigest()


@dataclass(frozen=True)
class _Told:
    """What hits and lists say: `days` that got hits (None: everything is folded anew), the roles of the rules, and the user's lists."""

    days: frozenset[date] | None
    roles: Roles
    listed: Said
    target: Target

    def of_few(self, table: DataFrame) -> tuple[list[Add], set[str] | None]:
        """Files written here, and the buckets that they replace (None: all). Starting tasks for each step would take longer."""
        hits = gathered(read(table, HITS, _moves(self.roles), lambda rows, _: [("hits", at_once(rows))]), HITS)
        told = _said(hits, self.roles).and_of(self.listed)
        buckets: set[str] | None = None
        if self.days is not None:
            day = pl.from_epoch("@timestamp", "us").dt.date()
            new = touched(_said(hits.filter(day.is_in(list(self.days))), self.roles))
            shared = sharing(told.facts, new.get_column("address").drop_nulls().to_list())
            buckets = {*new.get_column("bucket").drop_nulls(), *shared.get_column("bucket")}
        return _actions(self.target.write(in_buckets(told.moves, buckets), held_in(told.facts, buckets))), buckets

    def of_many(self, table: DataFrame) -> tuple[list[Add], set[str] | None]:
        """The same by tasks of Spark."""
        roles = self.roles
        sent = read(table, HITS, _moves(roles), lambda rows, _: _sent(_said(rows, roles)))
        told = sent.unionByName(made(_sent(self.listed), table.sparkSession)).persist(StorageLevel.DISK_ONLY)
        try:
            buckets = None if self.days is None else self._touched(told, table.where(F.col("date").isin([*self.days])))
            return _actions(gathered(folded(told, buckets, self.target), ADDED)), buckets
        finally:
            told.unpersist()

    def _touched(self, told: DataFrame, new_ones: DataFrame) -> set[str]:
        roles = self.roles
        new = read(new_ones, HITS, _moves(roles), lambda rows, _: [("new", at_once(touched(_said(rows, roles))))])
        found = gathered(new, {"bucket": pl.String, "address": pl.String})
        buckets, known = (found.get_column(name).drop_nulls().unique().to_list() for name in ("bucket", "address"))
        if not known or len(buckets) == BUCKETS:
            return set(buckets)
        shared = changed(told.where(F.col("name") == FACTS), lambda facts: [("new", at_once(sharing(facts, known)))])
        return {*buckets, *gathered(shared, {"bucket": pl.String}).get_column("bucket")}


def folded(told: DataFrame, buckets: set[str] | None, target: Target) -> DataFrame:
    """All that is said, as blocks, to files of some buckets (None: all): `add` actions, as blocks. The facts about an address meet in one
    task, and then what is known of the VMs of a bucket.
    """
    wanted = told if buckets is None else told.where((F.col("name") == FACTS) | F.col("part").isin([int(each) for each in buckets]))
    held = met(wanted, BUCKETS, (FACTS,), lambda frames: [
        (HELD, _to_bucket(held_in(frames[FACTS], buckets)))])
    return met(held, BUCKETS, (MOVED, HELD), lambda frames: [("added", at_once(target.write(frames.get(MOVED), frames.get(HELD))))])


def _moves(roles: Roles) -> pl.Expr:
    """Which hits say something."""
    return pl.col("rule_id").is_in([*roles]) & pl.col("@timestamp").is_not_null()


def _said(hits: pl.DataFrame, roles: Roles) -> Said:
    return said(hits.rename({"@timestamp": "time", "event.id": "event"}), roles)


def _sent(all_said: Said) -> list[Named]:
    """Moves to the bucket of their VM, facts to that of their address."""
    return [(MOVED, _to_bucket(in_buckets(all_said.moves, None))), (FACTS, parted(all_said.facts, "address", BUCKETS))]


def _to_bucket(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(pl.col("bucket").cast(pl.Int64).alias(PART))


def _actions(added: pl.DataFrame) -> list[Add]:
    return [json.loads(add) for add in added.get_column("add")]
