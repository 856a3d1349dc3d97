"""Context on Spark: hits of the placement rules and the user's inventories to the table `placement` of the lake.

VMs fall into BUCKETS by a hash of their name; a file of the table holds one bucket whole. A run folds the buckets anew in which something
is new, from all their moves: what comes late changes history as if it had come in time. Where an address is concerned, those of all VMs
that ever had it. Cost: one scan of the placement hits; shuffles of the moves (once) and of the facts about addresses (twice); no rows are
joined with one another, VMs and their moves meet in one task. A change of the context's files, or of the rules, folds everything anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date

import polars as pl
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from ..delta_files import Add, write_parquet
from ..lake import TABLES, Batch, Lake, worker_url
from ..schema import BY_NAME
from . import addresses, moves, names
from .columns import ADDRESS_FACTS, MOVES, PLACEMENT, Columns
from .files import Context
from .placement import absences, placement
from .tenants import TenantRow, assigned

BUCKETS = 64
FEW = 100_000  # hits (or listed rows) that the driver folds itself: starting tasks would take longer
VERSION = 2  # of the fold: one more when it makes something else of the same moves
_DDL = {pl.String: "STRING", pl.Int64: "BIGINT"}
_ARROW = {pl.String: pa.string(), pl.Int64: pa.int64()}
# Moves and intervals of addresses in one frame, so that one shuffle brings both of a VM to one task: `address` is null in a move.
_HELD = {f"held_{name}": dtype for name, dtype in addresses.HELD.items()}
_BOTH: Columns = {**MOVES, **_HELD}
_ADDED: Columns = {"add": pl.String}
_TOUCHED: Columns = {"bucket": pl.String, "address": pl.String}
_FACT = {f"fact_{name}": dtype for name, dtype in ADDRESS_FACTS.items()}
_SAID: Columns = {**MOVES, **_FACT}
Work = Callable[[pl.DataFrame], pl.DataFrame]


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
    found = pl.from_arrow(table.where(wanted).toArrow())
    assert isinstance(found, pl.DataFrame)
    return found.cast(dict(PLACEMENT))  # type: ignore[arg-type]


def refresh(house: Lake, roles: Mapping[str, tuple[str, ...]], context: Context, days: set[date], run: str) -> bool:
    """Bring the table up to what hits and context say. `roles`: document.roles; `days`: those that got hits. Whether anything changed.

    Raises LakeError.
    """
    basis = _basis(roles, context)
    anew = house.is_new("placement") or house.read("placement").where(F.col("basis") != basis).limit(1).count() > 0
    listed = _listed(context)
    if (house.is_new("hits") and listed.is_empty()) or (not anew and not days):
        return False
    hits = _hits(house, roles)
    few = _few(hits) if listed.height <= FEW else None
    target = _Target(worker_url(house.path("placement")), f"{run}-placement", basis, *moves.covered(context.inventory), context.tenants)
    told = _Told(None if anew else frozenset(days), _say(roles), listed, target)
    adds, buckets = told.of_many(hits) if few is None else told.of_few(few)
    gone = [f"{number:02d}" for number in range(BUCKETS)] if buckets is None else sorted(buckets)
    if not gone or (not adds and house.is_new("placement")):
        return False
    house.commit(Batch(f"{run}-placement", {"placement": adds}, {"placement": gone}))
    return True


def bucket(vm: pl.Expr) -> pl.Expr:
    """The bucket of a VM: the same in every process and version."""
    return vm.map_batches(_buckets, return_dtype=pl.String)


def _buckets(names_of: pl.Series) -> pl.Series:
    """A hash of each different name, spread over the rows that have it."""
    different = names_of.unique().drop_nulls()
    numbers = [f"{hashlib.blake2b(name.encode(), digest_size=2).digest()[0] % BUCKETS:02d}" for name in different.to_list()]
    return names_of.replace_strict(different, pl.Series(numbers, dtype=pl.String), default=None, return_dtype=pl.String)


def _basis(roles: Mapping[str, tuple[str, ...]], context: Context) -> str:
    said = json.dumps([VERSION, context.version, sorted((rule, played) for rule, played in roles.items())])
    return hashlib.blake2b(said.encode(), digest_size=6).hexdigest()


# --- what is said of VMs and addresses ------------------------------------------------------------------------------------------


def _hits(house: Lake, roles: Mapping[str, tuple[str, ...]]) -> DataFrame:
    """All hits of placement rules, flat, with colons for dots."""
    fields = sorted(({*names.FIELDS, *moves.FIELDS}) & BY_NAME.keys())
    return house.read("hits").where(F.col("rule_id").isin(*roles) & F.col("@timestamp").isNotNull()).select(
        "rule_id", "date", F.unix_micros("@timestamp").alias("time"), _leaf("event.id").alias("event"),
        *(_flat(name).alias(name.replace(".", ":")) for name in fields))


def _few(hits: DataFrame) -> pl.DataFrame | None:
    """The hits on the driver, unless they are many."""
    rows = pl.from_arrow(hits.limit(FEW + 1).toArrow())
    assert isinstance(rows, pl.DataFrame)
    return rows if rows.height <= FEW else None


def _say(roles: Mapping[str, tuple[str, ...]]) -> Work:
    """Hits to moves and facts about addresses: columns of _SAID, a row has one or the other."""
    pairs = pl.DataFrame([(rule, role) for rule, played in roles.items() for role in played],
                         {"rule_id": pl.String, "role": pl.String}, orient="row")

    def say(frame: pl.DataFrame) -> pl.DataFrame:
        hits = frame.rename({name: name.replace(":", ".") for name in frame.columns}).join(pairs, on="rule_id", how="inner")
        hits = hits.with_columns(pl.col("rule_id").alias("rule"))
        return _together(moves.moves(hits), moves.address_facts(hits))

    return say


def _listed(context: Context) -> pl.DataFrame:
    """What the user's lists say."""
    facts = pl.concat([moves.inventory_facts(context.inventory), context.addresses])
    return _together(moves.inventory_moves(context.inventory), facts)


