"""Hyperjacking as a pure function of signals: what lists and logs must say for an alert, and that planned work is silent."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.analytics.hijacking.evidence import BY_HOST, PLANNED, SIGNALS, WEIGHTS, EvidenceParameters
from pipeline.analytics.hyperjacking import JOB
from pipeline.analytics.job import EPOCH, SIGNAL
from pipeline.context.policies import Policies, Window

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
COLUMNS = {**SIGNAL, **dict.fromkeys(JOB.fields, pl.String)}
DAY = 24.0
Signal = dict[str, Any]


def micros(when: datetime) -> int:
    return (when - EPOCH) // timedelta(microseconds=1)


def at(hours: float, role: str, rule: str, host: str | None = "esx01", **fields: Any) -> Signal:
    """A signal so many hours from noon."""
    time = micros(NOON + timedelta(hours=hours))
    named = {name.replace("__", "."): value for name, value in fields.items()}
    event = None if role == "inventory" else f"{time}-{rule}-{named.get('vm')}-{host}-{named.pop('n', 0)}"
    return {"role": role, "rule": rule, "time": time, "event": event, "host": host, **named}


def listed(hours: float, view: str, *vms: str, host: str = "esx01", state: str = "on") -> list[Signal]:
    """A look at one list of a host; `name=uuid` gives a machine a uuid."""
    rows = [(name or None, uuid or None) for name, _, uuid in (vm.partition("=") for vm in vms or ("",))]
    return [at(hours, "inventory", view, host, vm=name, vm__uuid=uuid, vm__state=state) for name, uuid in rows]


def agreeing(hours: float, *vms: str, host: str = "esx01") -> list[Signal]:
    """All lists of a host say the same, within minutes."""
    views = ("manager", "registered", "running", "wire")
    return [row for n, view in enumerate(views) for row in listed(hours + n / 60, view, *vms, host=host)]


def heard(hours: float, host: str = "esx01") -> Signal:
    """Any logged event of a host."""
    return at(hours, "explains", "vcenter_vm_powered_on", host, vm="other")


def passes(frame: pl.DataFrame, parameters: EvidenceParameters, horizon: int, parts: int) -> pl.DataFrame:
    """The job's passes, one after the other: `keyed` on any rows, `judge` on whole groups, as tasks get them."""
    for each in JOB.passes:
        rows = each.keyed(frame, parameters).drop_nulls("key")
        order = ["key", *(n for n in ("time", "event") if n in rows.columns)]
        tasks = [rows.filter(pl.col("key").hash(7) % parts == n).sort(order) for n in range(parts)]
        frame = pl.concat([each.judge(task, parameters, horizon) for task in tasks])
        assert frame.schema == pl.Schema(dict(each.columns))
    return frame


def judge(*signals: Signal | Iterable[Signal], horizon: float = 1e6, parts: int = 1, **parameters: Any) -> list[dict[str, Any]]:
    """Findings of signals, with steps and detail read."""
    rows = [row for each in signals for row in ([each] if isinstance(each, dict) else each)]
    until = micros(NOON + timedelta(hours=horizon))
    found = passes(pl.DataFrame(rows, schema=COLUMNS), EvidenceParameters(**parameters), until, parts).sort("key", "first").to_dicts()
    return [row | {"steps": json.loads(row["steps"]), "detail": json.loads(row["detail"])} for row in found]


def one(*signals: Signal | Iterable[Signal], **rest: Any) -> dict[str, Any]:
    """The only finding of signals."""
    found = judge(*signals, **rest)
    assert len(found) == 1, [(row["key"], row["severity"], row["explanation"]) for row in found]
    return found[0]


def window(host: str = "esx01", hours: tuple[float, float] = (-1, 5)) -> Window:
    return Window(hosts=(host,), since=NOON + timedelta(hours=hours[0]), until=NOON + timedelta(hours=hours[1]))


VIB = at(0, "integrity", "esx_unsigned_software_installed", user="root")
SCRIPT = at(2, "persistence", "esx_boot_script_changed", user="root")


