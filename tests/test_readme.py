"""README is honest: every command in it exists with its options, every file it links to is there."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pipeline.cli import app

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text()
COMMANDS = sorted({line.split("#")[0].split("&&")[0].strip() for line in re.findall(r"^(hypervigil .*)$", TEXT, re.M)}
                  | set(re.findall(r"`(hypervigil [a-z][^`]*)`", TEXT)))
TARGETS = sorted(set(re.findall(r"`?make ([a-z]+)", TEXT)))


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_and_their_options_exist(command: str) -> None:
    words = [w for w in shlex.split(command)[1:] if re.fullmatch(r"[a-z-]+", w)]
    verb = words[:2] if words[0] in ("new", "context") else words[:1]
    result = CliRunner().invoke(app, [*verb, "--help"])
    assert result.exit_code == 0
    for option in (w for w in words if w.startswith("--")):
        assert option in result.stdout


@pytest.mark.parametrize("target", TARGETS)
def test_make_targets_exist(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)\)", TEXT))))
def test_links_lead_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


def test_the_sources_named_are_those_shipped() -> None:
    for parser in ("vmware-esxi", "vmware-vcenter", "linux-auditd", "libvirt-qemu", "aws-cloudtrail"):
        assert f"`{parser}`" in TEXT
        assert (ROOT / "parsers" / parser / "parser.yml").exists()


def measured(path: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((ROOT / "tests" / path).read_text())
    return rows


def figures() -> list[str]:
    """The rows of README's tables of figures, from what `make eval` and `make bench` have written."""
    jobs = [f"| {row['job']} | {row['attacks']} | {row['recall']:.3f} | {row['precision']:.3f} "
            f"| {row['false_high_per_1000_vm_weeks']:.3f} | {row['time_to_alert_s'] / 60:.0f} min |"
            for row in measured("scenarios/results.json")]
    costs = [f"| {row['job']} | {row['events']:,} | {row['seconds']:.0f} s | {row['peak_mib']:,} MiB |"
             for row in measured("bench/jobs.json")]
    runs = [f"| {row['lines']:,} | {row['baseline_s']:.1f} s | {row['parse_s']:.1f} s | {row['detect_s']:.1f} s | {row['run_s']:.0f} s | "
            f"{row['peak_mib']:,.0f} MiB |" for row in measured("bench/results.json")]
    correlations = [f"| {row['hits']:,} | {row['shape']} | {row['correlate_s']:.1f} s | {row['run_s']:.1f} s |"
                    for row in measured("bench/correlate.json")]
    return [*jobs, *costs, *runs, *correlations]


def test_figures_are_those_measured() -> None:
    assert [row for row in figures() if row not in TEXT] == []