def _together(moved: pl.DataFrame, facts: pl.DataFrame) -> pl.DataFrame:
    renamed = facts.rename({name: f"fact_{name}" for name in ADDRESS_FACTS})
    return pl.concat([moved, renamed], how="diagonal").select(_SAID.keys())


# --- the fold -------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Target:
    """Where a task writes: the table's folder, the run's name for its files, what the rows are made by; complete inventories and the hosts
    that they list (moves.covered), and rules for tenants.
    """

    folder: str
    run: str
    basis: str
    lists: pl.DataFrame
    hosts: pl.DataFrame
    tenants: tuple[TenantRow, ...]

    def write(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Moves and intervals of addresses (columns of _BOTH, `bucket`) folded, a file for each bucket: `add` actions as JSON."""
        each = rows.partition_by("bucket", as_dict=True).items()
        done = [self._file(fold(part.drop("bucket"), self.lists, self.hosts, self.tenants), str(number)) for (number,), part in each]
        return pl.DataFrame({"add": [json.dumps(add) for add in done if add]}, schema=dict(_ADDED))

    def _file(self, rows: pl.DataFrame, number: str) -> Add | None:
        if not rows.height:
            return None
        full = rows.sort("kind", "key", "valid_from", "vm").with_columns(
            pl.lit(number).alias("bucket"), pl.lit(self.basis).alias("basis"))
        return write_parquet(self.folder, full, None, self.run, TABLES["placement"].statistics)


@dataclass(frozen=True)
class _Told:
    """What hits and lists say: `days` that got hits (None: everything is folded anew), how hits are read, and the user's lists."""

    days: frozenset[date] | None
    say: Work
    listed: pl.DataFrame
    target: _Target

    def of_few(self, hits: pl.DataFrame) -> tuple[list[Add], set[str] | None]:
        """Files written here, and the buckets that they replace (None: all). Starting tasks would take longer."""
        told = pl.concat([self.say(hits), self.listed])
        buckets: set[str] | None = None
        if self.days is not None:
            new = touched(self.say(hits.filter(pl.col("date").is_in(list(self.days)))))
            shared = sharing(told, new.get_column("address").drop_nulls().to_list())
            buckets = {*new.get_column("bucket").drop_nulls(), *shared.get_column("bucket")}
        both = pl.concat([moves_in(told, buckets), held_in(told, buckets)])
        return [json.loads(add) for add in self.target.write(both).get_column("add")], buckets

    def of_many(self, hits: DataFrame) -> tuple[list[Add], set[str] | None]:
        """The same by tasks of Spark."""
        told = self.spread(hits).persist()
        try:
            buckets = None if self.days is None else self._touched(told, hits)
            rows = to_fold(told, buckets).repartition(BUCKETS, "bucket")
            return [json.loads(row["add"]) for row in _mapped(rows, self.target.write, _ADDED, whole=True).collect()], buckets
        finally:
            told.unpersist()

    def spread(self, hits: DataFrame) -> DataFrame:
        """All that is said, as rows of Spark."""
        rows = _mapped(hits, self.say, _SAID, whole=False)
        if self.listed.is_empty():
            return rows
        return rows.unionByName(hits.sparkSession.createDataFrame(_arrow(self.listed, _SAID), _ddl(_SAID)))

    def _touched(self, told: DataFrame, hits: DataFrame) -> set[str]:
        assert self.days is not None
        new = _mapped(hits.where(F.col("date").isin([*self.days])), lambda rows: touched(self.say(rows)), _TOUCHED, whole=False)
        found = new.distinct().collect()
        buckets, known = {row["bucket"] for row in found if row["bucket"]}, [row["address"] for row in found if row["address"]]
        if known and len(buckets) < BUCKETS:
            facts = told.where(F.col("fact_address").isNotNull())
            shared = _mapped(facts, lambda rows: sharing(rows, known), {"bucket": pl.String}, whole=False)
            buckets |= {row["bucket"] for row in shared.distinct().collect()}
        return buckets


def touched(told: pl.DataFrame) -> pl.DataFrame:
    """The buckets of VMs of which something is said, and the addresses."""
    return told.select(bucket(pl.coalesce("vm", "fact_vm")).alias("bucket"), pl.col("fact_address").alias("address")).unique()


def sharing(told: pl.DataFrame, known: list[str]) -> pl.DataFrame:
    """The buckets of all VMs that ever had one of some addresses."""
    return told.filter(pl.col("fact_address").is_in(known)).select(bucket(pl.col("fact_vm")).alias("bucket")).unique()


def to_fold(told: DataFrame, buckets: set[str] | None) -> DataFrame:
    """Moves, and intervals of addresses, of the VMs in some buckets (None: all): columns of _BOTH and `bucket`. All facts about an address
    meet in one task.
    """
    both: Columns = {**_BOTH, "bucket": pl.String}
    facts = told.where(F.col("fact_address").isNotNull()).repartition("fact_address")
    moved = _mapped(told.where(F.col("vm").isNotNull()), lambda rows: moves_in(rows, buckets), both, whole=False)
    return moved.unionByName(_mapped(facts, lambda rows: held_in(rows, buckets), both, whole=True))


def moves_in(told: pl.DataFrame, buckets: set[str] | None) -> pl.DataFrame:
    """The moves of VMs in some buckets."""
    return _in_buckets(told.filter(pl.col("vm").is_not_null()).select(MOVES.keys()), "vm", buckets)


def held_in(told: pl.DataFrame, buckets: set[str] | None) -> pl.DataFrame:
    """Which VMs in some buckets had which address, from all facts about those addresses."""
    facts = told.filter(pl.col("fact_address").is_not_null()).select(pl.col(f"fact_{name}").alias(name) for name in ADDRESS_FACTS)
    return _in_buckets(addresses.held(facts).rename({name: f"held_{name}" for name in addresses.HELD}), "held_vm", buckets)


def fold(rows: pl.DataFrame, lists: pl.DataFrame, hosts: pl.DataFrame, tenants: tuple[TenantRow, ...]) -> pl.DataFrame:
    """All that is known of the places of some VMs (columns.PLACEMENT), from their moves and addresses (columns of _BOTH)."""
    moved = rows.filter(pl.col("held_address").is_null()).select(MOVES.keys())
    held = rows.filter(pl.col("held_address").is_not_null()).select(pl.col(f"held_{name}").alias(name) for name in addresses.HELD)
    vms = assigned(placement(pl.concat([moved, absences(moved, lists, hosts)])), tenants)
    return pl.concat([vms, addresses.located(held, vms)])


def _in_buckets(rows: pl.DataFrame, vm: str, buckets: set[str] | None) -> pl.DataFrame:
    numbered = rows.with_columns(bucket(pl.col(vm)).alias("bucket"))
    kept = numbered if buckets is None else numbered.filter(pl.col("bucket").is_in(list(buckets)))
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in _BOTH.items() if name not in kept.columns]
    return kept.with_columns(missing).select(*_BOTH, "bucket")


