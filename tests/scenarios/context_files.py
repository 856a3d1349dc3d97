"""What the owners of a data centre know of it, as files: inventories, tenants, identities, policy, and where addresses are."""

from __future__ import annotations

import csv
import io
from datetime import datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import yaml
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from .parts import OFFICE, START, TENANTS, VCENTER, VIEWS, VPN, Vm
from .world import World

HEADER = ("time", "view", "source", "vm", "uuid", "host", "state", "cluster", "tenant", "segment", "zone", "role", "ip", "mac", "host_uuid")
# network: country, city's position, autonomous system (numbers for documentation, RFC 5398)
PLACES = {"192.0.2.0/24": ("DE", 52.5, 13.4, 64496), "198.51.100.0/27": ("DE", 52.5, 13.4, 64497),
          "198.51.100.128/25": ("DE", 48.1, 11.6, 64498),
          "203.0.113.0/26": ("BR", -23.5, -46.6, 64500), "203.0.113.64/26": ("KR", 37.6, 127.0, 64501),
          "203.0.113.128/26": ("ZA", -26.2, 28.0, 64502), "203.0.113.192/26": ("US", 37.8, -122.4, 64503)}


def write(world: World, folder: Path) -> None:
    """All files of the folder that `--context` names, and geo.mmdb."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, time in enumerate(sorted(world.snapshots)):
        (folder / f"inventory-{number:03d}.csv").write_text(_inventory(world, time), encoding="utf-8")
    (folder / "tenants.csv").write_text("tenant,name\n" + "".join(f"{name},{name.title()} Ltd\n" for name in (*TENANTS, "infra")))
    (folder / "identities.csv").write_text(_identities(world), encoding="utf-8")
    (folder / "policy.yml").write_text(yaml.safe_dump(_policy(world), sort_keys=False), encoding="utf-8")
    _geography(folder / "geo.mmdb")


def _inventory(world: World, time: datetime) -> str:
    """Lists of the machines at one time: vCenter's, what hosts have registered, what runs on them, what the network sees."""
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(HEADER)
    views = VIEWS if world.audited(time) else VIEWS[:1]
    seen = set()
    for vm in world.vms.values():
        if world.alive(vm, time):
            host, absent = _place(world, vm, time), _absent(world, vm, time)
            for view in views:
                if view not in absent:
                    out.writerow(_row(world, vm, host, view, time))
                    seen.add((host, view))
    for host in world.hosts:
        for view in views[:3]:
            if (host, view) not in seen and not (view == "manager" and _without_manager(world, host, time)):
                out.writerow(_empty(world, host, view, time))
    return text.getvalue()


def _absent(world: World, vm: Vm, time: datetime) -> tuple[str, ...]:
    """The lists in which a machine is not though it lives."""
    since, views = world.unlisted.get(vm.name, (time, ()))
    hidden = views if time >= since else ()
    return (*hidden, "manager") if _without_manager(world, _place(world, vm, time), time) else hidden


def _without_manager(world: World, host: str, time: datetime) -> bool:
    since, until = world.unmanaged.get(host, (time, time))
    return since <= time < until


def _place(world: World, vm: Vm, time: datetime) -> str:
    since, host = world.unlogged.get(vm.name, (None, ""))
    return host if since and time >= since else world.where(vm.name, time)


def _row(world: World, vm: Vm, host: str, view: str, time: datetime) -> tuple[str, ...]:
    source = "vcsa01" if view == "manager" else host
    cluster = world.hosts[host].cluster if host in world.hosts else ""
    facts = (vm.tenant, vm.segment, vm.zone, vm.role, vm.address, vm.mac) if view == "manager" else ("", "", "", "", "", vm.mac)
    hardware = _hardware(world, host, view, time)
    return (f"{time:%Y-%m-%dT%H:%M:%SZ}", view, source, vm.name, vm.uuid, host, "running", cluster, *facts, hardware)


def _empty(world: World, host: str, view: str, time: datetime) -> tuple[str, ...]:
    """The row of a host without machines."""
    source = "vcsa01" if view == "manager" else host
    uuid = _hardware(world, host, view, time)
    return (f"{time:%Y-%m-%dT%H:%M:%SZ}", view, source, "", "", host, "", world.hosts[host].cluster, *[""] * 6, uuid)


def _hardware(world: World, host: str, view: str, time: datetime) -> str:
    """The uuid that a host says its hardware has."""
    if view != "running" or host not in world.hosts:
        return ""
    since, other = world.impostors.get(host, (time, ""))
    return other if other and time >= since else world.hosts[host].uuid


def _identities(world: World) -> str:
    rows = ["principal,person"]
    for one in world.people:
        rows += [f"{name},{one.name}" for name in (one.corp, one.mail, one.name, f"arn:aws:iam::111122223333:user/{one.name}")]
    return "\n".join(rows) + "\n"


def _policy(world: World) -> dict[str, object]:
    windows = [{"hosts": [host], "since": f"{since:%Y-%m-%dT%H:%M:%SZ}", "until": f"{until:%Y-%m-%dT%H:%M:%SZ}", "reason": "planned work"}
               for host, since, until in world.windows if until - since < timedelta(hours=2) or (until - since) == timedelta(hours=2)]
    return {
        "bastions": ["infra-bastion*"], "scanners": ["infra-scanner01", "infra-monitor01"], "backup_proxies": ["infra-proxy*"],
        "config_management": ["infra-config01", "infra-patch01"], "vcenter_addresses": [VCENTER],
        "host_peers": ["10.0.0.0/24"], "vpn": [f"{VPN}0/27"], "offices": [f"{OFFICE}0/24"],
        "privileged": ["root", "vsphere.local\\administrator", *sorted(one.name for one in world.people if one.senior)],
        "services": ["corp\\svc-*", "svc-*", "ansible", "scanner", "deploy", "ci-deploy"],
        "mfa": {"required": sorted(one.name for one in world.people if one.cloud), "exempt": ["ci-deploy"]},
        "maintenance": windows,
        "segmentation": [{"source": "tenant:infra", "target": "*", "action": "allow"},
                         *({"source": f"tenant:{name}", "target": f"tenant:{name}", "action": "allow"} for name in TENANTS),
                         {"source": "*", "target": "*", "action": "deny"}]}


def _geography(path: Path) -> None:
    writer = MMDBWriter(ip_version=6, ipv4_compatible=True, database_type="Test-City-ASN", languages=["en"], int_type="u32")
    for network, (country, latitude, longitude, number) in PLACES.items():
        writer.insert_network(IPSet([network]), {
            "country": {"iso_code": country}, "location": {"latitude": latitude, "longitude": longitude, "accuracy_radius": 50},
            "autonomous_system_number": number, "autonomous_system_organization": f"Example {number}"})
    with patch("mmdb_writer.time.time", return_value=START.timestamp()):  # it writes the time of its making, which must not differ
        writer.to_db_file(str(path))
