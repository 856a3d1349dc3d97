"""Alerts of the four jobs, invented, for the tests of pictures in the report: `python -m tests.report_stories OUT.html` renders them."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from pipeline.alerts import Alert, Entities, Step
from pipeline.report import render
from tests.report_demo import START, alerts, figures

Told = tuple[float, str, str, str | None, str | None, str | None]  # seconds, stage, what, source, target, host


def story(name: str, told: list[Told], score: float, detail: dict[str, Any], **changes: Any) -> Alert:
    """An alert of the demo with other steps; its first and last events are those of the steps."""
    base = next(alert for alert in alerts() if alert.severity == "critical")
    steps: list[Step] = []
    before: float | None = None
    for second, stage, what, source, target, host in told:
        gap = None if before is None else second - before
        when = START + timedelta(seconds=second)
        steps.append(Step(time=when, what=what, stage=stage, source=source, target=target, host=host, gap_s=gap))
        before = second
    rule = base.rule.model_copy(update={"name": name, "id": name})
    changes = {"entities": Entities(host=tuple(sorted({step.host for step in steps if step.host}))), "explanation": name} | changes
    return base.model_copy(update={
        "id": name.lower().replace(" ", "-"), "rule": rule, "first": steps[0].time, "last": steps[-1].time, "timestamp": steps[-1].time,
        "count": len(steps), "score": score, "steps": tuple(steps), "detail": detail} | changes)


def hopping() -> Alert:
    """Three hops: within a host, to another host, and into another tenant."""
    places = {"web-01": {"host": "esx-ams-03", "tenant": "acme"}, "app-02": {"host": "esx-ams-03", "tenant": "acme"},
              "jump-07": {"host": "esx-ams-07", "tenant": "acme"}, "hr-db-01": {"host": "esx-ams-07", "tenant": "globex"}}
    return story("VM hopping into another tenant", [
        (0, "login", "login, on the same host", "web-01", "app-02", "esx-ams-03"),
        (742, "login", "login, a zone of higher trust", "app-02", "jump-07", "esx-ams-07"),
        (9960, "guest_operation", "operation inside the guest, another tenant, on the same host, past the network", "jump-07", "hr-db-01",
         "esx-ams-07")], 68.4,
        {"path.vms": list(places), "path.machines": list(places), "path.hosts": ["esx-ams-03", "esx-ams-07"], "path.hop_count": 3,
         "path.users": ["svc-deploy", "jdoe"], "path.tenants": ["acme", "globex"], "same_host_hops": 2, "also": ["hr-db-02"],
         "path.places": places, "path.hop_users": ["svc-deploy", "jdoe", "jdoe"]})


def escape() -> Alert:
    """Precursors, a fault, an effect on the host, and hours later a second guest."""
    return story("Escape from a virtual machine", [
        *((n * 21.0, "precursor", "guest build-04: denied hypercall (77)", "build-04", "esx-ams-03", "esx-ams-03") for n in range(5)),
        (131, "fault", "fault of the hypervisor under build-04: vmx crashed", None, None, "esx-ams-03"),
        (160, "host_effect", "on the host: shell started by vmx (/bin/sh -i)", None, None, "esx-ams-03"),
        (11_400, "touch", "guest dc-01 touched by root, from 198.51.100.9", "198.51.100.9", "dc-01", "esx-ams-03")], 91.0,
        {"stages": ["precursor", "fault", "host_effect", "touch"], "signals": {"precursor": 5, "fault": 1, "host_effect": 1, "touch": 1},
         "host": "esx-ams-03", "vms": ["build-04", "dc-01"], "users": ["root"], "cve_candidates": ["CVE-2024-22252", "CVE-2025-22224"],
         "build": "ESXi 8.0 build 22380479", "gap_minutes": [2.2, 0.5, 187.3], "doubt": False},
        entities=Entities(host=("esx-ams-03",), vm=("build-04", "dc-01"), user=("root",)))


def hyperjacking() -> Alert:
    """Three classes of evidence over two weeks."""
    day = 86_400.0
    return story("Host not under your control", [
        (0, "integrity", "vib forced without signature by root", "root", None, "esx-ams-07"),
        (95, "integrity", "boot script changed by root", "root", None, "esx-ams-07"),
        (9 * day, "concealment", "syslog target changed by root", "root", None, "esx-ams-07"),
        (9 * day + 600, "inventory", "vm-shadow runs and is registered nowhere", None, "vm-shadow", "esx-ams-07"),
        (12 * day, "inventory", "vm-shadow runs and is registered nowhere", None, "vm-shadow", "esx-ams-07")], 77.5,
        {"classes": {"integrity": 40.0, "inventory": 25.0}, "score": 77.5, "signals": {"forced_vib": 25.0, "inventory_rogue": 25.0},
         "set_diff": {"rogue": ["vm-shadow"], "unmanaged": [], "ghost": [], "hidden": []}, "unlogged": ["vm-shadow"], "duplicates": []})


def login() -> Alert:
    """An impossible journey."""
    return story("Login unlike the account's own", [
        (0, "previous", "corp\\jdoe was at 192.0.2.10, Netherlands", "192.0.2.10", None, None),
        (2700, "impossible_travel", "login: 8,400 km from 192.0.2.10 in 45 min, at least 11,200 km/h, the country is new", "203.0.113.40",
         "vc01", None)], 83.0,
        {"principal": "corp\\jdoe", "realm": "vcenter", "risk": 0.83, "travelled_km": 8400, "speed_kmh": 11200, "logins": 1,
         "signals": [{"name": "impossible_travel", "weight": 0.6, "why": "8,400 km in 45 min"}]})


def stories() -> list[Alert]:
    """One alert of each job."""
    return [hopping(), escape(), hyperjacking(), login()]


HOSTILE = "</text></svg><script>window.pwned=1</script>]]><!--\u202e\x00"


def long_path() -> Alert:
    """Six hops between machines with names of 80 letters and hostile ones."""
    names = [f"{HOSTILE if n % 3 == 1 else 'W'}{n}".ljust(80, "wm"[n % 2]) for n in range(7)]
    places = {name: {"host": "h" * 80 if n % 2 else f"esx-{n // 3}", "tenant": "tenant " + "M" * 70 if n % 2 else HOSTILE}
              for n, name in enumerate(names)}
    return story("Long path", [(n * 3000.0, "login", f"login {HOSTILE} {'word ' * 30}", names[n], names[n + 1], None) for n in range(6)],
                 99.9, {"path.places": places, "path.hop_users": [HOSTILE, "u" * 80] * 3, HOSTILE: HOSTILE})


def long_timeline() -> Alert:
    """Sixty steps in six stages, in bursts with nights between."""
    return story("Long timeline", [(n * 7.0 + n // 12 * 40_000.0, f"stage_{n % 6} {HOSTILE if n % 6 == 5 else ''}",
                                    f"{HOSTILE if n % 7 == 0 else ''}{'N' * 80} {n}", None, None, "h" * 80) for n in range(60)], 50.0, {})


if __name__ == "__main__":
    render([*stories(), long_path(), long_timeline()], figures(), Path(sys.argv[1]))
