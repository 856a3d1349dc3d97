"""What is odd about each login of the login job: signals, each with the weight that it adds to the risk (0 where it does not hold)."""

from __future__ import annotations

from functools import reduce

import numpy as np
import polars as pl

from ...context.policies import listed
from ...windows import Series
from ..job import micros
from .geo import distance_km
from .parameters import LoginParameters
from .profile import FIRST_SEEN, HABITS, HOUR, WHEREABOUTS, familiarity, first_seen, hour_share
from .rows import home_countries

c = pl.col
SIGNALS = (*(f"first_seen_{name}" for name in FIRST_SEEN), "off_hours", "impossible_travel", "mfa_missing", "token_reuse", "direct_to_host",
           "from_guest", "saml_orphan", "after_failures")


def weighed(logins: pl.DataFrame, events: pl.DataFrame, p: LoginParameters, horizon: int) -> pl.DataFrame:
    """Profiled logins with `risk` (0 to 1) and one column for each of SIGNALS, and those uses of a session that are a signal.

    More columns: `previous_time`, `_event`, `_address`, `_country` of the login (or use) before; `travelled_km`, `speed_kmh`, `travel_time`
    and `travel_address` of the last login with a position; `reused_from`, the address that used the session before. `events` are all
    records, `horizon` is up to when (microseconds) they were watched.
    """
    rows = _travel(_previous(logins, p), p).with_columns(
        *(_first_seen(name, p).alias(f"first_seen_{name}") for name in FIRST_SEEN if name != "country"), _country(logins, p),
        _when(c("single_factor") & p.policies.mfa_required(c("user")) & ~c("calm"), p.weights.mfa_missing).alias("mfa_missing"),
        _direct(logins, p), _from_guest(logins, p), _orphan(logins, events, p, horizon), _after_failures(logins, events, p))
    reused = _reused(events, p)
    rows = rows.join(reused.select("user", "event", "token_reuse", "reused_from"), on=["user", "event"], how="left", maintain_order="left")
    others = reused.join(rows, on=["user", "event"], how="anti")
    whole = pl.concat([rows, others], how="diagonal").with_columns(c(*(s for s in SIGNALS if s != "off_hours")).fill_null(0.0))
    return _with_off_hours(whole, logins, p)


def noisy_or(weights: list[pl.Expr]) -> pl.Expr:
    """How likely at least one of independent signals is right."""
    return 1 - reduce(lambda product, weight: product * (1 - weight), weights, pl.lit(1.0))


def _when(holds: pl.Expr, weight: float | pl.Expr) -> pl.Expr:
    return pl.when(holds).then(pl.lit(weight) if isinstance(weight, float) else weight).otherwise(0.0)


def _first_seen(name: str, p: LoginParameters) -> pl.Expr:
    """Nothing is new to a profile that is young or small. From the company's own networks neither country nor ASN is news; in a maintenance
    window other machines, programs and ways in are what is to be expected.
    """
    usual = c("calm") if name in HABITS else c("vpn") if name == "prefix" else c("vpn") | c("office")
    holds = first_seen(name, p) & c("settled_person" if name in WHEREABOUTS else "settled") & ~usual
    return _when(holds, getattr(p.weights, f"first_seen_{name}") * c(f"rarity_{name}"))


def _country(logins: pl.DataFrame, p: LoginParameters) -> pl.Series:
    """A country is new beside others: those that the profile knows, or those of the company's networks, which are never new. To a
    privileged principal or role one is new however young the profile is, and it weighs more.
    """
    knows = pl.lit(familiarity(logins.filter(c("country").is_not_null()), logins, ["person"], p)) > 0
    privileged = listed((*p.policies.privileged, *p.privileged), c("user")) | listed(p.privileged_targets, c("target").str.to_lowercase())
    foreign = ~c("home") & ~c("office") & ~c("vpn") & (knows | bool(home_countries(p)))
    rare = pl.when(c("settled_person")).then(c("rarity_country")).otherwise(1.0)
    told = _when(first_seen("country", p) & privileged, p.weights.privileged_country * rare)
    return logins.select(_when(foreign, pl.max_horizontal(_first_seen("country", p), told)).alias("first_seen_country")).to_series()


