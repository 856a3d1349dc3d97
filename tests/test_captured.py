"""Our captures: each attack of their action lists raises its rule, and what is left when the attacks are taken out raises none.

The lists (`actions.tsv`: time, who, command, ...) say what was done when, so that which alert is right is not decided by the rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from pipeline.judge import hits_of, judge
from pipeline.kernel.engine import Engine
from pipeline.raising import from_hits
from pipeline.sigma.catalogue import Catalogue, load_catalogue

DAY = "2026-11-24T"
# Base rule -> list of actions, and which of its commands are the attack. An action's records come within seconds of it.
ATTACKS = {
    "kvm_host_device_passed_through": ("libvirt", r"virsh start (grab01|usb01)"),
    "kvm_host_path_given_to_guest": ("libvirt", r"virsh start (raw01|share01)"),
    "libvirt_custom_monitor": ("libvirt", r"virsh start (tainted01|broken01)|qemu-monitor-command"),
    "kvm_guest_agent_command": ("libvirt", r"guest-exec|guest-file-open|set-user-password"),
    "kvm_guest_memory_dumped": ("libvirt", r"virsh (dump|qemu-monitor-command dc01 --hmp pmemsave)"),
    "kvm_disk_attach_refused": ("libvirt", r"virsh attach-disk web01 "),
    "kvm_qemu_crashed": ("libvirt", r"kill -SEGV"),
    "kvm_vm_failed": ("libvirt", r"kill -(SEGV|KILL)|virsh dump .*--crash"),
    "kvm_vm_destroyed": ("libvirt", r"^15:39:\d\d\S+\t.*virsh destroy"),
    "kvm_disk_deleted": ("libvirt", r"virsh undefine .*--remove-all-storage"),
    "kvm_libvirt_config_written": ("libvirt", r"/etc/libvirt/qemu\.conf"),
    "libvirt_guest_memory_dumped": ("libvirt", r"virsh (dump|qemu-monitor-command dc01 --hmp pmemsave)"),
    "libvirt_vm_undefined": ("libvirt", r"virsh undefine "),
    "libvirt_storage_pool_removed": ("libvirt", r"virsh pool-undefine"),
    "libvirt_qemu_killed": ("libvirt", r"kill -TERM"),
    "kvm_ssh_unknown_user": ("syslog_sshd", r"-b 192\.0\.2\.88 (?!alice|bob|root)\w+@"),
    "kvm_ssh_login_failed": ("syslog_sshd", r"sshpass .*-b 192\.0\.2\.88 "),
    "vcenter_vm_powered_off": ("vcenter_vcsim", r"bob@vsphere\.local\tgovc vm\.power -off"),
    "vcenter_vm_removed": ("vcenter_vcsim", r"bob@vsphere\.local\tgovc vm\.(destroy|unregister)"),
}
# The lab's own doing, which the rules are there for (MANIFEST, caution 1): a journald that switched auditing off, an auditd that was set up
# and cleaned up, a libvirt without a security driver.
BY_CLOCK = {
    "kvm_kernel_audit_off": ("15:43:02", "16:12:41"),
    "kvm_auditd_stopped": ("15:25:41", "16:13:02"),
    "kvm_auditd_ended": ("16:13:02",),
    "libvirt_guests_unconfined": ("15:25:45", "15:33:44", "15:40:44"),
}
AFTER = timedelta(seconds=5)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


@pytest.fixture(scope="module")
def hits(shared: Path, catalogue: Catalogue) -> pl.DataFrame:
    """The hits of all rules, in the form that correlations take."""
    engine = Engine()
    detector = engine.detector(catalogue.rules)
    files = sorted(p for p in (shared / "real_logs/captured").rglob("*") if p.is_file() and p.suffix not in (".tsv", ".md"))
    batches = [batch.events for path in files for batch in engine.process_file(str(path)) if batch.events.height]
    return pl.concat([hits_of(events, detector.detect(events)) for events in batches], how="diagonal_relaxed")


def raised(hits: pl.DataFrame, catalogue: Catalogue, horizon: int) -> dict[str, list[str]]:
    """Rule (or correlation) -> its alerts in words."""
    rows = [{k: v for k, v in row.items() if v is not None} | {"event_id": row["event.id"]} for row in hits.to_dicts()]
    found: dict[str, list[str]] = {}
    for alert in from_hits(rows, catalogue.alerting):
        found.setdefault(Path(alert.rule.path).stem, []).append(f"{alert.first:%H:%M:%S} {alert.explanation}")
    names = {correlation.id: correlation.path.stem for correlation in catalogue.correlations}
    for row in judge(hits, catalogue.correlations, horizon).to_dicts() if hits.height else ():
        found.setdefault(names[row["correlation"]], []).append(f"{row['group']}: {row['value']}")
    return found


def newest(hits: pl.DataFrame) -> int:
    """Up to when the captures were watched, for what is missing in them."""
    time = hits.get_column("time").max()
    assert isinstance(time, int)
    return time


def attacked(shared: Path, rule: str) -> Iterator[datetime]:
    """When a rule's attack was done."""
    yield from map(_time, BY_CLOCK.get(rule, ()))
    if rule in ATTACKS:
        folder, pattern = ATTACKS[rule]
        lines = (shared / f"real_logs/captured/{folder}/actions.tsv").read_text().splitlines()
        yield from (_time(line.split("\t")[0]) for line in lines if re.search(pattern, line))


def _time(clock: str) -> datetime:
    return datetime.fromisoformat(DAY + clock).replace(tzinfo=UTC)


def _of_attack(times: list[datetime]) -> pl.Expr:
    # Some forms have whole seconds only, so a record may seem to come before what caused it.
    return pl.any_horizontal(pl.lit(False), *(pl.col("@timestamp").is_between(t - timedelta(seconds=1), t + AFTER) for t in times))


@pytest.mark.parametrize("name", [*ATTACKS, *BY_CLOCK])
def test_each_attack_raises_its_rule(shared: Path, hits: pl.DataFrame, catalogue: Catalogue, name: str) -> None:
    times = list(attacked(shared, name))
    assert times, "the list of actions has no such command"
    rule = next(rule for rule in catalogue.rules if rule.path.stem == name)
    speak = {name} | {c.path.stem for c in catalogue.correlations if rule.id in c.rules}  # a base rule speaks through correlations
    found = raised(hits.filter((pl.col("rule_id") == rule.id) & _of_attack(times)), catalogue, newest(hits))
    assert speak & found.keys()


def test_benign_parts_raise_nothing(shared: Path, hits: pl.DataFrame, catalogue: Catalogue) -> None:
    attacks = [(pl.col("rule_id") == rule.id) & _of_attack(list(attacked(shared, rule.path.stem))) for rule in catalogue.rules]
    assert raised(hits.filter(~pl.any_horizontal(attacks)), catalogue, newest(hits)) == {}
