"""The escape chain from raw lines of ESXi, vCenter, auditd and libvirt: stories that must be told, and negatives that must be silent."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from pipeline.analytics.documents import check_jobs
from pipeline.context.columns import PLACEMENT
from pipeline.context.policies import Policies
from tests.analytics.raw import catalogue, found

ESX, VC, AUDIT, LIBVIRT = "vmware-esxi", "vmware-vcenter", "linux-auditd", "libvirt-qemu"
DAY = "2026-11-24T"
VOB = "<14>{day}{time}.123Z {host}.example.org vobd[2097604]:  [UserLevelCorrelator] 410535559us: [{event}] {text}"
CORE = "esx.problem.application.core.dumped"
CRASHED = "An application (/bin/vmx) running on ESXi host has crashed (1 time(s) so far). A core file might have been created at /var/x."
STAMP = int(datetime(2026, 11, 24, tzinfo=UTC).timestamp())


def vob(time: str, event: str, text: str, host: str = "esx01") -> str:
    return VOB.format(day=DAY, time=time, host=host, event=event, text=text)


def core(time: str, host: str = "esx01") -> str:
    return vob(time, CORE, CRASHED, host)


def binary(time: str, host: str = "esx01") -> str:
    return vob(time, "esx.audit.uw.security.execInstalledOnly.warning", "Execution of unknown (non VIB installed) binary '/tmp/.x'.", host)


def hypercall(time: str, vm: str = "web01", host: str = "esx01", value: int = 69) -> str:
    return (f'<110>{DAY}{time}.123Z {host}.example.org vmx[2107781]: [vm.hypercall.denied@6876 subject="vmx" '
            f'object="/vmfs/volumes/ds1/{vm}/{vm}.vmx" result="failure" reason="Permission denied" type="Backdoor" value="{value}"]')


def login(time: str, address: str, user: str = "root", host: str = "esx01", day: str = DAY) -> str:
    return f"<38>{day}{time}.123Z {host}.example.org sshd[2104001]: Accepted publickey for {user} from {address} port 57994 ssh2"


def command(time: str, text: str, user: str = "root", host: str = "esx01") -> str:
    return f"<14>{DAY}{time}.123Z {host}.example.org shell[2103377]: [{user}]: {text}"


def audit(time: str, record: str, host: str = "kvm01") -> str:
    hours, minutes, seconds = map(int, time.split(":"))
    kind, _, rest = record.partition(" ")
    moment = STAMP + hours * 3600 + minutes * 60 + seconds
    return f"node={host} type={kind} msg=audit({moment}.500:{moment % 100000}): {rest}"


def abend(time: str) -> str:
    return audit(time, 'ANOM_ABEND auid=4294967295 uid=64055 gid=64055 ses=4294967295 pid=5248 comm="qemu-system-x86" '
                       'exe="/usr/bin/qemu-system-x86_64" sig=11 res=1')


def control(time: str, op: str, reason: str, vm: str) -> str:
    return audit(time, f"VIRT_CONTROL pid=4842 uid=0 auid=4294967295 ses=4294967295 msg='virt=kvm op={op} reason={reason} vm=\"{vm}\" "
                       "uuid=cbecce39-5b5d-443d-8cd0-83d92c5c1ea4 vm-pid=0 exe=\"/usr/sbin/libvirtd\" hostname=? addr=? terminal=? "
                       "res=success'")


def shell_of_qemu(time: str) -> str:
    return audit(time, "SYSCALL arch=c000003e syscall=59 success=yes exit=0 a0=55f1 a1=7ffc a2=0 a3=0 items=2 ppid=6234 pid=6235 "
                       "auid=4294967295 uid=64055 gid=64055 euid=64055 suid=64055 fsuid=64055 egid=64055 sgid=64055 fsgid=64055 "
                       'tty=(none) ses=4294967295 comm="dash" exe="/usr/bin/dash" key="qemu_user_exec"')


def ran(vm: str, host: str, since: str, until: str | None, kind: str = "vm", key: str | None = None) -> dict[str, Any]:
    """An interval of placement."""
    start, end = (None if each is None else int(datetime.fromisoformat(f"{DAY}{each}Z").timestamp()) * 10**6 for each in (since, until))
    return {"kind": kind, "key": key or vm, "valid_from": start, "valid_to": end, "vm": vm, "host": host}


def place(*intervals: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(intervals), schema=dict(PLACEMENT))


def told(*logs: tuple[str, tuple[str, ...]], **context: Any) -> list[tuple[str, str, list[str]]]:
    """Host, severity and stages of what is found."""
    rows = found("escape_chain", *((parser, "\n".join(lines) + "\n") for parser, lines in logs), **context)
    return [(row["key"], row["severity"], json.loads(row["detail"])["stages"]) for row in rows]


WHOLE = (hypercall("01:00:00"), hypercall("01:00:20", value=70), core("02:14:07"), binary("02:15:00"), login("02:30:00", "10.20.1.5"))


def test_the_document_asks_nothing_of_the_job_that_it_does_not_have() -> None:
    assert check_jobs(job for job in catalogue().jobs if job.type == "escape_chain") == []
    assert any(job.type == "escape_chain" for job in catalogue().jobs)


def test_a_break_out_on_esxi_is_told() -> None:
    version = (f"<14>{DAY}00:10:00.123Z esx01.example.org vmx[2101010]: Log for VMware ESX pid=2101010 version=8.0.2 build=build-22380479 "
               "option=Release")
    placement = place(ran("web01", "esx01", "00:00:00", None), ran("web01", "esx01", "00:00:00", None, "ip", "10.20.1.5"))
    row, = found("escape_chain", (ESX, "\n".join((version, *WHOLE)) + "\n"), placement=placement)
    assert (row["key"], row["severity"], row["score"]) == ("esx01", "critical", 100)
    detail, steps = json.loads(row["detail"]), json.loads(row["steps"])
    assert detail["stages"] == ["precursor", "fault", "host_effect", "touch"] and detail["vms"] == ["web01"]
    assert "CVE-2025-22224" in detail["cve_candidates"] and detail["gap_minutes"] == [74.1, 0.9, 15.0]
    assert "guest web01: denied hypercall (69)" in row["explanation"] and "/tmp/.x" in row["explanation"]
    assert "the address of guest web01" in row["explanation"]
    assert steps[0]["source"] == "web01" and all(step["event"] for step in steps)


def test_a_guest_that_moved_between_probe_and_crash_is_followed() -> None:
    moved = ("<14>1 2026-11-24T01:30:00.263383+00:00 vc01.example.org vpxd 58650 - -  Event [5030] [1-1] [2026-11-24T01:30:00.26309Z] "
             "[vim.event.VmMigratedEvent] [info] [EXAMPLE\\alice] [DC1] [5030] [Migration of virtual machine web01 from "
             "esx01.example.org, ds1 to esx02.example.org, ds1 completed]")
    placement = place(ran("web01", "esx01", "00:00:00", "01:29:00"), ran("web01", "esx02", "01:29:00", None))
    esx = (hypercall("01:00:00"), core("02:14:07", "esx02"), binary("02:15:00", "esx02"))
    assert told((ESX, esx), (VC, (moved,)), placement=placement) == [("esx02", "critical", ["precursor", "fault", "host_effect"])]


def test_a_break_out_on_kvm_is_told() -> None:
    seen = told((AUDIT, (abend("02:14:07"), control("02:14:08", "stop", "failed", "vdi01"), shell_of_qemu("02:15:00"))),
                (LIBVIRT, (f"<38>{DAY}02:30:00.000000+00:00 kvm01 sshd[4242]: Accepted password for root from 10.20.1.5 port 50022 ssh2",)))
    assert [row[:2] for row in seen] == [("kvm01", "critical")]
    assert seen[0][2][:2] == ["fault", "host_effect"]


QUIET = {
    "hardware": (ESX, (
        f"<181>{DAY}02:13:00.123Z esx01.example.org vmkernel: cpu58:2097512)ALERT: MCA: 200: SRAR Excp G7 B1 Sbd80 A1b2c0 M86 P1b2c0/40 x",
        core("02:14:07"), login("02:40:00", "192.0.2.66"), hypercall("01:30:00"))),
    "purple screen": (ESX, (
        vob("02:14:07", "esx.problem.host.coredump", "An unread host kernel core dump has been found."),
        login("02:40:00", "192.0.2.66"), command("02:41:00", "esxcli system coredump file list"))),
    "crash and restart": (AUDIT, (
        abend("02:14:07"), control("02:14:08", "stop", "failed", "vdi01"), control("02:15:00", "start", "booted", "vdi01"))),
    "live update": (AUDIT, (
        audit("02:00:00", "SOFTWARE_UPDATE pid=4842 uid=0 auid=0 ses=3 msg='op=update sw=\"qemu-kvm-core-7.2.0-14.el9.x86_64\" sw_type=rpm "
                          "key_enforce=0 gpg_res=1 root_dir=\"/\" comm=\"dnf\" exe=\"/usr/bin/python3.9\" hostname=? addr=? terminal=? "
                          "res=success'"),
        abend("02:14:07"), control("02:14:08", "stop", "failed", "vdi01"), control("02:15:00", "start", "booted", "vdi01"))),
    "administrator who is known": (ESX, (
        login("02:40:00", "192.0.2.9", "anna", "esx07", "2026-11-20T"), core("02:14:07"), login("02:40:00", "192.0.2.9", "anna"),
        command("02:41:00", "ls -l /var/core", "anna"))),
    "precursor alone": (ESX, tuple(hypercall(f"01:00:{n:02d}", value=n) for n in range(30)))}


@pytest.mark.parametrize("name", QUIET)
def test_negatives_are_silent(name: str) -> None:
    assert told(QUIET[name]) == []


def test_each_negative_is_one_line_away_from_a_finding() -> None:
    """So that they are silent for the reason that they stand for."""
    hardware, purple, restart, update, known, _ = (lines for _, lines in QUIET.values())
    assert told((ESX, hardware[1:])) == [("esx01", "high", ["precursor", "fault", "touch"])]
    assert told((ESX, (*purple, hypercall("01:30:00")))) == [("esx01", "high", ["precursor", "fault", "touch"])]
    assert told((AUDIT, (*restart, shell_of_qemu("02:16:00")))) == [("kvm01", "critical", ["fault", "host_effect"])]
    assert told((AUDIT, (*update, shell_of_qemu("02:16:00")))) == [("kvm01", "high", ["fault", "host_effect"])]
    assert told((ESX, known[1:])) == [("esx01", "medium", ["fault", "touch"])]


def test_work_from_a_bastion_is_silent() -> None:
    lines = (core("02:14:07"), login("02:40:00", "192.0.2.66"), command("02:41:00", "ls /var/core"))
    assert told((ESX, lines)) == [("esx01", "medium", ["fault", "touch"])]
    assert told((ESX, lines), policies=Policies(bastions=("192.0.2.64/28",))) == []
