"""VM hopping as a pure function of signals and placement: what is a path, what is none, and that neither order nor cut matters."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from pipeline.analytics import hopping
from pipeline.analytics.hopping import JOB
from pipeline.analytics.hops.connected import connected
from pipeline.analytics.hops.edges import EDGES
from pipeline.analytics.hops.parameters import DAY, Hopping
from pipeline.analytics.job import EPOCH, FINDINGS
from pipeline.analytics.passes import findings, judged, keyed, signal_columns
from pipeline.context.columns import PLACEMENT
from pipeline.context.lookup import as_of
from pipeline.context.policies import Flow, Policies, Window

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
COLUMNS = signal_columns(JOB)
HORIZON = 2**62
Signal = dict[str, Any]
Interval = dict[str, Any]


def us(when: datetime | float) -> int:
    """Microseconds of a time; a number is minutes from noon."""
    moment = when if isinstance(when, datetime) else NOON + timedelta(minutes=when)
    return (moment - EPOCH) // timedelta(microseconds=1)


def vm(name: str, host: str = "esx01", ip: str | None = None, tenant: str = "blue", segment: str | None = None, zone: str | None = None,
       role: str | None = None, since: float = -1e6, until: float | None = None) -> list[Interval]:
    """Where a VM was, under its name and its address."""
    facts = {"vm": name, "host": host, "tenant": tenant, "segment": segment, "zone": zone, "role": role, "valid_from": us(since),
             "valid_to": None if until is None else us(until)}
    return [{"kind": "vm", "key": name, **facts}, *([{"kind": "ip", "key": ip, **facts}] if ip else [])]


# Five VMs of one tenant on five hosts, and two of another.
HOUSE = [each for n in range(1, 6) for each in vm(f"blue{n}", f"esx{n:02d}", f"192.0.2.{n}")]
HOUSE += [each for n in range(1, 3) for each in vm(f"red{n}", f"esx{n:02d}", f"198.51.100.{n}", "red")]


def hop(when: datetime | float, source: str, target: str, user: str | None = "anna", role: str = "login", **fields: Any) -> Signal:
    """A login at a guest that writes its own log. `source` is an address; `blue1` stands for its own."""
    ip = f"192.0.2.{source[4:]}" if source.startswith("blue") else f"198.51.100.{source[3:]}" if source.startswith("red") else source
    named = {name.replace("__", "."): value for name, value in fields.items()}
    event = f"{us(when)}-{role}-{source}-{target}-{user}"
    return {"role": role, "rule": "kvm_ssh_login", "time": us(when), "event": event, "host": target, "user": user, "source.ip": ip} | named


def by_manager(when: datetime | float, target: str, user: str = "anna", role: str = "guest_operation", **fields: Any) -> Signal:
    """Something done to a VM through vCenter."""
    named = {name.replace("__", "."): value for name, value in fields.items()}
    return {"role": role, "rule": "vcenter_x", "time": us(when), "event": f"{us(when)}-{role}-{target}-{user}", "host": "vc01",
            "observer.name": "vc01.example.org", "vm": target, "user": user} | named


def judge(signals: list[Signal], house: list[Interval] = HOUSE, **parameters: Any) -> list[dict[str, Any]]:
    """Findings of signals, located as of their time."""
    table = pl.DataFrame(house, schema=dict(PLACEMENT))
    rows = pl.DataFrame(signals, schema=COLUMNS)
    rows = rows.drop([name for each in JOB.located for name in each.columns])
    for each in JOB.located:
        kind = table.filter(pl.col("kind") == ("ip" if each.address else "vm"))
        rows = as_of(rows.with_columns(each.named.alias("looked up")), kind, "looked up", each.into).drop("looked up")
    found = findings(rows, JOB, Hopping(**parameters), HORIZON)
    return [row | {"steps": json.loads(row["steps"]), "detail": json.loads(row["detail"])} for row in found.to_dicts()]


def one(signals: list[Signal], house: list[Interval] = HOUSE, **parameters: Any) -> dict[str, Any]:
    found = judge(signals, house, **parameters)
    assert len(found) == 1, [(row["severity"], row["explanation"]) for row in found]
    return found[0]


CHAIN = [hop(0, "203.0.113.9", "blue1"), hop(10, "blue1", "blue2"), hop(25, "blue2", "blue3"), hop(95, "blue3", "blue4"),
         hop(200, "blue4", "blue5")]


def test_a_linear_chain_is_one_alert_that_draws_its_hops() -> None:
    found = one(CHAIN)
    assert (found["severity"], found["score"], found["count"]) == ("medium", 15.0, 5)
    assert [(each["source"], each["target"], each["host"]) for each in found["steps"]] == [
        ("203.0.113.9", "blue1", "esx01"), ("blue1", "blue2", "esx02"), ("blue2", "blue3", "esx03"), ("blue3", "blue4", "esx04"),
        ("blue4", "blue5", "esx05")]
    assert [each["gap_s"] for each in found["steps"]] == [None, 600, 900, 4200, 6300]
    assert found["detail"] == {
        "path.vms": ["blue1", "blue2", "blue3", "blue4", "blue5"],
        "path.machines": ["203.0.113.9", "blue1", "blue2", "blue3", "blue4", "blue5"],
        "path.hosts": ["esx01", "esx02", "esx03", "esx04", "esx05"], "path.hop_count": 5, "path.users": ["anna"], "path.tenants": ["blue"],
        "path.places": {"203.0.113.9": {"host": None, "tenant": None}}
        | {f"blue{n}": {"host": f"esx0{n}", "tenant": "blue"} for n in range(1, 6)},
        "path.hop_users": ["anna"] * 5, "same_host_hops": 0, "also": []}
    assert found["explanation"].startswith(
        "2026-11-24 12:00:00 UTC: anna from 203.0.113.9 to blue1 (login). 10 min later: anna from blue1 to blue2 (login).")
    assert found["explanation"].endswith("Score 15.0: rarity 15.0.")


def test_two_hops_alert_when_they_cross_something_and_not_when_they_do_not() -> None:
    two = [hop(0, "blue1", "blue2"), hop(10, "blue2", "blue3")]
    assert judge(two) == []
    together = [each | {"host": "esx07"} for each in HOUSE]
    found = one(two, together)
    assert (found["severity"], found["score"], found["detail"]["same_host_hops"]) == ("high", 26.0, 2)
    upward = [each | {"zone": {"blue1": "dmz", "blue2": "app", "blue3": "data"}.get(each["vm"])} for each in HOUSE]
    assert one(two, upward)["score"] == 36.0
    downward = [each | {"zone": {"blue1": "data", "blue2": "app", "blue3": "dmz"}.get(each["vm"])} for each in HOUSE]
    assert judge(two, downward) == []


def test_three_machines_are_needed() -> None:
    together = [each | {"host": "esx07"} for each in HOUSE]
    assert judge([hop(0, "203.0.113.9", "blue1"), hop(10, "blue1", "blue2")], together) == []
    assert judge([hop(0, "blue1", "blue2"), hop(10, "blue2", "blue1"), hop(20, "blue1", "blue2")], together) == []


@pytest.mark.parametrize(("minutes", "user", "linked"), [
    (479, "anna", True), (481, "anna", False), (30, "root", True), (31, "root", False), (30, None, True), (31, None, False)])
def test_hops_follow_within_hours_of_one_user_and_within_minutes_of_another(minutes: float, user: str | None, linked: bool) -> None:
    together = [each | {"host": "esx07"} for each in HOUSE]
    assert bool(judge([hop(0, "blue1", "blue2"), hop(minutes, "blue2", "blue3", user)], together)) is linked


def test_a_domain_before_the_name_makes_no_other_user() -> None:
    together = [each | {"host": "esx07"} for each in HOUSE]
    assert one([hop(0, "blue1", "blue2", "corp\\anna"), hop(200, "blue2", "blue3", "anna")], together)


def test_what_happens_before_the_inbound_hop_or_at_its_time_does_not_follow_it() -> None:
    together = [each | {"host": "esx07"} for each in HOUSE]
    assert judge([hop(10, "blue1", "blue2"), hop(5, "blue2", "blue3")], together) == []
    assert judge([hop(10, "blue1", "blue2"), hop(10, "blue2", "blue3")], together) == []


def test_pairs_seen_on_three_days_are_habits_and_pairs_seen_on_one_are_less_rare() -> None:
    def before(days: int) -> list[Signal]:
        return [hop(NOON - timedelta(days=day, minutes=5 * n), f"blue{n}", f"blue{n + 1}")
                for day in range(1, days + 1) for n in range(1, 5)]

    assert judge(before(3) + CHAIN) == []
    weaker = [row for row in judge(before(2) + CHAIN) if row["first"] >= us(-1)]
    assert [row["score"] for row in weaker] == [12.3]  # ln(31 / 3) four times, and 3


def test_an_hour_of_attempts_is_no_habit() -> None:
    assert one([hop(minute, "blue1", "blue2") for minute in range(-60, 0, 2)] + CHAIN)["detail"]["path.hop_count"] == 5


def test_habits_older_than_the_history_are_forgotten() -> None:
    old = [hop(NOON - timedelta(days=31 + day, minutes=5 * n), f"blue{n}", f"blue{n + 1}") for day in range(3) for n in range(1, 5)]
    assert [row["score"] for row in judge(old + CHAIN) if row["first"] >= us(0)] == [15.0]


def test_what_is_done_again_hours_later_is_a_path_of_its_own() -> None:
    together = [each | {"host": "esx07"} for each in HOUSE]
    hours = [hop(60 * hour + 10 * n, f"blue{n}", f"blue{n + 1}") for hour in (-11, -10, 2) for n in (1, 2)]
    assert [(row["first"], row["count"]) for row in judge(hours, together)] == [(us(-650), 2), (us(130), 2)]


def test_hops_between_segments_say_so() -> None:
    apart = [each | {"host": "esx07", "segment": f"net-{each['vm']}"} for each in HOUSE]
    found = one([hop(0, "blue1", "blue2"), hop(10, "blue2", "blue3")], apart)
    assert [each["what"] for each in found["steps"]] == ["login, another segment, on the same host"] * 2


def test_a_scanner_s_fan_out_is_no_path_and_a_listed_one_not_even_a_crossing() -> None:
    house = HOUSE + [each for n in range(200) for each in vm(f"t{n}", "esx09", tenant=("blue", "red")[n % 2])]
    fan = [hop(n / 5, "blue1", f"t{n}", "scanner") for n in range(200)]
    assert judge(fan, house, policies=Policies(scanners=("blue1",))) == []
    assert judge(fan, house, policies=Policies(scanners=("192.0.2.0/28",))) == []
    found = one(fan, house)  # unknown as a scanner, it is one alert: a VM of blue that goes to many of red
    assert (found["key"], found["count"], len(found["detail"]["also"])) == ("blue1 > tenant red", 100, 20)


def test_a_bastion_s_star_is_silent() -> None:
    house = [each | {"host": "esx07", "tenant": each["vm"]} for each in HOUSE]
    star = [hop(0, "203.0.113.9", "blue1")] + [hop(5 * n, "blue1", f"blue{n}") for n in range(2, 6)]
    assert judge(star, house, policies=Policies(bastions=("blue1",))) == []
    assert judge(star, house)


def test_the_way_on_from_what_a_bastion_leads_to_is_a_path() -> None:
    found = one([hop(0, "203.0.113.9", "blue1"), *CHAIN[1:], hop(230, "blue5", "red1")], policies=Policies(bastions=("blue1",)))
    assert found["detail"]["path.vms"] == ["blue2", "blue3", "blue4", "blue5", "red1"]


def test_a_vm_that_migrates_between_two_hops_is_where_it_was_at_each() -> None:
    rest = [each for each in HOUSE if each["vm"] in ("blue1", "blue3")]
    moved = vm("blue2", "esx01", "192.0.2.2", until=15) + vm("blue2", "esx03", "192.0.2.2", since=15)
    found = one([hop(10, "blue1", "blue2"), hop(25, "blue2", "blue3")], rest + moved)
    assert (found["detail"]["same_host_hops"], found["score"]) == (2, 26.0)
    assert [(each["target"], each["host"]) for each in found["steps"]] == [("blue2", "esx01"), ("blue3", "esx03")]


def test_an_address_that_another_tenant_has_now_accuses_who_had_it_then() -> None:
    rest = [each for each in HOUSE if each["vm"] != "red1"]
    passed = vm("red1", "esx01", "203.0.113.50", "red", until=0) + vm("blue9", "esx01", "203.0.113.50", "blue", since=5)
    assert judge([hop(10, "203.0.113.50", "blue2")], rest + passed) == []  # blue to blue
    found = one([hop(-10, "203.0.113.50", "blue2")], rest + passed)
    assert (found["detail"]["path.vms"], found["detail"]["path.tenants"]) == (["red1", "blue2"], ["red", "blue"])
    assert judge([hop(2, "203.0.113.50", "blue2")], rest + passed) == []  # between the two nobody has it


def test_a_single_hop_into_another_tenant_alerts_unless_a_row_of_the_segmentation_allows_it() -> None:
    crossing = [hop(0, "blue1", "red2")]
    found = one(crossing)
    assert (found["severity"], found["score"], found["detail"]["path.tenants"]) == ("high", 28.0, ["blue", "red"])
    assert "No row of the segmentation lets blue to red." in found["explanation"]
    for action, silent in (("allow", True), ("inspect", True), ("deny", False)):
        policies = Policies(segmentation=(Flow(source="tenant:blue", target="tenant:red", action=action),))
        assert (judge(crossing, policies=policies) == []) is silent


def test_a_crossing_that_is_a_habit_is_low_and_one_merely_tried_is_medium() -> None:
    daily = [hop(NOON - timedelta(days=day), "blue1", "red2") for day in range(5)]
    assert [row["severity"] for row in judge(daily)] == ["high", "high", "high", "low", "low"]
    assert one([hop(0, "blue1", "red2", None, "flow", destination__port=22)])["severity"] == "medium"


def test_a_crossing_within_a_path_is_no_second_alert() -> None:
    found = one([*CHAIN, hop(230, "blue5", "red1")])
    assert (found["severity"], found["score"]) == ("high", 43.0)


def test_a_connection_and_its_login_are_one_hop() -> None:
    connected = [signal | {"role": "flow", "time": signal["time"] - 2_000_000, "event": f"f-{signal['event']}", "user": None}
                 for signal in CHAIN]
    assert one(CHAIN + connected)["events"] == one(CHAIN)["events"]


def test_connections_alone_are_at_most_medium() -> None:
    together = [each | {"host": "esx07"} for each in HOUSE]
    outward = [{"role": "flow", "time": us(10 * n), "event": f"f{n}", "host": f"blue{n}", "user": "anna", "destination.port": 22,
                "destination.ip": f"192.0.2.{n + 1}"} for n in range(1, 5)]
    found = one(outward, together)
    assert (found["severity"], found["score"]) == ("medium", 52.0)
    assert found["detail"]["path.vms"] == ["blue1", "blue2", "blue3", "blue4", "blue5"]


def test_from_a_guest_over_its_hypervisor_into_another() -> None:
    found = one([hop(0, "203.0.113.9", "blue4", "root"), hop(5, "blue4", "blue1", "root"),
                 hop(10, "blue1", "esx01", "root", "host_login"),
                 {"role": "guest_operation", "time": us(20), "event": "g", "host": "esx01", "vm": "red1", "user": "root"}])
    assert found["detail"]["path.machines"] == ["203.0.113.9", "blue4", "blue1", "esx01", "red1"]
    assert found["detail"]["path.vms"] == ["blue4", "blue1", "red1"]
    assert found["steps"][-1]["what"] == "operation inside the guest, another tenant, on the same host, past the network"
    assert (found["severity"], found["score"]) == ("critical", 67.0)  # 4 x 3 + 10 + 25 + 20


def test_two_machines_are_enough_where_a_host_or_manager_leads_into_another_tenant() -> None:
    def over(host: str, target: str, **policy: Any) -> list[dict[str, Any]]:
        done = {"role": "guest_operation", "time": us(20), "event": "g", "host": host, "vm": target, "user": "root"}
        return judge([hop(10, "blue1", host, "root", "host_login"), done], **policy)

    found = over("esx01", "red1")
    assert [(row["severity"], row["score"], row["detail"]["path.machines"]) for row in found] == [
        ("critical", 61.0, ["blue1", "esx01", "red1"])]  # 2 x 3 + 10 + 25 + 20
    assert over("esx04", "blue4") == []
    allowed = Policies(segmentation=(Flow(source="tenant:blue", target="tenant:red", action="allow"),))
    assert over("esx01", "red1", policies=allowed) == []


def test_a_console_is_part_of_a_path_though_it_is_a_habit() -> None:
    daily = [by_manager(NOON - timedelta(days=day), "blue4", role="console_ticket") for day in range(1, 6)]
    path = [hop(0, "blue1", "vc01", "anna", "host_login"), by_manager(5, "red2", role="console_ticket"), hop(15, "red2", "red1", "db")]
    found = one(daily + path)
    assert (found["severity"], found["detail"]["path.machines"]) == ("high", ["blue1", "vc01", "red2", "red1"])
    assert judge([*daily, *path[1:]]) == []


def test_guest_operations_through_a_manager_are_a_walk_of_who_does_them() -> None:
    walk = [hop(-5, "203.0.113.9", "vc01", "anna", "host_login"),
            *(by_manager(7 * n, name) for n, name in enumerate(("blue1", "red2", "blue3", "red1")))]
    found = one(walk)
    assert found["detail"]["path.machines"] == ["203.0.113.9", "vc01", "blue1", "vc01", "red2", "vc01", "blue3", "vc01", "red1"]
    assert (found["severity"], found["score"], found["key"]) == ("critical", 100.0, "anna: 203.0.113.9 > vc01")
    assert judge([by_manager(7 * n, name, f"user{n}") for n, name in enumerate(("blue1", "red2", "blue3", "red1"))]) == []
    daily = [by_manager(NOON - timedelta(days=day), "blue4") for day in range(1, 4)]
    assert judge(daily + walk) == []  # it is what anna does


def test_what_a_program_does_through_its_manager_is_its_work_unless_somebody_came_there_as_the_program() -> None:
    work = [by_manager(7 * n, name, "corp\\svc-patch") for n, name in enumerate(("blue1", "red2", "blue3", "red1"))]
    policies = Policies(services=("corp\\svc-*",), config_management=("blue5",))
    assert judge(work, policies=policies) == []
    assert judge([hop(-5, "blue5", "vc01", "corp\\svc-patch", "host_login"), *work], policies=policies) == []
    assert one([hop(-5, "blue4", "vc01", "corp\\svc-patch", "host_login"), *work], policies=policies)["severity"] == "critical"


def test_a_guest_operation_where_logins_lead_bypasses_nothing() -> None:
    direct = by_manager(0, "blue2", source__ip="192.0.2.1")
    rest = [hop(10, "blue2", "blue3")]
    assert one([direct, *rest])["score"] == 26.0
    assert judge([hop(-60, "blue1", "blue2"), hop(-50, "blue2", "blue3"), direct, *rest]) == []


def disk(when: float, name: str, path: str, **fields: Any) -> Signal:
    return by_manager(when, name, role="disk_attach", vm__disk__path=path, **fields)


def test_the_disk_of_another_tenant_s_vm_is_a_hop_to_it() -> None:
    found = one([disk(0, "blue1", "ds:///vmfs/volumes/5f1/red1/red1.vmdk")])
    assert (found["detail"]["path.vms"], found["detail"]["path.tenants"], found["severity"]) == (["blue1", "red1"], ["blue", "red"], "high")
    assert judge([disk(0, "red1", "ds:///vmfs/volumes/5f1/red1/red1_1.vmdk")]) == []
    assert judge([disk(0, "blue1", "/vmfs/volumes/5f1/red1/red1.vmdk")], policies=Policies(backup_proxies=("blue1",))) == []


def test_a_disk_belongs_to_who_had_it_before() -> None:
    path = "/var/lib/libvirt/images/data7.qcow2"
    assert judge([disk(0, "blue1", path)]) == []  # nobody is called data7
    assert one([disk(-90, "red1", path), disk(0, "blue1", path), disk(60, "blue1", path)])["detail"]["path.vms"] == ["blue1", "red1"]
    assert one([disk(0, "blue1", "/var/lib/libvirt/images/red2.qcow2")])["detail"]["path.vms"] == ["blue1", "red2"]


def test_the_guest_that_virsh_names_is_the_target() -> None:
    agent = {"role": "guest_operation", "time": us(20), "event": "g", "host": "kvm01", "user": "root",
             "process.command_line": "virsh qemu-agent-command --timeout 5 linux01 {\"execute\":\"guest-exec\"}"}
    found = one([hop(0, "blue4", "blue1", "root"), hop(10, "blue1", "kvm01", "root"), agent])
    assert found["detail"]["path.machines"] == ["blue4", "blue1", "kvm01", "linux01"]


def test_in_a_maintenance_window_nothing_is_rare() -> None:
    window = Window(since=NOON - timedelta(hours=1), until=NOON + timedelta(hours=5))
    assert judge(CHAIN, policies=Policies(maintenance=(window,))) == []
    assert judge(CHAIN, policies=Policies(maintenance=(window.model_copy(update={"hosts": ("esx09",)}),)))


def test_branches_and_later_hops_belong_to_the_same_alert() -> None:
    early = one(CHAIN)
    grown = one([*CHAIN, hop(210, "blue4", "red1"), hop(240, "blue5", "red2")])
    assert (grown["key"], grown["first"]) == (early["key"], early["first"])
    assert grown["detail"]["path.vms"][-1] == "red2" and grown["detail"]["also"] == ["red1"]
    assert grown["count"] == 7


def test_a_path_over_midnight_is_told_once() -> None:
    late = [signal | {"time": signal["time"] + us(0) - us(-700)} for signal in CHAIN]
    days = {signal["time"] // DAY for signal in late}
    assert len(days) == 2 and one(late)["count"] == 5


def noise(seed: int) -> list[Signal]:
    """Two days of logins among seven machines by three users, and a chain."""
    rng = random.Random(seed)
    names = ["blue1", "blue2", "blue3", "blue4", "blue5", "red1", "red2"]
    found = list(CHAIN)
    for _ in range(150):
        source, target = rng.sample(names, 2)
        found.append(hop(rng.uniform(-1400, 1400), source, target, rng.choice(["anna", "ben", "root"])))
    return found


@pytest.mark.parametrize("seed", range(5))
def test_the_order_in_which_events_arrive_does_not_matter(seed: int) -> None:
    signals = noise(seed)
    expected = judge(signals)
    assert expected
    random.Random(seed).shuffle(signals)
    assert judge(signals) == expected


def test_events_thirty_minutes_late_give_the_same_alerts() -> None:
    late = sorted(CHAIN, key=lambda signal: signal["time"] + 30 * 60_000_000 * (signal["host"] == "blue2"))
    assert late != CHAIN and judge(late) == judge(CHAIN)


def test_what_lies_before_the_look_back_does_not_matter() -> None:
    habits = [hop(NOON - timedelta(days=day, minutes=n), f"blue{n}", f"blue{n + 1}") for day in range(20, 60, 2) for n in range(1, 5)]
    old = [signal | {"time": signal["time"] - 45 * DAY, "event": f"old-{signal['event']}"} for signal in noise(7)]
    signals = habits + old + noise(8)
    since = us(0)
    edge = since - JOB.look_back(Hopping()) // timedelta(microseconds=1)
    whole = [row for row in judge(signals) if row["last"] >= since]
    assert whole
    assert [row for row in judge([one for one in signals if one["time"] >= edge]) if row["last"] >= since] == whole


def many_edges(number: int, seed: int = 1) -> pl.DataFrame:
    """Rare edges of ten days between as many machines as a tenth of them; some machines have thousands."""
    rng = random.Random(seed)
    start = us(NOON - timedelta(days=10))
    machines = number // 10
    ends = [(int(machines * rng.random() ** 3), rng.randrange(machines)) for _ in range(number)]
    columns = {"time": [start + rng.randrange(10 * DAY) for _ in range(number)], "event": [f"e{n}" for n in range(number)],
               "from.name": [f"vm{source}" for source, _ in ends], "to.name": [f"vm{target}" for _, target in ends],
               "who": [f"user{rng.randrange(3)}" for _ in range(number)]}
    flags = {name: pl.lit(name in ("from.is_vm", "to.is_vm")) for name, kind in EDGES.items() if kind == pl.Boolean}
    texts = {name: pl.lit("login" if name == "kind" else None, pl.String) for name, kind in EDGES.items()
             if kind == pl.String and name not in columns}
    return pl.DataFrame(columns).with_columns(rarity=pl.lit(3.0), days=pl.lit(0), port=pl.lit(None, pl.Int64), **flags, **texts).select(
        pl.col(name).cast(kind) for name, kind in EDGES.items())


def test_edges_that_nothing_comes_before_or_after_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some edges are renewed, before or after the hop that leads there or on."""
    edges = pl.concat([many_edges(2_000), many_edges(2_000).with_columns(pl.col("time") + 5 * 3_600_000_000, pl.col("event") + "-again")])
    filtered: list[int] = []

    def found(choose: Callable[[pl.DataFrame, Hopping], pl.DataFrame]) -> list[dict[str, Any]]:
        def counted(rows: pl.DataFrame, parameters: Hopping) -> pl.DataFrame:
            kept = choose(rows, parameters)
            filtered.append(kept.height)
            return kept

        monkeypatch.setattr(hopping, "connected", counted)
        parameters = Hopping(open_paths=10_000)
        return judged(keyed(edges, JOB.passes[1], parameters), JOB.passes[1], parameters, HORIZON).to_dicts()

    few, number = found(connected), sum(filtered)
    assert few == found(lambda rows, _: rows) and few and number < 0.8 * (sum(filtered) - number)


def test_time_grows_linearly_with_the_edges() -> None:
    def seconds(number: int) -> float:
        edges, parameters = many_edges(number), Hopping()
        start = time.process_time()
        found = judged(keyed(edges, JOB.passes[1], parameters), JOB.passes[1], parameters, HORIZON)
        assert found.height and found.schema == pl.Schema(FINDINGS)
        return time.process_time() - start

    small, large = min(seconds(4_000) for _ in range(3)), min(seconds(16_000) for _ in range(2))
    assert large < 4 * small * 2, (small, large)  # quadratic would be 16 times


def test_open_paths_of_a_machine_are_bounded() -> None:
    fan = [hop(n / 4, f"10.0.{n // 200}.{n % 200}", "blue1") for n in range(400)]
    found = one([*fan, *(signal | {"time": signal["time"] + 120 * 60_000_000} for signal in CHAIN[1:])])
    assert (found["score"], found["detail"]["path.hop_count"]) == (15.0, 5)
    assert hopping.JOB.passes[1].columns == FINDINGS
