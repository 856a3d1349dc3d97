"""Whose a VM is, and in which zone of trust, by rules of tenants.csv where no inventory says it of the VM itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, model_validator

from .policies import listed

c = pl.col
By = Literal["vm", "segment", "cluster", "host", "account"]


class TenantRow(BaseModel):
    """A row of tenants.csv. `by` and `value`: what is the tenant's: VMs, segments, clusters, hosts by name or pattern, or an account of a
    cloud. `zone`: the zone of trust of what is found so.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True, str_to_lower=True)

    tenant: str
    name: str = ""
    zone: str = ""
    by: By | None = None
    value: str = ""

    @model_validator(mode="after")
    def _whole(self) -> TenantRow:
        if not self.tenant:
            raise ValueError("tenant is empty")
        if (self.by is None) != (not self.value):
            raise ValueError("`by` and `value` belong together")
        return self


def assigned(intervals: pl.DataFrame, rows: Sequence[TenantRow]) -> pl.DataFrame:
    """Intervals (columns.PLACEMENT) with tenant and zone of the first row that fits, the kind of match in the order of By, where they have
    none. The account of a cloud stands as tenant until a row says whose it is.
    """
    order = {"account": 0, "vm": 1, "segment": 2, "cluster": 3, "host": 4}
    rules = sorted((row for row in rows if row.by), key=lambda row: order[str(row.by)])
    tenant, zone = c("tenant"), c("zone")
    for row in rules:
        fits = listed((row.value,), c("tenant" if row.by == "account" else str(row.by)))
        free = fits if row.by == "account" else fits & tenant.is_null()
        tenant = pl.when(free).then(pl.lit(row.tenant)).otherwise(tenant)
    found = intervals.with_columns(tenant.alias("tenant"))
    zones = {row.tenant: row.zone for row in rows if row.zone}
    if zones:
        zone = pl.coalesce("zone", c("tenant").replace_strict(zones, default=None, return_dtype=pl.String))
    return found.with_columns(zone.alias("zone"))
