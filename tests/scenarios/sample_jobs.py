"""The scenarios of sample_logs/ for the four jobs, and what the site knows of itself (_context/). Written by sample_logs.py.

Each has hosts, machines and people of its own, so that none changes what another one shows.
"""

from __future__ import annotations

import csv
import io
import random
from datetime import datetime, timedelta
from pathlib import Path

from .lines import Line, at, audit_record, esxi, shell, spread, sshd, sso, vcenter_event, vobd

BASTION = "10.30.0.5"
MACHINES = {  # name: host, tenant, segment, zone, role, address
    "shop-web01": ("esx11", "shop", "shop-dmz", "dmz", "web", "10.31.1.11"),
    "shop-db01": ("esx11", "shop", "shop-data", "data", "db", "10.31.3.11"),
    "lab-app01": ("esx21", "lab", "lab-app", "app", "app", "10.32.2.11"),
    "lab-app02": ("esx22", "lab", "lab-app", "app", "app", "10.32.2.12"),
    "north-web01": ("esx31", "north", "north-dmz", "dmz", "web", "10.33.1.11"),
    "north-app01": ("esx31", "north", "north-app", "app", "app", "10.33.2.11"),
    "north-db01": ("esx32", "north", "north-data", "data", "db", "10.33.3.11"),
    "south-db01": ("esx32", "south", "south-data", "data", "db", "10.34.3.11"),
    "ops-jump01": ("esx31", "ops", "ops-mgmt", "mgmt", "bastion", BASTION)}
DAYS = ("2026-03-09", "2026-03-10", "2026-03-11")
Files = dict[str, list[Line]]


def break_out() -> Files:
    """A web server of shop reaches for its hypervisor, its VMM process dies, a strange program runs on the host, root comes in from it."""
    rng, day = random.Random(11), DAYS[0]
    vmx = "/vmfs/volumes/ds02/shop-web01/shop-web01.vmx"
    start = at(day, "21:14:00")
    told = ("- time the service was last started 2026-03-01T04:00:00.000Z, Section for VMware ESX, pid=2099656, version=8.0.2, "
            "build=22380479, option=Release")
    hosts = [*quiet_hosts(rng, day, ("esx11", "esx12"), 400), esxi(at(day, "00:05:00"), "esx11", "Hostd", told)]
    hosts += [audit_record(start + timedelta(seconds=11 * step), "esx11", "vm.hypercall.denied", subject="vmx", object=vmx,
                           result="failure", reason="Permission denied", type="Backdoor", value=str(60 + step)) for step in range(5)]
    crash = start + timedelta(minutes=38)
    hosts += [
        vobd(crash, "esx11", "esx.problem.application.core.dumped", "An application (/bin/vmx) running on ESXi host has crashed "
             "(1 time(s) so far). A core file might have been created at /var/core/vmx-zdump.000."),
        vobd(crash + timedelta(minutes=3), "esx11", "esx.audit.uw.security.execInstalledOnly.violation", "Execution of unknown (non VIB "
             "installed) binary '/tmp/.ux' prevented. Unknown content can cause malware attacks similar to Ransomware."),
        esxi(crash + timedelta(minutes=19), "esx11", "sshd[2104411]",
             "Accepted keyboard-interactive/pam for root from 10.31.1.11 port 41022 ssh2", 38)]
    return {"esxi.log": hosts}


def hijacked_host() -> Files:
    """Guards of a host go down, unsigned software comes in and stays, and a machine runs there that no list has (../_context)."""
    rng, day = random.Random(12), DAYS[1]
    start = at(day, "02:31:00")
    hosts = [*quiet_hosts(rng, DAYS[0], ("esx21", "esx22"), 150), *quiet_hosts(rng, day, ("esx21", "esx22"), 400)]
    hosts += [
        shell(start, "esx21", "root", "esxcli software acceptance set --level=CommunitySupported"),
        vobd(start + timedelta(seconds=1), "esx21", "esx.audit.esximage.hostacceptance.changed",
             "Host acceptance level changed from PartnerSupported to CommunitySupported"),
        shell(start + timedelta(minutes=2), "esx21", "root", "esxcli software vib install -v /tmp/lsu.vib --force --no-sig-check"),
        shell(start + timedelta(minutes=6), "esx21", "root", 'echo "nohup /bin/python /store/packages/x.py &" >> /etc/rc.local.d/local.sh')]
    return {"esxi.log": hosts}


def hopping() -> Files:
    """From the web server of one tenant to its application server and database, and from there to the database of another tenant."""
    rng, day = random.Random(13), DAYS[2]
    guests: list[Line] = []
    for time in spread(rng, day, 40, "07:00:00", "18:00:00"):
        guests.append(sshd(time, rng.choice(("north-app01", "north-db01", "south-db01")), f"Accepted publickey for erik from {BASTION} "
                           f"port {rng.randrange(30000, 60000)} ssh2: ED25519 SHA256:exampleexampleexampleexample"))
    start = at(day, "19:20:00")
    for step, (machine, user, source) in enumerate((("north-app01", "svc-app", "north-web01"), ("north-db01", "postgres", "north-app01"),
                                                    ("south-db01", "postgres", "north-db01"))):
        guests.append(sshd(start + timedelta(minutes=11 * step), machine,
                           f"Accepted password for {user} from {MACHINES[source][5]} port 5102{step} ssh2"))
    move = vcenter_event(start + timedelta(minutes=6), 800_001, "DrsVmMigratedEvent", "",
                         "DRS migrated north-app01 from esx31 to esx32 in cluster CL3 in DC1")
    return {"guests-auth.log": guests, "vcenter.log": [move]}


