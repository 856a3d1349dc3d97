"""Alerts and figures of an invented night in an invented data centre, for the tests of alerts and of the report."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pipeline.alerts import Alert
from pipeline.raising import from_hits
from pipeline.sigma.metadata import Custom, Evidence, Threat

START = datetime(2026, 3, 1, 22, 4, 11, tzinfo=UTC)


CAPTURED = (Evidence(kind="captured", source="a log", value="x"),)
ASSUMED = (Evidence(kind="assumed", source="", value="x"),)


@dataclass(frozen=True)
class DemoRule:
    id: str
    title: str = "A rule"
    level: str = "medium"
    status: str = "stable"
    version: str = "1"
    tags: tuple[str, ...] = ()
    falsepositives: tuple[str, ...] = ()
    path: Path = Path("/opt/hypervigil/detections/hardening/rule.yml")
    custom: Custom = field(default_factory=lambda: Custom(evidence=CAPTURED))


def _rule(key: str, threat: Threat, title: str, level: str, tags: str, explain: str = "", response: tuple[str, ...] = (),
          status: str = "stable", harmless: str = "", **custom: Any) -> DemoRule:
    return DemoRule(id=key, title=title, level=level, status=status, tags=tuple(f"attack.{tag}" for tag in tags.split()),
                    falsepositives=(harmless,) if harmless else (), path=Path(f"/opt/hypervigil/detections/{threat}/{key}.yml"),
                    custom=Custom(threat=threat, explain=explain, response=response, **{"evidence": CAPTURED} | custom))


RULES = [
    _rule("rns-esx-mass-off", "ransomware-chain", "Virtual machines killed from the ESXi shell", "critical", "impact t1489 t1529",
          "{user.name} killed running VMs on {host.name} with esxcli, the step before disks are encrypted.",
          ("Isolate the host's management interface now; leave it powered on, its memory is evidence.",
           "Disable the account at the directory and end its sessions in vCenter.",
           "Check the datastores for new file extensions and ransom notes before any VM is started."),
          harmless="A host that is shut down by hand after its VMs hang", blind_spots="VMs stopped through vCenter raise another rule."),
    _rule("esc-esx-hypercall-denied", "vm-escape", "Guest used a denied hypercall", "high", "privilege-escalation t1611",
          "The VM {vm.name} on {host.name} tried a hypercall that the VMX refused.",
          ("Suspend the VM with a memory snapshot, then look for what runs in the guest.",), harmless="Old VMware Tools"),
    _rule("hdn-ssh-on", "hardening", "SSH enabled on an ESXi host", "medium", "lateral-movement t1021.004",
          "{user.name} switched on SSH on {host.name}.", ("Ask for the change ticket; switch SSH off again.",)),
    _rule("rns-syslog-tamper", "ransomware-chain", "Syslog target of a host changed", "high", "defense-impairment t1685 t1690",
          "{user.name} changed where {host.name} sends its logs.",
          ("Restore `Syslog.global.logHost` and compare the host's local log with what arrived.",), attack_v18=("T1562.001", "T1562.003")),
    _rule("hjk-vib-force", "hyperjacking", "VIB installed without signature check", "critical", "persistence t1505.006",
          "{user.name} installed a package on {host.name} with signature checking switched off.",
          ("List the packages with `esxcli software vib list` and compare them with the image profile.",
           "Move VMs away and rebuild the host from a known image."), harmless="A vendor's driver fix, with a case number"),
    _rule("mgt-sso-spray", "management-plane", "Many failed vCenter logins", "medium", "credential-access t1110.003",
          "{source.ip} failed to log in to vCenter as {user.name}.", status="test"),
    _rule("hop-guestops-run", "vm-hopping", "Program started in a guest from the hypervisor", "medium", "execution t1675",
          "{user.name} started a program inside {vm.name} through guest operations.", status="experimental"),
    _rule("esc-qemu-avc", "vm-escape", "sVirt denial for a QEMU process", "high", "privilege-escalation t1611",
          "QEMU of {vm.name} on {host.name} was refused access to a file of another VM.", evidence=ASSUMED),
    _rule("hdn-audit-off-kvm", "hardening", "Kernel auditing switched off", "high", "defense-impairment t1685.004",
          "{user.name} switched off kernel auditing on {host.name}.", ("Switch auditing on again: `auditctl -e 1`.",),
          attack_v18=("T1562.012",)),
    _rule("cld-imds-downgrade", "management-plane", "Instance metadata protection removed", "low", "credential-access t1552.005",
          "{user.name} allowed IMDSv1 on {vm.name}."),
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
    esx7, esx3, vc = ({"host__name": f"{name}.corp.example"} for name in ("esx-ams-07", "esx-ams-03", "vc01"))
    root = {"user__name": "root", "source__ip": "203.0.113.40"}
    shell = "2026-03-01T22:{:02}:11.020Z In(14) shell[2107]: [root]: {}"
    kill = "esxcli vm process kill --type=force --world-id={}"
    vpxd = r"2026-03-02T04:54:11Z vc01 vpxd: Event [88] [1-1] [vim.event.{}] [info] [CORP\jdoe]"
    hypercall = "[vm.hypercall.denied@6876 type=Backdoor value=77 object=/vmfs/volumes/ds1/build-04/build-04.vmx]"
    avc = 'type=AVC msg=audit(1772413631.100:88): avc: denied { read } for comm="qemu-kvm" scontext=system_u:system_r:svirt_t:s0:c1,c2'
    audit_off = "type=CONFIG_CHANGE msg=audit(1772416151.1:9): op=set audit_enabled=0 old=1 auid=1000 ses=3 res=1"
    return [
        *(hit("mgt-sso-spray", n / 4, "<110>1 2026-03-01T22:04:11Z vc01 sso - - - com.vmware.sso.LoginFailure", "vmware.vcenter", **vc,
              user__name=f"svc-{n % 5}", source__ip="203.0.113.40") for n in range(23)),
        hit("hdn-ssh-on", 9, "2026-03-01T22:13:11.020Z Er(11) vobd[2098]: [esx.audit.ssh.enabled] SSH access has been enabled.", **esx7,
            user__name="jdoe"),
        hit("rns-syslog-tamper", 13, shell.format(17, "esxcli system syslog config set --loghost=''"), **esx7, **root),
        hit("hjk-vib-force", 17, shell.format(21, "esxcli software vib install -v /tmp/x.vib --force --no-sig-check"), **esx7, **root),
        *(hit("rns-esx-mass-off", 26 + n / 10, shell.format(30, kill.format(2099811 + n)), **esx7, **root) for n in range(14)),
        hit("rns-esx-mass-off", 41, shell.format(45, kill.format(2099844)), host__name="esx-ams-08.corp.example", **root),
        hit("esc-esx-hypercall-denied", 95, f"2026-03-01T23:39:11Z In(110) esx-ams-03 vmx[31]: {hypercall}", **esx3, vm__name="build-04"),
        hit("hop-guestops-run", 120, vpxd.format("EventEx"), "vmware.vcenter", **esx3, user__name="jdoe", vm__name="dc-01"),
        hit("esc-qemu-avc", 188, avc, "linux.auditd", host__name="kvm-fra-02", vm__name="web-11"),
        hit("hdn-audit-off-kvm", 230, audit_off, "linux.auditd", host__name="kvm-fra-02", user__name="mkay"),
        hit("cld-imds-downgrade", 300, '{"eventName":"ModifyInstanceMetadataOptions","requestParameters":{"httpTokens":"optional"}}',
            "aws.cloudtrail", user__name="ci-deploy", vm__id="i-0abc12de", source__ip="198.51.100.7"),
        hit("vsw-promisc", 410, vpxd.format("DVPortgroupReconfiguredEvent"), "vmware.vcenter", **vc, user__name="netops"),
        hit("spr-clone", 477, vpxd.format("VmClonedEvent"), "vmware.vcenter", **esx3, user__name="jdoe", vm__name="test-copy-2")]


def alerts() -> list[Alert]:
    """The alerts of the night."""
    return from_hits(hits(), RULES)


def figures() -> dict[str, Any]:
    """The figures of the run that read the night's logs."""
    keys = ("dataset", "parser", "files", "lines", "events", "joined", "quarantined", "recognised")
    made: list[dict[str, Any]] = [dict(zip(keys, source, strict=True)) for source in (
        ("vmware.esxi", "vmware-esxi", 41, 1_204_332, 1_187_200, 17_130, 2, 1_186_011),
        ("vmware.vcenter", "vmware-vcenter", 3, 88_120, 88_011, 108, 1, 87_600),
        ("linux.auditd", "linux-auditd", 12, 310_400, 120_022, 190_378, 0, 120_022),
        ("aws.cloudtrail", "aws-cloudtrail", 6, 5_210, 5_201, 0, 9, 5_201))]
    for source in made:
        source["unparsed"] = source["events"] - source["recognised"]
    total = {key: sum(source[key] for source in made) for key in ("files", "lines", "events", "joined", "quarantined")}
    started = START + timedelta(hours=9)
    return {
        "run": {"id": "3f9ac1d2", "started": started, "finished": started + timedelta(seconds=6.4), "lines_per_s": 251_000.0,
                "content_version": "2026.03.1 (9d1c0ffe)", **total},
        "sources": made,
        "quarantine": [
            {"path": "/var/log/collector/aws.cloudtrail/2026-03-01.json", "offset": 88_120, "reason": "broken JSON", "count": 9,
             "example": '{"eventName":"RunInstances","requestPara'},
            {"path": "/var/log/collector/vmware.esxi/2026-03-01.log", "offset": 4096, "reason": "binary: NUL bytes", "count": 3,
             "example": "\x00\x00\x01"}]}