def _previous(logins: pl.DataFrame, p: LoginParameters) -> pl.DataFrame:
    """The login before, as far as it lies in the look-back."""
    near = (c("time") - _before("time")) <= micros(p.look_back)
    return logins.with_columns(
        pl.when(near).then(_before(name)).alias(f"previous_{name}") for name in ("time", "event", "address", "country"))


def _before(name: str) -> pl.Expr:
    """The value of the person's login before."""
    return c(name).shift().over("person", order_by=["time", "event"])


def _travel(logins: pl.DataFrame, p: LoginParameters) -> pl.DataFrame:
    """How fast one must have been at least since the last login with a position: the distance less both radii, by the time between. Who
    comes through a VPN may be anywhere.
    """
    rows = logins.filter(c("latitude").is_not_null()).select(
        "user", "event", "time", "asn", "latitude", "longitude", "radius_km",
        *(_before(name).alias(f"_{name}") for name in ("time", "address", "asn", "latitude", "longitude", "radius_km")))
    km = distance_km(c("_latitude"), c("_longitude"), c("latitude"), c("longitude"))
    least = (km - c("radius_km") - c("_radius_km")).clip(lower_bound=0)
    hours = (c("time") - c("_time")).clip(lower_bound=1_000_000) / HOUR
    rows = rows.filter((c("time") - c("_time")) <= micros(p.look_back)).with_columns(
        km.alias("travelled_km"), (least / hours).alias("speed_kmh"), least.alias("_least"))
    precise = (c("radius_km") < p.travel_radius_km) & (c("_radius_km") < p.travel_radius_km)
    impossible = precise & (c("asn") != c("_asn")) & (c("_least") >= p.travel_km) & (c("speed_kmh") > p.travel_kmh)
    found = rows.select(
        "user", "event", "travelled_km", "speed_kmh", c("_time").alias("travel_time"), c("_address").alias("travel_address"),
        _when(impossible.fill_null(False), p.weights.impossible_travel).alias("impossible_travel"))
    return logins.join(found, on=["user", "event"], how="left", maintain_order="left")


def _direct(logins: pl.DataFrame, p: LoginParameters) -> pl.Series:
    """A login to a hypervisor where vCenter is the way (policy names its addresses): not from there, not from a machine or service whose
    job it is, not in a maintenance window, and neither has the principal come that way from that prefix, nor often at all.
    """
    rows = logins.select("profile", "time", "direct", c("prefix").rank("dense"))
    usual, often = (familiarity(rows.filter("direct"), rows, by, p) for by in (["profile", "prefix"], ["profile"]))
    expected = pl.lit(bool(p.policies.vcenter_addresses)) & c("address").is_not_null() & ~c("manager") & ~c("helper") & ~c("calm")
    odd = c("direct") & expected & ~listed(p.policies.services, c("user")) & (pl.lit(usual) < p.familiar) & (pl.lit(often) < p.usual_direct)
    return logins.select(_when(odd, p.weights.direct_to_host).alias("direct_to_host")).to_series()


def _from_guest(logins: pl.DataFrame, p: LoginParameters) -> pl.Series:
    """A login from a guest that this principal never came from, and whose job it is not. From guest to guest is no management plane, unless
    it is a manager that runs in one.
    """
    rows = logins.select("person", "time", c("machine").rank("dense"))
    management = c("guest").is_null() | pl.any_horizontal("direct", "federated", "role_assumed", "assertion")
    known = pl.lit(familiarity(rows, rows, ["person", "machine"], p))
    odd = management & c("machine").is_not_null() & ~c("helper") & ~c("calm") & (known < p.familiar)
    return logins.select(_when(odd, p.weights.from_guest).alias("from_guest")).to_series()


