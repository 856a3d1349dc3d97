"""What is allowed here: the models of policy.yml and the questions that jobs ask them, as Polars expressions.

All entries have defaults that allow nothing, so that a site without a policy gets every finding. A machine is named by its canonical name
(names.py), by a pattern of it (`jump*`), by an address or by a network.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, time, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Literal
from zoneinfo import available_timezones

import polars as pl
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, field_validator, model_validator

from ..sigma.networks import in_network
from .names import principal

Action = Literal["allow", "deny", "inspect"]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_GROUPS = ("tenant", "segment", "zone", "vm", "role")
NEVER = pl.lit(False)


def _network(value: str) -> str:
    ip_network(value.strip(), strict=False)  # raises ValueError that says what is wrong
    return value.strip().lower()


def _group(value: str) -> str:
    kind, _, name = value.strip().lower().partition(":")
    if value.strip() != "*" and (kind not in _GROUPS or not name):
        raise ValueError(f"{value!r} is none of {', '.join(f'{k}:NAME' for k in _GROUPS)} or *")
    return value.strip().lower()


Network = Annotated[str, AfterValidator(_network)]
Machine = Annotated[str, AfterValidator(lambda value: value.strip().lower())]
Principal = Annotated[str, AfterValidator(principal)]
Group = Annotated[str, AfterValidator(_group)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Window(_Strict):
    """A maintenance window: once (`since` to `until`, with zone), or every week (`days`, `start`, `hours`, `timezone`)."""

    hosts: tuple[Machine, ...] = ("*",)
    reason: str = ""
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    days: tuple[Day, ...] = ()
    start: time | None = None  # local time of `timezone`
    hours: float = Field(0, ge=0, le=24)
    timezone: str = "UTC"

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError(f"no zone is named {value!r}; say it like Europe/Berlin")
        return value

    @model_validator(mode="after")
    def _whole(self) -> Window:
        once, weekly = (self.since, self.until), (self.days, self.start, self.hours)
        if all(once) == all(weekly) or (any(once) and any(weekly)):
            raise ValueError("a window has either `since` and `until`, or `days`, `start` and `hours`")
        if self.since and self.until and self.since >= self.until:
            raise ValueError("`since` must lie before `until`")
        return self

    def covers(self, at: pl.Expr) -> pl.Expr:
        """Whether times (microseconds UTC) lie in the window."""
        if self.since and self.until:
            return at.is_between(_micros(self.since), _micros(self.until), closed="left")
        assert self.start
        begin, span = (self.start.hour * 60 + self.start.minute) * 60, int(self.hours * 3600)
        local = pl.from_epoch(at, "us").dt.replace_time_zone("UTC").dt.convert_time_zone(self.timezone)
        second = (local.dt.hour().cast(pl.Int64) * 60 + local.dt.minute()) * 60 + local.dt.second()
        passed = (second - begin) % 86400  # since the window last began; it may reach into the next day
        weekday = (local.dt.weekday() - 1 - (second < begin).cast(pl.Int8)) % 7
        return (passed < span) & weekday.is_in([DAYS.index(day) for day in self.days])


class Flow(_Strict):
    """A row of the segmentation matrix: whether `source` may speak to `target`, each `tenant:NAME`, `segment:NAME`, `zone:NAME`,
    `vm:NAME`, `role:NAME` (NAME may be a pattern) or `*`. No `ports` means all.
    """

    source: Group
    target: Group
    ports: tuple[Annotated[int, Field(ge=0, le=65535)], ...] = ()
    action: Action


class Mfa(_Strict):
    """Who must have shown a second factor: principals by pattern, except some (services that cannot)."""

    required: tuple[Principal, ...] = ()
    exempt: tuple[Principal, ...] = ()


class Policies(_Strict):
    """policy.yml. An empty one allows nothing and demands nothing."""

    bastions: tuple[Machine, ...] = Field((), description="Machines that log on to many others as their job")
    scanners: tuple[Machine, ...] = Field((), description="Machines that connect to everything: vulnerability scanners, monitoring")
    backup_proxies: tuple[Machine, ...] = Field((), description="Machines to which the disks of others are attached for backup")
    config_management: tuple[Machine, ...] = Field((), description="Machines that run commands on many others: Ansible, Puppet, SCCM")
    vcenter_addresses: tuple[Network, ...] = Field((), description="Addresses of the managers; a host is managed from nowhere else")
    host_peers: tuple[Machine, ...] = Field((), description="What hosts may speak to: time, name, log, storage and update servers")
    vpn: tuple[Network, ...] = Field((), description="Where the company's VPNs come out: no travel is impossible from there")
    offices: tuple[Network, ...] = Field((), description="The company's own networks")
    privileged: tuple[Principal, ...] = Field((), description="Principals whose misuse costs most, by name or pattern")
    services: tuple[Principal, ...] = Field((), description="Principals that are programs, by name or pattern")
    mfa: Mfa = Mfa()
    maintenance: tuple[Window, ...] = ()
    segmentation: tuple[Flow, ...] = Field((), description="First row that fits decides")

    def in_maintenance(self, host: pl.Expr, at: pl.Expr) -> pl.Expr:
        """Whether a host (canonical) is in a maintenance window at a time (microseconds UTC)."""
        return _any(listed(window.hosts, host) & window.covers(at) for window in self.maintenance)

    def verdict(self, source: str, target: str, port: pl.Expr) -> pl.Expr:
        """allow, deny or inspect of the first row that fits, null if none does.

        `source` and `target` are prefixes of located columns (`<prefix>.vm`, `.tenant`, `.segment`, `.zone`, `.role`); `port` is Int64,
        null if there is none (then only rows for all ports fit).
        """
        found = pl.lit(None, pl.String)
        for row in reversed(self.segmentation):
            ports = port.is_in(list(row.ports)).fill_null(False) if row.ports else pl.lit(True)
            found = pl.when(_of_group(row.source, source) & _of_group(row.target, target) & ports).then(pl.lit(row.action)).otherwise(found)
        return found

    def mfa_required(self, user: pl.Expr) -> pl.Expr:
        """Whether a user (canonical) must have shown a second factor."""
        return listed(self.mfa.required, user) & ~listed(self.mfa.exempt, user)


def listed(entries: Iterable[str], name: pl.Expr, address: pl.Expr | None = None) -> pl.Expr:
    """Whether a list of names, patterns, addresses and networks holds a name or an address; null is held by none."""
    names, patterns, networks = [], [], []
    for entry in entries:
        if any(sign in entry for sign in "*?"):
            patterns.append(entry)
        elif (network := _as_network(entry)) is not None:
            networks.append(network)
            names.append(entry)
        else:
            names.append(entry)
    texts = [name] if address is None else [name, address]
    held = [name.is_in(names)] if names else []
    held += [name.str.contains("|".join(f"(?:{_regex(pattern)})" for pattern in patterns))] if patterns else []
    held += [in_network(text, network) for text in texts for network in networks]
    return _any(each.fill_null(False) for each in held)


def is_listed(entries: Iterable[str], name: str | None, address: str | None = None) -> bool:
    """The same for one machine or principal, where there is no frame."""
    held = listed(entries, pl.lit(name, pl.String), pl.lit(address, pl.String))
    return bool(pl.select(held).item())


def in_networks(networks: Iterable[str], address: pl.Expr) -> pl.Expr:
    """Whether an address lies in one of some networks; null lies in none."""
    return _any(in_network(address, ip_network(each, strict=False)).fill_null(False) for each in networks)


def _of_group(group: str, prefix: str) -> pl.Expr:
    kind, _, name = group.partition(":")
    return pl.lit(True) if group == "*" else listed((name,), pl.col(f"{prefix}.{kind}").str.to_lowercase())


def _any(held: Iterable[pl.Expr]) -> pl.Expr:
    parts = list(held)
    return pl.any_horizontal(parts) if parts else NEVER


def _as_network(entry: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(entry, strict=False)
    except ValueError:
        return None


def _regex(pattern: str) -> str:
    """A shell pattern as a regular expression of Rust."""
    return "^" + "".join(".*" if sign == "*" else "." if sign == "?" else re.escape(sign) for sign in pattern) + "$"


def _micros(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)
