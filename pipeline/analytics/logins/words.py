"""Risky logins to findings: one for each principal, realm and day, with steps, detail and words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from ..job import FINDINGS, MAX_EVENTS, instant, step, steps_json
from .parameters import LoginParameters
from .profile import HABITS, HOUR, WHEREABOUTS
from .signals import SIGNALS

c = pl.col
DAY = 24 * HOUR
Login = dict[str, Any]
_NEW = {"prefix": "network", "asn": "autonomous system", "country": "country", "client": "client", "method": "way in", "target": "target"}


def findings(risky: pl.DataFrame, p: LoginParameters) -> pl.DataFrame:
    """Risky logins to FINDINGS."""
    days = risky.with_columns((c("time") // DAY).alias("day")).sort("user", "realm", "day", -c("risk").round(9), "time", "event")
    parts = days.partition_by("user", "realm", "day", maintain_order=True)
    return pl.DataFrame([_finding(part, p) for part in parts], schema=dict(FINDINGS), orient="row")


def _finding(part: pl.DataFrame, p: LoginParameters) -> Login:
    """One finding; `part` has the riskiest login first."""
    logins = part.head(MAX_EVENTS).to_dicts()
    worst, risk = logins[0], logins[0]["risk"]
    before = [worst["previous_event"]] if worst["previous_event"] and len(logins) < MAX_EVENTS else []
    return {
        "key": f"{worst['user']}|{worst['realm']}", "first": part.get_column("time").min(), "last": part.get_column("time").max(),
        "severity": "critical" if risk >= p.critical else "high" if risk >= p.high else "medium", "score": round(100 * risk, 1),
        "events": list(dict.fromkeys([*(login["event"] for login in logins), *before])), "count": part.height,
        "steps": steps_json([*_previous_step(worst), *(_step(login) for login in logins)]),
        "detail": json.dumps(_detail(worst, part.height, p), ensure_ascii=False),
        "explanation": _explanation(worst, sorted(logins, key=lambda login: (login["time"], login["event"])), part.height, p)}


def _step(login: Login) -> Any:
    odd = _signals(login)
    return step(login["time"], f"{_act(login)}: {', '.join(each['why'] for each in odd)}", odd[0]["name"], event=login["event"],
                source=login["machine"] or login["address"], target=login["target"], host=login["host"])


def _previous_step(login: Login) -> Iterator[Any]:
    if login["previous_time"] is not None:
        yield step(login["previous_time"], f"{login['user']} was at {_whence(login['previous_address'], login['previous_country'])}",
                   "previous", event=login["previous_event"], source=login["previous_address"])


def _detail(login: Login, count: int, p: LoginParameters) -> dict[str, Any]:
    """The keys that login_baseline.py documents."""
    previous = {name: login[f"previous_{name}"] for name in ("address", "country", "event")}
    profile = None if login["before"] is None else {
        "age_days": round(login["age_days"], 2), "login_count": login["before"], "settled": login["settled"]}
    return {
        "principal": login["user"], "realm": login["realm"], "risk": round(login["risk"], 3), "signals": _signals(login),
        "off": _off(login, p), "profile": profile,
        "previous": None if login["previous_time"] is None else {"time": instant(login["previous_time"]).isoformat(), **previous},
        "travelled_km": _rounded(login["travelled_km"]), "speed_kmh": _rounded(login["speed_kmh"]),
        "source": {name: login[name] for name in ("address", "machine", "prefix", "country", "asn")}, "logins": count}


def _rounded(value: float | None) -> int | None:
    return None if value is None else round(value)


def _signals(login: Login) -> list[dict[str, Any]]:
    """The signals that hold, the weightiest first."""
    held = [{"name": name, "weight": round(login[name], 3), "why": _why(name, login)} for name in SIGNALS if login[name] > 0]
    return sorted(held, key=lambda each: -each["weight"])


def _why(signal: str, login: Login) -> str:
    if signal.startswith("first_seen_"):
        name = signal.removeprefix("first_seen_")
        return f"the {_NEW[name]} {login[name]} is new"
    if signal == "impossible_travel":
        return (f"{login['travelled_km']:,.0f} km from {login['travel_address']} in {_gap(login['time'] - login['travel_time'])}, "
                f"at least {login['speed_kmh']:,.0f} km/h")
    return {
        "off_hours": f"{instant(login['time']):%A %H} o'clock UTC is outside the usual hours",
        "mfa_missing": "no second factor, though policy demands one",
        "token_reuse": f"the session {login['session_id']} was used from {login['reused_from']} before",
        "direct_to_host": "straight to the machine, though vCenter is the way",
        "from_guest": f"out of the guest {login['machine']}, where it never came from",
        "saml_orphan": "the issuer has no record of the token or assertion",
        "after_failures": "after several refusals from the same address"}[signal]


def _off(login: Login, p: LoginParameters) -> dict[str, str]:
    """Signals that could not be judged, and why."""
    off: dict[str, str] = {}
    if not p.geoip:
        off |= dict.fromkeys(("first_seen_asn", "first_seen_country", "impossible_travel"), "no GeoIP files were given (--geoip)")
    elif not login["vpn"]:
        known = (("first_seen_asn", "asn"), ("first_seen_country", "country"), ("impossible_travel", "latitude"))
        off |= {signal: f"the GeoIP files do not know {login['address']}" for signal, field in known if login[field] is None}
    if not p.policies.mfa.required:
        off["mfa_missing"] = "policy.yml demands no second factor of anybody"
    if not p.policies.vcenter_addresses:
        off["direct_to_host"] = "policy.yml names no address of a vCenter"
    needed = f"the profile is young: {p.cold_logins} logins in {p.cold_days:g} days are needed"
    for settled, names in (("settled", (*HABITS, "")), ("settled_person", WHEREABOUTS)):
        if login[settled] is False:
            signals = [f"first_seen_{name}" if name else "off_hours" for name in names]
            off |= {signal: needed for signal in signals if not login[signal] and signal not in off}
    return off


# --- words --------------------------------------------------------------------------------------------------------------------


def _explanation(worst: Login, logins: Sequence[Login], count: int, p: LoginParameters) -> str:
    said: list[str] = []
    if worst["previous_time"] is not None:
        said.append(f"{worst['user']} was at {_whence(worst['previous_address'], worst['previous_country'])} on "
                    f"{instant(worst['previous_time']):%Y-%m-%d at %H:%M:%S} UTC.")
    shown = logins[:3] if worst in logins[:3] else [*logins[:2], worst]
    at = worst["previous_time"]
    for login in shown:
        when = f"On {instant(login['time']):%Y-%m-%d at %H:%M:%S} UTC" if at is None else f"{_gap(login['time'] - at)} later"
        said.append(f"{when} {_act(login)}; {_joined([each['why'] for each in _signals(login)])}.")
        at = login["time"]
    if count > len(shown):
        said.append(f"{count - len(shown)} more risky logins of that day are not told here.")
    if worst["before"]:
        said.append(f"The profile: {worst['before']} logins in the {worst['age_days']:.0f} days before.")
    if off := _off(worst, p):
        said.append(f"Not judged: {_joined(sorted(off))}.")
    return " ".join(said)


def _act(login: Login) -> str:
    did = "used a session at" if login["before"] is None else "logged in to"
    agent = f" with {login['client']}" if login["client"] else ""
    return f"{login['user']} {did} {login['target'] or login['realm']} from {_whence(login['address'], login['country'])}{agent}"


def _whence(address: str | None, country: str | None) -> str:
    return f"{address or 'an unknown address'}{f' ({country})' if country else ''}"


def _joined(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _gap(micros: int) -> str:
    seconds = micros / 1_000_000
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}{'' if seconds == size else 's'}"
    return f"{seconds:.0f} seconds"
