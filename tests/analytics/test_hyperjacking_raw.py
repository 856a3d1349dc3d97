"""Hyperjacking from raw lines and inventory files: what must be told, and planned work that must be silent."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline.analytics.documents import check_jobs
from pipeline.analytics.hijacking.evidence import INVENTORY, PLANNED, WEIGHTS
from pipeline.analytics.inventory import inventory_signals
from pipeline.analytics.passes import findings
from pipeline.context.files import read_context
from pipeline.context.policies import Policies, Window
from tests.analytics.raw import catalogue, hits, prepared, signals

ESX, VC = "vmware-esxi", "vmware-vcenter"
HEADER = "time,view,source,vm,uuid,host,state,mac\n"
WINDOW = Window(hosts=("esx0*",), since=datetime(2026, 11, 24, 2, tzinfo=UTC), until=datetime(2026, 11, 24, 5, tzinfo=UTC))


def shell(time: str, text: str, host: str = "esx01") -> str:
    return f"<14>2026-11-{time}.123Z {host}.example.org shell[2103377]: [root]: {text}"


def vob(time: str, event: str, text: str, host: str = "esx01") -> str:
    return f"<14>2026-11-{time}.123Z {host}.example.org vobd[2097604]:  [esximage] 410535559us: [{event}] {text}"


def vcenter(time: str, event: str, text: str, user: str = "EXAMPLE\\anna") -> str:
    return (f"<14>1 2026-11-{time}.263383+00:00 vc01.example.org vpxd 58650 - -  Event [5030] [1-1] [2026-11-{time}.26309Z] "
            f"[vim.event.{event}] [info] [{user}] [DC1] [5030] [{text}]")


def lists(day: str, time: str = "06:00:00Z", **views: str) -> str:
    """Inventory rows of esx01 and esx02: `manager="web01 db01|app01"` puts two machines on the first and one on the second."""
    rows = [(view, f"esx0{number + 1}", vm) for view, hosts in views.items() for number, vms in enumerate(hosts.split("|"))
            for vm in vms.split()]
    return "".join(f"2026-11-{day}T{time},{view},{host},{vm},42170000-{vm},{host},running,\n" for view, host, vm in rows)


def same(day: str, placed: str, **rest: str) -> str:
    return lists(day, **{"manager": placed, "registered": placed, "running": placed, "wire": placed, **rest})


def judge(folder: Path, *logs: tuple[str, tuple[str, ...]], inventory: str = "", policies: Policies | None = None) -> list[dict[str, Any]]:
    job = prepared("hyperjacking", policies)
    rows = signals(hits((parser, "\n".join(lines) + "\n") for parser, lines in logs), job)
    if inventory:
        (folder / "inventory.csv").write_text(HEADER + inventory, encoding="utf-8")
        rows = pl.concat([rows, inventory_signals(read_context(folder).inventory)], how="diagonal")
    return findings(rows, job.job, job.parameters, 2**62).to_dicts()


def told(rows: list[dict[str, Any]]) -> list[tuple[str, str, list[str]]]:
    return [(row["key"], row["severity"], list(json.loads(row["detail"])["classes"])) for row in rows]


IMPLANT = (
    vob("24T02:14:07", "esx.audit.esximage.hostacceptance.changed",
        "Host acceptance level changed from PartnerSupported to CommunitySupported"),
    shell("24T02:15:07", "esxcli software vib install -v /tmp/lsu.vib --force --no-sig-check"),
    shell("24T03:15:07", 'echo "/bin/python /store/packages/x.py &" >> /etc/rc.local.d/local.sh'))
MOVE = "Migration of virtual machine {} from esx0{}.example.org, ds1 to esx0{}.example.org, ds1 completed"
HEARD = tuple(vcenter(f"23T08:0{n}:00", "VmMigratedEvent", MOVE.format("app02", n, 3 - n)) for n in (1, 2))


def test_the_document_asks_nothing_of_the_job_that_it_does_not_have() -> None:
    assert check_jobs(job for job in catalogue().jobs if job.type == "hyperjacking") == []


def test_every_rule_of_the_document_has_a_weight_and_every_weight_a_rule() -> None:
    job = next(job for job in catalogue().jobs if job.type == "hyperjacking")
    names = {rule.id: rule.name or rule.path.stem for rule in catalogue().rules}
    classes = ("integrity", "persistence", "topology", "behaviour", "timing")
    weighed = {names[rule] for role in classes for rule in job.rules[role]}
    assert weighed == {rule for rule in WEIGHTS if not rule.startswith(INVENTORY)}
    assert {rule for rule in PLANNED if not rule.startswith(INVENTORY)} <= weighed


def test_an_implant_is_told(tmp_path: Path) -> None:
    row, = judge(tmp_path, (ESX, IMPLANT))
    assert told([row]) == [("esx01", "high", ["integrity", "persistence"])]
    assert row["explanation"].endswith(": 2026-11-24 02:14 UTC acceptance level lowered; 1 minute later unsigned software "
                                       "installed by root; 1 hour later boot script changed by root.")
    assert len(row["events"]) == 3 and all(step["event"] for step in json.loads(row["steps"]))


def test_boot_image_and_listener(tmp_path: Path) -> None:
    lines = (shell("24T02:00:00", "cp /tmp/state.tgz /bootbank/state.tgz"), shell("24T02:30:00", "nohup nc -lk 8443 &"),
             shell("24T02:31:00", "echo '/x local 8443 allow allow' >> /etc/vmware/rhttpproxy/endpoints.conf"))
    assert told(judge(tmp_path, (ESX, lines))) == [("esx01", "high", ["persistence", "behaviour"])]


def test_a_driver_and_a_new_image_in_the_window(tmp_path: Path) -> None:
    vc = (vcenter("24T02:30:00", "HostRemovedEvent", "Removed host esx01.example.org in DC1"),
          vcenter("24T04:00:00", "HostAddedEvent", "Added host esx01.example.org to datacenter DC1"),
          vcenter("24T04:01:00", "VmDiscoveredEvent", "Discovered web01 on esx01.example.org in DC1"))
    assert told(judge(tmp_path, (ESX, IMPLANT[:2]), (VC, vc))) == [("esx01", "high", ["integrity", "topology"])]
    assert judge(tmp_path, (ESX, IMPLANT[:2]), (VC, vc), policies=Policies(maintenance=(WINDOW,))) == []


def test_a_machine_that_no_list_has_and_a_guard_that_went_down(tmp_path: Path) -> None:
    off = vob("24T02:14:07", "esx.audit.uw.security.User.ExecInstalledOnly.disabled", "ExecInstalledOnly has been disabled.")
    rows = judge(tmp_path, (ESX, (off, shell("24T02:18:00", "/bin/vmx -x /vmfs/volumes/ds03/.cache/node.vmx"))),
                 inventory=same("24", "web01|app01", running="web01 node|app01"))
    assert told(rows) == [("esx01", "high", ["integrity", "topology"])]
    assert json.loads(rows[0]["detail"])["set_diff"]["rogue"] == ["node"]


def test_a_change_that_nobody_logged_and_one_that_somebody_did(tmp_path: Path) -> None:
    inventory = same("24", "web01 db01|app01") + same("25", "web01|db01 app01")
    moved = vcenter("24T15:00:00", "VmMigratedEvent", MOVE.format("db01", 1, 2))
    found = judge(tmp_path, (VC, HEARD), inventory=inventory)
    assert told(found) == [("esx01", "medium", ["topology"]), ("esx02", "medium", ["topology"])]
    assert "db01 went without any event that says so" in found[0]["explanation"]
    assert judge(tmp_path, (VC, (*HEARD, moved)), inventory=inventory) == []


@pytest.mark.parametrize(("event", "text"), [
    ("DrsVmMigratedEvent", "DRS migrated db01 from esx01.example.org to esx02.example.org in cluster C1 in DC1"),
    ("VmPoweredOnEvent", "db01 on esx02.example.org in DC1 is powered on")])
def test_what_services_move_is_silent(tmp_path: Path, event: str, text: str) -> None:
    inventory = same("24", "web01 db01|app01") + same("25", "web01|db01 app01")
    assert judge(tmp_path, (VC, (*HEARD, vcenter("24T15:00:00", event, text, ""))), inventory=inventory) == []
