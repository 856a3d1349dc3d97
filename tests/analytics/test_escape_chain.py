"""The escape chain as a pure function of signals: what is a chain, what is none, and that neither order nor cut matters."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from pipeline.analytics.escape.signals import EscapeParameters
from pipeline.analytics.escape_chain import JOB
from pipeline.analytics.job import EPOCH, FINDINGS
from pipeline.analytics.passes import findings, signal_columns
from pipeline.context.policies import Policies

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
COLUMNS = signal_columns(JOB)
HORIZON = 2**62
Signal = dict[str, Any]


def at(when: datetime | float, role: str, rule: str = "esx_x", host: str | None = "esx01", **fields: Any) -> Signal:
    """A signal; a number is minutes from noon. `at_host` and `source_vm` are what placement knows."""
    time = when if isinstance(when, datetime) else NOON + timedelta(minutes=when)
    named = {name.replace("__", "."): value for name, value in fields.items()}
    named |= {new: named.pop(old) for old, new in (("at_host", "at.host"), ("source_vm", "source.vm")) if old in named}
    micros = (time - EPOCH) // timedelta(microseconds=1)
    event = f"{micros}-{role}-{rule}-{named.get('vm')}-{host}-{named.pop('n', 0)}"
    return {"role": role, "rule": rule, "time": micros, "event": event, "host": host, **named}


def judge(*signals: Signal, **parameters: Any) -> list[dict[str, Any]]:
    """Findings of signals, with steps and detail read."""
    found = findings(pl.DataFrame(list(signals), schema=COLUMNS), JOB, EscapeParameters(**parameters), HORIZON).sort("key", "first")
    return [row | {"steps": json.loads(row["steps"]), "detail": json.loads(row["detail"])} for row in found.to_dicts()]


def one(*signals: Signal, **parameters: Any) -> dict[str, Any]:
    """The only finding of signals."""
    found = judge(*signals, **parameters)
    assert len(found) == 1, [(row["severity"], row["explanation"]) for row in found]
    return found[0]


HYPERCALL = at(-60, "precursor", "esx_denied_hypercall", vm="web01", vmware__value="69")
CORE = at(0, "fault", "esx_vmx_core_dump")
BINARY = at(3, "host_effect", "esx_unknown_binary_run", process__executable="/tmp/.x")
LOGIN = at(20, "host_login", "esx_ssh_session_opened", user="root", source__ip="192.0.2.66")
TOUCH = at(40, "second_vm", "esx_guest_operation", vm="db01", user="vpxuser")


def test_the_whole_chain_is_told_in_order() -> None:
    found = one(TOUCH, LOGIN, BINARY, CORE, HYPERCALL, at(-200, "version", event__reason=" ESX pid=1 version=8.0.2 build=build-22380479"))
    assert (found["key"], found["severity"], found["score"], found["count"]) == ("esx01", "critical", 100, 5)
    assert found["detail"] == {
        "stages": ["precursor", "fault", "host_effect", "touch"], "signals": {"precursor": 1, "fault": 1, "host_effect": 1, "touch": 2},
        "host": "esx01", "vms": ["web01", "db01"], "users": ["root", "vpxuser"], "build": "ESX 8.0.2 build 22380479",
        "cve_candidates": found["detail"]["cve_candidates"], "gap_minutes": [60, 3, 17], "doubt": False}
    assert {"CVE-2025-22224", "CVE-2024-22252"} <= set(found["detail"]["cve_candidates"])
    assert [step["stage"] for step in found["steps"]] == ["precursor", "fault", "host_effect", "touch", "touch"]
    assert [step["gap_s"] for step in found["steps"]] == [None, 3600, 180, 1020, 1200]
    assert (found["steps"][0]["source"], found["steps"][-1]["target"]) == ("web01", "db01")
    assert found["first"] == HYPERCALL["time"] and found["last"] == TOUCH["time"]
    assert found["events"][0] == BINARY["event"]
    assert found["explanation"].startswith(
        "2026-11-24 11:00:00 UTC, host esx01: guest web01: denied hypercall (69). 60 minutes later: fault of the hypervisor: vmx core "
        "dump. 3 minutes later: on the host: unknown binary run (/tmp/.x). 17 minutes later: root at the host, from 192.0.2.66: "
        "ssh session opened, and 1 more such signal.")


@pytest.mark.parametrize(("before", "silent"), [("db01", True), ("mail01", False)])
def test_of_an_account_without_an_address_a_habit_is_what_is_done_to_the_same_guest(before: str, silent: bool) -> None:
    earlier = at(NOON - timedelta(days=4), "second_vm", "esx_guest_operation", host="esx09", vm=before, user="root")
    found = one(earlier, HYPERCALL, CORE, at(40, "second_vm", "esx_guest_operation", vm="db01", user="root"))
    assert (found["severity"], "touch" in found["detail"]["stages"]) == (("medium", False) if silent else ("high", True))


@pytest.mark.parametrize(("signals", "severity", "score"), [
    ((CORE, BINARY), "critical", 70),
    ((HYPERCALL, CORE, BINARY), "critical", 90),
    ((HYPERCALL, at(-30, "host_effect")), "high", 60),
    ((HYPERCALL, at(-30, "host_effect"), LOGIN), "critical", 100),
    ((HYPERCALL, CORE), "medium", 50),
    ((HYPERCALL, CORE, LOGIN), "high", 90),
    ((CORE, LOGIN), "medium", 70),
    ((CORE, TOUCH), "medium", 70)])
def test_what_each_sum_of_stages_is_worth(signals: tuple[Signal, ...], severity: str, score: float) -> None:
    found = one(*signals)
    assert (found["severity"], found["score"]) == (severity, score)


@pytest.mark.parametrize("signals", [
    (HYPERCALL,), (CORE,), (BINARY,), (LOGIN,), (TOUCH,), (HYPERCALL, LOGIN), (BINARY, LOGIN), (CORE, at(5, "host_login", host="esx02"))])
def test_a_single_stage_raises_nothing(signals: tuple[Signal, ...]) -> None:
    assert judge(*signals) == []


def test_many_precursors_alone_raise_nothing_even_on_an_open_build() -> None:
    version = at(-200, "version", event__reason="version=7.0.2, build=17630552")
    assert judge(version, *(at(-60 + n, "precursor", "esx_denied_hypercall", vm="web01", vmware__value=str(n)) for n in range(50))) == []


@pytest.mark.parametrize(("signals", "stages"), [
    ((at(-24 * 60, "precursor", vm="web01"), CORE), ["precursor", "fault"]),
    ((at(-24 * 60 - 1, "precursor", vm="web01"), CORE), None),
    ((CORE, at(60, "host_effect")), ["fault", "host_effect"]),
    ((CORE, at(61, "host_effect")), None),
    ((CORE, at(24 * 60, "host_login", user="root")), ["fault", "touch"]),
    ((CORE, at(24 * 60 + 1, "host_login", user="root")), None),
    ((CORE, BINARY, at(24 * 60 + 3, "host_login", user="root")), ["fault", "host_effect", "touch"]),
    ((at(-60, "precursor", vm="web01"), at(0, "host_effect")), ["precursor", "host_effect"]),
    ((at(-61, "precursor", vm="web01"), at(0, "host_effect")), None),
    ((at(-1, "host_effect"), CORE), ["host_effect", "fault"]),
    ((at(-1.1, "host_effect"), CORE), None),
    ((LOGIN, at(30, "fault")), None)])
def test_windows_hold_their_ends(signals: tuple[Signal, ...], stages: list[str] | None) -> None:
    assert [row["detail"]["stages"] for row in judge(*signals)] == ([stages] if stages else [])


def test_an_older_precursor_of_some_guest_on_the_host_is_never_worth_high() -> None:
    open_ = at(-2000, "version", event__reason="version=7.0.2, build=17630552")
    for core, severity in ((CORE, "high"), (at(1, "fault"), "medium"), (at(1, "fault", vm="web01"), "high")):
        assert one(HYPERCALL, core, open_)["severity"] == severity
        assert one(HYPERCALL, core, LOGIN)["severity"] == severity


# --- which guest, which host ----------------------------------------------------------------------------------------------------


def test_a_fault_that_names_a_guest_is_led_to_by_that_guest_only() -> None:
    assert judge(HYPERCALL, at(0, "fault", vm="mail01")) == []
    assert one(HYPERCALL, at(0, "fault", vm="web01"))["severity"] == "medium"
    anonymous = at(0, "fault", "kvm_qemu_crashed")
    assert judge(HYPERCALL, anonymous, at(0.1, "fault", "kvm_vm_failed", vm="mail01")) == [], "its other record names the guest"
    assert one(HYPERCALL, anonymous, at(0.1, "fault", "kvm_vm_failed", vm="web01"))["severity"] == "medium"
    assert one(HYPERCALL, anonymous, at(11, "fault", "kvm_vm_failed", vm="mail01"))["detail"]["signals"]["fault"] == 1, "another fault"


def test_a_precursor_counts_where_the_guest_is_placed_and_where_its_record_was_written() -> None:
    elsewhere = at(-60, "precursor", host="vc01", vm="web01", at_host="esx01")
    assert one(elsewhere, CORE)["key"] == "esx01"
    assert one(at(-60, "precursor", host=None, vm="web01", at_host="esx01"), CORE)["key"] == "esx01"
    assert one(at(-60, "precursor", host="esx01", vm="web01", at_host=None), CORE)["key"] == "esx01"
    disputed = at(-60, "precursor", host="esx01", vm="web01", at_host="esx02")
    assert [one(disputed, at(0, "fault", host=host))["key"] for host in ("esx01", "esx02")] == ["esx01", "esx02"]
    assert judge(disputed, at(0, "fault", host="esx03")) == []
    assert judge(at(-60, "precursor", host=None, vm="web01"), CORE) == []


def test_a_guest_that_moves_takes_what_it_did_along() -> None:
    move = at(-30, "moved", "vcenter_vm_migrated", host="vc01", vm="web01", at_host="esx02")
    there = at(0, "fault", "esx_vmx_core_dump", host="esx02"), at(3, "host_effect", "esx_unknown_binary_run", host="esx02")
    found = one(HYPERCALL, move, *there)
    assert (found["key"], found["severity"], found["detail"]["stages"]) == ("esx02", "critical", ["precursor", "fault", "host_effect"])
    assert found["first"] == HYPERCALL["time"] and found["detail"]["gap_minutes"][0] == 60
    assert found["steps"][0]["host"] == "esx01" and "host esx02: guest web01, still on esx01: denied hypercall" in found["explanation"]
    assert one(HYPERCALL, *there)["detail"]["stages"] == ["fault", "host_effect"], "never moved"
    late = at(4, "moved", "vcenter_vm_migrated", host="vc01", vm="web01", at_host="esx02")
    assert one(HYPERCALL, late, *there)["detail"]["stages"] == ["fault", "host_effect"], "came afterwards"


def test_one_event_of_two_rules_counts_once() -> None:
    found = one(CORE, BINARY, BINARY | {"rule": "esx_dropped_program_started"}, LOGIN, LOGIN | {"rule": "esx_login_succeeded"})
    assert (found["count"], len(found["steps"])) == (3, 3)


def test_another_guest_must_be_touched() -> None:
    named = at(0, "fault", "kvm_vm_failed", vm="web01")
    assert judge(named, at(0, "fault", "kvm_qemu_crashed"), at(40, "second_vm", vm="web01", user="eve")) == []
    assert one(named, TOUCH)["severity"] == "medium"
    assert one(named, at(-60, "fault", vm="db01"), TOUCH)["severity"] == "medium", "db01 crashed too, but so did web01"


def test_a_login_from_the_address_of_a_guest_is_told() -> None:
    found = one(CORE, BINARY, LOGIN | {"source.vm": "web01"})
    assert "root at the host, from 192.0.2.66, the address of guest web01" in found["explanation"]
    assert found["steps"][-1]["source"] == "web01"


# --- what is ordinary -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["hardware", "planned"])
def test_hardware_or_an_update_explains_a_crash(role: str) -> None:
    for reason in (at(-60, role), at(-1, role), at(10, role)):
        assert judge(HYPERCALL, reason, CORE, LOGIN, TOUCH) == []
    for reason in (at(-61, role), at(11, role), at(0, role, host="esx02")):
        assert one(HYPERCALL, reason, CORE)["severity"] == "medium"


def test_hardware_does_not_explain_what_runs_on_the_host_afterwards() -> None:
    found = one(at(-1, "hardware"), CORE, BINARY)
    assert (found["severity"], found["score"], found["detail"]["doubt"]) == ("high", 55, True)
    assert "which hardware, an update or maintenance may explain" in found["explanation"]


def test_the_crash_of_a_host_needs_a_precursor() -> None:
    crash = at(0, "host_crash", "esx_host_crashed")
    assert judge(crash, at(10, "host_login", user="anna", source__ip="192.0.2.9"), at(20, "host_command", user="anna")) == []
    assert one(HYPERCALL, crash)["severity"] == "medium"
    assert one(crash, BINARY)["severity"] == "high", "a program that no package brought is explained by no crash"


def test_a_crash_with_restart_is_silent() -> None:
    assert judge(at(0, "fault", "kvm_qemu_crashed", host="kvm01"), at(0, "fault", "kvm_vm_failed", host="kvm01", vm="web01"),
                 at(1, "moved", host="kvm01", vm="web01", at_host="kvm01")) == []


def work(days: float, host: str = "esx01") -> tuple[Signal, ...]:
    """Anna logs in and looks around, some days from noon."""
    return (at(days * 1440 + 20, "host_login", user="anna", source__ip="192.0.2.9", host=host),
            at(days * 1440 + 21, "host_command", "esx_command_run", user="anna", host=host, process__command_line="ls /var/core"))


def test_an_administrator_who_is_known_may_look_after_a_crash() -> None:
    assert judge(CORE, *work(0), *work(-3, "esx07")) == []
    assert judge(CORE, *work(0), *work(-13.9)) == []
    assert one(CORE, *work(0))["severity"] == "medium", "new here"
    assert one(CORE, *work(0), *work(-15))["severity"] == "medium", "too long ago"
    assert one(CORE, *work(0), *work(-1))["severity"] == "medium", "within the reach of a chain, so perhaps the same intruder"
    stranger = at(20, "host_login", user="anna", source__ip="192.0.2.66")
    assert one(CORE, stranger, *work(-3))["severity"] == "medium", "her name from another address"
    assert one(CORE, *work(0)[1:], *work(-3))["severity"] == "critical", "a command without a session"


def test_the_policy_knows_bastions_and_maintenance() -> None:
    assert judge(CORE, *work(0), policies=Policies(bastions=("192.0.2.0/28",))) == []
    assert judge(CORE, *(row | {"source.vm": "jump01"} for row in work(0)), policies=Policies(bastions=("jump*",))) == []
    window = {"hosts": ["esx*"], "since": NOON - timedelta(hours=1), "until": NOON + timedelta(hours=1)}
    maintained = Policies.model_validate({"maintenance": [window]})
    assert judge(HYPERCALL, CORE, *work(0), policies=maintained) == []
    assert one(CORE, BINARY, policies=maintained)["severity"] == "high"


def test_a_guest_with_the_habit_of_denied_calls_is_no_precursor() -> None:
    old_tools = [at(-60 - day * 1440, "precursor", "esx_denied_hypercall", vm="web01", vmware__value="69") for day in range(2, 10)]
    assert judge(HYPERCALL, CORE, *old_tools) == []
    assert one(HYPERCALL | {"vmware.value": "70"}, CORE, *old_tools)["severity"] == "medium", "another call"
    assert one(HYPERCALL | {"vm": "web02"}, CORE, *old_tools)["severity"] == "medium", "another guest"


def test_probes_count_in_numbers_only() -> None:
    probes = [at(-30 + n / 10, "probe", "kvm_unhandled_msr", host="kvm01", n=n) for n in range(20)]
    crash = at(0, "fault", "kvm_qemu_crashed", host="kvm01")
    assert one(*probes, crash)["detail"]["stages"] == ["precursor", "fault"]
    assert judge(*probes[1:], crash) == []


@pytest.mark.parametrize(("told", "score", "cve"), [
    ({"event__reason": " ESX pid=2 version=8.0.3 build=build-24585383"}, 75, "CVE-2025-41236"),
    ({"event__reason": "service was last started, Section for VMware ESX, pid=2, version=8.0.3, build=25595708, option=R"}, 50, None),
    ({"event__reason": "Section for VMware ESX, pid=2, version=8.0.3, build=0, option=DEBUG"}, 50, None),
    ({"hypervisor__version": "5.0.0"}, 75, "CVE-2020-14364"),
    ({"hypervisor__version": "7.2.22Debian"}, 50, None)])
def test_a_build_that_is_open_counts_more(told: dict[str, str], score: float, cve: str | None) -> None:
    found = one(HYPERCALL, CORE, at(-3 * 1440, "version", **told))
    assert (found["score"], found["severity"]) == (score, "high" if cve else "medium")
    assert cve in found["detail"]["cve_candidates"] if cve else not found["detail"]["cve_candidates"]
    assert one(HYPERCALL, CORE, at(-15 * 1440, "version", **told))["score"] == 50, "told too long ago"


def test_the_last_build_before_the_chain_counts() -> None:
    old, new = (at(minutes, "version", event__reason=f"version=8.0.3, build={build}") for minutes, build in (
        (-5000, 24022510), (-4000, 25595708)))
    assert one(HYPERCALL, CORE, old, new)["detail"]["cve_candidates"] == []
    assert one(HYPERCALL, CORE, old, new | {"time": CORE["time"] + 10**9})["score"] == 75


# --- order, cut, size -----------------------------------------------------------------------------------------------------------


def busy(seed: int, days: int = 6, size: int = 90) -> list[Signal]:
    """Random signals of a few hosts, guests and people."""
    rng = random.Random(seed)
    rows = []
    for number, minute in enumerate(sorted(rng.randrange(days * 1440) for _ in range(size))):
        role = rng.choice(JOB.roles)
        rows.append(at(minute, role, f"r_{rng.randrange(2)}", f"esx0{rng.randrange(3)}", n=number,
                       vm=rng.choice([None, "a", "b"]) if role != "moved" else "a", user=rng.choice([None, "anna", "root"]),
                       source__ip=rng.choice([None, "192.0.2.9"]), at_host=rng.choice([None, "esx00", "esx01"]),
                       vmware__value=str(rng.randrange(2)), event__reason="version=8.0.2, build=1"))
    return rows


@pytest.mark.parametrize("seed", range(10))
def test_neither_order_nor_repetition_matters(seed: int) -> None:
    rows = busy(seed)
    found = judge(*rows)
    assert judge(*random.Random(seed).sample(rows, len(rows))) == found and found


@pytest.mark.parametrize("seed", range(10))
def test_what_is_older_than_the_look_back_of_a_chain_does_not_change_it(seed: int) -> None:
    """A run over a part of history gives the same for all chains that begin a look-back after the cut."""
    short = {"known_for": timedelta(hours=36), "session": timedelta(hours=2)}
    rows, reach = busy(seed, 12, 240), EscapeParameters(**short).look_back
    cut = rows[60]["time"]
    young = cut + reach // timedelta(microseconds=1)

    def told(*given: Signal) -> list[dict[str, Any]]:
        return [row for row in judge(*given, **short) if row["first"] >= young]

    whole = told(*rows)
    assert told(*(row for row in rows if row["time"] >= cut)) == whole and whole


def test_a_million_rows_of_one_host() -> None:
    """A flood of every role on one host stays a matter of seconds, and gives one chain with few steps and the true count."""
    size = 1_000_000
    rng = np.random.default_rng(1)
    roles = np.array(["precursor", "fault", "host_effect", "host_command", "host_login", "second_vm"])
    base = (NOON - EPOCH) // timedelta(microseconds=1)
    frame = pl.DataFrame({
        "role": roles[rng.integers(0, 6, size)], "time": base + np.sort(rng.integers(0, 3600 * 10**6, size)),
        "event": np.arange(size).astype(str), "vm": rng.choice(["a", "b", "c"], size), "user": rng.choice(["x", "y"], size)})
    full = frame.with_columns(rule=pl.lit("esx_flood"), host=pl.lit("esx01")).with_columns(
        pl.lit(None, dtype).alias(name) for name, dtype in COLUMNS.items() if name not in (*frame.columns, "rule", "host"))
    started = datetime.now(UTC)
    found = findings(full, JOB, EscapeParameters(), HORIZON)
    assert (datetime.now(UTC) - started).total_seconds() < 60
    assert found.height == 1 and found["severity"].to_list() == ["critical"]
    assert found["count"][0] > size // 2 and len(json.loads(found["steps"][0])) <= 16 and found["events"].list.len()[0] <= 20


def test_nothing_gives_nothing() -> None:
    found = findings(pl.DataFrame(schema=COLUMNS), JOB, EscapeParameters(), HORIZON)
    assert found.is_empty() and found.schema == pl.Schema(dict(FINDINGS))
