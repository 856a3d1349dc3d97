"""sample_logs/: the files are what their program writes, the attacks raise the alerts beside them, clean days raise none."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.kernel.engine import Engine

from . import expected, sample_logs

ATTACKS = ("guest-escape", "ransomware", "snapshot-theft")


def test_files_are_what_the_program_writes(tmp_path: Path) -> None:
    sample_logs.write(tmp_path)
    for path in sorted(p for p in tmp_path.rglob("*") if p.is_file()):
        shipped = expected.ROOT / path.relative_to(tmp_path)
        assert shipped.read_text() == path.read_text(), "run python -m tests.scenarios.sample_logs"


@pytest.mark.parametrize("scenario", [*ATTACKS, "clean"])
def test_alerts_are_those_expected(scenario: str) -> None:
    found = expected.summary(expected.without_spark(expected.ROOT / scenario))
    assert found == expected.expected(scenario), "run python -m tests.scenarios.expected and read the diff"
    assert bool(found) == (scenario != "clean")


@pytest.mark.parametrize("scenario", ATTACKS)
def test_attacks_raise_high_alerts_of_several_kinds(scenario: str) -> None:
    rules = {row["rule"] for row in expected.expected(scenario) if row["severity"] in ("high", "critical")}
    assert len(rules) >= 3


def test_clean_days_have_enough_lines_of_all_sources() -> None:
    engine = Engine()
    lines, datasets = 0, set()
    for path in sorted(p for p in (expected.ROOT / "clean").iterdir() if p.suffix in (".log", ".ndjson")):
        for batch in engine.process_file(str(path)):
            lines += batch.lines
            datasets |= set(batch.events.get_column("event.dataset"))
    assert lines >= 5000
    assert datasets == {"vmware.esxi", "vmware.vcenter", "linux.auditd", "linux.libvirt", "aws.cloudtrail"}
