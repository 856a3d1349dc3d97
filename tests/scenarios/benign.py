"""Ordinary days: what hypervisors, managers and clouds log when nobody attacks. Seeded; every line is one that must raise no alert."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import timedelta

from .lines import (
    Line,
    audit,
    audit_record,
    cloudtrail,
    esxi,
    execve,
    hostd_event,
    libvirtd,
    spread,
    sshd,
    sso,
    vcenter_event,
    virt_control,
    virt_disk,
)

ADMINS = ("alice", "bob")
BASTION = "192.0.2.77"
VMS = ("web01", "web02", "app01", "app02", "db01", "mail01", "dc01", "build01")
UUIDS = {vm: f"0c6cd11c-e1d5-4f36-9e2a-0000000000{i:02x}" for i, vm in enumerate(VMS)}


def esxi_day(rng: random.Random, day: str, hosts: tuple[str, ...], count: int) -> Iterator[Line]:
    """Noise of healthy hosts, vCenter's agent logging in, administrators working through vCenter."""
    forms: list[tuple[int, Callable[..., Line]]] = [
        (
            8,
            lambda t, h, n: esxi(
                t,
                h,
                "Vpxa",
                f"verbose vpxa[2100523] [Originator@6876 sub=vpxLro opID=PollQuickStatsLoop-{n:08x}-21] [VpxLRO] -- BEGIN "
                f"lro-{n} -- vpxa -- vpxapi.VpxaService.fetchQuickStats -- 5290a04a-1111-2222-3333-{n:012x}",
                167,
            ),
        ),
        (
            6,
            lambda t, h, n: esxi(
                t,
                h,
                "Hostd",
                f"verbose hostd[2099660] [Originator@6876 sub=PropertyProvider opID=WFU-{n:08x}] RecordOp ASSIGN: "
                f"guest.disk, {n % 60}. Sent notification immediately.",
                167,
            ),
        ),
        (
            4,
            lambda t, h, n: esxi(
                t,
                h,
                "vmkernel",
                f"cpu{n % 32}:20981{n % 90:02d})ScsiDeviceIO: 3047: Cmd(0x45d9{n % 65536:04x}) 0x1a, CmdSN 0x{n:x} from world 0 "
                'to dev "naa.600508b1001c3d4a" failed H:0x0 D:0x2 P:0x0 Valid sense data: 0x5 0x24 0x0.',
                182,
            ),
        ),
        (
            4,
            lambda t, h, n: esxi(
                t,
                h,
                "Rhttpproxy",
                f"verbose rhttpproxy[2099165] [Originator@6876 sub=Proxy Req {n % 99999:05d}] Connected to localhost:8307 "
                f"(/sdk) over <io_obj p:0x000000f7c12be288, h:24, <TCP '127.0.0.1 : {20000 + n % 30000}'>, <TCP '127.0.0.1 : 8307'>>",
                167,
            ),
        ),
        (3, lambda t, h, n: hostd_event(t, h, n % 90000, "User vpxuser@192.0.2.20 logged in as VMware-client/6.5.0", "vpxuser")),
        (
            3,
            lambda t, h, n: hostd_event(
                t,
                h,
                n % 90000,
                "User vpxuser@192.0.2.20 logged out (login time: Sunday, 1 March, 2026 08:00:00 AM, number of API "
                f"invocations: {n % 50}, user agent: VMware-client/6.5.0)",
                "vpxuser",
            ),
        ),
        (
            2,
            lambda t, h, n: esxi(
                t,
                h,
                "crond[2098000]",
                f"USER root pid {2100000 + n % 9999} cmd /bin/hostd-probe.sh ++group=host/vim/vmvisor/hostd-probe/stats/sh",
                78,
            ),
        ),
        (
            2,
            lambda t, h, n: esxi(
                t,
                h,
                "Fdm",
                f"info fdm[2100900] [Originator@6876 sub=Invt opID=SWI-{n:08x}] Datastore (/vmfs/volumes/ds01) is accessible",
                166,
            ),
        ),
        (1, lambda t, h, n: hostd_event(t, h, n % 90000, f"{rng.choice(VMS)} on {h} in DC1 is powered on", "vpxuser:VSPHERE.LOCAL\\alice")),
        (
            1,
            lambda t, h, n: audit_record(
                t,
                h,
                "vm.power.on",
                subject="vpxuser",
                object=f"/vmfs/volumes/ds01/{(v := rng.choice(VMS))}/{v}.vmx",
                result="success",
                opID=f"lro-{n:x}",
            ),
        ),
        (
            1,
            lambda t, h, n: esxi(t, h, "vobd", f" [netCorrelator] {n}us: [vob.net.vmnic.linkstate.up] vmnic vmnic{n % 4} linkstate up", 14),
        ),
    ]
    bag = [form for weight, form in forms for _ in range(weight)]
    for time in spread(rng, day, count):
        yield rng.choice(bag)(time, rng.choice(hosts), rng.randrange(1, 10**6))