def _orphan(logins: pl.DataFrame, events: pl.DataFrame, p: LoginParameters, horizon: int) -> pl.Series:
    """A federated login that no assertion of the issuer for the same principal lies near, where earlier ones had theirs: else the issuer's
    log is not collected, or knows the principal by another name.
    """
    near = micros(p.assertion)
    asserted = events.filter("assertion").select("user", "time", c("time").alias("_asserted")).sort("time")
    federated = logins.filter("federated").select("user", "event", "time").sort("time")
    found = federated.join_asof(asserted, on="time", by="user", strategy="nearest", tolerance=near, check_sortedness=False)
    found = found.sort("user", "time", "event").with_columns(c("_asserted").is_not_null().alias("_met"))
    group = found.select(c("user").rle_id().cast(pl.Int64)).to_series().to_numpy()
    series = Series(group, found.get_column("time").to_numpy(), np.zeros(found.height, np.int64), micros(p.look_back))
    before, met = series.count(series.trailing) - 1, series.count(series.trailing, found.get_column("_met").to_numpy())
    known = (met >= p.asserted_before) & (met >= p.asserted_share * before)
    odd = found.filter(pl.Series(known) & ~c("_met") & (c("time") + near <= horizon)).select("user", "event", pl.lit(True).alias("_odd"))
    rows = logins.select("user", "event").join(odd, on=["user", "event"], how="left", maintain_order="left")
    return rows.select(_when(c("_odd").fill_null(False), p.weights.saml_orphan).alias("saml_orphan")).to_series()


def _after_failures(logins: pl.DataFrame, events: pl.DataFrame, p: LoginParameters) -> pl.Series:
    """So many refusals of the same principal from the same address in the hour before."""
    refused = events.filter(c("failure") & c("address").is_not_null()).select("user", "address", "time").sort("user", "address", "time")
    count = refused.with_columns(pl.int_range(1, pl.len() + 1).over("user", "address").alias("_count")).sort("time")
    asked = logins.select("user", "address", "time").with_row_index("_row")
    asked = asked.with_columns((c("time") - micros(p.failure_span) - 1).alias("_from"))
    for edge, name in (("time", "_to_count"), ("_from", "_from_count")):
        asked = asked.sort(edge).join_asof(count.rename({"time": "_at", "_count": name}), left_on=edge, right_on="_at",
                                           by=["user", "address"], strategy="backward", check_sortedness=False).drop("_at")
    many = (c("_to_count").fill_null(0) - c("_from_count").fill_null(0)) >= p.failures
    return asked.sort("_row").select(_when(many, p.weights.after_failures).alias("after_failures")).to_series()


def _reused(events: pl.DataFrame, p: LoginParameters) -> pl.DataFrame:
    """Uses of a session from another prefix than the use before it, within its life; neither from the company's VPNs nor from a manager."""
    uses = events.filter(c("session_id").is_not_null() & c("address").is_not_null() & ~c("vpn") & ~c("manager") & ~c("failure"))
    same = ["user", "realm", "session_id"]
    uses = uses.sort(*same, "time", "event").with_columns(
        *(c(name).shift().over(same).alias(f"previous_{name}") for name in ("time", "event", "address", "country", "prefix")))
    moved = (c("prefix") != c("previous_prefix")) & (c("time") - c("previous_time") <= micros(p.session_span))
    return uses.filter(moved).drop("previous_prefix").with_columns(
        c("previous_address").alias("reused_from"), pl.lit(p.weights.token_reuse).alias("token_reuse"))


def _with_off_hours(rows: pl.DataFrame, logins: pl.DataFrame, p: LoginParameters) -> pl.DataFrame:
    """`off_hours` and `risk`. The histogram is asked only where the hour could make the difference between an alert and none."""
    others = noisy_or([c(name) for name in SIGNALS if name != "off_hours"])
    rows = rows.with_row_index("_row").with_columns(others.alias("risk"))
    matters = noisy_or([c("risk"), pl.lit(p.weights.off_hours)]) >= p.alert
    asked = rows.filter(matters & c("settled").fill_null(False) & ~c("calm"))
    odd = asked.select("_row", _when(pl.lit(hour_share(logins, asked, p)) < p.rare_hour, p.weights.off_hours).alias("off_hours"))
    rows = rows.join(odd, on="_row", how="left", maintain_order="left").drop("_row").with_columns(c("off_hours").fill_null(0.0))
    return rows.with_columns(noisy_or([c("risk"), c("off_hours")]).alias("risk"))
