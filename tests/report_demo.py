"""Alerts and figures of an invented night in an invented data centre, for the tests of alerts and of the report."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pipeline.alerts import Alert, from_hits

START = datetime(2026, 3, 1, 22, 4, 11, tzinfo=UTC)


@dataclass(frozen=True)
class DemoEvidence:
    kind: str = "captured"


@dataclass(frozen=True)
class DemoCustom:
    threat: str | None = None
    evidence: tuple[DemoEvidence, ...] = (DemoEvidence(),)
    blind_spots: str = ""
    response: tuple[str, ...] = ()
    attack_v18: tuple[str, ...] = ()
    explain: str = ""


@dataclass(frozen=True)
class DemoRule:
    id: str
    title: str = "A rule"
    level: str = "medium"
    status: str = "stable"
    tags: tuple[str, ...] = ()
    falsepositives: tuple[str, ...] = ()
    path: Path = Path("/opt/hypervigil/detections/hardening/rule.yml")
    custom: DemoCustom = field(default_factory=DemoCustom)


def _rule(key: str, threat: str, title: str, level: str, tags: str, **more: Any) -> DemoRule:
    custom = {name: more.pop(name) for name in ("evidence", "blind_spots", "response", "attack_v18", "explain") if name in more}
    return DemoRule(id=key, title=title, level=level, tags=tuple(f"attack.{tag}" for tag in tags.split()),
                    path=Path(f"/opt/hypervigil/detections/{threat}/{key}.yml"), custom=DemoCustom(threat=threat, **custom), **more)


RULES = [
    _rule("rns-esx-mass-off", "ransomware-chain", "Virtual machines killed from the ESXi shell", "critical", "impact t1489 t1529",
          explain="{user.name} killed running virtual machines on {host.name} from the shell with esxcli, the step before disks are encrypted.",
          response=("Isolate the host's management interface now; leave it powered on, its memory is evidence.",
                    "Disable the account at the directory and end its sessions in vCenter.",
                    "Check the datastores for new .vmdk extensions and ransom notes before any VM is started."),
          falsepositives=("A host that is shut down by hand after its VMs hang",), blind_spots="VMs stopped through vCenter raise another rule."),
    _rule("esc-esx-hypercall-denied", "vm-escape", "Guest used a denied hypercall", "high", "privilege-escalation t1611",
          explain="The VM {vm.name} on {host.name} tried a hypercall that the VMX refused.",
          response=("Suspend the VM with a memory snapshot, then look for what runs in the guest.",), falsepositives=("Old VMware Tools",)),
    _rule("hdn-ssh-on", "hardening", "SSH enabled on an ESXi host", "medium", "lateral-movement t1021.004",
          explain="{user.name} switched on SSH on {host.name}.", response=("Ask {the host's owner} for the change ticket; switch SSH off again.",)),
    _rule("rns-syslog-tamper", "ransomware-chain", "Syslog target of a host changed", "high", "defense-impairment t1685 t1690",
          attack_v18=("T1562.001", "T1562.003"), explain="{user.name} changed where {host.name} sends its logs.",
          response=("Restore Syslog.global.logHost and compare the host's local log with what arrived.",)),
    _rule("hjk-vib-force", "hyperjacking", "VIB installed without signature check", "critical", "persistence t1505.006",
          explain="{user.name} installed a package on {host.name} with signature checking switched off.",
          response=("List the packages with `esxcli software vib list` and compare them with the image profile.",
                    "Move VMs away and rebuild the host from a known image."), falsepositives=("A vendor's driver fix, with a case number",)),
    _rule("mgt-sso-spray", "management-plane", "Many failed vCenter logins", "medium", "credential-access t1110.003", status="test",
          explain="{source.ip} failed to log in to vCenter as {user.name}."),
    _rule("hop-guestops-run", "vm-hopping", "Program started in a guest from the hypervisor", "medium", "execution t1675", status="experimental",
          explain="{user.name} started a program inside {vm.name} through guest operations."),
    _rule("esc-qemu-avc", "vm-escape", "sVirt denial for a QEMU process", "high", "privilege-escalation t1611", evidence=(DemoEvidence("assumed"),),
          explain="QEMU of {vm.name} on {host.name} was refused access to a file of another VM."),
    _rule("hdn-audit-off-kvm", "hardening", "Kernel auditing switched off", "high", "defense-impairment t1685.004", attack_v18=("T1562.012",),
          explain="{user.name} switched off kernel auditing on {host.name}.", response=("Switch auditing on again: auditctl -e 1.",)),
    _rule("cld-imds-downgrade", "management-plane", "Instance metadata protection removed", "low", "credential-access t1552.005",
          explain="{user.name} allowed IMDSv1 on {vm.id}."),
    _rule("vsw-promisc", "vswitch", "Promiscuous mode allowed on a port group", "medium", "credential-access discovery t1040"),
    _rule("spr-clone", "sprawl", "VM cloned outside the naming plan", "informational", "defense-impairment t1578.002")]


def hit(rule: str, minute: float, original: str, dataset: str = "vmware.esxi", **fields: Any) -> dict[str, Any]:
    """One row of hits; a field's dot is written as two underscores."""
    when = START + timedelta(minutes=minute)
    return {"rule_id": rule, "event_id": f"{rule}-{minute}", "@timestamp": when, "event.dataset": dataset, "event.original": original,
            "log.file.path": f"/var/log/collector/{dataset}/2026-03-01.log", "log.offset": int(1000 * minute) + 812,
            **{name.replace("__", "."): value for name, value in fields.items()}}


