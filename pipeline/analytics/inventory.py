"""Inventories of the user's context as signals, for jobs that have the role `inventory`."""

from __future__ import annotations

import polars as pl

from .job import SIGNAL

c = pl.col
ROLE = "inventory"


def inventory_signals(inventory: pl.DataFrame) -> pl.DataFrame:
    """Rows of complete lists (context.columns.INVENTORY) as signals: `rule` is whose list it is (manager, registered, running, wire),
    `event` the file and line; with `vm.uuid`, `vm.network.mac`, `vm.state` and `host.id`.
    """
    fields = {"vm.uuid": "uuid", "vm.network.mac": "mac", "vm.state": "state", "host.id": "host_uuid"}
    nothing = (pl.lit(None, dtype).alias(name) for name, dtype in SIGNAL.items() if name in ("fact", "user"))
    rows = inventory.filter(c("snapshot").is_not_null()).select(
        pl.lit(ROLE).alias("role"), c("view").alias("rule"), "time", c("row").alias("event"), "vm", "host", *nothing,
        *(c(old).alias(new) for new, old in fields.items()))
    return rows.select(*SIGNAL, *fields)
