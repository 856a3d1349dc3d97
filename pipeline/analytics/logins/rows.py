"""Signals of the login job to logins: one row for each time that somebody came in, whatever number of logs tell of it.

Roles: `login` (somebody logged in), `direct` (to a hypervisor, or to what is under its manager, rather than to the manager), `federated`
(with a token or assertion that somebody else issued), `role_assumed` (took other rights), `assertion` (the issuer's own record of a token
or assertion), `failure` (was refused), `session` (used a session that has an identifier), `single_factor` (the login had no second factor).
A record may play several.
"""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import numpy as np
import polars as pl

from ...context.policies import Policies, in_networks, listed
from ...windows import Series, Windows
from ..job import micros
from .geo import PLACE, located
from .parameters import LoginParameters

c = pl.col
LOGINS = ("login", "direct", "federated", "role_assumed")
ROLES = (*LOGINS, "assertion", "failure", "session", "single_factor")
FIELDS = ("source.ip", "session.id", "user_agent.original", "event.action", "hypervisor.type", "cloud.account.id",
          "aws.cloudtrail.resource_arns")
# Records of one login in several logs are written within seconds of one another.
FACT_US = 10_000_000
VPN = "vpn"  # the prefix of every address of the company's VPNs
_BROWSERS = (("edge", "Edg"), ("opera", "OPR/"), ("firefox", "Firefox/"), ("chrome", "Chrome/"), ("safari", "Safari/"))
_SYSTEMS = (("windows", "Windows"), ("android", "Android"), ("ios", "iPhone|iPad"), ("macos", "Macintosh"), ("linux", "Linux|X11"))


def events_of(signals: pl.DataFrame) -> pl.DataFrame:
    """One row for each record: user, realm, time, event, fact, action, host, address, machine (the VM that had the address), guest (the VM
    that the host is, if it is one), session_id, client, method, cloud (whether it is of one), target, and a flag for each of ROLES. The
    realm is the cloud account, else the kind of hypervisor: where a name means one principal.
    """
    rows = signals.filter(c("user").is_not_null())
    flags = [(c("role") == role).any().alias(role) for role in ROLES]
    fields = [c(name).drop_nulls().first() for name in ("fact", "host", "source.vm", "target.vm", *FIELDS)]
    whole = rows.group_by("user", "event", "time", maintain_order=True).agg(*fields, *flags)
    return whole.select(
        "user", pl.coalesce("cloud.account.id", "hypervisor.type", pl.lit("unknown")).alias("realm"), "time", "event", "fact",
        c("event.action").alias("action"), "host", c("source.ip").alias("address"), c("source.vm").alias("machine"),
        c("target.vm").alias("guest"), c("session.id").alias("session_id"), client(c("user_agent.original")).alias("client"),
        _method().alias("method"), c("cloud.account.id").is_not_null().alias("cloud"),
        pl.coalesce("aws.cloudtrail.resource_arns", "host", "cloud.account.id").alias("target"), *ROLES,
    ).sort("user", "realm", "time", "event")


def client(agent: pl.Expr) -> pl.Expr:
    """The family of a user agent: browser and system, or the name of a program without its version."""
    browser, system = pl.lit("browser"), pl.lit("")
    for name, sign in reversed(_BROWSERS):
        browser = pl.when(agent.str.contains(sign)).then(pl.lit(name)).otherwise(browser)
    for name, sign in reversed(_SYSTEMS):
        system = pl.when(agent.str.contains(sign)).then(pl.lit(f" {name}")).otherwise(system)
    program = agent.str.extract(r"^\W*([A-Za-z][A-Za-z_.+ -]*)").str.strip_chars(" -_.").str.to_lowercase()
    return pl.when(agent.str.starts_with("Mozilla/")).then(browser + system).otherwise(program)


def _method() -> pl.Expr:
    """How somebody came in, by the roles that the record plays."""
    how = pl.lit("login")
    for role in ("federated", "role_assumed", "direct"):
        how = pl.when(c(role)).then(pl.lit(role)).otherwise(how)
    return pl.when(c("single_factor")).then(how + " with one factor").otherwise(how)


