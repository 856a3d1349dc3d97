"""Our captures: each attack of their action lists raises its rule, and what is left when the attacks are taken out raises none.

The lists (`actions.tsv`: time, who, command, ...) say what was done when, so that which alert is right is not decided by the rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.alerts import from_hits, time_of
from pipeline.sigma.load import load_rules

from .scenarios import expected

DAY = "2026-11-24T"
# Rule -> list of actions, and which of its commands are the attack. An action's records come within seconds of it.
ATTACKS = {
    "kvm_host_device_passed_through": ("libvirt", r"virsh start (grab01|usb01)"),
    "kvm_host_path_given_to_guest": ("libvirt", r"virsh start (raw01|share01)"),
    "libvirt_custom_monitor": ("libvirt", r"virsh start (tainted01|broken01)|qemu-monitor-command"),
    "kvm_guest_agent_command": ("libvirt", r"guest-exec|guest-file-open|set-user-password"),
    "kvm_guest_memory_dumped": ("libvirt", r"virsh (dump|qemu-monitor-command dc01 --hmp pmemsave)"),
    "kvm_disk_attach_refused": ("libvirt", r"virsh attach-disk web01 "),
    "kvm_qemu_crashed": ("libvirt", r"kill -SEGV"),
    "kvm_vm_destroyed": ("libvirt", r"^15:39:\d\d\S+\t.*virsh destroy"),
    "kvm_disks_deleted": ("libvirt", r"virsh undefine .*--remove-all-storage"),
    "kvm_ssh_unknown_user": ("syslog_sshd", r"-b 192\.0\.2\.88 (?!alice|bob|root)\w+@"),
    "kvm_ssh_password_guessing": ("syslog_sshd", r"sshpass .*-b 192\.0\.2\.88 "),
    "vcenter_vms_removed": ("vcenter_vcsim", r"bob@vsphere\.local\tgovc vm\.(destroy|unregister)"),
}
# The lab's own doing, which the rule is there for (MANIFEST, caution 1): a journald that switched auditing off, and the clean-up.
AUDIT_OFF = ("15:43:02", "16:12:41")
AFTER = timedelta(seconds=5)


@pytest.fixture(scope="module")
def hits(shared: Path) -> list[dict[str, Any]]:
    return expected.hits(shared / "real_logs/captured")


def attacked(shared: Path, rule: str) -> Iterator[datetime]:
    """When a rule's attack was done."""
    if rule == "kvm_kernel_audit_off":
        yield from map(_time, AUDIT_OFF)
    if rule in ATTACKS:
        folder, pattern = ATTACKS[rule]
        lines = (shared / f"real_logs/captured/{folder}/actions.tsv").read_text().splitlines()
        yield from (_time(line.split("\t")[0]) for line in lines if re.search(pattern, line))


def _time(clock: str) -> datetime:
    return datetime.fromisoformat(DAY + clock).replace(tzinfo=UTC)


def _of_attack(hit: dict[str, Any], times: list[datetime]) -> bool:
    when = time_of(hit)
    # Some forms have whole seconds only, so a record may seem to come before what caused it.
    return when is not None and any(start - timedelta(seconds=1) < when < start + AFTER for start in times)


@pytest.mark.parametrize("name", [*ATTACKS, "kvm_kernel_audit_off"])
def test_each_attack_raises_its_rule(shared: Path, hits: list[dict[str, Any]], name: str) -> None:
    times = list(attacked(shared, name))
    assert times, "the list of actions has no such command"
    rule = next(rule for rule in load_rules().rules if rule.path.stem == name)
    assert from_hits([hit for hit in hits if _of_attack(hit, times)], [rule])


def test_benign_parts_raise_nothing(shared: Path, hits: list[dict[str, Any]]) -> None:
    rules = load_rules().rules
    names = {rule.id: rule.path.stem for rule in rules}
    times = {name: list(attacked(shared, name)) for name in names.values()}
    benign = [hit for hit in hits if not _of_attack(hit, times[names[hit["rule_id"]]])]
    assert [(a.rule.path, str(a.first), a.explanation, a.evidence[0].original) for a in from_hits(benign, rules)] == []
