"""Raw lines of the five sources, as the products write them. Only shapes: what happens, when, is said by the caller."""

from __future__ import annotations

import json
import random
import uuid
from datetime import UTC, datetime, timedelta

Line = tuple[datetime, str]


def iso(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def esxi(time: datetime, host: str, program: str, message: str, pri: int = 166) -> Line:
    """An ESXi line as it arrives by syslog: ISO time, no version."""
    return time, f"<{pri}>{iso(time)} {host} {program}: {message}"


def hostd_event(time: datetime, host: str, number: int, text: str, user: str = "root") -> Line:
    return esxi(
        time,
        host,
        "Hostd",
        f"info hostd[2099656] [Originator@6876 sub=Vimsvc.ha-eventmgr opID=esxui-{number:04x}-{number % 97:02x} "
        f"user={user}] Event {number} : {text}",
    )


def audit_record(time: datetime, host: str, event: str, **values: str) -> Line:
    """An ESX audit record (facility 13): `[event@6876 key="value" ...]`."""
    data = " ".join(f'{key}="{value}"' for key, value in values.items())
    return time, f"<110>{iso(time)} {host} Hostd[2099656]: [{event}@6876 {data}]"


def shell(time: datetime, host: str, user: str, command: str) -> Line:
    return esxi(time, host, "shell[2101234]", f"[{user}]: {command}", 14)


def vobd(time: datetime, host: str, vob: str, text: str) -> Line:
    return esxi(time, host, "vobd", f" [GenericCorrelator] {int(time.timestamp()) % 10**9}us: [{vob}] {text}", 14)


def vcenter_event(
    time: datetime, key: int, kind: str, user: str, text: str, datacenter: str = "DC1", level: str = "info", chain: int | None = None
) -> Line:
    """A vpxd event as vCenter sends it by syslog (RFC 5424, vpxd.event.syslog.enabled)."""
    stamp = time.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return time, (
        f"<14>1 {time.isoformat(timespec='microseconds')} vcsa01 vpxd 58650 - -  Event [{key}] [1-1] [{stamp}] [vim.event.{kind}] "
        f"[{level}] [{user}] [{datacenter}] [{chain or key}] [{text}]"
    )


def sso(time: datetime, kind: str, user: str, client: str, description: str) -> Line:
    """A line of the SSO audit log, forwarded by syslog."""
    body = json.dumps(
        {
            "user": user,
            "client": client,
            "timestamp": time.strftime("%m/%d/%Y %H:%M:%S UTC"),
            "description": description,
            "eventSeverity": "INFO",
            "type": f"com.vmware.sso.{kind}",
        }
    )
    return time, f"<14>1 {time.isoformat(timespec='microseconds')} vcsa01 sso-audit - - -  {iso(time)} {body}"


def audit(time: datetime, serial: int, *records: str, node: str = "kvm01") -> Line:
    """The raw records of one kernel audit event, with the node as `name_format = hostname` writes it; `{stamp}` of each is filled in."""
    stamp = f"audit({time.timestamp():.3f}:{serial})"
    return time, "\n".join(f"node={node} " + record.replace("{stamp}", stamp) for record in records)


def virt_control(
    time: datetime, serial: int, vm: str, uuid: str, op: str, reason: str, result: str = "success", node: str = "kvm01"
) -> Line:
    return audit(
        time,
        serial,
        "type=VIRT_CONTROL msg={stamp}: pid=1288 uid=0 auid=4294967295 ses=4294967295 subj=unconfined "
        f'msg=\'virt=kvm op={op} reason={reason} vm="{vm}" uuid={uuid} vm-pid={0 if op == "stop" else 4000 + serial % 500} '
        f'exe="/usr/sbin/libvirtd" hostname=? addr=? terminal=? res={result}\'',
        node=node,
    )


def virt_disk(
    time: datetime, serial: int, vm: str, uuid: str, new: str, reason: str = "start", old: str = "?", node: str = "kvm01"
) -> Line:
    return audit(
        time,
        serial,
        "type=VIRT_RESOURCE msg={stamp}: pid=1288 uid=0 auid=4294967295 ses=4294967295 subj=unconfined "
        f'msg=\'virt=kvm resrc=disk reason={reason} vm="{vm}" uuid={uuid} old-disk="{old}" new-disk="{new}" '
        'exe="/usr/sbin/libvirtd" hostname=? addr=? terminal=? res=success\'',
        node=node,
    )


def execve(time: datetime, serial: int, auid: int, *argv: str, exe: str | None = None, key: str = "virt", node: str = "kvm01") -> Line:
    args = " ".join(f'a{i}="{a}"' for i, a in enumerate(argv))
    title = "\0".join(argv).encode().hex().upper()
    return audit(
        time,
        serial,
        f"type=SYSCALL msg={{stamp}}: arch=c000003e syscall=59 success=yes exit=0 a0=55d0 a1=55d1 a2=55d2 a3=8 items=2 ppid=4100 "
        f"pid={4200 + serial % 900} auid={auid} uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts0 ses=7 "
        f'comm="{argv[0].rsplit("/", 1)[-1]}" exe="{exe or argv[0]}" subj=unconfined key="{key}"',
        f"type=EXECVE msg={{stamp}}: argc={len(argv)} {args}",
        f"type=PROCTITLE msg={{stamp}}: proctitle={title}",
        node=node,
    )


def libvirtd(time: datetime, level: str, function: str, text: str, thread: int = 1290) -> Line:
    stamp = time.strftime("%Y-%m-%d %H:%M:%S.") + f"{time.microsecond // 1000:03d}+0000"
    return time, f"{stamp}: {thread}: {level} : {function} : {text}"


def sshd(time: datetime, host: str, text: str, pid: int = 20996) -> Line:
    return time, f"<38>1 {time.isoformat(timespec='microseconds')} {host} sshd {pid} - - {text}"


def cloudtrail(
    time: datetime,
    name: str,
    source: str,
    user: str,
    ip: str,
    region: str = "eu-west-1",
    account: str = "111122223333",
    read_only: bool = False,
    kind: str = "IAMUser",
    **more: object,
) -> Line:
    """A CloudTrail record, one JSON object a line."""
    rng = random.Random(f"{time}{name}{user}")
    event_id = str(uuid.UUID(int=rng.getrandbits(128), version=4))
    record = {
        "eventVersion": "1.08",
        "userIdentity": {
            "type": kind,
            "principalId": "AIDAEXAMPLE" + user.upper()[:6],
            "accountId": account,
            "arn": f"arn:aws:iam::{account}:user/{user}",
            "accessKeyId": "AKIAIOSFODNN7EXAMPLE",
            "userName": user,
        },
        "eventTime": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "eventSource": f"{source}.amazonaws.com",
        "eventName": name,
        "awsRegion": region,
        "sourceIPAddress": ip,
        "userAgent": "aws-cli/2.15.0",
        "requestParameters": None,
        "responseElements": None,
        "requestID": event_id,
        "eventID": event_id,
        "readOnly": read_only,
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": account,
        "eventCategory": "Management",
    }
    return time, json.dumps(record | more)


def at(day: str, clock: str) -> datetime:
    return datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=UTC)


def spread(rng: random.Random, day: str, count: int, start: str = "00:00:00", end: str = "23:59:59") -> list[datetime]:
    """`count` random times of a day, in order, to the millisecond."""
    first = at(day, start)
    span = int((at(day, end) - first).total_seconds() * 1000)
    return sorted(first + timedelta(milliseconds=rng.randrange(span)) for _ in range(count))