def once(events: pl.DataFrame) -> pl.DataFrame:
    """Of the records of several logs that tell one fact within seconds, those of one log: of the log that tells of the client, then of the
    first by its action. A record leaves for what is near it alone, so that no cut through time and no order of arrival changes it.
    """
    told = events.filter(c("fact").is_not_null()).sort("user", "fact", "time", "event")
    if told.is_empty():
        return events
    order = pl.concat_str(c("client").is_null().cast(pl.Int8), c("action").fill_null("")).rank("dense").cast(pl.Int64)
    ranks = told.select(order).to_series().to_numpy()
    group = told.select(pl.struct("user", "fact").rle_id().cast(pl.Int64)).to_series().to_numpy()
    series = Series(group, told.get_column("time").to_numpy(), ranks, FACT_US)
    near = Windows(series.trailing.first, series.leading.last, series.time)
    again = np.zeros(ranks.size, np.bool_)
    for rank in np.unique(ranks)[1:]:  # of a handful of actions
        again |= (ranks == rank) & (series.count(near, ranks < rank) > 0)
    kept = pl.concat([events.filter(c("fact").is_null()), told.filter(~pl.Series(again))])
    return kept.sort("user", "realm", "time", "event")


def used(logins: pl.DataFrame, p: LoginParameters) -> pl.DataFrame:
    """Logins without those that an issuer tells of where the login that rests on it is told as well."""
    issued = c("assertion") & ~c("federated")
    federated = logins.filter("federated").select("user", "time", pl.lit(True).alias("_used")).sort("time")
    met = logins.filter(issued).sort("time").join_asof(
        federated, on="time", by="user", strategy="nearest", tolerance=micros(p.assertion), check_sortedness=False)
    kept = pl.concat([logins.filter(~issued), met.filter(c("_used").is_null()).drop("_used")])
    return kept.sort("user", "realm", "time", "event")


def placed(events: pl.DataFrame, p: LoginParameters) -> pl.DataFrame:
    """The events with where their address is (geo.PLACE) and what policy says of it.

    `vpn`: an address of the company's VPNs, all of which are one prefix in no place; `office`: of its other networks; `home`: in a country
    where it has such networks; `manager`: of a vCenter; `helper`: a machine whose job it is to log on to others; `calm`: the host is in a
    maintenance window (a record that names none: in one of all hosts; a cloud is no host).
    """
    policies = p.policies
    known = located(events.get_column("address").drop_nulls().unique().sort(), p.geoip).with_columns(_address_flags(policies))
    known = known.with_columns(
        pl.when(c("vpn")).then(pl.lit(VPN)).otherwise(c("prefix")).alias("prefix"), c("country").is_in(home_countries(p)).alias("home"),
        *(pl.when(~c("vpn")).then(c(name)).alias(name) for name in PLACE if name != "prefix"))
    joined = events.join(known, on="address", how="left", maintain_order="left")
    return joined.with_columns(
        *(c(flag).fill_null(False) for flag in ("vpn", "office", "home", "manager")),
        (c("helper").fill_null(False) | listed(_helpers(policies), c("machine"))).alias("helper"),
        policies.in_maintenance(pl.coalesce("host", pl.when(~c("cloud")).then(pl.lit(""))), c("time")).alias("calm"))


def home_countries(p: LoginParameters) -> list[str]:
    """Countries of the company's own networks, as far as the GeoIP files know these."""
    networks = [ip_network(each, strict=False) for each in (*p.policies.offices, *p.policies.vpn)]
    first = pl.Series("address", [str(network.network_address) for network in networks], pl.String)
    return located(first, p.geoip).get_column("country").drop_nulls().unique().to_list()


def _address_flags(policies: Policies) -> list[pl.Expr]:
    address, nobody = c("address"), pl.lit(None, pl.String)
    flags: dict[str, Any] = {
        "vpn": in_networks(policies.vpn, address), "office": in_networks(policies.offices, address),
        "manager": in_networks(policies.vcenter_addresses, address), "helper": listed(_helpers(policies), nobody, address)}
    return [held.alias(name) for name, held in flags.items()]


def _helpers(policies: Policies) -> tuple[str, ...]:
    return (*policies.bastions, *policies.scanners, *policies.backup_proxies, *policies.config_management)