class TestClasses:
    def test_two_classes_are_high(self) -> None:
        found = one(VIB, SCRIPT)
        assert found["severity"] == "high"
        assert (found["key"], found["first"], found["last"]) == ("esx01", VIB["time"], SCRIPT["time"])
        assert found["events"] == [VIB["event"], SCRIPT["event"]]
        assert found["detail"]["classes"] == {"integrity": 39.7, "persistence": 25}
        assert found["score"] == 64.7

    @pytest.mark.parametrize("rule", sorted(rule for rule in WEIGHTS if not rule.startswith("inventory_")))
    def test_one_rule_alone_says_nothing_more_than_its_own_alert(self, rule: str) -> None:
        assert judge([at(n / 10, "integrity", rule, n=n) for n in range(100)]) == []

    def test_one_class_is_never_high(self) -> None:
        rules = ("esx_unsigned_software_installed", "esx_acceptance_level_lowered", "esx_exec_installed_only_off",
                 "vcenter_host_attestation_failed", "esx_secure_boot_requirement_off")
        found = one([at(n, "integrity", rule) for n, rule in enumerate(rules)])
        assert (found["severity"], found["score"] > 95) == ("medium", True)

    def test_rules_that_tell_of_one_act_count_once(self) -> None:
        acts = [rule for rule, signal in SIGNALS.items() if signal == "unsigned software"]
        assert len(acts) == 3 and judge([at(0, "integrity", rule) for rule in acts]) == []

    def test_three_classes_and_a_high_score_are_critical(self) -> None:
        assert one(VIB, SCRIPT, at(3, "behaviour", "esx_unknown_binary_run"))["severity"] == "critical"

    @pytest.mark.parametrize(("hours", "severity"), [(2, "high"), (2 * DAY, "high"), (7 * DAY, None)])
    def test_light_evidence_of_two_classes_is_high_on_one_day_and_nothing_a_week_apart(self, hours: float, severity: str | None) -> None:
        found = judge(at(0, "integrity", "esx_acceptance_level_lowered"), at(hours, "persistence", "esx_ssh_keys_changed"))
        assert [row["severity"] for row in found] == ([severity] if severity else [])

    def test_evidence_of_two_hosts_is_not_put_together(self) -> None:
        assert judge(VIB, SCRIPT | {"host": "esx02"}) == []

    def test_a_record_without_host_says_nothing(self) -> None:
        assert judge(VIB | {"host": None}, SCRIPT | {"host": None}) == []


class TestDecay:
    def test_half_of_the_weight_is_left_after_a_half_life(self) -> None:
        found = one(VIB, at(7 * DAY, "persistence", "esx_boot_script_changed"), at(7 * DAY, "behaviour", "esx_listener_opened"))
        assert found["detail"]["classes"] == {"integrity": 20, "persistence": 25, "behaviour": 20}

    def test_what_is_forgotten_counts_nothing(self) -> None:
        assert judge(VIB, at(14 * DAY + 0.1, "persistence", "esx_boot_script_changed")) == []

    def test_a_repeated_act_renews_its_weight_and_adds_none(self) -> None:
        again = [VIB | {"time": VIB["time"] + day * 86_400_000_000, "event": f"v{day}"} for day in range(6)]
        found = one(again, at(5 * DAY, "persistence", "esx_boot_script_changed"))
        assert found["score"] == 65 and found["count"] == 7

    def test_an_alert_ends_when_there_is_not_enough_for_longer_than_the_memory(self) -> None:
        later = [row | {"time": row["time"] + 40 * 86_400_000_000, "event": "b" + row["event"]} for row in (VIB, SCRIPT)]
        assert [row["count"] for row in judge(VIB, SCRIPT, later)] == [2, 2]

    def test_an_alert_grows_and_keeps_its_beginning(self) -> None:
        more = at(5 * DAY, "behaviour", "esx_listener_opened")
        assert (one(VIB, SCRIPT)["first"], one(VIB, SCRIPT, more)["first"]) == (VIB["time"], VIB["time"])


