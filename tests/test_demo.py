"""The main job on sample_logs: the same alerts on Spark as through the kernel alone, and the attacks of our captures are found."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline import run as spine
from pipeline.config import Settings

from .scenarios import expected

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.mark.spark
def test_the_demo_raises_what_is_expected_and_twice_changes_nothing(tmp_path: Path, spark: SparkSession) -> None:
    settings = Settings(inputs=(str(expected.ROOT),), lake=str(tmp_path / "lake"), quality=False, context=str(expected.CONTEXT))
    result = spine.run(settings, quiet=True, spark=spark)
    rows = [row for name in expected.scenarios() for row in expected.expected(name)]
    wanted = sorted((row["rule"], row["first"], tuple(row["host"]), row["events"]) for row in rows)
    found = sorted((row["rule"], row["first"], tuple(row["host"]), row["events"]) for row in expected.summary(result.alerts))
    assert found == wanted
    numbers = result.figures["run"]
    assert numbers["lines"] == numbers["events"] + numbers["joined"] + numbers["quarantined"]
    assert result.report is not None and "Virtual Machine Killed" in result.report.read_text()
    again = spine.run(settings, quiet=True, spark=spark)
    assert (again.figures["run"]["lines"], again.alerts) == (0, [])


def rules_in(folder: Path) -> Counter[str]:
    return Counter(alert.rule.path.rsplit("/", 1)[-1].removesuffix(".yml") for alert in expected.without_spark(folder))


def test_attacks_of_the_captures_are_found(shared: Path) -> None:
    captured = shared / "real_logs/captured"
    audit = rules_in(captured / "auditd")
    assert {"kvm_many_vms_destroyed", "kvm_disk_attach_refused", "kvm_kernel_audit_off", "kvm_qemu_crashed"} <= set(audit)
    assert {"kvm_ssh_unknown_users", "kvm_ssh_guess_succeeded"} <= set(rules_in(captured / "syslog_sshd"))
    assert "libvirt_custom_monitor" in rules_in(captured / "libvirt")