def hits() -> list[dict[str, Any]]:
    """The hits of the night."""
    esx, root = {"host__name": "esx-ams-07.corp.example"}, {"user__name": "root"}
    kill = "2026-03-01T22:{:02}:10.100Z In(14) shell[2107]: [root]: esxcli vm process kill --type=force --world-id={}"
    rows = [hit("mgt-sso-spray", n / 4, "<110>1 2026-03-01T22:04:11Z vc01 sso - - - com.vmware.sso.LoginFailure", "vmware.vcenter", host__name="vc01.corp.example",
                user__name=f"svc-{n % 5}", source__ip="203.0.113.40") for n in range(23)]
    rows += [hit("hdn-ssh-on", 9, "2026-03-01T22:13:11.020Z Er(11) vobd[2098]: [UserLevelCorrelator] 9us: [esx.audit.ssh.enabled] SSH access has been enabled.", **esx, user__name="jdoe"),
             hit("rns-syslog-tamper", 13, "2026-03-01T22:17:11.020Z In(14) shell[2107]: [root]: esxcli system syslog config set --loghost=''", **esx, **root, source__ip="203.0.113.40"),
             hit("hjk-vib-force", 17, "2026-03-01T22:21:11.020Z In(14) shell[2107]: [root]: esxcli software vib install -v /tmp/x.vib --force --no-sig-check", **esx, **root,
                 source__ip="203.0.113.40")]
    rows += [hit("rns-esx-mass-off", 26 + n / 10, kill.format(30, 2099811 + n), **esx, **root, source__ip="203.0.113.40") for n in range(14)]
    rows += [hit("rns-esx-mass-off", 41, kill.format(45, 2099844), host__name="esx-ams-08.corp.example", **root)]
    rows += [hit("esc-esx-hypercall-denied", 95, "2026-03-01T23:39:11Z In(110) esx-ams-03 vmx[31]: [vm.hypercall.denied@6876 type=Backdoor value=77 object=/vmfs/volumes/ds1/build-04/build-04.vmx]",
                 host__name="esx-ams-03.corp.example", vm__name="build-04"),
             hit("hop-guestops-run", 120, "2026-03-02T00:04:11Z vc01 vpxd: Event [88] [1-1] [vim.event.EventEx] [info] [CORP\\jdoe] Guest operation Start Program", "vmware.vcenter",
                 host__name="esx-ams-03.corp.example", user__name="jdoe", vm__name="dc-01"),
             hit("esc-qemu-avc", 188, "type=AVC msg=audit(1772413631.100:88): avc: denied { read } for pid=4211 comm=\"qemu-kvm\" scontext=system_u:system_r:svirt_t:s0:c1,c2",
                 "linux.auditd", host__name="kvm-fra-02", vm__name="web-11"),
             hit("hdn-audit-off-kvm", 230, "type=CONFIG_CHANGE msg=audit(1772416151.1:9): op=set audit_enabled=0 old=1 auid=1000 ses=3 res=1", "linux.auditd", host__name="kvm-fra-02",
                 user__name="mkay"),
             hit("cld-imds-downgrade", 300, '{"eventName":"ModifyInstanceMetadataOptions","requestParameters":{"httpTokens":"optional"}}', "aws.cloudtrail", user__name="ci-deploy",
                 vm__id="i-0abc12de", source__ip="198.51.100.7"),
             hit("vsw-promisc", 410, "2026-03-02T04:54:11Z vc01 vpxd: Event [91] [1-1] [vim.event.DVPortgroupReconfiguredEvent]", "vmware.vcenter", host__name="vc01.corp.example",
                 user__name="netops"),
             hit("spr-clone", 477, "2026-03-02T06:01:11Z vc01 vpxd: Event [95] [1-1] [vim.event.VmClonedEvent]", "vmware.vcenter", host__name="esx-ams-03.corp.example",
                 user__name="jdoe", vm__name="test-copy-2")]
    return rows


def alerts() -> list[Alert]:
    """The alerts of the night."""
    return from_hits(hits(), RULES)


def figures() -> dict[str, Any]:
    """The figures of the run that read the night's logs."""
    sources = [("vmware.esxi", "vmware-esxi", 41, 1_204_332, 1_187_200, 17_130, 2, 1_186_011), ("vmware.vcenter", "vmware-vcenter", 3, 88_120, 88_011, 108, 1, 87_600),
               ("linux.auditd", "linux-auditd", 12, 310_400, 120_022, 190_378, 0, 120_022), ("aws.cloudtrail", "aws-cloudtrail", 6, 5_210, 5_201, 0, 9, 5_201)]
    keys = ("dataset", "parser", "files", "lines", "events", "joined", "quarantined", "recognised")
    made = [dict(zip(keys, source, strict=True)) for source in sources]
    for source in made:
        source["unparsed"] = source["events"] - source["recognised"]
    total = {key: sum(source[key] for source in made) for key in ("files", "lines", "events", "joined", "quarantined")}
    return {"run": {"id": "3f9ac1d2", "started": START + timedelta(hours=9), "finished": START + timedelta(hours=9, seconds=6.4), "lines_per_s": 251_000.0,
                    "content_version": "2026.03.1 (9d1c0ffe)", **total},
            "sources": made,
            "quarantine": [{"path": "/var/log/collector/aws.cloudtrail/2026-03-01.json", "offset": 88_120, "reason": "broken JSON", "count": 9,
                            "example": '{"eventName":"RunInstances","requestPara'},
                           {"path": "/var/log/collector/vmware.esxi/2026-03-01.log", "offset": 4096, "reason": "binary: NUL bytes", "count": 3, "example": "\x00\x00\x01"}]}


def many(count: int) -> list[Alert]:
    """Many different alerts."""
    first = alerts()
    return [first[n % len(first)].model_copy(update={"id": f"{n:032x}", "timestamp": START + timedelta(minutes=n), "first": START + timedelta(minutes=n),
                                                     "last": START + timedelta(minutes=n)}) for n in range(count)]