# --- Spark and Polars -----------------------------------------------------------------------------------------------------------


def _mapped(rows: DataFrame, work: Work, columns: Columns, whole: bool) -> DataFrame:
    """Rows worked upon batch by batch, or partition by partition (`whole`)."""
    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for held in [list(batches)] if whole else ([batch] for batch in batches):
            if held:
                frame = pl.from_arrow(pa.Table.from_batches(held))
                assert isinstance(frame, pl.DataFrame)
                yield from _arrow(work(frame), columns).to_batches()

    return rows.mapInArrow(run, _ddl(columns))


def _ddl(columns: Columns) -> str:
    return ", ".join(f"`{name}` {_DDL[dtype]}" for name, dtype in columns.items())


def _arrow(frame: pl.DataFrame, columns: Columns) -> pa.Table:
    """An Arrow table as Spark takes it: plain strings."""
    table = frame.select(columns.keys()).to_arrow(compat_level=pl.CompatLevel.oldest())
    return table.cast(pa.schema([(name, _ARROW[dtype]) for name, dtype in columns.items()]))


def _leaf(name: str) -> Column:
    return F.col(".".join(f"`{part}`" for part in name.split(".")))


def _flat(name: str) -> Column:
    """A field as text; the values of a list in one text."""
    column = _leaf(name)
    return F.when(F.size(column) > 0, F.concat_ws(", ", column)) if BY_NAME[name].many else column.cast("string")
