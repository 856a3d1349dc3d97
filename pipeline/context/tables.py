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
VERSION = 1  # of the fold: one more when it makes something else of the same moves
_DDL = {pl.String: "STRING", pl.Int64: "BIGINT"}
_ARROW = {pl.String: pa.string(), pl.Int64: pa.int64()}
# Moves and intervals of addresses in one frame, so that one shuffle brings both of a VM to one task: `address` is null in a move.
_HELD = {f"held_{name}": dtype for name, dtype in addresses.HELD.items()}
_BOTH: Columns = {**MOVES, **_HELD}
_ADDED: Columns = {"add": pl.String}
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
    if (house.is_new("hits") and context.inventory.is_empty() and context.addresses.is_empty()) or (not anew and not days):
        return False
    said = _said(house, roles, context).persist()
    try:
        buckets = None if anew else _touched(said, _of_hits(house, roles, days))
        if buckets == set():
            return False
        adds = _written(house, said, context, _Target(worker_url(house.path("placement")), f"{run}-placement", basis), buckets)
    finally:
        said.unpersist()
    every = [f"{number:02d}" for number in range(BUCKETS)]
    gone = every if buckets is None else sorted(buckets)
    if adds or not house.is_new("placement"):
        house.commit(Batch(f"{run}-placement", {"placement": adds}, {"placement": gone}))
    return bool(adds)


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


def _said(house: Lake, roles: Mapping[str, tuple[str, ...]], context: Context) -> DataFrame:
    """Moves, and facts about addresses, of hits and of the user's lists: columns of _SAID, a row has one or the other."""
    told = _together(pl.concat([moves.inventory_moves(context.inventory)]),
                     pl.concat([moves.inventory_facts(context.inventory), context.addresses]))
    rows = _of_hits(house, roles, None)
    if told.height:
        rows = rows.unionByName(house.spark.createDataFrame(_arrow(told, _SAID), _ddl(_SAID)))
    return rows


def _of_hits(house: Lake, roles: Mapping[str, tuple[str, ...]], days: set[date] | None) -> DataFrame:
    wanted = F.col("rule_id").isin(*roles) & F.col("@timestamp").isNotNull()
    if days is not None:
        wanted &= F.col("date").isin([*days])
    fields = sorted(({*names.FIELDS, *moves.FIELDS}) & BY_NAME.keys())
    rows = house.read("hits").where(wanted).select(
        "rule_id", F.unix_micros("@timestamp").alias("time"), _leaf("event.id").alias("event"),
        *(_flat(name).alias(name.replace(".", ":")) for name in fields))
    pairs = pl.DataFrame([(rule, role) for rule, played in roles.items() for role in played], ["rule_id", "role"], orient="row")

    def say(frame: pl.DataFrame) -> pl.DataFrame:
        hits = frame.rename({name: name.replace(":", ".") for name in frame.columns}).join(pairs, on="rule_id", how="inner")
        hits = hits.with_columns(pl.col("rule_id").alias("rule"))
        return _together(moves.moves(hits), moves.address_facts(hits))

    return _mapped(rows, say, _SAID, whole=False)


def _together(moved: pl.DataFrame, facts: pl.DataFrame) -> pl.DataFrame:
    renamed = facts.rename({name: f"fact_{name}" for name in ADDRESS_FACTS})
    return pl.concat([moved, renamed], how="diagonal").select(_SAID.keys())


def _touched(said: DataFrame, new: DataFrame) -> set[str]:
    """The buckets of VMs of which something new is said, and of all that had one of the addresses of which something new is said."""
    of_vm = _mapped(new, lambda rows: rows.select(
        bucket(pl.coalesce("vm", "fact_vm")).alias("bucket"), pl.col("fact_address").alias("address")).unique(),
        {"bucket": pl.String, "address": pl.String}, whole=False)
    found = of_vm.distinct().collect()
    addresses_of = {row["address"] for row in found if row["address"]}
    buckets = {row["bucket"] for row in found}
    if addresses_of and len(buckets) < BUCKETS:
        wanted = said.where(F.col("fact_address").isNotNull())

        def sharing(rows: pl.DataFrame) -> pl.DataFrame:
            return rows.filter(pl.col("fact_address").is_in(list(addresses_of))).select(bucket(pl.col("fact_vm")).alias("bucket")).unique()

        buckets |= {row["bucket"] for row in _mapped(wanted, sharing, {"bucket": pl.String}, whole=False).distinct().collect()}
    return buckets


# --- the fold -------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Target:
    """Where a task writes: the table's folder, the run's name for its files, and what the rows are made by."""

    folder: str
    run: str
    basis: str


def _written(house: Lake, said: DataFrame, context: Context, target: _Target, buckets: set[str] | None) -> list[Add]:
    """Files of the buckets, as `add` actions (all buckets: None)."""
    both = _moves_of(said, buckets).unionByName(_held(said, buckets))
    lists, hosts = moves.covered(context.inventory)
    tenants = context.tenants

    def write(rows: pl.DataFrame) -> pl.DataFrame:
        each = rows.partition_by("bucket", as_dict=True).items()
        done = [_file(fold(part.drop("bucket"), lists, hosts, tenants), str(number), target) for (number,), part in each]
        return pl.DataFrame({"add": [json.dumps(add) for add in done if add]}, schema=dict(_ADDED))

    spread = both.repartition(BUCKETS, "bucket")
    return [json.loads(row["add"]) for row in _mapped(spread, write, _ADDED, whole=True).collect()]


def fold(rows: pl.DataFrame, lists: pl.DataFrame, hosts: pl.DataFrame, tenants: tuple[TenantRow, ...]) -> pl.DataFrame:
    """All that is known of the places of some VMs (columns.PLACEMENT), from their moves and addresses (columns of _BOTH)."""
    moved = rows.filter(pl.col("held_address").is_null()).select(MOVES.keys())
    held = rows.filter(pl.col("held_address").is_not_null()).select(pl.col(f"held_{name}").alias(name) for name in addresses.HELD)
    vms = assigned(placement(pl.concat([moved, absences(moved, lists, hosts)])), tenants)
    return pl.concat([vms, addresses.located(held, vms)])


def _file(rows: pl.DataFrame, number: str, target: _Target) -> Add | None:
    if not rows.height:
        return None
    full = rows.sort("kind", "key", "valid_from", "vm").with_columns(pl.lit(number).alias("bucket"), pl.lit(target.basis).alias("basis"))
    return write_parquet(target.folder, full, None, target.run, TABLES["placement"].statistics)


def _moves_of(said: DataFrame, buckets: set[str] | None) -> DataFrame:
    def work(rows: pl.DataFrame) -> pl.DataFrame:
        return _in_buckets(rows.filter(pl.col("vm").is_not_null()).select(MOVES.keys()), "vm", buckets)

    return _mapped(said.where(F.col("vm").isNotNull()), work, {**_BOTH, "bucket": pl.String}, whole=False)


def _held(said: DataFrame, buckets: set[str] | None) -> DataFrame:
    """Who had which address: one shuffle by address, which all facts about it must meet."""
    def work(rows: pl.DataFrame) -> pl.DataFrame:
        facts = rows.select(pl.col(f"fact_{name}").alias(name) for name in ADDRESS_FACTS)
        held = addresses.held(facts).rename({name: f"held_{name}" for name in addresses.HELD})
        return _in_buckets(held, "held_vm", buckets)

    facts = said.where(F.col("fact_address").isNotNull()).repartition("fact_address")
    return _mapped(facts, work, {**_BOTH, "bucket": pl.String}, whole=True)


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
