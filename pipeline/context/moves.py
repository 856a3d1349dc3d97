"""Hits of the placement rules, and rows of inventories, as moves of VMs and facts about addresses: pure functions on flat frames.

A role of the placement document says what its rules' hits mean. What differs between sources is said by their parsers in common fields;
only a cloud's answer that lists many instances is taken apart here.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from . import names
from .columns import ADDRESS_FACTS, MOVES, empty

c = pl.col
# Role of a rule in detections/signals/placement.yml -> what its hits say (placement.ACTS, or of an address).
MOVE_ROLES: Mapping[str, str] = {
    "start": "start", "stop": "stop", "move": "move", "leave": "leave", "arrive": "arrive", "register": "register", "clone": "register",
    "remove": "remove", "here": "here"}
ADDRESS_ROLES: Mapping[str, str] = {"address": "has", "address_lost": "lost"}
ROLES = (*MOVE_ROLES, *ADDRESS_ROLES)
# What `moves` and `address_facts` read of a hit, besides what `names.canonical` reads.
FIELDS = ("vm.target.host", "vm.network.mac", "vm.network.name", "hypervisor.cluster", "hypervisor.datacenter", "observer.name",
          "tenant.id", "cloud.account.id", "cloud.availability_zone", "aws.cloudtrail.instance_ids", "aws.cloudtrail.response_elements")
_STATES = {"running": "running", "poweredon": "running", "on": "running", "up": "running", "active": "running", "stopped": "stopped",
           "poweredoff": "stopped", "off": "stopped", "down": "stopped", "suspended": "stopped", "shut off": "stopped",
           "terminated": "removed", "removed": "removed"}
PLACED_BY = ("manager", "running", "registered")  # views of an inventory that say where a VM is


def state_name(raw: pl.Expr) -> pl.Expr:
    """running, stopped or removed; null for other words."""
    return raw.str.strip_chars().str.to_lowercase().replace_strict(_STATES, default=None, return_dtype=pl.String)


def moves(hits: pl.DataFrame) -> pl.DataFrame:
    """Moves (columns.MOVES) of hits: `role` (of ROLES), `rule`, `time` (microseconds UTC), `event`, FIELDS and names.FIELDS as flat text
    columns, absent ones null. Hits that name no VM, or of which nothing follows, give none. Where the host to which a VM moved tells
    of it, it does not say where the VM was.
    """
    rows = hits.filter(c("role").is_in(list(MOVE_ROLES)))
    if not rows.height:
        return empty(MOVES)
    named = _named(_instances(names.canonical(rows)))
    act = c("role").replace_strict(MOVE_ROLES, return_dtype=pl.String)
    target = names.host_name(_text(named, "vm.target.host"))
    made = c("role").is_in(["register", "clone"])
    said = named.with_columns(
        pl.when((act == "here") & target.is_not_null()).then(pl.lit("move")).otherwise(act).alias("act"),
        pl.when(made).then(pl.coalesce(target, c("host"))).when(target.ne_missing(c("host"))).then("host").alias("host"),
        pl.when(~made).then(target).alias("target"),
        pl.coalesce(_text(named, "hypervisor.cluster"), "_zone", _text(named, "cloud.availability_zone")).alias("cluster"),
        pl.coalesce(_text(named, "tenant.id"), _text(named, "cloud.account.id")).str.to_lowercase().alias("tenant"),
        c("_subnet").alias("segment"), c("rule").alias("source"), *_nulls("state", "zone", "role"))
    says = c("vm").is_not_null() & ((c("act") != "here") | c("host").is_not_null())
    return said.filter(says).select(MOVES.keys()).cast(dict(MOVES))  # type: ignore[arg-type]


def address_facts(hits: pl.DataFrame) -> pl.DataFrame:
    """Facts about addresses (columns.ADDRESS_FACTS) of hits like those of `moves`."""
    rows = hits.filter(c("role").is_in(list(ADDRESS_ROLES)))
    if not rows.height:
        return empty(ADDRESS_FACTS)
    told = _instances(names.canonical(rows))
    said = told.with_columns(
        c("role").replace_strict(ADDRESS_ROLES, return_dtype=pl.String).alias("act"), c("rule").alias("source"),
        pl.coalesce("_subnet", _text(told, "vm.network.name")).str.to_lowercase().alias("segment"),
        names.mac(pl.coalesce("_mac", _text(told, "vm.network.mac"))).alias("mac"), names.address(c("_ip")).alias("ip"))
    return _by_kind(said)


def inventory_moves(inventory: pl.DataFrame) -> pl.DataFrame:
    """What an inventory (columns.INVENTORY) says of where VMs are. A manager's word counts before that of hosts, of which two may claim one
    VM; what was seen on the wire is no statement of either.
    """
    rank = c("view").replace_strict({view: number for number, view in enumerate(PLACED_BY)}, default=None, return_dtype=pl.Int8)
    rows = inventory.filter(c("view").is_in(PLACED_BY) & c("vm").is_not_null()).sort("vm", "time", rank, "source", "row")
    first = rows.unique(["vm", "time"], keep="first", maintain_order=True)
    return first.with_columns(pl.lit("seen").alias("act"), c("row").alias("event"), *_nulls("target", "origin")).select(MOVES.keys())


def inventory_facts(inventory: pl.DataFrame) -> pl.DataFrame:
    """What an inventory says of addresses; one that a VM no longer has in the source's next one was lost by then."""
    rows = inventory.filter(c("vm").is_not_null()).with_columns(pl.lit("has").alias("act"), c("row").alias("event"))
    has = _by_kind(rows)
    listed = rows.select("vm", "source", "time").unique().sort("time")
    later = has.sort("time").join_asof(listed.with_columns(c("time").alias("_next")), on="time", by=["vm", "source"], strategy="forward",
                                       allow_exact_matches=False, check_sortedness=False).filter(c("_next").is_not_null())
    still = has.select("vm", "kind", "address", "source", c("time").alias("_next"))
    kept_kind = has.select("vm", "kind", "source", c("time").alias("_next")).unique()  # the next list says something of that kind
    lost = later.join(still, on=["vm", "kind", "address", "source", "_next"], how="anti").join(
        kept_kind, on=["vm", "kind", "source", "_next"], how="semi")
    return pl.concat([has, lost.with_columns(pl.lit("lost").alias("act"), c("_next").alias("time")).select(ADDRESS_FACTS.keys())])