class TestTriangulation:
    def test_lists_that_agree_are_silent(self) -> None:
        assert judge(heard(-30), agreeing(0, "web01", "db01"), agreeing(24, "web01", "db01")) == []

    def test_what_runs_and_is_registered_nowhere_is_rogue(self) -> None:
        found = one(listed(0, "registered", "web01"), listed(0.1, "running", "web01", "kali"))
        assert found["severity"] == "medium"
        assert found["detail"]["set_diff"] == {"rogue": ["kali"], "unmanaged": [], "ghost": [], "hidden": []}
        assert "kali runs and is registered nowhere" in found["explanation"]
        assert found["events"] == [] and found["steps"][0]["target"] == "kali"

    def test_without_the_list_of_the_host_the_manager_decides(self) -> None:
        found = one(listed(0, "manager", "web01"), listed(0, "running", "web01", "kali"))
        assert found["detail"]["set_diff"]["rogue"] == ["kali"]

    def test_a_rogue_machine_and_another_class_are_high(self) -> None:
        assert one(listed(0, "registered", "web01"), listed(0, "running", "kali"), SCRIPT)["severity"] == "high"

    def test_what_the_manager_does_not_know_is_unmanaged(self) -> None:
        found = one(listed(0, "manager", "web01"), listed(0, "registered", "web01", "kali"), listed(0, "running", "web01", "kali"), SCRIPT)
        assert found["detail"]["set_diff"] == {"rogue": [], "unmanaged": ["kali"], "ghost": [], "hidden": []}

    def test_what_is_on_the_wire_and_does_not_run_is_a_ghost(self) -> None:
        ghost = at(0, "inventory", "wire", vm__network__mac="52:54:00:AA:BB:CC")
        found = one(listed(0, "running", "web01"), listed(0, "wire", "web01"), ghost, SCRIPT)
        assert [step["what"] for step in found["steps"]] == ["on the wire, but nothing of it runs", "boot script changed by root"]

    @pytest.mark.parametrize("mac", ["00:50:56:64:11:22", "3c:ec:ef:00:11:22"])
    def test_the_interfaces_of_the_host_itself_are_no_ghosts(self, mac: str) -> None:
        assert judge(listed(0, "running", "web01"), at(0, "inventory", "wire", vm__network__mac=mac), SCRIPT) == []

    def test_a_mac_that_a_list_gives_to_a_machine_is_that_machine(self) -> None:
        mine = at(0, "inventory", "running", vm="web01", vm__network__mac="52:54:00:aa:bb:cc")
        assert judge(mine, at(0, "inventory", "wire", vm__network__mac="52:54:00:aa:bb:cc"), SCRIPT) == []

    @pytest.mark.parametrize(("state", "hidden"), [("poweredOn", ["web01"]), ("off", []), ("suspended", [])])
    def test_what_the_manager_shows_as_on_and_does_not_run_is_hidden(self, state: str, hidden: list[str]) -> None:
        rows = (listed(0, "manager", "web01", state=state), listed(0, "running", ""), VIB, SCRIPT)
        assert one(rows[0], rows[1], *rows[2:])["detail"]["set_diff"]["hidden"] == hidden

    def test_a_host_that_was_not_read_says_nothing(self) -> None:
        assert judge(listed(0, "manager", "web01"), listed(0, "registered", "web01", host="esx02"), SCRIPT) == []

    def test_lists_read_long_after_one_another_are_not_compared(self) -> None:
        assert judge(listed(0, "registered", "web01"), listed(2, "running", "kali")) == []

    def test_names_differ_and_the_uuid_is_the_same(self) -> None:
        assert judge(listed(0, "registered", "web01=4217-aa"), listed(0, "running", "WEB01 (old)=4217-AA")) == []

    def test_the_spelling_of_a_uuid_does_not_matter(self) -> None:
        spelt = "564d1122-3344-5566-7788-99aabbccddee", "56 4D 11 22 33 44 55 66-77 88 99 aa bb cc dd ee"
        assert judge(listed(0, "registered", f"old={spelt[0]}"), listed(0, "running", f"new={spelt[1]}")) == []

    def test_another_kind_of_uuid_is_not_another_machine(self) -> None:
        assert judge(listed(0, "registered", "web01=u1"), listed(0, "running", "web01=u9")) == []

    def test_a_machine_under_the_name_of_another_is_rogue(self) -> None:
        found = one(listed(0, "registered", "web01=u1"), listed(0, "running", "web01=u1", "web01=u9"))
        assert found["detail"]["set_diff"]["rogue"] == ["web01"]

    def test_differences_younger_than_the_grace_are_not_judged_yet(self) -> None:
        rows = [*listed(0, "registered", "web01"), *listed(0, "running", "kali")]
        assert (judge(rows, horizon=0.9), len(judge(rows, horizon=1))) == ([], 1)


