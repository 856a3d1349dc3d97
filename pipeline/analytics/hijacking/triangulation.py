"""Inventory triangulation: what four lists of the machines of one host say about one another, and how each list changed.

A host has four lists: A `manager` (what vCenter or libvirt's manager shows on it), B `registered` (what the host itself has
registered), C `running` (worlds or qemu processes that run on it), D `wire` (machines seen at its ports). One reading of one list is
a look: the rows of one source, host and time. Of looks that lie near one another:

- `rogue`: runs, and is not registered on its host (C without B; C without A where B was not read).
- `unmanaged`: registered on the host, and the manager does not know it there (B without A).
- `ghost`: on the wire, and not running (D without C). A row without a VM counts by its MAC, if that is one that hypervisors give to VMs.
- `hidden`: on in the manager, and not running on that host (A without C): hidden from the process list, or the manager is out of date.
- `appeared`, `vanished`: in one of two consecutive looks of A, B or C. Whether an event tells of it is asked later (explaining.py); one
  that no event tells of is an unlogged change. CVE-2026-41709 lets an administrator of a host act without being logged.

A host that was not looked at says nothing: no list, no difference. A row without a VM says that a host was looked at and has none.
Rows of one VM are told by uuid, where any list of the host gives the VM one (so a renamed VM is no change), else by name, else by MAC. Of
two lists one may have another kind of uuid (BIOS, instance): what has the same name there is not missing, unless it has the name twice.

All steps are sorts, as-of joins and anti-joins over whole frames: O(n log n) in the rows, none of them a cross join.
Source: ../shared/design/analytics.md, A3.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import polars as pl

c = pl.col
MANAGER, REGISTERED, RUNNING, WIRE = "manager", "registered", "running", "wire"
# MACs that hypervisors give to VMs. VMware's range 00:50:56:4x-7x is that of the hosts' own interfaces (vSphere Networking, MAC
# address allocation).
VM_MAC = r"^(?:00:50:56:[0-389a-f]|00:0c:29|00:05:69|00:1c:14|52:54:00|00:16:3e|00:15:5d)"
ON = r"(?i)^(?:powered[ _]?on|on|running|up|active)$"
NO_UUID = r"^(?:[0-]+|[f-]+)$"  # what firmware says that was given none

# `time` is the end and `since` the begin of the interval in which an event would explain a fact (microseconds UTC). `other`: a second host
# that claims the same identity; of an event that explains, the host to which the VM went.
FACTS: Mapping[str, Any] = {
    "kind": pl.String, "host": pl.String, "vm": pl.String, "uuid": pl.String, "mac": pl.String, "since": pl.Int64, "time": pl.Int64,
    "role": pl.String, "rule": pl.String, "user": pl.String, "event": pl.String,
    "other": pl.String}
_COMPARED = (("rogue", RUNNING, REGISTERED), ("absent", RUNNING, MANAGER), ("unmanaged", REGISTERED, MANAGER), ("ghost", WIRE, RUNNING),
             ("hidden", MANAGER, RUNNING))


def differences(rows: pl.DataFrame, seen: pl.DataFrame, near: timedelta, stale: timedelta) -> pl.DataFrame:
    """Facts of kinds rogue, unmanaged, ghost, hidden, appeared and vanished.

    `rows`: inventory signals of whole hosts (`rule` is the source); `seen`: what they show (`identified`). `near`: looks so close are
    compared with one another; `stale`: two looks of one list that are further apart are not.
    """
    looks = _looks(rows)
    present = seen.join(looks, on=["host", "rule", "time"], how="left")
    found = [_missing(present, looks, kind, source, other, near) for kind, source, other in _COMPARED]
    found += [_changed(present, looks, kind, step, stale) for kind, step in (("appeared", -1), ("vanished", 1))]
    facts = pl.concat(found)
    # Where B was read as well, it says more of a machine that runs than A does.
    read = facts.filter(c("kind") == "absent").join(_pairs(looks, RUNNING, REGISTERED, near), on=["host", "at"], how="anti")
    facts = pl.concat([facts.filter(c("kind") != "absent"), read.with_columns(pl.lit("rogue").alias("kind"))])
    return facts.select(as_facts(facts))


def as_facts(frame: pl.DataFrame) -> list[pl.Expr]:
    """The columns of FACTS of a frame that may lack some."""
    return [(c(name) if name in frame.columns else pl.lit(None)).cast(dtype).alias(name) for name, dtype in FACTS.items()]


def identified(rows: pl.DataFrame) -> pl.DataFrame:
    """What was seen on each host: host, vm, uuid, mac, `ident`, source (`rule`), state and time; a machine once per look."""
    named = rows.select(
        "host", "rule", "time", "vm", c("vm.state").alias("state"), uuid_of("vm.uuid").alias("uuid"),
        c("vm.network.mac").str.to_lowercase().alias("mac"))
    named = named.with_columns(pl.when(~c("uuid").str.contains(NO_UUID)).then("uuid"))
    by_mac = named.filter(c("vm").is_not_null() & c("mac").is_not_null()).unique(["host", "mac"], keep="first", maintain_order=True)
    named = named.join(by_mac.select("host", "mac", c("vm").alias("_vm")), on=["host", "mac"], how="left")
    named = named.with_columns(pl.coalesce("vm", "_vm").alias("vm"))
    by_name = named.filter(c("vm").is_not_null() & c("uuid").is_not_null()).unique(["host", "vm"], keep="first", maintain_order=True)
    named = named.join(by_name.select("host", "vm", c("uuid").alias("_uuid")), on=["host", "vm"], how="left")
    named = named.with_columns(pl.coalesce("uuid", "_uuid").alias("uuid"))
    named = named.with_columns(pl.coalesce("uuid", "vm", pl.when(c("mac").str.contains(VM_MAC)).then("mac")).alias("ident"))
    return named.drop("_vm", "_uuid").filter(c("ident").is_not_null()).unique(["host", "rule", "time", "ident"], keep="first",
                                                                               maintain_order=True)


def uuid_of(column: str) -> pl.Expr:
    """A uuid in one spelling; esxcli writes blanks between its bytes."""
    text = c(column).str.to_lowercase()
    digits = text.str.replace_all("[^0-9a-f]", "")
    return pl.when(digits.str.len_chars() == 32).then(digits).otherwise(text)


def _looks(rows: pl.DataFrame) -> pl.DataFrame:
    """Every look of every list, numbered, with the times of the one before and the one after."""
    looks = rows.select("host", "rule", "time").unique().sort("host", "rule", "time")
    of_list = ("host", "rule")
    return looks.with_columns(pl.int_range(pl.len()).over(of_list).alias("look"), c("time").shift(1).over(of_list).alias("before"),
                              c("time").shift(-1).over(of_list).alias("after"))


def _pairs(looks: pl.DataFrame, source: str, other: str, near: timedelta) -> pl.DataFrame:
    """Looks of one list, `at`, with the time of the nearest look of another list of the same host, `other_at`."""
    mine = looks.filter(c("rule") == source).select("host", c("time").alias("at")).sort("at")
    others = looks.filter(c("rule") == other).select("host", c("time").alias("other_at")).sort("other_at")
    pairs = mine.join_asof(others, left_on="at", right_on="other_at", by="host", strategy="nearest",
                           tolerance=near // timedelta(microseconds=1), check_sortedness=False)
    return pairs.filter(c("other_at").is_not_null())


def _missing(present: pl.DataFrame, looks: pl.DataFrame, kind: str, source: str, other: str, near: timedelta) -> pl.DataFrame:
    """What a look of `source` has and the nearest look of `other` has not."""
    mine = present.filter((c("rule") == source) & (c("state").str.contains(ON) if kind == "hidden" else True))
    theirs = present.filter(c("rule") == other).select("host", "ident", "vm", c("time").alias("other_at"))
    both = mine.rename({"time": "at"}).join(_pairs(looks, source, other, near), on=["host", "at"])
    once = (pl.len() == 1).over("host", "at", "vm").alias("_once")  # two under one name: the name does not tell which of them is there
    missing = both.with_columns(once).join(theirs, on=["host", "ident", "other_at"], how="anti")
    nameless = missing.filter("_once").join(theirs, on=["host", "vm", "other_at"], how="anti")
    return _interval(pl.concat([nameless, missing.filter(~c("_once"))]), kind)


def _changed(present: pl.DataFrame, looks: pl.DataFrame, kind: str, step: int, stale: timedelta) -> pl.DataFrame:
    """What is in a look and not in the one before it (step -1) or after it (step 1)."""
    lists = present.filter(c("rule") != WIRE)
    neighbour = c("before") if step < 0 else c("after")
    mine = lists.with_columns(neighbour.alias("other_at"), c("look") + step, at=c("time"))
    mine = mine.filter((c("at") - c("other_at")).abs() <= stale // timedelta(microseconds=1))
    return _interval(mine.join(lists.select("host", "rule", "ident", "look"), on=["host", "rule", "ident", "look"], how="anti"), kind)


def _interval(found: pl.DataFrame, kind: str) -> pl.DataFrame:
    return found.select(
        pl.lit(kind).alias("kind"), "host", "vm", "uuid", "mac", pl.min_horizontal("at", "other_at").alias("since"),
        pl.max_horizontal("at", "other_at").alias("time"), c("rule"), "at")
