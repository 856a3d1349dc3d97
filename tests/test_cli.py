"""The command as a user meets it: help, clear errors, exit codes, JSON, pipes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli import app

LINE = (
    "<166>2026-03-01T10:00:00.123Z esx01 Hostd: info hostd[2099656] [Originator@6876 sub=Vimsvc.ha-eventmgr opID=a-1] "
    "Event 12 : Cannot login root@192.0.2.9\n"
)


def hypervigil(*args: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "pipeline", *args], input=stdin, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "command",
    ["run", "parse", "test", "explain", "report", "replay", "check", "realcheck", "sources", "coverage", "backtest", "readiness",
     "new parser", "new rule"],
)
def test_help_teaches_with_an_example(command: str) -> None:
    result = CliRunner().invoke(app, [*command.split(), "--help"])
    assert result.exit_code == 0
    assert "Example: hypervigil" in " ".join(result.stdout.replace("│", " ").split())


def test_parse_prints_ndjson_in_a_pipe(tmp_path: Path) -> None:
    file = tmp_path / "esxi.log"
    file.write_text(LINE)
    result = hypervigil("parse", str(file))
    event = json.loads(result.stdout)
    assert (result.returncode, event["user"]["name"], event["source"]["ip"], event["event"]["outcome"]) == (
        0,
        "root",
        "192.0.2.9",
        "failure",
    )
    assert "1 lines = 1 events + 0 joined + 0 quarantined" in result.stderr


def test_parse_reads_standard_input() -> None:
    assert json.loads(hypervigil("parse", "-", stdin=LINE).stdout)["host"]["name"] == "esx01"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("parse", "/nonexistent.log"), "no such file"),
        (("parse", "/etc/hostname", "--parser", "nope"), "unknown parser 'nope'"),
        (("explain", "no_such_rule", "/etc/hostname"), "no rule is named"),
        (("realcheck", "/nonexistent"), "not a folder"),
        (("new", "parser", "Bad Name"), "is no parser id"),
        (("new", "rule", "fine_name", "--threat", "nope"), "unknown threat"),
    ],
)
def test_errors_are_one_clear_line_and_exit_1(args: tuple[str, ...], message: str) -> None:
    result = hypervigil(*args)
    assert result.returncode == 1
    assert message in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


def test_check_is_clean() -> None:
    result = hypervigil("check")
    assert result.returncode == 0, result.stderr


def test_sources_lists_what_to_switch_on() -> None:
    rows = json.loads(hypervigil("sources", "--json").stdout)
    assert {row["id"] for row in rows} >= {"vmware-esxi", "vmware-vcenter", "linux-auditd", "libvirt-qemu", "aws-cloudtrail"}
    assert all(len(row["enable"]) > 20 for row in rows)


def test_content_test_passes_and_writes_junit(tmp_path: Path) -> None:
    result = hypervigil("test", "--json", "--junit", str(tmp_path / "junit.xml"))
    figures = json.loads(result.stdout)
    assert result.returncode == 0, result.stderr
    assert figures["failed"] == 0 < figures["passed"]
    assert "<testsuites" in (tmp_path / "junit.xml").read_text()