class TestIdentity:
    def test_copies_that_run_under_one_uuid_on_two_hosts(self) -> None:
        rows = [*listed(0, "running", "web01=u1"), *listed(0.1, "running", "web01-copy=u1", host="esx02")]
        found = judge(rows)
        assert [(row["key"], row["severity"], row["detail"]["duplicates"]) for row in found] == [
            ("esx01", "medium", ["web01"]), ("esx02", "medium", ["web01-copy"])]
        assert "web01 runs on two hosts under one uuid (with esx02)" in found[0]["explanation"]

    def test_one_machine_on_two_hosts_unless_it_moves(self) -> None:
        rows = [*listed(0, "running", "web01=u1"), *listed(0.1, "running", "web01=u1", host="esx02")]
        assert len(judge(rows)) == 2
        assert judge(rows, at(0.5, "explains", "vcenter_vm_migrated", "esx02", vm="web01")) == []

    def test_two_machines_of_one_name_are_two(self) -> None:
        assert judge(listed(0, "running", "test=u1"), listed(0, "running", "test=u2", host="esx02")) == []

    def test_two_hosts_with_one_hardware_uuid(self) -> None:
        rows = [at(0, "inventory", "manager", host, vm="web01", host__id="4C4C-1") for host in ("esx01", "esx09")]
        assert [row["detail"]["duplicates"] for row in judge(rows)] == [["esx09"], ["esx01"]]

    def test_a_uuid_of_zeros_is_none(self) -> None:
        rows = [at(0, "inventory", "manager", host, vm="web01", host__id="00000000-0000") for host in ("esx01", "esx09")]
        assert judge(rows) == []
        assert judge(listed(0, "running", "a=0000-00"), listed(0, "running", "b=0000-00", host="esx02")) == []


class TestUnlogged:
    @pytest.mark.parametrize(("before", "after"), [(("web01",), ("web01", "kali")), (("web01", "kali"), ("web01",))])
    def test_a_change_that_no_event_explains(self, before: tuple[str, ...], after: tuple[str, ...]) -> None:
        found = one(heard(-30), agreeing(0, *before), agreeing(24, *after))
        assert (found["severity"], found["detail"]["unlogged"]) == ("medium", ["kali"])

    @pytest.mark.parametrize("when", [-0.9, 12, 24.9])
    def test_an_event_of_the_machine_explains(self, when: float) -> None:
        assert judge(heard(-30), agreeing(0, "web01"), agreeing(24, "web01", "kali"),
                     at(when, "explains", "vcenter_vm_created", vm="kali")) == []

    @pytest.mark.parametrize(("when", "vm"), [(-2, "kali"), (27, "kali"), (12, "web01")])
    def test_an_event_of_another_time_or_machine_does_not(self, when: float, vm: str) -> None:
        assert judge(heard(-30), agreeing(0, "web01"), agreeing(24, "web01", "kali"), at(when, "explains", "vcenter_vm_created", vm=vm))

    @pytest.mark.parametrize(("target", "silent"), [("esx01", True), ("ESX01.example.org", True), (None, True), ("esx02", False)])
    def test_an_event_explains_an_appearance_where_it_says_that_the_machine_went(self, target: str | None, silent: bool) -> None:
        moved = at(12, "explains", "vcenter_vm_moved_by_drs", "esx03", vm="kali", vm__target__host=target)
        found = judge(heard(-30), agreeing(0, "web01"), agreeing(24, "web01", "kali"), moved)
        assert [row["key"] for row in found] == ([] if silent else ["esx01"])

    def test_a_host_to_which_a_machine_was_moved_is_heard_of(self) -> None:
        moved = at(-30, "explains", "vcenter_vm_moved_by_drs", "esx03", vm="other", vm__target__host="esx01")
        assert judge(moved, agreeing(0, "web01"), agreeing(24, "web01", "kali"))

    def test_a_host_whose_log_does_not_come_has_nothing_unlogged(self) -> None:
        rows = [*agreeing(0, "web01"), *agreeing(24, "web01", "kali")]
        assert judge(rows, heard(1)) == judge(rows, heard(-24 * 9)) == judge(rows, heard(-30, "esx02")) == []

    def test_where_logs_were_lost_nothing_is_unlogged(self) -> None:
        assert judge(heard(-30), agreeing(0, "web01"), agreeing(24, "web01", "kali"), at(5, "blind", "esx_log_delivery_lost")) == []

    def test_readings_far_apart_are_not_compared(self) -> None:
        assert judge(heard(-30), agreeing(0, "web01"), agreeing(9 * DAY, "web01", "kali")) == []

    def test_many_machines_are_one_signal(self) -> None:
        found = one(heard(-30), agreeing(0, "web01"), agreeing(24, "web01", *(f"vm{n}" for n in range(50))))
        assert (found["severity"], found["score"], len(found["detail"]["unlogged"])) == ("medium", 40, 20)
        assert "and 17 more came without any event" in found["explanation"]


