"""The login baseline as a pure function of signals: what is odd, what must stay silent, and that neither order nor cut matters."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from pipeline.analytics.job import EPOCH, FINDINGS, SIGNAL
from pipeline.analytics.login_baseline import JOB
from pipeline.analytics.logins.parameters import LoginParameters
from pipeline.analytics.logins.profile import familiarity, hour_share
from pipeline.analytics.logins.rows import client
from pipeline.analytics.logins.signals import SIGNALS
from pipeline.context.columns import PLACE
from pipeline.context.policies import Policies
from tests.analytics.geoip import write_both

COLUMNS = {**SIGNAL, **dict.fromkeys(JOB.fields, pl.String),
           **{f"{into}.{part}": pl.String for into in ("source", "target") for part in PLACE}}
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
GOVC = "govc/0.52.0"
ATTACK = datetime(2026, 11, 23, 10, tzinfo=UTC)  # a Monday
BERLIN, SYDNEY, POTSDAM, VAGUE = "192.0.2.10", "198.51.100.10", "203.0.113.10", "203.0.113.200"
Signal = dict[str, Any]


def signal(when: datetime | float, *roles: str, user: str = "corp\\anna", address: str | None = BERLIN, agent: str | None = FIREFOX,
           host: str | None = "vc01", **fields: Any) -> list[Signal]:
    """A record that plays some roles (default: login); a number is hours from the attack."""
    time = when if isinstance(when, datetime) else ATTACK + timedelta(hours=when)
    micros = (time - EPOCH) // timedelta(microseconds=1)
    named = {name.replace("__", "."): value for name, value in fields.items()}
    event = named.pop("event", f"{micros}-{user}-{address}-{host}")
    row = {"time": micros, "event": event, "user": user, "host": host, "source.ip": address, "user_agent.original": agent,
           "hypervisor.type": "esxi", **named}
    return [{"role": role, "rule": f"rule_of_{role}", **row} for role in roles or ("login",)]


def work(days: int = 30, *roles: str, hours: Iterable[int] = (9, 11, 14), **fields: Any) -> list[Signal]:
    """Logins of the working days before the attack."""
    start = ATTACK.replace(hour=0) - timedelta(days=days)
    return [one for day in range(days) for hour in hours if (when := start + timedelta(days=day, hours=hour, minutes=day % 7)).weekday() < 5
            for one in signal(when, *roles, **fields)]


def frame(signals: Iterable[Signal]) -> pl.DataFrame:
    return pl.DataFrame(list(signals), schema=COLUMNS)


def run(signals: pl.DataFrame, p: LoginParameters, horizon: int = 2**62) -> pl.DataFrame:
    """The job's only pass over whole groups."""
    (each,) = JOB.passes
    found = each.judge(each.keyed(signals, p).drop_nulls("key").sort("key", "time", "event"), p, horizon)
    assert found.schema == pl.Schema(dict(FINDINGS))
    return found.sort("key", "first")


def judge(*parts: list[Signal], horizon: int = 2**62, **parameters: Any) -> list[dict[str, Any]]:
    """Findings of signals, with steps and detail read."""
    found = run(frame(one for part in parts for one in part), LoginParameters(**parameters), horizon).to_dicts()
    return [row | {"steps": json.loads(row["steps"]), "detail": json.loads(row["detail"])} for row in found]


def odd(*parts: list[Signal], **parameters: Any) -> dict[str, float]:
    """Signal -> weight of the only finding; none if there is none."""
    found = judge(*parts, **parameters)
    assert len(found) <= 1, [row["explanation"] for row in found]
    return {each["name"]: each["weight"] for row in found for each in row["detail"]["signals"]}


def weekly(*days: str, hosts: tuple[str, ...] = ("*",)) -> dict[str, Any]:
    return {"hosts": hosts, "days": days, "start": "00:00", "hours": 24}