def forged_login() -> Files:
    """Three weeks of an administrator at work; then a session in her name for which single sign-on issued nothing, from elsewhere."""
    rng = random.Random(14)
    lines: list[Line] = []
    first = at("2026-02-16", "07:00:00")
    for day in range(24):
        if (first + timedelta(days=day)).weekday() < 5:
            for hour in (1, 5):
                time = first + timedelta(days=day, hours=hour, minutes=rng.randrange(60))
                lines += signed_in(time, "greta", "192.0.2.81", "Mozilla/5.0 (X11; Linux x86_64)", len(lines))
    night = at("2026-03-12", "02:47:00")
    lines.append(signed_in(night, "greta", "203.0.113.77", "python-requests/2.31.0", 999)[1])
    lines += signed_in(night.replace(hour=8), "greta", "192.0.2.81", "Mozilla/5.0 (X11; Linux x86_64)", 1000)
    return {"vcenter.log": lines}


def signed_in(time: datetime, name: str, ip: str, agent: str, number: int) -> list[Line]:
    """What single sign-on and vCenter write of one login."""
    user, mail = f"CORP\\{name}", f"{name}@corp.example.org"
    return [sso(time, "LoginSuccess", mail, ip, f"User {mail}@{ip} logged in with response code 200"),
            vcenter_event(time + timedelta(seconds=1), 810_000 + number, "UserLoginSessionEvent", user,
                          f"User {user}@{ip} logged in as {agent}", "")]


def quiet_hosts(rng: random.Random, day: str, hosts: tuple[str, ...], count: int) -> list[Line]:
    """Noise of healthy hosts."""
    lines = []
    for number, time in enumerate(spread(rng, day, count)):
        host = rng.choice(hosts)
        lines.append(rng.choice((
            esxi(time, host, "crond[2098000]", f"USER root pid {2100000 + number} cmd /bin/hostd-probe.sh ++group=host/vim/vmvisor/sh", 78),
            esxi(time, host, "vmkernel", f"cpu{number % 32}:2098112)ScsiDeviceIO: 3047: Cmd(0x45d9{number:04x}) 0x1a, CmdSN 0x{number:x} "
                 'from world 0 to dev "naa.600508b1001c3d4a" failed H:0x0 D:0x2 P:0x0 Valid sense data: 0x5 0x24 0x0.', 182),
            esxi(time, host, "Fdm", f"info fdm[2100900] [Originator@6876 sub=Invt opID=SWI-{number:08x}] Datastore (/vmfs/volumes/ds02) is "
                 "accessible"))))
    return lines


JOBS = {"break-out": break_out, "hijacked-host": hijacked_host, "hopping": hopping, "forged-login": forged_login}


def write_context(folder: Path) -> None:
    """Inventories of three midnights, tenants, people and policy."""
    folder.mkdir(parents=True, exist_ok=True)
    for day in (*DAYS, "2026-03-12"):
        (folder / f"inventory-{day}.csv").write_text(_inventory(day), encoding="utf-8")
    tenants = sorted({facts[1] for facts in MACHINES.values()})
    (folder / "tenants.csv").write_text("tenant\n" + "".join(f"{name}\n" for name in tenants), encoding="utf-8")
    (folder / "identities.csv").write_text(
        "principal,person\nCORP\\greta,greta\ngreta@corp.example.org,greta\n", encoding="utf-8")
    (folder / "policy.yml").write_text(POLICY, encoding="utf-8")


POLICY = """# What is allowed at this site: see `hypervigil run --help`, --context
bastions: [ops-jump01]
vcenter_addresses: [192.0.2.20]
offices: [192.0.2.0/24]
segmentation:
  - {source: "tenant:ops", target: "*", action: allow}
  - {source: "tenant:north", target: "tenant:north", action: allow}
  - {source: "tenant:south", target: "tenant:south", action: allow}
"""


def _inventory(day: str) -> str:
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(("time", "view", "source", "vm", "uuid", "host", "state", "tenant", "segment", "zone", "role", "ip", "mac"))
    stamp = f"{day}T00:00:00Z"
    for number, (name, (host, tenant, segment, zone, role, ip)) in enumerate(MACHINES.items()):
        host = "esx32" if name == "north-app01" and day > DAYS[2] else host
        uuid, mac = f"7d1c0f2e-5a30-4c1b-9e55-{number:012x}", f"00:50:56:0a:00:{number:02x}"
        out.writerow((stamp, "manager", "vcsa01", name, uuid, host, "running", tenant, segment, zone, role, ip, mac))
        out.writerow((stamp, "registered", host, name, uuid, host, "running", "", "", "", "", "", mac))
        out.writerow((stamp, "running", host, name, uuid, host, "running", "", "", "", "", "", mac))
    if day > DAYS[1]:
        out.writerow((stamp, "running", "esx21", "node-4471", "1f0a5b77-02c1-4f6e-8d10-aa0000004471", "esx21", "running",
                      *[""] * 5, "00:50:56:0a:00:f1"))
    return text.getvalue()