class TestPlannedWork:
    PATCHED = (
        VIB, at(1, "integrity", "vcenter_host_attestation_failed"), at(1, "integrity", "esx_acceptance_level_lowered", user="root"),
        at(1.5, "topology", "vcenter_host_added", user="corp\\anna"), at(1.6, "topology", "vcenter_unknown_vm_discovered", vm="db01"))

    def test_a_patch_night_in_its_window(self) -> None:
        assert judge(self.PATCHED)[0]["severity"] == "high"
        assert judge(self.PATCHED, policies=Policies(maintenance=(window(),), privileged=("corp\\anna",))) == []

    @pytest.mark.parametrize("at_work", [window("esx02"), window(hours=(3, 5))])
    def test_the_window_of_another_host_or_time(self, at_work: Window) -> None:
        assert judge(self.PATCHED, policies=Policies(maintenance=(at_work,)))[0]["severity"] == "high"

    def test_somebody_unknown_in_the_window(self) -> None:
        rows = [row | {"user": "corp\\mallory"} for row in self.PATCHED]
        assert judge(rows, policies=Policies(maintenance=(window(),), privileged=("corp\\anna",)))[0]["severity"] == "high"

    def test_an_attack_hides_in_no_window(self) -> None:
        rogue = [*listed(0, "registered", "web01"), *listed(0, "running", "kali")]
        assert one(self.PATCHED, SCRIPT, rogue, policies=Policies(maintenance=(window(),)))["severity"] == "high"

    def test_a_host_taken_out_and_put_back_after_a_new_image(self) -> None:
        before, after = agreeing(-24, "web01", "db01"), [*listed(24, "registered", ""), *listed(24, "running", "")]
        assert judge(heard(-60), before, after)
        assert judge(heard(-60), before, after, [at(n, "host_change", rule) for n, rule in enumerate(
            ("vcenter_host_removed", "vcenter_host_added", "vcenter_host_connected"))],
            at(1, "topology", "vcenter_host_added"), policies=Policies(maintenance=(window(),))) == []

    def test_a_known_host_that_is_added_again_weighs_less(self) -> None:
        add, accept = at(0, "topology", "vcenter_host_added"), at(1, "integrity", "esx_acceptance_level_lowered")
        assert one(add, accept)["severity"] == "high"
        assert judge(heard(-60), add, accept) == []

    def test_failover_by_high_availability(self) -> None:
        vms = [f"vm{n}" for n in range(5)]
        before = [*agreeing(0, *vms), *agreeing(0, "other", host="esx02")]
        after = [*listed(24, "manager", ""), *listed(24, "registered", ""), *listed(24, "running", ""),
                 *agreeing(24, "other", *vms, host="esx02")]
        restarts = [at(12 + n / 60, "explains", "vcenter_vm_powered_on", "esx02", vm=vm) for n, vm in enumerate(vms)]
        assert judge(heard(-30), heard(-30, "esx02"), before, after, restarts) == []
        assert len(judge(heard(-30), heard(-30, "esx02"), before, after)) == 2

    def test_a_machine_in_the_middle_of_its_move(self) -> None:
        lists = [*listed(0, "manager", "web01"), *listed(0, "running", ""), *listed(0, "registered", ""),
                 *listed(0, "manager", "", host="esx02"), *listed(0, "registered", "web01", host="esx02"),
                 *listed(0, "running", "web01", host="esx02")]
        moved = at(0.4, "explains", "vcenter_vm_migrated", "esx02", vm="web01")
        assert judge(lists, moved, SCRIPT, SCRIPT | {"host": "esx02"}) == []
        assert judge(lists, SCRIPT, SCRIPT | {"host": "esx02"})


def test_planned_and_explained_rules_have_weights() -> None:
    assert set(PLANNED) | set(BY_HOST) | set(SIGNALS) <= set(WEIGHTS)