@pytest.fixture(scope="module")
def geoip(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    return write_both(tmp_path_factory.mktemp("geoip"))


# --- first seen and hours ------------------------------------------------------------------------------------------------------


def test_a_usual_login_is_silent(geoip: tuple[str, ...]) -> None:
    assert odd(work(), signal(0), geoip=geoip) == {}
    assert run(frame([]), LoginParameters()).is_empty()


def test_stolen_credentials_without_geoip() -> None:
    (found,) = judge(work(), signal(-7.5, address=SYDNEY, agent=GOVC))
    assert {each["name"] for each in found["detail"]["signals"]} == {"first_seen_prefix", "first_seen_client", "off_hours"}
    assert (found["severity"], found["count"], found["key"]) == ("medium", 1, "corp\\anna|esxi")
    assert found["score"] == pytest.approx(100 * (1 - 0.65 * 0.75 * 0.85), abs=0.05)
    off = found["detail"]["off"]
    assert {off[name] for name in ("first_seen_asn", "first_seen_country", "impossible_travel")} == {"no GeoIP files were given (--geoip)"}
    assert "Not judged: direct_to_host, first_seen_asn, first_seen_country, impossible_travel and mfa_missing." in found["explanation"]


def test_stolen_credentials_with_geoip(geoip: tuple[str, ...]) -> None:
    (found,) = judge(work(), signal(30, address=SYDNEY, agent=GOVC), geoip=geoip)  # the last login was a day before: time to fly
    detail = found["detail"]
    assert {each["name"] for each in detail["signals"]} == {
        "first_seen_prefix", "first_seen_asn", "first_seen_country", "first_seen_client"}
    assert found["severity"] == "high"
    assert detail["source"] == {"address": SYDNEY, "machine": None, "prefix": "198.51.100.0/24", "country": "AU", "asn": "AS64501"}
    assert detail["profile"]["login_count"] == 60 and detail["profile"]["settled"]
    assert detail["previous"]["address"] == BERLIN and detail["previous"]["country"] == "DE"
    assert set(detail["off"]) == {"mfa_missing", "direct_to_host"}


def test_what_is_known_for_long_enough_is_not_new() -> None:
    for days, told in ((20, False), (27, False), (29, True)):  # while the profile is young nothing is new to it, nor told
        earlier = signal(-24 * days, address=SYDNEY, agent=GOVC)
        assert bool(odd(work(), earlier, signal(0, address=SYDNEY, agent=GOVC))) is told


def test_the_logins_of_one_stay_are_judged_alike() -> None:
    """The first login with a new client from a new prefix does not make the second one usual; after an hour it does."""
    stay = [one for minutes in (0, 20, 40) for one in signal(minutes / 60, address=SYDNEY, agent=GOVC)]
    (found,) = judge(work(), stay, signal(1.5, address=SYDNEY, agent=GOVC))
    assert found["count"] == 3
    assert [step["gap_s"] for step in found["steps"]][-2:] == [1200, 1200]


def test_a_new_provider_at_home_is_silent(geoip: tuple[str, ...]) -> None:
    assert odd(work(), signal(5, address=POTSDAM), geoip=geoip) == {}
    assert odd(work(), signal(5, address=POTSDAM, agent=GOVC), geoip=geoip).keys() == {
        "first_seen_prefix", "first_seen_asn", "first_seen_client"}


def test_a_way_in_and_a_target_tip_the_balance() -> None:
    assert odd(work(), signal(0, address=SYDNEY)) == {}
    assert odd(work(), signal(0, address=SYDNEY, host="vc02")) == {}
    assert odd(work(), signal(-8, address=SYDNEY, host="vc02")).keys() == {"first_seen_prefix", "first_seen_target", "off_hours"}
    assert odd(work(), signal(0, "direct", address=SYDNEY, host="esx01")).keys() == {
        "first_seen_prefix", "first_seen_method", "first_seen_target"}


def test_new_staff_is_silent(geoip: tuple[str, ...]) -> None:
    stranger = signal(24, address=SYDNEY, agent=GOVC)
    assert odd(work(12), stranger, geoip=geoip) == {}  # too young
    assert odd(work(30, hours=(9,))[-19:], stranger, geoip=geoip) == {}  # too few
    assert odd(work(40, hours=(9,))[-20:], stranger, geoip=geoip, cold_logins=19) != {}


@pytest.mark.parametrize("user", ["root", "corp\\administrator", "corp\\chief"])
def test_a_new_country_of_a_privileged_principal_is_told_at_once(geoip: tuple[str, ...], user: str) -> None:
    chief, late = Policies(privileged=("corp\\chief",)), signal(48, address=SYDNEY, user=user)
    (found,) = judge(signal(0, user=user), late, geoip=geoip, policies=chief)
    assert [each["name"] for each in found["detail"]["signals"]] == ["first_seen_country"]
    assert found["severity"] == "high"
    assert "20 logins in 14 days are needed" in found["detail"]["off"]["first_seen_prefix"]
    assert odd(late, geoip=geoip, policies=chief) == {}  # the first country is none to compare with
    assert odd(signal(0), signal(48, address=SYDNEY), geoip=geoip, policies=chief) == {}  # not privileged
    at_home = {"privileged": ["corp\\chief"], "offices": ["192.0.2.128/25"]}
    assert odd(late, geoip=geoip, policies=Policies(**at_home)).keys() == {"first_seen_country"}  # not where the company is
    assert odd(signal(0, user=user), geoip=geoip, policies=Policies(**at_home)) == {}


def test_a_role_with_admin_in_its_name_is_privileged(geoip: tuple[str, ...]) -> None:
    for role, told in (("vm-admins", True), ("reader", False)):
        fields: dict[str, Any] = {"cloud__account__id": "123456789012", "user": "carol",
                                  "aws__cloudtrail__resource_arns": f"arn:aws:iam::123456789012:role/{role}"}
        found = odd(signal(0, "role_assumed", **fields), signal(48, "role_assumed", address=SYDNEY, **fields), geoip=geoip)
        assert bool(found) is told, role


def test_a_service_with_rotating_addresses_is_silent(geoip: tuple[str, ...]) -> None:
    pool = [one for day in range(30) for n in range(4)
            for one in signal(-24 * day - n - 3, user="svc-ci", address=f"10.{day}.{n}.7", agent=GOVC, host=f"vc{day}{n}")]
    assert odd(pool, signal(0, user="svc-ci", address="10.200.1.1", agent=FIREFOX, host="vc900")) == {}
    assert odd(work(user="svc-ci"), signal(0, user="svc-ci", address="10.200.1.1", agent=GOVC)) != {}  # this one has one address


def test_travellers_through_the_vpn_and_offices_are_silent(geoip: tuple[str, ...]) -> None:
    vpn, office = Policies(vpn=("198.51.100.0/24",)), Policies(offices=("198.51.100.0/24",))
    known = signal(-24 * 5, address="198.51.100.77")
    assert odd(work(), known, signal(0.5, address=SYDNEY), geoip=geoip, policies=vpn) == {}
    assert odd(work(), known, signal(0.5, address=SYDNEY, agent=GOVC), geoip=geoip, policies=vpn) == {}
    assert odd(work(), signal(24, address=SYDNEY), geoip=geoip, policies=office) == {}  # a prefix of the house, no new country
    assert odd(work(), signal(24, address=SYDNEY), geoip=geoip) != {}


def test_a_patch_night_is_silent() -> None:
    night = [one for n in range(30) for one in signal(-8 + n / 60, "direct", host=f"esx{n:02}", agent=GOVC, address="10.0.9.9")]
    known = signal(-100, address="10.0.9.8")
    assert odd(work(), known, night, policies=Policies(maintenance=(weekly("mon"),))) == {}
    elsewhere = Policies(maintenance=(weekly("mon", hosts=("esx*",)),))
    assert odd(work(), known, signal(-8, address=SYDNEY, agent=GOVC), policies=elsewhere) != {}


# --- travel -------------------------------------------------------------------------------------------------------------------


def test_impossible_travel(geoip: tuple[str, ...]) -> None:
    (found,) = judge(signal(0), signal(0.5, address=SYDNEY), geoip=geoip)
    detail = found["detail"]
    assert [each["name"] for each in detail["signals"]] == ["impossible_travel"]
    assert found["severity"] == "high"
    assert detail["travelled_km"] == pytest.approx(16_094, abs=10)
    assert detail["speed_kmh"] == pytest.approx((16_094 - 70) * 2, abs=30)
    assert "16,09" in found["explanation"] and "30 minutes later" in found["explanation"]


@pytest.mark.parametrize(("hours", "there", "policies", "why"), [
    (18, SYDNEY, {}, "an airliner is as fast"),
    (0.1, POTSDAM, {}, "too near: two providers in one region"),
    (0.5, VAGUE, {}, "nobody knows where that is"),
    (0.5, "198.51.100.99", {"vpn": ["198.51.100.0/24"]}, "a VPN comes out there"),
    (0.5, "203.0.113.130", {}, "of the same autonomous system, beside being vague"),
])
def test_travel_that_is_possible(geoip: tuple[str, ...], hours: float, there: str, policies: dict[str, Any], why: str) -> None:
    assert odd(signal(0), signal(hours, address=there), geoip=geoip, policies=Policies(**policies)) == {}, why


def test_travel_within_one_autonomous_system_is_possible(geoip: tuple[str, ...], tmp_path: Path) -> None:
    moves = (signal(0), signal(0.5, address=SYDNEY))
    assert odd(*moves, geoip=geoip[:1]) == {}  # nobody knows whose networks they are
    assert odd(*moves, geoip=geoip, travel_kmh=100_000) == {}
    assert odd(*moves, geoip=geoip).keys() == {"impossible_travel"}


def test_a_login_from_the_vpn_between_two_does_not_hide_the_travel(geoip: tuple[str, ...]) -> None:
    between = signal(0.2, address="10.8.0.9")
    assert odd(signal(0), between, signal(0.5, address=SYDNEY), geoip=geoip, policies=Policies(vpn=("10.8.0.0/16",))) != {}


# --- second factor, sessions, direct, federation, failures ---------------------------------------------------------------------


def test_a_missing_second_factor_counts_where_policy_demands_one() -> None:
    alone = signal(0, "login", "single_factor")
    demand = {"required": ["corp\\*"], "exempt": ["corp\\svc-*"]}
    (found,) = judge(alone, policies=Policies(mfa=demand))
    assert [each["name"] for each in found["detail"]["signals"]] == ["mfa_missing"] and found["severity"] == "medium"
    assert odd(alone) == {}
    assert odd(signal(0), policies=Policies(mfa=demand)) == {}
    assert odd(signal(0, "login", "single_factor", user="corp\\svc-1"), policies=Policies(mfa=demand)) == {}
    drill = Policies(mfa=demand, maintenance=(weekly("mon"),))
    nameless: dict[str, Any] = {"host": None, "user": "corp\\anna"}
    assert odd(alone, policies=drill) == odd(signal(0, "login", "single_factor", **nameless), policies=drill) == {}
    assert odd(signal(0, "login", "single_factor", **nameless, cloud__account__id="123456789012"), policies=drill) != {}  # no host


def use(when: float, address: str, **fields: Any) -> list[Signal]:
    return signal(when, "session", address=address, agent=None, **{"session__id": "52aa-77"} | fields)


def test_a_session_used_from_two_addresses() -> None:
    (found,) = judge(use(0, BERLIN), use(1, SYDNEY))
    assert found["severity"] == "high" and found["detail"]["signals"][0]["name"] == "token_reuse"
    assert BERLIN in found["detail"]["signals"][0]["why"] and "used a session at vc01" in found["explanation"]
    assert found["events"] == [use(1, SYDNEY)[0]["event"], use(0, BERLIN)[0]["event"]]
    assert found["detail"]["profile"] is None


@pytest.mark.parametrize(("uses", "policies"), [
    ([use(0, BERLIN), use(1, "192.0.2.99")], {}),  # one network: a pool behind a proxy
    ([use(0, BERLIN), use(1, SYDNEY, session__id="52aa-78")], {}),
    ([use(0, BERLIN), use(8.1, SYDNEY)], {}),
    ([use(0, BERLIN), use(1, SYDNEY, user="corp\\bob")], {}),  # identifiers of two managers may be alike
    ([use(0, BERLIN), use(1, SYDNEY)], {"vpn": ["198.51.100.0/24"]}),
    ([use(0, BERLIN), use(1, SYDNEY)], {"vcenter_addresses": ["198.51.100.10"]}),
])
def test_a_session_in_one_hand(uses: list[list[Signal]], policies: dict[str, Any]) -> None:
    assert odd(*uses, policies=Policies(**policies)) == {}


VCENTER = {"vcenter_addresses": ["10.0.0.5"]}
ROOT: dict[str, Any] = {"user": "root", "host": "esx01", "agent": None}


def test_a_login_straight_to_a_host() -> None:
    direct = signal(0, "direct", address="10.1.1.1", **ROOT)
    (found,) = judge(direct, policies=Policies(**VCENTER))
    assert [each["name"] for each in found["detail"]["signals"]] == ["direct_to_host"] and found["severity"] == "medium"
    assert odd(direct) == {}  # nobody says that vCenter is the way
    again = signal(30, "direct", address="10.1.1.77", **ROOT)
    assert len(judge(direct, again, policies=Policies(**VCENTER))) == 1  # the next day from the same prefix


@pytest.mark.parametrize("policies", [
    {"vcenter_addresses": ["10.1.1.0/24"]}, {"bastions": ["10.1.1.1"]}, {"bastions": ["jump*"]}, {"backup_proxies": ["10.1.1.0/24"]},
    {"config_management": ["10.1.1.1"]}, {"scanners": ["10.1.1.1"]}, {"services": ["root"]}, {"maintenance": [weekly("mon")]}])
def test_who_may_come_to_a_host(policies: dict[str, Any]) -> None:
    direct = signal(0, "direct", address="10.1.1.1", source__vm="jump01", **ROOT)
    assert odd(direct, policies=Policies(**VCENTER | policies)) == {}


def test_who_always_comes_to_hosts_directly_may_do_so_from_elsewhere() -> None:
    used = [one for day in range(5) for one in signal(-24 * day - 24, "direct", address="10.2.2.2", **ROOT)]
    (first,) = judge(used, signal(0, "direct", address="10.1.1.1", **ROOT), policies=Policies(**VCENTER))
    assert first["detail"]["source"]["address"] == "10.2.2.2"


def test_a_login_out_of_a_guest() -> None:
    guest: dict[str, Any] = {"address": "10.1.1.1", "source__vm": "web01"}
    (found,) = judge(signal(0, "direct", **guest, **ROOT), policies=Policies(**VCENTER))
    assert [each["name"] for each in found["detail"]["signals"]] == ["direct_to_host", "from_guest"] and found["severity"] == "high"
    assert found["detail"]["source"]["machine"] == found["steps"][0]["source"] == "web01"
    assert odd(signal(0, **guest)) == {}  # a new virtual desktop
    assert odd(work(), signal(0, **guest, agent=GOVC)).keys() == {"first_seen_prefix", "first_seen_client", "from_guest"}
    assert odd(work(**guest), signal(0, **guest, agent=GOVC)) == {}
    assert "from_guest" not in odd(work(), signal(0, **guest, agent=GOVC), policies=Policies(bastions=("web*",)))
    assert "from_guest" not in odd(work(), signal(0, **guest, agent=GOVC, host="db01", target__vm="db01"))  # from guest to guest
    assert "from_guest" in odd(work(), signal(0, "federated", **guest, agent=GOVC, target__vm="vc01"))  # a manager in a guest


def test_nobody_is_at_two_places_whatever_the_realm(geoip: tuple[str, ...]) -> None:
    """A person has one whereabouts, a shared account one in each realm."""
    def cloud(user: str) -> list[Signal]:
        return signal(0.5, user=user, address=SYDNEY, cloud__account__id="123456789012")

    assert odd(signal(0), cloud("corp\\anna"), geoip=geoip).keys() == {"impossible_travel"}
    assert odd(signal(0, user="root"), cloud("root"), geoip=geoip) == {}
    assert "first_seen_country" in odd(work(), signal(100, address=SYDNEY, cloud__account__id="123456789012"), geoip=geoip)


def federated(days: int = 10, late: float = -1 / 60) -> list[Signal]:
    return [one for day in range(1, days + 1) for one in (
        *signal(-24 * day, "federated"), *signal(-24 * day + late, "assertion", event=f"assertion-{day}", agent=None, host="idp01"))]


def test_a_federated_login_without_assertion() -> None:
    (found,) = judge(federated(), signal(0, "federated"))
    assert [each["name"] for each in found["detail"]["signals"]] == ["saml_orphan"] and found["severity"] == "high"


def test_a_federated_login_whose_assertion_may_be_elsewhere() -> None:
    login = signal(0, "federated")
    assert odd(federated(), login, signal(4 / 60, "assertion", event="late", agent=None)) == {}
    assert odd(federated(), login, signal(6 / 60, "assertion", event="late", agent=None)) != {}
    assert odd(federated(2), login) == {}  # too few to know that the issuer's log is collected
    assert odd(federated(10, late=-1), login) == {}  # the issuer knows them otherwise
    assert odd(federated(), signal(0, "login")) == {}
    four_minutes = login[0]["time"] + 4 * 60 * 1_000_000
    assert judge(federated(), login, horizon=four_minutes) == []  # the assertion may still come
    assert len(judge(federated(), login, horizon=four_minutes + 60 * 1_000_000)) == 1


def test_refusals_before_a_login_add_to_its_risk() -> None:
    refused = [one for n in range(5) for one in signal(-n / 60 - 0.1, "failure", address=SYDNEY)]
    assert odd(work(), refused, signal(0, address=SYDNEY)).keys() == {"first_seen_prefix", "after_failures"}
    assert odd(work(), refused[:4], signal(0, address=SYDNEY)) == {}
    assert odd(work(), [row | {"source.ip": POTSDAM} for row in refused], signal(0, address=SYDNEY)) == {}
    assert odd(work(), refused, signal(1.2, address=SYDNEY)) == {}


# --- facts, findings, invariance -----------------------------------------------------------------------------------------------


def test_one_login_in_several_logs_is_one() -> None:
    stranger = {"address": SYDNEY, "fact": "user-login|vc01|anna|198.51.100.10|success"}
    sso = signal(0, event="sso", agent=None, event__action="com.vmware.sso.LoginSuccess", **stranger)
    vpxd = signal(0.0005, event="vpxd", agent=GOVC, event__action="UserLoginSessionEvent", **stranger)
    later = signal(0.5, event="again", agent=GOVC, event__action="UserLoginSessionEvent", **stranger)
    (found,) = judge(work(), sso, vpxd, later)
    assert set(found["events"]) - {found["detail"]["previous"]["event"]} == {"vpxd", "again"} and found["count"] == 2


def test_the_day_of_a_principal_in_a_realm_is_one_alert(geoip: tuple[str, ...]) -> None:
    two = signal(0.2, address=SYDNEY, agent=GOVC), signal(0.4, address=POTSDAM, agent="pyvmomi Python/3.12")
    cloud = signal(0.6, address=SYDNEY, cloud__account__id="123456789012")
    found = judge(work(), signal(0), *two, cloud, geoip=geoip)
    assert [(row["key"], row["count"]) for row in found] == [("corp\\anna|123456789012", 1), ("corp\\anna|esxi", 2)]
    assert found[1]["first"] == two[0][0]["time"] and found[1]["last"] == two[1][0]["time"]
    assert found[1]["severity"] == "critical" and found[1]["events"][0] == two[0][0]["event"]
    assert [step["stage"] for step in found[1]["steps"]] == ["previous", "impossible_travel", "impossible_travel"]
    assert found[1]["steps"][1]["source"] == SYDNEY and found[1]["steps"][1]["target"] == "vc01"


@pytest.mark.parametrize("name", SIGNALS)
def test_a_weight_of_nothing_switches_a_signal_off(name: str, geoip: tuple[str, ...]) -> None:
    refused = [one for n in range(6) for one in signal(-8.1 - n / 60, "failure", address=SYDNEY)]
    attack = signal(-8, "direct", "federated", "single_factor", "session", address=SYDNEY, agent=GOVC, host="esx01", session__id="5",
                    source__vm="web01")
    before = [*work(), *federated(), *signal(-9, "session", event="used", session__id="5", agent=None), *signal(-8.5), *refused]
    policies = Policies(**VCENTER, mfa={"required": ["*"]})
    assert odd(before, attack, geoip=geoip, policies=policies).keys() == set(SIGNALS)
    assert odd(before, attack, geoip=geoip, policies=policies, weights={name: 0}).keys() == set(SIGNALS) - {name}


def everything(seed: int) -> list[Signal]:
    """Random logins of some principals, most of them in their ways."""
    chance = random.Random(seed)
    rows: list[Signal] = []
    for user in ("corp\\anna", "root", "svc"):
        for _ in range(150):
            stray = chance.random() < 0.06
            roles = chance.choice([("login",), ("direct",), ("federated", "assertion"), ("federated",), ("login", "session")])
            rows += signal(chance.uniform(-24 * 80, 0), *roles, user=user, address=chance.choice((SYDNEY, POTSDAM) if stray else (BERLIN,)),
                           agent=GOVC if stray else FIREFOX, session__id=str(chance.randrange(5)), event=f"e{len(rows)}",
                           fact=f"fact{chance.randrange(3)}", host=f"esx{chance.randrange(3)}")
    return rows


@pytest.mark.parametrize("seed", range(6))
def test_neither_order_nor_cut_matters(seed: int, geoip: tuple[str, ...]) -> None:
    p = LoginParameters(geoip=geoip, policies=Policies(**VCENTER))
    rows = everything(seed)
    whole = run(frame(rows), p)
    assert whole.height > 5
    random.Random(seed).shuffle(rows)
    assert run(frame(rows), p).equals(whole)
    for hours in (-200, -600.5):
        new = (ATTACK + timedelta(hours=hours) - EPOCH) // timedelta(microseconds=1)
        seen = [row for row in rows if row["time"] >= new - JOB.look_back(p) // timedelta(microseconds=1)]
        assert run(frame(seen), p).filter(pl.col("last") >= new).equals(whole.filter(pl.col("last") >= new))


def test_logins_cost_what_their_number_does() -> None:
    """A loop over pairs would take hours here."""
    number, chance = 150_000, np.random.default_rng(1)
    times = np.sort(chance.integers(0, 60 * 86400 * 10**6, number))
    some = pl.DataFrame({"role": "login", "rule": "r", "time": times, "event": [f"e{n}" for n in range(number)], "user": "svc",
                         "host": "vc01", "source.ip": "192.0.2.7", "hypervisor.type": "esxi"})
    rows = some.with_columns(pl.lit(None, pl.String).alias(name) for name in COLUMNS if name not in some.columns).select(list(COLUMNS))
    assert run(rows, LoginParameters()).is_empty()


# --- the profile against the plain way -----------------------------------------------------------------------------------------


def plain_weight(past: list[tuple[int, int]], code: int, now: int, p: LoginParameters) -> float:
    ages = (now - time for each, time in past if each == code)
    return sum(2 ** (-age / (p.half_life_days * 864e8)) for age in ages if p.settle_minutes * 6e7 <= age <= p.look_back_days * 864e8)


@pytest.mark.parametrize("seed", range(5))
def test_familiarity_is_the_sum_of_what_is_left_of_each_login(seed: int) -> None:
    chance, p = random.Random(seed), LoginParameters()
    span = chance.choice((5, 100, 4000)) * 86_400_000
    past = [(chance.randrange(3), chance.randrange(span) * 1000) for _ in range(60)]
    asked = [(chance.randrange(4), chance.randrange(span) * 1000) for _ in range(40)] + past[:5]
    known, now = (pl.DataFrame(rows, schema={"code": pl.Int64, "time": pl.Int64}, orient="row") for rows in (past, asked))
    assert familiarity(known, now, ["code"], p).to_list() == pytest.approx([plain_weight(past, *one, p) for one in asked], abs=1e-9)


def test_what_is_null_is_not_familiar() -> None:
    rows = pl.DataFrame({"code": [None, None, 1], "time": [0, 86_400_000_000, 86_400_000_000]}, schema={"code": pl.Int64, "time": pl.Int64})
    assert familiarity(rows, rows, ["code"], LoginParameters()).to_list() == [0, 0, 0]


def test_the_hours_of_the_week() -> None:
    def moments(rows: list[Signal]) -> Iterator[tuple[int, int]]:
        yield from ((0, row["time"]) for row in rows)

    schema = {"profile": pl.Int64, "time": pl.Int64}
    past = pl.DataFrame(moments(work(hours=range(8, 18))), schema=schema, orient="row")
    hours = {"Monday 10:00": 0, "Monday 17:59": 7.98, "Tuesday 03:00": 17, "Saturday 10:00": 120, "Monday 23:00": 13}
    asked = pl.DataFrame([(0, signal(hour)[0]["time"]) for hour in hours.values()], schema=schema, orient="row")
    shares = dict(zip(hours, hour_share(past, asked, LoginParameters()), strict=True))
    assert {name for name, share in shares.items() if share < LoginParameters().rare_hour} == {
        "Tuesday 03:00", "Saturday 10:00", "Monday 23:00"}
    every = pl.DataFrame([(0, ATTACK_HOUR + hour * 3_600_000_000) for hour in range(168)], schema=schema, orient="row")
    assert 0.9 < sum(hour_share(past, every.with_columns(pl.col("time").clip(lower_bound=ATTACK_HOUR)), LoginParameters())) < 1.1


ATTACK_HOUR = (ATTACK - EPOCH) // timedelta(microseconds=1)


@pytest.mark.parametrize(("agent", "family"), [
    (FIREFOX, "firefox linux"),
    ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0", "edge windows"),
    ("Mozilla/5.0 (Macintosh; Intel Mac OS X 14_4) AppleWebKit/605.1.15 Version/17.4 Safari/605.1.15", "safari macos"),
    ("govc/0.52.0", "govc"), ("VMware vim-java 1.0", "vmware vim-java"), ("VMware-client/6.5.0", "vmware-client"),
    ("pyvmomi Python/3.12.1", "pyvmomi python"), ("[aws-cli/2.17.0 Python/3.11]", "aws-cli"), ("Go-http-client/1.1", "go-http-client"),
    ("", None), (None, None)])
def test_families_of_clients(agent: str | None, family: str | None) -> None:
    assert pl.select(client(pl.lit(agent, pl.String))).item() == family
