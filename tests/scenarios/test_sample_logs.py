"""sample_logs/: the files are what their program writes, the attacks raise the alerts beside them, clean days raise none."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.kernel.engine import Engine
from pipeline.sigma.catalogue import load_catalogue

from . import expected, sample_logs

ATTACKS = ("guest-escape", "ransomware", "snapshot-theft")
OF_JOBS = {"break-out": "escape_chain", "hijacked-host": "hyperjacking", "hopping": "vm_hopping", "forged-login": "login_baseline"}


def test_files_are_what_the_program_writes(tmp_path: Path) -> None:
    sample_logs.write(tmp_path)
    for path in sorted(p for p in tmp_path.rglob("*") if p.is_file()):
        shipped = expected.ROOT / path.relative_to(tmp_path)
        assert shipped.read_text() == path.read_text(), "run python -m tests.scenarios.sample_logs"


def test_every_scenario_is_tested() -> None:
    assert set(expected.scenarios()) == {*ATTACKS, *OF_JOBS, "clean"}


@pytest.mark.parametrize("scenario", [*ATTACKS, *OF_JOBS, "clean"])
def test_alerts_are_those_expected(scenario: str) -> None:
    found = expected.summary(expected.alerts(scenario))
    assert found == expected.expected(scenario), "run python -m tests.scenarios.expected and read the diff"
    assert bool(found) == (scenario != "clean")


@pytest.mark.parametrize("scenario", ATTACKS)
def test_attacks_raise_high_alerts_of_several_kinds(scenario: str) -> None:
    rules = {row["rule"] for row in expected.expected(scenario) if row["severity"] in ("high", "critical")}
    assert len(rules) >= 3


@pytest.mark.parametrize(("scenario", "job"), OF_JOBS.items())
def test_each_job_finds_its_scenario(scenario: str, job: str) -> None:
    title = next(rule.title for rule in load_catalogue().jobs if rule.type == job)
    assert "critical" in {row["severity"] for row in expected.expected(scenario) if row["rule"] == title}


def test_clean_days_have_enough_lines_of_all_sources() -> None:
    engine = Engine()
    lines, datasets = 0, set()
    for path in sorted(p for p in (expected.ROOT / "clean").iterdir() if p.suffix in (".log", ".ndjson")):
        for batch in engine.process_file(str(path)):
            lines += batch.lines
            datasets |= set(batch.events.get_column("event.dataset"))
    assert lines >= 5000
    assert datasets == {"vmware.esxi", "vmware.vcenter", "linux.auditd", "linux.libvirt", "aws.cloudtrail"}
