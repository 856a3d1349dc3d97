"""Columns of the frames that context is made of. Times are Int64, microseconds UTC; null is "unknown" unless said otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

Columns = Mapping[str, Any]
# What a located row learns: columns `<into>.<name>` (lookup.as_of).
PLACE = ("vm", "host", "cluster", "tenant", "segment", "zone", "role")
STATES = ("running", "stopped", "removed")  # of a VM; null is unknown
KINDS = ("vm", "ip", "mac")

# A row of a user's inventory*.csv. `view`: whose list it is (manager, registered, running, wire); `source`: which manager, host or sensor
# made it; `snapshot`: source, view and time, the rows of which are one complete list; `row`: file:line. A row with a host and neither `vm`,
# `ip` nor `mac`: the host was looked at and is empty.
INVENTORY: Columns = {
    "snapshot": pl.String, "time": pl.Int64, "view": pl.String, "source": pl.String, "vm": pl.String, "uuid": pl.String, "host": pl.String,
    "state": pl.String, "cluster": pl.String, "tenant": pl.String, "segment": pl.String, "zone": pl.String, "role": pl.String,
    "ip": pl.String, "mac": pl.String, "host_uuid": pl.String, "row": pl.String}

# Something that says where a VM is. `act`: what happened (placement.ACTS); `host`: where it was at that time; `target`: where it is from
# then on, if elsewhere; `origin`: the file of a log that names no host; `source`: rule or inventory that says so; `event`: event.id or
# file:line.
MOVES: Columns = {
    "vm": pl.String, "time": pl.Int64, "act": pl.String, "host": pl.String, "target": pl.String, "origin": pl.String, "state": pl.String,
    "cluster": pl.String, "tenant": pl.String, "segment": pl.String, "zone": pl.String, "role": pl.String, "source": pl.String,
    "event": pl.String}

# Says that a VM has an address (`act`: has) or no longer has it (lost). `address`: the IP or MAC; `kind`: ip or mac.
ADDRESS_FACTS: Columns = {
    "vm": pl.String, "time": pl.Int64, "act": pl.String, "kind": pl.String, "address": pl.String, "segment": pl.String,
    "source": pl.String, "event": pl.String}

# Where what `key` names was from `valid_from` to before `valid_to` (null: still is). `kind`: what the key is, a VM (then key = vm), an IP
# or a MAC. Intervals of one VM do not overlap; those of one address may, in different segments. `host` null: unknown where, and `reason`
# says why. `source`, `event`: what says so.
PLACEMENT: Columns = {
    "kind": pl.String, "key": pl.String, "valid_from": pl.Int64, "valid_to": pl.Int64, "vm": pl.String, "host": pl.String,
    "cluster": pl.String, "tenant": pl.String, "segment": pl.String, "zone": pl.String, "role": pl.String, "state": pl.String,
    "source": pl.String, "event": pl.String, "reason": pl.String}


def empty(columns: Columns) -> pl.DataFrame:
    """A frame without rows."""
    return pl.DataFrame(schema=dict(columns))