def many(count: int) -> list[Alert]:
    """Many different alerts, a minute apart."""
    night = alerts()
    times = [START + timedelta(minutes=n) for n in range(count)]
    return [night[n % len(night)].model_copy(update={"id": f"{n:032x}", "timestamp": when, "first": when, "last": when})
            for n, when in enumerate(times)]


PAYLOAD = """"'></title></style></textarea><script>window.pwned=1</script><img src=x onerror="window.pwned=2"><svg onload=window.pwned=3>
<!--<script>-->{{ 7*7 }}{% raw %}${pwned}`\u2028\u202e\x00</script>"""


def hostile() -> tuple[list[Alert], dict[str, Any]]:
    """More alerts than fit on a page and figures, with an attack on the page in every text."""
    texts = {"id", "name", "path", "threat", "version", "dataset", "file", "original", "explanation", "blind_spots", "confidence_why"}

    def plant(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: plant(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [plant(item, "item") for item in value] or [PAYLOAD]
        return f"{value}{PAYLOAD}" if key in texts or key == "item" else value

    planted = []
    for alert in many(120):
        data = alert.model_dump(mode="json", by_alias=True)
        evidence = [plant(line) for line in data.pop("evidence")]
        step = {"time": alert.first, **dict.fromkeys(("what", "stage", "source", "host"), PAYLOAD), "target": f"other {PAYLOAD}"}
        of_job = {"steps": [step], "score": 50.0, "detail": {PAYLOAD: PAYLOAD, "path.users": [PAYLOAD]}}
        planted.append(Alert.model_validate(plant(data) | of_job | {"evidence": evidence}))
    numbers = figures()
    run = numbers["run"] | {"id": PAYLOAD, "content_version": PAYLOAD}
    sources = [source | {"dataset": PAYLOAD, "parser": PAYLOAD} for source in numbers["sources"]]
    quarantine = [item | {"path": PAYLOAD, "reason": PAYLOAD, "example": PAYLOAD} for item in numbers["quarantine"]]
    return planted, {"run": run, "sources": sources, "quarantine": quarantine}
