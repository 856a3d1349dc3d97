"""What hits and lists say of machines, bucket by bucket, to files of the table `placement`: pure functions on frames.

VMs fall into BUCKETS by a hash of their name; a file of the table holds one bucket whole.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from ..delta_files import Add, write_parquet
from ..lake import TABLES
from . import addresses, moves
from .columns import MOVES, Columns, empty
from .files import Context
from .placement import absences, placement
from .tenants import TenantRow, assigned

BUCKETS = 64
ADDED: Columns = {"add": pl.String}
c = pl.col


@dataclass(frozen=True)
class Said:
    """Moves (columns.MOVES) and facts about addresses (columns.ADDRESS_FACTS)."""

    moves: pl.DataFrame
    facts: pl.DataFrame

    def and_of(self, more: Said) -> Said:
        """Both together."""
        return Said(pl.concat([self.moves, more.moves]), pl.concat([self.facts, more.facts]))


def said(hits: pl.DataFrame, roles: Mapping[str, tuple[str, ...]]) -> Said:
    """What hits of the placement rules say (moves.FIELDS and names.FIELDS, flat); `roles`: document.roles."""
    pairs = pl.DataFrame([(rule, role) for rule, played in roles.items() for role in played],
                         {"rule_id": pl.String, "role": pl.String}, orient="row")
    told = hits.join(pairs, on="rule_id", how="inner").with_columns(c("rule_id").alias("rule"))
    return Said(moves.moves(told), moves.address_facts(told))


def listed(context: Context) -> Said:
    """What the user's lists say."""
    return Said(moves.inventory_moves(context.inventory), pl.concat([moves.inventory_facts(context.inventory), context.addresses]))


def touched(new: Said) -> pl.DataFrame:
    """The buckets of VMs of which something is said, and the addresses."""
    vms = pl.concat([new.moves.get_column("vm"), new.facts.get_column("vm")]).to_frame()
    buckets, known = vms.select(bucket(c("vm")).alias("bucket")).unique(), new.facts.select("address").unique()
    return pl.concat([buckets, known], how="diagonal")


def sharing(facts: pl.DataFrame, known: list[str]) -> pl.DataFrame:
    """The buckets of all VMs that ever had one of some addresses."""
    return facts.filter(c("address").is_in(known)).select(bucket(c("vm")).alias("bucket")).unique()


def held_in(facts: pl.DataFrame, buckets: set[str] | None) -> pl.DataFrame:
    """Which VMs in some buckets (None: all) had which address (addresses.HELD, `bucket`), from all facts about those addresses."""
    return in_buckets(addresses.held(facts), buckets)


def in_buckets(rows: pl.DataFrame, buckets: set[str] | None) -> pl.DataFrame:
    """Rows of VMs in some buckets (None: all), with their `bucket`."""
    numbered = rows.with_columns(bucket(c("vm")).alias("bucket"))
    return numbered if buckets is None else numbered.filter(c("bucket").is_in(list(buckets)))


def bucket(vm: pl.Expr) -> pl.Expr:
    """The bucket of a VM: the same in every process and version."""
    return vm.map_batches(_buckets, return_dtype=pl.String)


def _buckets(names_of: pl.Series) -> pl.Series:
    """A hash of each different name, spread over the rows that have it."""
    different = names_of.unique().drop_nulls()
    numbers = [f"{hashlib.blake2b(name.encode(), digest_size=2).digest()[0] % BUCKETS:02d}" for name in different.to_list()]
    return names_of.replace_strict(different, pl.Series(numbers, dtype=pl.String), default=None, return_dtype=pl.String)


@dataclass(frozen=True)
class Target:
    """Where a task writes: the table's folder, the run's name for its files, what the rows are made by; complete inventories and the hosts
    that they list (moves.covered), and rules for tenants.
    """

    folder: str
    run: str
    basis: str
    lists: pl.DataFrame
    hosts: pl.DataFrame
    tenants: tuple[TenantRow, ...]

    def write(self, moved: pl.DataFrame | None, held: pl.DataFrame | None) -> pl.DataFrame:
        """Moves and intervals of addresses (columns.MOVES, addresses.HELD, each with `bucket`; None: there are none) of whole buckets
        folded, a file for each: `add` actions as JSON.
        """
        of_moves, of_held = _by_bucket(moved), _by_bucket(held)
        adds = [self._file(self.folded(of_moves.get(number, empty(MOVES)), of_held.get(number, empty(addresses.HELD))), number)
                for number in sorted({*of_moves, *of_held})]
        return pl.DataFrame({"add": [json.dumps(add) for add in adds if add]}, schema=dict(ADDED))

    def folded(self, moved: pl.DataFrame, held: pl.DataFrame) -> pl.DataFrame:
        """All that is known of the places of some VMs (columns.PLACEMENT), from their moves and addresses."""
        vms = assigned(placement(pl.concat([moved, absences(moved, self.lists, self.hosts)])), self.tenants)
        return pl.concat([vms, addresses.located(held, vms)])

    def _file(self, rows: pl.DataFrame, number: str) -> Add | None:
        if not rows.height:
            return None
        full = rows.sort("kind", "key", "valid_from", "vm").with_columns(
            pl.lit(number).alias("bucket"), pl.lit(self.basis).alias("basis"))
        return write_parquet(self.folder, full, None, self.run, TABLES["placement"].statistics)


def _by_bucket(rows: pl.DataFrame | None) -> dict[str, pl.DataFrame]:
    if rows is None:
        return {}
    return {str(number): part for (number,), part in rows.partition_by("bucket", as_dict=True, include_key=False).items()}