def covered(inventory: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """For placement.absences: the complete lists of managers (`source`, `time`), and which of them lists a host (`host`, `source`)."""
    rows = inventory.filter((c("view") == "manager") & c("snapshot").is_not_null())
    hosts = rows.filter(c("host").is_not_null()).sort("time", "source").group_by("host", maintain_order=True).agg(c("source").last())
    return rows.select("source", "time").unique().sort("source", "time"), hosts


def _named(rows: pl.DataFrame) -> pl.DataFrame:
    """With the host that the record is about: a manager's own name or that of the data centre stands where the record names none."""
    named = pl.coalesce(names.host_name(_text(rows, "host.name")), names.host_name(_text(rows, "host.hostname")))
    manager, datacenter = (names.host_name(_text(rows, field)) for field in ("observer.name", "hypervisor.datacenter"))
    is_host = (named.ne_missing(manager)) & (named.ne_missing(datacenter))
    return rows.with_columns(pl.coalesce(c("_dedicated"), pl.when(is_host).then(named)).alias("host"),
                             _text(rows, "hypervisor.origin").str.to_lowercase().alias("origin"))


def _instances(rows: pl.DataFrame) -> pl.DataFrame:
    """A row for each instance of a cloud's call, with what the answer says of it: `_dedicated` (host), `_zone`, `_subnet`, `_ip`, `_mac`.

    In the answer, what belongs to an instance stands between its id and the next; so a text search finds it, whatever else is there.
    """
    parts = _text(rows, "aws.cloudtrail.response_elements").str.split('"instanceId":"').list.slice(1)
    ids = _text(rows, "aws.cloudtrail.instance_ids").str.split(", ")
    every = pl.when(parts.list.len() > 0).then(parts).otherwise(ids)
    each = rows.with_columns(every.alias("_instance")).explode("_instance", empty_as_null=True, keep_nulls=True)
    found = {"_dedicated": r'"hostId":"(h-[0-9a-f]+)"', "_zone": r'"availabilityZone":"([^"]+)"', "_subnet": r'"subnetId":"([^"]+)"',
             "_ip": r'"privateIpAddress":"([^"]+)"', "_mac": r'"macAddress":"([^"]+)"'}
    instance = c("_instance").str.extract(r"^(m?i-[0-9A-Za-z]+)").str.to_lowercase()
    return each.with_columns(pl.coalesce(instance, "vm").alias("vm"),
                             *(c("_instance").str.extract(pattern).alias(name) for name, pattern in found.items()))


def _by_kind(rows: pl.DataFrame) -> pl.DataFrame:
    parts = [rows.filter(c(kind).is_not_null() & c("vm").is_not_null()).with_columns(pl.lit(kind).alias("kind"), c(kind).alias("address"))
             .select(ADDRESS_FACTS.keys()) for kind in ("ip", "mac")]
    return pl.concat(parts).cast(dict(ADDRESS_FACTS)).unique()  # type: ignore[arg-type]


def _nulls(*columns: str) -> list[pl.Expr]:
    return [pl.lit(None, pl.String).alias(name) for name in columns]


def _text(rows: pl.DataFrame, field: str) -> pl.Expr:
    if field not in rows.columns:
        return pl.lit(None, pl.String)
    if isinstance(rows.schema[field], pl.List):
        return pl.when(c(field).list.len() > 0).then(c(field).list.join(", "))
    return c(field).cast(pl.String)