def vcenter_day(rng: random.Random, day: str, hosts: tuple[str, ...], count: int) -> Iterator[Line]:
    """Logins of services and administrators in working hours, power operations, migrations by DRS, tasks."""
    key = rng.randrange(500000, 600000)
    for time in spread(rng, day, count, "06:00:00", "20:00:00"):
        key += rng.randrange(1, 4)
        admin, vm, host, other = rng.choice(ADMINS), rng.choice(VMS), rng.choice(hosts), rng.choice(hosts)
        who = f"VSPHERE.LOCAL\\{admin}"
        service = "VSPHERE.LOCAL\\vpxd-extension-3876e603-9146-4105-90ff-075afdf17160"
        said = rng.choice(
            (
                vcenter_event(
                    time, key, "UserLoginSessionEvent", service, f"User {service}@127.0.0.1 logged in as VMware vim-java 1.0", ""
                ),
                vcenter_event(
                    time,
                    key,
                    "UserLogoutSessionEvent",
                    service,
                    f"User {service}@127.0.0.1 logged out (login time: Sunday, 1 March, 2026 08:00:00 AM, "
                    f"number of API invocations: {key % 40}, user agent: VMware vim-java 1.0)",
                    "",
                ),
                vcenter_event(
                    time, key, "UserLoginSessionEvent", who, f"User {who}@{BASTION} logged in as Mozilla/5.0 (X11; Linux x86_64)", ""
                ),
                sso(
                    time,
                    "LoginSuccess",
                    f"{admin}@vsphere.local",
                    BASTION,
                    f"User {admin}@vsphere.local@{BASTION} logged in with response code 200",
                ),
                vcenter_event(time, key, "VmPoweredOnEvent", who, f"{vm} on {host} in DC1 is powered on"),
                vcenter_event(time, key, "DrsVmMigratedEvent", "", f"DRS migrated {vm} from {other} to {host} in cluster CL1 in DC1"),
                vcenter_event(time, key, "TaskEvent", who, "Task: Power On virtual machine"),
                vcenter_event(time, key, "VmGuestRebootEvent", "", f"Guest OS reboot for {vm} on {host} in DC1"),
            )
        )
        if f"User {who}@" in said[1]:  # single sign-on has let in whom vCenter opens a session for
            mail = f"{admin}@vsphere.local"
            text = f"User {mail}@{BASTION} logged in with response code 200"
            yield sso(time - timedelta(seconds=1), "LoginSuccess", mail, BASTION, text)
        yield said


def kvm_day(rng: random.Random, day: str, host: str, count: int) -> tuple[list[Line], list[Line], list[Line]]:
    """A KVM host: audit records, libvirtd's log, and auth log. VMs start and shut down; administrators come from the bastion."""
    records: list[Line] = []
    daemon: list[Line] = []
    auth: list[Line] = []
    serial = rng.randrange(1000, 2000)
    for time in spread(rng, day, count):
        serial += rng.randrange(1, 5)
        vm, admin = rng.choice(VMS), rng.choice(ADMINS)
        pool = f"/var/lib/libvirt/images/{vm}.qcow2"
        action = rng.randrange(6)
        if action == 0:
            records += [
                virt_disk(time, serial, vm, UUIDS[vm], pool),
                virt_control(time + timedelta(milliseconds=40), serial + 1, vm, UUIDS[vm], "start", "booted"),
            ]
        elif action == 1:
            records.append(virt_control(time, serial, vm, UUIDS[vm], "stop", "shutdown"))
        elif action == 2:
            records.append(execve(time, serial, 1000 + ADMINS.index(admin), "virsh", "list", "--all", exe="/usr/bin/virsh"))
        elif action == 3:
            records.append(
                audit(
                    time,
                    serial,
                    f"type=USER_LOGIN msg={{stamp}}: pid={3000 + serial % 999} uid=0 auid=1000 ses=5 subj=unconfined msg='op=login id=1000 "
                    f'exe="/usr/sbin/sshd" hostname=? addr={BASTION} terminal=/dev/pts/0 res=success\'',
                )
            )
        elif action == 4:
            daemon.append(libvirtd(time, "info", "virObjectNew:256", f"OBJECT_NEW: obj=0x7f{serial:010x} classname=virDomainObj"))
        else:
            port = 40000 + serial % 20000
            auth += [
                sshd(
                    time,
                    host,
                    f"Accepted publickey for {admin} from {BASTION} port {port} ssh2: ED25519 SHA256:exampleexampleexampleexample",
                ),
                sshd(time + timedelta(seconds=40), host, f"Disconnected from user {admin} {BASTION} port {port}"),
            ]
    return records, daemon, auth


def cloud_day(rng: random.Random, day: str, count: int) -> Iterator[Line]:
    """Pipelines describe and start instances, backups make snapshots, nobody shares any."""
    for time in spread(rng, day, count):
        n = rng.randrange(16**8)
        instance = f"i-0{n:08x}"
        yield rng.choice(
            (
                cloudtrail(time, "DescribeInstances", "ec2", "ci-deploy", "192.0.2.40", read_only=True),
                cloudtrail(time, "DescribeSnapshots", "ec2", "backup", "192.0.2.41", read_only=True),
                cloudtrail(
                    time,
                    "CreateSnapshot",
                    "ec2",
                    "backup",
                    "192.0.2.41",
                    requestParameters={"volumeId": f"vol-0{n:08x}", "description": "nightly"},
                    responseElements={"snapshotId": f"snap-0{n:08x}", "volumeId": f"vol-0{n:08x}", "status": "pending"},
                ),
                cloudtrail(
                    time,
                    "StartInstances",
                    "ec2",
                    "ci-deploy",
                    "192.0.2.40",
                    requestParameters={"instancesSet": {"items": [{"instanceId": instance}]}},
                    responseElements={"instancesSet": {"items": [{"instanceId": instance, "currentState": {"name": "pending"}}]}},
                ),
                cloudtrail(time, "GetCallerIdentity", "sts", "ci-deploy", "192.0.2.40", read_only=True),
            )
        )