def test_a_weight_that_is_given_wins_and_leaves_the_others() -> None:
    assert one(VIB, SCRIPT, weights={"esx_boot_script_changed": 6})["severity"] == "high"
    assert judge(VIB, SCRIPT, weights={"esx_boot_script_changed": 4}) == []  # no class of evidence any more
    assert EvidenceParameters(weights={"x": 1}).weights["vcenter_host_added"] == 30


def test_nothing_gives_nothing() -> None:
    assert judge() == []


def test_the_story_is_told_in_order_of_time() -> None:
    found = one(SCRIPT, at(50, "behaviour", "esx_listener_opened", user="root"), VIB)
    assert found["explanation"].endswith(
        ": 2026-11-24 12:00 UTC unsigned software installed by root; 2 hours later boot script changed by root; "
        "2 days later listener opened by root.")
    assert [step["stage"] for step in found["steps"]] == ["integrity", "persistence", "behaviour"]
    assert found["steps"][1]["gap_s"] == 7200


def test_what_goes_on_is_told_once_and_until_when() -> None:
    rogue = [row for day in range(5) for row in [*listed(day * DAY, "registered", "web01"), *listed(day * DAY, "running", "kali")]]
    found = one(rogue, at(12, "persistence", "esx_boot_script_changed"))
    assert found["explanation"].endswith(
        ": 2026-11-24 12:00 UTC kali runs and is registered nowhere; 12 hours later boot script changed; last seen 2026-11-28 12:00 UTC.")
    assert len(found["steps"]) == 6


vm_names = st.sampled_from(["web01", "db01", "kali"])
signals = st.one_of(
    st.builds(lambda t, h, vm: at(t, "explains", "vcenter_vm_powered_on", h, vm=vm), st.integers(0, 500),
              st.sampled_from(["esx01", "esx02"]), vm_names),
    st.builds(lambda t, r, h: at(t, r[0], r[1], h), st.integers(0, 500), st.sampled_from([
        ("integrity", "esx_unsigned_software_installed"), ("persistence", "esx_boot_script_changed"), ("topology", "vcenter_host_added"),
        ("host_change", "vcenter_host_lost"), ("blind", "esx_log_delivery_lost")]), st.sampled_from(["esx01", "esx02"])),
    st.builds(lambda t, v, vm, h: at(t, "inventory", v, h, vm=vm, vm__uuid=vm and f"u-{vm}", vm__state="on"),
              st.integers(0, 20).map(lambda n: n * 24), st.sampled_from(["manager", "registered", "running", "wire"]),
              st.one_of(st.none(), vm_names), st.sampled_from(["esx01", "esx02"])))


@settings(max_examples=30, deadline=None)
@given(st.lists(signals, max_size=40), st.randoms(use_true_random=False))
def test_order_repetition_and_the_cut_into_tasks_change_nothing(rows: list[Signal], rng: random.Random) -> None:
    shuffled = [*rows, *rng.sample(rows, len(rows) // 3)]
    rng.shuffle(shuffled)
    assert judge(shuffled, parts=5) == judge(rows)


rare = st.one_of(
    st.builds(lambda day, r: at(day * DAY + 1, r[0], r[1]), st.integers(0, 150), st.sampled_from([
        ("integrity", "esx_unsigned_software_installed"), ("persistence", "esx_boot_script_changed"), ("topology", "vcenter_host_added"),
        ("behaviour", "esx_listener_opened"), ("explains", "vcenter_vm_powered_on")])),
    st.builds(lambda day, vm: at(day * DAY, "inventory", "running", vm=vm), st.integers(0, 150), vm_names))


@settings(max_examples=40, deadline=None)
@given(st.lists(rare, max_size=40), st.integers(0, 150))
def test_what_is_older_than_the_look_back_changes_nothing(rows: list[Signal], day: int) -> None:
    """As stage.py cuts: alerts that reach into the look-back are begun anew from where they began."""
    whole, begin = judge(rows), micros(NOON + timedelta(hours=day * DAY))
    back = JOB.look_back(EvidenceParameters()) // timedelta(microseconds=1)
    start = min([begin, *(row["first"] for row in whole if row["last"] >= begin - back and row["first"] < begin)]) - back
    cut = judge([row for row in rows if row["time"] >= start])
    assert [row for row in cut if row["last"] >= begin] == [row for row in whole if row["last"] >= begin]
